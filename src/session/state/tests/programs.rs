//! Several interpreters, and processes.

use super::*;
use crate::language::{DEFAULT, JAVASCRIPT};
use crate::protocol::event::ProgramKind;
use crate::template::Template;

/// A session of Python, which can also start JavaScript.
fn session() -> Story {
    let startable = Startable::for_tests(&Template::new("t", DEFAULT), &[DEFAULT, JAVASCRIPT]);
    Story(State::new(rules(), Arc::new(startable)))
}

fn said(json: &str) -> ClientMessage {
    ClientMessage::parse(json).unwrap()
}

fn of(program: u16, event: DriverEvent) -> DriverEvent {
    DriverEvent::OfProgram { program, event: Box::new(event) }
}

fn ready() -> DriverEvent {
    let json = r#"{"language": {"name": "javascript", "version": "20.11.1"}}"#;
    DriverEvent::Ready(Bytes::from_static(json.as_bytes()))
}

fn output_of_process(text: &'static str) -> DriverEvent {
    let bytes = Bytes::from_static(text.as_bytes());
    DriverEvent::Output { cell: 0, stream: Stream::Stdout, bytes }
}

/// A session with the process that the message opens, which has been started.
fn with_process(message: &str) -> Story {
    let mut story = session();
    story.send(said(message));
    story.hear(of(1, DriverEvent::Started { pid: 7 }));
    story
}

