//! Several programs in one session: interpreters of different languages, commands and terminals.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::common::client::{Client, text};
use crate::common::gateway::Gateway;
use crate::common::require::Missing;
use crate::common::suite::{Stage, cases};

cases![
    cells_of_three_languages_share_files_and_run_side_by_side,
    a_long_cell_of_another_interpreter_is_one_like_any_other,
    an_interpreter_is_restarted_and_closed_by_itself,
    a_command_streams_and_tells_its_exit,
    every_byte_of_64_mib_comes_back_from_cat,
    a_terminal_is_resized_interrupted_and_survives_a_reconnection,
    what_a_viewer_may_do_is_to_watch,
    nothing_is_left_of_programs_that_were_closed,
    an_interpreter_that_is_not_there_says_how_to_get_it,
];

/// A gateway; its machine needs a Node for JavaScript.
fn gateway(stage: &Stage) -> Result<Gateway, Missing> {
    let node = ["/usr/bin/node", "/usr/local/bin/node"];
    if !node.iter().any(|path| Path::new(path).exists()) {
        return Err(Missing::new("node", "install Node 20 or newer in /usr/bin or /usr/local/bin"));
    }
    let settings = "other_languages = [\"javascript\", \"bash\"]\n";
    Ok(Gateway::with_settings(stage.backend, settings, &["--memory", "1GiB"]))
}

/// Opens a program and waits until it is there.
async fn open(client: &mut Client, message: Value) -> Value {
    let id = text(&message, "id").to_owned();
    let mut message = message;
    message["type"] = "open".into();
    client.send(message).await;
    client.until_of("opened", &id).await
}

/// All that a process writes, up to its end: stdout with a terminal's output, stderr, and how it ended.
async fn exited(client: &mut Client, id: &str) -> (String, String, Value) {
    let (mut out, mut err) = (String::new(), String::new());
    loop {
        let of_it = |m: &Value| m["program"] == id || (m["type"] == "exited" && m["id"] == id);
        let message = client.next_where(of_it).await;
        match text(&message, "type") {
            "exited" => return (out, err, message),
            "stderr" => err += text(&message, "text"),
            _ => out += text(&message, "text"),
        }
    }
}

/// Sooner than the client gives up, which knows nothing of what was waited for.
const SAYS_WITHIN: Duration = Duration::from_secs(40);

/// Reads on until the output of a process contains `wanted`.
async fn until_said(client: &mut Client, id: &str, wanted: &str) -> String {
    let mut all = String::new();
    while !all.contains(wanted) {
        let next = client.next_where(|m| m["program"] == id);
        let message = tokio::time::timeout(SAYS_WITHIN, next).await;
        let message = message.unwrap_or_else(|_| panic!("{id} said no {wanted:?}: {all:?}"));
        all += text(&message, "text");
    }
    all
}

async fn cells_of_three_languages_share_files_and_run_side_by_side(
    stage: &Stage,
) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "python").await;
    let names: Vec<&str> = client.ready["languages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|language| language["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["python", "javascript", "bash"]);
    assert_eq!(client.ready["programs"][0]["id"], "main");
    client.run("open('shared', 'w').write('from Python'); x = 1").await.expect("ok", true);
    let javascript = json!({"interpreter": "javascript"});
    let cell =
        client.run_with("const x = 2; fs.readFileSync('shared', 'utf8')", javascript.clone()).await;
    cell.expect("ok", true);
    assert_eq!(cell.result(), "'from Python'");
    assert_eq!(cell.one("started")["interpreter"], "javascript");
    let bash = json!({"interpreter": "bash"});
    client.run_with("x=3; echo from bash > shared", bash.clone()).await.expect("ok", true);
    assert_eq!(client.run("print(open('shared').read(), x)").await.stdout(), "from bash\n 1\n");
    // Each waits for what the next one does.
    let first =
        client.execute("import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)").await;
    let wait = "while (!fs.existsSync('next')) await new Promise((done) => setTimeout(done, 10)); fs.writeFileSync('go', '')";
    let second = client.execute_with(wait, javascript.clone()).await;
    client.run_with("touch next; echo $x", bash).await.expect("ok", true);
    client.finish(&second).await.expect("ok", true);
    client.finish(&first).await.expect("ok", true);
    assert_eq!(client.run_with("x", javascript).await.result(), "2");
    client.end().await;
    Ok(())
}

async fn a_long_cell_of_another_interpreter_is_one_like_any_other(
    stage: &Stage,
) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "python").await;
    open(&mut client, json!({"id": "sh", "kind": "interpreter", "language": "bash"})).await;
    let cell = client.execute_with("x=kept; sleep 600", json!({"interpreter": "sh"})).await;
    // What the sandbox uses is told while it runs.
    client.until("usage").await;
    client.send(json!({"type": "interrupt", "id": cell})).await;
    client.finish(&cell).await.expect("interrupted", true);
    let said = client.run_with("echo $x", json!({"interpreter": "sh"})).await;
    assert_eq!(said.stdout(), "kept\n");
    client.end().await;
    Ok(())
}

