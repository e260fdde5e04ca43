//! The program as a file and as a command: what it carries, and what it says without serving.

#![allow(clippy::unwrap_used)] // a test that cannot go on panics

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cellgate::sandbox::common::embedded::DRIVER;
use serde_json::Value;

#[path = "common/require.rs"]
#[allow(dead_code)] // the rest is for tests of backends
mod require;

use require::Missing;

/// Most that the driver may weigh. It is copied into every container, and its pages count once a
/// machine; today it has 1.4 MiB.
const DRIVER_BYTES: usize = 2 << 20;

/// Numbers of elf(5).
mod elf {
    pub(super) const CLASS_64: u8 = 2;
    pub(super) const LITTLE_ENDIAN: u8 = 1;
    /// Program headers: where they begin, what each takes, how many there are.
    pub(super) const PHOFF: usize = 32;
    pub(super) const PHENTSIZE: usize = 54;
    pub(super) const PHNUM: usize = 56;
    pub(super) const PT_DYNAMIC: u32 = 2;
    pub(super) const PT_INTERP: u32 = 3;
    /// In a program header: the segment's place in the file and its size there.
    pub(super) const P_OFFSET: usize = 8;
    pub(super) const P_FILESZ: usize = 32;
    pub(super) const DT_NEEDED: u64 = 1;
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let digits = bytes[at..at + length].iter().rev();
    digits.fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// What an executable wants from the system that starts it: a loader, libraries.
fn wanted(file: &[u8]) -> (usize, usize) {
    assert_eq!(&file[..6], &[0x7f, b'E', b'L', b'F', elf::CLASS_64, elf::LITTLE_ENDIAN]);
    let table = number(file, elf::PHOFF, 8) as usize;
    let size = number(file, elf::PHENTSIZE, 2) as usize;
    let (mut loaders, mut libraries) = (0, 0);
    for header in file[table..].chunks(size).take(number(file, elf::PHNUM, 2) as usize) {
        let begin = number(header, elf::P_OFFSET, 8) as usize;
        let length = number(header, elf::P_FILESZ, 8) as usize;
        match number(header, 0, 4) as u32 {
            elf::PT_INTERP => loaders += 1,
            elf::PT_DYNAMIC => {
                let entries = file[begin..begin + length].chunks(16);
                libraries += entries.filter(|e| number(e, 0, 8) == elf::DT_NEEDED).count();
            }
            _ => {}
        }
    }
    (loaders, libraries)
}

#[test]
fn the_driver_needs_nothing_of_an_image_and_is_small() {
    // The reader of headers can tell: this test itself is linked as programs usually are.
    if cfg!(target_env = "gnu") && !cfg!(target_feature = "crt-static") {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let (loaders, libraries) = wanted(&own);
        assert!(loaders == 1 && libraries > 0, "{loaders} loaders, {libraries} libraries");
    }
    assert_eq!(wanted(DRIVER), (0, 0), "the driver wants (loaders, libraries)");
    assert!(DRIVER.len() <= DRIVER_BYTES, "the driver has {} bytes", DRIVER.len());
}

/// The program with nothing around it but these variables.
fn program(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cellgate"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(variables.iter().copied())
        .current_dir(directory)
        .output()
        .unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn completions(shell: &str) -> String {
    let output = program(Path::new("/"), &["completions", shell], &[]);
    let script = text(output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{shell}");
    script
}

/// Lets a shell read a script from its standard input.
fn fed(command: &mut Command, script: &str) -> Option<Output> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn completions_are_scripts_that_their_shells_read() {
    for shell in ["bash", "zsh", "fish"] {
        let script = completions(shell);
        for word in ["serve", "run", "doctor", "config", "backend", "pool-max"] {
            assert!(script.contains(word), "{shell} knows no {word}");
        }
        let Some(read) = fed(Command::new(shell).arg("-n"), &script) else {
            let missing = Missing::new(shell, "it is not installed");
            missing.skip("completions are scripts that their shells read").unwrap();
            continue;
        };
        assert!(read.status.success(), "{shell}: {}", String::from_utf8_lossy(&read.stderr));
    }
    let unknown = program(Path::new("/"), &["completions", "cmd"], &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(unknown.stderr).contains("bash"), "it says which there are");
}

#[test]
fn bash_completes_by_the_script() {
    let script = completions("bash");
    let asking = "\nCOMP_WORDS=(cellgate serve --pool-m); COMP_CWORD=2\n_cellgate cellgate --pool-m serve\nprintf '%s\\n' \"${COMPREPLY[@]}\"";
    let Some(answer) = fed(&mut Command::new("bash"), &(script + asking)) else {
        let missing = Missing::new("bash", "it is not installed");
        return missing.skip("bash completes by the script").unwrap();
    };
    let answer = text(answer.stdout);
    let found: Vec<_> = answer.lines().collect();
    assert_eq!(found, ["--pool-min", "--pool-max"]);
}

/// What the doctor says of this machine, as JSON; and whether it was content.
fn doctor(arguments: &[&str], variables: &[(&str, &str)]) -> (Value, bool) {
    let runtime = tempfile::tempdir().unwrap();
    let directory = runtime.path().to_str().unwrap();
    let arguments = [&["doctor", "--json", "--runtime-dir", directory], arguments].concat();
    let output = program(runtime.path(), &arguments, variables);
    let said = text(output.stdout);
    let json = serde_json::from_str(&said).unwrap_or_else(|error| {
        panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr))
    });
    (json, output.status.success())
}

#[test]
fn the_doctor_names_each_protection_and_what_to_do_about_what_lacks() {
    let (said, well) = doctor(&[], &[("DOCKER_HOST", "unix:///nowhere/docker.sock")]);
    let backends = said["backends"].as_array().unwrap();
    let names: Vec<_> = backends.iter().map(|backend| backend["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["docker", "local"]);
    assert_eq!(backends[0]["usable"], false);
    let problem = backends[0]["problem"].as_str().unwrap();
    assert!(problem.contains("/nowhere/docker.sock"), "{problem}");
    let local = &backends[1];
    let protections = local["protections"].as_array().unwrap();
    for what in ["memory", "network", "system call filter"] {
        let named = |one: &Value| one["what"].as_str().unwrap().contains(what);
        assert!(protections.iter().any(named), "nothing about {what}: {protections:#?}");
    }
    for one in protections {
        let full = one["state"] == "full";
        let remedy = one["remedy"].as_str().unwrap_or("");
        assert_eq!(remedy.is_empty(), full, "only a shortfall has a remedy: {one}");
        assert!(!one["detail"].as_str().unwrap().is_empty(), "{one}");
    }
    let found: Vec<_> = local["languages"].as_array().unwrap().iter().collect();
    if local["usable"] == true {
        let names: Vec<_> = found.iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["python", "javascript", "bash"]);
        assert!(found[0]["interpreter"].as_str().unwrap().contains("python"), "{found:?}");
    }
    for one in found {
        assert_ne!(one["interpreter"].is_null(), one["remedy"].is_null(), "{one}");
    }
    assert_eq!(well, local["usable"] == true, "its exit code tells whether it can serve");
    if well {
        assert_eq!(said["chosen"], "local");
        let reason = said["reason"].as_str().unwrap();
        assert!(reason.starts_with("docker, which comes first, is not usable: "), "{reason}");
        assert!(reason.contains("/nowhere/docker.sock"), "{reason}");
    }
}

#[test]
fn the_doctor_says_how_to_get_a_language_that_is_not_there() {
    let none = [("DOCKER_HOST", "unix:///nowhere/docker.sock")];
    let (said, _) = doctor(&["--node", "/nowhere/node"], &none);
    let local = said["backends"].as_array().unwrap().iter().find(|one| one["name"] == "local");
    for one in local.unwrap()["languages"].as_array().unwrap() {
        let remedy = one["remedy"].as_str().unwrap_or_default();
        assert_eq!(remedy.contains("/nowhere/node"), one["name"] == "javascript", "{one}");
    }
}

#[test]
fn the_doctor_says_the_same_to_people_and_fails_where_nothing_can_serve() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let variables = [("DOCKER_HOST", "unix:///nowhere/docker.sock")];
    let arguments = ["doctor", "--runtime-dir", place, "--backend", "docker"];
    let output = program(directory.path(), &arguments, &variables);
    let said = text(output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("backend docker: not usable"), "{said}");
    assert!(said.contains("cellgate could not start: "), "{said}");
    // So does the gateway itself, which names the doctor.
    let arguments = ["serve", "--runtime-dir", place, "--backend", "docker"];
    let output = program(directory.path(), &arguments, &variables);
    let said = text(output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cellgate doctor"), "{said}");
}
