//! Who waits for whom: the cell for its owners and editors, never for viewers, and the end of a stopped cell for none.

use crate::*;

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_stops_the_driver_and_an_interrupt_still_passes() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let page = vec![b'x'; 16 << 10];
    let mut sent = 0;
    // The pipe holds 4 KiB and the window 64: a driver nobody reads from blocks soon.
    while tokio::time::timeout(Duration::from_secs(1), driver.send(kind::OUTPUT, 0, cell, &page))
        .await
        .is_ok()
    {
        sent += page.len();
        assert!(sent < 1 << 20, "nothing holds the driver back");
    }
    client.seat.send(Ok(ClientMessage::Interrupt { id: None, interpreter: None })).await.unwrap();
    assert_eq!(driver.expect(kind::INTERRUPT).await, cell);
    // A client that reads again gets every byte that was sent.
    let mut received = 0;
    while received < sent {
        received += client.until("stdout").await["text"].as_str().unwrap().len();
    }
}

#[tokio::test(start_paused = true)]
async fn the_cell_waits_for_those_who_are_editors_now() {
    const PAGES: usize = 64; // of 16 KiB: far beyond the pipe, a window and the log
    let Stage { handle, mut driver, .. } = usual().await;
    let owner = Client::join(&handle, None).await;
    owner.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let mut ed = Client::seated(&handle, role(&handle, "ed", Role::Viewer)).await;
    let number = u32::try_from(ed.until("ready").await["participant"].as_u64().unwrap()).unwrap();
    let reader = tokio::spawn(async move { ed.until_departure().await });
    let (orders, mut ordered) = tokio::sync::mpsc::channel(2 * PAGES);
    let (tell, written) = tokio::sync::watch::channel(0);
    let writer = tokio::spawn(async move {
        while ordered.recv().await.is_some() {
            driver.send(kind::OUTPUT, 0, cell, &[b'x'; 16 << 10]).await;
            tell.send_modify(|count| *count += 1);
        }
    });
    let order = || (0..PAGES).for_each(|_| orders.try_send(()).unwrap());
    let change = |role| RightsChange { role: Some(role), ..RightsChange::default() };
    // The owner reads nothing, and nothing waits for a viewer who does.
    order();
    pass(Duration::from_secs(1)).await;
    assert!(*written.borrow() < PAGES);
    handle.change_rights(&Credential::Gateway, number, change(Role::Editor)).await.unwrap();
    pass(Duration::from_secs(1)).await;
    assert_eq!(*written.borrow(), PAGES);
    handle.change_rights(&Credential::Gateway, number, change(Role::Viewer)).await.unwrap();
    order();
    pass(Duration::from_secs(1)).await;
    assert!(*written.borrow() < 2 * PAGES);
    reader.abort();
    writer.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_while_nobody_is_attached() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = client.until("started").await["seq"].as_u64().unwrap();
    drop(client);
    let page = vec![b'x'; 4 << 10];
    let mut sent = 0u64;
    while tokio::time::timeout(Duration::from_secs(1), driver.send(kind::OUTPUT, 0, cell, &page))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 64, "the log alone cannot hold that much");
    }
    let mut back = Client::join(&handle, Some(seen)).await;
    back.until("ready").await;
    for seq in 1..=sent {
        assert_eq!(back.next().await.unwrap()["seq"], seen + seq);
    }
}

