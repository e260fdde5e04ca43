//! The `cellgate` program.

use std::process::ExitCode;

use cellgate::cli::{Command, ConfigFormat};
use cellgate::config::{self, Environment};

fn main() -> ExitCode {
    let command = match cellgate::cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => error.exit(),
    };
    let (flags, show): (_, fn(&config::Loaded) -> String) = match command {
        Command::Config { flags, format: ConfigFormat::Json } => (flags.0, config::show_json),
        Command::Serve { flags }
        | Command::Doctor { flags, .. }
        | Command::Config { flags, .. } => (flags.0, config::show),
        Command::Run(run) => (run.flags.0, config::show),
        Command::Completions { shell } => {
            let mut command = <cellgate::cli::Cli as clap::CommandFactory>::command();
            clap_complete::generate(shell, &mut command, "cellgate", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
    };
    let environment = match Environment::of_this_process() {
        Ok(environment) => environment,
        Err(error) => {
            eprintln!("error: cannot find the working directory: {error}");
            return ExitCode::from(2);
        }
    };
    match config::load(&flags, &environment) {
        Ok(loaded) => print!("{}", show(&loaded)),
        Err(error) => {
            eprintln!("error: {:#}", anyhow::Error::from(error));
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
