//! The system calls of the supervisor, one a function: the only place of it with unsafe code.
//!
//! Everything here is a thin skin: descriptors are owned or borrowed types, failures are
//! `io::Error`, and nothing is decided. Starting a program, which happens on the far side of a
//! fork, is in [`launch`].

// Unsafe: the standard library has no safe form of these calls, and a crate that has would cost
// more than it saves in a program that is resident once per session.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::ptr;
use std::time::{Duration, Instant};

use libc::c_int;

pub(crate) mod files;
pub(crate) mod inotify;
pub(crate) mod launch;
pub(crate) mod privileges;
pub(crate) mod terminal;

/// Lowest number for descriptors the supervisor keeps: the runner's are 0 to 6.
pub(crate) const FIRST_OWN_FD: c_int = 24;

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: isize) -> io::Result<usize> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}

/// Waits until a descriptor is ready or the time is over. A signal ends the wait with 0 ready.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    let limit = timeout.map(|time| libc::timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: time.subsec_nanos() as libc::c_long,
    });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the slice is valid for its length, `limit` is null or points to a live timespec.
    let result =
        unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, limit, ptr::null()) };
    match check(result) {
        Ok(ready) => Ok(ready as usize),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            fds.iter_mut().for_each(|fd| fd.revents = 0);
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

/// Looks for what is ready without sleeping, and lets others have the processor between two looks;
/// 0 if nothing is by `until`.
pub(crate) fn poll_until(fds: &mut [libc::pollfd], until: Instant) -> io::Result<usize> {
    while Instant::now() < until {
        match poll(fds, Some(Duration::ZERO)) {
            Ok(0) => std::thread::yield_now(),
            found => return found,
        }
    }
    Ok(0)
}

/// Reads once, again after a signal.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the buffer is valid for its length.
        let result =
            unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        match check_size(result) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Writes once, again after a signal.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the buffer is valid for its length.
        let result = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
        match check_size(result) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn own_pair(pair: [RawFd; 2]) -> (OwnedFd, OwnedFd) {
    // SAFETY: the kernel has just made both, and no other code knows them.
    unsafe { (OwnedFd::from_raw_fd(pair[0]), OwnedFd::from_raw_fd(pair[1])) }
}

/// A pipe: the read end, which never blocks, and the write end, which does.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut pair = [-1; 2];
    // SAFETY: `pair` has room for two descriptors.
    check(unsafe { libc::pipe2(pair.as_mut_ptr(), libc::O_CLOEXEC) })?;
    let (read, write) = own_pair(pair);
    // SAFETY: no pointers; the read end has no other flag that could be lost.
    check(unsafe { libc::fcntl(read.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok((read, write))
}

/// A pipe for the input of a process: the read end, which blocks, and the write end, which never does.
pub(crate) fn input_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut pair = [-1; 2];
    // SAFETY: `pair` has room for two descriptors.
    check(unsafe { libc::pipe2(pair.as_mut_ptr(), libc::O_CLOEXEC) })?;
    let (read, write) = own_pair(pair);
    set_nonblocking(write.as_fd())?;
    Ok((read, write))
}

/// Two connected stream sockets; the first never blocks, the second does.
pub(crate) fn socketpair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut pair = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: `pair` has room for two descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) })?;
    let (ours, theirs) = own_pair(pair);
    set_nonblocking(ours.as_fd())?;
    Ok((ours, theirs))
}

/// Makes reads and writes answer at once instead of waiting.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// A duplicate, closed on exec, at [`FIRST_OWN_FD`] or above.
pub(crate) fn duplicate_high(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let copy = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST_OWN_FD) })?;
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Takes a descriptor whose number was handed over by the parent of this process.
pub(crate) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; F_GETFD merely asks whether the number is open.
    check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: it is open, and its number was given to us to own.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Fills every closed number below [`FIRST_OWN_FD`] with a duplicate of `filler`, so that no
/// descriptor made later stands where the runner's will be placed. They close on exec and stay
/// open for the life of the process.
pub(crate) fn occupy_low_fds(filler: OwnedFd) -> io::Result<()> {
    // It may itself stand on a low number, which has to be occupied for good.
    let high = duplicate_high(filler.as_fd())?;
    drop(filler);
    for number in 0..FIRST_OWN_FD {
        // SAFETY: no pointers.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            replace(high.as_fd(), number)?;
        }
    }
    Ok(())
}

/// Lets descriptor `number` stand for the same open file as `fd`; closed on exec.
pub(crate) fn replace(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    if fd.as_raw_fd() == number {
        return Ok(());
    }
    // SAFETY: no pointers; what stood at `number` is closed on purpose.
    check(unsafe { libc::dup3(fd.as_raw_fd(), number, libc::O_CLOEXEC) })?;
    Ok(())
}

/// Lets descriptor `number` stand for the same open file as `fd`, in programs that are executed too.
pub(crate) fn inheritable(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: no pointers; what stood at `number` is closed on purpose.
    check(unsafe { libc::dup2(fd.as_raw_fd(), number) })?;
    Ok(())
}

