//! Sessions from outside: which there are, who is let in, ending one.

use serde_json::{Value, json};

use crate::common::checker::Checker;
use crate::common::client::{self, Client};
use crate::common::gateway::Gateway;
use crate::common::suite::{Stage, cases};
use crate::requests::{anonymous, ask, eventually, sessions};

cases![
    sessions_are_listed_with_what_they_do,
    a_token_of_several_has_its_own_sessions,
    a_granted_token_lets_in_with_its_role,
    only_an_owner_lets_others_in,
    a_token_can_expire,
    what_a_token_made_ends_with_it,
    a_participant_is_shown_out,
    what_a_participant_may_do_is_changed,
    rights_are_withheld_from_an_editor,
    odd_grants_are_refused,
    a_session_is_ended_by_its_owner,
];

async fn sessions_are_listed_with_what_they_do(stage: &Stage) {
    let gateway = stage.own(&["--drain-timeout", "0s"]);
    assert_eq!(sessions(&gateway).await, Vec::<serde_json::Value>::new());
    let mut one = Client::create(&gateway, "python").await;
    one.run("1").await;
    let id = one.execute("while True: pass").await;
    one.until_of("started", &id).await;
    let other = Client::create(&gateway, "python").await;
    assert_eq!(sessions(&gateway).await[1].get("memory_bytes"), None, "no cell has run");
    let mut listed = eventually("a sample of memory", async || {
        let listed = sessions(&gateway).await;
        listed[0]["memory_bytes"].is_number().then_some(listed)
    })
    .await;
    let memory = listed[0].as_object_mut().unwrap().remove("memory_bytes").unwrap();
    assert!((1 << 20..1 << 40).contains(&memory.as_u64().unwrap()), "{memory}");
    assert_eq!(listed.len(), 2);
    let created = listed[0]["created"].as_u64().unwrap();
    assert!(created > 1_600_000_000_000 && created <= listed[1]["created"].as_u64().unwrap());
    assert_eq!(
        listed[0],
        json!({
            "id": one.session(), "template": "python", "backend": stage.backend.told_as(),
            "state": "busy", "participants": 1, "cells": 1, "created": created,
        })
    );
    assert_eq!(
        (&listed[1]["id"], &listed[1]["state"], &listed[1]["cells"]),
        (&json!(other.session()), &json!("idle"), &json!(0))
    );
    other.close().await;
    eventually("somebody left", async || {
        (sessions(&gateway).await[1]["participants"] == 0).then_some(())
    })
    .await;
    gateway.stop().await;
}

