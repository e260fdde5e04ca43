//! What clients say about programs: to open an interpreter or a process, and to use a process.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cellgate_driver::wire::TerminalSize;
use serde::Deserialize;

use super::check_env;

/// Most arguments of a process, and the longest of their texts, with the working directory and a command, in bytes.
const ARGUMENTS: usize = 1024;
const TEXT_BYTES: usize = 128 << 10; // 128 KiB, as long as the kernel lets one be

/// A program to open.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// The client's name for it.
    pub id: String,
    /// What it is.
    pub what: OpenWhat,
    /// Variables added to its environment.
    pub env: BTreeMap<String, String>,
    /// Where it starts: absolute, or below the session's working directory. `None`: there.
    pub cwd: Option<String>,
}

/// What to open.
#[derive(Clone, Debug, PartialEq)]
pub enum OpenWhat {
    /// An interpreter of this language.
    Interpreter(String),
    /// A process.
    Process {
        /// Its file and its arguments.
        argv: Vec<String>,
        /// Its terminal; `None`: it has pipes.
        terminal: Option<TerminalSize>,
        /// Whether its input can be written to, if it has pipes.
        stdin: bool,
    },
}

impl Open {
    /// Bytes that it holds in memory. A field more or less: what counts is the text.
    pub fn bytes(&self) -> usize {
        let what = match &self.what {
            OpenWhat::Interpreter(language) => language.len(),
            OpenWhat::Process { argv, .. } => argv.iter().map(String::len).sum(),
        };
        let env: usize = self.env.iter().map(|(name, value)| name.len() + value.len()).sum();
        what + env + self.cwd.as_ref().map_or(0, String::len)
    }
}

/// What to do with a program that is open.
#[derive(Clone, Debug, PartialEq)]
pub enum ProgramAction {
    /// End it, and all that it has started.
    Close,
    /// Send a process this signal.
    Signal(u8),
    /// Give its terminal this size.
    Resize(TerminalSize),
    /// Write to its input.
    Write {
        /// What.
        bytes: Bytes,
        /// Whether its input ends after that.
        eof: bool,
    },
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub(super) struct RawOpen {
    /// The client's name for the program, which no other that is open has.
    id: String,
    /// An interpreter executes cells, a process is a command.
    kind: RawKind,
    /// Of an interpreter: what its cells are written in, one of `ready.languages`.
    language: Option<String>,
    /// Of a process: its file, looked up in PATH unless it is a path, and its arguments.
    argv: Option<Vec<String>>,
    /// Of a process, in the place of `argv`: a command for `/bin/sh`. With a terminal both may be absent: a shell.
    command: Option<String>,
    /// Variables added to its environment.
    env: Option<BTreeMap<String, String>>,
    /// Where it starts; the working directory if it is absent.
    cwd: Option<String>,
    /// Of a process: it gets a terminal of this size, and pipes if this is absent.
    terminal: Option<RawSize>,
    /// Of a process with pipes: whether `write` reaches its input, which is empty unless told.
    stdin: Option<bool>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "ProgramKind"))]
enum RawKind {
    Interpreter,
    Process,
}

