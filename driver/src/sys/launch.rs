//! Starting a program in a child process: fork, a fixed list of steps, exec.
//!
//! The supervisor has one thread, so what the child does between fork and exec is ordinary code;
//! it still allocates nothing. Every step that fails is told to the parent by name through a pipe
//! that closes on exec, so a program that could not be started is an error of [`launch`], never a
//! child that ended early.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use libc::{c_char, c_int, c_ulong};

use super::{check, own_pair, read};

/// What the new process does.
pub(crate) enum Program<'a> {
    /// Executes a file.
    File {
        /// The file.
        path: &'a CStr,
        /// Its arguments, the zeroth included.
        arguments: &'a [CString],
        /// Its whole environment.
        environment: &'a [CString],
    },
    /// Goes on in this function, which answers its exit code.
    Function(&'a dyn Fn() -> c_int),
}

/// A program and everything it is to start with.
pub(crate) struct Launch<'a> {
    /// What it does.
    pub(crate) program: Program<'a>,
    /// Where it starts.
    pub(crate) directory: &'a CStr,
    /// What becomes its descriptors 0, 1, 2, …; each is numbered above all of them.
    pub(crate) descriptors: &'a [BorrowedFd<'a>],
    /// Whether descriptor 0 is a terminal, which becomes that of its session.
    pub(crate) has_terminal: bool,
    /// Resource and value, soft and hard.
    pub(crate) rlimits: &'a [(u32, u64)],
    /// A seccomp program, installed last; it has to let execve through. Empty: none.
    pub(crate) filter: &'a [libc::sock_filter],
}

/// Why a program was not started.
#[derive(Debug)]
pub(crate) struct LaunchError {
    /// The step that failed.
    pub(crate) step: Step,
    /// What the kernel said.
    pub(crate) cause: io::Error,
}

macro_rules! steps {
    ($($step:ident = $number:literal, $text:literal;)*) => {
        /// The steps on the way to a running program.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Step { $(#[doc = $text] $step = $number,)* }

        impl Step {
            fn from_number(number: u8) -> Step {
                match number { $($number => Step::$step,)* _ => Step::Report }
            }

            /// The step, to follow "cannot".
            pub(crate) fn text(self) -> &'static str {
                match self { $(Step::$step => $text,)* }
            }
        }
    };
}

steps! {
    Report = 0, "get a report from the new process";
    Fork = 1, "create a process";
    Session = 2, "begin a session";
    Directory = 3, "enter the working directory";
    Limits = 4, "set its resource limits";
    Descriptors = 5, "place its descriptors";
    Filter = 6, "install its seccomp filter";
    Execute = 7, "execute it";
    Terminal = 8, "give it its terminal";
}

/// Starts a program in a session of its own, with default signals, that the kernel kills when
/// this process dies.
pub(crate) fn launch(launch: &Launch<'_>) -> Result<libc::pid_t, LaunchError> {
    let pointers = |texts: &[CString]| -> Vec<*const c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    };
    let (arguments, environment) = match launch.program {
        Program::File { arguments, environment, .. } => {
            (pointers(arguments), pointers(environment))
        }
        Program::Function(_) => (Vec::new(), Vec::new()),
    };
    let (report, tell) =
        report_pipe().map_err(|cause| LaunchError { step: Step::Report, cause })?;

    // SAFETY: the process has one thread; the child runs `child`, which never returns.
    let pid =
        check(unsafe { libc::fork() }).map_err(|cause| LaunchError { step: Step::Fork, cause })?;
    if pid == 0 {
        child(launch, &arguments, &environment, tell.as_fd());
    }
    drop(tell);

    let mut failure = [0; 5];
    match read(report.as_fd(), &mut failure) {
        Ok(0) => Ok(pid), // closed by a successful exec
        Ok(_) => {
            let [step, number @ ..] = failure;
            let cause = io::Error::from_raw_os_error(c_int::from_ne_bytes(number));
            Err(LaunchError { step: Step::from_number(step), cause })
        }
        Err(cause) => Err(LaunchError { step: Step::Report, cause }),
    }
}

