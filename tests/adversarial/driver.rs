//! A hostile driver: whoever breaks out of the runner owns this process, and says on the link what it
//! likes. The session and the link are the real ones, in memory; the driver is the test.

use std::time::Duration;

use cellgate::id::Token;
use cellgate::metrics::Metrics;
use cellgate::protocol::client::{ClientMessage, Execute};
use cellgate::protocol::event::EndReason;
use cellgate::sandbox::EndCause;
use cellgate::session::{Attachment, Departure, DetachedOutput, JoinRequest, SessionConfig};
use cellgate::template::Limits;
use cellgate_driver::wire::{Outcome, append_message, flag, kind};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::common::scripted::{self, ScriptedDriver, done, frame};
use crate::common::suite::{Stage, rows};

pub(crate) mod told;

/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(20);

/// What the driver sends while cell 1 runs.
type Script = fn() -> Vec<u8>;

rows![ends_the_session:
    an_unknown_kind "`lost`; the session ends with `sandbox_lost`, 1011; the kind is named"
        => (|| frame(0x7f, 0, 1, b""), "kind 0x7f"),
    a_command_of_the_gateways "the same" => (|| frame(kind::EXECUTE, 0, 1, b"{}"), "kind 0x02"),
    a_second_greeting "the same" => (|| frame(kind::HELLO, 0, 0, &[1, 0]), "kind 0x81"),
    a_length_of_4_GiB "the same, for the wire's rules; no memory is taken for it"
        => (|| vec![0xff, 0xff, 0xff, 0xff, kind::OUTPUT, 0, 0, 0, 1, 0, 0, 0], "broke the wire's rules"),
    flags_that_mean_nothing "the same, for the wire's rules"
        => (|| vec![0, 0, 0, 0, kind::OUTPUT, 0xe0, 0, 0, 1, 0, 0, 0], "broke the wire's rules"),
    what_the_sandbox_uses_as_of_a_program "the session ends with `sandbox_lost`, 1011"
        => (|| vec![0, 0, 0, 0, kind::USAGE, 0, 7, 0, 0, 0, 0, 0], "program 7"),
    an_end_that_is_too_short "the same" => (|| frame(kind::DONE, 0, 1, &[0; 3]), "broke the wire's rules"),
    an_end_with_an_unknown_outcome "the same" => (|| frame(kind::DONE, 0, 1, &[9; 40]), "broke the wire's rules"),
    an_exit_that_is_too_short "the same" => (|| frame(kind::EXITED, 0, 1, &[0; 3]), "broke the wire's rules"),
    usage_that_is_too_short "the same" => (|| frame(kind::USAGE, 0, 0, &[0; 3]), "broke the wire's rules"),
    an_answer_about_a_file_that_is_none "the same"
        => (|| frame(kind::FILE_ANSWER, 0, 1, &[0xff]), "broke the wire's rules"),
    a_message_inside_another_one "the same"
        => (|| [frame(kind::MESSAGE, flag::MORE, 1, b"{"), frame(kind::MESSAGE, 0, 2, b"{}")].concat(), "before the one before it was whole"),
    a_message_of_100_MiB "the same; no more than what is allowed is ever held"
        => (|| message(kind::MESSAGE, &vec![b' '; 100 << 20]), "a message of more than"),
    the_end_within_a_header "the same" => (|| vec![0, 0, 0], "the sandbox is gone"),
    the_end_within_a_payload "the same"
        => (|| frame(kind::OUTPUT, 0, 1, &[b'x'; 99])[..50].to_vec(), "the sandbox is gone"),
    noise "the same" => (|| vec![0xa5; 64 << 10], "broke the wire's rules"),
];

/// What is no breach, and says nothing that anybody sees but what the row says.
pub(crate) mod borne {
    use super::*;

