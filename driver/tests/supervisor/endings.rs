//! Ends of runners and of the supervisor, and what is left of either: nothing.

use std::path::Path;
use std::process::Command;

use cellgate_driver::wire::{ExitCause, Outcome, Setup, flag, kind};

use crate::harness::{Gateway, eventually, read_fifo, setup, written};

#[test]
fn an_exit_code_is_told_behind_the_output_and_a_fresh_runner_comes() {
    let mut gateway = Gateway::start();
    gateway.execute(1, "out(b'last words'); os._exit(3)");
    let frames = gateway.until(kind::EXITED);
    assert_eq!(written(&frames, 1, 0), b"last words");
    let last = frames.last().unwrap();
    let exited = cellgate_driver::wire::Exited::decode(&last.payload).unwrap();
    assert_eq!((last.cell, exited.cause), (1, ExitCause::Own));
    assert_eq!((exited.signalled, exited.status), (false, 3));
    assert_eq!(exited.usage.output_bytes, 10);
    gateway.expect(kind::READY);
    assert_eq!(gateway.run(2, "out(b'%d' % cell)"), "2");
}

#[test]
fn a_signal_is_told_as_one() {
    let mut gateway = Gateway::start();
    gateway.execute(1, "os.kill(os.getpid(), signal.SIGSEGV)");
    let (cell, exited) = gateway.exited();
    assert_eq!((cell, exited.cause), (1, ExitCause::Own));
    assert_eq!((exited.signalled, exited.status), (true, 11));
    gateway.expect(kind::READY);
}

#[test]
fn a_death_between_cells_names_no_cell() {
    let mut gateway = Gateway::start();
    gateway.run(1, "threading.Timer(0.01, os._exit, [5]).start()");
    let (cell, exited) = gateway.exited();
    assert_eq!((cell, exited.status), (0, 5));
    gateway.expect(kind::READY);
    gateway.run(2, "pass");
}

#[test]
fn restart_ends_the_cell_and_all_it_started() {
    let mut gateway = Gateway::start();
    let (path, fifo) = gateway.fifo("held");
    let held = read_fifo(path);
    // A child in a session of its own holds the named pipe open for writing.
    let child = format!("os.setsid(); f = open({fifo}, 'w'); message(b'begun'); time.sleep(60)");
    gateway.execute(1, &format!("if os.fork() == 0:\n {child}\ntime.sleep(60)"));
    gateway.expect(kind::MESSAGE);
    gateway.send(kind::RESTART, 0, b"");
    let (cell, exited) = gateway.exited();
    assert_eq!((cell, exited.cause), (1, ExitCause::Restart));
    held.recv_timeout(crate::harness::DEADLINE).expect("the child is dead");
    gateway.expect(kind::READY);
    gateway.send(kind::RESTART, 0, b"");
    let (cell, exited) = gateway.exited();
    assert_eq!((cell, exited.cause), (0, ExitCause::Restart));
    gateway.expect(kind::READY);
    assert_eq!(gateway.run(2, "out(b'anew')"), "anew");
}

#[test]
fn a_cell_for_a_runner_that_starts_runs_on_it() {
    let mut gateway = Gateway::start();
    gateway.send(kind::RESTART, 0, b"");
    gateway.exited();
    gateway.execute(1, "out(b'early')");
    gateway.expect(kind::READY);
    let (frames, done) = gateway.finish(1);
    assert_eq!(written(&frames, 1, 0), b"early");
    assert_eq!(done.outcome, Outcome::Ok);
}

#[test]
fn a_message_cut_off_by_death_is_followed_by_exited() {
    let mut gateway = Gateway::start();
    gateway.execute(1, "send(MESSAGE, MORE, cell, b'half'); os._exit(0)");
    assert_eq!(gateway.expect(kind::MESSAGE).flags, flag::MORE);
    assert_eq!(gateway.exited().0, 1);
    gateway.expect(kind::READY);
}

#[test]
fn an_interpreter_that_is_not_there_is_named_and_can_be_tried_again() {
    let missing = Setup { interpreter: "no-such-python".into(), ..setup() };
    let mut gateway = Gateway::unready(&missing);
    let (cell, exited) = gateway.exited();
    assert_eq!((cell, exited.cause), (0, ExitCause::Own));
    assert!(exited.detail.starts_with("cannot start no-such-python: No such file or directory"));
    assert!(exited.detail.contains("in PATH /usr/local/bin"), "{}", exited.detail);
    gateway.send(kind::PING, 0, b"still there");
    assert_eq!(gateway.expect(kind::PONG).payload, b"still there");
    gateway.execute(1, "pass");
    let (cell, exited) = gateway.exited();
    assert_eq!(cell, 1);
    assert!(exited.detail.contains("no-such-python"), "{}", exited.detail);
    gateway.send(kind::RESTART, 0, b"");
    assert_eq!(gateway.exited().1.cause, ExitCause::Restart);
    assert_eq!(gateway.exited().1.cause, ExitCause::Own);
}

#[test]
fn what_the_kernel_refuses_to_start_is_named() {
    let cases = [
        (Setup { interpreter: "/".into(), ..setup() }, "cannot start /: Permission denied"),
        (Setup { workdir: "/no/such".into(), ..setup() }, "cannot enter /no/such: No such file"),
        (Setup { language: "cobol".into(), ..setup() }, "there is no runner for cobol"),
        (Setup { seccomp: vec![255; 8], ..setup() }, "cannot install its seccomp filter"),
    ];
    for (setup, expected) in cases {
        let (_, exited) = Gateway::unready(&setup).exited();
        assert!(exited.detail.contains(expected), "{}", exited.detail);
    }
}

