//! The rules, each as a table or a short story.

use bytes::Bytes;
use cellgate_driver::wire::{CellUsage, Done, ExitCause, Exited, Outcome, Usage};
use serde_json::Value;

use super::*;
use crate::keys::{KeyConfig, PublishableKey};
use crate::protocol::client::{Query, QueryKind};
use crate::protocol::comm::JsonObject;
use crate::protocol::event::Stream;

mod programs;

fn rules() -> Rules {
    Rules {
        queue: 3,
        timeout: None,
        output_bytes: None,
        output_kept_bytes: 0,
        interrupt_grace: Duration::from_secs(2),
        programs: 4,
        memory_bytes: 512 << 20,
        memory: crate::memory::Budget::new(64 << 20).account(),
        key_holder: None,
    }
}

fn by() -> Arc<str> {
    "ada".into()
}

fn execute(id: &str) -> ClientMessage {
    ClientMessage::Execute(Execute {
        code: "pass".into(),
        id: Some(id.into()),
        allow_input: true,
        ..Execute::default()
    })
}

/// A message on the comm `w`.
fn comm(id: &str) -> ClientMessage {
    let message = r#"{"type": "comm_msg", "comm_id": "w", "data": {"value": 1.50}, "id": "ID"}"#;
    ClientMessage::parse(&message.replace("ID", id)).unwrap()
}

fn message(cell: u32, json: &'static str) -> DriverEvent {
    DriverEvent::Message { cell, json: Bytes::from_static(json.as_bytes()) }
}

fn done(cell: u32, outcome: Outcome, duration_us: u64) -> DriverEvent {
    let usage = CellUsage { duration_us, ..CellUsage::default() };
    DriverEvent::Done { cell, done: Done { outcome, memory_kills: 0, usage } }
}

fn exited(cell: u32, cause: ExitCause, signalled: bool, status: i32) -> DriverEvent {
    let exited = Exited {
        cause,
        signalled,
        status,
        memory_limit_bytes: 256 << 20,
        usage: CellUsage::default(),
        detail: String::new(),
    };
    DriverEvent::Exited { cell, exited }
}

fn output(cell: u32, text: &'static str) -> DriverEvent {
    let bytes = Bytes::from_static(text.as_bytes());
    DriverEvent::Output { cell, stream: Stream::Stdout, bytes }
}

/// A session and a short way of reading what it does.
struct Story(State);

impl Story {
    fn new(rules: Rules) -> Story {
        Story(State::new(rules, Arc::new(Startable::default())))
    }

    fn send(&mut self, message: ClientMessage) -> Vec<String> {
        self.0.on_message(1, &by(), message);
        self.read()
    }

    fn hear(&mut self, event: DriverEvent) -> Vec<String> {
        self.0.on_driver(event);
        self.read()
    }

    /// Effects in a word or two each.
    fn read(&mut self) -> Vec<String> {
        let tell = |effect: &Effect| match effect {
            Effect::Emit(event) => tell_event(event),
            Effect::Reply(_, Reply::ProtocolError { code, .. }) => format!("refused {code:?}"),
            Effect::Reply(_, Reply::CompleteReply { answer, .. }) => {
                format!("completed {:?} busy={}", answer.matches, answer.busy)
            }
            Effect::Reply(_, Reply::IsCompleteReply { answer, .. }) => {
                format!("complete {:?} busy={}", answer.status, answer.busy)
            }
            Effect::Reply(_, reply) => serde_json::to_string(reply).unwrap(),
            Effect::Send(command) => tell_command(command),
            Effect::ArmTimer { program: 0, after } => format!("arm {}", after.as_millis()),
            Effect::ArmTimer { program, after } => {
                format!("arm {} of {program}", after.as_millis())
            }
            Effect::DisarmTimer { program: 0 } => "disarm".to_owned(),
            Effect::DisarmTimer { program } => format!("disarm {program}"),
            Effect::Archive { id, bytes } => {
                format!("keep {id} {:?}", String::from_utf8_lossy(bytes))
            }
            Effect::EndArchive { id, omitted } => {
                format!("{} {id}", if *omitted { "kept" } else { "forget" })
            }
            Effect::Log(_) => "log".to_owned(),
        };
        self.0.take_effects().iter().map(tell).collect()
    }
}

fn tell_command(command: &DriverCommand) -> String {
    match command {
        DriverCommand::Execute { cell, .. } => format!("→execute {cell}"),
        DriverCommand::Interrupt { cell, .. } => format!("→interrupt {cell}"),
        DriverCommand::Input { cell, json } => {
            format!("→input {cell} {}", String::from_utf8_lossy(json))
        }
        DriverCommand::Request { number, .. } => format!("→request {number}"),
        DriverCommand::File { .. } => "→file".to_owned(),
        DriverCommand::Restart => "→restart".to_owned(),
        DriverCommand::Open(_) => "→open".to_owned(),
        DriverCommand::Close => "→close".to_owned(),
        DriverCommand::Write(bytes) if bytes.is_empty() => "→end of input".to_owned(),
        DriverCommand::Write(bytes) => format!("→write {}", bytes.len()),
        DriverCommand::Signal(number) => format!("→signal {number}"),
        DriverCommand::Resize(size) => format!("→resize {}x{}", size.columns, size.rows),
        DriverCommand::OfProgram { program, command } => {
            format!("{} of {program}", tell_command(command))
        }
    }
}

