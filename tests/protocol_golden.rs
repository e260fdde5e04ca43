//! The golden messages of the protocol against the gateway's types: what a client is told is
//! encoded exactly so, what a client says is read. The client library checks itself against the
//! same files.
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

use std::collections::BTreeSet;
use std::sync::Arc;

use bytestring::ByteString;
use cellgate::protocol::client::{
    ClientMessage, Open, OpenWhat, ProgramAction, Query, QueryKind, signal_name,
};
use cellgate::protocol::event::{
    CellStatus, DoneUsage, EndReason, Event, NoticeLevel, Output, Sequenced, SessionState, Stream,
};
use cellgate::protocol::refusal::ErrorCode;
use cellgate::protocol::reply::{
    ParticipantInfo, Ready, ReadyAllowed, ReadyLimits, Reply, Rights, Role,
};
use cellgate_driver::wire::TerminalSize;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Golden {
    from: String,
    full: Value,
    minimal: Value,
}

fn golden() -> Vec<(String, Golden)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/protocol");
    let mut all: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            // `comm_msg.client.json`: both sides say messages of this type.
            let name = path.file_name().unwrap().to_str().unwrap();
            let name = name.split('.').next().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let golden = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            (name, golden)
        })
        .collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
}

#[test]
fn every_message_of_the_protocol_has_a_golden_file() {
    let names = |from: &str| -> BTreeSet<String> {
        golden().into_iter().filter(|(_, g)| g.from == from).map(|(name, _)| name).collect()
    };
    let set = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
    let client = "ack close comm_close comm_msg comm_open complete end execute input inspect interrupt is_complete open ping resize restart signal table variables write";
    assert_eq!(names("client"), set(client));
    let gateway = "clear_output comm_close comm_msg comm_open complete_reply display done ended \
                   error exited gap input_request inspect_reply is_complete_reply notice opened participants pong protocol_error queued \
                   ready restarted result started status stderr stdout table_reply terminal truncated usage variables_reply";
    assert_eq!(names("gateway"), set(gateway));
}

#[test]
fn what_clients_say_is_read() {
    for (name, golden) in golden().into_iter().filter(|(_, golden)| golden.from == "client") {
        for message in [&golden.full, &golden.minimal] {
            let read = ClientMessage::parse(&message.to_string())
                .unwrap_or_else(|refusal| panic!("{name}: {refusal:?} of {message}"));
            assert_eq!(said(&read, message), *message, "{name}");
        }
    }
}

/// What a message was read as, written as the golden one is: with the fields that one has.
fn said(read: &ClientMessage, golden: &Value) -> Value {
    let all = match read {
        ClientMessage::Execute(cell) if cell.comm.is_some() => {
            let mut all = serde_json::to_value(&cell.comm).unwrap();
            all["id"] = json!(cell.id);
            all
        }
        ClientMessage::Execute(cell) => json!({
            "type": "execute", "code": cell.code, "id": cell.id, "timeout_ms": cell.timeout_ms,
            "stop_on_error": cell.stop_on_error, "silent": cell.silent, "env": cell.env,
            "allow_input": cell.allow_input, "store_history": cell.store_history,
            "user_expressions": cell.user_expressions, "cell": cell.cell,
            "interpreter": cell.interpreter,
        }),
        ClientMessage::Interrupt { id, interpreter } => {
            json!({"type": "interrupt", "id": id, "interpreter": interpreter})
        }
        ClientMessage::Input { id, text: Some(text) } => {
            json!({"type": "input", "id": id, "text": text})
        }
        ClientMessage::Input { id, text: None } => json!({"type": "input", "id": id, "eof": true}),
        ClientMessage::Restart { interpreter } => {
            json!({"type": "restart", "interpreter": interpreter})
        }
        ClientMessage::Open(open) => opened(open),
        ClientMessage::Program { id, action } => match action {
            ProgramAction::Close => json!({"type": "close", "id": id}),
            ProgramAction::Signal(number) => {
                let name = signal_name(i32::from(*number));
                json!({"type": "signal", "id": id, "signal": name})
            }
            ProgramAction::Resize(TerminalSize { columns, rows }) => {
                json!({"type": "resize", "id": id, "cols": columns, "rows": rows})
            }
            ProgramAction::Write { bytes, eof } => {
                let text = String::from_utf8_lossy(bytes);
                json!({"type": "write", "id": id, "text": text, "eof": eof})
            }
        },
        ClientMessage::Query(Query { id, kind, code, cursor, interpreter }) => {
            let mut all = query(id, kind, code, *cursor);
            all["interpreter"] = json!(interpreter);
            all
        }
        ClientMessage::Ack { seq } => json!({"type": "ack", "seq": seq}),
        ClientMessage::Ping { fields } => {
            let mut all = fields.clone();
            all.insert("type".into(), "ping".into());
            Value::Object(all)
        }
        ClientMessage::End => json!({"type": "end"}),
    };
    let Value::Object(mut all) = all else { panic!("not an object") };
    let golden = golden.as_object().unwrap();
    // What a client leaves out has its default, and defaults are the types' own business.
    all.retain(|field, value| {
        golden.contains_key(field) || !(value.is_null() || is_default(field))
    });
    Value::Object(all)
}

