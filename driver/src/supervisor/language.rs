//! The languages whose runners the supervisor carries inside itself: one row each, in a file of its
//! own.
//!
//! To add one: a directory of sources below `runner`, named in `build.rs`, `language/NAME.rs` with its row, and
//! its name in [`LANGUAGES`]. What the gateway knows of the language is its row in `src/language`.
//!
//! ```text
//! sources = { name_len u16 · name · source_len u32 · source }*      (little endian, UTF-8)
//! ```

use std::ffi::c_int;
use std::io;
use std::os::fd::OwnedFd;

use cellgate_driver::wire::Setup;

use crate::sys;

mod bash;
mod javascript;
mod jupyter;
mod python;

include!(concat!(env!("OUT_DIR"), "/runners.rs"));

/// Every language there is a runner for.
const LANGUAGES: &[&Language] =
    &[&python::PYTHON, &javascript::JAVASCRIPT, &bash::BASH, &jupyter::JUPYTER];

/// How the interpreter gets the pipes that its cells write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellPipes {
    /// Each cell's own pair is sent to the runner, which puts it in the place of descriptors 1 and 2.
    Sent,
    /// The interpreter is started with [`super::pipes::FIXED_PAIRS`] pairs, and is told which of them each cell
    /// writes to: its runner cannot receive descriptors.
    Fixed,
}

/// Where the runner of a language runs.
pub(crate) enum RunnerKind {
    /// In the interpreter, which executes its sources.
    InInterpreter {
        /// What the interpreter is given before the boot code, to execute that.
        arguments: &'static [&'static str],
        /// The code that the interpreter executes first; it reads the runner's modules from descriptor 5.
        boot: &'static str,
        /// Names and sources of the runner's modules.
        modules: &'static [(&'static str, &'static [u8])],
    },
    /// In a process of this program, which starts the interpreter: the function answers its exit code.
    Beside(fn(&Setup) -> c_int),
}

/// How the runner of one language is started.
pub(crate) struct Language {
    /// Its name in SETUP.
    name: &'static str,
    /// Where its runner runs.
    pub(crate) runner: RunnerKind,
    /// How it gets the pipes of its cells.
    pub(crate) pipes: CellPipes,
}

impl Language {
    /// The language of this name, if the supervisor carries its runner.
    pub(crate) fn of(name: &str) -> Option<&'static Language> {
        LANGUAGES.iter().copied().find(|language| language.name == name)
    }

    /// The modules in a sealed memory file of its own: a runner may move the file's offset, and
    /// disturbs no other runner by it.
    pub(crate) fn sources(&self) -> io::Result<OwnedFd> {
        let modules: &[(&str, &[u8])] = match &self.runner {
            RunnerKind::InInterpreter { modules, .. } => modules,
            RunnerKind::Beside(_) => &[],
        };
        let mut heads = Vec::with_capacity(modules.len());
        for (name, source) in modules {
            let mut head = (name.len() as u16).to_le_bytes().to_vec();
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(&(source.len() as u32).to_le_bytes());
            heads.push(head);
        }
        let sources = modules.iter().map(|(_, source)| *source);
        sys::sealed_memory(heads.iter().map(Vec::as_slice).zip(sources).flat_map(|(h, s)| [h, s]))
    }
}
