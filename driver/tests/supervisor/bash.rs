//! Bash as an interpreter: state, exit status, interrupts, ends.

use std::io::Write;
use std::process::{Command, Stdio};

use cellgate_driver::wire::{Done, Exited, Outcome, Setup, flag, kind};

use super::harness::{Frame, Gateway, eventually, setup, written};

/// A gateway whose interpreter is bash; `None` where there is none.
fn bash() -> Option<Gateway> {
    if !std::path::Path::new("/bin/bash").exists() {
        let required = std::env::var("CELLGATE_REQUIRE").is_ok_and(|value| value == "all");
        assert!(!required, "required, but there is no /bin/bash");
        eprintln!("skipped: there is no /bin/bash");
        return None;
    }
    let language = Setup { language: "bash".into(), interpreter: "bash".into(), ..setup() };
    Some(Gateway::with(&language))
}

/// Runs a cell; answers its frames and how it ended.
fn run(gateway: &mut Gateway, cell: u32, code: &str) -> (Vec<Frame>, Done) {
    start(gateway, cell, code);
    gateway.finish(cell)
}

fn start(gateway: &mut Gateway, cell: u32, code: &str) {
    let json = format!(r#"{{"id": "a", "code": {}}}"#, quoted(code));
    gateway.send(kind::EXECUTE, cell, json.as_bytes());
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

fn stdout(frames: &[Frame], cell: u32) -> String {
    String::from_utf8(written(frames, cell, 0)).unwrap()
}

fn detail(frames: &[Frame]) -> Option<String> {
    let message = frames.iter().find(|frame| frame.kind == kind::MESSAGE)?;
    Some(String::from_utf8_lossy(&message.payload).into_owned())
}

#[test]
fn state_stays_and_output_is_the_cells() {
    let Some(mut gateway) = bash() else { return };
    let code = "x=5; f() { echo \"f $x\"; }; cd /tmp; shopt -s nullglob; export E='a b'";
    let (_, done) = run(&mut gateway, 1, code);
    assert_eq!(done.outcome, Outcome::Ok);
    let code = "f; pwd; bash -c 'echo $E'; shopt -q nullglob && echo set; echo wrong >&2\necho 'é'";
    let (frames, _) = run(&mut gateway, 2, code);
    assert_eq!(stdout(&frames, 2), "f 5\n/tmp\na b\nset\né\n");
    assert_eq!(written(&frames, 2, flag::STDERR), b"wrong\n");
    // Many cells, so that every pair of pipes is used again.
    for cell in 3..40 {
        let (frames, _) = run(&mut gateway, cell, &format!("echo {cell}"));
        assert_eq!(stdout(&frames, cell), format!("{cell}\n"));
    }
}

#[test]
fn the_exit_status_is_told_and_found_in_the_next_cell() {
    let Some(mut gateway) = bash() else { return };
    let (frames, done) = run(&mut gateway, 1, "(exit 7)");
    assert_eq!(done.outcome, Outcome::Ok);
    assert!(detail(&frames).unwrap().contains("exit status 7"));
    let (frames, _) = run(&mut gateway, 2, "echo $?");
    assert_eq!((stdout(&frames, 2).as_str(), detail(&frames)), ("7\n", None));
    let (frames, _) = run(&mut gateway, 3, "echo ok\nif [");
    assert!(detail(&frames).unwrap().contains("exit status"));
    let said = String::from_utf8(written(&frames, 3, flag::STDERR)).unwrap();
    assert!(said.contains("line 2") || said.contains("line 3"), "{said}");
}

#[test]
fn an_interrupt_stops_loops_and_commands_and_keeps_the_state() {
    let Some(mut gateway) = bash() else { return };
    run(&mut gateway, 1, "x=kept; set +e");
    let mut cell = 1;
    for code in
        ["while :; do :; done", "sleep 60", "sleep 60 | cat", "for i in 1 2; do sleep 60; done"]
    {
        for _ in 0..5 {
            cell += 1;
            start(&mut gateway, cell, &format!("echo begun; {code}"));
            gateway.until(kind::OUTPUT);
            gateway.interrupt(cell, 10_000);
            let (_, done) = gateway.finish(cell);
            assert_eq!(done.outcome, Outcome::Interrupted, "{code}");
            cell += 1;
            let (frames, _) = run(&mut gateway, cell, "echo $x");
            assert_eq!(stdout(&frames, cell), "kept\n", "{code}");
        }
    }
}

#[test]
fn exit_ends_it_with_its_code_and_a_fresh_one_comes() {
    let Some(mut gateway) = bash() else { return };
    run(&mut gateway, 1, "x=1");
    start(&mut gateway, 2, "echo last; exit 3");
    let frames = gateway.until(kind::EXITED);
    let exited = Exited::decode(&frames.last().unwrap().payload).unwrap();
    assert_eq!((exited.status, exited.signalled), (3, false));
    assert_eq!(stdout(&frames, 2), "last\n");
    gateway.expect(kind::READY);
    let (frames, _) = run(&mut gateway, 3, "echo \"[$x]\"");
    assert_eq!(stdout(&frames, 3), "[]\n");
    start(&mut gateway, 4, "kill -9 $$");
    let frames = gateway.until(kind::EXITED);
    let exited = Exited::decode(&frames.last().unwrap().payload).unwrap();
    assert_eq!((exited.status, exited.signalled), (9, true));
}

#[test]
fn background_output_is_late_output_of_its_cell() {
    let Some(mut gateway) = bash() else { return };
    let (fifo, path) = gateway.fifo("go");
    run(&mut gateway, 1, &format!("(read -r line < {path}; echo late $line) &"));
    run(&mut gateway, 2, "echo between");
    std::fs::File::options().write(true).open(fifo).unwrap().write_all(b"one\n").unwrap();
    let frame = gateway.until(kind::OUTPUT).pop().unwrap();
    assert_eq!(
        (frame.cell, frame.flags, &*frame.payload),
        (1, flag::LATE, b"late one\n".as_slice())
    );
}

#[test]
fn nothing_of_the_wire_reaches_what_it_starts() {
    let Some(mut gateway) = bash() else { return };
    let (frames, _) = run(&mut gateway, 1, "ls -l /proc/self/fd | grep -c socket");
    assert_eq!(stdout(&frames, 1), "0\n");
}

#[test]
fn questions_are_answered() {
    let Some(mut gateway) = bash() else { return };
    run(&mut gateway, 1, "some_variable=1; some_function() { :; }");
    let mut number = 0;
    let mut ask = |gateway: &mut Gateway, question: &str| {
        number += 1;
        gateway.send(kind::REQUEST, number, question.as_bytes());
        let frame = gateway.until(kind::REPLY).pop().unwrap();
        assert_eq!((frame.cell, frame.flags), (number, 0));
        String::from_utf8(frame.payload).unwrap()
    };
    for (code, status) in [
        ("echo", "complete"),
        ("if true; then", "incomplete"),
        ("echo 'a", "incomplete"),
        ("fi", "invalid"),
    ] {
        let answer =
            ask(&mut gateway, &format!(r#"{{"op": "is_complete", "code": {}}}"#, quoted(code)));
        assert!(answer.contains(&format!(r#""status":"{status}""#)), "{code}: {answer}");
    }
    let answer = ask(&mut gateway, r#"{"op": "complete", "code": "some_f", "cursor": 6}"#);
    assert!(answer.contains("some_function") && answer.contains(r#""start":0"#), "{answer}");
    let answer = ask(&mut gateway, r#"{"op": "complete", "code": "echo $some_", "cursor": 11}"#);
    assert!(answer.contains("some_variable") && answer.contains(r#""start":6"#), "{answer}");
    let (frames, _) = run(&mut gateway, 2, "echo after");
    assert_eq!(stdout(&frames, 2), "after\n");
}

#[test]
fn sixty_four_mebibytes_arrive_to_the_byte() {
    let Some(mut gateway) = bash() else { return };
    let path = gateway.path("data");
    let digits: Vec<u8> = (0..64 << 20).map(|at: u32| b'0' + (at % 7) as u8).collect();
    std::fs::write(&path, &digits).unwrap();
    let (frames, done) = run(&mut gateway, 1, &format!("cat {}", path.display()));
    assert!(written(&frames, 1, 0) == digits);
    assert_eq!(done.usage.output_bytes, 64 << 20);
}

#[test]
fn it_goes_with_its_supervisor() {
    let Some(mut gateway) = bash() else { return };
    let (frames, _) = run(&mut gateway, 1, "sleep 600 & echo $! $$");
    let pids = stdout(&frames, 1);
    gateway.link.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(gateway.wait().code(), Some(0));
    for pid in pids.split_whitespace() {
        let lives = || {
            let mut look = Command::new("kill");
            look.args(["-0", pid]).stderr(Stdio::null()).status().unwrap().success()
        };
        eventually("it is gone", || !lives());
    }
}

#[test]
fn a_program_has_arguments_and_fails_by_its_exit_status() {
    let Some(mut gateway) = bash() else { return };
    let code = quoted("echo \"$0 $# $2 $A\"; bash -c 'echo $A'; exit $1");
    for (cell, (status, outcome)) in (1..).zip([("0", Outcome::Ok), ("3", Outcome::Error)]) {
        let program = format!(r#"{{"argv": ["my script", "{status}", "a 'b'"]}}"#);
        let env = r#"{"A": "it's", "B": ""}"#;
        let json = format!(r#"{{"id": "a", "code": {code}, "env": {env}, "program": {program}}}"#);
        gateway.send(kind::EXECUTE, cell, json.as_bytes());
        let (frames, done) = gateway.finish(cell);
        assert_eq!(stdout(&frames, cell), "my script 2 a 'b' it's\nit's\n");
        assert_eq!(done.outcome, outcome);
        let failed = detail(&frames).is_some_and(|said| said.contains("SystemExit"));
        assert_eq!(failed, outcome == Outcome::Error);
    }
    // The variables of a cell are gone behind it.
    for (cell, env, expected) in [(3, r#"{"A": "here"}"#, "here here\n"), (4, "{}", " \n")] {
        let code = quoted("echo \"$A $(bash -c 'echo $A')\"");
        let json = format!(r#"{{"id": "a", "code": {code}, "env": {env}}}"#);
        gateway.send(kind::EXECUTE, cell, json.as_bytes());
        let (frames, _) = gateway.finish(cell);
        assert_eq!(stdout(&frames, cell), expected);
    }
}