#[test]
fn an_interpreter_that_ends_before_it_is_ready_is_not_started_again() {
    let mut failing = setup();
    failing.env.push(b"NOT_READY=1".to_vec());
    let mut gateway = Gateway::unready(&failing);
    let frames = gateway.until(kind::EXITED);
    assert_eq!(written(&frames, 0, flag::STDERR), b"no cells today\n");
    gateway.send(kind::PING, 0, b"");
    gateway.expect(kind::PONG);
    gateway.send(kind::RESTART, 0, b"");
    assert_eq!(gateway.exited().1.cause, ExitCause::Restart);
    assert_eq!(gateway.exited().1.status, 7);
}

#[test]
fn the_end_of_the_link_is_the_end_of_everything() {
    let mut gateway = Gateway::start();
    let (path, fifo) = gateway.fifo("held");
    let held = read_fifo(path);
    let child = format!("os.setsid(); f = open({fifo}, 'w'); message(b'begun')");
    gateway.execute(1, &format!("if os.fork() == 0:\n {child}\ntime.sleep(60)"));
    gateway.expect(kind::MESSAGE);
    gateway.link.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(gateway.wait().success());
    held.recv_timeout(crate::harness::DEADLINE).expect("runner and child are dead");
}

#[test]
fn sigterm_ends_everything() {
    let mut gateway = Gateway::start();
    let pid = gateway.run(1, "out(b'%d' % os.getpid())");
    let supervisor = gateway.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &supervisor]).status().unwrap().success());
    assert!(gateway.wait().success());
    assert!(!Path::new("/proc").join(pid).exists());
    assert!(gateway.try_next().is_none());
}

#[test]
fn in_a_namespace_only_a_kill_from_outside_it_ends_everything() {
    let Some(mut gateway) = Gateway::first_of_a_namespace() else { return };
    // What user code can send to PID 1: by kill, and with a description of its own, in which the
    // sender is 0, as of one outside. si_signo, si_errno, si_code, the padding of 64 bits, si_pid.
    let code = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n\
                pidfd = os.pidfd_open(1)\n\
                queued = 0\n\
                for number in range(1, 65):\n \
                 if number not in (9, 19): os.kill(1, number)\n \
                 for si_code in (0, -1, -2, -6, 0x80):\n  \
                  info = struct.pack('iiiiII', number, 0, si_code, 0, 0, 0) + bytes(104)\n  \
                  queued += libc.syscall(129, 1, number, info) == 0\n  \
                  queued += libc.syscall(297, 1, 1, number, info) == 0\n  \
                  queued += libc.syscall(424, pidfd, number, info, 0) == 0\n\
                out(b'%d' % (queued > 0))";
    #[cfg(target_arch = "aarch64")]
    let code = &code.replace("129,", "138,").replace("297,", "240,");
    assert_eq!(gateway.run(1, code), "1", "signals were forged");
    assert_eq!(gateway.run(2, "out(b'lives')"), "lives");
    let first = gateway.pid_of_first();
    assert!(Command::new("kill").args(["-TERM", &first]).status().unwrap().success());
    assert!(gateway.wait().success());
}

#[test]
fn orphans_are_waited_for() {
    let mut gateway = Gateway::start();
    let code = "for _ in range(200):\n if os.fork() == 0:\n  if os.fork() == 0: os._exit(0)\n  \
                os._exit(0)\n os.wait()\nout(b'%d' % os.getppid())";
    let supervisor = gateway.run(1, code);
    eventually("no zombie is left", || {
        let zombies = Command::new("ps").args(["-o", "stat=", "--ppid", &supervisor]).output();
        !String::from_utf8(zombies.unwrap().stdout).unwrap().contains('Z')
    });
}

#[test]
fn garbage_on_the_link_ends_the_supervisor() {
    for garbage in [&[0xff; 64][..], &[0, 0, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0]] {
        let mut gateway = Gateway::start();
        std::io::Write::write_all(&mut gateway.link, garbage).unwrap();
        assert_eq!(gateway.wait().code(), Some(1));
    }
}

#[test]
fn cells_out_of_turn_end_the_supervisor() {
    let mut gateway = Gateway::start();
    gateway.execute(1, "message(b'begun'); time.sleep(60)");
    gateway.expect(kind::MESSAGE);
    gateway.execute(2, "pass");
    assert_eq!(gateway.wait().code(), Some(1));
    let mut gateway = Gateway::start();
    gateway.run(5, "pass");
    gateway.execute(5, "pass");
    assert_eq!(gateway.wait().code(), Some(1));
}

#[test]
fn memory_above_the_limit_ends_the_runner_where_no_cgroup_does() {
    const LIMIT: u64 = 128 << 20; // 128 MiB
    let watched = Setup { memory_limit_bytes: LIMIT, watch_memory: true, ..setup() };
    let mut gateway = Gateway::with(&watched);
    gateway.run(1, "kept = bytearray(os.urandom(1 << 20) * 32)");
    gateway.execute(2, "more = b'x' * (256 << 20)\ntime.sleep(60)");
    let (cell, exited) = gateway.exited();
    assert_eq!((cell, exited.cause), (2, ExitCause::Memory));
    assert_eq!(exited.memory_limit_bytes, LIMIT);
    assert!(exited.usage.peak_memory_bytes > LIMIT);
    gateway.expect(kind::READY);
}