fn report_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut pair = [-1; 2];
    // SAFETY: `pair` has room for two descriptors.
    check(unsafe { libc::pipe2(pair.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok(own_pair(pair))
}

fn child(
    launch: &Launch<'_>,
    arguments: &[*const c_char],
    environment: &[*const c_char],
    tell: BorrowedFd<'_>,
) -> ! {
    let step = prepare(launch).err().unwrap_or_else(|| match launch.program {
        Program::File { path, .. } => {
            // SAFETY: both lists end with null and point to strings that live as long as `launch`.
            unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
            Step::Execute
        }
        Program::Function(function) => {
            // What exec would close, the report to the parent among it.
            close_from(launch.descriptors.len() as libc::c_uint);
            let code = function();
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) }
        }
    });
    let [a, b, c, d] = io::Error::last_os_error().raw_os_error().unwrap_or(0).to_ne_bytes();
    // SAFETY: the buffer is a live temporary of five bytes. If even this fails, the parent sees
    // the child's exit code.
    unsafe {
        libc::write(tell.as_raw_fd(), [step as u8, a, b, c, d].as_ptr().cast(), 5);
        libc::_exit(127)
    }
}

/// Closes all descriptors from this number on, which nothing may use again.
fn close_from(first: libc::c_uint) {
    // SAFETY: no pointers, and by this function's contract nothing has any of them.
    if unsafe { libc::close_range(first, libc::c_uint::MAX, 0) } == 0 {
        return;
    }
    // A kernel before 5.9, and gVisor of its time.
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<c_int> =
        open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in open.into_iter().filter(|number| *number >= first as c_int) {
        // SAFETY: as above. The list's own is closed already.
        unsafe { libc::close(number) };
    }
}

/// Leaves errno as the failing step set it.
fn prepare(launch: &Launch<'_>) -> Result<(), Step> {
    let ok = |result: c_int, step: Step| if result < 0 { Err(step) } else { Ok(()) };
    // SAFETY: no pointers.
    ok(unsafe { libc::setsid() }, Step::Session)?;
    // SAFETY: the option takes a number.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong, 0, 0, 0) };
    reset_signals();
    // SAFETY: the path is NUL-terminated.
    ok(unsafe { libc::chdir(launch.directory.as_ptr()) }, Step::Directory)?;
    for (number, fd) in launch.descriptors.iter().enumerate() {
        // SAFETY: no pointers; dup2 clears close-on-exec on the copy.
        ok(unsafe { libc::dup2(fd.as_raw_fd(), number as c_int) }, Step::Descriptors)?;
    }
    if launch.has_terminal {
        // SAFETY: TIOCSCTTY takes a number.
        ok(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }, Step::Terminal)?;
    }
    // Whatever else is open, by mistake of the parent process too, does not reach the program.
    // SAFETY: no pointers. A kernel without the flag (before 5.11) leaves it to O_CLOEXEC.
    unsafe {
        let first = launch.descriptors.len() as libc::c_uint;
        libc::close_range(first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as c_int);
    }
    for &(resource, value) in launch.rlimits {
        // gVisor refuses to set some, even to what they are.
        if is_limited(resource, value) {
            continue;
        }
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: the pointer is to a live local; an unknown resource is refused by the kernel.
        let set = unsafe { libc::setrlimit(resource as _, &raw const limit) };
        // gVisor refuses to set what it does not heed, even to the value it has.
        ok(if is_limited(resource, value) { 0 } else { set }, Step::Limits)?;
    }
    if !launch.filter.is_empty() {
        let program = libc::sock_fprog {
            len: launch.filter.len() as libc::c_ushort,
            filter: launch.filter.as_ptr().cast_mut(),
        };
        let mode = libc::SECCOMP_MODE_FILTER as c_ulong;
        // SAFETY: the program points to `len` instructions, which the kernel checks and copies.
        let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program, 0, 0) };
        ok(result, Step::Filter)?;
    }
    Ok(())
}

/// Whether a resource has this limit already, soft and hard.
fn is_limited(resource: u32, value: u64) -> bool {
    let mut found = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live local; an unknown resource is refused by the kernel.
    let asked = unsafe { libc::getrlimit(resource as _, &raw mut found) };
    asked == 0 && (found.rlim_cur, found.rlim_max) == (value, value)
}

/// Undoes what the supervisor did to its own signals, which exec would hand on.
fn reset_signals() {
    let mut none = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set; the calls cannot fail with these arguments.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}
