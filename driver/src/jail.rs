//! The jail: makes a sandbox and becomes its first process.
//!
//! The gateway, which has many threads and may not fork, starts `cellgate-driver jail`; one
//! program start, one fork, no program left waiting outside:
//!
//! ```text
//!   gateway ─exec─► jail ─ joins cgroups, opens the host's parts, becomes the session's user
//!      │              └─clone3(CLONE_PARENT, new namespaces)─► first process, child of the gateway
//!      │ fd 0  spec          reports the pid, ends               maps ids, loopback up,
//!      │ fd 1  link ◄────────────────────────────────────────►   builds the root, moves into it,
//!      │ fd 2  report                                            drops every capability,
//!      └ watches both                                            no_new_privs, Landlock,
//!                                                                closes all but the link
//!                                                                └─► supervisor::supervise
//! ```
//! The user namespace belongs to an unprivileged user in every case: a root gateway first becomes
//! a user of its own (but keeps its capabilities until the clone, to enter a cgroup and to
//! open what only root may), so that the sandbox's user owns nothing, shares no per-user quota
//! and can signal no process outside.
//!
//! Invariants: one thread, so a fork is safe; nothing of the host is visible between the move and
//! the supervisor's start; no descriptor but the link and the cgroup directories survives
//! (CVE-2024-21626 was one that did); whatever fails is reported and ends the process.
//!
//! Needs Linux 5.12 (`mount_setattr`).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;

use cellgate_driver::spec::{Cgroup, INSIDE_ID, Report, Spec};

use crate::supervisor::{Cgroups, Link, OomScore, supervise};

mod landlock;
mod root;
mod sys;

/// Most bytes of a spec: a pipe's capacity, so that the gateway never waits writing one.
const MAX_SPEC: u64 = 64 << 10;

/// What failed, and the kernel's reason.
struct Failure {
    what: String,
    cause: io::Error,
}

/// Names the operation an error belongs to.
trait At<T> {
    fn at(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|cause| Failure { what: what(), cause })
    }
}