fn query(id: &str, kind: &QueryKind, code: &str, cursor: u64) -> Value {
    match kind {
        QueryKind::IsComplete => json!({"type": "is_complete", "id": id, "code": code}),
        QueryKind::Variables => json!({"type": "variables", "id": id}),
        QueryKind::Table(question) => {
            let mut all = serde_json::to_value(question).unwrap();
            all["type"] = json!("table");
            all["id"] = json!(id);
            all
        }
        _ => json!({"type": kind.name(), "id": id, "code": code, "cursor": cursor}),
    }
}

fn opened(open: &Open) -> Value {
    let what = match &open.what {
        OpenWhat::Interpreter(language) => json!({"kind": "interpreter", "language": language}),
        OpenWhat::Process { argv, terminal, stdin: _ } => json!({
            "kind": "process", "argv": argv,
            "terminal": terminal.map(|size| json!({"cols": size.columns, "rows": size.rows})),
        }),
    };
    let mut all = json!({"type": "open", "id": open.id, "env": open.env, "cwd": open.cwd});
    all.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
    all
}

fn is_default(field: &str) -> bool {
    [
        "type",
        "stop_on_error",
        "silent",
        "env",
        "allow_input",
        "data",
        "metadata",
        "buffers",
        "user_expressions",
        "from",
        "count",
        "sort",
        "filter",
        "format",
        "eof",
    ]
    .contains(&field)
}

#[test]
fn what_clients_are_told_is_encoded_so() {
    for (name, golden) in golden().into_iter().filter(|(_, golden)| golden.from == "gateway") {
        for message in [&golden.full, &golden.minimal] {
            let fields = Fields(message.as_object().unwrap());
            let encoded = match (event(&name, &fields), reply(&name, &fields)) {
                (Some(event), None) => {
                    let encode = |event| {
                        let (seq, ts) = (fields.number("seq"), fields.number("ts"));
                        Sequenced::encode(event, seq, ts).unwrap()
                    };
                    let placed = encode(&event);
                    // What consumers inside the process get is the same event.
                    let decoded = placed.event().unwrap();
                    assert_eq!(encode(&decoded).json, placed.json, "{name}");
                    serde_json::from_str(&placed.json).unwrap()
                }
                (None, Some(reply)) => serde_json::to_value(&reply).unwrap(),
                _ => panic!("{name}: neither an event nor a reply, or both"),
            };
            assert_eq!(with_floats(&encoded), with_floats(message), "{name}");
        }
    }
}

/// Numbers as JSON has them, where 12 and 12.0 are the same.
fn with_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(all) => all.iter().map(with_floats).collect(),
        Value::Object(all) => {
            let all: Map<_, _> = all.iter().map(|(k, v)| (k.clone(), with_floats(v))).collect();
            Value::Object(all)
        }
        other => other.clone(),
    }
}

/// The fields of a golden message.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn at(&self, field: &str) -> &Value {
        &self.0[field]
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, field: &str) -> T {
        let value = self.0.get(field).unwrap_or(&Value::Null);
        serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{field}: {error}"))
    }

    /// All fields as a structure that has raw JSON.
    fn whole<T: for<'de> Deserialize<'de>>(&self) -> T {
        serde_json::from_str(&serde_json::to_string(self.0).unwrap()).unwrap()
    }

    fn text(&self, field: &str) -> String {
        self.read(field)
    }

    fn id(&self) -> Arc<str> {
        self.text("id").into()
    }

    fn rights(&self) -> Rights {
        let given = |field| self.0.get(field).is_none_or(|flag| flag.as_bool().unwrap());
        Rights { role: self.word("role", &ROLES), run: given("run"), edit: given("edit") }
    }

    fn number(&self, field: &str) -> u64 {
        self.read(field)
    }

    fn flag(&self, field: &str) -> bool {
        self.read::<Option<bool>>(field).unwrap_or(false)
    }

    fn raw(&self, field: &str) -> Box<RawValue> {
        serde_json::value::to_raw_value(self.at(field)).unwrap()
    }

    /// The one of `all` that is written as this field is.
    fn word<T: serde::Serialize + Copy>(&self, field: &str, all: &[T]) -> T {
        let wanted = self.at(field);
        let found = all.iter().find(|one| serde_json::to_value(one).unwrap() == *wanted);
        *found.unwrap_or_else(|| panic!("no value is written as {wanted}"))
    }
}

