//! The conversation of Modal's example of a stateful code interpreter, cell by cell: what people
//! compare us with has to work as they know it.
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

mod common;

use common::client::{Client, text};
use common::suite::{Stage, cases};
use common::traces::{GONE, until_empty};

cases![the_conversation, the_sandbox_goes_with_the_socket];

fn main() -> std::process::ExitCode {
    common::suite::run(&[(CASES, &common::backend::Backend::ALL)])
}

async fn the_conversation(stage: &Stage) {
    let mut client = stage.session().await;
    assert_eq!(client.print("print('hello, world!')").await, "hello, world!\n");
    for code in ["x = 10", "y = 5", "result = x + y"] {
        let cell = client.run(code).await;
        cell.expect("ok", true);
        assert_eq!(cell.kinds(), ["queued", "started", "done"]);
    }
    let told = client.print("print(f'The result is: {result}')").await;
    assert_eq!(told, "The result is: 15\n");
    let cell = client.run("print('before')\n1 / 0\nprint('never')").await;
    cell.expect("error", true);
    assert_eq!(cell.stdout(), "before\n");
    assert_eq!(cell.error(), "ZeroDivisionError");
    assert_eq!(text(cell.one("error"), "value"), "division by zero");
    assert_eq!(client.print("print(x, y, result)").await, "10 5 15\n");
    let processes = client.processes().await;
    assert!(processes.count() >= 2 || stage.backend.is_gvisor(), "{processes:?}");
    let traces = stage.gateway().traces().await;
    let session = client.session().to_owned();
    client.end().await;
    let left = until_empty(GONE, || traces.left_of(&session, &processes)).await;
    assert!(left.is_empty(), "{left:#?}");
}

async fn the_sandbox_goes_with_the_socket(stage: &Stage) {
    let gateway = stage.own(&["--detach-timeout", "0s"]);
    let mut client = Client::create(&gateway, "python").await;
    client.print("x = 10").await;
    let processes = client.processes().await;
    let traces = gateway.traces().await;
    let session = client.session().to_owned();
    client.close().await;
    let left = until_empty(GONE, || traces.left_of(&session, &processes)).await;
    assert!(left.is_empty(), "{left:#?}");
    gateway.stop().await;
}
