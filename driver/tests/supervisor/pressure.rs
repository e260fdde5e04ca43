//! A gateway that takes nothing for a while.

use std::fs;

use cellgate_driver::wire::{Outcome, flag, kind};

use crate::harness::{DEADLINE, Gateway, read_fifo, written};

/// Anonymous memory of a process in KiB: what it alone has, without its program's file. From
/// /proc/PID/status, which may be read of an undumpable process too.
fn own_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn output_nobody_takes_stops_the_cell_and_an_interrupt_still_reaches_it() {
    let mut gateway = Gateway::start();
    let (stuck_path, stuck) = gateway.fifo("stuck");
    let (yielded_path, yielded) = gateway.fifo("yielded");
    let (is_stuck, has_yielded) = (read_fifo(stuck_path), read_fifo(yielded_path));
    // The cell writes until its stdout takes nothing for a good while, then tells the test.
    let code = format!(
        "total = 0\ntry:\n os.set_blocking(1, False)\n \
         while select.select([], [1], [], 0.5)[1]: total += os.write(1, b'y' * 4096)\n \
         open({stuck}, 'w').close(); os.set_blocking(1, True)\n \
         while True: total += os.write(1, b'y' * 4096)\n\
         except KeyboardInterrupt: open({yielded}, 'w').close(); outcome = 2\n\
         message(b'%d' % total)"
    );
    gateway.execute(1, &code);
    is_stuck.recv_timeout(DEADLINE).expect("the cell is stopped by back-pressure");
    gateway.interrupt(1, 60_000);
    has_yielded.recv_timeout(DEADLINE).expect("the interrupt arrives past the stuck output");
    gateway.send(kind::PING, 0, b"p");

    let mut frames = gateway.until(kind::DONE);
    frames.pop();
    let message = frames.iter().find(|frame| frame.kind == kind::MESSAGE).unwrap();
    let total: usize = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
    let output = written(&frames, 1, 0);
    // The write that SIGINT cut short is counted by nobody.
    assert!(output.len() >= total && output.len() - total <= 4096 && total > 64 << 10);
    assert!(frames.iter().any(|frame| frame.kind == kind::PONG));
    assert_eq!(gateway.run(2, "out(b'fine')"), "fine");
}

#[test]
fn a_stubborn_cell_dies_behind_stuck_output() {
    let mut gateway = Gateway::start();
    let (held_path, held) = gateway.fifo("held");
    let is_dead = read_fifo(held_path);
    let code = format!(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nheld = open({held}, 'w')\n\
         message(b'begun')\n\
         os.set_blocking(1, False)\n\
         while select.select([], [1], [], 0.5)[1]: os.write(1, b'y' * 4096)\n\
         os.set_blocking(1, True)\nwhile True: os.write(1, b'y' * 4096)"
    );
    gateway.execute(1, &code);
    gateway.until(kind::MESSAGE);
    gateway.interrupt(1, 1500);
    is_dead.recv_timeout(DEADLINE).expect("the runner is killed though nobody takes its output");
    let (cell, exited) = gateway.exited();
    assert_eq!((cell, exited.status), (1, 9));
    assert!(exited.usage.output_bytes > 64 << 10);
    gateway.expect(kind::READY);
}

#[test]
fn restart_works_behind_stuck_output() {
    let mut gateway = Gateway::start();
    let (stuck_path, stuck) = gateway.fifo("stuck");
    let is_stuck = read_fifo(stuck_path);
    let code = format!(
        "os.set_blocking(1, False)\n\
         while select.select([], [1], [], 0.3)[1]: os.write(1, b'y' * 4096)\n\
         open({stuck}, 'w').close(); time.sleep(60)"
    );
    gateway.execute(1, &code);
    is_stuck.recv_timeout(DEADLINE).expect("the cell is stopped by back-pressure");
    gateway.send(kind::RESTART, 0, b"");
    gateway.send(kind::PING, 0, b"p");
    let frames = gateway.until(kind::READY);
    assert!(frames.iter().any(|frame| frame.kind == kind::EXITED && frame.cell == 1));
    assert_eq!(gateway.run(2, "out(b'anew')"), "anew");
}

#[test]
fn a_child_that_floods_for_ever_does_not_hold_back_done() {
    let mut gateway = Gateway::start();
    gateway.execute(
        1,
        "child = os.fork()\nif child == 0:\n while True: os.write(1, b'y' * 65536)\n\
         message(b'begun')",
    );
    assert_eq!(gateway.finish(1).1.outcome, Outcome::Ok);
    let late = gateway.expect(kind::OUTPUT);
    assert_eq!((late.cell, late.flags), (1, flag::LATE));
    gateway.execute(2, "os.kill(child, 9); os.wait(); out(b'silence')");
    let (frames, _) = gateway.finish(2);
    assert_eq!(written(&frames, 2, 0), b"silence");
}

#[test]
fn the_supervisor_stays_small_through_traffic_of_all_kinds() {
    const LIMIT_KIB: u64 = 1 << 10; // 1 MiB, the bound in the design
    let mut gateway = Gateway::start();
    for cell in 1..=300 {
        gateway.run(cell, "out(b'small'); message(b'm', WAIT)");
    }
    gateway.run(301, "for _ in range(256): os.write(1, b'z' * 65536)");
    gateway.run(302, "message(b'j' * (8 << 20))");
    gateway.run(303, &format!("pass # {}", "#".repeat(1 << 20)));
    let kib = own_kib(gateway.child.id());
    assert!(kib > 0 && kib <= LIMIT_KIB, "{kib} KiB");
}
