//! What many participants and stalled ones cost: one encoding an event, and memory that stays flat.

use bytestring::ByteString;

use cellgate::session::SessionConfig;
use futures::FutureExt;

use crate::common::scripted::frame;
use crate::*;

/// Everything that waits for a participant.
async fn take_all(seat: &Attachment) -> Vec<ByteString> {
    let mut taken = Vec::new();
    while let Some(Ok(())) = seat.outbox().take(&mut taken).now_or_never() {}
    taken.iter().map(|delivery| delivery.json().clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_viewers_share_one_encoding_of_each_event() {
    let config = SessionConfig { participants: 160, window_bytes: 1 << 20, ..config() };
    let Stage { handle, mut driver, .. } =
        stage(config, Limits::default(), EndCause::Unknown).await;
    let owner = Client::join(&handle, None).await;
    let mut viewers = Vec::new();
    for number in 0..100 {
        viewers
            .push(handle.attach(role(&handle, &format!("v{number}"), Role::Viewer)).await.unwrap());
    }
    pass(Duration::from_millis(300)).await; // everybody has been told who is attached
    for viewer in &viewers {
        take_all(viewer).await;
    }
    owner.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    for line in 0..200 {
        driver.send(kind::OUTPUT, 0, cell, format!("line {line}\n").as_bytes()).await;
    }
    let shown = br#"{"type":"result","data":{"text/plain":"1"},"metadata":{}}"#;
    driver.send(kind::MESSAGE, flag::SYNC, cell, shown).await;
    driver.done(cell, Outcome::Ok).await;
    settle().await;
    // The bytes that each of them is given are not alike but the same.
    let place = |json: &ByteString| (json.as_ptr(), json.len());
    let first = take_all(&viewers[0]).await;
    assert!(first.len() > 200);
    let places: Vec<_> = first.iter().map(place).collect();
    for viewer in &viewers[1..] {
        let taken = take_all(viewer).await;
        assert!(taken.iter().map(place).eq(places.iter().copied()), "encoded once more");
    }
    // And so is what somebody gets from the log who comes later.
    let seq = serde_json::from_str::<Value>(&first[0]).unwrap()["seq"].as_u64().unwrap();
    let late = JoinRequest { after: Some(seq - 1), ..role(&handle, "late", Role::Viewer) };
    let late = take_all(&handle.attach(late).await.unwrap()).await;
    let replayed: Vec<_> = late.iter().map(place).filter(|at| places.contains(at)).collect();
    assert_eq!(replayed, places);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_leaves_memory_flat_whatever_it_is_and_however_much_comes() {
    let window = config().window_bytes;
    let page = vec![b'x'; 16 << 10];
    for (role_of, acks) in
        [(Role::Viewer, false), (Role::Viewer, true), (Role::Editor, false), (Role::Editor, true)]
    {
        let Stage { handle, mut driver, .. } = usual().await;
        let mut owner = Client::join(&handle, None).await;
        let stalled = handle.attach(role(&handle, "sloth", role_of)).await.unwrap();
        if acks {
            stalled.send(Ok(ClientMessage::Ack { seq: 0 })).await.unwrap();
        }
        owner.execute("a").await;
        let cell = driver.expect(kind::EXECUTE).await;
        let mut most = 0;
        for _ in 0..256 {
            driver.send(kind::OUTPUT, 0, cell, &page).await;
            owner.until("stdout").await;
            most = most.max(stalled.outbox().waiting_bytes());
        }
        // A window, and the message that passes it: 4 MiB have gone by.
        assert!(most <= window + page.len() + 256, "{most} bytes are kept for {role_of:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_does_not_read_the_answers_has_to_wait() {
    let Stage { handle, driver, .. } = usual().await;
    let seat = handle.attach(role(&handle, "sloth", Role::Viewer)).await.unwrap();
    let text = Value::String("x".repeat(16 << 10));
    let ping = || {
        let fields = [("text".to_owned(), text.clone())].into_iter().collect();
        seat.send(Ok(ClientMessage::Ping { fields }))
    };
    let mut said = 0;
    while tokio::time::timeout(Duration::from_secs(1), ping()).await.is_ok() {
        said += 1;
        settle().await;
        assert!(said < 64, "{} bytes wait", seat.outbox().waiting_bytes());
    }
    let kept = seat.outbox().waiting_bytes();
    assert!(kept <= 2 * config().window_bytes, "{kept} bytes wait");
    // An `ack` is never in the way, and whoever reads again is heard again.
    seat.send(Ok(ClientMessage::Ack { seq: 0 })).await.unwrap();
    let mut read = take_all(&seat).await;
    ping().await.unwrap();
    settle().await;
    read.extend(take_all(&seat).await);
    let pongs = read.iter().filter(|json| json.contains("\"pong\"")).count();
    assert_eq!(pongs, said + 1);
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn what_a_driver_answers_to_a_question_is_bounded() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut client = Client::join(&handle, None).await;
    let questions = [
        (r#"{"type":"complete","id":"q","code":"x","cursor":1}"#, "complete_reply", "matches"),
        (r#"{"type":"variables","id":"q"}"#, "variables_reply", "variables"),
    ];
    for (question, replied, field) in questions {
        client.seat.send(ClientMessage::parse(question)).await.unwrap();
        let number = driver.expect(kind::REQUEST).await;
        let part = vec![b' '; 64 << 10];
        for _ in 0..32 {
            let more = frame(kind::REPLY, flag::MORE, number, &part);
            tokio::io::AsyncWriteExt::write_all(&mut driver.stream, &more).await.unwrap();
        }
        let answer = br#"{"matches":["xor"],"start":0,"end":1,"variables":[]}"#;
        driver.send(kind::REPLY, 0, number, answer).await;
        let reply = client.until(replied).await;
        assert_eq!((&reply["busy"], &reply[field]), (&true.into(), &serde_json::json!([])));
    }
}