async fn an_interpreter_is_restarted_and_closed_by_itself(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "python").await;
    client.run("x = 'kept'").await.expect("ok", true);
    let opened = open(
        &mut client,
        json!({"id": "js", "kind": "interpreter", "language": "javascript", "env": {"FROM": "open"}, "cwd": "/tmp"}),
    )
    .await;
    assert_eq!(opened["language"], "javascript");
    let js = || json!({"interpreter": "js"});
    let cell = client.run_with("[process.env.FROM, process.cwd()].join()", js()).await;
    assert_eq!(cell.result(), "'open,/tmp'");
    // An interrupt ends the cell that it names.
    let busy = client.execute_with("console.log('begun'); for (;;) {}", js()).await;
    client.until_text(&busy, "begun").await;
    client.send(json!({"type": "interrupt", "id": busy})).await;
    client.finish(&busy).await.expect("interrupted", true);
    let lost = client.execute_with("console.log('begun'); for (;;) {}", js()).await;
    client.until_text(&lost, "begun").await;
    client.send(json!({"type": "restart", "interpreter": "js"})).await;
    client.finish(&lost).await.expect("interrupted", false);
    assert_eq!(client.until("restarted").await["interpreter"], "js");
    assert_eq!(client.run_with("typeof lost", js()).await.result(), "'undefined'");
    let complete =
        json!({"type": "complete", "id": "q", "code": "proc", "cursor": 4, "interpreter": "js"});
    client.send(complete).await;
    let reply = client.until_of("complete_reply", "q").await;
    assert!(reply["matches"].as_array().unwrap().contains(&"process".into()), "{reply}");
    client.send(json!({"type": "close", "id": "js"})).await;
    client.until_of("exited", "js").await;
    client.send(json!({"code": "1", "id": "late", "interpreter": "js"})).await;
    assert_eq!(client.until_of("protocol_error", "late").await["code"], "not_running");
    assert_eq!(client.run("x").await.result(), "'kept'");
    client.end().await;
    Ok(())
}

async fn a_command_streams_and_tells_its_exit(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "python").await;
    let command = "echo out; echo err >&2; echo $FORCE_COLOR$HOME; exit 3";
    let opened = open(&mut client, json!({"id": "p", "kind": "process", "command": command})).await;
    assert!(opened["pid"].as_u64().is_some_and(|pid| pid > 1), "{opened}");
    let (out, err, end) = exited(&mut client, "p").await;
    assert_eq!((&*out, &*err, &end["code"]), ("out\n/work\n", "err\n", &json!(3)));
    // While a cell runs, and beside it; its input is written and ended.
    let cell = client.execute("import time\nprint('begun')\ntime.sleep(600)").await;
    client.until_text(&cell, "begun").await;
    open(&mut client, json!({"id": "cat", "kind": "process", "argv": ["cat"], "stdin": true}))
        .await;
    client.send(json!({"type": "write", "id": "cat", "text": "one\n"})).await;
    assert_eq!(until_said(&mut client, "cat", "one").await, "one\n");
    client.send(json!({"type": "write", "id": "cat", "data": "dHdvCg==", "eof": true})).await;
    let (out, _, end) = exited(&mut client, "cat").await;
    assert_eq!((&*out, &end["code"]), ("two\n", &json!(0)));
    open(&mut client, json!({"id": "s", "kind": "process", "argv": ["sleep", "600"]})).await;
    client.send(json!({"type": "signal", "id": "s", "signal": "SIGTERM"})).await;
    assert_eq!(exited(&mut client, "s").await.2["signal"], "SIGTERM");
    client.send(json!({"type": "interrupt", "id": cell})).await;
    client.finish(&cell).await.expect("interrupted", true);
    // What cannot be started says so.
    client
        .send(json!({"type": "open", "id": "n", "kind": "process", "argv": ["no-such-program"]}))
        .await;
    let end = exited(&mut client, "n").await.2;
    assert_eq!(end["code"], 127, "{end}");
    assert!(text(&end, "detail").contains("no-such-program"), "{end}");
    client.end().await;
    Ok(())
}

async fn every_byte_of_64_mib_comes_back_from_cat(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "python").await;
    let code = "import hashlib\nline = ('0123456789abcde\\n' * 4096).encode()\n\
                with open('big', 'wb') as file:\n    for _ in range(1024): file.write(line)\n\
                hashlib.sha256(line * 1024).hexdigest()";
    let digest = client.run(code).await.result().trim_matches('\'').to_owned();
    open(&mut client, json!({"id": "cat", "kind": "process", "argv": ["cat", "big"]})).await;
    let mut hash = Sha256::new();
    let mut bytes = 0;
    loop {
        let of_it = |m: &Value| m["program"] == "cat" || m["type"] == "exited";
        let message = client.next_where(of_it).await;
        if message["type"] == "exited" {
            break;
        }
        bytes += text(&message, "text").len();
        hash.update(text(&message, "text").as_bytes());
    }
    let told: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((bytes, told), (64 << 20, digest));
    client.end().await;
    Ok(())
}

