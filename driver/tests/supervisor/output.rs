//! Output: whole, in order, tagged with its cell.

use cellgate_driver::wire::{Outcome, flag, kind};

use crate::harness::{Gateway, eventually, written};

#[test]
fn output_of_all_kinds_stands_before_done() {
    let mut gateway = Gateway::start();
    gateway.execute(1, "out(b'one\\n'); os.system('echo two; echo three >&2')");
    let (frames, done) = gateway.finish(1);
    assert_eq!(written(&frames, 1, 0), b"one\ntwo\n");
    assert_eq!(written(&frames, 1, flag::STDERR), b"three\n");
    assert_eq!(done.outcome, Outcome::Ok);
    assert_eq!(done.usage.output_bytes, 14);
    assert!(done.usage.duration_us > 0 && done.usage.cpu_us > 0);
    assert!(done.usage.peak_memory_bytes > 1 << 20, "{:?}", done.usage);
}

#[test]
fn errors_and_many_cells_keep_their_numbers() {
    let mut gateway = Gateway::start();
    for cell in 1..200 {
        gateway.execute(cell, "out(b'%d' % cell)\nif cell % 2: raise ValueError(cell)");
        let (frames, done) = gateway.finish(cell);
        assert_eq!(written(&frames, cell, 0), cell.to_string().as_bytes());
        assert_eq!(done.outcome as u8, (cell % 2) as u8);
    }
}

#[test]
fn a_switch_of_streams_keeps_its_order() {
    let mut gateway = Gateway::start();
    let code = "for i in range(50):\n out(b'o%d' % i); sync(); err(b'e%d' % i); sync()\n \
                message(b'm%d' % i, WAIT)";
    gateway.execute(1, code);
    let (frames, _) = gateway.finish(1);
    let seen: Vec<u8> = frames.iter().flat_map(|frame| frame.payload.iter().copied()).collect();
    let expected: String = (0..50).map(|i| format!("o{i}e{i}m{i}")).collect();
    assert_eq!(String::from_utf8(seen).unwrap(), expected);
    assert!(frames.iter().all(|frame| frame.flags & flag::SYNC == 0), "SYNC is not the gateway's");
}

#[test]
fn what_outlives_a_cell_is_late_and_keeps_its_cell() {
    let mut gateway = Gateway::start();
    let (_, fifo) = gateway.fifo("go");
    let child = format!("f = open({fifo}); os.write(1, b'late ' + f.read().encode())");
    gateway.run(1, &format!("if os.fork() == 0:\n {child}\n os._exit(0)"));
    gateway.execute(2, &format!("out(b'mine'); open({fifo}, 'w').write('one'); os.wait()"));
    let (mut frames, _) = gateway.finish(2);
    while written(&frames, 1, flag::LATE).is_empty() {
        frames.push(gateway.next());
    }
    assert_eq!(written(&frames, 1, flag::LATE), b"late one");
    assert_eq!(written(&frames, 2, 0), b"mine");
}

#[test]
fn messages_of_an_ended_cell_are_late() {
    let mut gateway = Gateway::start();
    gateway.run(1, "message(b'in time')");
    gateway.execute(2, "send(MESSAGE, 0, 1, b'too late'); message(b'now')");
    let (frames, _) = gateway.finish(2);
    let seen: Vec<_> = frames.iter().map(|f| (f.cell, f.flags, f.payload.as_slice())).collect();
    assert_eq!(seen, [(1, flag::LATE, b"too late".as_slice()), (2, 0, b"now".as_slice())]);
}

#[test]
fn messages_of_no_cell_pass_between_cells_and_in_one() {
    let mut gateway = Gateway::start();
    let (go, name) = gateway.fifo("go");
    let background = format!(
        "def late():\n open({name}).read()\n send(MESSAGE, MORE, 0, b'a')\n \
         send(MESSAGE, WAIT, 0, b'b')\nthreading.Thread(target=late).start()"
    );
    gateway.execute(1, &format!("{background}\nout(b'x')\nsend(MESSAGE, 0, 0, b'in a cell')"));
    let (mut frames, _) = gateway.finish(1);
    std::fs::write(&go, "").unwrap();
    frames.extend([gateway.expect(kind::MESSAGE), gateway.expect(kind::MESSAGE)]);
    let messages = frames.iter().filter(|frame| frame.kind == kind::MESSAGE);
    let seen: Vec<_> = messages.map(|f| (f.cell, f.flags, f.payload.as_slice())).collect();
    let between = [(0, flag::MORE, b"a".as_slice()), (0, 0, b"b".as_slice())];
    assert_eq!(seen[0], (0, 0, b"in a cell".as_slice()));
    assert_eq!(seen[1..], between);
    assert_eq!(gateway.run(2, "out(b'next')"), "next");
}

#[test]
fn fragments_pass_one_by_one() {
    let mut gateway = Gateway::start();
    gateway.execute(1, "out(b'before'); message(bytes(range(256)) * 800, WAIT)");
    let (frames, _) = gateway.finish(1);
    assert_eq!(frames[0].payload, b"before");
    let fragments = &frames[1..];
    assert_eq!(fragments.len(), 4);
    let flags: Vec<u8> = fragments.iter().map(|frame| frame.flags).collect();
    assert_eq!(flags, [flag::MORE, flag::MORE, flag::MORE, 0]);
    let joined: Vec<u8> = fragments.iter().flat_map(|f| f.payload.iter().copied()).collect();
    assert!(joined == (0..=255).collect::<Vec<u8>>().repeat(800));
}

