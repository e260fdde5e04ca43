//! `cellgate run`: one file in a sandbox of its own, streamed to the terminal.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Stdin};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::gateway::registry_config;
use crate::metrics::Metrics;
use crate::protocol::client::{ClientMessage, Execute, Program};
use crate::registry::{Maker, Registry};
use crate::sandbox::Backend;
use crate::session::files::check_path;
use crate::session::outbox::Batch;
use crate::session::{Attachment, Guest, SessionHandle};
use crate::template::PoolSize;

/// A file that cannot be read, as Python has it.
const NO_FILE: u8 = 2;

/// What the program is called that comes from standard input, as Python has it.
const STDIN: &str = "-";

/// Runs the file, or standard input for `-`, and answers the exit code that tells the cell's
/// status as a shell would.
pub async fn run(
    mut config: Config,
    backend: Arc<dyn Backend>,
    file: &Path,
    arguments: &[String],
    template: &str,
) -> Result<ExitCode> {
    let code = match read(file) {
        Ok(code) => code,
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error:#}")?;
            return Ok(ExitCode::from(NO_FILE));
        }
    };
    // One sandbox is all that is wanted.
    config.templates.iter_mut().for_each(|template| template.pool = PoolSize::OFF);
    let registry_config = registry_config(&config);
    let registry = Registry::new(backend, config.templates, registry_config, Metrics::default());
    let session = registry.create(template, Maker::default()).await?;
    let seat = session.attach(Guest::owner("run", session.owner_token())).await?;
    let own_file = copy(&session, file, &code).await;
    let name = own_file.clone().unwrap_or_else(|| STDIN.to_owned());
    let argv = std::iter::once(name).chain(arguments.iter().cloned()).collect();
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let colours = wanted && std::io::stdout().is_terminal();
    let program = Some(Program { file: own_file, argv, show_value: false, colours });
    let allow_input = file != Path::new(STDIN);
    let cell = Execute { code, allow_input, program, ..Execute::default() };
    seat.say(Ok(ClientMessage::Execute(cell))).await?;

    let mut terminal = Terminal {
        stdin: BufReader::new(tokio::io::stdin()),
        interrupts: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
        colours: wanted && std::io::stderr().is_terminal(),
        exit: None,
        status: None,
    };
    let streamed = terminal.stream(&seat).await;
    // The sandbox goes whatever came of the cell, and before we do.
    drop(seat);
    registry.shutdown(std::time::Duration::ZERO).await;
    streamed?;
    match (terminal.status.as_deref(), terminal.exit) {
        (Some("error"), Some(code)) => Ok(ExitCode::from(code)),
        (Some(status), _) => Ok(ExitCode::from(exit_code(status))),
        (None, _) => bail!("the session ended before the cell did"),
    }
}

/// Puts the file into the working directory under its own name, for programs that read or import
/// themselves, as `multiprocessing` does. `None`: it has no name that could be used there.
async fn copy(session: &SessionHandle, file: &Path, code: &str) -> Option<String> {
    let name = file.file_name().filter(|_| file != Path::new(STDIN))?.to_str()?;
    check_path(name.as_bytes()).ok()?;
    let copied = async {
        let mut writer = session.write_file(name).await?;
        writer.append(code.as_bytes()).await?;
        writer.commit().await
    };
    match copied.await {
        Ok(_) => Some(name.to_owned()),
        Err(error) => {
            tracing::warn!(%error, "the program runs without a file of its own");
            None
        }
    }
}

fn read(file: &Path) -> Result<String> {
    if file == Path::new(STDIN) {
        return std::io::read_to_string(std::io::stdin()).context("cannot read standard input");
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// As shells and `timeout` have it: 124 for a timeout, 128 and the signal for a signal.
fn exit_code(status: &str) -> u8 {
    match status {
        "ok" => 0,
        "error" => 1,
        "timeout" => 124,
        "cancelled" | "lost" => 125,
        "output_limit" => 126,
        "interrupted" => 130,
        "oom" | "killed" => 137,
        // `exited`: the interpreter went its own way.
        _ => 70, // EX_SOFTWARE of sysexits.h
    }
}

/// A line without the sequences that colour it (ECMA-48 §8.3.117, SGR), the only ones our tracebacks
/// have.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(part.len());
        match part[end..].strip_prefix('m') {
            Some(rest) => plain.push_str(rest),
            None => plain.extend(["\x1b[", part]),
        }
    }
    plain
}

