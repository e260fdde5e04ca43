//! The languages whose runners the supervisor carries inside itself: one row each, in a file of its
//! own.
//!
//! To add one: a directory of sources below `runner`, named in `build.rs`, `language/NAME.rs` with its row, and
//! its name in [`LANGUAGES`]. What the gateway knows of the language is its row in `src/language`.
//!
//! ```text
//! sources = { name_len u16 · name · source_len u32 · source }*      (little endian, UTF-8)
//! ```

use std::io;
use std::os::fd::OwnedFd;

use crate::sys;

mod javascript;
mod python;

include!(concat!(env!("OUT_DIR"), "/runners.rs"));

/// Every language there is a runner for.
const LANGUAGES: &[&Language] = &[&python::PYTHON, &javascript::JAVASCRIPT];

/// How the interpreter gets the pipes that its cells write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellPipes {
    /// Each cell's own pair is sent to the runner, which puts it in the place of descriptors 1 and 2.
    Sent,
    /// The interpreter is started with [`super::pipes::FIXED_PAIRS`] pairs, and is told which of them each cell
    /// writes to: its runner cannot receive descriptors.
    Fixed,
}

/// How the runner of one language is started.
pub(crate) struct Language {
    /// Its name in SETUP.
    name: &'static str,
    /// What the interpreter is given before the boot code, to execute that.
    pub(crate) arguments: &'static [&'static str],
    /// The code that the interpreter executes first; it reads the runner's modules from
    /// descriptor 5.
    pub(crate) boot: &'static str,
    /// Names and sources of the runner's modules.
    modules: &'static [(&'static str, &'static [u8])],
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
        let mut heads = Vec::with_capacity(self.modules.len());
        for (name, source) in self.modules {
            let mut head = (name.len() as u16).to_le_bytes().to_vec();
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(&(source.len() as u32).to_le_bytes());
            heads.push(head);
        }
        let sources = self.modules.iter().map(|(_, source)| *source);
        sys::sealed_memory(heads.iter().map(Vec::as_slice).zip(sources).flat_map(|(h, s)| [h, s]))
    }
}
