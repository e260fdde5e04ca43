//! Cells in kernels of Jupyter: a template for each, with the kernels that `scripts/ci-packages` installs.

use std::path::PathBuf;

use serde_json::json;

use crate::common::client::{Client, text};
use crate::common::gateway::Gateway;
use crate::common::require::Missing;
use crate::common::suite::{Stage, cases};

cases![
    a_session_says_its_language_and_keeps_its_state,
    output_streams_and_an_interrupt_keeps_the_state,
    values_input_and_errors_are_those_of_other_languages,
    questions_are_answered,
    every_byte_of_8_mib_arrives,
    a_killed_kernel_is_told_and_a_fresh_one_comes,
];

/// A gateway with a template for bash_kernel and one for ipykernel, if they are installed.
fn gateway(stage: &Stage) -> Result<Gateway, Missing> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let notebook = PathBuf::from(target).join("notebook");
    let python = std::path::absolute(notebook.join("bin/python")).unwrap_or_default();
    let there = notebook.join("share/jupyter/kernels/bash/kernel.json").exists();
    if !there {
        return Err(Missing::new("jupyter", "run scripts/ci-packages, which installs bash_kernel"));
    }
    let template = |name: &str, kernel: &str| {
        format!(
            "[templates.{name}]\nlanguage = \"jupyter\"\npython = {python:?}\nkernel = \"{kernel}\"\n"
        )
    };
    let settings = template("shell", "bash") + &template("notebook", "python3");
    Ok(Gateway::with_settings(stage.backend, &settings, &[]))
}

async fn a_session_says_its_language_and_keeps_its_state(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "shell").await;
    let language = &client.ready["language"];
    assert_eq!((text(language, "name"), text(language, "shell")), ("bash", "Bash"));
    client.run("x=5; mkdir -p d && cd d").await.expect("ok", true);
    assert_eq!(client.run("echo $x; pwd").await.stdout(), "5\n/work/d\n");
    let cell = client.run("ls /home /root 2>/dev/null | head -1; : > /etc/x").await;
    assert!(cell.stdout().contains("/etc/x"), "{}", cell.stdout());
    let cell = client.run("(exit 3)").await;
    cell.expect("error", true);
    assert_eq!(text(cell.one("error"), "value"), "3");
    client.end().await;
    Ok(())
}

async fn output_streams_and_an_interrupt_keeps_the_state(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    for (template, set, get, loops) in [
        ("shell", "x=kept", "echo $x", ["echo begun; sleep 20", "echo begun; while :; do :; done"]),
        (
            "notebook",
            "x = 'kept'",
            "print(x)",
            [
                "print('begun', flush=True); import time; time.sleep(20)",
                "print('begun', flush=True)\nwhile True: pass",
            ],
        ),
    ] {
        let mut client = Client::create(&gateway, template).await;
        client.run(set).await.expect("ok", true);
        for code in loops {
            let id = client.execute(code).await;
            client.until_text(&id, "begun").await;
            client.send(json!({"type": "interrupt", "id": id})).await;
            client.finish(&id).await.expect("interrupted", true);
            assert_eq!(client.run(get).await.stdout(), "kept\n", "{code}");
        }
        client.end().await;
    }
    Ok(())
}

async fn values_input_and_errors_are_those_of_other_languages(
    stage: &Stage,
) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "notebook").await;
    let cell = client.run("print('one'); 6 * 7").await;
    cell.expect("ok", true);
    assert_eq!((cell.stdout(), cell.result()), ("one\n".into(), "42"));
    let id = client.execute("input('name? ')").await;
    let asked = client.until_of("input_request", &id).await;
    assert_eq!(text(&asked, "prompt"), "name? ");
    client.send(json!({"type": "input", "id": id, "text": "Ada"})).await;
    assert_eq!(client.finish(&id).await.result(), "'Ada'");
    let cell = client.run("y = 1\n1 / 0").await;
    cell.expect("error", true);
    assert_eq!(cell.error(), "ZeroDivisionError");
    assert_eq!(cell.one("error")["frames"][0]["line"], 2);
    client.end().await;
    Ok(())
}

async fn questions_are_answered(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "shell").await;
    client.run("alphabet=abc").await.expect("ok", true);
    client.send(json!({"type": "complete", "id": "c", "code": "echo $alph", "cursor": 10})).await;
    let reply = client.until("complete_reply").await;
    assert_eq!(reply["matches"], json!(["$alphabet"]));
    client.send(json!({"type": "variables", "id": "v"})).await;
    let reply = client.until("variables_reply").await;
    assert!(text(&reply, "error").contains("cannot be listed"), "{reply}");
    client.end().await;
    Ok(())
}

async fn every_byte_of_8_mib_arrives(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    for (template, code) in [
        ("shell", "seq -f '%01023.0f' 0 8191"),
        ("notebook", "for i in range(8192): print(str(i).zfill(1023))"),
    ] {
        let mut client = Client::create(&gateway, template).await;
        let cell = client.run(code).await;
        cell.expect("ok", true);
        let stdout = cell.stdout();
        assert_eq!(stdout.len(), 8 << 20, "{template}");
        for (at, line) in stdout.lines().enumerate() {
            assert_eq!(line.parse(), Ok(at), "{template}");
        }
        client.end().await;
    }
    Ok(())
}

async fn a_killed_kernel_is_told_and_a_fresh_one_comes(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "notebook").await;
    client.run("x = 1").await.expect("ok", true);
    let cell = client.run("print('last words', flush=True); import os; os.kill(os.getpid(), 9)").await;
    cell.expect("exited", false);
    assert_eq!(cell.stdout(), "last words\n");
    client.until("restarted").await;
    let cell = client.run("x").await;
    cell.expect("error", true);
    assert_eq!(cell.error(), "NameError");
    let cell = client.run("import os; os._exit(7)").await;
    cell.expect("exited", false);
    assert!(cell.detail().contains("exit code 7"), "{}", cell.detail());
    client.until("restarted").await;
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
    Ok(())
}
