//! A driver that lies about its cells and its interpreter: everything a user is told from there to
//! the close. Cell `a`, number 1, runs and `b`, number 2, waits; the user ends the session once the
//! script is heard. Whatever is said, each of the two ends once.

use cellgate_driver::wire::files::FileAnswer;
use cellgate_driver::wire::{CellUsage, Done, ExitCause, Exited, Usage};

use super::*;

/// What a user is told of `a`, `b` and the session, when the script changed nothing.
const UNCHANGED: &[&str] = &[
    "done a interrupted: the session was ended by its owner",
    "done b cancelled: the session ended before the cell's turn came",
    "ended requested: the session was ended by its owner",
];
const A_OK: &[&str] = &["done a ok", "started b"];
const A_EXITED: &[&str] = &[
    "done a exited: the interpreter ended with exit code 0",
    "done b cancelled: the interpreter ended before the cell's turn came",
];
const B_ENDS: &[&str] = &[
    "done b interrupted: the session was ended by its owner",
    "ended requested: the session was ended by its owner",
];
const ENDS: &[&str] = &["ended requested: the session was ended by its owner"];
const AFRESH: &[&str] = &["restarted the interpreter ended with exit code 0"];
/// What is told when the next interpreter ends before it was ready.
const FAILED: &[&str] =
    &["ended interpreter_failed: a fresh interpreter could not be started: the interpreter ended \
     with exit code 0"];

rows![tells:
    two_ends_of_one_cell "the first one; the next cell runs on"
        => (|| [ok(1), ended(1, Outcome::Error)].concat(), &[A_OK, B_ENDS]),
    the_end_of_a_cell_that_waits "nothing: it goes on waiting" => (|| ok(2), &[UNCHANGED]),
    output_of_a_cell_that_waits "nothing" => (|| frame(kind::OUTPUT, 0, 2, b"soon\n"), &[UNCHANGED]),
    a_question_of_a_cell_that_waits "nothing" => (|| message_of(2, ASK), &[UNCHANGED]),
    a_question_of_a_cell_that_has_ended "nothing"
        => (|| [ok(1), message_of(1, ASK)].concat(), &[A_OK, B_ENDS]),
    a_thousand_questions_for_input "each of them, in order; nothing waits for them"
        => (|| message_of(1, ASK).repeat(1000), &[&["input_request a ×1000"], UNCHANGED]),
    a_thousand_reports_of_usage "each of them"
        => (|| frame(kind::USAGE, 0, 0, &Usage::default().encode()).repeat(1000),
            &[&["usage ×1000"], UNCHANGED]),
    memory_beyond_all_limits "a notice `memory_high`, once"
        => (|| beyond_all_limits().repeat(100),
            &[&["notice memory_high", "usage ×100"], UNCHANGED]),
    an_end_that_used_beyond_all_numbers "`ok`, and a `done` that reads like any other"
        => (|| used(u64::MAX), &[A_OK, B_ENDS]),
    a_thousand_answers_about_no_file "nothing"
        => (|| frame(kind::FILE_ANSWER, 0, 7, &FileAnswer::Took.encode()).repeat(1000), &[UNCHANGED]),
    an_exit_and_then_output "`exited`; the output is late, and still the cell's"
        => (|| [exited(1), frame(kind::OUTPUT, 0, 1, b"ghost\n")].concat(),
            &[A_EXITED, &["stdout a late"], ENDS]),
    an_exit_and_then_an_end "`exited`, once" => (|| [exited(1), ok(1)].concat(), &[A_EXITED, ENDS]),
    an_end_and_then_an_exit_of_the_same_cell "`ok`; the next cell is not taken for ended"
        => (|| [ok(1), exited(1)].concat(), &[A_OK, B_ENDS]),
    two_exits "`exited`; the session ends with `interpreter_failed`, 1011"
        => (|| exited(1).repeat(2), &[A_EXITED, FAILED]),
    an_exit_and_two_readinesses "`restarted`, once"
        => (|| [exited(1), ready(), ready()].concat(), &[A_EXITED, AFRESH, ENDS]),
    an_exit_of_a_cell_that_is_not "the cell runs on in the next interpreter; what waited is `cancelled`"
        => (|| [exited(99), ready()].concat(), &[&A_EXITED[1..], AFRESH, &UNCHANGED[..1], ENDS]),
    an_exit_by_a_signal_that_is_not "the number, without a name"
        => (|| exit(1, Exited { signalled: true, status: i32::MIN, ..own() }),
            &[&["done a exited: the interpreter was ended by signal -2147483648"], &A_EXITED[1..], ENDS]),
    an_exit_for_memory_beyond_all_numbers "`oom` with these numbers"
        => (|| exit(1, Exited { cause: ExitCause::Memory, memory_limit_bytes: u64::MAX, ..own() }),
            &[&["done a oom: ran out of memory: limit 17592186044416 MiB"], &A_EXITED[1..], ENDS]),
    an_exit_with_words_that_are_no_text "U+FFFD in its detail"
        => (|| frame(kind::EXITED, 0, 1, &[&own().encode()[..], b"\xff\xfe"].concat()),
            &[&["done a exited: the interpreter ended with exit code 0: \u{fffd}\u{fffd}"],
              &A_EXITED[1..], ENDS]),
    a_restart_that_nobody_asked_for "`interrupted`; what waits goes on waiting"
        => (|| exit(1, Exited { cause: ExitCause::Restart, ..own() }),
            &[&["done a interrupted: the session was restarted while the cell ran"],
              &UNCHANGED[1..]]),
    readiness_twice "nothing" => (|| ready().repeat(2), &[UNCHANGED]),
    silence "`lost`; the session ends with `sandbox_lost`, 1011, after `session.silence_timeout`"
        => (Vec::new, &[&[
            "done a lost: the sandbox was ended: it did not answer for 2s",
            "done b cancelled: the session ended before the cell's turn came",
            "ended sandbox_lost: the sandbox was ended: it did not answer for 2s",
        ]]),
];