async fn a_terminal_is_resized_interrupted_and_survives_a_reconnection(
    stage: &Stage,
) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "python").await;
    let terminal = json!({"id": "t", "kind": "process", "terminal": {"cols": 80, "rows": 24}});
    open(&mut client, terminal).await;
    until_said(&mut client, "t", "$ ").await;
    let say = |line: &str| json!({"type": "write", "id": "t", "text": line});
    client.send(say("PS1=; stty -echo; tty; echo rea''dy\r")).await;
    let said = until_said(&mut client, "t", "ready").await;
    assert!(said.contains("/dev/pts/"), "{said:?}");
    client.send(json!({"type": "resize", "id": "t", "cols": 101, "rows": 33})).await;
    client.send(say("stty size\r")).await;
    until_said(&mut client, "t", "33 101").await;
    for interrupt in [say("\u{3}"), json!({"type": "signal", "id": "t", "signal": "SIGINT"})] {
        // It prints and goes on as one process: a shell may forget a SIGINT while it starts another.
        let going = r#"bash -c 'echo go""ing; while :; do :; done'; echo not"" this"#;
        client.send(say(&format!("{going}\r"))).await;
        until_said(&mut client, "t", "going").await;
        client.send(interrupt).await;
        client.send(say("echo st''ill\r")).await;
        let said = until_said(&mut client, "t", "still").await;
        assert!(!said.contains("not this"), "{said:?}");
    }
    // Another connection is told of it, and of what it showed.
    let mut client = client.resume(&gateway).await;
    let listed = client.ready["programs"].as_array().unwrap();
    assert!(listed.iter().any(|one| one["id"] == "t" && one["terminal"] == true), "{listed:?}");
    let mut other = crate::closes::shared(&gateway, &client, "viewer").await;
    assert!(until_said(&mut other, "t", "still").await.contains("33 101"));
    other.close().await;
    client.send(say("exit 4\r")).await;
    assert_eq!(exited(&mut client, "t").await.2["code"], 4);
    client.end().await;
    Ok(())
}

async fn what_a_viewer_may_do_is_to_watch(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "python").await;
    open(&mut client, json!({"id": "t", "kind": "process", "argv": ["cat"], "stdin": true})).await;
    let mut watching = crate::closes::shared(&gateway, &client, "viewer").await;
    for message in [
        json!({"type": "open", "id": "v", "kind": "process", "argv": ["id"]}),
        json!({"type": "write", "id": "t", "text": "x"}),
        json!({"type": "signal", "id": "t", "signal": "SIGKILL"}),
        json!({"type": "close", "id": "t"}),
    ] {
        watching.send(message.clone()).await;
        let refused = watching.until("protocol_error").await;
        assert_eq!((&refused["code"], &refused["id"]), (&json!("forbidden"), &message["id"]));
    }
    client.send(json!({"type": "write", "id": "t", "text": "seen"})).await;
    assert_eq!(until_said(&mut watching, "t", "seen").await, "seen");
    client.end().await;
    Ok(())
}

async fn nothing_is_left_of_programs_that_were_closed(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "python").await;
    for (id, message) in [
        ("js", json!({"kind": "interpreter", "language": "javascript"})),
        ("sh", json!({"kind": "process", "command": "sleep 601 & setsid sleep 602 & sleep 603"})),
        (
            "tt",
            json!({"kind": "process", "terminal": {"cols": 9, "rows": 9}, "argv": ["sleep", "604"]}),
        ),
    ] {
        let mut message = message;
        message["id"] = id.into();
        open(&mut client, message).await;
    }
    for id in ["js", "sh", "tt"] {
        client.send(json!({"type": "close", "id": id})).await;
        let end = exited(&mut client, id).await.2;
        assert!(text(&end, "detail").starts_with("closed by"), "{end}");
    }
    let code = "import os\n[p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]";
    assert_eq!(client.run(code).await.result(), "[]");
    client.end().await;
    Ok(())
}

async fn an_interpreter_that_is_not_there_says_how_to_get_it(stage: &Stage) -> Result<(), Missing> {
    let gateway = Gateway::with_settings(stage.backend, "other_languages = []\n", &[]);
    let mut client = Client::create(&gateway, "python").await;
    let languages = client.ready["languages"].as_array().unwrap().len();
    assert_eq!(languages, 1);
    client
        .send(json!({"type": "open", "id": "j", "kind": "interpreter", "language": "javascript"}))
        .await;
    let refused = client.until_of("protocol_error", "j").await;
    assert!(text(&refused, "message").contains("there are: python"), "{refused}");
    client.send(json!({"code": "1", "id": "c", "interpreter": "javascript"})).await;
    assert_eq!(client.until_of("protocol_error", "c").await["code"], "not_running");
    // A program that ends at once is told of, and the session goes on.
    assert_eq!(client.run("1").await.result(), "1");
    client.end().await;
    Ok(())
}
