//! The janitor: removes what a gateway leaves behind when it dies without warning.
//!
//! One per gateway, started with it, in a session of its own so that no terminal signal meant for
//! the gateway reaches it. It sleeps until its socket reports end-of-file, which the kernel sends
//! however the gateway ended (`kill -9` included), and then ends whatever is still there:
//!
//! ```text
//!   fd 0   socket from the gateway: each byte brings the pidfd of a new sandbox
//!   fd 1   the gateway's record, locked by both: who cannot lock it knows it is being cared for
//!   argv   janitor RECORD
//!   record lines `cgroup PATH`: a directory whose children are the gateway's sandboxes
//! ```
//! Sandboxes end by themselves when their link closes. The janitor does not rely on it: it kills
//! by pidfd and by cgroup, so a supervisor that is stopped or stuck ends too, and only then are
//! the cgroups empty and can be removed. With a socket that is closed from the beginning it sweeps
//! after a gateway that died together with its janitor.
#![allow(unsafe_code)] // poll, recvmsg and signals to pidfds have no safe form in `libc`

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long emptying and removing may take. The kernel needs milliseconds; a process in an
/// uninterruptible wait (a dead network file system) may need for ever, and then what is left
/// stays recorded for the next gateway's sweep.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at a cgroup that is not empty yet, in milliseconds.
const PAUSE_MS: libc::c_int = 5;

/// Runs the janitor until its work is done; 0 if nothing is left.
pub(crate) fn run() -> i32 {
    let Some(record) = std::env::args_os().nth(2).map(PathBuf::from) else {
        return 2;
    };
    outlive_the_gateway();
    let sandboxes = watch();
    for sandbox in &sandboxes {
        kill(sandbox);
    }
    // Through the open file: its name may have been removed.
    let Ok(text) = fs::read_to_string("/proc/self/fd/1") else {
        return 1;
    };
    let deadline = Instant::now() + PATIENCE;
    let mut clean = true;
    for path in text.lines().filter_map(|line| line.strip_prefix("cgroup ")).map(Path::new) {
        clean &= is_an_instance(path) && remove(path, deadline).is_ok();
    }
    // With something left the record stays, for the next gateway's sweep.
    if clean {
        let _ = fs::remove_file(&record); // an error means that it has no name any more
    }
    i32::from(!clean)
}

/// Whether a directory can be one that a gateway made: a damaged record kills no other process.
fn is_an_instance(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    path.is_absolute() && name.starts_with("cellgate-")
}

/// Leaves the gateway's session and ignores what ends its process group or service: the
/// end-of-file will come, and no other process does this work.
fn outlive_the_gateway() {
    // SAFETY: takes nothing; fails only for a group's leader, which is alone already.
    unsafe { libc::setsid() };
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE] {
        // SAFETY: SIG_IGN is a disposition, not a handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // A gateway with many sandboxes has as many pidfds here.
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is ours to fill.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: reads `limit`.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    }
}

/// Collects pidfds until the gateway is gone; answers those of sandboxes that still live.
fn watch() -> Vec<OwnedFd> {
    let mut sandboxes: Vec<OwnedFd> = Vec::new();
    loop {
        let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut polled = vec![entry(0)];
        polled.extend(sandboxes.iter().map(|pidfd| entry(pidfd.as_raw_fd())));
        // SAFETY: the pointer is good for that many entries.
        let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, -1) };
        if ready < 0 {
            if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return sandboxes;
        }
        // A pidfd becomes readable when its process has ended.
        let mut ended = polled[1..].iter().map(|entry| entry.revents != 0);
        sandboxes.retain(|_| !ended.next().unwrap_or(false));
        if polled[0].revents != 0 {
            match receive() {
                Received::Pidfd(pidfd) => sandboxes.push(pidfd),
                Received::Nothing => {}
                Received::End => return sandboxes,
            }
        }
    }
}

/// What one read of the socket brought.
enum Received {
    Pidfd(OwnedFd),
    Nothing,
    End,
}

/// Reads one byte and the descriptor that comes with it.
fn receive() -> Received {
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut control = [0u64; 8]; // room for one descriptor, aligned for a cmsghdr
    // SAFETY: zero is a value of every field.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: every pointer in `message` is good for the length beside it.
    let count = unsafe { libc::recvmsg(0, &mut message, libc::MSG_CMSG_CLOEXEC) };
    match count {
        0 => return Received::End,
        1 => {}
        _ => {
            let interrupted = io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
            return if interrupted { Received::Nothing } else { Received::End };
        }
    }
    // SAFETY: `message` was filled by recvmsg.
    let header = unsafe { libc::CMSG_FIRSTHDR(&message) };
    // SAFETY: the kernel wrote a whole header, or the pointer is null.
    let Some(first) = (unsafe { header.as_ref() }) else {
        return Received::Nothing;
    };
    if first.cmsg_level != libc::SOL_SOCKET || first.cmsg_type != libc::SCM_RIGHTS {
        return Received::Nothing;
    }
    // SAFETY: SCM_RIGHTS carries at least one descriptor, unaligned.
    let fd = unsafe { libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned() };
    // SAFETY: the kernel has just put this descriptor into our table.
    Received::Pidfd(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Kills a sandbox's first process and with it, the kernel sees to that, all others.
fn kill(pidfd: &OwnedFd) {
    let (fd, none) = (pidfd.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // An error means that it is gone already.
    // SAFETY: takes integers and a null pointer that stands for "as kill(2) would".
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, none, 0) };
}

/// Kills everything in a cgroup and below, and removes it.
fn remove(cgroup: &Path, deadline: Instant) -> io::Result<()> {
    loop {
        match try_remove(cgroup) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => pause(),
        }
    }
}

/// Waits for what has no event: the kernel does not tell when a cgroup of version 1 becomes empty.
fn pause() {
    // SAFETY: no entries, so the pointer is never read.
    unsafe { libc::poll(std::ptr::null_mut(), 0, PAUSE_MS) };
}

fn try_remove(cgroup: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            match try_remove(&entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    if fs::write(cgroup.join("cgroup.kill"), "1").is_err() {
        // Version 1, or a kernel before 5.14: one by one, again and again until none is left.
        let processes = fs::read_to_string(cgroup.join("cgroup.procs"))?;
        for pid in processes.lines().filter_map(|line| line.parse::<i32>().ok()) {
            // A 0 stands for a process this pid namespace cannot name; -1 and 1 never stand here.
            if pid > 1 {
                // SAFETY: takes integers. The pid was in our own cgroup a moment ago, and pids
                // are given anew only after all others.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
    }
    fs::remove_dir(cgroup)
}