#[tokio::test(start_paused = true)]
async fn detached_output_is_held_up_to_the_bound_of_the_disk() {
    let Stage { handle, mut driver, .. } =
        stage(on_disk(), Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = client.until("started").await["seq"].as_u64().unwrap();
    drop(client);
    let mut sent = 0;
    while tokio::time::timeout(
        Duration::from_secs(1),
        driver.send(kind::OUTPUT, 0, cell, &page(sent)),
    )
    .await
    .is_ok()
    {
        sent += 1;
        assert!(sent < 128, "8 MiB cannot hold that much");
    }
    assert!(sent > 64, "only {sent} pages were held");
    let mut back = Client::join(&handle, Some(seen)).await;
    back.until("ready").await;
    for number in 0..sent {
        assert_eq!(back.next().await.unwrap()["seq"], seen + 1 + number as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn the_cell_never_waits_for_a_viewer_who_is_told_what_it_missed() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut owner = Client::join(&handle, None).await;
    let mut viewer = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
    owner.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let page = vec![b'x'; 16 << 10];
    let mut newest = 0;
    for _ in 0..64 {
        driver.send(kind::OUTPUT, 0, cell, &page).await;
        newest = owner.until("stdout").await["seq"].as_u64().unwrap();
    }
    // The viewer had room for a window and missed the rest; what it sees accounts for every seq.
    let mut next = 1;
    let mut gaps = 0;
    viewer.until("ready").await;
    while next <= newest {
        let event = viewer.next().await.unwrap();
        if event["type"] == "gap" {
            assert_eq!(event["from"], next);
            next = event["to"].as_u64().unwrap() + 1;
            gaps += 1;
        } else {
            assert_eq!(event["seq"], next);
            next += 1;
        }
    }
    assert_eq!(gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stopped_cell_overtakes_the_output_that_waits() {
    let interrupt = |id: Option<&str>| ClientMessage::Interrupt {
        id: id.map(str::to_owned),
        interpreter: None,
    };
    for stops in [
        vec![interrupt(None)],
        // A cell that leaves the queue meanwhile is not the one that everybody waits for.
        vec![interrupt(None), interrupt(Some("b"))],
        vec![ClientMessage::Restart { interpreter: None }],
    ] {
        stopped_cell_overtakes(stops).await;
    }
}

async fn stopped_cell_overtakes(stops: Vec<ClientMessage>) {
    let big = SessionConfig { window_bytes: 1 << 20, log_bytes: 8 << 20, ..config() };
    let Stage { handle, mut driver, .. } = stage(big, Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    let mut other = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
    client.execute("a").await;
    client.execute("b").await;
    let cell = driver.expect(kind::EXECUTE).await;
    // Just below the window, so that all of it waits for the client and none in the pipe.
    let page = vec![b'x'; 32 << 10];
    for _ in 0..30 {
        driver.send(kind::OUTPUT, 0, cell, &page).await;
    }
    for stop in stops {
        client.seat.send(Ok(stop)).await.unwrap();
    }
    let (order, _) = driver.receive().await;
    assert!([kind::INTERRUPT, kind::RESTART].contains(&order.kind));
    settle().await;
    driver.done(cell, Outcome::Interrupted).await;
    // When the end has reached somebody, the actor has settled it for everybody.
    while other.until("done").await["id"] != "a" {}
    let mut before = 0;
    let mut gaps = 0;
    loop {
        let event = client.next().await.unwrap();
        match event["type"].as_str().unwrap() {
            "gap" => gaps += 1,
            "done" if event["id"] == "a" => break,
            _ => before += event.to_string().len(),
        }
    }
    assert!(before < 512 << 10, "{before} bytes of output went before the end");
    assert!(gaps > 0, "what was skipped is named");
}

#[tokio::test(start_paused = true)]
async fn detached_output_may_be_dropped_instead_of_held() {
    let drop_it = SessionConfig { detached_output: DetachedOutput::Drop, ..config() };
    let Stage { handle, mut driver, .. } =
        stage(drop_it, Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = client.until("started").await["seq"].as_u64().unwrap();
    drop(client);
    let page = vec![b'x'; 16 << 10];
    for _ in 0..64 {
        driver.send(kind::OUTPUT, 0, cell, &page).await;
    }
    driver.done(cell, Outcome::Ok).await;
    let mut back = Client::join(&handle, Some(seen)).await;
    back.until("ready").await;
    let gap = back.next().await.unwrap();
    assert_eq!((&gap["type"], &gap["from"]), (&"gap".into(), &(seen + 1).into()));
    back.until("done").await;
}