/// A session with a cell `j` of JavaScript, whose interpreter is ready.
fn with_javascript() -> Story {
    let mut story = session();
    story.send(said(r#"{"code": "1", "id": "j", "interpreter": "javascript"}"#));
    story.hear(of(1, ready()));
    story
}

#[test]
fn cells_of_two_interpreters_run_side_by_side_and_each_in_order() {
    let mut story = session();
    let open = r#"{"type": "open", "id": "js", "kind": "interpreter", "language": "javascript"}"#;
    assert_eq!(story.send(said(open)), ["→open of 1", "arm 60000 of 1", "busy"]);
    let cell = |id: &str| said(&format!(r#"{{"code": "1", "id": "{id}", "interpreter": "js"}}"#));
    // It waits until the interpreter is ready.
    assert_eq!(story.send(cell("j1")), ["queued j1 0"]);
    assert_eq!(story.send(execute("p1")), ["queued p1 0", "→execute 2", "started p1 [1]"]);
    let begun = ["disarm 1", "opened js javascript", "→execute 1 of 1", "started j1 [1]"];
    assert_eq!(story.hear(of(1, ready())), begun);
    assert_eq!(story.send(cell("j2")), ["queued j2 1"]);
    // Neither may say anything of the other's cells.
    assert!(story.hear(of(1, output(2, "stolen"))).is_empty());
    assert_eq!(story.hear(of(1, done(2, Outcome::Ok, 5))), ["log"]);
    assert_eq!(story.hear(of(1, output(1, "hi"))), [r#"stdout j1 "hi""#]);
    assert_eq!(story.hear(done(2, Outcome::Ok, 5)), ["done p1 Ok"]);
    let next = ["done j1 Ok", "→execute 3 of 1", "started j2 [2]"];
    assert_eq!(story.hear(of(1, done(1, Outcome::Ok, 5))), next);
    assert_eq!(story.hear(of(1, done(3, Outcome::Ok, 5))), ["done j2 Ok", "idle"]);
}

#[test]
fn a_cell_that_names_a_language_opens_its_interpreter() {
    let mut story = session();
    let cell = said(r#"{"code": "1", "id": "a", "interpreter": "javascript"}"#);
    let opened = ["→open of 1", "arm 60000 of 1", "busy", "queued a 0"];
    assert_eq!(story.send(cell), opened);
    let again = said(r#"{"code": "1", "id": "b", "interpreter": "javascript"}"#);
    assert_eq!(story.send(again), ["queued b 1"]);
    let unknown = said(r#"{"code": "1", "id": "c", "interpreter": "cobol"}"#);
    assert_eq!(story.send(unknown), ["refused NotRunning"]);
}

#[test]
fn an_interrupt_and_a_restart_concern_one_interpreter() {
    let mut story = with_javascript();
    story.send(execute("p"));
    let interrupt = said(r#"{"type": "interrupt", "id": "j"}"#);
    assert_eq!(story.send(interrupt), ["→interrupt 1 of 1", "arm 32000 of 1"]);
    let first = said(r#"{"type": "interrupt"}"#);
    assert_eq!(story.send(first), ["→interrupt 2", "arm 32000"]);
    let restart = said(r#"{"type": "restart", "interpreter": "javascript"}"#);
    assert_eq!(story.send(restart), ["→restart of 1", "arm 60000 of 1"]);
    let exit = exited(1, ExitCause::Restart, true, 9);
    assert_eq!(story.hear(of(1, exit)), ["done j Interrupted state lost", "arm 60000 of 1"]);
    let back = ["disarm 1", r#"restarted by Some("ada")"#];
    assert_eq!(story.hear(of(1, ready())), back);
    let none = said(r#"{"type": "restart", "interpreter": "p"}"#);
    assert_eq!(story.send(none), ["refused NotRunning"]);
}

#[test]
fn an_interpreter_that_cannot_be_started_is_told_of_and_its_cells_are_cancelled() {
    let mut story = session();
    story.send(said(r#"{"code": "1", "id": "j", "interpreter": "javascript"}"#));
    let gone = story.hear(of(1, exited(0, ExitCause::Own, false, 127)));
    let expected =
        ["done j Cancelled", "disarm 1", "→close of 1", "exited javascript by None", "idle"];
    assert_eq!(gone, expected);
    // What was on its way is nobody's.
    assert_eq!(story.hear(of(1, exited(0, ExitCause::Restart, false, 0))), ["log"]);
    assert_eq!(story.send(execute("a"))[0], "queued a 0", "the first one is there");
}

#[test]
fn an_interpreter_is_closed_with_its_cell_and_the_first_is_not() {
    let mut story = with_javascript();
    let close = r#"{"type": "close", "id": "javascript"}"#;
    assert_eq!(story.send(said(close)), ["→close of 1", "arm 60000 of 1"]);
    let gone = story.hear(of(1, exited(1, ExitCause::Restart, true, 9)));
    let expected =
        ["done j Interrupted state lost", "disarm 1", "exited javascript by None", "idle"];
    assert_eq!(gone, expected);
    assert_eq!(story.send(said(r#"{"type": "close", "id": "main"}"#)), ["refused BadMessage"]);
    assert_eq!(story.send(said(close)), ["refused NotRunning"]);
}

#[test]
fn a_process_is_started_says_what_it_writes_and_ends() {
    let mut story = session();
    let open = r#"{"type": "open", "id": "p", "kind": "process", "argv": ["ls"]}"#;
    assert_eq!(story.send(said(open)), ["→open of 1", "arm 60000 of 1"]);
    let started = story.hear(of(1, DriverEvent::Started { pid: 7 }));
    assert_eq!(started, ["disarm 1", "opened p process"]);
    assert!(story.0.is_working(), "a command is not cut off for idleness");
    let [_, told] = &story.0.programs()[..] else { panic!("two programs") };
    assert_eq!((told.kind, told.pid), (ProgramKind::Process, Some(7)));
    assert_eq!(told.argv, ["ls"]);
    let begun = Bytes::copy_from_slice(&"é".as_bytes()[..1]);
    let part = DriverEvent::Output { cell: 0, stream: Stream::Stdout, bytes: begun };
    assert_eq!(story.hear(of(1, output_of_process("a"))), [r#"p said "a""#]);
    assert!(story.hear(of(1, part)).is_empty());
    let gone = story.hear(of(1, exited(0, ExitCause::Own, false, 3)));
    assert_eq!(gone, ["p said \"\u{fffd}\"", "disarm 1", "exited p with 3"]);
    assert!(!story.0.is_working());
    let again = story.send(said(open));
    assert_eq!(again, ["→open of 2", "arm 60000 of 2"], "its id is free and its number is not");
}

#[test]
fn input_goes_on_as_far_as_it_is_taken_and_the_rest_waits_within_bounds() {
    let open = r#"{"type": "open", "id": "p", "kind": "process", "argv": ["cat"], "stdin": true}"#;
    let mut story = with_process(open);
    let write = |bytes: usize| {
        let text = "x".repeat(bytes);
        said(&format!(r#"{{"type": "write", "id": "p", "text": "{text}"}}"#))
    };
    assert_eq!(story.send(write(300 << 10)), vec!["→write 65536 of 1".to_owned(); 4]);
    assert!(story.send(write(900 << 10)).is_empty());
    assert_eq!(story.send(write(200 << 10)), ["refused QueueFull"]);
    assert!(story.send(said(r#"{"type": "write", "id": "p", "eof": true}"#)).is_empty());
    assert_eq!(story.send(write(1)), ["refused NotRunning"], "its input ends");
    let (mut sent, mut last) = (256 << 10, String::new());
    for _ in 0..(300 + 900) / 64 + 1 {
        for effect in story.hear(of(1, DriverEvent::Wrote { bytes: 1 << 16 })) {
            let bytes = effect.strip_prefix("→write ").and_then(|rest| rest.split(' ').next());
            sent += bytes.map_or(0, |bytes| bytes.parse::<usize>().unwrap());
            last = effect;
        }
    }
    assert_eq!((sent, &*last), (1200 << 10, "→end of input of 1"));
}

#[test]
fn what_a_process_does_not_have_is_refused() {
    let open = r#"{"type": "open", "id": "p", "kind": "process", "argv": ["ls"]}"#;
    let mut story = with_process(open);
    for (message, expected) in [
        (r#"{"type": "write", "id": "p", "text": "x"}"#, "refused BadMessage"),
        (r#"{"type": "resize", "id": "p", "cols": 80, "rows": 24}"#, "refused BadMessage"),
        (r#"{"type": "write", "id": "main", "text": "x"}"#, "refused BadMessage"),
        (r#"{"type": "signal", "id": "q", "signal": "SIGINT"}"#, "refused NotRunning"),
        (open, "refused DuplicateId"),
        (&open.replace("\"p\"", "\"main\""), "refused DuplicateId"),
        (r#"{"code": "1", "interpreter": "p"}"#, "refused NotRunning"),
        (
            r#"{"type": "open", "id": "i", "kind": "interpreter", "language": "cobol"}"#,
            "refused BadMessage",
        ),
        (r#"{"type": "signal", "id": "p", "signal": "SIGINT"}"#, "→signal 2 of 1"),
    ] {
        assert_eq!(story.send(said(message)), [expected], "{message}");
    }
    for id in ["\"q\"", "\"r\""] {
        assert_eq!(story.send(said(&open.replace("\"p\"", id))).len(), 2);
    }
    assert_eq!(story.send(said(&open.replace("\"p\"", "\"s\""))), ["refused QueueFull"]);
}

#[test]
fn what_is_too_long_for_the_driver_is_refused() {
    let mut story = session();
    let long = |arguments: usize| {
        let argv = vec!["x".repeat(100 << 10); arguments];
        said(
            &serde_json::json!({"type": "open", "id": "p", "kind": "process", "argv": argv})
                .to_string(),
        )
    };
    assert_eq!(story.send(long(11)), ["refused TooLarge"]);
    assert_eq!(story.send(long(10)).len(), 2);
}

#[test]
fn a_terminal_is_shown_and_does_not_keep_the_session_from_being_idle() {
    let mut story = with_process(
        r#"{"type": "open", "id": "t", "kind": "process", "terminal": {"cols": 80, "rows": 24}}"#,
    );
    assert!(!story.0.is_working());
    assert_eq!(story.hear(of(1, output_of_process("$ "))), [r#"t shows "$ ""#]);
    let resize = said(r#"{"type": "resize", "id": "t", "cols": 100, "rows": 30}"#);
    assert_eq!(story.send(resize), ["→resize 100x30 of 1"]);
    // A terminal goes on after the end of an input.
    let eof = || said(r#"{"type": "write", "id": "t", "eof": true}"#);
    assert_eq!(story.send(eof()), ["→end of input of 1"]);
    assert_eq!(story.send(eof()), ["→end of input of 1"]);
    let close = said(r#"{"type": "close", "id": "t"}"#);
    assert_eq!(story.send(close), ["→close of 1", "arm 60000 of 1"]);
    let gone = story.hear(of(1, exited(0, ExitCause::Restart, true, 9)));
    assert_eq!(gone, ["disarm 1", r#"exited t by Some("SIGKILL")"#]);
}

#[test]
fn files_that_a_cell_changed_are_told_with_its_end() {
    let mut story = session();
    story.send(execute("a"));
    let files = vec!["out.csv".to_owned()];
    assert!(story.hear(DriverEvent::FilesChanged { cell: 1, files, more: true }).is_empty());
    story.0.on_driver(done(1, Outcome::Ok, 5));
    let told = story.0.take_effects().into_iter().find_map(|effect| match effect {
        Effect::Emit(event @ Event::Done { .. }) => serde_json::to_value(event).ok(),
        _ => None,
    });
    let told = told.unwrap();
    let expected = (&serde_json::json!(["out.csv"]), &Value::Bool(true));
    assert_eq!((&told["files_changed"], &told["more"]), expected);
}

#[test]
fn a_gateway_that_shuts_down_waits_for_the_cells_of_all_interpreters() {
    let mut story = with_javascript();
    story.send(execute("p"));
    story.0.on_drain();
    assert_eq!(story.read().len(), 1, "a notice");
    assert_eq!(story.hear(done(2, Outcome::Ok, 5)), ["done p Ok"]);
    let last = story.hear(of(1, done(1, Outcome::Ok, 5)));
    assert_eq!(last, ["done j Ok", "ended", "ended Draining"]);
}
