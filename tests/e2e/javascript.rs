//! Cells in JavaScript: a template of that language, on a Node of the machine.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::common::client::{Client, text};
use crate::common::gateway::Gateway;
use crate::common::require::Missing;
use crate::common::suite::{Stage, cases};

cases![
    a_session_says_its_language_and_keeps_its_state,
    output_and_events_stream_in_order,
    an_interrupt_ends_any_loop_and_keeps_the_state,
    an_exit_is_told_and_the_next_cell_works,
    late_output_is_its_own_cells,
    every_byte_of_64_mib_arrives,
    files_and_questions_work,
];

const SETTINGS: &str = "[templates.javascript]\nlanguage = \"javascript\"\n";

/// A gateway with the template, if the machine has a Node that every user can read.
fn gateway(stage: &Stage) -> Result<Gateway, Missing> {
    let usual = ["/usr/bin/node", "/usr/local/bin/node"];
    let version = usual.iter().filter(|path| Path::new(path).exists()).find_map(|path| {
        let output =
            std::process::Command::new(path).arg("-p").arg("process.versions.node").output();
        let major = String::from_utf8(output.ok()?.stdout).ok()?.split('.').next()?.parse::<u32>();
        major.ok().filter(|major| *major >= 20)
    });
    match version {
        Some(_) => Ok(Gateway::with_settings(stage.backend, SETTINGS, &[])),
        None => Err(Missing::new("node", "install Node 20 or newer in /usr/bin or /usr/local/bin")),
    }
}

async fn a_session_says_its_language_and_keeps_its_state(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "javascript").await;
    assert_eq!(text(&client.ready["language"], "name"), "javascript");
    assert_eq!(client.run("const a = 1; await null; a").await.result(), "1");
    assert_eq!(client.run("const a = { b: [2] }; a").await.result(), "{ b: [ 2 ] }");
    assert_eq!(client.run("import { sep } from 'path'; sep").await.result(), "'/'");
    let cell = client.run("nothing.at.all").await;
    cell.expect("error", true);
    assert_eq!(cell.error(), "ReferenceError");
    assert_eq!(client.run("process.cwd()").await.result(), "'/work'");
    client.end().await;
    Ok(())
}

async fn output_and_events_stream_in_order(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "javascript").await;
    let code = "console.log('one'); display.html('<b>two</b>'); console.error('three');\
                require('child_process').execSync('echo four', { stdio: 'inherit' }); 5";
    let cell = client.run(code).await;
    cell.expect("ok", true);
    assert_eq!(
        cell.kinds(),
        ["queued", "started", "stdout", "display", "stderr", "stdout", "result", "done"]
    );
    assert_eq!((cell.stdout().as_str(), cell.stderr().as_str()), ("one\nfour\n", "three\n"));
    client.end().await;
    Ok(())
}

async fn an_interrupt_ends_any_loop_and_keeps_the_state(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "javascript").await;
    client.run("let kept = 0").await.expect("ok", true);
    let loops = [
        "for (;;) {}",
        "for (;;) fs.statSync('/')",
        "await new Promise(() => {})",
        "setTimeout(() => { for (;;) {} }); await new Promise(() => {})",
        "for (;;) console.log('x'.repeat(1000))",
    ];
    for code in loops {
        let id = client.execute(&format!("kept++; console.log('on'); {code}")).await;
        client.until_text(&id, "on").await;
        client.send(json!({"type": "interrupt", "id": id})).await;
        client.finish(&id).await.expect("interrupted", true);
    }
    assert_eq!(client.run("kept").await.result(), loops.len().to_string());
    client.end().await;
    Ok(())
}

async fn an_exit_is_told_and_the_next_cell_works(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "javascript").await;
    let cell = client.run("console.log('last words'); process.exit(7)").await;
    cell.expect("exited", false);
    assert_eq!(cell.stdout(), "last words\n");
    assert!(cell.detail().contains("exit code 7"), "{}", cell.detail());
    client.until("restarted").await;
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
    Ok(())
}

async fn late_output_is_its_own_cells(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "javascript").await;
    let first = client.execute("setTimeout(() => console.log('tick'), 300); 0").await;
    client.finish(&first).await.expect("ok", true);
    let second =
        client.execute("await new Promise(r => setTimeout(r, 600)); console.log('tock')").await;
    let late = client.next_where(|m| m["type"] == "stdout" && m["id"] == first.as_str()).await;
    assert_eq!((text(&late, "text"), &late["late"]), ("tick\n", &json!(true)));
    assert_eq!(client.finish(&second).await.stdout(), "tock\n");
    client.end().await;
    Ok(())
}

async fn every_byte_of_64_mib_arrives(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "javascript").await;
    let begun = std::time::Instant::now();
    let cell = client
        .run("for (let i = 0; i < 65536; i++) console.log(String(i).padStart(1023, '.'))")
        .await;
    cell.expect("ok", true);
    let took: Duration = begun.elapsed();
    let stdout = cell.stdout();
    assert_eq!(stdout.len(), 64 << 20);
    for (at, line) in stdout.lines().enumerate() {
        assert_eq!(line.trim_start_matches('.'), at.to_string());
    }
    eprintln!("64 MiB of console.log: {} ms", took.as_millis());
    client.end().await;
    Ok(())
}

async fn files_and_questions_work(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "javascript").await;
    client.run("fs.writeFileSync('f.txt', 'abc'); const alphabet = 'abc'").await.expect("ok", true);
    assert_eq!(client.run("fs.readFileSync('/work/f.txt', 'utf8')").await.result(), "'abc'");
    client.send(json!({"type": "complete", "id": "q", "code": "alph", "cursor": 4})).await;
    let reply = client.until("complete_reply").await;
    assert_eq!(reply["matches"], json!(["alphabet"]));
    client.send(json!({"type": "variables", "id": "v"})).await;
    let reply = client.until("variables_reply").await;
    assert_eq!(text(&reply["variables"][0], "name"), "alphabet");
    client.end().await;
    Ok(())
}
