//! What happens to files, as server-sent events.

use serde_json::{Value, json};

use crate::common::client::{self, Client};
use crate::common::gateway::Gateway;
use crate::common::suite::{Stage, cases};
use crate::requests::{Stream, ask, eventually};

cases![what_cells_and_requests_do_to_files_is_told, a_watch_ends_with_its_directory_or_its_session,];

// What no backend changes.
cases![
    ONCE:
    what_cannot_be_watched_is_refused,
    a_client_that_leaves_makes_room_for_another_watch,
    who_may_read_no_files_watches_none,
];

fn place(client: &Client, tail: &str) -> String {
    format!("/v1/sessions/{}/{tail}", client.session())
}

/// A watch that is in place.
async fn watch(gateway: &Gateway, client: &Client, tail: &str) -> Stream {
    let mut watch = ask(gateway, "GET", place(client, tail)).stream().await;
    assert_eq!(watch.head.status, 200);
    assert_eq!(watch.head.headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(next(&mut watch).await, Some(json!({"type": "ready"})));
    watch
}

/// The next event; `None` at the end.
async fn next(watch: &mut Stream) -> Option<Value> {
    loop {
        let line = watch.line().await?;
        if let Some(data) = line.strip_prefix("data: ") {
            return Some(serde_json::from_str(data).unwrap());
        }
        // An empty line behind an event, or a sign of life.
        assert!(line.is_empty() || line.starts_with(':'), "{line}");
    }
}

/// The events up to one of this path and type, with it.
async fn until(watch: &mut Stream, kind: &str, path: &str) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let event = next(watch).await.unwrap_or_else(|| panic!("the end after {events:?}"));
        let is_last = event["type"] == kind && event["path"] == path;
        events.push(event);
        if is_last {
            return events;
        }
    }
}

async fn what_cells_and_requests_do_to_files_is_told(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    client.run("import os; os.mkdir('d')").await.expect("ok", true);
    let mut all = watch(gateway, &client, "watch?recursive=true").await;
    let mut top = watch(gateway, &client, "watch").await;
    let mut inner = watch(gateway, &client, "watch/d").await;
    let code = "open('d/f', 'w').write('text')\nos.rename('d/f', 'd/g')\nos.mkdir('d/é')\n\
                os.remove('d/g')\nos.rmdir('d/é')";
    client.run(code).await.expect("ok", true);
    let expected = [
        json!({"type": "created", "path": "d/f", "kind": "file"}),
        json!({"type": "written", "path": "d/f", "kind": "file"}),
        json!({"type": "renamed", "path": "d/f", "to": "d/g", "kind": "file"}),
        json!({"type": "created", "path": "d/é", "kind": "directory"}),
        json!({"type": "removed", "path": "d/g", "kind": "file"}),
        json!({"type": "removed", "path": "d/é", "kind": "directory"}),
    ];
    assert_eq!(until(&mut inner, "removed", "d/é").await, expected);
    assert_eq!(until(&mut all, "removed", "d/é").await, expected);

    // Requests change files as cells do, and the watch of the working directory alone has told nothing else.
    let put = ask(gateway, "PUT", place(&client, "files/new")).body("text").reply().await;
    assert_eq!(put.status, 201);
    for watch in [&mut all, &mut top] {
        let expected = json!({"type": "written", "path": "new", "kind": "file"});
        assert_eq!(next(watch).await, Some(expected));
    }
    // A directory that a cell makes is watched too.
    client.run("os.makedirs('x/y'); open('x/y/f', 'w').close()").await.expect("ok", true);
    let told = until(&mut all, "created", "x/y/f").await;
    assert_eq!(told[0], json!({"type": "created", "path": "x", "kind": "directory"}));
    assert_eq!(next(&mut top).await.as_ref(), Some(&told[0]));
    client.end().await;
}

async fn a_watch_ends_with_its_directory_or_its_session(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    client.run("import os; os.mkdir('d')").await.expect("ok", true);
    let mut inner = watch(gateway, &client, "watch/d").await;
    let mut all = watch(gateway, &client, "watch?recursive=true").await;
    client.run("os.rmdir('d')").await.expect("ok", true);
    let gone = json!({"type": "removed", "path": "d", "kind": "directory"});
    assert_eq!(next(&mut inner).await.as_ref(), Some(&gone));
    assert_eq!(next(&mut inner).await, None);
    assert_eq!(next(&mut all).await.as_ref(), Some(&gone));
    client.end().await;
    assert_eq!(next(&mut all).await, None);
}

async fn what_cannot_be_watched_is_refused(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let code = "import os\nopen('f', 'w').close()\nos.symlink('/etc', 'link')\n\
                for n in range(1001): os.makedirs(f'many/{n}')";
    client.run(code).await.expect("ok", true);
    for (tail, status, words) in [
        ("watch/missing", 404, "find a directory"),
        ("watch/f", 409, "not a directory"),
        ("watch/link", 403, "link"),
        ("watch/../x", 400, "`..`"),
        ("watch?recursive=yes", 400, "recursive"),
        ("watch?recursive=true", 409, "1000 directories"),
    ] {
        let problem = ask(gateway, "GET", place(&client, tail)).reply().await.problem(status);
        assert!(problem.contains(words), "{tail}: {problem}");
    }
    client.end().await;
}

async fn a_client_that_leaves_makes_room_for_another_watch(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let mut watches = Vec::new();
    for _ in 0..8 {
        watches.push(watch(gateway, &client, "watch").await);
    }
    let refused = ask(gateway, "GET", place(&client, "watch")).reply().await.problem(429);
    assert!(refused.contains("close one"), "{refused}");
    watches.pop();
    let path = place(&client, "watch");
    eventually("a watch less", || async {
        let stream = ask(gateway, "GET", path.clone()).stream().await;
        (stream.head.status == 200).then_some(())
    })
    .await;
    client.end().await;
}

async fn who_may_read_no_files_watches_none(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let grant = |role: &'static str| {
        let ask = ask(gateway, "POST", place(&client, "tokens")).json(&json!({"role": role}));
        async move { ask.reply().await.json(201) }
    };
    let viewer = grant("viewer").await;
    let watched =
        ask(gateway, "GET", place(&client, "watch")).token(client::text(&viewer, "token"));
    assert!(watched.reply().await.problem(403).contains("editor"));
    // One whose token is taken back sees no more, even if that happens while the watch begins.
    for path in ["watch", "events"].repeat(20) {
        let editor = grant("editor").await;
        let asked = ask(gateway, "GET", place(&client, path)).token(client::text(&editor, "token"));
        let mut told = asked.stream().await;
        assert_eq!(told.head.status, 200);
        let revoked = ask(gateway, "DELETE", place(&client, &format!("tokens/{}", editor["id"])));
        assert_eq!(revoked.reply().await.status, 204);
        while told.line().await.is_some() {}
    }
    client.end().await;
}
