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
    for owners in [ClientMessage::End, ClientMessage::Restart] {
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
