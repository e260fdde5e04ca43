//! Questions beside cells: REQUEST and REPLY, PING, USAGE, INPUT.

use cellgate_driver::wire::{Setup, Usage, flag, kind};

use crate::harness::{Gateway, setup};

#[test]
fn the_first_question_takes_the_control_socket_and_later_ones_the_side() {
    let mut gateway = Gateway::start();
    gateway.execute(1, "message(b'begun'); frame()");
    gateway.expect(kind::MESSAGE);
    gateway.send(kind::REQUEST, 1, b"while busy");
    let reply = gateway.expect(kind::REPLY);
    assert_eq!((reply.cell, reply.flags, reply.payload.len()), (1, flag::BUSY, 0));
    gateway.send(kind::INPUT, 1, b"go on");
    gateway.finish(1);

    gateway.send(kind::REQUEST, 2, b"idle");
    let reply = gateway.expect(kind::REPLY);
    assert_eq!((reply.cell, reply.payload.as_slice()), (2, b"control:idle".as_slice()));

    gateway.execute(2, "message(b'begun'); frame()");
    gateway.expect(kind::MESSAGE);
    gateway.send(kind::REQUEST, 3, &[b'q'; 150 << 10]); // in three fragments
    assert_eq!(gateway.expect(kind::REPLY).payload, b"side:qqqqqqqqqqqqqqqqqqqq");
    gateway.send(kind::REQUEST, 4, b"again");
    assert_eq!(gateway.expect(kind::REPLY).payload, b"side:again");
    gateway.send(kind::INPUT, 2, b"go on");
    gateway.until(kind::DONE);
}

#[test]
fn a_question_is_answered_busy_if_its_runner_dies() {
    let mut gateway = Gateway::start();
    gateway.send(kind::REQUEST, 1, b"first");
    gateway.expect(kind::REPLY);
    gateway.execute(1, "message(b'begun'); os.kill(os.getpid(), signal.SIGSTOP)");
    gateway.expect(kind::MESSAGE);
    gateway.send(kind::REQUEST, 2, b"never answered");
    gateway.send(kind::RESTART, 0, b"");
    let frames = gateway.until(kind::EXITED);
    let replies: Vec<_> = frames.iter().filter(|frame| frame.kind == kind::REPLY).collect();
    assert_eq!(replies.len(), 1, "{frames:?}");
    assert_eq!(replies[0].cell, 2);
}

#[test]
fn pings_are_answered_while_a_cell_runs() {
    let mut gateway = Gateway::start();
    gateway.execute(1, "message(b'begun')\nwhile True: pass");
    gateway.expect(kind::MESSAGE);
    for number in 0..1000u32 {
        gateway.send(kind::PING, 0, &number.to_le_bytes());
    }
    for number in 0..1000u32 {
        assert_eq!(gateway.expect(kind::PONG).payload, number.to_le_bytes());
    }
    gateway.interrupt(1, 10_000);
    gateway.finish(1);
}

#[test]
fn usage_comes_while_a_cell_runs_and_grows_with_it() {
    let every = Setup { usage_interval_ms: 20, memory_limit_bytes: 1 << 30, ..setup() };
    let mut gateway = Gateway::with(&every);
    gateway.execute(1, "kept = b'x' * (50 << 20)\nwhile True: pass");
    let mut next = || Usage::decode(&gateway.expect(kind::USAGE).payload).unwrap();
    let first = next();
    let mut last = next();
    while last.memory_bytes <= 50 << 20 || last.cpu_us <= first.cpu_us {
        last = next(); // a busy machine takes its time; the harness has the deadline
    }
    assert_eq!((last.memory_limit_bytes, last.processes), (1 << 30, 1));
    gateway.interrupt(1, 10_000);
    let done = gateway.until(kind::DONE).pop().unwrap();
    let done = cellgate_driver::wire::Done::decode(&done.payload).unwrap();
    assert!(
        done.usage.peak_memory_bytes > 50 << 20 && done.usage.cpu_us >= last.cpu_us - first.cpu_us,
        "{done:?}"
    );
}

#[test]
fn children_count_for_a_cell_that_is_long() {
    let mut gateway = Gateway::start();
    let burn = "end = time.process_time() + 0.3\nwhile time.process_time() < end: pass";
    let code =
        format!("child = os.fork()\nif child == 0:\n exec({burn:?}); os._exit(0)\nos.wait()");
    gateway.execute(1, &code);
    let (_, done) = gateway.finish(1);
    assert!(done.usage.cpu_us > 250_000, "{done:?}");
}
