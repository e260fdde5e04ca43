//! The system calls user code may make.
//!
//! Rules for the same call are alternatives; the conditions of one rule must all hold. Numbers from
//! 424 on are the same on every architecture (kernel: `scripts/syscall.tbl`), so what `libc` does
//! not name yet stands here by number.

use libc::*;

/// One way to make a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// As Docker's profiles name it.
    pub(super) name: &'static str,
    /// On this architecture.
    pub(super) nr: i64,
    /// What has to hold; nothing: always allowed.
    pub(super) conditions: &'static [Condition],
}

/// A condition on the low 32 bits of an argument, which are all that the kernel reads of the
/// arguments compared here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition {
    /// Argument number, and the value it has.
    Is(u8, u32),
    /// Argument number, and a value it does not have.
    IsNot(u8, u32),
    /// Argument number, and bits none of which is set.
    Clear(u8, u32),
    /// Argument number, the bits that are looked at, and the value they have.
    Masked(u8, u32, u32),
}

use Condition::{Clear, Is, IsNot, Masked};

/// Calls that answer ENOSYS, as on a kernel built without them, which programs expect.
///
/// clone3: its flags are behind a pointer, where no filter sees them; libc falls back to `clone`.
/// Asynchronous I/O: each context takes a part of `fs.aio-max-nr`, which is one number for the
/// whole machine; databases, the only programs that ask for it, fall back to threads.
pub(super) const ABSENT: &[(&str, i64)] = &[
    ("clone3", SYS_clone3),
    ("io_setup", SYS_io_setup),
    ("io_destroy", SYS_io_destroy),
    ("io_getevents", SYS_io_getevents),
    ("io_submit", SYS_io_submit),
    ("io_cancel", SYS_io_cancel),
    ("io_pgetevents", IO_PGETEVENTS),
];

#[cfg(target_arch = "x86_64")]
const IO_PGETEVENTS: i64 = 333;
/// The number of 64-bit ARM, which every newer architecture shares.
#[cfg(not(target_arch = "x86_64"))]
const IO_PGETEVENTS: i64 = 292;

/// The newest call considered for this list: `file_setattr` of Linux 6.17. Later ones answer
/// ENOSYS, as on a kernel without them.
pub(super) const NEWEST: i64 = 469;

/// Every flag of `clone` that asks for a namespace.
const NAMESPACES: u32 = (CLONE_NEWNS
    | CLONE_NEWCGROUP
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET) as u32
    | 0x80; // CLONE_NEWTIME, which is only read by clone3 and unshare; a signal number otherwise

// Execution domains of personality(2): Linux, UNAME26, 32-bit Linux, both, and asking.
const PERSONALITIES: [&[Condition]; 5] = [
    &[Is(0, 0)],
    &[Is(0, 0x0002_0000)],
    &[Is(0, 0x0000_0008)],
    &[Is(0, 0x0002_0008)],
    &[Is(0, 0xffff_ffff)],
];

/// The type of a socket without the two flags that may stand beside it.
const fn kind(kind: c_int) -> Condition {
    Masked(1, !((SOCK_NONBLOCK | SOCK_CLOEXEC) as u32), kind as u32)
}

/// No protocol, or the only one that Unix sockets have (`PF_UNIX`, 1).
const UNIX_PROTOCOL: Condition = Masked(2, !1, 0);

/// Family, type and protocol of each socket there is. Not of these: route netlink, though
/// `getifaddrs` asks it. No kernel counts what waits in a netlink socket against a cgroup, and a
/// thousand of them hold gigabytes; `getaddrinfo` does without it.
const SOCKETS: [&[Condition]; 11] = [
    &[Is(0, AF_UNIX as u32), kind(SOCK_STREAM), UNIX_PROTOCOL],
    &[Is(0, AF_UNIX as u32), kind(SOCK_DGRAM), UNIX_PROTOCOL],
    &[Is(0, AF_UNIX as u32), kind(SOCK_SEQPACKET), UNIX_PROTOCOL],
    &[Is(0, AF_INET as u32), kind(SOCK_STREAM), Is(2, 0)],
    &[Is(0, AF_INET as u32), kind(SOCK_STREAM), Is(2, IPPROTO_TCP as u32)],
    &[Is(0, AF_INET as u32), kind(SOCK_DGRAM), Is(2, 0)],
    &[Is(0, AF_INET as u32), kind(SOCK_DGRAM), Is(2, IPPROTO_UDP as u32)],
    &[Is(0, AF_INET6 as u32), kind(SOCK_STREAM), Is(2, 0)],
    &[Is(0, AF_INET6 as u32), kind(SOCK_STREAM), Is(2, IPPROTO_TCP as u32)],
    &[Is(0, AF_INET6 as u32), kind(SOCK_DGRAM), Is(2, 0)],
    &[Is(0, AF_INET6 as u32), kind(SOCK_DGRAM), Is(2, IPPROTO_UDP as u32)],
];

