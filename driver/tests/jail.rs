//! The jail as a program of its own: what it reports, and where its first process stands.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cellgate_driver::spec::{Access, Cgroup, Report, Spec, Step};
use cellgate_driver::wire::{
    self, Exited, HEADER_BYTES, Header, Process, Setup, TerminalSize, kind,
};

/// Longest wait for the supervisor's first bytes; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// As little as a sandbox can be: /proc, scratch, one device.
fn spec() -> Spec {
    Spec {
        hostname: "sandbox".into(),
        steps: vec![
            Step::Dir("sys".into()),
            Step::Scratch { bytes: 1 << 20, inodes: 16, targets: vec!["work".into()] },
            Step::Proc("proc".into()),
            Step::Bind {
                source: "/dev/null".into(),
                target: "dev/null".into(),
                devices: true,
                optional: false,
            },
        ],
        access: vec![
            Access { path: "/".into(), write: false },
            Access { path: "/dev/null".into(), write: true },
        ],
        ..Spec::default()
    }
}

/// Runs the jail to the end of its report. The near end of the link keeps the sandbox alive.
/// Two processes report, the jail and the sandbox's first, in whichever order: the pid comes first.
fn jail(spec: &Spec) -> (Vec<Report>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a socket pair");
    near.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut child = Command::new(env!("CARGO_BIN_EXE_cellgate-driver"))
        .arg("jail")
        .stdin(Stdio::piped())
        .stdout(Stdio::from(OwnedFd::from(far)))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the driver starts");
    let mut input = child.stdin.take().expect("it is piped");
    // A jail that refuses what it reads may be gone before it has read all.
    let _ = input.write_all(&spec.encode());
    drop(input);
    let report = BufReader::new(child.stderr.take().expect("it is piped"));
    let lines = report.lines().map(|line| line.expect("the report is text"));
    let mut reports: Vec<_> =
        lines.map(|line| Report::parse(&line).unwrap_or_else(|| panic!("{line}"))).collect();
    reports.sort_by_key(|report| !matches!(report, Report::Pid(_)));
    child.wait().expect("the jail ends");
    (reports, near)
}

/// Whether namespaces can be had here at all; prints why not.
fn possible(reports: &[Report]) -> bool {
    match reports {
        [Report::Failed(errno, what), ..] if what.contains("namespaces") => {
            let required = std::env::var("CELLGATE_REQUIRE").is_ok_and(|value| value == "all");
            assert!(!required, "required, but errno {errno}: {what}");
            eprintln!("skipped: errno {errno}: {what}");
            false
        }
        _ => true,
    }
}

#[test]
fn a_probe_reports_a_pid_and_landlock_and_ends() {
    let (reports, mut link) = jail(&Spec { probe: true, ..spec() });
    if !possible(&reports) {
        return;
    }
    let [Report::Pid(pid), Report::Landlock(_)] = reports[..] else { panic!("{reports:?}") };
    assert!(pid > 1);
    let mut rest = Vec::new();
    assert_eq!(link.read_to_end(&mut rest).expect("the link ends"), 0, "nobody speaks on it");
}

#[test]
fn a_step_that_fails_is_named_with_its_errno() {
    let mut broken = spec();
    broken.steps.push(Step::Bind {
        source: "/nowhere/at/all".into(),
        target: "x".into(),
        devices: false,
        optional: false,
    });
    let (reports, _link) = jail(&broken);
    if !possible(&reports) {
        return;
    }
    let Some(Report::Failed(errno, what)) = reports.last() else { panic!("{reports:?}") };
    assert_eq!(*errno, libc::ENOENT);
    assert!(what.contains("/nowhere/at/all"), "{what}");
}

#[test]
fn landlock_denies_what_no_rule_allows() {
    let mut strict = Spec { probe: true, ..spec() };
    strict.access.retain(|access| !access.write);
    let (reports, _link) = jail(&strict);
    if !possible(&reports) {
        return;
    }
    match reports.last() {
        // The jail's own last act is to open /dev/null for writing; the mount would let it.
        Some(Report::Failed(errno, _)) => assert_eq!(*errno, libc::EACCES),
        Some(Report::Landlock(0)) => eprintln!("skipped: this kernel has no Landlock"),
        other => panic!("{other:?}"),
    }
}

/// The unified hierarchy's mount, if we may make cgroups in it.
fn unified() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut cgroup2 = mounts.lines().filter(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let dir = Path::new(cgroup2.next()?.split(' ').nth(1)?);
    let dir = dir.join(format!("cellgate-driver-test-{}", std::process::id()));
    fs::create_dir(&dir).is_ok().then_some(dir)
}

