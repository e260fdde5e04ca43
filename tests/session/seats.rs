//! Seats and roles: who may join, what each role may send, who takes whose place.

use crate::*;

#[tokio::test(start_paused = true)]
async fn a_full_session_refuses_and_a_seat_given_up_is_free() {
    let two = SessionConfig { participants: 2, ..config() };
    let Stage { handle, driver, .. } = stage(two, Limits::default(), EndCause::Unknown).await;
    let first = Client::join(&handle, None).await;
    let _second = Client::join(&handle, None).await;
    let third = handle.attach(join("third")).await;
    assert!(matches!(third, Err(AttachError::Full { seats: 2, role: Role::Owner })));
    drop(first);
    handle.attach(join("third")).await.unwrap();
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_to_a_full_session_gets_the_seat_of_the_connection_before() {
    let two = SessionConfig { participants: 2, ..config() };
    let Stage { handle, driver, .. } = stage(two, Limits::default(), EndCause::Unknown).await;
    let mut older = Client::seated(&handle, creator()).await;
    let _other = Client::seated(&handle, role(&handle, "ed", Role::Editor)).await;
    let _newer = Client::seated(&handle, creator()).await;
    assert_eq!(older.until_departure().await, Departure::Replaced);
    let third = handle.attach(role(&handle, "ida", Role::Viewer)).await;
    assert!(matches!(third, Err(AttachError::Full { seats: 1, role: Role::Viewer })));
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn all_that_was_said_before_leaving_is_heard() {
    let Stage { handle, mut driver, .. } = usual().await;
    let hasty = Client::join(&handle, None).await;
    for id in ["a", "b", "c"] {
        hasty.execute(id).await;
    }
    drop(hasty);
    let mut other = Client::join(&handle, None).await;
    for id in ["a", "b", "c"] {
        let cell = driver.expect(kind::EXECUTE).await;
        driver.done(cell, Outcome::Ok).await;
        assert_eq!(other.until("done").await["id"], id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_only_watches_and_an_editor_may_neither_end_nor_restart() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut viewer = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
    assert_eq!(viewer.next().await.unwrap()["role"], "viewer");
    viewer.execute("a").await;
    assert_eq!(viewer.until("protocol_error").await["code"], "forbidden");
    viewer.seat.send(Ok(ClientMessage::Ping { fields: Default::default() })).await.unwrap();
    viewer.until("pong").await;
    let mut editor = Client::seated(&handle, role(&handle, "ed", Role::Editor)).await;
    for owners in [ClientMessage::End, ClientMessage::Restart { interpreter: None }] {
        editor.seat.send(Ok(owners)).await.unwrap();
        assert_eq!(editor.until("protocol_error").await["code"], "forbidden");
    }
    editor.execute("a").await;
    assert_eq!(viewer.until("queued").await["by"], "ed");
    driver.expect(kind::EXECUTE).await;
}

#[tokio::test(start_paused = true)]
async fn editors_send_messages_on_comms_and_viewers_hear_those_of_the_code() {
    const SAID: &[u8] = br#"{"type": "comm_msg", "comm_id": "w", "data": {"x": 1}}"#;
    let message = || ClientMessage::parse(r#"{"type": "comm_msg", "comm_id": "w", "id": "m"}"#);
    let Stage { handle, mut driver, .. } = usual().await;
    let mut viewer = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
    viewer.seat.send(message()).await.unwrap();
    let refused = viewer.until("protocol_error").await;
    assert_eq!((&refused["code"], &refused["id"]), (&"forbidden".into(), &"m".into()));
    driver.send(kind::MESSAGE, 0, 0, SAID).await;
    let of_no_cell = viewer.until("comm_msg").await;
    assert_eq!((&of_no_cell["id"], &of_no_cell["data"]["x"]), (&Value::Null, &Value::from(1)));
    let editor = Client::seated(&handle, role(&handle, "ed", Role::Editor)).await;
    editor.seat.send(message()).await.unwrap();
    let cell = driver.expect(kind::EXECUTE).await;
    let started = viewer.until("started").await;
    assert_eq!((&started["id"], &started["comm_id"]), (&Value::from("m"), &Value::from("w")));
    driver.send(kind::MESSAGE, 0, cell, SAID).await;
    assert_eq!(viewer.until("comm_msg").await["id"], "m");
    driver.done(cell, Outcome::Ok).await;
    assert_eq!(viewer.until("done").await["id"], "m");
}

#[tokio::test(start_paused = true)]
async fn a_newer_connection_of_the_same_participant_takes_over() {
    let Stage { handle, driver, .. } = usual().await;
    let mut older = Client::seated(&handle, creator()).await;
    let mut newer = Client::seated(&handle, creator()).await;
    assert_eq!(older.until_departure().await, Departure::Replaced);
    drop(older);
    let list = newer.until("participants").await["list"].clone();
    assert_eq!(list, serde_json::json!([{"id": 2, "name": "ada", "role": "owner"}]));
    drop(driver);
}

/// The entry of a participant in the next list that tells something else of it than before.
async fn entry_after(client: &mut Client, number: u32, before: &Value) -> Value {
    loop {
        let list = client.until("participants").await["list"].clone();
        let entry = list.as_array().unwrap().iter().find(|one| one["id"] == number).cloned();
        match entry {
            Some(entry) if entry != *before => return entry,
            _ => {}
        }
    }
}

/// What a message of each kind is answered with: its id, or the sentence of a refusal.
async fn tries(client: &mut Client) -> Vec<String> {
    let mut answers = Vec::new();
    for text in [
        r#"{"type": "interrupt", "id": "none"}"#,
        r#"{"type": "input", "id": "none", "text": "1"}"#,
        r#"{"type": "comm_msg", "id": "none", "comm_id": "w"}"#,
        r#"{"type": "execute", "id": "none", "code": "1"}"#,
    ] {
        client.seat.send(ClientMessage::parse(text)).await.unwrap();
        let answer = client.until("protocol_error").await;
        assert_eq!((&answer["code"], &answer["id"]), (&"forbidden".into(), &"none".into()));
        answers.push(answer["message"].as_str().unwrap().to_owned());
    }
    answers.dedup();
    answers
}

fn number_of(ready: &Value) -> u32 {
    u32::try_from(ready["participant"].as_u64().unwrap()).unwrap()
}

fn change(role: Option<Role>, run: Option<bool>, edit: Option<bool>) -> RightsChange {
    RightsChange { role, run, edit }
}

#[tokio::test(start_paused = true)]
async fn one_who_may_not_run_is_refused_at_once_and_after_coming_back() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut ed = Client::seated(&handle, role(&handle, "ed", Role::Editor)).await;
    let ready = ed.until("ready").await;
    let (number, changed) = (number_of(&ready), handle.rights_changed());
    let own = Credential::Token(Token::new(ready["token"].as_str().unwrap()));
    ed.execute("before").await;
    let cell = driver.expect(kind::EXECUTE).await;
    handle
        .change_rights(&Credential::Gateway, number, change(None, Some(false), None))
        .await
        .unwrap();
    assert!(changed.has_changed().unwrap());
    let edits = Rights { role: Role::Editor, run: false, edit: true };
    assert_eq!(handle.rights(&own), Some(edits));
    assert!(edits.may_edit_document() && !edits.may_run());
    let told = serde_json::json!({"id": number, "name": "ed", "role": "editor", "run": false});
    let all = serde_json::json!({"id": number, "name": "ed", "role": "editor"});
    assert_eq!(entry_after(&mut ed, number, &all).await, told);
    let [refused] = &tries(&mut ed).await[..] else { panic!("several sentences") };
    assert!(refused.contains("but not run cells; ask an owner"), "{refused}");
    // What was accepted before runs to its end, and questions are answered.
    driver.done(cell, Outcome::Ok).await;
    assert_eq!(ed.until("done").await["id"], "before");
    let question = r#"{"type": "complete", "id": "q", "code": "x", "cursor": 1}"#;
    ed.seat.send(ClientMessage::parse(question)).await.unwrap();
    driver.expect(kind::REQUEST).await;
    // It comes back as who it is.
    let back = JoinRequest { credential: own.clone(), ..join("ed") };
    let mut ed = Client::seated(&handle, back).await;
    let ready = ed.until("ready").await;
    assert_eq!([&ready["run"], &ready["edit"]], [&Value::Bool(false), &Value::Null]);
    assert_eq!(tries(&mut ed).await.len(), 1);
    // The other half is withheld instead: it runs, and changes nothing in the document.
    let runs = change(None, Some(true), Some(false));
    handle.change_rights(&Credential::Gateway, number_of(&ready), runs).await.unwrap();
    ed.execute("after").await;
    assert_eq!(ed.until("queued").await["id"], "after");
    let rights = handle.rights(&own).unwrap();
    assert!(rights.may_run() && !rights.may_edit_document());
    let nothing = handle
        .change_rights(&Credential::Gateway, number_of(&ready), change(None, Some(false), None))
        .await;
    let sentence = nothing.unwrap_err().to_string();
    assert!(sentence.contains("make it a viewer"), "{sentence}");
    handle.change_rights(&Credential::Gateway, 99, runs).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_viewer_becomes_an_owner_and_the_creator_a_viewer_but_never_the_last_owner() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut ada = Client::seated(&handle, creator()).await;
    let first = number_of(&ada.until("ready").await);
    let mut vera = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
    let second = number_of(&vera.until("ready").await);
    let [refused] = &tries(&mut vera).await[..] else { panic!("several sentences") };
    assert!(refused.contains("needs the role editor"), "{refused}");
    let [to_viewer, to_owner] =
        [Role::Viewer, Role::Owner].map(|role| change(Some(role), None, None));
    let last = handle.change_rights(&Credential::Gateway, first, to_viewer).await;
    assert_eq!(last, Err(ChangeRightsError::LastOwner));
    handle.change_rights(&Credential::Gateway, second, to_owner).await.unwrap();
    vera.execute("a").await;
    assert_eq!(vera.until("queued").await["id"], "a");
    let cell = driver.expect(kind::EXECUTE).await;
    driver.done(cell, Outcome::Ok).await;
    vera.until("done").await;
    vera.seat.send(Ok(ClientMessage::Restart { interpreter: None })).await.unwrap();
    driver.expect(kind::RESTART).await;
    handle.change_rights(&Credential::Gateway, first, to_viewer).await.unwrap();
    let before = serde_json::json!({"id": first, "name": "ada", "role": "owner"});
    assert_eq!(entry_after(&mut ada, first, &before).await["role"], "viewer");
    assert_eq!(tries(&mut ada).await.len(), 1);
    let last = handle.change_rights(&Credential::Gateway, second, to_viewer).await;
    assert_eq!(last, Err(ChangeRightsError::LastOwner));
    // The creator's token gives what the creator may do now; a request of before that comes late
    // makes it no owner again.
    assert_eq!(handle.role("t"), Some(Role::Viewer));
    let late = handle.change_rights(&Credential::Token(Token::new("t")), first, to_owner).await;
    assert_eq!(late, Err(ChangeRightsError::NotByOwner));
}
