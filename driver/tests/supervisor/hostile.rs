//! A runner that does not keep the rules: user code shares its process, so any rule may be broken.

use std::io::Write;

use cellgate_driver::wire::{ExitCause, Header, Outcome, flag, kind};

use crate::harness::Gateway;

#[test]
fn each_broken_rule_ends_the_runner_and_says_which() {
    let cases = [
        ("control.sendall(b'\\xff' * 12)", "longer than"),
        ("control.sendall(HEADER.pack(0, MESSAGE, 0x80, 0, cell))", "unknown flags"),
        ("control.sendall(HEADER.pack(0, MESSAGE, 0, 1, cell))", "a frame of a program"),
        ("send(0x83, 0, cell, b'forged output')", "does not belong"),
        ("send(0x86, 0, cell, b'')", "does not belong"),
        ("send(MESSAGE, 0, cell + 1, b'')", "has not begun"),
        ("send(MESSAGE, LATE, 0, b'')", "odd flags"),
        ("send(MESSAGE, MORE, 0, b'a'); send(MESSAGE, 0, cell, b'b')", "inside another message"),
        ("send(MESSAGE, LATE, cell, b'')", "odd flags"),
        ("send(MESSAGE, MORE | WAIT, cell, b'')", "odd flags"),
        ("send(MESSAGE, MORE, cell, b'a'); send(DONE, 0, cell, b'\\0')", "inside another message"),
        ("send(DONE, 0, cell + 1, b'\\0')", "does not run"),
        ("send(DONE, 0, cell, b'\\7')", "an odd DONE"),
        ("send(DONE, 0, cell, b'')", "an odd DONE"),
        ("send(DONE, 0, cell, b'\\0\\2')", "an odd DONE"),
        ("send(DONE, 0, cell, b'\\0\\1\\1')", "an odd DONE"),
        ("send(DONE, WAIT, cell, b'\\0')", "an odd DONE"),
        ("send(SYNC, 0, cell)", "an odd SYNC"),
        ("send(SYNC, WAIT, cell, b'x')", "an odd SYNC"),
        ("send(READY, 0, 0, b'{}')", "a second READY"),
        ("send(REPLY, 0, 9, b'{}')", "no question"),
        ("socket.socket(fileno=os.dup(4)).sendall(pack(DONE, 0, cell, b'\\0'))", "this socket"),
    ];
    let mut gateway = Gateway::start();
    for (cell, (code, expected)) in (1..).zip(cases) {
        gateway.execute(cell, &format!("{code}\ntime.sleep(60)"));
        let (of, exited) = gateway.exited();
        assert_eq!((of, exited.cause), (cell, ExitCause::Protocol), "{code}");
        assert!(exited.detail.contains(expected), "{code}: {}", exited.detail);
        gateway.expect(kind::READY);
    }
}

#[test]
fn a_second_done_ends_the_runner_between_cells() {
    let mut gateway = Gateway::start();
    gateway.execute(1, "send(DONE, 0, cell, b'\\0')"); // and the honest one follows
    gateway.finish(1);
    let (cell, exited) = gateway.exited();
    assert_eq!((cell, exited.cause), (0, ExitCause::Protocol));
    gateway.expect(kind::READY);
    gateway.run(2, "pass");
}

#[test]
fn the_rest_of_a_cell_that_ended_before_it_arrived_is_dropped() {
    let mut gateway = Gateway::start();
    // The first cell ends at once, then takes the next by hand and ends it at its first fragment.
    gateway.execute(
        1,
        "send(DONE, 0, 1, b'\\0'); outcome = None\nkind = 0\n\
         while kind != EXECUTE: length, kind, *_ = HEADER.unpack(frames.take(12))\n\
         frames.take(length); [os.close(pipes.pop(0)) for _ in range(2)]\n\
         send(DONE, 0, 2, b'\\1')",
    );
    gateway.finish(1);
    let fragment = |flags| {
        let mut bytes = Header::new(kind::EXECUTE, flags, 2, b"part").encode().to_vec();
        bytes.extend_from_slice(b"part");
        bytes
    };
    gateway.link.write_all(&fragment(flag::MORE)).unwrap();
    assert_eq!(gateway.finish(2).1.outcome, Outcome::Error);
    gateway.link.write_all(&fragment(flag::MORE)).unwrap();
    gateway.link.write_all(&fragment(0)).unwrap();
    assert_eq!(gateway.run(3, "out(b'whole')"), "whole");
}

#[test]
fn a_flood_of_syncs_that_waits_for_no_answer_grows_nothing() {
    let mut gateway = Gateway::start();
    let code = "flood = pack(SYNC, WAIT, cell) * 5000\nfor _ in range(40): control.sendall(flood)\n\
                count = 0\nwhile count < 200000:\n \
                count, = struct.unpack('<I', frame()[3])\nout(b'%d' % count)";
    assert_eq!(gateway.run(1, code), "200000");
}

#[test]
fn a_runner_that_takes_nothing_can_be_restarted() {
    let mut gateway = Gateway::start();
    gateway.execute(1, "message(b'begun'); time.sleep(60)");
    gateway.expect(kind::MESSAGE);
    // More than the socket holds: the rest waits in the supervisor.
    gateway.send(kind::INPUT, 1, &vec![b'x'; 400 << 10]);
    gateway.send(kind::PING, 0, b"heard");
    assert_eq!(gateway.expect(kind::PONG).payload, b"heard");
    gateway.send(kind::RESTART, 0, b"");
    assert_eq!(gateway.exited().1.cause, ExitCause::Restart);
    gateway.expect(kind::READY);
    gateway.run(2, "pass");
}

#[test]
fn a_runner_that_hangs_up_and_lives_is_ended() {
    let mut gateway = Gateway::start();
    gateway.execute(1, "control.close(); time.sleep(60)");
    let (cell, exited) = gateway.exited();
    assert_eq!((cell, exited.cause), (1, ExitCause::Protocol));
    assert!(exited.detail.contains("closed a socket"), "{}", exited.detail);
    gateway.expect(kind::READY);
}
