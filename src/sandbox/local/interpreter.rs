//! Finds the interpreter of a template on this machine, and the directories that it needs to run.
//!
//! The interpreter is run once for each template, outside of a sandbox, and prints its prefix, the
//! prefix that a virtual environment was made from, and its search path. The operator chose it, so
//! it is as trusted as the gateway.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use crate::language::{Host, KERNEL_VARIABLE, Language};
use crate::sandbox::SandboxError;
use crate::sandbox::common::homes;
use crate::template::Template;

/// How long an interpreter may take to answer. A cold disk needs seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// With what an interpreter ends that has said why it is of no use (sysexits.h).
const EX_CONFIG: i32 = 78;

/// Where a sandbox's system directories are; what is below them is visible anyway.
const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];

/// The variable with further directories of kernels of Jupyter; the gateway's own is not the sandbox's.
const JUPYTER_PATH: &str = "JUPYTER_PATH";

/// Directories no prefix may be: showing them would show what is not the interpreter's.
const NEVER_SHOWN: [&str; 16] = [
    "/", "/home", "/root", "/etc", "/var", "/tmp", "/work", "/proc", "/sys", "/dev", "/run",
    "/srv", "/mnt", "/media", "/boot", "/opt",
];

/// An interpreter that a sandbox can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interpreter {
    /// Absolute path, the same outside and inside.
    pub(super) path: PathBuf,
    /// Directories outside the system's that it needs, none below another.
    pub(super) directories: Vec<PathBuf>,
    /// Its version, such as `3.11`; empty where it was not asked.
    pub(super) version: String,
}

/// The kernel of Jupyter that a template names, and where it has kernels looked for beside the usual places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct KernelSearch {
    name: Option<String>,
    path: Option<String>,
}

impl KernelSearch {
    pub(super) fn of(template: &Template) -> KernelSearch {
        let path = template.env.iter().rfind(|(name, _)| name == JUPYTER_PATH);
        KernelSearch { name: template.kernel.clone(), path: path.map(|(_, value)| value.clone()) }
    }
}

/// What an interpreter prints about itself, see [`Host::describe`].
#[derive(Deserialize)]
struct Description {
    version: (u32, u32),
    executable: PathBuf,
    paths: Vec<PathBuf>,
}

/// Finds the interpreter of `template` for a language.
pub(super) async fn find(
    template: &Template,
    language: &'static Language,
) -> Result<Interpreter, SandboxError> {
    let wrong_in = |setting, what: String| SandboxError::Template {
        template: template.name.clone(),
        setting,
        what,
    };
    let (host, named) = (&language.host, template.interpreters.of(language));
    let kernel = KernelSearch::of(template);
    let homes = homes::of_people();
    if let Some(root) = &template.root {
        if let Some(home) = homes::shown_by(root, &homes) {
            return Err(wrong_in("root", shows_home(host, root, home)));
        }
        let setting = if named.is_some() { host.setting } else { "root" };
        return in_root(host, root, named).map_err(|what| wrong_in(setting, what));
    }
    let wrong = |what| wrong_in(host.setting, what);
    if let Some(named) = named {
        let path = std::path::absolute(named)
            .map_err(|error| wrong(format!("{}: {error}", named.display())))?;
        let description = describe(host, &path, &kernel).await.map_err(&wrong)?;
        return check(language, description, Some(path), &homes).map_err(wrong);
    }
    let mut refused = Vec::new();
    for candidate in candidates(host, std::env::var_os("PATH")) {
        let found = match describe(host, &candidate, &kernel).await {
            Ok(description) => check(language, description, None, &homes),
            Err(why) => Err(why),
        };
        match found {
            Ok(interpreter) => return Ok(interpreter),
            Err(why) => refused.push(why),
        }
    }
    let tried = if refused.is_empty() { "there is none".into() } else { refused.join("; ") };
    Err(wrong(format!(
        "no {} of version {}.{} or newer: {tried}; install one ({}), name one with --{} PATH, or use \
         Docker, where --image NAME brings it along",
        host.program, language.oldest.0, language.oldest.1, host.install, host.setting
    )))
}

/// Where the interpreter may be: the usual places first, because every sandbox sees those.
fn candidates(host: &Host, path: Option<OsString>) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = host.usual_paths.iter().map(PathBuf::from).collect();
    let path = path.unwrap_or_default();
    all.extend(
        std::env::split_paths(&path)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(host.program)),
    );
    let mut seen = BTreeSet::new();
    all.retain(|candidate| candidate.is_file() && seen.insert(candidate.clone()));
    all
}