/// Ends this process as a signal would that it does not handle.
pub(crate) fn end_by_signal(signal: c_int) -> ! {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set before it is used; the calls take numbers else.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut());
        libc::raise(signal);
        libc::_exit(128 + signal)
    }
}

/// Sends two pieces as one, with two descriptors. What it sends is at least the first piece, as
/// long as that is short; the descriptors arrive with its first byte.
pub(crate) fn send_with_fds(
    socket: BorrowedFd<'_>,
    pieces: [&[u8]; 2],
    fds: [BorrowedFd<'_>; 2],
) -> io::Result<usize> {
    const ROOM: usize = 64; // CMSG_SPACE of two descriptors is 24
    #[repr(align(8))]
    struct Control([u8; ROOM]);
    let mut control = Control([0; ROOM]);
    let payload = size_of::<[RawFd; 2]>() as libc::c_uint;
    let mut parts = pieces.map(|piece| libc::iovec {
        iov_base: piece.as_ptr().cast_mut().cast(),
        iov_len: piece.len(),
    });
    // SAFETY: all zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = parts.len() as _;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: computes a size.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(payload) } as _;
    // SAFETY: the control buffer is aligned, zeroed and larger than CMSG_SPACE(payload), so the
    // first header and its data lie inside it.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(payload) as _;
        let raw = fds.map(|fd| fd.as_raw_fd());
        ptr::copy_nonoverlapping(raw.as_ptr().cast(), libc::CMSG_DATA(header), size_of_val(&raw));
    }
    loop {
        // SAFETY: every pointer in `message` is to a live local.
        let result =
            unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
        match check_size(result) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn ask_bytes(fd: BorrowedFd<'_>, question: libc::Ioctl) -> io::Result<usize> {
    let mut count: c_int = 0;
    // SAFETY: both questions asked here write one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), question, &raw mut count) })?;
    Ok(count.max(0) as usize)
}

/// Bytes waiting in a pipe.
pub(crate) fn readable_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    ask_bytes(fd, libc::FIONREAD)
}

/// Memory held by what was sent on a Unix socket and not yet received; 0: all was taken.
pub(crate) fn untaken_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    ask_bytes(fd, libc::TIOCOUTQ) // the same number as SIOCOUTQ, unix(7)
}

/// Capacity of a pipe, in bytes.
pub(crate) fn pipe_capacity(fd: BorrowedFd<'_>) -> io::Result<usize> {
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETPIPE_SZ) }).map(|size| size as usize)
}

/// Changes a pipe's capacity; answers what it is now.
pub(crate) fn set_pipe_capacity(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, bytes as c_int) })
        .map(|size| size as usize)
}

/// An empty file in memory, from which nothing can be executed where the kernel knows how.
pub(crate) fn memory() -> io::Result<OwnedFd> {
    const MFD_NOEXEC_SEAL: libc::c_uint = 8; // Linux 6.3
    let name = c"cellgate-runner";
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is NUL-terminated.
    let file = check(unsafe { libc::memfd_create(name.as_ptr(), flags | MFD_NOEXEC_SEAL) })
        // SAFETY: as above; an older kernel refuses the flag.
        .or_else(|_| check(unsafe { libc::memfd_create(name.as_ptr(), flags) }))?;
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// A sealed memory file that holds `parts` one after the other.
pub(crate) fn sealed_memory<'a>(parts: impl Iterator<Item = &'a [u8]>) -> io::Result<OwnedFd> {
    let file = memory()?;
    for part in parts {
        let mut rest = part;
        while !rest.is_empty() {
            rest = &rest[write(file.as_fd(), rest)?..];
        }
    }
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    // SAFETY: no pointers.
    if unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_SET) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// Blocks the signals the supervisor takes as events and answers a descriptor that tells them.
pub(crate) fn signal_events(signals: &[c_int]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set; the numbers are valid signals.
    let set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    };
    // SAFETY: the set is initialised, the old one is not wanted.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) })?;
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set is initialised.
    let fd = check(unsafe { libc::signalfd(-1, &raw const set, flags) })?;
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// One signal, as the kernel describes it (signalfd(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal {
    /// Its number.
    pub(crate) number: c_int,
    /// How it was sent: `SI_USER` by kill(2), which no process can claim of another's.
    pub(crate) code: c_int,
    /// The sender's process id. Of `SI_USER` the kernel's own word: 0 is a sender outside the PID
    /// namespace. Of any other code the sender wrote it.
    pub(crate) sender: u32,
}

/// The next signal of [`signal_events`], if one is there.
pub(crate) fn next_signal(fd: BorrowedFd<'_>) -> io::Result<Option<Signal>> {
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    match read(fd, &mut info) {
        Ok(_) => {
            let word = |at: usize| {
                u32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]])
            };
            // ssi_signo, ssi_code, ssi_pid
            Ok(Some(Signal { number: word(0) as c_int, code: word(8) as c_int, sender: word(12) }))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets writes to closed pipes and sockets fail with EPIPE instead of ending the process.
