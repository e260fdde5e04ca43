//! Questions about code (completion, inspection, completeness), tables and variables; idle and while a
//! cell runs.

use serde_json::{Value, json};

use crate::common::client::{Client, text};
use crate::common::suite::{Stage, cases};

cases![
    completions_know_the_namespace,
    inspection_tells_signature_and_documentation,
    completeness_is_judged,
    questions_are_answered_while_a_cell_runs,
    questions_run_no_code,
    a_table_is_paged_sorted_filtered_and_saved,
    variables_are_listed,
    a_table_that_is_gone_says_what_to_do,
];

async fn ask(client: &mut Client, kind: &str, code: &str) -> Value {
    let id = format!("q-{kind}-{}", code.len());
    let cursor = code.chars().count();
    client.send(json!({"type": kind, "id": id, "code": code, "cursor": cursor})).await;
    client.until_of(&format!("{kind}_reply"), &id).await
}

fn matches(reply: &Value) -> Vec<&str> {
    reply["matches"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

async fn completions_know_the_namespace(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("caterpillar = 'text'").await;
    let reply = ask(&mut client, "complete", "é = caterp").await;
    assert_eq!(matches(&reply), ["caterpillar"]);
    assert_eq!((&reply["start"], &reply["end"]), (&json!(4), &json!(10)), "in characters");
    let reply = ask(&mut client, "complete", "caterpillar.upp").await;
    assert!(matches(&reply).iter().any(|one| one.contains("upper")), "{reply}");
    let reply = ask(&mut client, "complete", "no_such_name_").await;
    assert!(matches(&reply).is_empty(), "{reply}");
    client.end().await;
}

async fn inspection_tells_signature_and_documentation(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("def half(n, *, exact=True):\n    'Halves a number.'\n    return n / 2").await;
    let reply = ask(&mut client, "inspect", "half").await;
    assert_eq!(reply["found"], true, "{reply}");
    let told = text(&reply["data"], "text/plain");
    assert!(told.contains("exact=True") && told.contains("Halves a number."), "{told}");
    client.run("import math").await;
    let reply = ask(&mut client, "inspect", "math.sqrt").await;
    let told = text(&reply["data"], "text/plain");
    assert!(told.contains("Type:      builtin_function_or_method\n"), "{told}");
    assert_eq!(ask(&mut client, "inspect", "no_such_name").await["found"], false);
    client.end().await;
}

async fn completeness_is_judged(stage: &Stage) {
    let mut client = stage.session().await;
    for (code, status) in [
        ("x = 1", "complete"),
        ("", "complete"),
        ("for i in range(3):", "incomplete"),
        ("print('a',", "incomplete"),
        ("x = = 1", "invalid"),
    ] {
        client.send(json!({"type": "is_complete", "id": code, "code": code})).await;
        let reply = match code {
            // An id has at least one byte.
            "" => {
                assert_eq!(text(&client.until("protocol_error").await, "code"), "bad_message");
                continue;
            }
            _ => client.until_of("is_complete_reply", code).await,
        };
        assert_eq!((text(&reply, "status"), &reply["busy"]), (status, &Value::Null), "{code:?}");
        if code.ends_with(':') {
            assert_eq!(text(&reply, "indent"), "    ");
        }
    }
    client.end().await;
}

async fn questions_are_answered_while_a_cell_runs(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("caterpillar = 1").await;
    // The first question of all may only be answered once the interpreter is idle.
    ask(&mut client, "complete", "cat").await;
    for code in ["print('up')\nwhile True: pass", "print('up')\nimport time\ntime.sleep(600)"] {
        let id = client.execute(code).await;
        client.until_text(&id, "up\n").await;
        let reply = ask(&mut client, "complete", "caterpi").await;
        assert!(reply["busy"] == true || matches(&reply) == ["caterpillar"], "{reply}");
        let reply = ask(&mut client, "inspect", "caterpillar").await;
        assert!(reply["busy"] == true || reply["found"] == true, "{reply}");
        client.send(json!({"type": "interrupt"})).await;
        client.finish(&id).await.expect("interrupted", true);
    }
    // Completeness as well.
    let id = client.execute("input()").await;
    client.until_of("input_request", &id).await;
    client.send(json!({"type": "is_complete", "id": "q", "code": "x = 1"})).await;
    let reply = client.until("is_complete_reply").await;
    assert!(reply["busy"] == true || text(&reply, "status") == "complete", "{reply}");
    client.send(json!({"type": "input", "id": id, "text": ""})).await;
    client.finish(&id).await.expect("ok", true);
    client.end().await;
}

async fn questions_run_no_code(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "ran = []\nclass Trap:\n    def __getattr__(self, name): ran.append(name); raise AttributeError\n    \
                @property\n    def danger(self): ran.append('danger'); return 1\ntrap = Trap()";
    client.print(code).await;
    ask(&mut client, "complete", "trap.dan").await;
    ask(&mut client, "inspect", "trap.danger").await;
    ask(&mut client, "complete", "trap.danger.").await;
    assert_eq!(client.run("ran").await.result(), "[]");
    client.end().await;
}

/// The rows a session's code makes into a table, without a library: every sandbox can.
const TABLE: &str = "rows = [{'n': n, 's': 'number %d' % (n * 7)} for n in range(5000)]\nrows";

async fn values(client: &mut Client, mut question: Value, id: &str) -> Value {
    question["id"] = json!(id);
    let reply = format!("{}_reply", text(&question, "type"));
    client.send(question).await;
    client.until_of(&reply, id).await
}

async fn a_table_is_paged_sorted_filtered_and_saved(stage: &Stage) {
    const MIME: &str = "application/vnd.dataresource+json";
    let mut client = stage.session().await;
    let ran = client.run(TABLE).await;
    let shown = ran.one("result");
    let table = text(&shown["metadata"][MIME], "table").to_owned();
    assert_eq!(shown["metadata"][MIME]["total_rows"], 5000);
    let ask = |more: Value| {
        let mut question = json!({"type": "table", "table": table});
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        question
    };
    let reply = values(&mut client, ask(json!({"from": 4999, "count": 5})), "page").await;
    assert_eq!(reply["rows"], json!([[4999, "number 34993"]]), "{reply}");
    let sort = json!({"sort": [{"column": 0, "descending": true}], "count": 1});
    let reply = values(&mut client, ask(sort), "sorted").await;
    assert_eq!(reply["rows"][0][0], 4999, "{reply}");
    let reply = values(&mut client, ask(json!({"filter": "NUMBER 2800"})), "filtered").await;
    assert_eq!((&reply["total_rows"], &reply["matching_rows"]), (&json!(5000), &json!(3)));
    let mut csv = String::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let part = json!({"from": at, "format": "csv"});
        let reply = values(&mut client, ask(part), &format!("csv {at}")).await;
        csv += text(&reply, "csv");
        from = reply["next"].as_u64();
    }
    assert_eq!(csv.lines().count(), 5001);
    let by_name = json!({"type": "table", "variable": "rows", "count": 1});
    let reply = values(&mut client, by_name, "variable").await;
    assert_eq!((&reply["table"], &reply["fields"][1]["name"]), (&json!(table), &json!("s")));
    client.end().await;
}

async fn variables_are_listed(stage: &Stage) {
    let mut client = stage.session().await;
    client.run(TABLE).await.expect("ok", true);
    let reply = values(&mut client, json!({"type": "variables"}), "all").await;
    let listed = reply["variables"].as_array().unwrap();
    let of = |name: &str| listed.iter().find(|one| one["name"] == name);
    let rows = of("rows").unwrap_or_else(|| panic!("{reply}"));
    assert_eq!((&rows["type"], &rows["shape"]), (&json!("list"), &json!([5000])));
    assert_eq!(rows["table"], true);
    let id = client.execute("print('up')\nwhile True: pass").await;
    client.until_text(&id, "up\n").await;
    let reply = values(&mut client, json!({"type": "variables"}), "busy").await;
    assert_eq!((&reply["busy"], &reply["variables"]), (&json!(true), &json!([])));
    client.send(json!({"type": "interrupt"})).await;
    client.finish(&id).await.expect("interrupted", true);
    client.end().await;
}

async fn a_table_that_is_gone_says_what_to_do(stage: &Stage) {
    let mut client = stage.session().await;
    let reply = values(&mut client, json!({"type": "table", "table": "no such"}), "gone").await;
    assert!(text(&reply, "error").contains("run the cell again"), "{reply}");
    let reply = values(&mut client, json!({"type": "table", "variable": "int"}), "none").await;
    assert!(text(&reply, "error").contains("no variable int"), "{reply}");
    client.end().await;
}