fn tell_event(event: &Event) -> String {
    match event {
        Event::Queued { id, position, .. } => format!("queued {id} {position}"),
        Event::Started { id, comm_id: Some(comm), .. } => format!("started {id} on {comm}"),
        Event::Started { id, execution_count, .. } => match execution_count {
            Some(count) => format!("started {id} [{count}]"),
            None => format!("started {id}"),
        },
        Event::Opened(program) => {
            format!("opened {} {}", program.id, program.language.as_deref().unwrap_or("process"))
        }
        Event::Exited { id, code: Some(code), .. } => format!("exited {id} with {code}"),
        Event::Exited { id, signal, .. } => format!("exited {id} by {signal:?}"),
        Event::ProcessStdout(out) => format!("{} said {:?}", out.program, &*out.text),
        Event::ProcessTerminal(out) => format!("{} shows {:?}", out.program, &*out.text),
        Event::Stdout(out) if out.late => format!("late {} {:?}", out.id, &*out.text),
        Event::Stdout(out) => format!("stdout {} {:?}", out.id, &*out.text),
        Event::Done { id, status, state_kept, .. } => {
            format!("done {id} {status:?}{}", if *state_kept { "" } else { " state lost" })
        }
        Event::Status { state } => format!("{state:?}").to_lowercase(),
        Event::Restarted { requested_by, .. } => format!("restarted by {requested_by:?}"),
        Event::Ended { reason, .. } => format!("ended {reason:?}"),
        Event::Truncated { id, omitted_bytes, .. } => format!("truncated {id} {omitted_bytes}"),
        Event::Notice { code, .. } if code == "output_budget" => format!("notice {code}"),
        Event::CommMsg(said) => {
            format!("comm {} of {:?}: {}", said.comm_id, said.id, said.data.get())
        }
        Event::Notice { level, code, text } if code == "unreadable" => {
            format!("{level:?} {code}: {text}")
        }
        Event::InputRequest { id, prompt, .. } => format!("asks {id} {prompt:?}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_cell_goes_from_queued_to_done() {
    let mut story = Story::new(rules());
    assert_eq!(story.send(execute("a")), ["queued a 0", "busy", "→execute 1", "started a [1]"]);
    assert_eq!(story.hear(output(1, "hi\n")), ["stdout a \"hi\\n\""]);
    assert_eq!(story.hear(done(1, Outcome::Ok, 5)), ["done a Ok", "idle"]);
    assert_eq!(story.hear(output(1, "thread\n")), ["late a \"thread\\n\""]);
}

#[test]
fn a_message_on_a_comm_runs_like_a_silent_cell() {
    const SAID: &str = r#"{"type": "comm_msg", "comm_id": "w", "data": {"a": 1}}"#;
    let mut story = Story::new(rules());
    story.0.on_message(1, &by(), comm("m"));
    let order = story.0.common.effects.iter().find_map(|effect| match effect {
        Effect::Send(DriverCommand::Execute { json, .. }) => Some(String::from_utf8_lossy(json)),
        _ => None,
    });
    let expected = r#"{"id":"m","code":"","execution_count":null,"silent":true,"allow_input":true,"comm":{"type":"comm_msg","comm_id":"w","data":{"value": 1.50},"metadata":{},"buffers":[]}}"#;
    assert_eq!(order.as_deref(), Some(expected));
    assert_eq!(story.read(), ["busy", "→execute 1", "started m on w"]);
    assert_eq!(story.hear(message(1, SAID)), [r#"comm w of Some("m"): {"a": 1}"#]);
    assert_eq!(story.send(comm("m")), ["refused DuplicateId"]);
    assert_eq!(story.hear(output(1, "hi")), ["stdout m \"hi\""]);
    assert_eq!(story.hear(done(1, Outcome::Error, 5)), ["done m Error", "idle"]);
    assert_eq!(story.hear(message(1, SAID)), [r#"comm w of None: {"a": 1}"#]);
    assert_eq!(story.send(execute("a"))[3], "started a [1]", "it did not count");
}

#[test]
fn messages_on_comms_wait_with_the_cells() {
    let mut story = Story::new(rules());
    story.send(execute("a"));
    for id in ["m", "n", "o"] {
        assert_eq!(story.send(comm(id)), [""; 0], "nobody is told that it waits");
    }
    assert_eq!(story.send(comm("p")), ["refused QueueFull"]);
    assert_eq!(story.send(execute("b")), ["refused QueueFull"]);
    let interrupt = |id: &str| ClientMessage::Interrupt { id: Some(id.into()), interpreter: None };
    assert_eq!(story.send(interrupt("n")), ["done n Cancelled"]);
    assert_eq!(story.hear(done(1, Outcome::Ok, 5)), ["done a Ok", "→execute 2", "started m on w"]);
    assert_eq!(story.send(interrupt("m")), ["→interrupt 2", "arm 32000"]);
    assert_eq!(
        story.hear(done(2, Outcome::Interrupted, 5)),
        ["disarm", "done m Interrupted", "→execute 4", "started o on w"]
    );
    story.send(comm("q"));
    let restarted = story.send(ClientMessage::Restart { interpreter: None });
    assert_eq!(restarted, ["done q Cancelled", "→restart", "arm 60000", "restarting"]);
    let ended = story.hear(exited(4, ExitCause::Restart, true, 9));
    assert_eq!(ended[0], "done o Interrupted state lost");
}

/// Takes what is told next of cells: the type of each event and, if it has one, its `cell`.
fn cells_of_document(story: &mut Story) -> Vec<(String, Value)> {
    let effects = story.0.take_effects();
    let events = effects.iter().filter_map(|effect| match effect {
        Effect::Emit(event) => Some(serde_json::to_value(event).unwrap()),
        _ => None,
    });
    let of_cells = events.filter(|event| event["id"].is_string());
    of_cells.map(|one| (one["type"].as_str().unwrap().to_owned(), one["cell"].clone())).collect()
}

#[test]
fn the_documents_cell_is_told_with_all_that_becomes_of_a_run() {
    let mut story = Story::new(rules());
    for message in [
        r#"{"code": "1", "id": "a", "cell": "first"}"#,
        r#"{"code": "2", "id": "b", "cell": "first"}"#,
        r#"{"code": "3", "id": "c"}"#,
    ] {
        story.0.on_message(1, &by(), ClientMessage::parse(message).unwrap());
    }
    let told = |list: &[(&str, Option<&str>)]| -> Vec<(String, Value)> {
        list.iter().map(|(kind, cell)| (kind.to_string(), serde_json::json!(cell))).collect()
    };
    let first = Some("first");
    let begun = [("queued", first), ("started", first), ("queued", first), ("queued", None)];
    assert_eq!(cells_of_document(&mut story), told(&begun));
    // One that is cancelled and one that runs, and one that is of no cell.
    story.0.on_message(
        1,
        &by(),
        ClientMessage::Interrupt { id: Some("b".into()), interpreter: None },
    );
    story.0.on_driver(done(1, Outcome::Ok, 5));
    let ended = [("done", first), ("done", first), ("started", None)];
    assert_eq!(cells_of_document(&mut story), told(&ended));
}

#[test]
fn values_of_expressions_are_told_with_the_end_of_a_cell_that_is_ok() {
    let values = r#"{"a": {"status": "ok", "data": {"text/plain": "1.50"}, "metadata": {}}}"#;
    let evaluated = |cell| DriverEvent::Message {
        cell,
        json: format!(r#"{{"type": "user_expressions", "values": {values}}}"#).into(),
    };
    let mut story = Story::new(rules());
    let used = story.0.common.rules.memory.clone();
    for (cell, outcome) in [(1, Outcome::Ok), (2, Outcome::Error)] {
        let message = r#"{"code": "1", "user_expressions": {"a": "1.50"}}"#;
        story.0.on_message(1, &by(), ClientMessage::parse(message).unwrap());
        let order = story.0.common.effects.iter().find_map(|effect| match effect {
            Effect::Send(DriverCommand::Execute { json, .. }) => {
                Some(String::from_utf8_lossy(json))
            }
            _ => None,
        });
        assert!(order.unwrap().contains(r#""user_expressions":{"a":"1.50"}"#));
        story.read();
        assert_eq!(story.hear(evaluated(cell)), [""; 0]);
        assert!(used.used() >= values.len());
        story.0.on_driver(done(cell, outcome, 5));
        let told = story.0.common.effects.iter().find_map(|effect| match effect {
            Effect::Emit(Event::Done { user_expressions, .. }) => Some(user_expressions.clone()),
            _ => None,
        });
        let expected = (outcome == Outcome::Ok).then_some(values);
        assert_eq!(told.unwrap().as_ref().map(JsonObject::get), expected);
        story.read();
        assert_eq!(story.hear(evaluated(cell)), ["log"], "it comes too late");
        assert_eq!(used.used(), 0);
    }
    let silent = r#"{"code": "1", "silent": true, "store_history": true, "id": "s"}"#;
    let begun = story.send(ClientMessage::parse(silent).unwrap());
    assert_eq!(begun.last().map(String::as_str), Some("started s [3]"));
}

#[test]
fn a_message_on_a_comm_is_charged_with_all_its_bytes() {
    let mut rules = rules();
    rules.memory = crate::memory::Budget::new(1 << 20).account();
    let mut story = Story::new(rules);
    story.send(execute("a"));
    let buffer = "A".repeat(1 << 20);
    let large = format!(r#"{{"type": "comm_msg", "comm_id": "w", "buffers": ["{buffer}"]}}"#);
    assert_eq!(story.send(ClientMessage::parse(&large).unwrap()), ["refused QueueFull"]);
}

#[test]
fn code_in_the_background_says_something_on_comms_and_nothing_else() {
    let mut story = Story::new(rules());
    let said = r#"{"type": "comm_msg", "comm_id": "w", "id": "forged"}"#;
    assert_eq!(story.hear(message(0, said)), ["comm w of None: {}"]);
    story.send(execute("a"));
    assert_eq!(story.hear(message(0, said)), ["comm w of None: {}"]);
    for (json, why) in [
        (r#"{"type": "display", "data": {}}"#, "there is no type \"display\""),
        (r#"{"type": "comm_msg", "comm_id": ""}"#, "`comm_id` has 0 bytes, and may have 1 to 1024"),
    ] {
        let told = format!(
            "Warning unreadable: something that code in the background sends cannot be passed on: \
             {why}"
        );
        assert_eq!(story.hear(message(0, json)), [told]);
    }
    let refused = story.hear(DriverEvent::Refused { cell: 0 });
    assert!(refused[0].starts_with("Warning unreadable: something that code in the background"));
}

#[test]
fn cells_wait_their_turn_and_stay_busy_between() {
    let mut story = Story::new(rules());
    story.send(execute("a"));
    assert_eq!(story.send(execute("b")), ["queued b 1"]);
    assert_eq!(story.send(execute("b")), ["refused DuplicateId"]);
    assert_eq!(story.send(execute("c")), ["queued c 2"]);
    assert_eq!(story.send(execute("d")), ["queued d 3"]);
    assert_eq!(story.send(execute("e")), ["refused QueueFull"]);
    assert_eq!(
        story.hear(done(1, Outcome::Error, 5)),
        ["done a Error", "→execute 2", "started b [2]"]
    );
    assert_eq!(story.send(execute("e")), ["queued e 3"], "a refused id is not taken");
}

#[test]
fn a_silent_cell_counts_nothing() {
    let mut story = Story::new(rules());
    let silent = Execute { code: "1".into(), silent: true, ..Execute::default() };
    let told = story.send(ClientMessage::Execute(silent));
    assert_eq!(told.last().unwrap(), "started cell-1");
    story.hear(done(1, Outcome::Ok, 5));
    assert_eq!(story.send(execute("a")).last().unwrap(), "started a [1]");
}

#[test]
fn interrupting_is_idempotent_and_cancels_what_waits() {
    let mut story = Story::new(rules());
    let interrupt = |id: Option<&str>| ClientMessage::Interrupt {
        id: id.map(str::to_owned),
        interpreter: None,
    };
    assert_eq!(story.send(interrupt(None)), Vec::<String>::new(), "nothing runs");
    assert_eq!(story.send(interrupt(Some("a"))), ["refused NotRunning"]);
    story.send(execute("a"));
    story.send(execute("b"));
    assert_eq!(story.send(interrupt(Some("b"))), ["done b Cancelled"]);
    assert_eq!(story.send(interrupt(Some("b"))), Vec::<String>::new(), "it has ended");
    assert_eq!(story.send(interrupt(Some("a"))), ["→interrupt 1", "arm 32000"]);
    assert_eq!(story.send(interrupt(None)), Vec::<String>::new(), "it was told already");
    assert_eq!(
        story.hear(done(1, Outcome::Interrupted, 9)),
        ["disarm", "done a Interrupted", "idle"]
    );
}

#[test]
fn every_end_of_a_cell_has_its_status() {
    let timeout = Some(Duration::from_millis(100));
    type Stop = fn(&mut Story);
    let none: Stop = |_| {};
    let time_out: Stop = |story| story.0.on_timer(0);
    let interrupt: Stop = |story| {
        story.send(ClientMessage::Interrupt { id: None, interpreter: None });
    };
    let restart: Stop = |story| {
        story.send(ClientMessage::Restart { interpreter: None });
    };
    for (stop, end, expected) in [
        (none, done(1, Outcome::Ok, 1), "done a Ok"),
        (none, done(1, Outcome::Error, 1), "done a Error"),
        (none, done(1, Outcome::Interrupted, 1), "done a Error"), // raised by the code itself
        (time_out, done(1, Outcome::Interrupted, 100_000), "done a Timeout"),
        (time_out, done(1, Outcome::Ok, 200_000), "done a Timeout"),
        (time_out, done(1, Outcome::Ok, 99_999), "done a Ok"),
        (interrupt, done(1, Outcome::Ok, 1), "done a Ok"),
        (interrupt, done(1, Outcome::Error, 1), "done a Interrupted"),
        (none, exited(1, ExitCause::Own, false, 3), "done a Exited state lost"),
        (none, exited(1, ExitCause::Own, true, 11), "done a Exited state lost"),
        (none, exited(1, ExitCause::Memory, true, 9), "done a Oom state lost"),
        (none, exited(1, ExitCause::Protocol, true, 9), "done a Exited state lost"),
        (interrupt, exited(1, ExitCause::Stubborn, true, 9), "done a Killed state lost"),
        (interrupt, exited(1, ExitCause::Own, true, 2), "done a Interrupted state lost"),
        (time_out, exited(1, ExitCause::Stubborn, true, 9), "done a Timeout state lost"),
        (restart, exited(1, ExitCause::Restart, true, 9), "done a Interrupted state lost"),
    ] {
        let mut story = Story::new(Rules { timeout, ..rules() });
        story.send(execute("a"));
        stop(&mut story);
        story.read();
        let told = story.hear(end);
        let ends: Vec<&String> = told.iter().filter(|line| line.starts_with("done")).collect();
        assert_eq!(ends, [expected]);
    }
}

#[test]
fn the_shorter_timeout_counts() {
    for (template, asked, armed) in [
        (None, None, None),
        (Some(500), None, Some("arm 500")),
        (None, Some(70), Some("arm 70")),
        (Some(500), Some(70), Some("arm 70")),
        (Some(500), Some(9_000), Some("arm 500")),
    ] {
        let timeout = template.map(Duration::from_millis);
        let mut story = Story::new(Rules { timeout, ..rules() });
        let cell = Execute { code: "1".into(), timeout_ms: asked, ..Execute::default() };
        let told = story.send(ClientMessage::Execute(cell));
        let arm = told.iter().find(|line| line.starts_with("arm")).map(String::as_str);
        assert_eq!(arm, armed);
    }
}

#[test]
fn a_dead_interpreter_cancels_what_waits_and_a_fresh_one_takes_over() {
    let mut story = Story::new(rules());
    story.send(execute("a"));
    story.send(execute("b"));
    assert_eq!(
        story.hear(exited(1, ExitCause::Own, true, 11)),
        ["done a Exited state lost", "done b Cancelled", "restarting", "arm 60000"]
    );
    assert_eq!(story.send(execute("c")), ["queued c 0"], "it waits for the fresh one");
    assert_eq!(
        story.hear(DriverEvent::Ready(Bytes::new())),
        ["disarm", "restarted by None", "busy", "→execute 3", "started c [1]"]
    );
}

#[test]
fn an_interpreter_may_die_while_idle() {
    let mut story = Story::new(rules());
    let told = story.hear(exited(0, ExitCause::Own, false, 0));
    assert_eq!(told, ["restarting", "arm 60000"]);
    let told = story.hear(DriverEvent::Ready(Bytes::new()));
    assert_eq!(told, ["disarm", "restarted by None", "idle"]);
}

#[test]
fn an_interpreter_that_cannot_start_again_ends_the_session() {
    let mut story = Story::new(rules());
    story.hear(exited(0, ExitCause::Own, false, 1));
    let told = story.hear(exited(0, ExitCause::Own, false, 1));
    assert_eq!(told, ["ended", "ended InterpreterFailed"]);
    assert_eq!(story.send(execute("a")), Vec::<String>::new());
}

#[test]
fn an_interpreter_that_cannot_start_for_lack_of_memory_ends_the_session_too() {
    let mut story = Story::new(rules());
    // What fills the memory are files, which outlive the interpreter.
    story.hear(exited(0, ExitCause::Memory, true, 9));
    let told = story.hear(exited(0, ExitCause::Memory, true, 9));
    assert_eq!(told, ["ended", "ended InterpreterFailed"]);
}

#[test]
fn an_interpreter_that_ends_while_a_restart_is_on_its_way_ends_nothing_else() {
    let mut story = Story::new(rules());
    story.send(ClientMessage::Restart { interpreter: None });
    // It ended by itself before the RESTART came, and had been ready: another follows.
    assert!(!story.hear(exited(0, ExitCause::Own, false, 1)).contains(&"ended".to_owned()));
    assert!(!story.hear(exited(0, ExitCause::Restart, true, 9)).contains(&"ended".to_owned()));
    assert_eq!(story.hear(DriverEvent::Ready(Bytes::new())).last().unwrap(), "idle");
}

#[test]
fn a_restart_cancels_the_queue_and_says_who_asked() {
    let mut story = Story::new(rules());
    story.send(execute("a"));
    story.send(execute("b"));
    assert_eq!(
        story.send(ClientMessage::Restart { interpreter: None }),
        ["done b Cancelled", "→restart", "arm 60000", "restarting"]
    );
    assert_eq!(story.send(ClientMessage::Restart { interpreter: None }), Vec::<String>::new());
    assert_eq!(
        story.hear(exited(1, ExitCause::Restart, true, 9)),
        ["done a Interrupted state lost", "arm 60000"]
    );
    let told = story.hear(DriverEvent::Ready(Bytes::new()));
    assert_eq!(told, ["disarm", "restarted by Some(\"ada\")", "idle"]);
}

#[test]
fn an_end_that_crosses_a_restart_or_an_interrupt_in_it_leaves_the_restart_its_deadline() {
    let mut story = Story::new(rules());
    story.send(execute("a"));
    story.send(ClientMessage::Restart { interpreter: None });
    // The driver said so before it heard of the restart. Nothing but EXITED takes the deadline
    // away.
    assert_eq!(story.hear(done(1, Outcome::Ok, 5)), ["done a Ok"]);
    assert_eq!(
        story.send(ClientMessage::Interrupt { id: None, interpreter: None }),
        Vec::<String>::new()
    );
    story.hear(exited(0, ExitCause::Restart, true, 9));
    story.hear(DriverEvent::Ready(Bytes::new()));
    // A cell on its way to an interpreter that ends, and its interrupt: its own time begins later.
    story.send(execute("b"));
    story.hear(exited(0, ExitCause::Own, false, 1));
    assert_eq!(
        story.send(ClientMessage::Interrupt { id: None, interpreter: None }),
        ["→interrupt 2"]
    );
    let told = story.hear(DriverEvent::Ready(Bytes::new()));
    assert_eq!(told, ["arm 32000", "restarted by None", "busy"]);
}

#[test]
fn stop_on_error_cancels_what_is_queued_behind() {
    let mut story = Story::new(rules());
    let careful = Execute {
        code: "1/0".into(),
        id: Some("a".into()),
        stop_on_error: true,
        ..Execute::default()
    };
    story.send(ClientMessage::Execute(careful));
    story.send(execute("b"));
    assert_eq!(
        story.hear(done(1, Outcome::Error, 1)),
        ["done a Error", "done b Cancelled", "idle"]
    );
}

#[test]
fn of_output_beyond_the_budget_head_and_tail_are_shown() {
    let mut story = Story::new(Rules { output_bytes: Some(6), output_kept_bytes: 100, ..rules() });
    story.send(execute("a"));
    assert_eq!(story.hear(output(1, "abc")), ["keep a \"abc\"", "stdout a \"abc\""]);
    let told = story.hear(output(1, "defgh"));
    assert_eq!(told, ["keep a \"defgh\"", "notice output_budget"]);
    assert_eq!(story.hear(output(1, "ijk")), ["keep a \"ijk\""]);
    assert_eq!(
        story.hear(done(1, Outcome::Ok, 1)),
        ["truncated a 5", "stdout a \"ijk\"", "kept a", "done a Ok", "idle"]
    );
    // One that keeps within it is shown whole, its end when it ends.
    story.send(execute("b"));
    story.hear(output(2, "abcde"));
    assert_eq!(
        story.hear(done(2, Outcome::Ok, 1)),
        ["stdout b \"de\"", "forget b", "done b Ok", "idle"]
    );
}

#[test]
fn output_beyond_what_is_kept_stops_the_cell() {
    for (kept, most) in [(0, 6), (8, 8)] {
        let rules = Rules { output_bytes: Some(6), output_kept_bytes: kept, ..rules() };
        let mut story = Story::new(rules);
        story.send(execute("a"));
        story.hear(output(1, "abc"));
        let told = story.hear(output(1, "defghijk"));
        let keeps = format!("keep a {:?}", &"defghijk"[..most - 3]);
        assert_eq!(told, [&keeps[..], "→interrupt 1", "arm 32000"]);
        assert_eq!(story.hear(output(1, "lmn")), Vec::<String>::new());
        assert_eq!(
            story.hear(done(1, Outcome::Interrupted, 1)),
            ["disarm", "truncated a 8", "stdout a \"lmn\"", "kept a", "done a OutputLimit", "idle"]
        );
    }
}

#[test]
fn a_character_that_the_budget_cuts_is_omitted_whole() {
    let mut story = Story::new(Rules { output_bytes: Some(8), output_kept_bytes: 99, ..rules() });
    story.send(execute("a"));
    assert_eq!(
        story.hear(output(1, "abc€def€gh"))[1..],
        ["stdout a \"abc\"", "notice output_budget"]
    );
    assert_eq!(
        story.hear(done(1, Outcome::Ok, 1))[..2],
        ["truncated a 9", "stdout a \"gh\""],
        "two whole characters, what lies between, and what a tail of four bytes begins with"
    );
}

#[test]
fn input_goes_to_the_cell_that_asked_and_to_no_other() {
    let mut story = Story::new(rules());
    let input = |text: Option<&str>| ClientMessage::Input {
        id: "a".to_owned(),
        text: text.map(str::to_owned),
    };
    story.send(execute("a"));
    assert_eq!(story.send(input(Some("early"))), ["refused NotRunning"]);
    let json = Bytes::from_static(b"{\"type\":\"input_request\",\"prompt\":\"? \"}");
    let asks = DriverEvent::Message { cell: 1, json };
    assert_eq!(story.hear(asks.clone()), ["asks a \"? \""]);
    assert_eq!(story.send(input(Some("x"))), ["→input 1 {\"text\":\"x\"}"]);
    assert_eq!(story.send(input(Some("twice"))), ["refused NotRunning"]);
    story.hear(asks);
    assert_eq!(story.send(input(None)), ["→input 1 {\"eof\":true}"]);
}

#[test]
fn questions_are_passed_on_or_answered_busy() {
    let mut story = Story::new(rules());
    let ask = |kind| {
        let query =
            Query { id: "q".into(), kind, code: "pri".into(), cursor: 3, interpreter: None };
        ClientMessage::Query(query)
    };
    assert_eq!(story.send(ask(QueryKind::Complete)), ["→request 1"]);
    let json = Bytes::from_static(br#"{"matches":["print"],"start":0,"end":3}"#);
    let answered = story.hear(DriverEvent::Reply { number: 1, json: Some(json) });
    assert_eq!(answered, ["completed [\"print\"] busy=false"]);
    story.send(ask(QueryKind::Complete));
    let answered = story.hear(DriverEvent::Reply { number: 2, json: None });
    assert_eq!(answered, ["completed [] busy=true"]);
    let garbage = Bytes::from_static(b"[");
    story.send(ask(QueryKind::Complete));
    let answered = story.hear(DriverEvent::Reply { number: 3, json: Some(garbage) });
    assert_eq!(answered, ["log", "completed [] busy=true"]);

    story.send(ask(QueryKind::Variables));
    let json =
        Bytes::from_static(br#"{"variables":[{"name":"n","type":"int","preview":"3"}],"extra":1}"#);
    let answered = story.hear(DriverEvent::Reply { number: 4, json: Some(json) });
    let told = r#"{"type":"variables_reply","id":"q","variables":[{"name":"n","type":"int","preview":"3"}]}"#;
    assert_eq!(answered, [told], "what no client is promised is left out");
    let table = r#"{"type":"table","id":"q","table":"t"}"#;
    for (number, (answer, told)) in [
        (r#"{"rows":[[1,"a"]],"from":0}"#, r#""rows":[[1,"a"]],"from":0"#),
        (r#"{"rows":[[{"a":1}]]}"#, r#""busy":true"#),
        (r#"{"error":"gone"}"#, r#""error":"gone""#),
    ]
    .into_iter()
    .enumerate()
    {
        story.send(ClientMessage::parse(table).unwrap());
        let json = Some(Bytes::from_static(answer.as_bytes()));
        let answered = story.hear(DriverEvent::Reply { number: 5 + number as u32, json });
        let told = format!(r#"{{"type":"table_reply","id":"q",{told}}}"#);
        assert_eq!(answered.last(), Some(&told), "{answer}");
    }

    story.send(execute("a"));
    story.send(ask(QueryKind::IsComplete));
    let answered = story.hear(DriverEvent::Reply { number: 8, json: None });
    assert_eq!(answered, ["complete Unknown busy=true"], "one rule for all questions");
    assert_eq!(story.hear(done(1, Outcome::Ok, 1)), ["done a Ok", "idle"]);
}

#[test]
fn processes_killed_for_memory_are_told_with_the_cell() {
    let mut story = Story::new(rules());
    for (kills, text) in [
        (1, "a process that the code had started was killed"),
        (3, "3 processes that the code had started were killed"),
        (255, "255 processes or more that the code had started were killed"),
    ] {
        story.send(execute(&format!("cell of {kills}")));
        let number = [1, 3, 255].iter().position(|&other| other == kills).unwrap() as u32 + 1;
        let DriverEvent::Done { cell, done } = done(number, Outcome::Error, 1) else { panic!() };
        story.0.on_driver(DriverEvent::Done { cell, done: Done { memory_kills: kills, ..done } });
        let effects = story.0.take_effects();
        let told = |effect: &Effect| match effect {
            Effect::Emit(Event::Notice { code, text, .. }) if code == "process_killed" => {
                Some(text.clone())
            }
            Effect::Emit(Event::Done { status: CellStatus::Error, detail, .. }) => detail.clone(),
            _ => None,
        };
        let told: Vec<String> = effects.iter().filter_map(told).collect();
        let wanted = format!("{text}: the sandbox's memory ran out: limit 512 MiB");
        assert_eq!(told, [wanted.clone(), wanted]);
    }
}

#[test]
fn losing_the_sandbox_leaves_no_cell_without_an_end() {
    let mut story = Story::new(rules());
    story.send(execute("a"));
    story.send(execute("b"));
    story.0.on_lost("the container was removed");
    assert_eq!(
        story.read(),
        ["done a Lost state lost", "done b Cancelled", "ended", "ended SandboxLost"]
    );
    story.0.on_lost("again");
    assert_eq!(story.read(), Vec::<String>::new());
}

#[test]
fn a_hostile_driver_cannot_make_a_second_end() {
    let mut story = Story::new(rules());
    story.send(execute("a"));
    story.hear(done(1, Outcome::Ok, 1));
    for event in
        [done(1, Outcome::Ok, 1), done(7, Outcome::Ok, 1), DriverEvent::Ready(Bytes::new())]
    {
        assert_eq!(story.hear(event), ["log"]);
    }
    assert_eq!(story.hear(output(9, "of no cell we know")), Vec::<String>::new());
}

#[test]
fn a_hostile_driver_cannot_speak_for_cells_that_do_not_run() {
    let message =
        |cell, json: &'static [u8]| DriverEvent::Message { cell, json: Bytes::from_static(json) };
    let error = br#"{"type":"error","name":"E"}"#;
    let asks = br#"{"type":"input_request"}"#;
    let display = br#"{"type":"display","data":{}}"#;
    let mut story = Story::new(rules());
    story.send(execute("a"));
    story.send(execute("b"));
    for event in [output(2, "early"), output(2, "early"), message(2, display)] {
        assert_eq!(story.hear(event), Vec::<String>::new());
    }
    // The running cell's output is never late, the ended one's always.
    assert_eq!(story.hear(output(1, "now")), ["stdout a \"now\""]);
    story.hear(done(1, Outcome::Ok, 1));
    assert_eq!(story.hear(output(1, "after")), ["late a \"after\""]);
    for event in [message(1, error), message(1, asks), message(1, br#"{"type":"clear_output"}"#)] {
        assert_eq!(story.hear(event), ["log"]);
    }
    let told = story.hear(message(1, display));
    assert!(told[0].contains("late: true"), "{told:?}");
    story.send(ClientMessage::Input { id: "a".into(), text: None });
}

#[test]
fn what_cannot_be_passed_on_is_told() {
    let mut story = Story::new(rules());
    story.send(execute("a"));
    let deep = format!(r#"{{"type":"result","data":{{"x":{}1}}}}"#, "[".repeat(100_000));
    for json in [deep.as_str(), "{}", "[]", r#"{"type":"done"}"#, r#"{"type":"result","data":5}"#] {
        let json = Bytes::copy_from_slice(json.as_bytes());
        let told = story.hear(DriverEvent::Message { cell: 1, json });
        assert!(told[0].contains("Warning") && told[0].contains("unreadable"), "{told:?}");
    }
}

#[test]
fn a_driver_that_owes_an_answer_is_given_up() {
    let gone = "ended SandboxLost";
    let mut story = Story::new(rules());
    story.send(execute("a"));
    assert!(!story.0.awaits_answer());
    story.send(ClientMessage::Interrupt { id: None, interpreter: None });
    assert!(story.0.awaits_answer());
    story.0.on_timer(0);
    assert_eq!(story.read(), ["disarm", "done a Lost state lost", "ended", gone]);

    let mut story = Story::new(rules());
    story.send(ClientMessage::Restart { interpreter: None });
    assert!(story.0.awaits_answer());
    story.0.on_timer(0);
    assert_eq!(story.read(), ["ended", gone]);
}

#[test]
fn a_cell_on_its_way_to_a_dying_interpreter_runs_in_the_next_with_its_time_limit() {
    let timeout = Some(Duration::from_millis(500));
    let mut story = Story::new(Rules { timeout, ..rules() });
    story.send(execute("a"));
    // The supervisor had not heard of the cell when it said so.
    story.hear(exited(0, ExitCause::Own, false, 0));
    let told = story.hear(DriverEvent::Ready(Bytes::new()));
    assert_eq!(told, ["arm 500", "restarted by None", "busy"]);
    assert_eq!(story.hear(done(1, Outcome::Ok, 1)), ["disarm", "done a Ok", "idle"]);
}

#[test]
fn a_drained_session_finishes_what_it_accepted_and_takes_no_more() {
    let mut idle = Story::new(rules());
    idle.0.on_drain();
    assert_eq!(idle.read(), ["ended", "ended Draining"]);

    let mut story = Story::new(rules());
    story.send(execute("a"));
    story.send(execute("b"));
    story.0.on_drain();
    story.0.on_drain();
    assert_eq!(story.read().len(), 1, "one notice");
    assert_eq!(story.send(execute("c")), ["refused QueueFull"]);
    assert_eq!(story.hear(done(1, Outcome::Ok, 1)), ["done a Ok", "→execute 2", "started b [2]"]);
    assert_eq!(story.hear(done(2, Outcome::Ok, 1)), ["done b Ok", "ended", "ended Draining"]);
}

#[test]
fn people_are_warned_once_before_memory_runs_out() {
    let mut story = Story::new(rules());
    let mut warned = |used: u64| {
        let usage = Usage {
            memory_bytes: used << 20,
            memory_limit_bytes: 100 << 20,
            cpu_us: 0,
            processes: 2,
        };
        let told = story.hear(DriverEvent::Usage(usage));
        told.iter().filter(|line| line.contains("memory_high")).count()
    };
    let told: Vec<usize> = [50, 79, 80, 95, 75, 85, 60, 81].map(&mut warned).to_vec();
    assert_eq!(told, [0, 0, 1, 0, 0, 0, 0, 1]);
    let unlimited = Usage { memory_bytes: 1 << 40, ..Usage::default() };
    assert_eq!(story.hear(DriverEvent::Usage(unlimited)).len(), 1);
}

/// Rules of a session that was made with a key of these bounds.
fn bounded(holder: &KeyHolder) -> Rules {
    Rules { key_holder: Some(holder.clone()), ..rules() }
}

fn holder(cells: usize) -> KeyHolder {
    let mut config = KeyConfig::new("lesson", "python");
    (config.cells, config.cells_per_address) = (cells, cells);
    let key = Arc::new(PublishableKey::new(config));
    KeyHolder { key, address: [192, 0, 2, 1].into() }
}

#[test]
fn a_cell_of_a_key_has_its_place_from_its_acceptance_to_its_end() {
    let holder = holder(2);
    let mut story = Story::new(bounded(&holder));
    let mut other = Story::new(bounded(&holder));
    story.send(execute("a"));
    story.send(execute("b"));
    let refused = vec!["refused QueueFull"];
    assert_eq!(story.send(execute("c")), refused);
    assert_eq!(other.send(execute("d")), refused, "sessions of one key share its cells");
    // The id of a cell that was refused is not used up.
    story.send(ClientMessage::Interrupt { id: Some("b".into()), interpreter: None });
    assert_eq!(other.send(execute("d"))[0], "queued d 0");
    assert_eq!(story.send(execute("b2")), refused);
    // A session that ends gives the places of all its cells back.
    story.0.end(EndReason::Requested, "over");
    story.read();
    assert_eq!(other.send(execute("c"))[0], "queued c 1");
    drop(other);
    assert!(holder.take_cell().is_ok() && holder.take_cell().is_ok());
}

#[test]
fn a_restart_gives_the_places_of_cells_back() {
    let holder = holder(2);
    let mut story = Story::new(bounded(&holder));
    story.send(execute("a"));
    story.send(execute("b"));
    story.send(ClientMessage::Restart { interpreter: None });
    let _of_the_one_that_waited = holder.take_cell().unwrap();
    assert!(
        holder.take_cell().is_err(),
        "the cell that runs is not over before the driver says so"
    );
}

#[test]
fn a_key_sets_no_environment() {
    let mut story = Story::new(bounded(&holder(1)));
    let env = [("A".to_owned(), "1".to_owned())].into();
    let message = ClientMessage::Execute(Execute { env, ..Execute::default() });
    assert_eq!(story.send(message.clone()), vec!["refused Forbidden"]);
    assert_ne!(Story::new(rules()).send(message), vec!["refused Forbidden"]);
}