#[test]
fn a_cell_of_one_mebibyte_arrives_whole() {
    let mut gateway = Gateway::start();
    let padding = "#".repeat(1 << 20);
    let code = format!("out(b'%d' % len(payload))\n{padding}");
    // The scripted runner keeps the payload in a global, but the cell sees a copy of them.
    let code = code.replace("len(payload)", "len(sys.modules['__main__'].payload)");
    assert_eq!(gateway.run(1, &code), code.len().to_string());
}

#[test]
fn sixty_four_mebibytes_arrive_to_the_byte() {
    const LINES: usize = 64 << 10;
    let mut gateway = Gateway::start();
    let line = |number: usize| format!("{number:08}{}\n", "x".repeat(1015));
    let code = format!("for i in range({LINES}): os.write(1, b'%08d' % i + b'x' * 1015 + b'\\n')");
    gateway.execute(1, &code);
    let (mut at, mut expected) = (0, line(0).into_bytes());
    let mut number = 0;
    loop {
        let frame = gateway.next();
        if frame.kind == kind::DONE {
            break;
        }
        assert_eq!((frame.kind, frame.flags, frame.cell), (kind::OUTPUT, 0, 1));
        let mut rest = frame.payload.as_slice();
        while !rest.is_empty() {
            let length = rest.len().min(expected.len() - at);
            assert!(rest[..length] == expected[at..at + length], "line {number} differs");
            (rest, at) = (&rest[length..], at + length);
            if at == expected.len() {
                number += 1;
                (at, expected) = (0, line(number).into_bytes());
            }
        }
    }
    assert_eq!((number, at), (LINES, 0));
}

#[test]
fn of_many_cells_that_leave_children_the_oldest_loses_its_pipes() {
    let mut gateway = Gateway::start();
    let (_, fifo) = gateway.fifo("go");
    let child = format!("open({fifo})\n os.write(1, b'%d' % cell)\n os._exit(0)");
    for cell in 1..=33 {
        gateway.run(cell, &format!("if os.fork() == 0:\n {child}"));
    }
    let log = gateway.expect(kind::LOG);
    assert!(String::from_utf8(log.payload).unwrap().contains("cell 1"));
    gateway.execute(34, &format!("f = open({fifo}, 'w')\nfor _ in range(33): os.wait()"));
    let mut frames = gateway.until(kind::DONE);
    let late = |frames: &[crate::harness::Frame]| {
        let mut cells: Vec<u32> =
            frames.iter().filter(|f| f.flags == flag::LATE).map(|f| f.cell).collect();
        cells.sort();
        cells
    };
    while late(&frames).len() < 32 {
        frames.push(gateway.next());
    }
    assert_eq!(late(&frames), (2..=33).collect::<Vec<u32>>());
}

#[test]
fn a_child_keeps_its_pipes_through_a_loop_of_short_cells() {
    let mut gateway = Gateway::start();
    let (_, fifo) = gateway.fifo("go");
    let child = format!("open({fifo})\n os.write(1, b'still there')\n os._exit(0)");
    gateway.run(1, &format!("if os.fork() == 0:\n {child}"));
    for cell in 2..=200 {
        gateway.run(cell, "pass");
    }
    gateway.execute(201, &format!("f = open({fifo}, 'w'); os.wait()"));
    let (mut frames, _) = gateway.finish(201);
    while written(&frames, 1, flag::LATE).is_empty() {
        frames.push(gateway.next());
    }
    assert_eq!(written(&frames, 1, flag::LATE), b"still there");
}

#[test]
fn pipes_to_which_nothing_is_left_to_write_serve_the_next_cell() {
    let mut gateway = Gateway::start();
    let mut cell = 0;
    // Outside a PID namespace of its own a supervisor sees the forks of the whole machine, so it
    // takes some cells until there was none.
    eventually("a cell has the pipes of the one before it", || {
        cell += 1;
        let told = gateway.run(cell, "alone = True; out(b'fresh' if fresh else b'passed on')");
        assert!(told == "passed on" || told == "fresh");
        told == "passed on"
    });
}

#[test]
fn a_process_born_in_a_cell_keeps_its_pipes_whatever_the_runner_says() {
    let mut gateway = Gateway::start();
    let (_, fifo) = gateway.fifo("go");
    let child = format!("open({fifo})\n os.write(1, b'of the first')\n os._exit(0)");
    gateway.run(1, &format!("alone = True\nif os.fork() == 0:\n {child}"));
    assert_eq!(gateway.run(2, "out(b'fresh' if fresh else b'passed on')"), "fresh");
    gateway.execute(3, &format!("f = open({fifo}, 'w'); os.wait()"));
    let (mut frames, _) = gateway.finish(3);
    while written(&frames, 1, flag::LATE).is_empty() {
        frames.push(gateway.next());
    }
    assert_eq!(written(&frames, 1, flag::LATE), b"of the first");
}

#[test]
fn pipes_that_were_closed_serve_nobody() {
    let mut gateway = Gateway::start();
    for cell in 1..=50 {
        let told = gateway.run(cell, "out(b'whole'); alone = True; os.dup2(0, 1); os.dup2(0, 2)");
        assert_eq!(told, "whole");
    }
}

#[test]
fn what_is_written_between_two_cells_is_late_output_of_the_first() {
    let mut gateway = Gateway::start();
    let (go, name) = gateway.fifo("go");
    let meddle = format!(
        "def late():\n open({name}).read()\n os.write(1, b'late')\n\
         threading.Thread(target=late).start()\nalone = True"
    );
    for cell in (1..=40).step_by(2) {
        assert_eq!(gateway.run(cell, &meddle), "");
        std::fs::write(&go, "").unwrap();
        let mut frames = Vec::new();
        while written(&frames, cell, flag::LATE).is_empty() {
            frames.push(gateway.next());
        }
        assert_eq!(gateway.run(cell + 1, "out(b'next')"), "next");
    }
}
