//! The `cellgate` program: reads the command, puts the parts together, says what went wrong.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cellgate::cli::{Cli, Command, ConfigFormat, RunArgs};
use cellgate::config::{self, Environment, Flags, Loaded, LogConfig, LogFormat, Source};
use cellgate::gateway::Gateway;
use cellgate::sandbox::{Backend, EnforcementState};
use cellgate::startup::{self, Purpose, WeakLimits};
use cellgate::{cli, doctor, run, stdio};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// A setting that is wrong, or names what is not there, wherever it stands.
const WRONG_SETTING: u8 = 2;

/// For connections whose peer takes nothing any more: they go with the runtime, and what they hold
/// of the backend with them.
const LAST_CONNECTIONS: Duration = Duration::from_secs(5);

/// What earlier gateways left behind goes before the first session comes, unless removing it takes
/// longer: what another gateway left should not keep this one from starting.
const SWEEP: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(command) => execute(command),
        Err(error) => error.exit(),
    }
}

fn execute(command: Command) -> ExitCode {
    let flags = match &command {
        Command::Serve { flags }
        | Command::Doctor { flags, .. }
        | Command::Config { flags, .. } => &flags.0,
        Command::Run(RunArgs { flags, .. }) | Command::Mcp { flags } => &flags.0,
        Command::Completions { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(*shell, &mut command, "cellgate", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
    };
    let loaded = match load(flags) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(WRONG_SETTING);
        }
    };
    let outcome = match command {
        Command::Config { format: ConfigFormat::Toml, .. } => print(&config::show(&loaded)),
        Command::Config { format: ConfigFormat::Json, .. } => print(&config::show_json(&loaded)),
        Command::Doctor { json, probe, .. } => {
            with_runtime(LAST_CONNECTIONS, examine(loaded, json, probe))
        }
        Command::Run(arguments) => {
            start_quiet_log(&loaded);
            // A read of standard input may be stuck in a thread.
            with_runtime(Duration::ZERO, run_file(loaded, arguments))
        }
        Command::Mcp { .. } => {
            start_quiet_log(&loaded);
            // A read of standard input may be stuck in a thread.
            with_runtime(Duration::ZERO, serve_agent(loaded))
        }
        Command::Serve { .. } | Command::Completions { .. } => {
            start_log(&loaded.config.log);
            with_runtime(LAST_CONNECTIONS, serve(loaded))
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn load(flags: &Flags) -> Result<Loaded> {
    let environment =
        Environment::of_this_process().context("cannot find the working directory")?;
    Ok(config::load(flags, &environment)?)
}

fn print(text: &str) -> Result<ExitCode> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn start_log(config: &LogConfig) {
    // The settings have read the filter already, so it reads.
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_default();
    // rmcp logs whole messages, in which code, output and tokens stand.
    let without_messages = filter_fn(|metadata| {
        !metadata.target().starts_with("rmcp") || *metadata.level() == Level::ERROR
    });
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // `eprintln!` would panic where stderr is what is not read any more.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => log.finish().with(without_messages).init(),
        LogFormat::Json => log.json().finish().with(without_messages).init(),
    }
}

/// The log of a command whose output somebody reads: it speaks when something is wrong, or was asked.
fn start_quiet_log(loaded: &Loaded) {
    let mut log = loaded.config.log.clone();
    if *loaded.source("log.filter") == Source::Default {
        log.filter = "warn".to_owned();
    }
    start_log(&log);
}

/// Runs to the end, and then waits at most so long for tasks and threads that are left.
fn with_runtime(
    patience: Duration,
    work: impl Future<Output = Result<ExitCode>>,
) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(patience);
    outcome
}

async fn serve(loaded: Loaded) -> Result<ExitCode> {
    // Before anything is started, so that a signal that comes early is not missed.
    let stop = stop_on_signals()?;
    match stop.run_until_cancelled(start(loaded)).await {
        Some(Ok(Ok(gateway))) => gateway.serve(stop).await?,
        Some(Ok(Err(refusal))) => return Ok(refuse(&refusal)),
        Some(Err(error)) => return Err(error),
        None => {} // asked to end before anybody was served
    }
    Ok(ExitCode::SUCCESS)
}

/// Chooses a backend, says what it enforces, removes what earlier gateways left and binds the
/// address.
async fn start(loaded: Loaded) -> Result<Result<Gateway, startup::Refusal>> {
    let (chosen, weak) = match startup::choose(&loaded, Purpose::Serve).await {
        Ok(chosen) => chosen,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (config, backend) = (loaded.config, chosen.backend);
    let kind = backend.kind();
    tracing::info!(backend = kind.name(), reason = chosen.reason, "backend chosen");
    if let Some(WeakLimits { missing, allowed }) = weak {
        let missing = missing.join(", ");
        tracing::warn!(missing, allowed, "one session can take the whole machine");
    }
    for enforcement in backend.enforcement() {
        let what = enforcement.name;
        match enforcement.state {
            EnforcementState::Full(_) => {}
            EnforcementState::Partial { by, remedy } => {
                tracing::warn!(what, by, remedy, "only partly enforced");
            }
            EnforcementState::Missing { why, remedy } => {
                tracing::warn!(what, why, remedy, "not enforced");
            }
        }
    }
    let mut sweeping = tokio::spawn(sweep(Arc::clone(&backend)));
    if tokio::time::timeout(SWEEP, &mut sweeping).await.is_err() {
        tracing::warn!("what earlier gateways left behind is still being removed");
    }
    let gateway = Gateway::bind(config, backend).await?;
    let (version, url) = (env!("CARGO_PKG_VERSION"), gateway.url()?);
    // A gateway whose output is not read serves all the same.
    writeln!(std::io::stdout(), "cellgate {version} ({kind} sandboxes) at {url}").ok();
    Ok(Ok(gateway))
}

async fn sweep(backend: Arc<dyn Backend>) {
    match backend.sweep().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "removed what an earlier gateway left behind"),
        Err(error) => tracing::warn!(error = %cellgate::error::Chain(&error), "cannot sweep"),
    }
}