fn event(name: &str, f: &Fields<'_>) -> Option<Event> {
    let output = || Output { id: f.id(), text: f.text("text").into(), late: f.flag("late") };
    let count = || f.read("execution_count");
    let by = || Arc::<str>::from(f.text("by"));
    let cell = || f.read::<Option<String>>("cell").map(Arc::from);
    let interpreter = || f.read::<Option<String>>("interpreter").map(Arc::from);
    Some(match name {
        "queued" => {
            let position = usize::try_from(f.number("position")).unwrap();
            Event::Queued {
                id: f.id(),
                position,
                by: by(),
                cell: cell(),
                interpreter: interpreter(),
            }
        }
        "started" => {
            let code = ByteString::from(f.text("code"));
            let comm_id = f.read("comm_id");
            Event::Started {
                id: f.id(),
                code,
                execution_count: count(),
                by: by(),
                comm_id,
                cell: cell(),
                interpreter: interpreter(),
            }
        }
        "stdout" => Event::Stdout(output()),
        "stderr" => Event::Stderr(output()),
        "result" => Event::Result {
            id: f.id(),
            execution_count: count(),
            data: f.read("data"),
            metadata: f.raw("metadata"),
        },
        "display" => Event::Display {
            id: f.id(),
            data: f.read("data"),
            metadata: f.raw("metadata"),
            display_id: f.read("display_id"),
            update: f.flag("update"),
            late: f.flag("late"),
        },
        "clear_output" => Event::ClearOutput { id: f.id(), wait: f.flag("wait") },
        "comm_open" => Event::CommOpen(f.whole()),
        "comm_msg" => Event::CommMsg(f.whole()),
        "comm_close" => Event::CommClose(f.whole()),
        "input_request" => Event::InputRequest {
            id: f.id(),
            prompt: f.text("prompt"),
            password: f.flag("password"),
        },
        "error" => Event::Error {
            id: f.id(),
            name: f.text("name"),
            value: f.text("value"),
            traceback: f.read("traceback"),
            frames: f.read("frames"),
        },
        "truncated" => Event::Truncated {
            id: f.id(),
            stream: f.word("stream", &[Stream::Stdout, Stream::Stderr]),
            omitted_bytes: f.number("omitted_bytes"),
        },
        "done" => Event::Done {
            id: f.id(),
            status: f.word("status", &STATUSES),
            execution_count: count(),
            duration_ms: f.read("duration_ms"),
            state_kept: f.flag("state_kept"),
            usage: DoneUsage {
                cpu_ms: f.at("usage")["cpu_ms"].as_f64().unwrap(),
                peak_memory_bytes: f.at("usage")["peak_memory_bytes"].as_u64().unwrap(),
                output_bytes: f.at("usage")["output_bytes"].as_u64().unwrap(),
            },
            detail: f.read("detail"),
            user_expressions: f
                .0
                .contains_key("user_expressions")
                .then(|| serde_json::from_str(f.raw("user_expressions").get()).unwrap()),
            cell: cell(),
            files_changed: f.read::<Option<_>>("files_changed").unwrap_or_default(),
            more: f.flag("more"),
        },
        "opened" => Event::Opened(f.whole()),
        "exited" => Event::Exited {
            id: f.id(),
            code: f.read("code"),
            signal: f.read("signal"),
            detail: f.read("detail"),
        },
        "terminal" => Event::ProcessTerminal(f.whole()),
        "usage" => Event::Usage {
            memory_bytes: f.number("memory_bytes"),
            memory_limit_bytes: f.number("memory_limit_bytes"),
            cpu_percent: f.read("cpu_percent"),
            processes: f.read("processes"),
        },
        "status" => Event::Status { state: f.word("state", &STATES) },
        "restarted" => Event::Restarted {
            reason: f.text("reason"),
            requested_by: f.read::<Option<String>>("requested_by").map(Arc::from),
            interpreter: interpreter(),
        },
        "notice" => Event::Notice {
            level: f.word("level", &[NoticeLevel::Info, NoticeLevel::Warning]),
            code: f.text("code").to_owned().into(),
            text: f.text("text"),
        },
        "ended" => Event::Ended { reason: f.word("reason", &REASONS), detail: f.text("detail") },
        _ => return None,
    })
}

