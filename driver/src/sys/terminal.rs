//! Terminals: pseudo-terminals of the sandbox's own devpts, pty(7), ioctl_tty(2).

// Unsafe: see `sys`.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::c_int;

use super::check;

/// The two ends of a terminal.
pub(crate) struct Terminal {
    /// The supervisor's end, which never blocks.
    pub(crate) master: OwnedFd,
    /// The end that is a process's standard input, output and error.
    pub(crate) slave: OwnedFd,
}

/// Makes a terminal that holds this many characters in a line, and lines.
pub(crate) fn open(columns: u16, rows: u16) -> io::Result<Terminal> {
    const OURS: c_int = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    const THEIRS: c_int = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the path is NUL-terminated.
    let master = check(unsafe { libc::open(c"/dev/ptmx".as_ptr(), OURS) })?;
    // SAFETY: the kernel has just made it.
    let master = unsafe { OwnedFd::from_raw_fd(master) };
    let unlocked: c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
    // SAFETY: TIOCGPTPEER takes flags of open(2), no pointer.
    let slave = match check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, THEIRS) }) {
        Ok(slave) => slave,
        // Before Linux 4.13, and where a sandbox's kernel does not know it.
        Err(_) => {
            let mut number: libc::c_uint = 0;
            // SAFETY: TIOCGPTN writes one unsigned int.
            check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) })?;
            let path = CString::new(format!("/dev/pts/{number}"))?;
            // SAFETY: the path is NUL-terminated.
            check(unsafe { libc::open(path.as_ptr(), THEIRS) })?
        }
    };
    // SAFETY: the kernel has just made it.
    let slave = unsafe { OwnedFd::from_raw_fd(slave) };
    resize(master.as_fd(), columns, rows)?;
    Ok(Terminal { master, slave })
}

/// Changes a terminal's size; the kernel sends SIGWINCH to the group in its foreground.
pub(crate) fn resize(master: BorrowedFd<'_>, columns: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// The process group in the foreground of a terminal. `None`: there is none, or the kernel is gVisor, which answers
/// this only to processes of the terminal's session, and makes no signals of what is typed.
pub(crate) fn foreground_group(master: BorrowedFd<'_>) -> Option<libc::pid_t> {
    let mut group: libc::pid_t = 0;
    // SAFETY: TIOCGPGRP writes one pid_t.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPGRP, &raw mut group) }).ok()?;
    (group > 0).then_some(group)
}

/// How input ends on a terminal, termios(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndOfInput {
    /// The character that ends it, VEOF: mostly Ctrl-D.
    pub(crate) character: u8,
    /// Whether input is read line by line. The character then ends a line that has begun, and only the next one
    /// the input.
    pub(crate) by_line: bool,
}

impl EndOfInput {
    /// That of a terminal, as its process has set it.
    pub(crate) fn of(master: BorrowedFd<'_>) -> io::Result<EndOfInput> {
        let modes = modes(master)?;
        Ok(EndOfInput { character: modes.c_cc[libc::VEOF], by_line: is_by_line(&modes) })
    }
}

/// Whether a terminal is read line by line.
pub(crate) fn reads_by_line(master: BorrowedFd<'_>) -> bool {
    modes(master).is_ok_and(|modes| is_by_line(&modes))
}

/// The first of these characters that stands for a signal when typed, and the signal.
pub(crate) fn typed_signal(master: BorrowedFd<'_>, typed: &[u8]) -> Option<(usize, i32)> {
    let modes = modes(master).ok().filter(|modes| modes.c_lflag & libc::ISIG != 0)?;
    let signals =
        [(libc::VINTR, libc::SIGINT), (libc::VQUIT, libc::SIGQUIT), (libc::VSUSP, libc::SIGTSTP)];
    typed.iter().enumerate().find_map(|(at, byte)| {
        // A character of 0 is none.
        let is_typed = |&&(name, _): &&(usize, i32)| *byte != 0 && modes.c_cc[name] == *byte;
        signals.iter().find(is_typed).map(|&(_, signal)| (at, signal))
    })
}

fn is_by_line(modes: &libc::termios) -> bool {
    modes.c_lflag & libc::ICANON != 0
}

fn modes(master: BorrowedFd<'_>) -> io::Result<libc::termios> {
    let mut modes = MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: the pointer is to a live local.
    check(unsafe { libc::tcgetattr(master.as_raw_fd(), modes.as_mut_ptr()) })?;
    // SAFETY: all zero is a valid termios, and the kernel filled it.
    Ok(unsafe { modes.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_for_a_signal_is_as_the_terminal_is_set() {
        let Terminal { master, slave: _slave } = open(80, 24).unwrap();
        let typed = |bytes: &[u8]| typed_signal(master.as_fd(), bytes);
        assert_eq!(typed(b"ls\r\x03\x1a"), Some((3, libc::SIGINT)));
        assert_eq!(
            (typed(b"\x1a"), typed(b"\x1c")),
            (Some((0, libc::SIGTSTP)), Some((0, libc::SIGQUIT)))
        );
        assert_eq!((typed(b"\0ls\x04"), typed(b"")), (None, None));
        assert!(reads_by_line(master.as_fd()));
        let mut raw = modes(master.as_fd()).unwrap();
        raw.c_lflag &= !(libc::ICANON | libc::ISIG);
        // SAFETY: the pointer is to a live local.
        check(unsafe { libc::tcsetattr(master.as_raw_fd(), libc::TCSANOW, &raw const raw) })
            .unwrap();
        assert_eq!(typed(b"\x03"), None);
        assert!(!reads_by_line(master.as_fd()));
    }
}
