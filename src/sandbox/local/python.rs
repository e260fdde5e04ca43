//! Finds the interpreter a template means, and what of the host it needs to run.
//!
//! The interpreter is run once for each template, outside of a sandbox, and prints its prefix, the
//! prefix that a virtual environment was made from, and its search path. The operator chose it, so
//! it is as trusted as the gateway.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use crate::sandbox::SandboxError;
use crate::sandbox::common::homes;
use crate::template::Template;

/// The oldest Python the runner is written for.
const OLDEST: (u32, u32) = (3, 9);

/// How long an interpreter may take to answer. A cold disk needs seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Answers in JSON; works on every Python 3.
const QUESTION: &str = "\
import json, os, sys
print(json.dumps({
    'version': list(sys.version_info[:2]),
    'executable': sys.executable or '',
    'paths': [p for p in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix,
              os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix),
              os.path.dirname(os.path.dirname(os.path.realpath(sys.executable or '/usr/bin/x')))}
              | {p for p in sys.path if os.path.isdir(p)} if p],
}))";

/// Where a sandbox's system directories are; what is below them is visible anyway.
const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];

/// Directories no prefix may be: showing them would show what is not the interpreter's.
const NEVER_SHOWN: [&str; 16] = [
    "/", "/home", "/root", "/etc", "/var", "/tmp", "/work", "/proc", "/sys", "/dev", "/run",
    "/srv", "/mnt", "/media", "/boot", "/opt",
];

/// An interpreter that a sandbox can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Python {
    /// Absolute path, the same outside and inside.
    pub(super) interpreter: PathBuf,
    /// Directories outside the system's that it needs, none below another.
    pub(super) directories: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Answer {
    version: (u32, u32),
    executable: PathBuf,
    paths: Vec<PathBuf>,
}

/// Finds the interpreter of `template`.
pub(super) async fn find(template: &Template) -> Result<Python, SandboxError> {
    let wrong_in = |setting, what: String| SandboxError::Template {
        template: template.name.clone(),
        setting,
        what,
    };
    let homes = homes::of_people();
    if let Some(root) = &template.root {
        if let Some(home) = homes::shown_by(root, &homes) {
            return Err(wrong_in("root", shows_home(root, home)));
        }
        let setting = if template.python.is_some() { "python" } else { "root" };
        return in_root(root, template.python.as_deref()).map_err(|what| wrong_in(setting, what));
    }
    let wrong = |what| wrong_in("python", what);
    if let Some(python) = &template.python {
        let path = std::path::absolute(python)
            .map_err(|error| wrong(format!("{}: {error}", python.display())))?;
        let answer = ask(&path).await.map_err(&wrong)?;
        return check(answer, Some(path), &homes).map_err(wrong);
    }
    let mut refused = Vec::new();
    for candidate in candidates(std::env::var_os("PATH")) {
        let found = match ask(&candidate).await {
            Ok(answer) => check(answer, None, &homes),
            Err(why) => Err(why),
        };
        match found {
            Ok(python) => return Ok(python),
            Err(why) => refused.push(why),
        }
    }
    let tried = if refused.is_empty() { "there is none".into() } else { refused.join("; ") };
    Err(wrong(format!(
        "no python3 of version {}.{} or newer: {tried}; install one (apt install python3, dnf \
         install python3), name one with --python PATH, or use Docker, where --image NAME brings it \
         along",
        OLDEST.0, OLDEST.1
    )))
}

/// Where a `python3` may be: the system's first, for a sandbox sees those as they are.
fn candidates(path: Option<std::ffi::OsString>) -> Vec<PathBuf> {
    let mut all = vec![PathBuf::from("/usr/bin/python3"), PathBuf::from("/usr/local/bin/python3")];
    let path = path.unwrap_or_default();
    all.extend(
        std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|d| d.join("python3")),
    );
    let mut seen = BTreeSet::new();
    all.retain(|candidate| candidate.is_file() && seen.insert(candidate.clone()));
    all
}

/// An interpreter in a directory tree of its own: it cannot be asked from outside.
fn in_root(root: &Path, python: Option<&Path>) -> Result<Python, String> {
    let defaults = [Path::new("/usr/bin/python3"), Path::new("/usr/local/bin/python3")];
    let candidates = python.map_or(defaults.to_vec(), |python| vec![python]);
    for candidate in &candidates {
        let Ok(inner) = candidate.strip_prefix("/") else { continue };
        // A link in the tree may point to a path of the tree; that it is there is all we ask.
        if root.join(inner).symlink_metadata().is_ok() {
            return Ok(Python { interpreter: candidate.to_path_buf(), directories: Vec::new() });
        }
    }
    let names: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
    Err(format!(
        "the root {} has no {}; name its interpreter with --python",
        root.display(),
        names.join(" or ")
    ))
}

