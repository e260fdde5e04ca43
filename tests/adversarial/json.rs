//! Messages of a client that are no JSON, no message, or one that nobody should send.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::common::client::{Client, DEADLINE, text};
use crate::common::suite::{Stage, rows};

/// What comes of a message, before the answer to a ping that is sent behind it or, of a cell, after it.
/// A cell has the id `x`.
enum Hears {
    /// One refusal with this code that has these words.
    Refused(&'static str, &'static str),
    /// Not a word.
    Nothing,
    /// A cell that ends so, and has printed this or has this result.
    Done(&'static str, &'static str),
    /// A cell that raises one of these; which one is up to the version of Python.
    Raised(&'static [&'static str]),
    /// A reply with these fields.
    Replied(Value),
}
use Hears::{Done, Nothing, Raised, Refused, Replied};

rows![hears:
    an_unfinished_object "`bad_json`" => (r#"{"code": "1""#.into(), Refused("bad_json", "EOF")),
    two_objects "`bad_json`; neither runs"
        => (r#"{"code": "1"}{"code": "2"}"#.into(), Refused("bad_json", "trailing")),
    a_comma_too_many "`bad_json`" => (r#"{"code": "1",}"#.into(), Refused("bad_json", "column 14")),
    single_quotes "`bad_json`" => ("{'code': '1'}".into(), Refused("bad_json", "column 2")),
    not_a_number "`bad_json`" => (r#"{"type": "ack", "seq": NaN}"#.into(), Refused("bad_json", "")),
    a_bom_before_the_object "`bad_json`" => ("\u{feff}{\"code\": \"1\"}".into(), Refused("bad_json", "")),
    nul_between_fields "`bad_json`" => ("{\"code\":\0\"1\"}".into(), Refused("bad_json", "")),
    a_line_end_in_a_string "`bad_json`" => ("{\"code\": \"1\n\"}".into(), Refused("bad_json", "control character")),
    blanks_alone "`bad_json`" => (" ".repeat(200 << 10), Refused("bad_json", "EOF")),
    brackets_100000_deep "`bad_json`" => ("[".repeat(100_000), Refused("bad_json", "")),
    a_list "`bad_message`" => (r#"[{"code": "1"}]"#.into(), Refused("bad_message", "object")),
    a_type_that_is_a_number "`bad_message`" => (r#"{"type": 5}"#.into(), Refused("bad_message", "type")),
    a_type_in_capitals "`unknown_type`, with the types there are"
        => (r#"{"type": "EXECUTE"}"#.into(), Refused("unknown_type", "execute")),
    a_type_of_200_KiB "`unknown_type`; the message is short"
        => (json!({"type": "x".repeat(200 << 10)}).to_string(), Refused("unknown_type", "xxx")),
    code_twice "`bad_message`; neither runs"
        => (r#"{"id": "x", "code": "1", "code": "2"}"#.into(), Refused("bad_message", "duplicate field `code`")),
    a_type_twice "`bad_message`"
        => (r#"{"type": "end", "type": "ping"}"#.into(), Refused("bad_message", "duplicate field `type`")),
    code_that_is_null "`bad_message`" => (r#"{"code": null}"#.into(), Refused("bad_message", "needs")),
    an_id_that_is_a_number "`bad_message`" => (r#"{"code": "1", "id": 7}"#.into(), Refused("bad_message", "string")),
    an_empty_id "`bad_message`" => (r#"{"code": "1", "id": ""}"#.into(), Refused("bad_message", "128 bytes")),
    an_id_of_200_KiB "`bad_message`"
        => (json!({"code": "1", "id": "x".repeat(200 << 10)}).to_string(), Refused("bad_message", "128 bytes")),
    half_a_surrogate_pair_in_code "`bad_message`"
        => (r#"{"code": "'\ud83d'"}"#.into(), Refused("bad_message", "hex escape")),
    half_a_surrogate_pair_in_an_id "`bad_message`"
        => (r#"{"code": "1", "id": "\udc00"}"#.into(), Refused("bad_message", "hex escape")),
    a_timeout_of_0 "`bad_message`" => (r#"{"code": "1", "timeout_ms": 0}"#.into(), Refused("bad_message", "at least 1")),
    a_timeout_below_0 "`bad_message`" => (r#"{"code": "1", "timeout_ms": -1}"#.into(), Refused("bad_message", "-1")),
    a_timeout_in_fractions "`bad_message`" => (r#"{"code": "1", "timeout_ms": 1.5}"#.into(), Refused("bad_message", "1.5")),
    a_timeout_beyond_64_bits "`bad_message`"
        => (r#"{"code": "1", "timeout_ms": 18446744073709551616}"#.into(), Refused("bad_message", "u64")),
    the_longest_timeout "the cell runs"
        => (r#"{"id": "x", "code": "6 * 7", "timeout_ms": 18446744073709551615}"#.into(), Done("ok", "42")),
    env_that_is_a_list "`bad_message`" => (r#"{"code": "1", "env": ["A=B"]}"#.into(), Refused("bad_message", "map")),
    an_env_value_that_is_a_number "`bad_message`" => (r#"{"code": "1", "env": {"A": 1}}"#.into(), Refused("bad_message", "string")),
    an_env_name_with_an_equals_sign "`bad_message`" => (r#"{"code": "1", "env": {"A=B": "1"}}"#.into(), Refused("bad_message", "`=`")),
    an_env_name_that_is_empty "`bad_message`" => (r#"{"code": "1", "env": {"": "1"}}"#.into(), Refused("bad_message", "empty")),
    an_env_value_with_nul "`bad_message`" => (r#"{"code": "1", "env": {"A": "\u0000"}}"#.into(), Refused("bad_message", "NUL")),
    an_env_value_of_200_KiB "the cell has it, and starts no program with it"
        => (json!({"id": "x", "code": "import os\nprint(len(os.environ['A']))", "env": {"A": "x".repeat(200 << 10)}}).to_string(),
            Done("ok", "204800\n")),
    ten_thousand_env_names "the cell has them"
        => (many_names(), Done("ok", "10000\n")),
    an_env_that_hides_the_interpreter "the cell runs; it is only the environment"
        => (json!({"id": "x", "code": "6 * 7", "env": {"PATH": "", "LD_PRELOAD": "/nowhere", "PYTHONHOME": "/nowhere"}}).to_string(),
            Done("ok", "42")),
    code_with_nul "the cell raises" => (r#"{"id": "x", "code": "1\u0000"}"#.into(), Raised(&["SyntaxError", "ValueError"])),
    code_with_a_bom "the cell runs" => (json!({"id": "x", "code": "\u{feff}6 * 7"}).to_string(), Done("ok", "42")),
    code_with_lone_carriage_returns "they end lines"
        => (r#"{"id": "x", "code": "print(1)\rprint(2)\r\nprint(3)"}"#.into(), Done("ok", "1\n2\n3\n")),
    no_code_at_all "the cell is `ok`" => (r#"{"id": "x", "code": ""}"#.into(), Done("ok", "")),
    code_of_100000_parentheses "the cell raises"
        => (json!({"id": "x", "code": "(".repeat(100_000)}).to_string(), Raised(&["SyntaxError", "MemoryError"])),
    code_of_100000_unary_signs "the cell raises"
        => (json!({"id": "x", "code": format!("{}1", "-".repeat(100_000))}).to_string(), Raised(&["MemoryError", "RecursionError", "SyntaxError"])),
    unknown_fields "they are passed over, however deep"
        => (format!(r#"{{"id": "x", "code": "6 * 7", "__proto__": {}{}}}"#, "[".repeat(50_000), "]".repeat(50_000)),
            Done("ok", "42")),
    a_ping_100000_deep "`bad_message`"
        => (format!(r#"{{"type": "ping", "x": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000)),
            Refused("bad_message", "recursion")),
    a_ping_with_a_number_too_large "`bad_message`" => (r#"{"type": "ping", "n": 1e999}"#.into(), Refused("bad_message", "range")),
    a_comm_without_a_name "`bad_message`" => (r#"{"type": "comm_msg", "comm_id": ""}"#.into(), Refused("bad_message", "1 to 1024")),
    a_comm_100000_deep "`bad_message`"
        => (format!(r#"{{"type": "comm_msg", "comm_id": "c", "data": {{"x": {}{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000)),
            Refused("bad_message", "nested deeper")),
    a_comm_with_a_number_too_large "`bad_message`"
        => (r#"{"type": "comm_msg", "comm_id": "c", "data": {"n": 1e999}}"#.into(), Refused("bad_message", "double")),
    a_comm_with_a_buffer_that_is_no_base64 "`bad_message`"
        => (r#"{"type": "comm_msg", "comm_id": "c", "buffers": ["?"]}"#.into(), Refused("bad_message", "base64")),
    a_cursor_below_0 "`bad_message`" => (question("complete", "a", json!(-1)), Refused("bad_message", "-1")),
    a_cursor_in_fractions "`bad_message`" => (question("complete", "a", json!(0.5)), Refused("bad_message", "0.5")),
    a_cursor_beyond_the_code "completions at its end"
        => (question("complete", "impor", json!(u64::MAX)),
            Replied(json!({"type": "complete_reply", "id": "q", "start": 0, "end": 5}))),
    a_cursor_between_two_halves_of_a_pair "a character is never cut: positions are characters"
        => (question("complete", "'😀'; impor", json!(10)),
            Replied(json!({"type": "complete_reply", "id": "q", "start": 5, "end": 10}))),
    a_question_about_nul "nothing is found"
        => (question("inspect", "\0", json!(1)), Replied(json!({"type": "inspect_reply", "id": "q", "found": false}))),
    whether_100000_parentheses_are_complete "it is answered"
        => (question("is_complete", &"(".repeat(100_000), json!(0)),
            Replied(json!({"type": "is_complete_reply", "id": "q"}))),
    an_ack_of_the_future "nothing" => (r#"{"type": "ack", "seq": 1000000000}"#.into(), Nothing),
    an_ack_below_0 "`bad_message`" => (r#"{"type": "ack", "seq": -1}"#.into(), Refused("bad_message", "-1")),
    an_ack_beyond_64_bits "`bad_message`" => (r#"{"type": "ack", "seq": 1e30}"#.into(), Refused("bad_message", "u64")),
    input_for_nobody "`not_running`" => (r#"{"type": "input", "id": "x", "text": "1"}"#.into(), Refused("not_running", "")),
    input_and_its_end "`bad_message`"
        => (r#"{"type": "input", "id": "x", "text": "1", "eof": true}"#.into(), Refused("bad_message", "either")),
    an_interrupt_of_nobody "`not_running`"
        => (r#"{"type": "interrupt", "id": "x"}"#.into(), Refused("not_running", "no cell of this id")),
    an_interrupt_of_nothing "nothing" => (r#"{"type": "interrupt"}"#.into(), Nothing),
];

/// Messages that never end.
pub(crate) mod floods {
    use super::*;

    rows![floods:
        nonsense_without_end "each `bad_json`, then it closes 4429" => ("nonsense", "bad_json"),
        questions_about_nothing_without_end "each `bad_message`, then it closes 4429"
            => (r#"{"type": "complete"}"#, "bad_message"),
        interrupts_without_end "some are heard, the others `rate_limited`, then it closes 4429"
            => (r#"{"type": "interrupt"}"#, "rate_limited"),
    ];

    async fn floods(stage: &Stage, (message, code): (&'static str, &'static str)) {
        let gateway = stage.own(&["--client-messages", "5"]);
        let mut client = Client::create(&gateway, "python").await;
        // As many as may come in one moment, and as many refusals, and those of a slow test.
        for _ in 0..1000 {
            client.send_frame(Message::text(message)).await;
        }
        assert_eq!(client.until("protocol_error").await["code"], code);
        let closed = client.closed().await;
        assert_eq!(closed.code, 4429, "{closed:?}");
        assert!(closed.reason.contains("send fewer"), "{closed:?}");
        gateway.stop().await;
    }
}

/// A cell with many variables in its environment, which counts them.
fn many_names() -> String {
    let env: serde_json::Map<String, Value> =
        (0..10_000).map(|n| (format!("V{n}"), Value::from(""))).collect();
    let code =
        "import os\nprint(sum(name.startswith('V') and name[1:].isdigit() for name in os.environ))";
    json!({"id": "x", "code": code, "env": env}).to_string()
}

/// A question with the id `q`.
fn question(kind: &str, code: &str, cursor: Value) -> String {
    json!({"type": kind, "id": "q", "code": code, "cursor": cursor}).to_string()
}

async fn hears(stage: &Stage, (message, wanted): (String, Hears)) {
    let mut client = stage.session().await;
    client.send_frame(Message::text(message)).await;
    client.send(json!({"type": "ping"})).await;
    let mut refusals = Vec::new();
    let until_pong = async {
        loop {
            let told = client.next_where(|m| m["type"] == "protocol_error" || m["type"] == "pong");
            match told.await {
                pong if pong["type"] == "pong" => break,
                refusal => refusals.push(refusal),
            }
        }
    };
    tokio::time::timeout(DEADLINE, until_pong).await.expect("no answer to a ping");
    if let Refused(code, words) = wanted {
        assert_eq!(refusals.len(), 1, "{refusals:#?}");
        let message = text(&refusals[0], "message");
        assert_eq!(refusals[0]["code"], code, "{message}");
        assert!(message.contains(words) && message.len() <= 500, "{message}");
    } else {
        assert!(refusals.is_empty(), "{refusals:#?}");
    }
    match wanted {
        Refused(..) | Nothing => {}
        Done(status, told) => {
            let cell = client.finish("x").await;
            assert_eq!(cell.status(), status, "{:#?}", cell.events);
            let result = cell.all("result").map(|r| text(&r["data"], "text/plain")).next();
            assert_eq!(result.unwrap_or(&cell.stdout()), told);
        }
        Raised(names) => {
            let cell = client.finish("x").await;
            cell.expect("error", true);
            assert!(names.contains(&cell.error()), "{}", cell.traceback());
        }
        Replied(fields) => {
            let reply = client.until(text(&fields, "type")).await;
            for (name, value) in fields.as_object().unwrap() {
                assert_eq!(&reply[name], value, "{reply:#}");
            }
        }
    }
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
}