/// Runs the jail: fd 0 is the spec, fd 1 the link, fd 2 takes the report. Returns the exit code of
/// whichever of the two processes it returns in; the supervisor's own is the first process's.
pub(crate) fn run() -> ExitCode {
    let (link, mut report) = match (sys::inherited(1), sys::inherited(2)) {
        (Ok(link), Ok(report)) => (link, File::from(report)),
        _ => return ExitCode::from(2), // started by hand, with no descriptor to tell it on
    };
    match make(&link, &mut report) {
        Ok(Made::Outside) => ExitCode::SUCCESS,
        Ok(Made::Inside(cgroups, score)) => {
            drop(report); // its end-of-file tells the gateway that the sandbox stands
            match Link::on(&link) {
                Ok(link) => supervise(link, &cgroups, score),
                Err(_) => ExitCode::FAILURE,
            }
        }
        Ok(Made::Probed) => ExitCode::SUCCESS,
        Err(failure) => {
            let errno = failure.cause.raw_os_error().unwrap_or(0);
            let line = Report::Failed(errno, failure.what.replace('\n', " ")).line();
            // If it is not read, no one waits for it.
            let _ = report.write_all(line.as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Where [`make`] returns.
enum Made {
    /// In the process that the gateway started, which has nothing left to do.
    Outside,
    /// In the first process of the sandbox.
    Inside(Cgroups, io::Result<OomScore>),
    /// In the first process of a sandbox that only was to be tried.
    Probed,
}

fn make(link: &OwnedFd, report: &mut File) -> Result<Made, Failure> {
    let mut bytes = Vec::new();
    let input = sys::inherited(0).at(|| "take over the spec".into())?;
    File::from(input).take(MAX_SPEC).read_to_end(&mut bytes).at(|| "read the spec".into())?;
    let spec = Spec::decode(&bytes).map_err(io::Error::other).at(|| "read the spec".into())?;

    let cgroups = open_cgroups(&spec.cgroups)?;
    join_v1(&spec.cgroups, &cgroups)?;
    // Root's capabilities, which it still has, fix that nothing below goes back; without them, or
    // without such a file, it has to do without. The first process opens it anew, as its own.
    drop(OomScore::raise());
    let mut sources = None;
    if let Some(id) = spec.outer_id {
        sources = Some(root::open_sources(&spec.steps)?);
        keep_capabilities_and_become(id).at(|| format!("become user {id}"))?;
    }
    let namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS;
    let unified = spec.cgroups.iter().position(|cgroup| cgroup.unified);
    let into = unified.map(|index| cgroups[index].as_fd());
    // Asked before the clone: in the new namespace they have no names until the maps are written.
    let (uid, gid) = sys::own_ids();
    let pid = sys::clone_sibling(namespaces, into).at(|| "make new namespaces".into())?;
    if let Some(pid) = pid {
        report.write_all(Report::Pid(pid).line().as_bytes()).at(|| "report the pid".into())?;
        return Ok(Made::Outside);
    }

    sys::setsid().at(|| "start a session".into())?;
    map_ids(uid, gid)?;
    let score = OomScore::raise(); // while /proc can be written
    // After joining, so that the sandbox's cgroup is all it can see of the tree.
    sys::unshare(libc::CLONE_NEWCGROUP).at(|| "make a cgroup namespace".into())?;
    sys::sethostname(&spec.hostname).at(|| "set the host name".into())?;
    sys::loopback_up().at(|| "bring the loopback interface up".into())?;
    let sources = match sources {
        Some(sources) => sources,
        None => root::open_sources(&spec.steps)?,
    };
    root::build(&spec.steps, sources)?;
    // The keyring is filtered for the runner anyhow; a kernel without keyrings has none to leave.
    let _ = sys::new_keyring();
    give_up_privileges().at(|| "give up all privileges".into())?;
    let readable: Vec<BorrowedFd<'_>> = cgroups.iter().map(AsFd::as_fd).collect();
    let abi = landlock::restrict(&spec.access, &readable).at(|| "apply Landlock".into())?;
    drop(readable);
    settle(link, report, &cgroups, &score).at(|| "close what the sandbox must not have".into())?;
    report.write_all(Report::Landlock(abi).line().as_bytes()).at(|| "report".into())?;
    if spec.probe {
        return Ok(Made::Probed);
    }
    assign(&spec.cgroups, cgroups).map(|cgroups| Made::Inside(cgroups, score))
}

fn open_cgroups(cgroups: &[Cgroup]) -> Result<Vec<OwnedFd>, Failure> {
    let open = |cgroup: &Cgroup| {
        sys::c(&cgroup.path)
            .and_then(|path| sys::open_at(None, &path, libc::O_RDONLY | libc::O_DIRECTORY))
            .at(|| format!("open {}", cgroup.path))
    };
    cgroups.iter().map(open).collect()
}

/// Joins the cgroups of version 1. Moving one's own single thread through `tasks` needs no global
/// lock in the kernel, where `cgroup.procs` waits for a grace period: milliseconds each. Of the
/// unified hierarchy the first process becomes a member at its birth.
fn join_v1(cgroups: &[Cgroup], dirs: &[OwnedFd]) -> Result<(), Failure> {
    for (cgroup, dir) in cgroups.iter().zip(dirs).filter(|(cgroup, _)| !cgroup.unified) {
        sys::open_at(Some(dir.as_fd()), c"tasks", libc::O_WRONLY)
            .and_then(|tasks| File::from(tasks).write_all(b"0"))
            .at(|| format!("join {}", cgroup.path))?;
    }
    Ok(())
}

/// Hands each directory to the controllers it has.
fn assign(cgroups: &[Cgroup], dirs: Vec<OwnedFd>) -> Result<Cgroups, Failure> {
    let mut assigned = Cgroups::default();
    for (cgroup, dir) in cgroups.iter().zip(dirs) {
        let has = |file| sys::open_at(Some(dir.as_fd()), file, libc::O_PATH).is_ok();
        let copy = || dir.try_clone().at(|| format!("keep {} open", cgroup.path));
        if has(c"memory.stat") {
            assigned.memory = Some(copy()?);
        }
        if (cgroup.unified && has(c"cpu.stat")) || has(c"cpuacct.usage") {
            assigned.cpu = Some(copy()?);
        }
        if has(c"pids.current") {
            assigned.pids = Some(copy()?);
        }
    }
    Ok(assigned)
}

/// Becomes an unprivileged user that keeps root's capabilities for the few calls until the
/// clone: a new user namespace starts without this exception.
fn keep_capabilities_and_become(id: u32) -> io::Result<()> {
    sys::prctl(libc::PR_SET_SECUREBITS, libc::SECBIT_NO_SETUID_FIXUP as _, 0)?;
    sys::become_id(id)?;
    // The change of user made /proc/self root's; the first process has to write its maps there.
    sys::prctl(libc::PR_SET_DUMPABLE, 1, 0)
}

/// Gives the ids outside their only names inside.
fn map_ids(uid: u32, gid: u32) -> Result<(), Failure> {
    let write = |path: &str, text: String| {
        std::fs::write(path, text.as_bytes()).at(|| format!("write {text:?} to {path}"))
    };
    // Without this an unprivileged process may not map its group (user_namespaces(7)).
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("{INSIDE_ID} {uid} 1"))?;
    write("/proc/self/gid_map", format!("{INSIDE_ID} {gid} 1"))
}

/// Gives up every privilege for good: for this process, its children, and whatever they execute.
fn give_up_privileges() -> io::Result<()> {
    const HIGHEST_CAPABILITY: libc::c_ulong = 63; // the sets have 64 bits
    for capability in 0..=HIGHEST_CAPABILITY {
        match sys::prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break, // past the last
            other => other?,
        }
    }
    let clear_all = libc::PR_CAP_AMBIENT_CLEAR_ALL as _;
    sys::prctl(libc::PR_CAP_AMBIENT, clear_all, 0)?;
    let bits = libc::SECBIT_NOROOT
        | libc::SECBIT_NOROOT_LOCKED
        | libc::SECBIT_NO_SETUID_FIXUP
        | libc::SECBIT_NO_SETUID_FIXUP_LOCKED
        | libc::SECBIT_KEEP_CAPS_LOCKED
        | libc::SECBIT_NO_CAP_AMBIENT_RAISE
        | libc::SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    sys::prctl(libc::PR_SET_SECUREBITS, bits as _, 0)?;
    sys::drop_capabilities()?;
    // Not being dumpable is the supervisor's own affair, and it is the first thing it does.
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
}

/// Leaves open the link, the report, the cgroups' directories and the score, and nothing behind 0,
/// 1 and 2.
fn settle(
    link: &OwnedFd,
    report: &File,
    cgroups: &[OwnedFd],
    score: &io::Result<OomScore>,
) -> io::Result<()> {
    let mut keep = vec![link.as_raw_fd(), report.as_raw_fd()];
    keep.extend(cgroups.iter().map(AsRawFd::as_raw_fd));
    keep.extend(score.iter().map(AsRawFd::as_raw_fd));
    sys::close_all_but(&keep)?;
    let null = sys::open_at(None, c"/dev/null", libc::O_RDWR)?;
    for standard in 0..=2 {
        sys::dup_onto(null.as_fd(), standard)?;
    }
    Ok(())
}
