//! Several programs in one sandbox: each has its own cells, pipes, interrupts and end.

use cellgate_driver::wire::{ExitCause, Exited, Outcome, Setup, kind};

use super::harness::{Frame, Gateway, eventually, setup, written};

/// A gateway with the programs 0, 7 and 300.
fn three() -> Gateway {
    let mut gateway = Gateway::start();
    for program in [7, 300] {
        gateway.send_of(program, kind::OPEN, 0, &setup().encode());
        assert_eq!(gateway.expect(kind::READY).program, program);
    }
    gateway
}

/// Everything up to the end of this cell, but what is told of the whole sandbox.
fn until_done(gateway: &mut Gateway, cell: u32) -> Vec<Frame> {
    let mut frames = Vec::new();
    loop {
        let frame = gateway.next();
        if frame.kind == kind::USAGE {
            continue;
        }
        frames.push(frame);
        let last = frames.last().unwrap();
        if last.kind == kind::DONE && last.cell == cell {
            return frames;
        }
    }
}

#[test]
fn cells_of_several_programs_run_side_by_side() {
    let mut gateway = three();
    let (fifo, path) = gateway.fifo("go");
    let waits = format!("out(b'begun'); open({path}).read(); out(b'ended')");
    gateway.send_of(7, kind::EXECUTE, 1, waits.as_bytes());
    let begun = gateway.until(kind::OUTPUT);
    assert_eq!((begun[0].program, begun[0].cell), (7, 1));
    for cell in 2..20 {
        let program = if cell % 2 == 0 { 0 } else { 300 };
        gateway.send_of(program, kind::EXECUTE, cell, b"out(b'other')");
        let frames = until_done(&mut gateway, cell);
        assert!(frames.iter().all(|frame| frame.program == program), "{frames:?}");
        assert_eq!(written(&frames, cell, 0), b"other");
    }
    std::fs::write(fifo, "").unwrap();
    let frames = until_done(&mut gateway, 1);
    assert!(frames.iter().all(|frame| (frame.program, frame.cell) == (7, 1)), "{frames:?}");
    assert_eq!(written(&frames, 1, 0), b"ended");
}

#[test]
fn what_the_sandbox_uses_is_told_once_whichever_programs_run_cells() {
    let every = Setup { usage_interval_ms: 20, ..setup() };
    let mut gateway = Gateway::with(&every);
    gateway.send_of(7, kind::OPEN, 0, &setup().encode());
    assert_eq!(gateway.expect(kind::READY).program, 7);
    let endless = b"while True: time.sleep(0.001)";
    gateway.send_of(7, kind::EXECUTE, 1, endless);
    for _ in 0..3 {
        let usage = gateway.expect(kind::USAGE);
        assert_eq!((usage.program, usage.cell), (0, 1));
    }
    // Of two, the cell of the first program.
    gateway.send_of(0, kind::EXECUTE, 2, endless);
    while gateway.expect(kind::USAGE).cell == 1 {}
    for _ in 0..3 {
        let usage = gateway.expect(kind::USAGE);
        assert_eq!((usage.program, usage.cell), (0, 2));
    }
}

#[test]
fn an_interrupt_reaches_the_program_of_its_cell_alone() {
    let mut gateway = three();
    for (program, cell) in [(0, 1), (7, 2), (300, 3)] {
        let code = "out(b'in'); time.sleep(60)";
        gateway.send_of(program, kind::EXECUTE, cell, code.as_bytes());
        gateway.until(kind::OUTPUT);
    }
    gateway.send_of(7, kind::INTERRUPT, 2, &10_000_u32.to_le_bytes());
    let frames = until_done(&mut gateway, 2);
    assert_eq!(frames.last().unwrap().payload[0], Outcome::Interrupted as u8);
    for (program, cell) in [(0, 1), (300, 3)] {
        gateway.send_of(program, kind::INTERRUPT, cell, &10_000_u32.to_le_bytes());
        until_done(&mut gateway, cell);
    }
}