const STATUSES: [CellStatus; 10] = [
    CellStatus::Ok,
    CellStatus::Error,
    CellStatus::Interrupted,
    CellStatus::Timeout,
    CellStatus::Oom,
    CellStatus::OutputLimit,
    CellStatus::Exited,
    CellStatus::Killed,
    CellStatus::Cancelled,
    CellStatus::Lost,
];

const STATES: [SessionState; 4] =
    [SessionState::Idle, SessionState::Busy, SessionState::Restarting, SessionState::Ended];

const ROLES: [Role; 3] = [Role::Owner, Role::Editor, Role::Viewer];

const REASONS: [EndReason; 7] = [
    EndReason::Requested,
    EndReason::Abandoned,
    EndReason::IdleTimeout,
    EndReason::Lifetime,
    EndReason::Draining,
    EndReason::SandboxLost,
    EndReason::InterpreterFailed,
];

const CODES: [ErrorCode; 9] = [
    ErrorCode::BadJson,
    ErrorCode::BadMessage,
    ErrorCode::UnknownType,
    ErrorCode::DuplicateId,
    ErrorCode::QueueFull,
    ErrorCode::TooLarge,
    ErrorCode::Forbidden,
    ErrorCode::NotRunning,
    ErrorCode::RateLimited,
];

fn reply(name: &str, f: &Fields<'_>) -> Option<Reply> {
    let rest = |without: &[&str]| {
        let mut all = f.0.clone();
        all.retain(|field, _| !without.contains(&field.as_str()));
        Value::Object(all)
    };
    let answer = || rest(&["type", "id"]);
    Some(match name {
        "ready" => Reply::Ready(Box::new(ready(f))),
        "gap" => Reply::Gap {
            from: f.number("from"),
            to: f.number("to"),
            superseded: f.flag("superseded"),
        },
        "participants" => {
            let list = f.at("list").as_array().unwrap().iter().map(|one| {
                let one = Fields(one.as_object().unwrap());
                let rights = one.rights();
                ParticipantInfo { id: one.read("id"), name: one.text("name").into(), rights }
            });
            Reply::Participants { list: list.collect(), document: f.flag("document") }
        }
        "pong" => {
            let Value::Object(fields) = rest(&["type"]) else { panic!("not an object") };
            Reply::Pong(fields)
        }
        "complete_reply" => Reply::CompleteReply {
            id: f.text("id"),
            answer: serde_json::from_value(answer()).unwrap(),
        },
        "inspect_reply" => Reply::InspectReply {
            id: f.text("id"),
            answer: serde_json::from_str(&answer().to_string()).unwrap(),
        },
        "is_complete_reply" => Reply::IsCompleteReply {
            id: f.text("id"),
            answer: serde_json::from_value(answer()).unwrap(),
        },
        "table_reply" => Reply::TableReply {
            id: f.text("id"),
            answer: serde_json::from_str(&answer().to_string()).unwrap(),
        },
        "variables_reply" => Reply::VariablesReply {
            id: f.text("id"),
            answer: serde_json::from_value(answer()).unwrap(),
        },
        "protocol_error" => Reply::ProtocolError {
            code: f.word("code", &CODES),
            message: f.text("message"),
            id: f.read("id"),
        },
        _ => return None,
    })
}

fn ready(f: &Fields<'_>) -> Ready {
    let limits = f.at("limits").as_object().unwrap();
    let limits = Fields(limits);
    Ready {
        protocol: f.read("protocol"),
        session: f.text("session"),
        token: f.text("token"),
        participant: f.read("participant"),
        rights: f.rights(),
        template: f.text("template"),
        language: f.read("language"),
        languages: f.read("languages"),
        programs: f.read("programs"),
        state: f.word("state", &STATES),
        seq: f.number("seq"),
        limits: ReadyLimits {
            message_bytes: limits.number("message_bytes"),
            queue: limits.number("queue"),
            output_bytes: limits.read("output_bytes"),
            timeout_ms: limits.read("timeout_ms"),
            memory_bytes: limits.number("memory_bytes"),
            window_bytes: limits.number("window_bytes"),
            cpu_millis: limits.number("cpu_millis"),
            processes: limits.number("processes"),
            disk_bytes: limits.number("disk_bytes"),
        },
        backend: f.text("backend").leak(),
        allowed: f.0.get("allowed").map(|allowed| {
            let allowed = Fields(allowed.as_object().unwrap());
            ReadyAllowed { files: allowed.flag("files"), sharing: allowed.flag("sharing") }
        }),
    }
}