struct Terminal {
    stdin: BufReader<Stdin>,
    /// One for the whole run: it keeps what comes while we are busy with something else.
    interrupts: Signal,
    /// Whether tracebacks may have colours.
    colours: bool,
    /// What the program gave to `sys.exit`, if that was a failure.
    exit: Option<u8>,
    status: Option<String>,
}

impl Terminal {
    /// Prints events until the cell is done.
    async fn stream(&mut self, seat: &Attachment) -> Result<()> {
        let mut batch = Vec::new();
        while self.status.is_none() {
            tokio::select! {
                taken = seat.outbox().take(&mut batch) => if let Batch::Close(close) = taken {
                    bail!("the session closed: {}", close.reason());
                },
                _ = self.interrupts.recv() => {
                    seat.say(Ok(ClientMessage::Interrupt { id: None })).await?;
                }
            }
            for json in batch.drain(..) {
                let event: Value = serde_json::from_str(&json).context("an event")?;
                self.show(seat, &event).await?;
            }
            std::io::stdout().flush()?;
        }
        Ok(())
    }

    async fn show(&mut self, seat: &Attachment, event: &Value) -> Result<()> {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        match text("type") {
            "stdout" => std::io::stdout().write_all(text("text").as_bytes())?,
            "stderr" => std::io::stderr().write_all(text("text").as_bytes())?,
            "result" | "display" => {
                let value = event["data"]["text/plain"].as_str().unwrap_or("(no text form)");
                writeln!(std::io::stdout(), "{value}")?;
            }
            // As Python does: no traceback, and the code is the program's.
            "error" if text("name") == "SystemExit" => {
                // Of a number the system keeps a byte; a text was written to stderr.
                let code = text("value").parse::<i64>().map_or(1, |code| (code & 0xff) as u8);
                self.exit = Some(code);
            }
            "error" => {
                for line in event["traceback"].as_array().into_iter().flatten() {
                    let line = line.as_str().unwrap_or_default();
                    match self.colours {
                        true => writeln!(std::io::stderr(), "{line}")?,
                        false => writeln!(std::io::stderr(), "{}", without_colours(line))?,
                    }
                }
            }
            "input_request" => {
                write!(std::io::stdout(), "{}", text("prompt"))?;
                std::io::stdout().flush()?;
                let mut line = String::new();
                let read = tokio::select! {
                    read = self.stdin.read_line(&mut line) => read?,
                    _ = self.interrupts.recv() => {
                        seat.say(Ok(ClientMessage::Interrupt { id: None })).await?;
                        return Ok(());
                    }
                };
                let answer = (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned());
                let id = text("id").to_owned();
                seat.say(Ok(ClientMessage::Input { id, text: answer })).await?;
            }
            "notice" | "restarted" => {
                writeln!(std::io::stderr(), "cellgate: {}{}", text("text"), text("reason"))?;
            }
            "done" => {
                if let Some(detail) = event["detail"].as_str() {
                    writeln!(std::io::stderr(), "cellgate: {detail}")?;
                }
                self.status = Some(text("status").to_owned());
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_nothing_else_are_taken_out() {
        for (line, plain) in [
            ("\x1b[31mValueError\x1b[0m: x", "ValueError: x"),
            ("\x1b[1;31m", ""),
            ("plain", "plain"),
            ("\x1b[2Kerased \x1b[", "\x1b[2Kerased \x1b["),
        ] {
            assert_eq!(without_colours(line), plain, "{line:?}");
        }
    }
}
