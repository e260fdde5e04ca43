//! The jail as a program of its own: what it reports, and where its first process stands.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cellgate_driver::spec::{Access, Cgroup, Report, Spec, Step};

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