const ASK: &[u8] = br#"{"type":"input_request","prompt":"?"}"#;

fn ended(cell: u32, outcome: Outcome) -> Vec<u8> {
    frame(kind::DONE, 0, cell, &done(outcome))
}

fn ok(cell: u32) -> Vec<u8> {
    ended(cell, Outcome::Ok)
}

fn ready() -> Vec<u8> {
    frame(kind::READY, 0, 0, b"{}")
}

/// An interpreter that ended by itself.
fn own() -> Exited {
    Exited {
        cause: ExitCause::Own,
        signalled: false,
        status: 0,
        memory_limit_bytes: 0,
        usage: CellUsage::default(),
        detail: String::new(),
    }
}

fn exit(cell: u32, exited: Exited) -> Vec<u8> {
    frame(kind::EXITED, 0, cell, &exited.encode())
}

fn exited(cell: u32) -> Vec<u8> {
    exit(cell, own())
}

fn used(most: u64) -> Vec<u8> {
    let usage =
        CellUsage { duration_us: most, cpu_us: most, peak_memory_bytes: most, output_bytes: most };
    frame(kind::DONE, 0, 1, &Done { outcome: Outcome::Ok, memory_kills: 0, usage }.encode())
}

fn beyond_all_limits() -> Vec<u8> {
    let usage = Usage { memory_bytes: u64::MAX, memory_limit_bytes: 1, ..Usage::default() };
    frame(kind::USAGE, 0, 0, &usage.encode())
}

/// Usage that says no more than that all before it was heard.
fn fence() -> Vec<u8> {
    frame(kind::USAGE, 0, 0, &Usage { processes: 4242, ..Usage::default() }.encode())
}

async fn tells(_: &Stage, (script, told): (Script, &[&[&str]])) {
    let script = script();
    // The one that says nothing is waited for, so it is given less time than the others.
    let silent = script.is_empty();
    let patience = if silent { Duration::from_secs(2) } else { DEADLINE };
    let (mut client, mut driver) = with_a_cell_and(patience).await;
    client.execute("b").await;
    client.until("queued").await;
    let sent = if silent { script } else { [script, fence()].concat() };
    // A driver whose session is over is not read to its end.
    let telling = async { driver.stream.write_all(&sent).await.ok() };
    let (_, (lines, departure)) = tokio::join!(telling, read_all(&mut client));
    assert_eq!(lines, told.concat());
    for cell in ["done a ", "done b "] {
        assert_eq!(lines.iter().filter(|line| line.starts_with(cell)).count(), 1, "{cell}");
    }
    let requested = lines.last().is_some_and(|line| line.starts_with("ended requested"));
    let is_due = match departure {
        Departure::Ended { reason: EndReason::Requested, .. } => requested,
        Departure::Ended { reason, .. } => !requested && reason != EndReason::Abandoned,
        _ => false,
    };
    assert!(is_due, "{departure:?}");
}

/// The lines that a user reads up to the session's end, repetitions counted.
async fn read_all(client: &mut Reader) -> (Vec<String>, Departure) {
    let mut lines: Vec<(String, usize)> = Vec::new();
    loop {
        let event = match client.next().await {
            Ok(event) => event,
            Err(departure) => break (lines.into_iter().map(counted).collect(), departure),
        };
        if event["type"] == "usage" && event["processes"] == 4242 {
            client.seat.send(Ok(ClientMessage::End)).await.unwrap();
            continue;
        }
        let Some(line) = line(&event) else { continue };
        match lines.last_mut() {
            Some((last, times)) if *last == line => *times += 1,
            _ => lines.push((line, 1)),
        }
    }
}

fn counted((line, times): (String, usize)) -> String {
    if times > 1 { format!("{line} ×{times}") } else { line }
}

/// An event in a line; `None`: it only follows from others.
fn line(event: &Value) -> Option<String> {
    let kind = event["type"].as_str().unwrap();
    if matches!(kind, "status" | "participants" | "queued") {
        return None;
    }
    let words = ["id", "status", "reason"].map(|key| &event[key]);
    let words = words.iter().filter_map(|word| word.as_str());
    let mut line = words.fold(kind.to_owned(), |line, word| format!("{line} {word}"));
    if kind == "notice" {
        line += &format!(" {}", event["code"].as_str().unwrap());
    }
    if event["late"] == true {
        line += " late";
    }
    if let Some(detail) = event["detail"].as_str() {
        line += &format!(": {detail}");
    }
    Some(line)
}
