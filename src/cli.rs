//! The command line: commands as types, their settings from the table in [`crate::config`].
//!
//! A flag's value stays text here: the table reads it, so that a flag, a variable and a line of
//! the file are judged by the same code. clap judges names, and words where there are only a few.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{
    Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint,
};

use crate::config::settings::{SECTIONS, Section, Setting};
use crate::config::{DEFAULT_TEMPLATE, Flags, default_of};

/// A WebSocket streaming gateway for code: one sandboxed, stateful interpreter per session.
///
/// Without a command it serves, as `cellgate serve` does.
#[derive(Debug, Parser)]
#[command(name = "cellgate", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: GatewayFlags,
}

impl Cli {
    /// What is to be done.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve { flags: self.serve })
    }
}

/// What cellgate can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the gateway and the console until told to stop
    Serve {
        /// Settings.
        #[command(flatten)]
        flags: GatewayFlags,
    },
    /// Run one file in a sandbox of its own and stream its output here
    Run(RunArgs),
    /// Serve one agent on standard input and output: tools of the Model Context Protocol
    Mcp {
        /// Settings.
        #[command(flatten)]
        flags: SandboxFlags,
    },
    /// Say what this machine can enforce, and what to do about the rest
    Doctor {
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
        /// Try from inside real sandboxes to break out of them, and say what came of it
        #[arg(long)]
        probe: bool,
        /// Settings.
        #[command(flatten)]
        flags: GatewayFlags,
    },
    /// Print every setting in force and where it comes from
    Config {
        /// How they are printed
        #[arg(long, value_enum, default_value_t)]
        format: ConfigFormat,
        /// Settings.
        #[command(flatten)]
        flags: GatewayFlags,
    },
    /// Print the completions of a shell
    Completions {
        /// The shell they are for
        shell: clap_complete::Shell,
    },
}

/// Arguments of `cellgate run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The file to run, or - for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// What the program finds in `sys.argv` behind its name: everything after FILE
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
    /// The template its sandbox is made from
    #[arg(long, value_name = "NAME", default_value = DEFAULT_TEMPLATE)]
    pub template: String,
    /// Settings.
    #[command(flatten)]
    pub flags: SandboxFlags,
}

/// How `cellgate config` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// A file of settings, with sources as comments
    #[default]
    Toml,
    /// A list of keys, values and sources
    Json,
}

/// Flags of every setting.
#[derive(Clone, Debug, Default)]
pub struct GatewayFlags(pub Flags);

/// Flags of the settings that concern a single sandbox.
#[derive(Clone, Debug, Default)]
pub struct SandboxFlags(pub Flags);

/// Name and id of the flag that names the file of settings.
const CONFIG: &str = "config";

fn every_section(_: &Section) -> bool {
    true
}

fn sandbox_section(section: &Section) -> bool {
    section.sandbox
}

/// Lets clap read a set of flags that is not a struct of fields but a part of the table.
macro_rules! flags_of_sections {
    ($type:ident, $filter:ident) => {
        impl Args for $type {
            fn augment_args(command: clap::Command) -> clap::Command {
                augment(command, $filter)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                augment(command, $filter)
            }
        }

        impl FromArgMatches for $type {
            fn from_arg_matches(matches: &ArgMatches) -> Result<$type, clap::Error> {
                Ok($type(collect(matches, $filter)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = $type(collect(matches, $filter));
                Ok(())
            }
        }
    };
}

flags_of_sections!(GatewayFlags, every_section);
flags_of_sections!(SandboxFlags, sandbox_section);

fn augment(command: clap::Command, filter: fn(&Section) -> bool) -> clap::Command {
    let file = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(clap::value_parser!(PathBuf))
        .help("File of settings")
        .long_help(
            "File of settings, in TOML; without it the first of ./cellgate.toml, \
             $XDG_CONFIG_HOME/cellgate/cellgate.toml and /etc/cellgate/cellgate.toml that exists \
             [env: CELLGATE_CONFIG]",
        );
    let sections = SECTIONS.iter().filter(|section| filter(section));
    let flags = sections.flat_map(|section| {
        section.settings.iter().filter_map(|setting| flag(setting, section.title))
    });
    command.arg(file).args(flags)
}

/// The flag of a setting; its id is the setting's key.
fn flag(setting: &'static Setting, heading: &'static str) -> Option<Arg> {
    let form = (setting.form)();
    let mut notes = setting.doc.to_owned();
    let mut note = |name: &str, text: Option<String>| {
        if let Some(text) = text {
            notes.push_str(&format!(" [{name}: {text}]"));
        }
    };
    note("default", default_of(setting));
    note("env", setting.variable());
    note("key", Some(setting.key.to_owned()));
    let mut arg = Arg::new(setting.key)
        .long(setting.flag?)
        .value_name(form.metavar)
        .help(setting.doc)
        .long_help(notes)
        .help_heading(heading)
        .action(if form.repeats { ArgAction::Append } else { ArgAction::Set });
    if !form.words.is_empty() {
        arg = arg.value_parser(PossibleValuesParser::new(form.words));
    }
    if form.switch {
        arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
        arg = arg.hide_possible_values(true);
    }
    if form.path {
        arg = arg.value_hint(ValueHint::AnyPath);
    }
    Some(arg)
}

fn collect(matches: &ArgMatches, filter: fn(&Section) -> bool) -> Flags {
    let sections = SECTIONS.iter().filter(|section| filter(section));
    let settings = sections.flat_map(|section| section.settings).filter(|s| s.flag.is_some());
    let values = settings.filter_map(|setting| {
        let values = matches.get_many::<String>(setting.key)?;
        Some((setting.key, values.cloned().collect()))
    });
    Flags { config: matches.get_one::<PathBuf>(CONFIG).cloned(), values: values.collect() }
}

/// Reads a command line; the error says what to print and with which exit code.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    Cli::try_parse_from(arguments).map(Cli::into_command)
}