/// How many of [`SOCKETS`], from the first on, are of the family that has pairs.
const PAIRS: usize = 3;

/// What a refused call answers, where programs look for something else than EPERM. Not EAFNOSUPPORT for sockets: ZeroMQ,
/// which asks `getifaddrs` for each address that it listens on, takes EOPNOTSUPP for a system without that, and ends the
/// process after any other error.
pub(super) const REFUSALS: &[(i64, c_int)] =
    &[(SYS_socket, EOPNOTSUPP), (SYS_socketpair, EOPNOTSUPP)];

/// `shmget`'s flag for huge pages, which `libc` has as a signed number.
const SHM_HUGE: u32 = 0o4000;

/// All entries for this architecture.
pub(super) fn rules() -> Vec<Rule> {
    let mut entries = Vec::with_capacity(400);
    let mut always = |names: &[(&'static str, i64)]| {
        let entry = |&(name, nr): &(&'static str, i64)| Rule {
            name: name.trim_start_matches("SYS_"),
            nr,
            conditions: &[],
        };
        entries.extend(names.iter().map(entry));
    };
    always(COMMON);
    always(ARCHITECTURE);
    always(UNNAMED);
    let mut when = |name, nr, conditions| entries.push(Rule { name, nr, conditions });
    when("clone", SYS_clone, &[Clear(0, NAMESPACES)]);
    when("ioctl", SYS_ioctl, &[IsNot(1, TIOCSTI as u32), IsNot(1, TIOCLINUX as u32)]);
    // Of the caller alone: the supervisor has the same user, and limits as low as they get end it.
    when("prlimit64", SYS_prlimit64, &[Is(0, 0)]);
    for conditions in SOCKETS {
        when("socket", SYS_socket, conditions);
    }
    for conditions in &SOCKETS[..PAIRS] {
        when("socketpair", SYS_socketpair, conditions);
    }
    // The pool of huge pages is the machine's, and no memory limit counts it.
    when("mmap", SYS_mmap, &[Clear(3, MAP_HUGETLB as u32)]);
    when("memfd_create", SYS_memfd_create, &[Clear(1, MFD_HUGETLB)]);
    when("shmget", SYS_shmget, &[Clear(2, SHM_HUGE)]);
    // A UDP socket holds what was sent with "more follows" and no cgroup counts it: 64 KiB each,
    // and a thousand sockets a process. For TCP the flag is a hint that programs do without.
    when("sendto", SYS_sendto, &[Clear(3, MSG_MORE as u32)]);
    when("sendmsg", SYS_sendmsg, &[Clear(2, MSG_MORE as u32)]);
    when("sendmmsg", SYS_sendmmsg, &[Clear(3, MSG_MORE as u32)]);
    when("splice", SYS_splice, &[Clear(5, SPLICE_F_MORE)]);
    when("setsockopt", SYS_setsockopt, &[IsNot(1, IPPROTO_UDP as u32)]);
    when("setsockopt", SYS_setsockopt, &[IsNot(2, UDP_CORK as u32)]);
    for conditions in PERSONALITIES {
        when("personality", SYS_personality, conditions);
    }
    entries
}

macro_rules! numbered {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

#[rustfmt::skip]
const COMMON: &[(&str, i64)] = numbered![
    SYS_read, SYS_write, SYS_close, SYS_fstat, SYS_lseek, SYS_mprotect, SYS_munmap, SYS_brk,
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_pread64, SYS_pwrite64, SYS_readv,
    SYS_writev, SYS_sched_yield, SYS_mremap, SYS_msync, SYS_mincore, SYS_madvise, SYS_shmat,
    SYS_shmctl, SYS_shmdt, SYS_dup, SYS_nanosleep, SYS_getitimer, SYS_setitimer, SYS_getpid,
    SYS_sendfile, SYS_connect, SYS_accept, SYS_recvfrom, SYS_recvmsg, SYS_shutdown, SYS_bind,
    SYS_listen, SYS_getsockname, SYS_getpeername, SYS_getsockopt, SYS_execve, SYS_exit, SYS_wait4,
    SYS_kill, SYS_uname, SYS_semget, SYS_semop, SYS_semctl, SYS_semtimedop, SYS_msgget, SYS_msgsnd,
    SYS_msgrcv, SYS_msgctl, SYS_fcntl, SYS_flock, SYS_fsync, SYS_fdatasync, SYS_truncate,
    SYS_ftruncate, SYS_getcwd, SYS_chdir, SYS_fchdir, SYS_fchmod, SYS_fchown, SYS_umask,
    SYS_gettimeofday, SYS_getrusage, SYS_sysinfo, SYS_times, SYS_getuid, SYS_getgid, SYS_setuid,
    SYS_setgid, SYS_geteuid, SYS_getegid, SYS_setpgid, SYS_getppid, SYS_setsid, SYS_setreuid,
    SYS_setregid, SYS_getgroups, SYS_setgroups, SYS_setresuid, SYS_getresuid, SYS_setresgid,
    SYS_getresgid, SYS_getpgid, SYS_setfsuid, SYS_setfsgid, SYS_getsid, SYS_capget, SYS_capset,
    SYS_rt_sigpending, SYS_rt_sigtimedwait, SYS_rt_sigqueueinfo, SYS_rt_sigsuspend, SYS_sigaltstack,
    SYS_statfs, SYS_fstatfs, SYS_getpriority, SYS_setpriority, SYS_sched_setparam,
    SYS_sched_getparam, SYS_sched_setscheduler, SYS_sched_getscheduler, SYS_sched_get_priority_max,
    SYS_sched_get_priority_min, SYS_sched_rr_get_interval, SYS_mlock, SYS_munlock, SYS_mlockall,
    SYS_munlockall, SYS_prctl, SYS_sync, SYS_gettid, SYS_readahead, SYS_setxattr, SYS_lsetxattr,
    SYS_fsetxattr, SYS_getxattr, SYS_lgetxattr, SYS_fgetxattr, SYS_listxattr, SYS_llistxattr,
    SYS_flistxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr, SYS_tkill, SYS_futex,
    SYS_sched_setaffinity, SYS_sched_getaffinity, SYS_getdents64, SYS_set_tid_address,
    SYS_restart_syscall, SYS_fadvise64, SYS_timer_create, SYS_timer_settime, SYS_timer_gettime,
    SYS_timer_getoverrun, SYS_timer_delete, SYS_clock_gettime, SYS_clock_getres,
    SYS_clock_nanosleep, SYS_exit_group, SYS_epoll_ctl, SYS_tgkill, SYS_mq_open, SYS_mq_unlink,
    SYS_mq_timedsend, SYS_mq_timedreceive, SYS_mq_notify, SYS_mq_getsetattr, SYS_waitid,
    SYS_ioprio_set, SYS_ioprio_get, SYS_inotify_add_watch, SYS_inotify_rm_watch, SYS_openat,
    SYS_mkdirat, SYS_mknodat, SYS_fchownat, SYS_unlinkat, SYS_linkat, SYS_symlinkat, SYS_readlinkat,
    SYS_fchmodat, SYS_faccessat, SYS_pselect6, SYS_ppoll, SYS_set_robust_list, SYS_get_robust_list,
    SYS_tee, SYS_vmsplice, SYS_utimensat, SYS_epoll_pwait, SYS_timerfd_create, SYS_fallocate,
    SYS_timerfd_settime, SYS_timerfd_gettime, SYS_accept4, SYS_signalfd4, SYS_eventfd2,
    SYS_epoll_create1, SYS_dup3, SYS_pipe2, SYS_inotify_init1, SYS_preadv, SYS_pwritev,
    SYS_rt_tgsigqueueinfo, SYS_recvmmsg, SYS_syncfs, SYS_getcpu, SYS_sched_setattr,
    SYS_sched_getattr, SYS_renameat2, SYS_seccomp, SYS_getrandom, SYS_execveat, SYS_membarrier,
    SYS_mlock2, SYS_copy_file_range, SYS_preadv2, SYS_pwritev2, SYS_pkey_mprotect, SYS_pkey_alloc,
    SYS_pkey_free, SYS_statx, SYS_rseq, SYS_pidfd_send_signal, SYS_pidfd_open, SYS_close_range,
    SYS_openat2, SYS_faccessat2, SYS_epoll_pwait2, SYS_landlock_create_ruleset,
    SYS_landlock_add_rule, SYS_landlock_restrict_self, SYS_futex_waitv, SYS_newfstatat, SYS_mseal,
    SYS_remap_file_pages,
];

/// Calls that newer architectures never had.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ARCHITECTURE: &[(&str, i64)] = numbered![
    SYS_getrlimit, SYS_setrlimit, SYS_renameat, SYS_sync_file_range, SYS_open,
    SYS_stat, SYS_lstat, SYS_poll, SYS_access, SYS_pipe, SYS_select, SYS_dup2, SYS_pause,
    SYS_alarm, SYS_fork, SYS_vfork, SYS_rename, SYS_mkdir, SYS_rmdir, SYS_creat, SYS_link,
    SYS_unlink, SYS_symlink, SYS_readlink, SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_mknod,
    SYS_getpgrp, SYS_time, SYS_futimesat, SYS_utimes, SYS_epoll_create, SYS_epoll_wait,
    SYS_inotify_init, SYS_signalfd, SYS_eventfd, SYS_getdents, SYS_arch_prctl,
];

/// The few old calls that 64-bit ARM has and `libc` does not name there.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: &[(&str, i64)] =
    &[("renameat", 38), ("sync_file_range", 84), ("getrlimit", 163), ("setrlimit", 164)];

/// Newer than `libc`'s names.
const UNNAMED: &[(&str, i64)] = &[
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("map_shadow_stack", 453),
    ("futex_wake", 454),
    ("futex_wait", 455),
    ("futex_requeue", 456),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
];