async fn a_token_of_several_has_its_own_sessions(stage: &Stage) {
    const ADA: &str = "token-of-ada-0123456789abcdef";
    const BOB: &str = "token-of-bob-0123456789abcdef";
    const KEY: &str = "pk_lesson-0123456789";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    // The gateway may run as another user.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), readable).unwrap();
    std::fs::write(&file, format!("{ADA}\n{BOB}\n")).unwrap();
    let settings = format!(
        "allow_weak_limits = true\ntoken_file = {file:?}\n\
         [keys.lesson]\nkey = \"{KEY}\"\norigins = [\"*\"]\n"
    );
    let gateway = Gateway::with_settings(stage.backend, &settings, &[]);
    let made_with = async |token: &str| {
        let request = client::request(&gateway, &format!("/ws?token={token}"));
        Client::with_request(&gateway, request, Checker::default()).await
    };
    let (ada, bob, key) = (made_with(ADA).await, made_with(BOB).await, made_with(KEY).await);
    let listed = async |token: &str| {
        let reply = anonymous(&gateway, "GET", "/v1/sessions").token(token).reply().await;
        let ids = reply.json(200)["sessions"].as_array().unwrap().clone();
        ids.iter().map(|one| client::text(one, "id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(ADA).await, [ada.session()]);
    assert_eq!(listed(BOB).await, [bob.session()]);
    let share = json!({"role": "viewer"});
    for (token, session, is_own) in [
        (ADA, ada.session(), true),
        (ADA, bob.session(), false),
        (BOB, bob.session(), true),
        (BOB, ada.session(), false),
        (ADA, key.session(), false),
    ] {
        for (method, tail, status) in
            [("GET", "/files", 200), ("GET", "/tokens", 200), ("POST", "/tokens", 201)]
        {
            let asked = anonymous(&gateway, method, format!("/v1/sessions/{session}{tail}"));
            let reply = asked.token(token).json(&share).reply().await;
            let expected = if is_own { status } else { 404 };
            assert_eq!(reply.status, expected, "{method} {tail} of {session} with {token}");
        }
        let path = format!("/ws?session={session}&token={token}");
        let (mut stream, _) =
            client::open(&gateway, client::request(&gateway, &path)).await.unwrap();
        match client::next_frame(&mut stream).await {
            Ok(ready) => assert!(is_own && ready.contains("\"owner\""), "{ready}"),
            Err(closed) => assert!(!is_own && closed.code == 4404, "{closed:?}"),
        }
    }
    // A link that another token's holder was given opens the session as it says.
    let tokens = format!("/v1/sessions/{}/tokens", ada.session());
    let granted = anonymous(&gateway, "POST", tokens).token(ADA).json(&share).reply().await;
    let guest = Client::join(&gateway, &granted.json(201), None).await;
    assert_eq!(guest.ready["role"], "viewer");
    let end = async |token: &str| {
        let path = format!("/v1/sessions/{}", ada.session());
        anonymous(&gateway, "DELETE", path).token(token).reply().await.status
    };
    assert_eq!((end(BOB).await, end(ADA).await), (404, 204));
    assert_eq!(listed(BOB).await, [bob.session()]);
    assert_eq!(listed(ADA).await, Vec::<String>::new());
    gateway.stop().await;
}

async fn a_granted_token_lets_in_with_its_role(stage: &Stage) {
    let gateway = stage.gateway();
    let owner = stage.session().await;
    let tokens = format!("/v1/sessions/{}/tokens", owner.session());
    for role in ["viewer", "editor", "owner"] {
        let reply =
            ask(gateway, "POST", tokens.as_str()).json(&json!({"role": role})).reply().await;
        let granted = reply.json(201);
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(granted["role"], role);
        assert_eq!(granted["session"], owner.session());
        assert_eq!(granted["expires"], serde_json::Value::Null);
        let join = Client::join(gateway, &granted, None).await;
        assert_eq!(join.ready["role"], role);
        join.close().await;
    }
    owner.end().await;
}

async fn only_an_owner_lets_others_in(stage: &Stage) {
    let gateway = stage.gateway();
    let owner = stage.session().await;
    let other = stage.session().await;
    let session = format!("/v1/sessions/{}", owner.session());
    let tokens = format!("{session}/tokens");
    let own = client::text(&owner.ready, "token");
    for role in ["viewer", "editor"] {
        let asked = json!({"role": role});
        let granted = ask(gateway, "POST", tokens.as_str()).token(own).json(&asked).reply().await;
        let granted = granted.json(201);
        let token = client::text(&granted, "token");
        let more = ask(gateway, "POST", tokens.as_str()).token(token).json(&asked).reply().await;
        assert!(more.problem(403).contains(role));
        ask(gateway, "DELETE", session.as_str()).token(token).reply().await.problem(403);
        ask(gateway, "GET", "/v1/sessions").token(token).reply().await.problem(401);
        ask(gateway, "POST", "/v1/run").token(token).body("1").reply().await.problem(401);
    }
    let strange = client::text(&other.ready, "token");
    let asked = json!({"role": "viewer"});
    ask(gateway, "POST", tokens).token(strange).json(&asked).reply().await.problem(401);
    owner.end().await;
    other.end().await;
}

async fn a_token_can_expire(stage: &Stage) {
    let gateway = stage.gateway();
    let owner = stage.session().await;
    let path = format!("/v1/sessions/{}/tokens", owner.session());
    let asked = json!({"role": "editor", "expires_in_ms": 300});
    let granted = ask(gateway, "POST", path).json(&asked).reply().await.json(201);
    assert!(granted["expires"].as_u64().unwrap() > 1_600_000_000_000);
    let token = client::text(&granted, "token");
    let files = format!("/v1/sessions/{}/files", owner.session());
    eventually("the token expires", async || {
        let reply = anonymous(gateway, "GET", files.as_str()).token(token).reply().await;
        match reply.status {
            401 => Some(()),
            status => {
                assert_eq!(status, 200);
                None
            }
        }
    })
    .await;
    owner.end().await;
}

/// Makes a token with another.
async fn grant(stage: &Stage, session: &str, with: &str, asked: Value) -> Value {
    let path = format!("/v1/sessions/{session}/tokens");
    ask(stage.gateway(), "POST", path).token(with).json(&asked).reply().await.json(201)
}

async fn what_a_token_made_ends_with_it(stage: &Stage) {
    let gateway = stage.gateway();
    let owner = stage.session().await;
    let session = owner.session();
    let own = client::text(&owner.ready, "token");
    let tokens = format!("/v1/sessions/{session}/tokens");
    // An owner for an hour makes no token that is good for longer.
    let hour = json!({"role": "owner", "expires_in_ms": 3_600_000});
    let hour = grant(stage, session, own, hour).await;
    let with = client::text(&hour, "token");
    let child = grant(stage, session, with, json!({"role": "viewer"})).await;
    assert_eq!(child["expires"], hour["expires"]);
    let mut join = Client::join(gateway, &child, None).await;
    let listed = ask(gateway, "GET", tokens.as_str()).token(own).reply().await;
    assert_eq!(listed.header("cache-control"), "no-store");
    let text = String::from_utf8(listed.body.to_vec()).unwrap();
    for secret in [own, with, client::text(&child, "token"), client::text(&join.ready, "token")] {
        assert!(!text.contains(secret), "{text}");
    }
    let list = listed.json(200)["tokens"].clone();
    let row = |at: usize| ["id", "role", "parent", "participant"].map(|key| list[at][key].clone());
    let [creator, hours, childs] = [json!(1), hour["id"].clone(), child["id"].clone()];
    let [first, second] = [&owner, &join].map(|one| one.ready["participant"].clone());
    assert_eq!(row(0), [creator.clone(), json!("owner"), Value::Null, first]);
    assert_eq!(row(1), [hours.clone(), json!("owner"), creator, Value::Null]);
    assert_eq!(row(2), [childs.clone(), json!("viewer"), hours.clone(), Value::Null]);
    assert_eq!(row(3)[1..], [json!("viewer"), childs, second]);
    let links = [0, 1, 2, 3].map(|at: usize| list[at]["link"].clone());
    assert_eq!(links, [false, true, true, false].map(Value::from));
    assert_eq!(list[3]["expires"], hour["expires"]);
    // The parent is revoked: the child opens nothing any more, and who is in by it is out.
    let revoked = ask(gateway, "DELETE", format!("{tokens}/{hours}")).token(own).reply().await;
    assert_eq!(revoked.status, 204, "{revoked:?}");
    assert_eq!(join.closed().await.code, 4401);
    for dead in [with, client::text(&child, "token"), client::text(&join.ready, "token")] {
        let path = format!("/v1/sessions/{session}/files");
        anonymous(gateway, "GET", path).token(dead).reply().await.problem(401);
    }
    for (id, status) in [("2", 404), ("x", 404), ("1", 409)] {
        let path = format!("{tokens}/{id}");
        ask(gateway, "DELETE", path).token(own).reply().await.problem(status);
    }
    owner.end().await;
}

async fn a_participant_is_shown_out(stage: &Stage) {
    let gateway = stage.gateway();
    let owner = stage.session().await;
    let session = owner.session();
    let own = client::text(&owner.ready, "token");
    let link = grant(stage, session, own, json!({"role": "editor"})).await;
    let mut rude = Client::join(gateway, &link, None).await;
    let mut kind = Client::join(gateway, &link, None).await;
    let path =
        |one: &Client| format!("/v1/sessions/{session}/participants/{}", one.ready["participant"]);
    let with = client::text(&kind.ready, "token");
    ask(gateway, "DELETE", path(&rude)).token(with).reply().await.problem(403);
    ask(gateway, "DELETE", path(&owner)).token(own).reply().await.problem(409);
    let shown = ask(gateway, "DELETE", path(&rude)).token(own).reply().await;
    assert_eq!(shown.status, 204, "{shown:?}");
    let closed = rude.closed().await;
    assert_eq!(closed.code, 4401);
    assert!(closed.reason.contains("removed you"), "{closed:?}");
    // It cannot come back with its own token; the others by that link stay.
    let token = client::text(&rude.ready, "token");
    let back = format!("/ws?session={session}&token={token}");
    let (mut stream, _) = client::open(gateway, client::request(gateway, &back)).await.unwrap();
    assert_eq!(client::next_frame(&mut stream).await.expect_err("a message").code, 4401);
    ask(gateway, "DELETE", path(&rude)).token(own).reply().await.problem(404);
    assert_eq!(kind.run("6 * 7").await.result(), "42");
    owner.end().await;
}

/// Reads up to a list of participants in which the client itself has this role and these flags.
async fn until_listed(client: &mut Client, rights: [Value; 3]) {
    let number = client.ready["participant"].clone();
    loop {
        let list = client.until("participants").await["list"].clone();
        let own = list.as_array().unwrap().iter().find(|one| one["id"] == number);
        if own.is_some_and(|own| ["role", "run", "edit"].map(|field| own[field].clone()) == rights)
        {
            return;
        }
    }
}

async fn what_a_participant_may_do_is_changed(stage: &Stage) {
    let gateway = stage.gateway();
    let owner = stage.session().await;
    let session = owner.session();
    let own = client::text(&owner.ready, "token");
    let link = grant(stage, session, own, json!({"role": "viewer"})).await;
    let mut vera = Client::join(gateway, &link, None).await;
    let token = client::text(&vera.ready, "token").to_owned();
    let path = |one: &Value| format!("/v1/sessions/{session}/participants/{}", one["participant"]);
    let of_vera = path(&vera.ready);
    let change =
        |path: &str, with: &str, asked: Value| ask(gateway, "PATCH", path).token(with).json(&asked);
    for (asked, status) in [
        (json!({}), 400),
        (json!({"rol": "editor"}), 400),
        (json!({"role": "king"}), 400),
        (json!({"run": true}), 400),
        (json!({"role": "editor", "run": false, "edit": false}), 400),
    ] {
        change(&of_vera, own, asked).reply().await.problem(status);
    }
    let editor = json!({"role": "editor", "edit": false});
    change(&of_vera, &token, editor.clone()).reply().await.problem(403);
    let nobody = format!("/v1/sessions/{session}/participants/99");
    change(&nobody, own, editor.clone()).reply().await.problem(404);
    let last = change(&path(&owner.ready), own, json!({"role": "editor"})).reply().await;
    assert!(last.problem(409).contains("make another participant an owner first"));
    let changed = change(&of_vera, own, editor).reply().await;
    assert_eq!((changed.status, changed.body.len()), (204, 0), "{changed:?}");
    until_listed(&mut vera, [json!("editor"), Value::Null, json!(false)]).await;
    assert_eq!(vera.run("6 * 7").await.result(), "42");
    // It comes back as what it is now.
    let mut vera = vera.resume(gateway).await;
    assert_eq!((&vera.ready["role"], &vera.ready["edit"]), (&json!("editor"), &json!(false)));
    let flags = json!({"run": false, "edit": true});
    let changed = change(&path(&vera.ready), own, flags).reply().await;
    assert_eq!(changed.status, 204, "{changed:?}");
    vera.send(json!({"type": "execute", "id": "no", "code": "1"})).await;
    let refused = vera.until("protocol_error").await;
    assert_eq!((&refused["code"], &refused["id"]), (&json!("forbidden"), &json!("no")));
    let listed = ask(gateway, "GET", format!("/v1/sessions/{session}/tokens")).token(own);
    let listed = listed.reply().await.json(200)["tokens"].clone();
    let entry = listed.as_array().unwrap().last().unwrap();
    let told = ["role", "run", "edit"].map(|field| entry.get(field).cloned());
    assert_eq!(told, [Some(json!("editor")), Some(json!(false)), None], "{listed}");
    owner.end().await;
}

async fn rights_are_withheld_from_an_editor(stage: &Stage) {
    let gateway = stage.gateway();
    let owner = stage.session().await;
    let session = owner.session();
    let own = client::text(&owner.ready, "token");
    let edits = grant(stage, session, own, json!({"role": "editor", "run": false})).await;
    let runs = grant(stage, session, own, json!({"role": "editor", "edit": false})).await;
    let all = grant(stage, session, own, json!({"role": "editor", "run": true})).await;
    for (granted, told) in [
        (&edits, [Some(json!(false)), None]),
        (&runs, [None, Some(json!(false))]),
        (&all, [None, None]),
    ] {
        let joined = Client::join(gateway, granted, None).await;
        for object in [granted, &joined.ready] {
            assert_eq!(["run", "edit"].map(|field| object.get(field).cloned()), told, "{object}");
        }
        joined.close().await;
    }
    // Files are what cells run with: who may not run reads them and changes none.
    let file = |method, path: &str, granted: &Value| {
        let path = format!("/v1/sessions/{session}/{path}");
        ask(gateway, method, path).token(client::text(granted, "token")).body("x")
    };
    assert_eq!(file("PUT", "files/a", &runs).reply().await.status, 201);
    assert_eq!(file("GET", "files/a", &edits).reply().await.status, 200);
    for (method, path) in [
        ("PUT", "files/a"),
        ("DELETE", "files/a"),
        ("POST", "files/a?move_to=b"),
        ("POST", "directories/d"),
    ] {
        let sentence = file(method, path, &edits).reply().await.problem(403);
        assert!(sentence.contains("the right to run"), "{sentence}");
    }
    assert_eq!(file("DELETE", "files/a", &runs).reply().await.status, 204);
    owner.end().await;
}

async fn odd_grants_are_refused(stage: &Stage) {
    let gateway = stage.gateway();
    let owner = stage.session().await;
    let path = format!("/v1/sessions/{}/tokens", owner.session());
    for text in [
        "",
        "{",
        "{}",
        "{\"role\": \"king\"}",
        "{\"role\": \"editor\", \"run\": false, \"edit\": false}",
        "{\"role\": \"owner\", \"run\": false}",
        "{\"role\": \"viewer\", \"edit\": true}",
        "{\"role\": \"editor\", \"run\": 0}",
        "{\"role\": \"viewer\", \"expires_in_ms\": 0}",
        "{\"role\": \"viewer\", \"expires_in_ms\": 31536000001}",
    ] {
        let ask = ask(gateway, "POST", path.as_str()).header("content-type", "application/json");
        ask.body(text).reply().await.problem(400);
    }
    owner.end().await;
}

async fn a_session_is_ended_by_its_owner(stage: &Stage) {
    let gateway = stage.gateway();
    for by_gateway in [true, false] {
        let mut owner = stage.session().await;
        let path = format!("/v1/sessions/{}", owner.session());
        let own = client::text(&owner.ready, "token").to_owned();
        let token = if by_gateway { &gateway.token } else { &own };
        let reply = ask(gateway, "DELETE", path.as_str()).token(token).reply().await;
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{reply:?}");
        let ended = owner.until("ended").await;
        assert_eq!(ended["reason"], "requested");
        assert_eq!(owner.closed().await.code, 1000);
        let id = owner.session().to_owned();
        assert!(sessions(gateway).await.iter().all(|one| one["id"] != id));
        ask(gateway, "DELETE", path.as_str()).reply().await.problem(404);
        ask(gateway, "DELETE", path).token(&own).reply().await.problem(401);
    }
}