#[test]
fn the_end_of_a_program_leaves_the_others_alone() {
    let mut gateway = three();
    gateway.send_of(300, kind::EXECUTE, 1, b"out(b'in'); time.sleep(60)");
    gateway.until(kind::OUTPUT);
    let child = "import subprocess; child = subprocess.Popen(['sleep', '600']); out(str(child.pid).encode())";
    gateway.send_of(7, kind::EXECUTE, 2, child.as_bytes());
    let frames = until_done(&mut gateway, 2);
    let child = String::from_utf8(written(&frames, 2, 0)).unwrap();
    let lives = || std::path::Path::new(&format!("/proc/{child}")).exists();
    assert!(lives());
    gateway.send_of(7, kind::EXECUTE, 3, b"os._exit(3)");
    let frame = gateway.until(kind::EXITED).pop().unwrap();
    let exited = Exited::decode(&frame.payload).unwrap();
    assert_eq!((frame.program, frame.cell, exited.status), (7, 3, 3));
    eventually("its child died with it", || !lives());
    let ready = gateway.expect(kind::READY);
    assert_eq!(ready.program, 7, "a fresh one");
    gateway.send_of(7, kind::RESTART, 0, &[]);
    let frame = gateway.until(kind::EXITED).pop().unwrap();
    assert_eq!((frame.program, frame.cell), (7, 0));
    assert_eq!(gateway.expect(kind::READY).program, 7);
    // The third has noticed nothing, and the first runs cells.
    gateway.send_of(300, kind::INTERRUPT, 1, &10_000_u32.to_le_bytes());
    until_done(&mut gateway, 1);
    gateway.run(4, "pass");
}

#[test]
fn a_program_that_is_closed_is_gone_and_its_number_is_free() {
    let mut gateway = three();
    gateway.send_of(7, kind::EXECUTE, 1, b"out(b'%d' % os.getpid()); time.sleep(60)");
    let pid = String::from_utf8(gateway.until(kind::OUTPUT).pop().unwrap().payload).unwrap();
    gateway.send_of(7, kind::CLOSE, 0, &[]);
    let frame = gateway.until(kind::EXITED).pop().unwrap();
    let exited = Exited::decode(&frame.payload).unwrap();
    assert_eq!((frame.program, frame.cell, exited.cause), (7, 1, ExitCause::Restart));
    eventually("it is gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    gateway.send_of(300, kind::EXECUTE, 2, b"out(b'here')");
    assert_eq!(written(&until_done(&mut gateway, 2), 2, 0), b"here");
    gateway.send_of(7, kind::OPEN, 0, &setup().encode());
    assert_eq!(gateway.expect(kind::READY).program, 7);
    gateway.send_of(7, kind::EXECUTE, 3, b"pass");
    until_done(&mut gateway, 3);
}

#[test]
fn an_interpreter_that_cannot_be_started_is_told_of_by_its_program() {
    let mut gateway = Gateway::start();
    let missing = Setup { interpreter: "/none/such".into(), ..setup() };
    gateway.send_of(2, kind::OPEN, 0, &missing.encode());
    let frame = gateway.expect(kind::EXITED);
    assert_eq!(frame.program, 2);
    assert!(Exited::decode(&frame.payload).unwrap().detail.contains("/none/such"));
    let unknown = Setup { language: "cobol".into(), ..setup() };
    gateway.send_of(3, kind::OPEN, 0, &unknown.encode());
    let frame = gateway.expect(kind::EXITED);
    assert!(Exited::decode(&frame.payload).unwrap().detail.contains("cobol"));
    gateway.send_of(3, kind::CLOSE, 0, &[]);
    assert_eq!(gateway.expect(kind::EXITED).program, 3);
    gateway.run(1, "pass");
}

#[test]
fn a_command_of_no_program_ends_the_supervisor() {
    for (program, command) in [(5, kind::RESTART), (5, kind::CLOSE), (0, kind::CLOSE)] {
        let mut gateway = Gateway::start();
        gateway.send_of(program, command, 0, &[]);
        assert_eq!(gateway.wait().code(), Some(1), "{command:#x} of {program}");
    }
}
