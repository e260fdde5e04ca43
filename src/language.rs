//! The languages whose cells sandboxes execute: one row for each, in a file of its own.
//!
//! A row holds everything that the gateway knows of a language. Backends, templates and settings
//! read it and name no language themselves. To add one, write `language/NAME.rs` with its row, name
//! it in [`LANGUAGES`], and give the driver its runner (`driver/src/supervisor/language.rs`).

use std::fmt;
use std::path::{Path, PathBuf};

mod bash;
mod javascript;
mod jupyter;
mod python;

/// Every language, the default first.
pub const LANGUAGES: &[&Language; 4] = &[DEFAULT, JAVASCRIPT, BASH, JUPYTER];

/// The names of all, in the same order.
pub const NAMES: &[&str; LANGUAGES.len()] = &{
    let mut names = [""; LANGUAGES.len()];
    let mut at = 0; // a constant cannot iterate
    while at < names.len() {
        names[at] = LANGUAGES[at].name;
        at += 1;
    }
    names
};

/// The language of templates that name none.
pub const DEFAULT: &Language = &python::PYTHON;

/// JavaScript, on Node.
pub const JAVASCRIPT: &Language = &javascript::JAVASCRIPT;

/// Bash.
pub const BASH: &Language = &bash::BASH;

/// Any kernel of Jupyter, over a bridge.
pub const JUPYTER: &Language = &jupyter::JUPYTER;

/// The interpreters that a template names, one for each language. `None`: the language's usual one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interpreters {
    /// That of Python, as of a virtual environment. The bridge to kernels of Jupyter runs in it as well.
    pub python: Option<PathBuf>,
    /// That of JavaScript.
    pub node: Option<PathBuf>,
    /// That of bash.
    pub bash: Option<PathBuf>,
}

impl Interpreters {
    /// The one of this language.
    pub fn of(&self, language: &Language) -> Option<&Path> {
        let found = match language.name {
            name if name == JAVASCRIPT.name => &self.node,
            name if name == BASH.name => &self.bash,
            _ => &self.python,
        };
        found.as_deref()
    }
}

/// The variable in which a runner finds the setting `shell` of its template.
pub const SHELL_VARIABLE: &str = "CELLGATE_SHELL";

/// The variable in which the bridge to kernels of Jupyter finds the setting `kernel` of its template.
pub const KERNEL_VARIABLE: &str = "CELLGATE_KERNEL";

/// One language.
pub struct Language {
    /// Its name on the wire and in settings. Unique.
    pub name: &'static str,
    /// Its name in messages: `Python`.
    pub title: &'static str,
    /// What the names of its files end with, without the dot.
    pub extensions: &'static [&'static str],
    /// The oldest version that its runner supports: major and minor.
    pub oldest: (u32, u32),
    /// How its interpreter is found on the host, for the local backend.
    pub host: Host,
    /// The interpreter's command in an image, where the template names none.
    pub image_command: &'static str,
    /// The image of the default template.
    pub image: &'static str,
    /// The other languages whose interpreters that image has.
    pub image_brings: &'static [&'static str],
    /// Memory of a session unless its template says otherwise, in bytes.
    pub memory_bytes: u64,
    /// Variables that its interpreter needs.
    pub variables: &'static [(&'static str, &'static str)],
    /// The values that the setting `shell` may have, the default first: what its runner executes
    /// cells with. Empty if it has but one way. The runner finds the value in [`SHELL_VARIABLE`].
    pub shells: &'static [&'static str],
    /// Variables from which it reads how many processors there are.
    pub processor_counts: &'static [&'static str],
}

/// How the interpreter of a language is found on a machine, and what it needs there.
pub struct Host {
    /// The setting of a template that names the interpreter: its key.
    pub setting: &'static str,
    /// The interpreter's name in the directories of PATH.
    pub program: &'static str,
    /// Where it usually is, looked at before PATH.
    pub usual_paths: &'static [&'static str],
    /// Arguments with which it describes itself: prints JSON with `version` (major and minor),
    /// `executable` (absolute path) and `paths` (the directories it reads its library from).
    pub describe: &'static [&'static str],
    /// What an interpreter that does so is, with its article: `a Python 3`.
    pub kind: &'static str,
    /// Files and directories of /etc that it and its libraries read.
    pub etc: &'static [&'static str],
    /// Beginnings of further names in /etc that it reads.
    pub etc_prefixes: &'static [&'static str],
    /// How a missing interpreter is installed.
    pub install: &'static str,
    /// The command that makes an environment in a directory of its own.
    pub make_environment: &'static str,
}

impl Language {
    /// The language that a file of this name is written in, by what the name ends with.
    pub fn of_file(file: &Path) -> Option<&'static Language> {
        let extension = file.extension()?.to_str()?;
        LANGUAGES.iter().copied().find(|language| language.extensions.contains(&extension))
    }

    /// What the operator can name as its interpreter: `Python 3.9 or newer`.
    pub fn wanted(&self) -> String {
        format!("{} {}.{} or newer", self.title, self.oldest.0, self.oldest.1)
    }
}

impl PartialEq for Language {
    fn eq(&self, other: &Language) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_and_absolute_paths() {
        let names: BTreeSet<&str> = LANGUAGES.iter().map(|language| language.name).collect();
        assert_eq!(names.len(), LANGUAGES.len());
        for language in LANGUAGES {
            let host = &language.host;
            assert!(host.usual_paths.iter().all(|path| path.starts_with('/')), "{language:?}");
            assert!(host.etc.iter().all(|path| !path.starts_with('/')), "{language:?}");
            assert!(language.memory_bytes > 0, "{language:?}");
        }
    }
}