pub(crate) fn ignore_sigpipe() {
    // SAFETY: SIG_IGN is no code; the call cannot fail for SIGPIPE.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Death {
    /// The process.
    pub(crate) pid: libc::pid_t,
    /// Whether `status` is a signal rather than an exit code.
    pub(crate) signalled: bool,
    /// Exit code or signal.
    pub(crate) status: c_int,
    /// CPU time of it and of the children it waited for, in microseconds.
    pub(crate) cpu_us: u64,
}

/// What [`reap`] found.
pub(crate) enum Reaped {
    /// A child that had ended.
    Dead(Death),
    /// There are children, and all of them live.
    AllAlive,
    /// There is no child at all.
    NoChild,
}

/// Takes one ended child, without waiting for one.
pub(crate) fn reap() -> io::Result<Reaped> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to live locals.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
    match check(pid) {
        Ok(0) => Ok(Reaped::AllAlive),
        Ok(pid) => {
            let signalled = libc::WIFSIGNALED(status);
            let status = if signalled { libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) };
            // SAFETY: all zero is a valid rusage, and the kernel filled it.
            let cpu_us = cpu_microseconds(&unsafe { usage.assume_init() });
            Ok(Reaped::Dead(Death { pid, signalled, status, cpu_us }))
        }
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Reaped::NoChild),
        Err(error) => Err(error),
    }
}

fn cpu_microseconds(usage: &libc::rusage) -> u64 {
    let time = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// CPU time of all children that were waited for, in microseconds.
pub(crate) fn children_cpu_us() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a live local; the call cannot fail for RUSAGE_CHILDREN.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    // SAFETY: all zero is a valid rusage.
    cpu_microseconds(&unsafe { usage.assume_init() })
}

/// CPU time of a process, all its threads included and its children not, in microseconds.
/// `None` once it is gone.
pub(crate) fn process_cpu_us(pid: libc::pid_t) -> Option<u64> {
    const PROCESS_SCHED: libc::clockid_t = 2; // CPUCLOCK_SCHED; what clock_getcpuclockid(3) makes
    let clock = (!pid << 3) | PROCESS_SCHED;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live local.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) }).ok()?;
    Some(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000)
}

/// CPU time of this thread, in microseconds.
pub(crate) fn own_cpu_us() -> u64 {
    let time = clock(libc::CLOCK_THREAD_CPUTIME_ID);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// The time with which the kernel stamps files that are changed now: seconds and nanoseconds.
pub(crate) fn file_time() -> (i64, i64) {
    let time = clock(libc::CLOCK_REALTIME_COARSE);
    (time.tv_sec, time.tv_nsec)
}

fn clock(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live local; both clocks are known to every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time
}

/// Sends a signal to one process, to a group (`pid` below -1), or to all the caller may (-1).
/// Only [`crate::supervisor`]'s one place for it passes -1.
pub(crate) fn kill(pid: libc::pid_t, signal: c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// This process's id.
pub(crate) fn own_pid() -> libc::pid_t {
    // SAFETY: cannot fail.
    unsafe { libc::getpid() }
}

/// Opens a file of a directory for reading.
pub(crate) fn open_in(directory: BorrowedFd<'_>, name: &str) -> io::Result<std::fs::File> {
    let name = std::ffi::CString::new(name)?;
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the name is NUL-terminated.
    let fd = check(unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags) })?;
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

/// Bytes used on the tmpfs mounted at, or holding, `path`; 0 for any other file system.
pub(crate) fn tmpfs_bytes(path: &Path) -> u64 {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return 0 };
    let mut about = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the path is NUL-terminated, the pointer is to a live local.
    if unsafe { libc::statfs(path.as_ptr(), about.as_mut_ptr()) } < 0 {
        return 0;
    }
    // SAFETY: all zero is a valid statfs, and the kernel filled it.
    let about = unsafe { about.assume_init() };
    if about.f_type != libc::TMPFS_MAGIC {
        return 0;
    }
    (about.f_blocks - about.f_bfree) * about.f_bsize as u64
}

/// Removes a System V shared memory segment once no process has it attached.
pub(crate) fn remove_segment(id: c_int) -> io::Result<()> {
    // SAFETY: IPC_RMID reads no buffer.
    check(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}

/// Removes a System V message queue.
pub(crate) fn remove_queue(id: c_int) -> io::Result<()> {
    // SAFETY: IPC_RMID reads no buffer.
    check(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}

/// Size of a page of memory, in bytes, and ticks of /proc's CPU times a second.
pub(crate) fn page_and_tick() -> (u64, u64) {
    // SAFETY: no pointers; both names are known to every Linux.
    unsafe { (libc::sysconf(libc::_SC_PAGESIZE) as u64, libc::sysconf(libc::_SC_CLK_TCK) as u64) }
}
