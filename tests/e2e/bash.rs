//! Cells in bash: a template of that language.

use serde_json::json;

use crate::common::client::{Client, text};
use crate::common::gateway::Gateway;
use crate::common::require::Missing;
use crate::common::suite::{Stage, cases};

cases![
    a_session_says_its_language_and_keeps_its_state,
    an_interrupt_ends_any_loop_and_keeps_the_state,
    an_exit_is_told_and_the_next_cell_works,
    every_byte_of_64_mib_arrives,
    nothing_is_reached_outside_of_the_sandbox,
];

const SETTINGS: &str = "[templates.shell]\nlanguage = \"bash\"\n";

/// A gateway with the template, if the machine has a bash.
fn gateway(stage: &Stage) -> Result<Gateway, Missing> {
    match std::path::Path::new("/usr/bin/bash").exists() {
        true => Ok(Gateway::with_settings(stage.backend, SETTINGS, &[])),
        false => Err(Missing::new("bash", "install bash in /usr/bin")),
    }
}

async fn a_session_says_its_language_and_keeps_its_state(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "shell").await;
    assert_eq!(text(&client.ready["language"], "name"), "bash");
    client.run("x=5; mkdir -p d && cd d").await.expect("ok", true);
    let cell = client.run("echo $x; pwd; echo wrong >&2").await;
    assert_eq!((cell.stdout(), cell.stderr()), ("5\n/work/d\n".into(), "wrong\n".into()));
    let cell = client.run("false").await;
    cell.expect("ok", true);
    assert_eq!(cell.detail(), "exit status 1");
    assert_eq!(client.run("echo $?").await.stdout(), "1\n");
    client.end().await;
    Ok(())
}

async fn an_interrupt_ends_any_loop_and_keeps_the_state(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "shell").await;
    client.run("x=kept").await.expect("ok", true);
    for code in ["while :; do :; done", "sleep 60", "while :; do sleep 60; done"] {
        let id = client.execute(&format!("echo begun; {code}")).await;
        client.until_text(&id, "begun").await;
        client.send(json!({"type": "interrupt", "id": id})).await;
        client.finish(&id).await.expect("interrupted", true);
        assert_eq!(client.run("echo $x").await.stdout(), "kept\n", "{code}");
    }
    client.end().await;
    Ok(())
}

async fn an_exit_is_told_and_the_next_cell_works(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "shell").await;
    client.run("x=1").await.expect("ok", true);
    let cell = client.run("exit 3").await;
    cell.expect("exited", false);
    assert!(cell.detail().contains('3'), "{}", cell.detail());
    client.until("restarted").await;
    assert_eq!(client.run("echo [$x]").await.stdout(), "[]\n");
    client.end().await;
    Ok(())
}

async fn every_byte_of_64_mib_arrives(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "shell").await;
    let cell = client.run("head -c 50331648 /dev/zero | tr '\\0' 'x' | base64 -w 0").await;
    cell.expect("ok", true);
    // Three bytes are four characters.
    assert_eq!(cell.stdout().len(), 64 << 20);
    assert!(cell.stdout().as_bytes().chunks(4).all(|four| four == b"eHh4"));
    client.end().await;
    Ok(())
}

async fn nothing_is_reached_outside_of_the_sandbox(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "shell").await;
    let cell =
        client.run("ls /home /root 2>/dev/null; : > /etc/x; exec 3<>/dev/tcp/127.0.0.1/1").await;
    assert_eq!(cell.stdout(), "");
    assert!(cell.stderr().contains("/etc/x"), "{}", cell.stderr());
    assert!(cell.stderr().contains("/dev/tcp"), "{}", cell.stderr());
    client.end().await;
    Ok(())
}