#[test]
fn the_first_process_is_born_into_a_unified_cgroup() {
    let Some(dir) = unified() else {
        eprintln!("skipped: no unified hierarchy in which we may make cgroups");
        return;
    };
    let path = dir.to_string_lossy().into_owned();
    let cgroups = vec![Cgroup { path, unified: true }];
    // As a root gateway does: another user, that may not write there itself.
    let (reports, mut link) = jail(&Spec { cgroups, outer_id: Some(1_900_000_000), ..spec() });
    let mut hello = [0; 12];
    let result = link.read_exact(&mut hello);
    let members = fs::read_to_string(dir.join("cgroup.procs"));
    drop(link);
    let Some(Report::Pid(pid)) = reports.first() else { panic!("{reports:?}") };
    // It is our child, and gone once it is reaped.
    let mut status = 0;
    // SAFETY: the pointer is to a local.
    #[allow(unsafe_code)] // the standard library waits only for what it started
    let reaped = unsafe { libc::waitpid(*pid, &mut status, 0) };
    fs::remove_dir(&dir).expect("the cgroup is empty");
    result.expect("the supervisor says hello");
    assert_eq!(members.expect("a cgroup lists its members").trim(), pid.to_string());
    assert_eq!(reaped, *pid);
}

/// A sandbox with the host's programs and terminals of its own.
fn with_terminals() -> Spec {
    let mut spec = spec();
    for name in ["usr", "bin", "lib", "lib64"] {
        let host = Path::new("/").join(name);
        spec.steps.push(match fs::read_link(&host) {
            Ok(to) => Step::Symlink(name.into(), to.to_string_lossy().into_owned()),
            Err(_) => Step::Bind {
                source: host.to_string_lossy().into_owned(),
                target: name.into(),
                devices: false,
                optional: true,
            },
        });
    }
    spec.steps.push(Step::Bind {
        source: "/dev/tty".into(),
        target: "dev/tty".into(),
        devices: true,
        optional: false,
    });
    spec.steps.push(Step::Terminals("dev/pts".into()));
    spec.steps.push(Step::Symlink("dev/ptmx".into(), "pts/ptmx".into()));
    for path in ["/dev/tty", "/dev/pts", "/work"] {
        spec.access.push(Access { path: path.into(), write: true });
    }
    spec
}

fn send(link: &mut UnixStream, program: u16, kind: u8, payload: &[u8]) {
    let mut frames = Vec::new();
    wire::append_message_of(&mut frames, program, kind, 0, 0, payload);
    link.write_all(&frames).expect("the supervisor reads");
}

fn receive(link: &mut UnixStream) -> (Header, Vec<u8>) {
    let mut head = [0; HEADER_BYTES];
    link.read_exact(&mut head).expect("the supervisor says something");
    let header = Header::decode(&head).expect("a header");
    let mut payload = vec![0; header.length as usize];
    link.read_exact(&mut payload).expect("its payload");
    (header, payload)
}

#[test]
fn a_sandbox_has_terminals_of_its_own() {
    // SAFETY: takes nothing and cannot fail.
    #[allow(unsafe_code)] // the standard library does not tell it
    let is_root = unsafe { libc::geteuid() } == 0;
    // As root the gateway gives each session another user, else all have its own.
    let users = if is_root { vec![None, Some(1_900_000_000)] } else { vec![None] };
    for outer_id in users {
        let (reports, mut link) = jail(&Spec { outer_id, ..with_terminals() });
        if !possible(&reports) {
            return;
        }
        let env = vec![b"PATH=/usr/bin:/bin".to_vec()];
        let setup = Setup { workdir: "/work".into(), env, ..Setup::default() };
        send(&mut link, 0, kind::SETUP, &setup.encode());
        let script =
            "tty; stty size; echo told >/dev/tty; exec 3<>/dev/ptmx && ls /dev/pts; exit 3";
        let argv = ["sh", "-c", script].map(|text| text.as_bytes().to_vec()).to_vec();
        let terminal = Some(TerminalSize { columns: 90, rows: 30 });
        let process = Some(Process { argv, stdin: true, terminal });
        send(&mut link, 1, kind::OPEN, &Setup { process, ..setup }.encode());
        let mut text = Vec::new();
        let exited = loop {
            match receive(&mut link) {
                (Header { kind: kind::OUTPUT, program: 1, .. }, bytes) => text.extend(bytes),
                (Header { kind: kind::EXITED, program: 1, .. }, payload) => break payload,
                _ => {} // that there is no interpreter
            }
        };
        let exited = Exited::decode(&exited).expect("an EXITED");
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        assert_eq!((exited.status, exited.detail.as_str()), (3, ""), "{text}");
        // Nothing of the machine's terminals is there.
        let names = text.strip_prefix("/dev/pts/0\n30 90\ntold\n");
        let mut names: Vec<&str> =
            names.unwrap_or_else(|| panic!("{text}")).split_whitespace().collect();
        names.sort_unstable();
        assert_eq!(names, ["0", "1", "ptmx"]);
    }
}
