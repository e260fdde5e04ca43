//! What settings depend on in the process: its variables, working directory and user.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::codec::Raw;
use super::error::{Problem, Source};
use super::settings::{self, PREFIX, Setting};
use super::suggest;

/// Names the file of settings, as `--config` does.
pub(super) const CONFIG_VARIABLE: &str = "CELLGATE_CONFIG";

/// Variables, directories and user of a process, as data. Not `Debug`: variables hold secrets.
#[derive(Clone)]
pub struct Environment {
    /// Names and values of all variables.
    pub variables: Vec<(OsString, OsString)>,
    /// Working directory, where relative paths of flags and variables start.
    pub directory: PathBuf,
    /// Directory of the machine's settings: `/etc`.
    pub etc: PathBuf,
    /// Effective user id.
    pub user: u32,
}

impl Environment {
    /// Those of this process. Fails if the working directory is gone.
    pub fn of_this_process() -> std::io::Result<Environment> {
        Ok(Environment {
            variables: std::env::vars_os().collect(),
            directory: std::env::current_dir()?,
            etc: PathBuf::from("/etc"),
            user: rustix::process::geteuid().as_raw(),
        })
    }

    /// Surroundings without anything: what documentation speaks of.
    pub(super) fn bare() -> Environment {
        Environment {
            variables: Vec::new(),
            directory: PathBuf::from("/"),
            etc: PathBuf::from("/etc"),
            user: 0,
        }
    }

    /// A variable that is there and not empty.
    fn variable(&self, name: &str) -> Option<&OsStr> {
        let found = self.variables.iter().find(|(candidate, _)| candidate == name);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// An absolute path in a variable; the XDG specification has relative ones ignored.
    fn directory_in(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// Where the gateway keeps its sockets unless told otherwise.
    pub(super) fn runtime_dir(&self) -> PathBuf {
        match self.directory_in("XDG_RUNTIME_DIR") {
            Some(directory) => directory.join("cellgate"),
            None if self.user == 0 => PathBuf::from("/run/cellgate"),
            None => PathBuf::from(format!("/tmp/cellgate-{}", self.user)),
        }
    }

    /// The file of settings that the environment names.
    pub(super) fn named_file(&self) -> Option<PathBuf> {
        self.variable(CONFIG_VARIABLE).map(PathBuf::from)
    }

    /// Where a file of settings is looked for if none is named; the first that exists counts.
    pub(super) fn usual_files(&self) -> Vec<PathBuf> {
        let home = self.directory_in("XDG_CONFIG_HOME");
        let home = home.or_else(|| Some(self.directory_in("HOME")?.join(".config")));
        let mut files = vec![PathBuf::from("cellgate.toml")];
        files.extend(home.map(|home| home.join("cellgate/cellgate.toml")));
        files.push(self.etc.join("cellgate/cellgate.toml"));
        files
    }

    /// A path from a flag or a variable.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    /// The settings among the variables, and what is wrong with those that begin as ours do.
    pub(super) fn settings(&self) -> (Vec<(&'static Setting, Raw, Source)>, Vec<Problem>) {
        let mut found = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in &self.variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            let source = Source::Environment(name.to_owned());
            let mut wrong = |message: String| {
                problems.push(Problem { source: source.clone(), key: None, message });
            };
            let setting = settings::all().find(|s| s.variable().as_deref() == Some(name));
            match (setting, value.to_str()) {
                (None, _) if is_for_others(name, value) => {}
                (None, _) if name == CONFIG_VARIABLE && !value.is_empty() => {}
                (Some(_), Some("")) => {
                    wrong("is set but empty: give it a value or unset it".into())
                }
                (None, _) if name == CONFIG_VARIABLE => {
                    wrong("is set but empty: name a file or unset it".into());
                }
                (Some(_), None) => wrong("is not valid UTF-8".into()),
                (Some(setting), Some(text)) => {
                    found.push((setting, Raw::Text(text.to_owned()), source));
                }
                (None, _) => {
                    let own = &name[PREFIX.len()..]; // all are alike in the prefix
                    let known = settings::all().filter_map(Setting::variable);
                    let known = known.chain([CONFIG_VARIABLE.to_owned()]);
                    let known = known.map(|variable| variable[PREFIX.len()..].to_owned());
                    let hint = suggest::nearest(own, known, PREFIX);
                    wrong(format!("is no variable of cellgate; {hint}"));
                }
            }
        }
        // The order of an environment is an accident.
        found.sort_by_key(|(setting, ..)| setting.key);
        problems.sort_by_key(Problem::to_string);
        (found, problems)
    }
}

/// Whether a variable with our prefix is for another program: our tests and build, or the
/// links that Docker and Kubernetes make for a service that happens to be called `cellgate…`.
fn is_for_others(name: &str, value: &OsStr) -> bool {
    let own = name == "CELLGATE_REQUIRE"
        || ["CELLGATE_TEST_", "CELLGATE_DRIVER_"].iter().any(|prefix| name.starts_with(prefix));
    let port = |rest: &str| {
        // `…_PORT_8080_TCP` and what follows it.
        let (number, rest) = rest.split_once('_').unwrap_or((rest, ""));
        number.parse::<u16>().is_ok() && ["TCP", "UDP", "SCTP"].iter().any(|p| rest.starts_with(p))
    };
    let link = name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| port(rest))
        || (name.ends_with("_PORT") && value.to_string_lossy().contains("://"));
    own || link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_is_mistaken_for_a_link_between_services() {
        for setting in settings::all() {
            let Some(variable) = setting.variable() else { continue };
            assert!(!is_for_others(&variable, OsStr::new("unix:///x")), "{variable}");
        }
        for (name, value) in [
            ("CELLGATE_SERVICE_HOST", "10.0.0.1"),
            ("CELLGATE_SERVICE_PORT", "80"),
            ("CELLGATE_WEB_SERVICE_PORT_HTTP", "80"),
            ("CELLGATE_PORT", "tcp://10.0.0.1:80"),
            ("CELLGATE_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("CELLGATE_PORT_80_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_for_others(name, OsStr::new(value)), "{name}");
        }
        assert!(!is_for_others("CELLGATE_PORT", OsStr::new("8080")));
        assert!(!is_for_others("CELLGATE_PORT_RANGE", OsStr::new("1-2")));
    }

    #[test]
    fn the_runtime_directory_follows_the_user() {
        let mut environment = Environment::bare();
        assert_eq!(environment.runtime_dir(), Path::new("/run/cellgate"));
        environment.user = 1000;
        assert_eq!(environment.runtime_dir(), Path::new("/tmp/cellgate-1000"));
        environment.variables = vec![("XDG_RUNTIME_DIR".into(), "relative".into())];
        assert_eq!(environment.runtime_dir(), Path::new("/tmp/cellgate-1000"));
        environment.variables = vec![("XDG_RUNTIME_DIR".into(), "/run/user/1000".into())];
        assert_eq!(environment.runtime_dir(), Path::new("/run/user/1000/cellgate"));
    }
}
