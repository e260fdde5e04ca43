//! `cellgate run`: one file in a sandbox of its own, streamed to the terminal.

use std::io::Write;
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
use crate::protocol::client::{ClientMessage, Execute};
use crate::registry::{Maker, Registry};
use crate::sandbox::Backend;
use crate::session::outbox::Batch;
use crate::session::{Attachment, Guest};
use crate::template::PoolSize;

/// Runs the file, or standard input for `-`, and answers the exit code that tells the cell's
/// status as a shell would.
pub async fn run(
    mut config: Config,
    backend: Arc<dyn Backend>,
    file: &Path,
    template: &str,
) -> Result<ExitCode> {
    let code = read(file)?;
    // One sandbox is all that is wanted.
    config.templates.iter_mut().for_each(|template| template.pool = PoolSize::OFF);
    let registry_config = registry_config(&config);
    let registry = Registry::new(backend, config.templates, registry_config, Metrics::default());
    let session = registry.create(template, Maker::default()).await?;
    let seat = session.attach(Guest::owner("run", session.owner_token())).await?;
    let cell = Execute { code, allow_input: file != Path::new("-"), ..Execute::default() };
    seat.say(Ok(ClientMessage::Execute(cell))).await?;

    let mut terminal = Terminal {
        stdin: BufReader::new(tokio::io::stdin()),
        interrupts: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
        status: None,
    };
    let streamed = terminal.stream(&seat).await;
    // The sandbox goes whatever came of the cell, and before we do.
    drop(seat);
    registry.shutdown(std::time::Duration::ZERO).await;
    streamed?;
    match terminal.status.as_deref() {
        Some(status) => Ok(ExitCode::from(exit_code(status))),
        None => bail!("the session ended before the cell did"),
    }
}

fn read(file: &Path) -> Result<String> {
    if file == Path::new("-") {
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

struct Terminal {
    stdin: BufReader<Stdin>,
    /// One for the whole run: it keeps what comes while we are busy with something else.
    interrupts: Signal,
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
            "error" => {
                for line in event["traceback"].as_array().into_iter().flatten() {
                    writeln!(std::io::stderr(), "{}", line.as_str().unwrap_or_default())?;
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