async fn ask(python: &Path) -> Result<Answer, String> {
    let mut command = Command::new(python);
    // Isolated: what the gateway's user has in its environment and home is not the sandbox's.
    command.args(["-I", "-c", QUESTION]).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let shown = python.display();
    let output = tokio::time::timeout(ANSWER_TIMEOUT, command.output())
        .await
        .map_err(|_| format!("{shown} does not answer within {} s", ANSWER_TIMEOUT.as_secs()))?
        .map_err(|error| format!("{shown} cannot be started: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default().to_owned();
        return Err(format!("{shown} ends with {}: {last}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|_| format!("{shown} is not a Python 3"))
}

/// Decides whether a sandbox can run what answered; `named` is the path the operator wrote.
fn check(answer: Answer, named: Option<PathBuf>, homes: &[PathBuf]) -> Result<Python, String> {
    let interpreter = match named {
        // Kept as written if a sandbox will see it there: that is how a virtual environment is
        // recognised. A link from elsewhere is followed by the interpreter itself.
        Some(path) if visible(&path, &answer.paths) => path,
        _ => answer.executable,
    };
    let shown = interpreter.display();
    if answer.version < OLDEST {
        let (major, minor) = answer.version;
        return Err(format!(
            "{shown} is Python {major}.{minor}, and {}.{} is needed",
            OLDEST.0, OLDEST.1
        ));
    }
    let mut directories: Vec<PathBuf> = Vec::new();
    let mut outside: Vec<PathBuf> =
        answer.paths.into_iter().filter(|path| path.is_absolute() && !is_system(path)).collect();
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
            return Err(format!("{shown} is of no use: {}", shows_home(&path, home)));
        }
        // Sorted, so whatever contains it came before.
        if !directories.iter().any(|known| path.starts_with(known)) {
            directories.push(path);
        }
    }
    if !visible(&interpreter, &directories) {
        return Err(format!("{shown} is outside of its own prefix, so a sandbox cannot see it"));
    }
    Ok(Python { interpreter, directories })
}

/// Why a sandbox must not see a directory that it would have to.
fn shows_home(path: &Path, home: &Path) -> String {
    let path = path.display();
    let what = match path.to_string() == home.display().to_string() {
        true => format!("{path} is a user's home directory"),
        false => format!("{path} shows a user's home directory, {}", home.display()),
    };
    format!(
        "{what}, all of which every sandbox could read; use an environment in a directory of its own, \
         which may be below a home: python3 -m venv DIR"
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

    fn answer(version: (u32, u32), executable: &str, paths: &[&str]) -> Answer {
        let paths = paths.iter().map(PathBuf::from).collect();
        Answer { version, executable: executable.into(), paths }
    }

    #[tokio::test(start_paused = true)]
    async fn an_interpreter_that_does_not_answer_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("python3");
        // Written by another process, so that starting it does not fail because this process has it open for writing.
        let write = "printf '#!/bin/sh\\nexec sleep 1000\\n' > \"$0\"; chmod +x \"$0\"";
        let written = std::process::Command::new("sh").args(["-c", write]).arg(&path).status();
        assert!(written.unwrap().success());
        let began = tokio::time::Instant::now();
        let error = ask(&path).await.err().unwrap();
        assert!(error.contains("does not answer within 20 s"), "{error}");
        assert_eq!(began.elapsed().as_secs(), ANSWER_TIMEOUT.as_secs());
    }

    #[test]
    fn the_systems_python_needs_nothing_more() {
        let python =
            check(answer((3, 11), "/usr/bin/python3", &["/usr", "/usr/lib/python3"]), None, &[]);
        let python = python.unwrap();
        assert_eq!(python.interpreter, Path::new("/usr/bin/python3"));
        assert!(python.directories.is_empty());
    }

    #[test]
    fn a_virtual_environment_brings_its_base_and_keeps_its_name() {
        let found = answer(
            (3, 12),
            "/home/me/venv/bin/python",
            &["/home/me/venv", "/opt/python/3.12", "/opt/python/3.12/lib/python3.12"],
        );
        let python =
            check(found, Some("/home/me/venv/bin/python3".into()), &["/home/me".into()]).unwrap();
        assert_eq!(python.interpreter, Path::new("/home/me/venv/bin/python3"));
        assert_eq!(python.directories, [Path::new("/home/me/venv"), Path::new("/opt/python/3.12")]);
    }

    #[test]
    fn a_shim_gives_way_to_what_it_starts() {
        let found = answer((3, 12), "/opt/py/bin/python3", &["/opt/py"]);
        let python = check(found, Some("/home/me/shims/python3".into()), &[]).unwrap();
        assert_eq!(python.interpreter, Path::new("/opt/py/bin/python3"));
    }

    #[test]
    fn what_would_show_too_much_or_is_too_old_is_refused_with_a_reason() {
        let home = check(answer((3, 12), "/home/bin/python3", &["/home"]), None, &[]).unwrap_err();
        assert!(home.contains("/home"), "{home}");
        let old = check(answer((3, 8), "/usr/bin/python3", &["/usr"]), None, &[]).unwrap_err();
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
            let found = answer((3, 12), python.to_str().unwrap(), &[prefix]);
            let error = check(found, Some(python), &homes).unwrap_err();
            assert!(error.contains(says) && error.contains("python3 -m venv"), "{error}");
        }
        // As an environment whose path file names a home.
        let found = answer((3, 12), "/opt/v/bin/python3", &["/opt/v", "/home/bob"]);
        assert!(check(found, None, &homes).unwrap_err().contains("/home/bob is"));
        let below = answer((3, 12), "/home/bob/venv/bin/python3", &["/home/bob/venv"]);
        assert!(check(below, None, &homes).is_ok());
    }

    #[tokio::test]
    async fn what_is_no_python_is_said_to_be_none() {
        let template =
            Template { python: Some("/bin/true".into()), ..crate::sandbox::local::test_template() };
        let error = find(&template).await.unwrap_err().to_string();
        assert!(error.contains("/bin/true is not a Python 3"), "{error}");
    }
}
