//! Programs beside a session's own interpreter: opened, used and closed fifty times.

use std::fs;
use std::path::Path;

use rustix::process::Pid;
use serde_json::{Value, json};

use crate::common::client::{Client, text};
use crate::common::gateway::Gateway;
use crate::common::require::Missing;
use crate::common::suite::{Stage, rows};
use crate::common::traces::until_empty;
use crate::scene::LEFT;

rows![nothing_is_left:
    javascript "fifty are opened, used and closed; no process, descriptor or memory more, in supervisor and gateway"
        => Program::Interpreter { language: "javascript", code: "console.log(String(6 * 7))" },
    bash "the same" => Program::Interpreter { language: "bash", code: "sleep 600 & echo $((6 * 7))" },
    process "the same" => Program::Process { argv: &["sh", "-c", "sleep 600 & echo 42; cat"], terminal: false },
    terminal "the same" => Program::Process { argv: &["sh", "-c", "sleep 600 & echo 42; cat"], terminal: true },
];

/// What is opened and closed.
#[derive(Clone, Copy)]
enum Program {
    Interpreter { language: &'static str, code: &'static str },
    Process { argv: &'static [&'static str], terminal: bool },
}

/// Rounds before anything is measured: what is allocated once is allocated by then.
const FIRST_ROUNDS: u32 = 5;
const ROUNDS: u32 = 50;

/// What the supervisor may have more of afterwards, in kilobytes: 5 a round.
const SUPERVISOR_KB: u64 = 256;

/// The same of the gateway, which keeps the events of all rounds for those who come back.
const GATEWAY_KB: u64 = 4 << 10;

async fn nothing_is_left(stage: &Stage, program: Program) -> Result<(), Missing> {
    let node = ["/usr/bin/node", "/usr/local/bin/node"];
    let needs_node = matches!(program, Program::Interpreter { language: "javascript", .. });
    if needs_node && !node.iter().any(|path| Path::new(path).exists()) {
        return Err(Missing::new("node", "install Node 20 or newer in /usr/bin or /usr/local/bin"));
    }
    let languages: Vec<_> = match program {
        Program::Interpreter { language, .. } => vec![language],
        Program::Process { .. } => Vec::new(),
    };
    let settings = format!("other_languages = {languages:?}\n");
    let gateway = Gateway::with_settings(stage.backend, &settings, &["--pool-max", "0"]);
    let mut client = Client::create(&gateway, "python").await;
    for number in 0..FIRST_ROUNDS {
        round(&mut client, number, program).await;
    }
    let own = client.processes().await;
    let supervisor = own.first().expect("a sandbox has a first process");
    let before = [supervisor, gateway.pid].map(Measured::of);
    for number in FIRST_ROUNDS..FIRST_ROUNDS + ROUNDS {
        round(&mut client, number, program).await;
    }
    // What a closed program was in the middle of may take a moment to go.
    let descriptors = until_empty(LEFT, || async {
        let now = [supervisor, gateway.pid].map(Measured::of);
        let more = before.iter().zip(&now).filter(|(one, two)| two.descriptors > one.descriptors);
        more.map(|(one, two)| format!("{one:?} {two:?}")).collect()
    });
    assert_eq!(descriptors.await, [""; 0]);
    let now = [supervisor, gateway.pid].map(Measured::of);
    for ((before, now), most) in before.iter().zip(&now).zip([SUPERVISOR_KB, GATEWAY_KB]) {
        assert!(now.memory_kb <= before.memory_kb + most, "{before:?} {now:?}");
    }
    assert_eq!(client.processes().await.count(), own.count());
    client.end().await;
    gateway.stop().await;
    Ok(())
}

/// Opens a program, lets it do something, and closes it while a child of it runs.
async fn round(client: &mut Client, number: u32, program: Program) {
    let id = format!("p{number}");
    let mut message = match program {
        Program::Interpreter { language, .. } => {
            json!({"kind": "interpreter", "language": language})
        }
        Program::Process { argv, terminal: false } => {
            json!({"kind": "process", "argv": argv, "stdin": true})
        }
        Program::Process { argv, terminal: true } => {
            json!({"kind": "process", "argv": argv, "terminal": {"cols": 80, "rows": 24}})
        }
    };
    (message["type"], message["id"]) = ("open".into(), id.as_str().into());
    client.send(message).await;
    client.until_of("opened", &id).await;
    match program {
        Program::Interpreter { code, .. } => {
            let cell = client.run_with(code, json!({"interpreter": id})).await;
            assert_eq!(cell.stdout(), "42\n");
        }
        Program::Process { .. } => {
            let said = client.next_where(|message| message["program"] == id.as_str()).await;
            assert_eq!(text(&said, "text").trim(), "42");
        }
    }
    client.send(json!({"type": "close", "id": id})).await;
    let ended = |message: &Value| message["type"] == "exited" && message["id"] == id.as_str();
    client.next_where(ended).await;
    client.forget();
}

/// What a process has.
#[derive(Debug)]
struct Measured {
    descriptors: usize,
    /// Memory of its own that is resident, `RssAnon` of proc_pid_status(5).
    memory_kb: u64,
}

impl Measured {
    fn of(pid: Pid) -> Measured {
        let directory = format!("/proc/{}", pid.as_raw_nonzero());
        let status = fs::read_to_string(format!("{directory}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let memory_kb = memory.trim().trim_end_matches(" kB").parse().unwrap();
        let descriptors = fs::read_dir(format!("{directory}/fd")).unwrap().count();
        Measured { descriptors, memory_kb }
    }
}
