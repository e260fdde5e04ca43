//! Cells in kernels of Jupyter: a template for each, with R's, from Debian, and ipykernel, which `scripts/ci-packages` installs.
//! Not bash_kernel: it needs terminals, and sandboxes of the local backend have none.

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

/// A gateway with a template for R's kernel and one for ipykernel, if they are installed.
fn gateway(stage: &Stage) -> Result<Gateway, Missing> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let notebook = std::path::absolute(PathBuf::from(target).join("notebook")).unwrap_or_default();
    let python = notebook.join("bin/python");
    let needed = [
        notebook.join("share/jupyter/kernels/python3/kernel.json"),
        "/usr/share/jupyter/kernels/ir/kernel.json".into(),
        "/usr/lib/python3/dist-packages/zmq".into(),
    ];
    if let Some(missing) = needed.iter().find(|path| !path.exists()) {
        let reason = format!("there is no {}: run scripts/ci-packages", missing.display());
        return Err(Missing::new("jupyter", reason));
    }
    let settings = format!(
        "[templates.r]\nlanguage = \"jupyter\"\nkernel = \"ir\"\n\
         [templates.notebook]\nlanguage = \"jupyter\"\npython = {python:?}\nkernel = \"python3\"\n"
    );
    Ok(Gateway::with_settings(stage.backend, &settings, &[]))
}

async fn a_session_says_its_language_and_keeps_its_state(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    let mut client = Client::create(&gateway, "r").await;
    let language = &client.ready["language"];
    assert_eq!((text(language, "name"), text(language, "shell")), ("R", "R"));
    client.run("x <- c(1, 2); dir.create('d'); setwd('d')").await.expect("ok", true);
    let cell = client.run("cat(sum(x), getwd()); message('told'); x").await;
    assert_eq!((cell.stdout(), cell.stderr().trim_end()), ("3 /work/d".into(), "told"));
    assert_eq!(text(&cell.one("display")["data"], "text/plain"), "[1] 1 2");
    let cell = client.run("stop('bad')").await;
    cell.expect("error", true);
    assert!(text(cell.one("error"), "value").contains("bad"), "{:?}", cell.events);
    let cell = client.run("plot(x)").await;
    assert!(cell.one("display")["data"]["image/png"].is_string(), "{:?}", cell.events);
    let cell = client.run("system('echo from a child; ls /home /root 2>/dev/null')").await;
    assert_eq!(cell.stdout(), "from a child\n");
    client.end().await;
    Ok(())
}

async fn output_streams_and_an_interrupt_keeps_the_state(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    for (template, set, get, loops) in [
        (
            "r",
            "x <- 'kept'",
            "cat(x)",
            [
                "cat('begun'); flush.console(); Sys.sleep(20)",
                "cat('begun'); flush.console(); repeat {}",
            ],
        ),
        (
            "notebook",
            "x = 'kept'",
            "print(x, end='')",
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
            assert_eq!(client.run(get).await.stdout(), "kept", "{code}");
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
    let mut client = Client::create(&gateway, "r").await;
    client.run("alphabet <- 'abc'").await.expect("ok", true);
    client.send(json!({"type": "complete", "id": "c", "code": "'é'; alphab", "cursor": 11})).await;
    let reply = client.until("complete_reply").await;
    assert_eq!(reply["matches"], json!(["alphabet"]));
    assert_eq!((&reply["start"], &reply["end"]), (&json!(5), &json!(11)));
    client.send(json!({"type": "variables", "id": "v"})).await;
    let reply = client.until("variables_reply").await;
    assert!(text(&reply, "error").contains("cannot be listed"), "{reply}");
    client.end().await;
    Ok(())
}

async fn every_byte_of_8_mib_arrives(stage: &Stage) -> Result<(), Missing> {
    let gateway = gateway(stage)?;
    for (template, code) in [
        (
            "r",
            "for (i in 0:8191) cat(formatC(i, width = 1023, flag = '0', format = 'd'), '\\n', sep = '')",
        ),
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
    // ipykernel hands its output to a thread that sends it, so that the kernel dies when that was done.
    let code = "import os; print('last words'); input(); os.kill(os.getpid(), 9)";
    let id = client.execute(code).await;
    assert_eq!(client.until_text(&id, "last words\n").await, "last words\n");
    client.send(json!({"type": "input", "id": id, "text": ""})).await;
    let cell = client.finish(&id).await;
    cell.expect("exited", false);
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
