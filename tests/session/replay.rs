//! What a participant who joins again is given: the log in memory and on the disk, and what is left out of it.

use crate::*;

#[tokio::test(start_paused = true)]
async fn every_event_has_the_next_seq_and_a_time() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut client = Client::join(&handle, None).await;
    let ready = client.next().await.unwrap();
    assert_eq!((&ready["type"], &ready["seq"]), (&"ready".into(), &0.into()));
    assert_eq!(ready["language"]["version"], "3.11.2");
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    driver.send(kind::OUTPUT, 0, cell, "h\u{e9}".as_bytes()).await;
    driver.send(kind::OUTPUT, flag::STDERR, cell, b"oh\n").await;
    let result = br#"{"type":"result","data":{"text/plain":"1"},"metadata":{}}"#;
    driver.send(kind::MESSAGE, flag::SYNC, cell, result).await;
    driver.done(cell, Outcome::Ok).await;
    let mut kinds = Vec::new();
    let told = client.message().await.unwrap();
    assert_eq!(
        told,
        serde_json::json!({"type": "participants",
        "list": [{"id": 1, "name": "ada", "role": "owner"}]})
    );
    for seq in 1..=8 {
        let event = client.next().await.unwrap();
        assert_eq!(event["seq"], seq);
        assert!(event["ts"].as_u64().unwrap() > 1_600_000_000_000);
        kinds.push(event["type"].as_str().unwrap().to_owned());
    }
    let expected = ["queued", "status", "started", "stdout", "stderr", "result", "done", "status"];
    assert_eq!(kinds, expected);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_drops_detaches_and_another_resumes_without_a_seam() {
    let Stage { handle, mut driver, ended, .. } = usual().await;
    let mut first = Client::join(&handle, None).await;
    first.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = first.until("started").await["seq"].as_u64().unwrap();
    drop(first);
    driver.send(kind::OUTPUT, 0, cell, b"while away\n").await;
    let mut second = Client::join(&handle, Some(seen)).await;
    assert_eq!(second.next().await.unwrap()["type"], "ready");
    driver.done(cell, Outcome::Ok).await;
    let mut texts = Vec::new();
    for seq in seen + 1.. {
        let event = second.next().await.unwrap();
        assert_eq!(event["seq"], seq);
        texts.extend(event["text"].as_str().map(str::to_owned));
        if event["type"] == "done" {
            break;
        }
    }
    assert_eq!(texts, ["while away\n"]);
    assert!(!ended.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn what_the_log_forgot_is_named_by_a_gap() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut first = Client::join(&handle, None).await;
    first.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let page = vec![b'x'; 16 << 10];
    for _ in 0..10 {
        driver.send(kind::OUTPUT, 0, cell, &page).await;
        first.until("stdout").await;
    }
    let mut late = Client::join(&handle, Some(2)).await;
    let newest = late.next().await.unwrap()["seq"].as_u64().unwrap();
    let gap = late.next().await.unwrap();
    assert_eq!((&gap["type"], &gap["from"]), (&"gap".into(), &3.into()));
    let mut next = gap["to"].as_u64().unwrap() + 1;
    while next <= newest {
        assert_eq!(late.next().await.unwrap()["seq"], next);
        next += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn what_memory_cannot_hold_is_replayed_from_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let config = SessionConfig { log_directory: directory.path().into(), ..on_disk() };
    let Stage { handle, mut driver, .. } =
        stage(config, Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = client.until("started").await["seq"].as_u64().unwrap();
    drop(client);
    // Sixty times what memory holds, while nobody is attached.
    for number in 0..60 {
        driver.send(kind::OUTPUT, 0, cell, &page(number)).await;
    }
    driver.done(cell, Outcome::Ok).await;
    let mut back = Client::join(&handle, Some(seen)).await;
    back.until("ready").await;
    let mut text = String::new();
    for seq in seen + 1.. {
        let event = back.next().await.unwrap();
        assert_eq!(event["seq"], seq, "{event}");
        match event["type"].as_str().unwrap() {
            "stdout" => text += event["text"].as_str().unwrap(),
            "done" => break,
            _ => {}
        }
    }
    assert!(text.as_bytes() == (0..60).flat_map(page).collect::<Vec<u8>>());
    let names = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(names, 0, "the file has no name, so none is left however the gateway ends");
    // Another one, who sees everything from the beginning, and then the present.
    let mut late = Client::join(&handle, None).await;
    late.until("ready").await;
    let mut next = 1;
    while next <= back_seq(&mut late, &mut next).await {}
    back.execute("b").await;
    driver.expect(kind::EXECUTE).await;
    assert_eq!(late.until("started").await["id"], "b");
}

/// Reads one event, which is the next; answers the seq up to which there is something to read.
async fn back_seq(client: &mut Client, next: &mut u64) -> u64 {
    let event = client.next().await.unwrap();
    assert_eq!(event["seq"], *next, "{event}");
    *next += 1;
    if event["type"] == "done" { 0 } else { u64::MAX }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_costs_a_gap_and_no_cell() {
    let nowhere = SessionConfig { log_directory: "/nonexistent".into(), ..on_disk() };
    let Stage { handle, mut driver, .. } =
        stage(nowhere, Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let send = async {
        for number in 0..20 {
            driver.send(kind::OUTPUT, 0, cell, &page(number)).await;
        }
        driver.done(cell, Outcome::Ok).await;
    };
    let read = async {
        let mut kinds = Vec::new();
        loop {
            let event = client.next().await.unwrap();
            if event["type"] == "notice" {
                assert_eq!(event["code"], "log_disk");
            }
            kinds.push(event["type"].as_str().unwrap().to_owned());
            if event["type"] == "done" {
                assert_eq!(event["status"], "ok");
                return kinds;
            }
        }
    };
    let ((), kinds) = tokio::join!(send, read);
    assert_eq!(kinds.iter().filter(|kind| *kind == "stdout").count(), 20);
    assert_eq!(kinds.iter().filter(|kind| *kind == "notice").count(), 1);
    let mut late = Client::join(&handle, Some(3)).await;
    late.until("ready").await;
    assert_eq!(late.next().await.unwrap()["type"], "gap");
    late.until("done").await;
}

#[tokio::test(start_paused = true)]
async fn who_is_still_reading_from_the_disk_at_the_end_gets_it_all() {
    let Stage { handle, mut driver, .. } =
        stage(on_disk(), Limits::default(), EndCause::Unknown).await;
    let client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    drop(client);
    for number in 0..60 {
        driver.send(kind::OUTPUT, 0, cell, &page(number)).await;
    }
    driver.done(cell, Outcome::Ok).await;
    let mut back = Client::join(&handle, None).await;
    back.seat.send(Ok(ClientMessage::End)).await.unwrap();
    back.until("ready").await;
    let mut next = 1;
    loop {
        let event = back.next().await.unwrap();
        assert_eq!(event["seq"], next, "{event}");
        next += 1;
        if event["type"] == "ended" {
            break;
        }
    }
    assert!(ended_by(&back.until_departure().await, EndReason::Requested));
}

#[tokio::test(start_paused = true)]
async fn a_long_progress_bar_is_seen_live_and_replayed_as_its_last_frame() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut owner = Client::join(&handle, None).await;
    owner.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = owner.until("started").await["seq"].as_u64().unwrap();
    let frame = |number: usize| format!("\r{number:>5}/40000 |{:<40}|", "█".repeat(number / 1000));
    for number in 1..=20_000 {
        driver.send(kind::OUTPUT, 0, cell, frame(number).as_bytes()).await;
        assert_eq!(owner.until("stdout").await["text"], frame(number), "live");
    }
    drop(owner);
    // Many times the log, which takes it all, as nothing of it is left to be seen.
    for number in 20_001..=40_000 {
        driver.send(kind::OUTPUT, 0, cell, frame(number).as_bytes()).await;
    }
    driver.done(cell, Outcome::Ok).await;
    // For a viewer nothing is held back, so that nobody is waited for before all is in the log.
    Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await.until("done").await;
    for after in [seen, seen + 10_000, seen + 30_000] {
        let mut back = Client::join(&handle, Some(after)).await;
        back.until("ready").await;
        let (mut texts, mut events, mut next) = (Vec::new(), 0, after + 1);
        loop {
            let event = back.next().await.unwrap();
            events += 1;
            if event["type"] == "gap" {
                assert_eq!((&event["from"], &event["superseded"]), (&next.into(), &true.into()));
                next = event["to"].as_u64().unwrap() + 1;
                continue;
            }
            assert_eq!(event["seq"], next);
            next += 1;
            match event["type"].as_str().unwrap() {
                "stdout" => texts.push(event["text"].as_str().unwrap().to_owned()),
                "done" => break,
                _ => {}
            }
        }
        // Besides the last there is the one that was newest when somebody came or left.
        assert!(events < 16 && texts.len() <= 3, "{events} events, {texts:?}");
        assert_eq!(texts.last(), Some(&frame(40_000)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_animation_is_replayed_as_its_last_frame() {
    let clear = r#"{"type":"clear_output","wait":true}"#;
    let show = |number: usize, id: &str| {
        let data = serde_json::json!({"text/plain": format!("{number:0>2000}")});
        serde_json::json!({"type": "display", "data": data, "metadata": {}, "display_id": id, "update": true})
            .to_string()
    };
    // Cleared and shown again, or one display that is updated.
    for clears in [true, false] {
        let Stage { handle, mut driver, .. } = usual().await;
        let owner = Client::join(&handle, None).await;
        owner.execute("a").await;
        let cell = driver.expect(kind::EXECUTE).await;
        drop(owner);
        // Many times the log, which takes it all, as nothing of it is left to be seen.
        for number in 1..=500 {
            let id = if clears { number.to_string() } else { "one".into() };
            if clears {
                driver.send(kind::MESSAGE, 0, cell, clear.as_bytes()).await;
                driver.send(kind::OUTPUT, 0, cell, format!("frame {number}\n").as_bytes()).await;
            }
            driver.send(kind::MESSAGE, 0, cell, show(number, &id).as_bytes()).await;
        }
        driver.done(cell, Outcome::Ok).await;
        Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await.until("done").await;
        let mut back = Client::join(&handle, None).await;
        back.until("ready").await;
        let (mut kinds, mut next) = (Vec::new(), 1);
        loop {
            let event = back.next().await.unwrap();
            if event["type"] == "gap" {
                assert_eq!((&event["from"], &event["superseded"]), (&next.into(), &true.into()));
                next = event["to"].as_u64().unwrap() + 1;
                continue;
            }
            assert_eq!(event["seq"], next);
            next += 1;
            match event["type"].as_str().unwrap() {
                "done" => break,
                "stdout" => assert_eq!(event["text"], "frame 500\n"),
                "display" => assert_eq!(event["data"]["text/plain"], format!("{:0>2000}", 500)),
                "clear_output" => {}
                _ => continue,
            }
            kinds.push(event["type"].as_str().unwrap().to_owned());
        }
        let expected: &[&str] =
            if clears { &["clear_output", "stdout", "display"] } else { &["display"] };
        assert_eq!(kinds, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_makes_no_room_for_what_was_not() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut owner = Client::join(&handle, None).await;
    owner.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let show = |number: usize, turn: usize| {
        let data = serde_json::json!({"text/plain": format!("{turn}{number:0>5000}")});
        serde_json::json!({
            "type": "display", "data": data, "metadata": {}, "display_id": number.to_string(), "update": true
        })
        .to_string()
    };
    // Ten displays, most of the log, are seen; then they are updated while nobody is there.
    let mut seen = 0;
    for number in 0..10 {
        driver.send(kind::MESSAGE, 0, cell, show(number, 0).as_bytes()).await;
        seen = owner.until("display").await["seq"].as_u64().unwrap();
    }
    drop(owner);
    let (second, page) = (Duration::from_secs(1), "x".repeat(4 << 10));
    let updates = (0..10).map(|number| (kind::MESSAGE, show(number, 1)));
    for (kind, payload) in updates.chain(std::iter::repeat((kind::OUTPUT, page))) {
        let sent = driver.send(kind, 0, cell, payload.as_bytes());
        // The cell waits before anything of it is forgotten.
        if tokio::time::timeout(second, sent).await.is_err() {
            break;
        }
    }
    let mut back = Client::join(&handle, Some(seen)).await;
    let mut updated = 0;
    while let Ok(event) = tokio::time::timeout(second, back.next()).await {
        let event = event.unwrap();
        assert_ne!(event["type"], "gap", "{event}");
        if event["type"] == "display" {
            assert_eq!(event["display_id"], updated.to_string());
            updated += 1;
        }
    }
    assert!(updated > 4, "half of the log holds {updated} updates");
}

#[tokio::test(start_paused = true)]
async fn an_owner_who_is_slow_gets_every_frame() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut owner = Client::join(&handle, None).await;
    owner.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    owner.until("started").await;
    let frame = |number: usize| format!("\r{number:>5000}");
    let write = async {
        for number in 0..100 {
            driver.send(kind::OUTPUT, 0, cell, frame(number).as_bytes()).await;
        }
    };
    let read = async {
        for number in 0..100 {
            let event = owner.next().await.unwrap();
            assert_eq!(event["text"], frame(number));
            // Time enough for the window to be full again and again.
            tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.ok();
        }
    };
    tokio::join!(write, read);
}
