//! `cellgate run`: one file in a sandbox of its own, streamed to the terminal.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Stdin};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::config::DEFAULT_TEMPLATE;
use crate::language::Language;
use crate::metrics::Metrics;
use crate::protocol::client::{ClientMessage, Execute, Program};
use crate::protocol::event::{CellStatus, Event, plain_text};
use crate::registry::{Maker, Registry};
use crate::sandbox::Backend;
use crate::session::files::check_path;
use crate::session::{Attachment, Delivery, JoinRequest, SessionHandle};
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
    // The default template executes what the file is; any other one is what was asked for.
    let default = config
        .templates
        .iter_mut()
        .find(|one| one.name == template && template == DEFAULT_TEMPLATE);
    if let (Some(default), Some(language)) = (default, Language::of_file(file)) {
        default.set_language(language);
    }
    // One sandbox is all that is wanted.
    config.templates.iter_mut().for_each(|template| template.pool = PoolSize::OFF);
    let registry_config = config.registry();
    let registry = Registry::new(backend, config.templates, registry_config, Metrics::default());
    let session = registry.create(template, Maker::default()).await?;
    let mut seat = session.attach(JoinRequest::owner("run", session.owner_token())).await?;
    let own_file = copy(&session, file, &code).await;
    let name = own_file.clone().unwrap_or_else(|| STDIN.to_owned());
    let argv = std::iter::once(name).chain(arguments.iter().cloned()).collect();
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let colours = wanted && std::io::stdout().is_terminal();
    let program = Some(Program { file: own_file, argv, show_value: false, colours });
    let allow_input = file != Path::new(STDIN);
    let cell = Execute { code, allow_input, program, ..Execute::default() };
    seat.send(Ok(ClientMessage::Execute(cell))).await?;

    let mut terminal = Terminal {
        stdin: BufReader::new(tokio::io::stdin()),
        interrupts: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
        colours: wanted && std::io::stderr().is_terminal(),
        exit: None,
        status: None,
    };
    let streamed = terminal.stream(&mut seat).await;
    // The sandbox goes whatever came of the cell, and before we do.
    drop(seat);
    registry.shutdown(std::time::Duration::ZERO).await;
    streamed?;
    match (terminal.status, terminal.exit) {
        (Some(CellStatus::Error), Some(code)) => Ok(ExitCode::from(code)),
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
fn exit_code(status: CellStatus) -> u8 {
    match status {
        CellStatus::Ok => 0,
        CellStatus::Error => 1,
        CellStatus::Timeout => 124,
        CellStatus::Cancelled | CellStatus::Lost => 125,
        CellStatus::OutputLimit => 126,
        CellStatus::Interrupted => 130,
        CellStatus::Oom | CellStatus::Killed => 137,
        // The interpreter ended by itself.
        CellStatus::Exited => 70, // EX_SOFTWARE of sysexits.h
    }
}

/// A line without the sequences that colour it (ECMA-48 §8.3.117, SGR), the only ones our
/// tracebacks have.
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
    status: Option<CellStatus>,
}

impl Terminal {
    /// Prints events until the cell is done.
    async fn stream(&mut self, seat: &mut Attachment) -> Result<()> {
        while self.status.is_none() {
            let delivery = tokio::select! {
                delivery = seat.next() => delivery,
                _ = self.interrupts.recv() => {
                    seat.send(Ok(ClientMessage::Interrupt { id: None, interpreter: None })).await?;
                    continue;
                }
            };
            match delivery {
                Ok(Delivery::Event(event)) => self.show(seat, event.event()?).await?,
                Ok(Delivery::Reply(_)) => {}
                Err(departure) => bail!("the session closed: {departure}"),
            }
        }
        Ok(())
    }

    async fn show(&mut self, seat: &Attachment, event: Event) -> Result<()> {
        let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
        match event {
            Event::Stdout(output) => {
                stdout.write_all(output.text.as_bytes())?;
                stdout.flush()?;
            }
            Event::Stderr(output) => stderr.write_all(output.text.as_bytes())?,
            Event::Result { data, .. } | Event::Display { data, .. } => {
                let value = plain_text(&data);
                writeln!(stdout, "{}", value.as_deref().unwrap_or("(no text form)"))?;
            }
            // As Python does: no traceback, and the code is the program's.
            Event::Error { name, value, .. } if name == "SystemExit" => {
                // Of a number the system keeps a byte; a text was written to stderr.
                self.exit = Some(value.parse::<i64>().map_or(1, |code| (code & 0xff) as u8));
            }
            Event::Error { traceback, .. } => {
                for line in traceback {
                    match self.colours {
                        true => writeln!(stderr, "{line}")?,
                        false => writeln!(stderr, "{}", without_colours(&line))?,
                    }
                }
            }
            Event::InputRequest { id, prompt, .. } => {
                write!(stdout, "{prompt}")?;
                stdout.flush()?;
                let mut line = String::new();
                let read = tokio::select! {
                    read = self.stdin.read_line(&mut line) => read?,
                    _ = self.interrupts.recv() => {
                        seat.send(Ok(ClientMessage::Interrupt { id: None, interpreter: None })).await?;
                        return Ok(());
                    }
                };
                let text = (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned());
                seat.send(Ok(ClientMessage::Input { id: id.to_string(), text })).await?;
            }
            Event::Notice { text, .. } => writeln!(stderr, "cellgate: {text}")?,
            Event::Restarted { reason, .. } => writeln!(stderr, "cellgate: {reason}")?,
            Event::Done { status, detail, .. } => {
                if let Some(detail) = detail {
                    writeln!(stderr, "cellgate: {detail}")?;
                }
                self.status = Some(status);
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