/// Says why nothing was started: a gateway that cannot make a single sandbox should not look
/// healthy.
fn refuse(refusal: &startup::Refusal) -> ExitCode {
    eprintln!("error: {}", refusal.text());
    eprintln!("`cellgate doctor` says what this machine has and lacks");
    if refusal.is_of_settings() { ExitCode::from(WRONG_SETTING) } else { ExitCode::FAILURE }
}

/// Cancelled by the first SIGTERM or SIGINT; the second ends the process at once.
fn stop_on_signals() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stopped.is_cancelled() {
                // Sandboxes end with us: their links close.
                std::process::exit(1);
            }
            stopped.cancel();
        }
    });
    Ok(stop)
}

async fn run_file(loaded: Loaded, arguments: RunArgs) -> Result<ExitCode> {
    match startup::choose(&loaded, Purpose::Run).await {
        Ok((chosen, weak)) => {
            if let Some(WeakLimits { missing, allowed }) = weak {
                let missing = missing.join(", ");
                tracing::info!(missing, allowed, "the file can take the whole machine");
            }
            let RunArgs { file, arguments, template, .. } = arguments;
            run::run(loaded.config, chosen.backend, &file, &arguments, &template).await
        }
        Err(refusal) => Ok(refuse(&refusal)),
    }
}

async fn serve_agent(loaded: Loaded) -> Result<ExitCode> {
    let stop = stop_on_signals()?;
    match startup::choose(&loaded, Purpose::Agent).await {
        Ok((chosen, weak)) => {
            if let Some(WeakLimits { missing, allowed }) = weak {
                let missing = missing.join(", ");
                tracing::warn!(missing, allowed, "code can take the whole machine");
            }
            stdio::serve(loaded.config, chosen.backend, stop).await?;
            Ok(ExitCode::SUCCESS)
        }
        Err(refusal) => Ok(refuse(&refusal)),
    }
}

async fn examine(loaded: Loaded, json: bool, probe: bool) -> Result<ExitCode> {
    let diagnosis = doctor::examine(&loaded, probe).await?;
    if json {
        print(&(serde_json::to_string_pretty(&diagnosis)? + "\n"))?;
    } else {
        print(&doctor::tell(&diagnosis))?;
    }
    Ok(match (diagnosis.can_serve() && diagnosis.holds(), diagnosis.has_wrong_settings()) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::from(WRONG_SETTING),
        (false, false) => ExitCode::FAILURE,
    })
}
