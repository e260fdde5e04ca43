//! How programs are opened: what a sandbox can start, and what a participant asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use cellgate_driver::wire::{MOST_SETUP, Process as WireProcess, Setup};
use serde::Deserialize;

use super::interpreter::Interpreter;
use super::processes::{self, Process};
use super::{Effect, RESTART_TIME, State};
use crate::keys::KeyHolder;
use crate::link::DriverCommand;
use crate::protocol::client::{Open, OpenWhat};
use crate::protocol::event::{Event, ProgramInfo, ProgramKind};
use crate::protocol::refusal::{ErrorCode, Refusal};
use crate::protocol::reply::LanguageInfo;
use crate::protocol::shorten::shorten;

/// Longest version of an interpreter that is told, in bytes.
const VERSION_BYTES: usize = 64;

impl State {
    /// Opens a program for the participant `by`.
    pub(super) fn on_open(&mut self, by: &Arc<str>, open: Open) -> Result<(), Refusal> {
        let Open { id, what, env, cwd } = open;
        let refuse = |code, text: String| Err(Refusal::new(code, text).of(id.clone()));
        if self.common.draining {
            let text = "the gateway shuts down and opens no more programs";
            return refuse(ErrorCode::QueueFull, text.to_owned());
        }
        if self.program_of(&id).is_some() {
            let text = "a program of this id is open; close it first, or choose another id";
            return refuse(ErrorCode::DuplicateId, text.to_owned());
        }
        let most = self.common.rules.programs;
        if self.interpreters.len() + self.processes.len() >= most {
            let text = format!("{most} programs are open already; close one of them");
            return refuse(ErrorCode::QueueFull, text);
        }
        if self.common.rules.key_holder.is_some() && !env.is_empty() {
            let text = "a session that was made with a publishable key takes no `env`";
            return refuse(ErrorCode::Forbidden, text.to_owned());
        }
        let setup = match &what {
            OpenWhat::Interpreter(language) => match self.startable.interpreter(language) {
                Some(setup) => setup.clone(),
                None => return refuse(ErrorCode::BadMessage, self.no_language(language)),
            },
            OpenWhat::Process { argv, terminal, stdin } => {
                let argv = argv.iter().map(|argument| argument.clone().into_bytes()).collect();
                let process = WireProcess { argv, stdin: *stdin, terminal: *terminal };
                Setup { process: Some(process), ..self.startable.process(terminal.is_some()) }
            }
        };
        let setup = placed(setup, &env, cwd.as_deref()).encode();
        if setup.len() > MOST_SETUP {
            let text = format!(
                "its arguments and variables have {} bytes, of at most {MOST_SETUP}; put them into a file",
                setup.len()
            );
            return refuse(ErrorCode::TooLarge, text);
        }
        // A process may run as long as it likes, so it takes the place of a cell.
        let place = match (&what, self.common.rules.key_holder.as_ref()) {
            (OpenWhat::Process { .. }, Some(holder)) => match KeyHolder::take_cell(holder) {
                Ok(place) => Some(place),
                Err(taken) => return refuse(ErrorCode::QueueFull, taken.to_string()),
            },
            _ => None,
        };
        let program = self.next_program();
        let common = &mut self.common;
        common.send(program, DriverCommand::Open(setup));
        common.effects.push(Effect::ArmTimer { program, after: RESTART_TIME });
        match what {
            OpenWhat::Interpreter(language) => {
                let interpreter =
                    Interpreter::opened(program, id.into(), language, Some(Arc::clone(by)));
                common.set_phase(program, interpreter.phase);
                self.interpreters.push(interpreter);
            }
            OpenWhat::Process { argv, terminal, stdin } => {
                let info = processes::info(&id, &argv, terminal.is_some(), by);
                let takes_input = stdin || terminal.is_some();
                self.processes.push(Process::new(common, program, info, takes_input, place));
            }
        }
        Ok(())
    }

    /// What languages there are, for somebody who asked for another.
    fn no_language(&self, language: &str) -> String {
        let names: Vec<&str> = self.startable.languages().map(|info| &*info.name).collect();
        let names = names.join(", ");
        let language = shorten(language.to_owned(), 40);
        format!("there is no interpreter of {language:?} in this session; there are: {names}")
    }

    /// Which interpreter a message means: the session's first if it names none, and one that is opened now if it names
    /// a language of which none is.
    pub(super) fn interpreter_for_cell(
        &mut self,
        by: &Arc<str>,
        name: Option<&str>,
    ) -> Result<usize, Refusal> {
        let Some(name) = name else { return Ok(0) };
        if let Some(at) = self.interpreter_of(name) {
            return Ok(at);
        }
        if self.program_of(name).is_some() || self.startable.interpreter(name).is_none() {
            return Err(self.no_interpreter(name));
        }
        let what = OpenWhat::Interpreter(name.to_owned());
        self.on_open(by, Open { id: name.to_owned(), what, env: BTreeMap::new(), cwd: None })?;
        Ok(self.interpreters.len() - 1)
    }

    /// The refusal of a message that names an interpreter which is not open.
    pub(super) fn no_interpreter(&self, name: &str) -> Refusal {
        let ids: Vec<&str> = self.interpreters.iter().map(|one| &*one.id).collect();
        let (name, ids) = (shorten(name.to_owned(), 40), ids.join(", "));
        let text =
            format!("no interpreter {name:?} is open; there are: {ids}; open one with `open`");
        Refusal::new(ErrorCode::NotRunning, text)
    }

    /// A number that no program of the session has, nor had lately.
    fn next_program(&mut self) -> u16 {
        loop {
            self.last_program = self.last_program.checked_add(1).unwrap_or(1);
            let number = self.last_program;
            let used = self.interpreters.iter().any(|one| one.program == number)
                || self.processes.iter().any(|one| one.program == number);
            if !used {
                return number;
            }
        }
    }

    /// The programs that are open, for a participant who joins.
    pub fn programs(&self) -> Vec<ProgramInfo> {
        let interpreters = self.interpreters.iter().map(|one| one.info(None));
        let processes = self.processes.iter().map(|process| process.info.clone());
        interpreters.chain(processes).collect()
    }
}

impl Interpreter {
    fn info(&self, version: Option<String>) -> ProgramInfo {
        ProgramInfo {
            id: Arc::clone(&self.id),
            kind: ProgramKind::Interpreter,
            language: Some(self.language.clone()),
            version,
            pid: None,
            argv: Vec::new(),
            terminal: false,
            by: self.opened_by.clone(),
        }
    }

    /// That it is open, as it introduces itself. What it says is hostile.
    pub(super) fn opened_event(&self, introduction: &[u8]) -> Event {
        #[derive(Deserialize)]
        struct Introduction {
            language: LanguageInfo,
        }
        let read = serde_json::from_slice::<Introduction>(introduction).ok();
        let version = read.map(|read| shorten(read.language.version, VERSION_BYTES));
        Event::Opened(self.info(version))
    }
}

/// The setup with these variables, started in that directory.
fn placed(mut setup: Setup, env: &BTreeMap<String, String>, cwd: Option<&str>) -> Setup {
    for (name, value) in env {
        let named = [name.as_bytes(), b"="].concat();
        setup.env.retain(|known| !known.starts_with(&named));
        setup.env.push([&named, value.as_bytes()].concat());
    }
    match cwd {
        Some(cwd) if cwd.starts_with('/') => setup.workdir = cwd.to_owned(),
        Some(cwd) => setup.workdir = format!("{}/{cwd}", setup.workdir),
        None => {}
    }
    setup
}
