//! The runners the supervisor carries inside itself, listed by `build.rs`.
//!
//! ```text
//! bundle = { name_len u16 · name · source_len u32 · source }*      (little endian, UTF-8)
//! ```

use std::io;
use std::os::fd::OwnedFd;

use crate::sys;

include!(concat!(env!("OUT_DIR"), "/runner.rs"));

/// The sources of one language's runner.
#[derive(Clone, Copy)]
pub(crate) struct Bundle {
    /// What the interpreter is told to execute; it reads the rest from descriptor 5.
    pub(crate) boot: &'static str,
    modules: &'static [(&'static str, &'static [u8])],
}

impl Bundle {
    /// The runner of a language, if the supervisor carries one.
    pub(crate) fn of(language: &str) -> Option<Bundle> {
        match language {
            "python" => Some(Bundle { boot: PYTHON_BOOT, modules: PYTHON_MODULES }),
            _ => None,
        }
    }

    /// The modules in a sealed memory file of its own: a runner may move the file's offset and
    /// thereby disturb nobody but itself.
    pub(crate) fn file(&self) -> io::Result<OwnedFd> {
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
