//! The ladder from SIGINT to the end of everything.

use cellgate_driver::wire::{ExitCause, Outcome, kind};

use crate::harness::{Gateway, written};

#[test]
fn a_cell_that_yields_keeps_its_runner() {
    let mut gateway = Gateway::start();
    gateway.run(1, "state = 41");
    gateway.execute(2, "message(b'begun')\nwhile True: pass");
    gateway.expect(kind::MESSAGE);
    gateway.interrupt(2, 10_000);
    assert_eq!(gateway.finish(2).1.outcome, Outcome::Interrupted);
    assert_eq!(gateway.run(3, "out(b'%d' % (state + 1))"), "42");
}

#[test]
fn a_child_of_the_cell_is_interrupted_with_it() {
    let mut gateway = Gateway::start();
    // The child may be gone before the interpreter looks at its own interrupt, so it waits for both.
    let code = "import signal\nchild = os.posix_spawn('/bin/sleep', ['sleep', '60'], {})\n\
                try:\n message(b'begun')\n \
                os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)\n signal.pause()\n\
                except KeyboardInterrupt: out(b'%d' % os.waitpid(child, 0)[1])";
    gateway.execute(1, code);
    gateway.expect(kind::MESSAGE);
    gateway.interrupt(1, 10_000);
    let (frames, done) = gateway.finish(1);
    assert_eq!(done.outcome, Outcome::Ok);
    assert_eq!(written(&frames, 1, 0), b"2", "the child died of SIGINT");
}

#[test]
fn a_stubborn_cell_is_killed_with_its_stack_and_a_fresh_runner_comes() {
    let mut gateway = Gateway::start();
    let code = "def hang(begun):\n while True:\n  try:\n   if not begun: message(b'begun')\n   \
                while True: begun = True\n  except KeyboardInterrupt: message(b'no')\nhang(False)";
    gateway.execute(1, code);
    gateway.expect(kind::MESSAGE);
    gateway.interrupt(1, 100);
    gateway.expect(kind::MESSAGE);
    let (cell, exited) = gateway.exited();
    assert_eq!((cell, exited.cause), (1, ExitCause::Stubborn));
    assert_eq!((exited.signalled, exited.status), (true, 9));
    assert!(exited.detail.contains("within 100 ms"), "{}", exited.detail);
    assert!(exited.detail.contains("in hang"), "{}", exited.detail);
    assert!(exited.usage.duration_us >= 100_000 && exited.usage.cpu_us > 1000);
    gateway.expect(kind::READY);
    assert_eq!(gateway.run(2, "out(b'anew')"), "anew");
}

#[test]
fn a_cell_that_misses_interrupts_gets_more_before_it_is_killed() {
    let mut gateway = Gateway::start();
    let code = "missed, begun = 0, False\nwhile missed < 2:\n try:\n  if not begun: message(b'begun')\n  \
                while True: begun = True\n except KeyboardInterrupt: missed += 1\nwhile True: pass";
    gateway.execute(1, code);
    gateway.expect(kind::MESSAGE);
    gateway.interrupt(1, 8_000);
    assert_eq!(gateway.finish(1).1.outcome, Outcome::Interrupted);
    assert_eq!(gateway.run(2, "out(b'%d' % missed)"), "2");
}

#[test]
fn an_interrupt_of_another_cell_does_nothing() {
    let mut gateway = Gateway::start();
    gateway.interrupt(7, 0);
    gateway.run(1, "pass");
    gateway.interrupt(1, 0);
    gateway.execute(2, "message(b'begun'); frame(); out(b'whole')");
    gateway.expect(kind::MESSAGE);
    gateway.interrupt(1, 0);
    gateway.interrupt(3, 0);
    gateway.send(kind::INPUT, 2, b"go on");
    assert_eq!(gateway.finish(2).1.outcome, Outcome::Ok);
}

#[test]
fn a_starting_runner_that_never_gets_to_its_cell_is_stubborn() {
    let mut gateway = Gateway::start();
    gateway.send(kind::RESTART, 0, b"");
    // The cell reaches a runner that is still starting, and so does its interrupt.
    gateway.execute(1, "while True: pass");
    gateway.interrupt(1, 0);
    let mut exits = vec![gateway.exited()];
    if exits[0].0 == 0 {
        exits.push(gateway.exited());
    }
    let (cell, _) = exits.pop().unwrap();
    assert_eq!(cell, 1, "the cell's end is told exactly once");
}

#[test]
fn an_interrupt_is_told_whom_it_is_meant_for() {
    let mut gateway = Gateway::start();
    for (count, cell) in [(1, 3), (2, 7)] {
        let code = "try:\n message(b'begun')\n while True: pass\nexcept KeyboardInterrupt:\n \
                    out(repr(struct.unpack('<II', os.pread(7, 8, 0))).encode())";
        gateway.execute(cell, code);
        gateway.expect(kind::MESSAGE);
        gateway.interrupt(cell, 10_000);
        let (frames, _) = gateway.finish(cell);
        assert_eq!(written(&frames, cell, 0), format!("({cell}, {count})").into_bytes());
    }
}