/// The interpreter in a directory tree of its own. It is not run: outside of the tree it may not
/// start.
fn in_root(host: &Host, root: &Path, named: Option<&Path>) -> Result<Interpreter, String> {
    let usual = || host.usual_paths.iter().map(Path::new).collect();
    let candidates: Vec<&Path> = named.map_or_else(usual, |named| vec![named]);
    for candidate in &candidates {
        let Ok(inner) = candidate.strip_prefix("/") else { continue };
        // A link in the tree may point to another path of the tree, so it is not followed.
        if root.join(inner).symlink_metadata().is_ok() {
            let (path, directories) = (candidate.to_path_buf(), Vec::new());
            return Ok(Interpreter { path, directories, version: String::new() });
        }
    }
    let names: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
    Err(format!(
        "the root {} has no {}; name its interpreter with --{}",
        root.display(),
        names.join(" or "),
        host.setting
    ))
}

/// Runs an interpreter that describes itself; the bridge to a kernel of Jupyter looks for that as well.
async fn describe(
    host: &Host,
    interpreter: &Path,
    kernel: &KernelSearch,
) -> Result<Description, String> {
    let mut command = Command::new(interpreter);
    for (variable, value) in [(KERNEL_VARIABLE, &kernel.name), (JUPYTER_PATH, &kernel.path)] {
        match value {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
    }
    command.args(host.describe).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let shown = interpreter.display();
    let output = tokio::time::timeout(ANSWER_TIMEOUT, command.output())
        .await
        .map_err(|_| format!("{shown} does not answer within {} s", ANSWER_TIMEOUT.as_secs()))?
        .map_err(|error| format!("{shown} cannot be started: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default().to_owned();
        if output.status.code() == Some(EX_CONFIG) {
            return Err(format!("{shown}: {last}"));
        }
        return Err(format!("{shown} ends with {}: {last}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|_| format!("{shown} is not {}", host.kind))
}

/// Checks that a sandbox can run the described interpreter; `named` is the path that the operator
/// wrote.
fn check(
    language: &Language,
    description: Description,
    named: Option<PathBuf>,
    homes: &[PathBuf],
) -> Result<Interpreter, String> {
    let interpreter = match named {
        // Kept as written if a sandbox will see it there: that is how a virtual environment is
        // recognised. A link from elsewhere is followed by the interpreter itself.
        Some(path) if visible(&path, &description.paths) => path,
        _ => description.executable,
    };
    let shown = interpreter.display();
    if description.version < language.oldest {
        let (major, minor) = description.version;
        return Err(format!(
            "{shown} is {} {major}.{minor}, and {}.{} is needed",
            language.title, language.oldest.0, language.oldest.1
        ));
    }
    let mut directories: Vec<PathBuf> = Vec::new();
    let mut outside: Vec<PathBuf> = description
        .paths
        .into_iter()
        .filter(|path| path.is_absolute() && !is_system(path))
        .collect();
    // A Nix or Guix package needs its neighbours: the store is one unit, and readable by all.
    for path in &mut outside {
        for store in ["/nix/store", "/gnu/store"] {
            if path.starts_with(store) {
                *path = PathBuf::from(store);
            }
        }
    }
    outside.sort();
    for path in outside {
        if NEVER_SHOWN.iter().any(|directory| path == Path::new(directory)) {
            return Err(format!(
                "{shown} has {} on its path, which a sandbox must not see as a whole; use a virtual \
                 environment in a directory of its own",
                path.display()
            ));
        }
        if let Some(home) = homes::shown_by(&path, homes) {
            return Err(format!(
                "{shown} is of no use: {}",
                shows_home(&language.host, &path, home)
            ));
        }
        // Sorted, so whatever contains it came before.
        if !directories.iter().any(|known| path.starts_with(known)) {
            directories.push(path);
        }
    }
    if !visible(&interpreter, &directories) {
        return Err(format!("{shown} is outside of its own prefix, so a sandbox cannot see it"));
    }
    let (major, minor) = description.version;
    Ok(Interpreter { path: interpreter, directories, version: format!("{major}.{minor}") })
}

/// Says why a sandbox must not see `path`, and what to do.
fn shows_home(host: &Host, path: &Path, home: &Path) -> String {
    let path = path.display();
    let what = match path.to_string() == home.display().to_string() {
        true => format!("{path} is a user's home directory"),
        false => format!("{path} shows a user's home directory, {}", home.display()),
    };
    format!(
        "{what}, all of which every sandbox could read; use an environment in a directory of its own, \
         which may be below a home: {}",
        host.make_environment
    )
}

fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|directory| path.starts_with(directory))
}

fn visible(path: &Path, directories: &[PathBuf]) -> bool {
    is_system(path) || directories.iter().any(|directory| path.starts_with(directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{DEFAULT, Interpreters};

    fn description(version: (u32, u32), executable: &str, paths: &[&str]) -> Description {
        let paths = paths.iter().map(PathBuf::from).collect();
        Description { version, executable: executable.into(), paths }
    }

    #[tokio::test(start_paused = true)]
    async fn an_interpreter_that_does_not_answer_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("python3");
        // Written by another process, so that starting it does not fail because this process has it
        // open for writing.
        let write = "printf '#!/bin/sh\\nexec sleep 1000\\n' > \"$0\"; chmod +x \"$0\"";
        let written = std::process::Command::new("sh").args(["-c", write]).arg(&path).status();
        assert!(written.unwrap().success());
        let began = tokio::time::Instant::now();
        let error = describe(&DEFAULT.host, &path, &KernelSearch::default()).await.err().unwrap();
        assert!(error.contains("does not answer within 20 s"), "{error}");
        assert_eq!(began.elapsed().as_secs(), ANSWER_TIMEOUT.as_secs());
    }

    #[test]
    fn the_systems_python_needs_nothing_more() {
        let python = check(
            DEFAULT,
            description((3, 11), "/usr/bin/python3", &["/usr", "/usr/lib/python3"]),
            None,
            &[],
        );
        let python = python.unwrap();
        assert_eq!(python.path, Path::new("/usr/bin/python3"));
        assert!(python.directories.is_empty());
    }

    #[test]
    fn a_virtual_environment_brings_its_base_and_keeps_its_name() {
        let found = description(
            (3, 12),
            "/home/me/venv/bin/python",
            &["/home/me/venv", "/opt/python/3.12", "/opt/python/3.12/lib/python3.12"],
        );
        let python =
            check(DEFAULT, found, Some("/home/me/venv/bin/python3".into()), &["/home/me".into()])
                .unwrap();
        assert_eq!(python.path, Path::new("/home/me/venv/bin/python3"));
        assert_eq!(python.directories, [Path::new("/home/me/venv"), Path::new("/opt/python/3.12")]);
    }

    #[test]
    fn a_shim_gives_way_to_what_it_starts() {
        let found = description((3, 12), "/opt/py/bin/python3", &["/opt/py"]);
        let python = check(DEFAULT, found, Some("/home/me/shims/python3".into()), &[]).unwrap();
        assert_eq!(python.path, Path::new("/opt/py/bin/python3"));
    }

    #[test]
    fn what_would_show_too_much_or_is_too_old_is_refused_with_a_reason() {
        let home = check(DEFAULT, description((3, 12), "/home/bin/python3", &["/home"]), None, &[])
            .unwrap_err();
        assert!(home.contains("/home"), "{home}");
        let old = check(DEFAULT, description((3, 8), "/usr/bin/python3", &["/usr"]), None, &[])
            .unwrap_err();
        assert!(old.contains("3.8") && old.contains("3.9"), "{old}");
    }

    #[test]
    fn a_prefix_that_is_or_contains_a_home_is_refused_with_a_way_out() {
        let homes = ["/srv/people/ada".into(), "/home/bob".into()];
        for (prefix, says) in [
            ("/home/bob", "/home/bob is a user's home directory"),
            ("/srv/people/ada", "/srv/people/ada is a user's home directory"),
            ("/srv/people", "/srv/people shows a user's home directory, /srv/people/ada"),
        ] {
            let python = PathBuf::from(prefix).join("bin/python3");
            let found = description((3, 12), python.to_str().unwrap(), &[prefix]);
            let error = check(DEFAULT, found, Some(python), &homes).unwrap_err();
            assert!(error.contains(says) && error.contains("python3 -m venv"), "{error}");
        }
        // As an environment whose path file names a home.
        let found = description((3, 12), "/opt/v/bin/python3", &["/opt/v", "/home/bob"]);
        assert!(check(DEFAULT, found, None, &homes).unwrap_err().contains("/home/bob is"));
        let below = description((3, 12), "/home/bob/venv/bin/python3", &["/home/bob/venv"]);
        assert!(check(DEFAULT, below, None, &homes).is_ok());
    }

    #[tokio::test]
    async fn what_is_no_python_is_said_to_be_none() {
        let template = Template {
            interpreters: Interpreters {
                python: Some("/bin/true".into()),
                ..Interpreters::default()
            },
            ..crate::sandbox::local::test_template()
        };
        let error = find(&template, DEFAULT).await.unwrap_err().to_string();
        assert!(error.contains("/bin/true is not a Python 3"), "{error}");
    }
}