#[derive(Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "TerminalSize"))]
pub(crate) struct RawSize {
    /// Characters in a line, 1 to 1000.
    cols: u16,
    /// Lines, 1 to 1000.
    rows: u16,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct RawClose {
    /// The program.
    pub(super) id: String,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct RawSignal {
    /// The process.
    pub(super) id: String,
    /// Such as `SIGINT`.
    pub(super) signal: String,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct RawResize {
    /// The process.
    pub(super) id: String,
    /// Characters in a line, 1 to 1000.
    cols: u16,
    /// Lines, 1 to 1000.
    rows: u16,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub(super) struct RawWrite {
    /// The process.
    pub(super) id: String,
    /// What to write: text,
    text: Option<String>,
    /// or bytes, in base64.
    data: Option<String>,
    /// Whether its input ends after that.
    eof: Option<bool>,
}

impl RawSize {
    fn checked(self) -> Result<TerminalSize, String> {
        let Self { cols, rows } = self;
        if !(1..=1000).contains(&cols) || !(1..=1000).contains(&rows) {
            return Err("a terminal has 1 to 1000 `cols` and 1 to 1000 `rows`".to_owned());
        }
        Ok(TerminalSize { columns: cols, rows })
    }
}

impl RawResize {
    pub(super) fn checked(&self) -> Result<ProgramAction, String> {
        RawSize { cols: self.cols, rows: self.rows }.checked().map(ProgramAction::Resize)
    }
}

impl RawSignal {
    pub(super) fn checked(&self) -> Result<ProgramAction, String> {
        let name = self.signal.strip_prefix("SIG").unwrap_or(&self.signal);
        let found = SIGNALS.iter().find(|(known, _)| *known == name);
        found.map(|(_, number)| ProgramAction::Signal(*number)).ok_or_else(|| {
            let names: Vec<String> = SIGNALS.iter().map(|(name, _)| format!("SIG{name}")).collect();
            format!("`signal` is one of {}", names.join(", "))
        })
    }
}

impl RawWrite {
    pub(super) fn checked(self) -> Result<(String, ProgramAction), String> {
        let eof = self.eof.unwrap_or(false);
        let bytes = match (self.text, self.data) {
            (Some(text), None) => Bytes::from(text),
            (None, Some(data)) => match STANDARD.decode(data) {
                Ok(bytes) => Bytes::from(bytes),
                Err(error) => return Err(format!("`data` is base64 with its padding: {error}")),
            },
            (None, None) if eof => Bytes::new(),
            _ => return Err("`write` has either `text` or `data`, or `eof: true` alone".to_owned()),
        };
        Ok((self.id, ProgramAction::Write { bytes, eof }))
    }
}

/// What a terminal runs if nothing else is named: bash where there is one.
const LOGIN_SHELL: [&str; 3] =
    ["/bin/sh", "-c", "if command -v bash >/dev/null; then exec bash -i; else exec sh -i; fi"];

impl RawOpen {
    pub(super) fn checked(self) -> Result<Open, String> {
        let RawOpen { id, kind, language, argv, command, env, cwd, terminal, stdin } = self;
        let of_process =
            argv.is_some() || command.is_some() || terminal.is_some() || stdin.is_some();
        let texts = argv.iter().flatten().chain(&command).chain(&cwd);
        if texts.clone().any(|text| text.len() > TEXT_BYTES || text.contains('\0')) {
            return Err(format!(
                "an argument, command or `cwd` has at most {TEXT_BYTES} bytes and no NUL"
            ));
        }
        let what = match (kind, language) {
            (RawKind::Interpreter, Some(language)) if !of_process => {
                OpenWhat::Interpreter(language)
            }
            (RawKind::Process, None) => {
                let argv = match (argv, command) {
                    (Some(argv), None) if (1..=ARGUMENTS).contains(&argv.len()) => argv,
                    (None, Some(command)) => vec!["/bin/sh".into(), "-c".into(), command],
                    (None, None) if terminal.is_some() => LOGIN_SHELL.map(str::to_owned).to_vec(),
                    _ => {
                        return Err(format!(
                            "a process has either `argv`, of 1 to {ARGUMENTS} texts, or `command`; one with a \
                             `terminal` may have neither and is a shell"
                        ));
                    }
                };
                if argv.first().is_none_or(String::is_empty) {
                    return Err("the first of `argv` names a file and is not empty".to_owned());
                }
                let terminal = terminal.map(RawSize::checked).transpose()?;
                OpenWhat::Process { argv, terminal, stdin: stdin.unwrap_or(false) }
            }
            (RawKind::Interpreter, _) => {
                return Err("an interpreter has a `language`, and nothing of a process".to_owned());
            }
            (RawKind::Process, Some(_)) => return Err("a process has no `language`".to_owned()),
        };
        let env = env.unwrap_or_default();
        check_env(&env)?;
        Ok(Open { id, what, env, cwd })
    }
}

/// Signals of Linux (signal(7)) by their names without `SIG`.
const SIGNALS: &[(&str, u8)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The name of a signal, as `SIGKILL`.
pub fn signal_name(signal: i32) -> Option<String> {
    let known = SIGNALS.iter().find(|(_, number)| i32::from(*number) == signal);
    known.map(|(name, _)| format!("SIG{name}"))
}
