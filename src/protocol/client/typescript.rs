//! The client library's type of client messages, from what they are read into.

use ts_rs::{Config, TS};

use super::*;

#[derive(TS)]
#[ts(tag = "type", rename_all = "snake_case", rename = "ClientMessage")]
#[expect(dead_code, reason = "they are described and never made")]
#[rustfmt::skip]
enum Described {
    Execute { #[ts(flatten)] fields: RawExecute },
    CommOpen { #[ts(flatten)] fields: RawCommOpen },
    CommMsg { #[ts(flatten)] fields: RawComm },
    CommClose { #[ts(flatten)] fields: RawComm },
    Interrupt { #[ts(flatten)] fields: RawInterrupt },
    Input { #[ts(flatten)] fields: RawInput },
    Restart { #[ts(flatten)] fields: RawRestart },
    Open { #[ts(flatten)] fields: RawOpen },
    Close { #[ts(flatten)] fields: RawClose },
    Signal { #[ts(flatten)] fields: RawSignal },
    Resize { #[ts(flatten)] fields: RawResize },
    Write { #[ts(flatten)] fields: RawWrite },
    Complete { #[ts(flatten)] fields: RawQuery },
    Inspect { #[ts(flatten)] fields: RawQuery },
    IsComplete { #[ts(flatten)] fields: RawIsComplete },
    Table { #[ts(flatten)] fields: RawTable },
    Variables { #[ts(flatten)] fields: RawVariables },
    Ack { #[ts(flatten)] fields: RawAck },
    Ping(#[ts(type = "Record<string, unknown>")] ()),
    End,
}

pub(crate) fn declaration(config: &Config) -> String {
    Described::decl(config)
}

#[test]
fn what_is_described_is_what_is_read() {
    let declaration = declaration(&Config::new());
    let described = declaration.split("\"type\": \"").skip(1);
    let described: Vec<_> = described.filter_map(|rest| rest.split('"').next()).collect();
    let refusal = ClientMessage::parse(r#"{"type":"?"}"#).unwrap_err();
    let read = refusal.message.rsplit(": ").next().unwrap_or_default().split(", ");
    assert_eq!(described, read.collect::<Vec<_>>());
}
