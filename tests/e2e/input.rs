//! Cells that ask: `input()`, passwords, `sys.stdin`.

use serde_json::json;

use crate::common::client::{Client, text};
use crate::common::suite::{Stage, cases};

cases![
    input_asks_and_gets_its_answer,
    passwords_are_asked_for_as_such,
    stdin_is_read_line_by_line,
    the_end_of_input_is_told,
    a_cell_that_may_not_ask_fails_at_once,
    answers_nobody_asked_for_are_refused,
    children_find_an_empty_stdin,
];

async fn answer(client: &mut Client, id: &str, line: &str) -> String {
    let request = client.until_of("input_request", id).await;
    client.send(json!({"type": "input", "id": id, "text": line})).await;
    text(&request, "prompt").to_owned()
}

async fn input_asks_and_gets_its_answer(stage: &Stage) {
    let mut client = stage.session().await;
    let id = client.execute("name = input('Who? ')\nage = int(input())\n(name, age)").await;
    assert_eq!(answer(&mut client, &id, "Zoë 🦀").await, "Who? ");
    assert_eq!(answer(&mut client, &id, "7").await, "");
    assert_eq!(client.finish(&id).await.result(), "('Zoë 🦀', 7)");
    client.end().await;
}

async fn passwords_are_asked_for_as_such(stage: &Stage) {
    let mut client = stage.session().await;
    let id = client.execute("import getpass\ngetpass.getpass('Secret: ')").await;
    let request = client.until_of("input_request", &id).await;
    assert_eq!((text(&request, "prompt"), &request["password"]), ("Secret: ", &json!(true)));
    client.send(json!({"type": "input", "id": id, "text": "hush"})).await;
    let cell = client.finish(&id).await;
    assert_eq!(cell.result(), "'hush'");
    client.end().await;
}

async fn stdin_is_read_line_by_line(stage: &Stage) {
    let mut client = stage.session().await;
    let id =
        client.execute("import sys\nfirst = sys.stdin.readline()\n[first] + list(sys.stdin)").await;
    for line in ["one", "two", "three"] {
        answer(&mut client, &id, line).await;
    }
    client.until_of("input_request", &id).await;
    client.send(json!({"type": "input", "id": id, "eof": true})).await;
    assert_eq!(client.finish(&id).await.result(), "['one\\n', 'two\\n', 'three\\n']");
    client.end().await;
}

async fn the_end_of_input_is_told(stage: &Stage) {
    let mut client = stage.session().await;
    let id = client.execute("input('more? ')").await;
    client.until_of("input_request", &id).await;
    client.send(json!({"type": "input", "id": id, "eof": true})).await;
    let cell = client.finish(&id).await;
    cell.expect("error", true);
    assert_eq!(cell.error(), "EOFError");
    client.end().await;
}

async fn a_cell_that_may_not_ask_fails_at_once(stage: &Stage) {
    let mut client = stage.session().await;
    for code in ["input()", "import sys; sys.stdin.readline()", "import getpass; getpass.getpass()"]
    {
        let cell = client.run_with(code, json!({"allow_input": false})).await;
        cell.expect("error", true);
        assert_eq!(cell.all("input_request").count(), 0);
        let value = text(cell.one("error"), "value");
        assert!(value.contains("allow_input"), "{code}: {value}");
    }
    client.end().await;
}

async fn answers_nobody_asked_for_are_refused(stage: &Stage) {
    let mut client = stage.session().await;
    client.send(json!({"type": "input", "id": "nobody", "text": "x"})).await;
    let refusal = client.until("protocol_error").await;
    assert_eq!((text(&refusal, "code"), text(&refusal, "id")), ("not_running", "nobody"));
    let id = client.execute("input()").await;
    answer(&mut client, &id, "yes").await;
    client.send(json!({"type": "input", "id": id, "text": "again"})).await;
    assert_eq!(client.finish(&id).await.result(), "'yes'");
    assert_eq!(text(&client.until("protocol_error").await, "code"), "not_running");
    client.end().await;
}

async fn children_find_an_empty_stdin(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import subprocess\nsubprocess.run(['cat']).returncode";
    assert_eq!(client.run(code).await.result(), "0");
    client.end().await;
}