    rows![is_borne:
        the_end_of_a_cell_that_is_not "nothing" => (|| frame(kind::DONE, 0, 99, &done(Outcome::Ok)), &[]),
        the_end_of_no_cell "nothing" => (|| frame(kind::DONE, 0, 0, &done(Outcome::Ok)), &[]),
        output_of_a_program_that_was_never_opened "nothing"
            => (|| vec![1, 0, 0, 0, kind::OUTPUT, 0, 7, 0, 1, 0, 0, 0, b'x'], &[]),
        the_end_of_a_program_that_was_never_opened "nothing"
            => (|| [&[48, 0, 0, 0, kind::EXITED, 0, 7, 0, 0, 0, 0, 0][..], &[0; 48]].concat(), &[]),
        output_of_a_cell_that_is_not "nothing" => (|| frame(kind::OUTPUT, 0, 99, b"forged\n"), &[]),
        output_of_no_cell "nothing; a line in the log" => (|| frame(kind::OUTPUT, 0, 0, b"forged\n"), &[]),
        a_result_of_a_cell_that_is_not "nothing"
            => (|| message_of(99, br#"{"type":"result","data":{},"metadata":{}}"#), &[]),
        readiness_that_nobody_waits_for "nothing" => (|| frame(kind::READY, 0, 0, b"{}"), &[]),
        an_answer_to_no_question "nothing" => (|| frame(kind::REPLY, 0, 4_000_000_000, b"{}"), &[]),
        ten_thousand_pongs "nothing" => (|| frame(kind::PONG, 0, 0, b"").repeat(10_000), &[]),
        ten_thousand_lines_for_the_log "nothing" => (|| frame(kind::LOG, 0, 0, &[b'x'; 100]).repeat(10_000), &[]),
        output_that_is_no_text "U+FFFD where bytes are none" => (|| frame(kind::OUTPUT, 0, 1, b"\xff\xfe\n"), &["stdout"]),
        empty_output "nothing" => (|| frame(kind::OUTPUT, 0, 1, b"").repeat(1000), &[]),
        output_that_says_it_is_late "`stdout`, not late: the cell runs"
            => (|| frame(kind::OUTPUT, flag::LATE, 1, b"soon\n"), &["stdout"]),
        a_message_that_is_no_json "a notice `unreadable`" => (|| message_of(1, b"{"), &["notice"]),
        a_message_of_bytes "a notice `unreadable`" => (|| message_of(1, &[0xff; 100]), &["notice"]),
        a_message_100_000_deep "a notice `unreadable`" => (|| message_of(1, &b"[".repeat(100_000)), &["notice"]),
        a_message_of_an_unknown_type "a notice `unreadable`"
            => (|| message_of(1, br#"{"type":"ended","reason":"requested"}"#), &["notice"]),
        a_done_in_json "a notice `unreadable`; the cell runs on"
            => (|| message_of(1, br#"{"type":"done","status":"ok"}"#), &["notice"]),
        a_display_without_data "a notice `unreadable`"
            => (|| message_of(1, br#"{"type":"display"}"#), &["notice"]),
        a_clear_with_words_for_wait "a notice `unreadable`"
            => (|| message_of(1, br#"{"type":"clear_output","wait":"yes"}"#), &["notice"]),
        a_display_that_names_another_cell "the display, under the cell that runs"
            => (|| message_of(1, br#"{"type":"display","id":"other","seq":1,"data":{"text/plain":"x"},"metadata":{}}"#), &["display"]),
        a_message_on_a_comm_of_no_cell "the message, without `id`"
            => (|| message_of(0, br#"{"type":"comm_msg","comm_id":"c","id":"other","data":{}}"#), &["comm_msg"]),
        a_display_of_no_cell "a notice `unreadable`"
            => (|| message_of(0, br#"{"type":"display","data":{},"metadata":{}}"#), &["notice"]),
        a_comm_with_a_million_buffers "a notice `unreadable`"
            => (|| message_of(1, many_buffers().as_bytes()), &["notice"]),
        usage_beyond_all_numbers "a `usage` of these numbers" => (|| frame(kind::USAGE, 0, 0, &[0xff; 28]), &["usage"]),
    ];

    fn many_buffers() -> String {
        let buffers = vec!["\"\""; 1_000_000].join(",");
        format!(r#"{{"type":"comm_msg","comm_id":"c","data":{{}},"buffers":[{buffers}]}}"#)
    }

    async fn is_borne(_: &Stage, (script, seen): (Script, &[&str])) {
        let (mut client, mut driver) = with_a_cell().await;
        let sent = script();
        let telling = async {
            driver.stream.write_all(&sent).await.unwrap();
            driver.send(kind::OUTPUT, 0, 1, b"after\n").await;
            driver.done(1, Outcome::Ok).await;
            // A second end, and output that denies that it is late.
            driver.done(1, Outcome::Error).await;
            driver.send(kind::OUTPUT, 0, 1, b"late\n").await;
        };
        let hearing = async {
            let mut kinds = Vec::new();
            loop {
                let event = client.next().await.unwrap_or_else(|departure| panic!("{departure}"));
                if event["type"] == "done" {
                    assert_eq!((&event["id"], &event["status"]), (&"a".into(), &"ok".into()));
                    return kinds;
                }
                assert!(event.get("id").is_none_or(|id| id == "a"), "{event}");
                if event["type"] == "notice" {
                    assert_eq!(event["code"], "unreadable");
                }
                kinds.push((event["type"].as_str().unwrap().to_owned(), event["text"].clone()));
            }
        };
        let ((), kinds) = tokio::join!(telling, hearing);
        let (last, before) = kinds.split_last().unwrap();
        assert_eq!(*last, ("stdout".to_owned(), "after\n".into()));
        let before: Vec<&str> = before.iter().map(|(kind, _)| &**kind).collect();
        assert_eq!(before, seen);
        let late = client.until("stdout").await;
        assert_eq!((&late["text"], &late["late"]), (&"late\n".into(), &true.into()));
        // And the session lives.
        client.execute("b").await;
        assert_eq!(client.until("started").await["id"], "b");
        let cell = driver.expect(kind::EXECUTE).await;
        driver.done(cell, Outcome::Ok).await;
        assert_eq!(client.until("done").await["id"], "b");
    }
}

async fn ends_the_session(_: &Stage, (script, words): (Script, &str)) {
    let (mut client, mut driver) = with_a_cell().await;
    client.execute("waits").await;
    let sent = script();
    let telling = async {
        // Nobody reads what comes after the breach.
        driver.stream.write_all(&sent).await.ok();
        drop(driver);
    };
    let hearing = async {
        let (mut ends, mut told) = (Vec::new(), false);
        loop {
            match client.next().await {
                Ok(event) if event["type"] == "done" => {
                    ends.push((event["id"].clone(), event["status"].clone()));
                }
                Ok(event) if event["type"] == "ended" => {
                    assert_eq!(event["reason"], "sandbox_lost");
                    let detail = event["detail"].as_str().unwrap();
                    assert!(detail.contains(words), "{detail}");
                    told = true;
                }
                Ok(_) => {}
                Err(departure) => {
                    assert!(told, "{departure} without `ended`");
                    return (ends, departure);
                }
            }
        }
    };
    let ((), (ends, departure)) = tokio::join!(telling, hearing);
    assert_eq!(ends, [("a".into(), "lost".into()), ("waits".into(), "cancelled".into())]);
    let lost = EndReason::SandboxLost;
    assert!(matches!(departure, Departure::Ended { reason, .. } if reason == lost));
}

fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_message(&mut bytes, kind, 0, 1, payload);
    bytes
}

fn message_of(cell: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_message(&mut bytes, kind::MESSAGE, 0, cell, payload);
    bytes
}

/// A participant that reads what it is sent.
struct Reader {
    seat: Attachment,
    read: std::collections::VecDeque<Value>,
}

impl Reader {
    async fn next(&mut self) -> Result<Value, Departure> {
        while self.read.is_empty() {
            let mut batch = Vec::new();
            let taken = self.seat.outbox().take(&mut batch);
            match tokio::time::timeout(DEADLINE, taken).await.expect("nothing comes") {
                Ok(()) => {}
                Err(departure) => return Err(departure),
            }
            self.read.extend(
                batch
                    .iter()
                    .map(|delivery| serde_json::from_str::<Value>(delivery.json()).unwrap()),
            );
        }
        Ok(self.read.pop_front().unwrap())
    }

    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event =
                self.next().await.unwrap_or_else(|departure| panic!("{departure} before {kind}"));
            if event["type"] == kind {
                return event;
            }
        }
    }

    async fn execute(&self, id: &str) {
        let cell = Execute { code: "x".into(), id: Some(id.into()), ..Execute::default() };
        self.seat.send(Ok(ClientMessage::Execute(cell))).await.unwrap();
    }
}

/// A session whose cell `a`, the driver's number 1, runs.
async fn with_a_cell() -> (Reader, ScriptedDriver) {
    with_a_cell_and(DEADLINE).await
}

/// The same, where a silent driver is given up after this time.
async fn with_a_cell_and(silence_timeout: Duration) -> (Reader, ScriptedDriver) {
    let (prepared, mut driver, _) =
        scripted::prepared(Limits::default(), EndCause::Unknown, 64 << 10).await;
    let config = SessionConfig {
        queue: 4,
        window_bytes: 1 << 20,
        log_bytes: 1 << 20,
        log_disk_bytes: 0,
        log_directory: std::env::temp_dir(),
        log_disk_reserve_bytes: 0,
        memory: cellgate::memory::Budget::new(1 << 30),
        message_bytes: 1 << 20,
        detached_output: DetachedOutput::Hold,
        participants: 2,
        detach_timeout: DEADLINE,
        silence_timeout,
        idle_timeout: None,
        lifetime: None,
        env: Default::default(),
        key_holder: None,
    };
    let token = Token::new("t");
    let (handle, task) =
        cellgate::session::start(prepared, config, token.clone(), &Metrics::default());
    tokio::spawn(task);
    let seat = handle.attach(JoinRequest::owner("ada", token)).await.unwrap();
    let mut reader = Reader { seat, read: Default::default() };
    reader.execute("a").await;
    assert_eq!(driver.expect(kind::EXECUTE).await, 1);
    reader.until("started").await;
    (reader, driver)
}
