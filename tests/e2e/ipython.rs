//! The shell of IPython: what it says of itself, comms and widgets, expressions beside cells.

use serde_json::{Value, json};

use crate::closes::shared;
use crate::common::client::{Client, text};
use crate::common::suite::{Stage, cases};

cases![
    ready_names_the_shell,
    a_slider_is_moved_by_whoever_may_and_seen_by_all,
    a_task_between_cells_moves_a_widget,
    a_restart_cancels_a_message_that_waits,
    expressions_are_evaluated_after_their_cell,
    a_cell_that_does_not_count_shows_its_result,
];

async fn ready_names_the_shell(stage: &Stage) {
    let client = stage.session().await;
    let language = &client.ready["languages"][0];
    assert_eq!((text(language, "name"), text(language, "shell")), ("python", "ipython"));
    assert_eq!(client.ready["language"], *language);
    client.end().await;
}

/// Makes a slider and answers the id of its model.
async fn slider(client: &mut Client) -> String {
    let cell = client.run("import ipywidgets as w\ns = w.IntSlider(value=3)\ns").await;
    cell.expect("ok", true);
    let opened: Vec<_> = cell.all("comm_open").map(|event| text(event, "comm_id")).collect();
    let view = &cell.one("result")["data"]["application/vnd.jupyter.widget-view+json"];
    let model = text(view, "model_id");
    assert!(opened.contains(&model), "{opened:?}");
    model.to_owned()
}

fn moved(model: &str, id: &str, value: u32) -> Value {
    let data = json!({"method": "update", "state": {"value": value}, "buffer_paths": []});
    json!({"type": "comm_msg", "comm_id": model, "id": id, "data": data})
}

async fn a_slider_is_moved_by_whoever_may_and_seen_by_all(stage: &Stage) {
    let gateway = stage.gateway();
    let mut owner = stage.session().await;
    let model = slider(&mut owner).await;
    let code = "s.observe(lambda change: print('moved to', change['new']), 'value')";
    owner.run(code).await.expect("ok", true);
    let mut editor = shared(gateway, &owner, "editor").await;
    let mut viewer = shared(gateway, &owner, "viewer").await;
    viewer.send(moved(&model, "v", 4)).await;
    let refused = viewer.until_of("protocol_error", "v").await;
    assert_eq!(text(&refused, "code"), "forbidden");
    editor.send(moved(&model, "e", 8)).await;
    for client in [&mut owner, &mut editor, &mut viewer] {
        let cell = client.finish("e").await;
        cell.expect("ok", true);
        assert_eq!(text(cell.one("started"), "comm_id"), model);
        assert_eq!(cell.stdout(), "moved to 8\n");
        let echo = &cell.one("comm_msg")["data"];
        assert_eq!((&echo["method"], &echo["state"]["value"]), (&json!("echo_update"), &json!(8)));
        assert!(cell.done().get("execution_count").is_none());
    }
    assert_eq!(owner.run("s.value").await.result(), "8");
    // Who joins later sees the same events.
    let mut late = shared(gateway, &owner, "viewer").await;
    assert_eq!(late.finish("e").await.stdout(), "moved to 8\n");
    owner.send(moved(&model, "e", 9)).await;
    assert_eq!(text(&owner.until_of("protocol_error", "e").await, "code"), "duplicate_id");
    owner.end().await;
}

async fn a_task_between_cells_moves_a_widget(stage: &Stage) {
    let mut client = stage.session().await;
    let model = slider(&mut client).await;
    let code = "import asyncio\nasync def work():\n    await asyncio.sleep(0.2)\n    s.value = 77\n\
                t = asyncio.create_task(work())";
    client.run(code).await.expect("ok", true);
    let told = client.until("comm_msg").await;
    assert_eq!((text(&told, "comm_id"), &told["data"]["state"]), (&*model, &json!({"value": 77})));
    assert!(told.get("id").is_none(), "{told}");
    client.end().await;
}

async fn a_restart_cancels_a_message_that_waits(stage: &Stage) {
    let mut client = stage.session().await;
    let model = slider(&mut client).await;
    let busy = client.execute("import time\nprint('go')\ntime.sleep(60)").await;
    client.until_text(&busy, "go").await;
    client.send(moved(&model, "waits", 4)).await;
    client.send(json!({"type": "restart"})).await;
    let cell = client.finish("waits").await;
    assert_eq!((cell.status(), cell.kinds()), ("cancelled", vec!["done"]));
    client.until("restarted").await;
    // The model is gone with its interpreter; a message to it does nothing.
    client.send(moved(&model, "after", 5)).await;
    assert_eq!(client.finish("after").await.kinds(), ["started", "done"]);
    client.end().await;
}

async fn expressions_are_evaluated_after_their_cell(stage: &Stage) {
    let mut client = stage.session().await;
    let more = json!({"user_expressions": {"twice": "x * 2", "wrong": "1 / 0"}});
    let cell = client.run_with("x = 21", more).await;
    let values = &cell.done()["user_expressions"];
    assert_eq!(values["twice"]["data"]["text/plain"], "42");
    assert_eq!(values["wrong"]["ename"], "ZeroDivisionError");
    let more = json!({"user_expressions": {"twice": "x * 2"}});
    assert!(client.run_with("1 / 0", more).await.done().get("user_expressions").is_none());
    client.end().await;
}

async fn a_cell_that_does_not_count_shows_its_result(stage: &Stage) {
    let mut client = stage.session().await;
    client.run("1").await.expect("ok", true);
    let cell = client.run_with("6 * 7", json!({"store_history": false})).await;
    assert_eq!(cell.result(), "42");
    assert!(cell.done().get("execution_count").is_none());
    let cell = client.run_with("6 * 7", json!({"silent": true, "store_history": true})).await;
    assert_eq!((cell.all("result").count(), &cell.done()["execution_count"]), (0, &json!(2)));
    assert_eq!(client.run("3").await.done()["execution_count"], 3);
    client.end().await;
}
