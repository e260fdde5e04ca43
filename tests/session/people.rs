//! Who is attached: how they are told of each other, who they are, and who shows them out.

use futures::FutureExt;

use crate::*;

/// The lists of participants that wait, and how many messages wait beside them.
fn lists(seat: &Attachment) -> (Vec<Value>, usize) {
    let mut batch = Vec::new();
    while let Some(Ok(())) = seat.outbox().take(&mut batch).now_or_never() {}
    let all = batch.iter().map(as_json);
    let (lists, others): (Vec<_>, Vec<_>) = all.partition(|one| one["type"] == "participants");
    (lists, others.len())
}

fn names(list: &Value) -> Vec<&str> {
    let list = list["list"].as_array().unwrap();
    list.iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_who_comes_and_goes_adds_nothing_to_the_log_and_is_told_of_four_times_a_second() {
    let Stage { handle, driver, .. } = usual().await;
    let mut ada = Client::join(&handle, None).await;
    assert_eq!(ada.until("ready").await["seq"], 0);
    let sloth = handle.attach(role(&handle, "sloth", Role::Viewer)).await.unwrap();
    let flap = role(&handle, "flap", Role::Viewer);
    pass(Duration::from_secs(1)).await;
    lists(&ada.seat);
    let began = tokio::time::Instant::now();
    let mut told = 0;
    for _ in 0..1000 {
        drop(handle.attach(flap.clone()).await.unwrap());
        settle().await;
        told += lists(&ada.seat).0.len();
    }
    let most = 1 + began.elapsed().as_millis() as usize / 250;
    assert!((4..=most).contains(&told), "{told} lists in {:?}", began.elapsed());
    pass(Duration::from_millis(300)).await;
    // The last word is the truth, for one who takes nothing as well, which is kept it alone.
    let (last, _) = lists(&ada.seat);
    assert!(last.iter().all(|list| names(list) == ["ada", "sloth"]), "{last:?}");
    let (kept, others) = lists(&sloth);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((names(&kept[0]), others), (vec!["ada", "sloth"], 1), "`ready` and the list");
    // Nothing of all that is in the log, and of those who left no more is known than may be.
    assert!(handle.list_tokens().len() < 300, "{}", handle.list_tokens().len());
    let mut late = Client::join(&handle, None).await;
    assert_eq!(late.until("ready").await["seq"], 0);
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_told_who_is_there_right_after_ready_however_much_is_replayed() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut ada = Client::join(&handle, None).await;
    ada.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    for _ in 0..8 {
        driver.send(kind::OUTPUT, 0, cell, &[b'x'; 16 << 10]).await; // twice what a window holds
        ada.until("stdout").await;
    }
    let mut vera = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
    settle().await;
    assert_eq!(vera.message().await.unwrap()["type"], "ready");
    assert_eq!(names(&vera.message().await.unwrap()), ["ada", "vera"]);
    assert_eq!(names(&ada.until("participants").await), ["ada", "vera"]);
}

#[tokio::test(start_paused = true)]
async fn who_reads_the_log_is_no_participant() {
    let Stage { handle, mut driver, .. } = usual().await;
    let credential = Credential::Token(handle.owner_token());
    let reader = |from| ObserveRequest {
        credential: credential.clone(),
        name: "reader".into(),
        from,
        keeps_up: false,
    };
    let mut ada = Client::join(&handle, None).await;
    ada.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    driver.send(kind::OUTPUT, 0, cell, b"text").await;
    ada.until("stdout").await;
    let (mut log, newest) = handle.observe(reader(ReadFrom::Beginning)).await.unwrap();
    let mut read = Vec::new();
    while read.last().is_none_or(|seq| *seq < newest) {
        read.push(log.next().await.unwrap().seq().expect("events alone"));
    }
    assert_eq!(read, (1..=newest).collect::<Vec<_>>());
    let (newer, none) = handle.observe(reader(ReadFrom::Now)).await.unwrap();
    assert_eq!((none, newer.outbox().take(&mut Vec::new()).now_or_never()), (newest, None));
    settle().await;
    assert_eq!(handle.summary().unwrap().participants, 1);
    let lists_before = lists(&ada.seat).0.len();
    drop((log, newer));
    settle().await;
    assert_eq!((lists_before, lists(&ada.seat).0.len()), (0, 0), "nothing to tell the others");
    driver.done(cell, Outcome::Ok).await;
    ada.until("done").await;
}

/// Comes back as who it was.
fn back(ready: &Value) -> JoinRequest {
    JoinRequest::owner("back", Token::new(ready["token"].as_str().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn two_by_one_link_and_of_one_name_stay_and_one_who_comes_back_takes_its_own_place() {
    let Stage { handle, driver, .. } = usual().await;
    let link = role(&handle, "guest", Role::Editor);
    let mut one = Client::seated(&handle, link.clone()).await;
    let mut other = Client::seated(&handle, link).await;
    let ready = one.until("ready").await;
    assert_ne!(ready["token"], other.until("ready").await["token"]);
    let mut again = Client::seated(&handle, back(&ready)).await;
    assert_eq!(one.until_departure().await, Departure::Replaced);
    let resumed = again.until("ready").await;
    assert_eq!((&resumed["token"], &resumed["role"]), (&ready["token"], &"editor".into()));
    assert_eq!(names(&again.until("participants").await), ["guest", "back"]);
    other.execute("a").await;
    assert_eq!(again.until("queued").await["id"], "a");
    // What the older connection still says is not heard, and its going changes nothing.
    one.execute("b").await;
    drop(one);
    settle().await;
    again.seat.send(Ok(ClientMessage::Ping { fields: Default::default() })).await.unwrap();
    while let Ok(message) = again.message().await {
        assert_ne!(message["id"], "b", "{message}");
        if message["type"] == "pong" {
            break;
        }
    }
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn who_is_shown_out_is_not_heard_any_more_and_does_not_come_back() {
    let Stage { handle, mut driver, ended, .. } = usual().await;
    let link = handle.grant(&Credential::Gateway, Role::Owner, None).unwrap();
    let by_link = JoinRequest { credential: Credential::Token(link.token), ..join("ada") };
    let mut ada = Client::seated(&handle, by_link.clone()).await;
    let ready = ada.until("ready").await;
    // She lets somebody in, who leaves with her.
    let own = Credential::Token(Token::new(ready["token"].as_str().unwrap()));
    let child = handle.grant(&own, Role::Viewer, None).unwrap();
    let child = JoinRequest { credential: Credential::Token(child.token), ..join("vera") };
    let mut vera = Client::seated(&handle, child.clone()).await;
    let number = u32::try_from(ready["participant"].as_u64().unwrap()).unwrap();
    handle.remove(number).await.unwrap();
    ada.execute("a").await;
    for client in [&mut ada, &mut vera] {
        assert_eq!(client.until_departure().await, Departure::Removed);
    }
    for join in [back(&ready), child] {
        assert!(matches!(handle.attach(join).await, Err(AttachError::Invalid)));
    }
    // The link is another matter, until it is revoked as well; one by it is out at once then.
    let mut again = Client::seated(&handle, by_link.clone()).await;
    again.execute("b").await;
    driver.expect(kind::EXECUTE).await;
    assert_eq!(again.until("started").await["id"], "b", "what she said last was not heard");
    handle.revoke(link.info.id).await.unwrap();
    assert_eq!(again.until_departure().await, Departure::Revoked);
    assert!(matches!(handle.attach(by_link).await, Err(AttachError::Invalid)));
    // Nobody is there now, and so the session ends in time, whoever still holds a connection.
    pass(config().detach_timeout).await;
    settle().await;
    assert!(ended.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn when_a_token_expires_or_is_revoked_those_who_watch_the_rights_are_told() {
    let Stage { handle, driver, .. } = usual().await;
    let mut changed = handle.rights_changed();
    let minute = Duration::from_secs(60);
    let mut links = Vec::new();
    for lifetime in [Some(minute), Some(minute / 2), None] {
        links.push(handle.grant(&Credential::Gateway, Role::Editor, lifetime).unwrap());
    }
    let credentials: Vec<_> =
        links.iter().map(|link| Credential::Token(link.token.clone())).collect();
    let valid = || credentials.iter().map(|one| handle.rights(one).is_some()).collect::<Vec<_>>();
    let _seat = handle.attach(creator()).await.unwrap();
    changed.mark_unchanged();
    let began = tokio::time::Instant::now();
    for (after, left) in [(minute / 2, [true, false, true]), (minute, [false, false, true])] {
        changed.changed().await.unwrap();
        assert_eq!(valid(), left);
        // No later in truth: the clock by which tokens expire does not pass virtually.
        assert!(began.elapsed() >= after - Duration::from_secs(1), "{:?}", began.elapsed());
    }
    handle.revoke(links[2].info.id).await.unwrap();
    assert!(changed.has_changed().unwrap());
    assert_eq!(valid(), [false; 3]);
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_viewers_and_editors_keeps_no_owner_out() {
    let many = SessionConfig { participants: 64, ..config() };
    let Stage { handle, driver, .. } = stage(many, Limits::default(), EndCause::Unknown).await;
    let mut crowd = Vec::new();
    for (name, role_of, seats) in [("vera", Role::Viewer, 48), ("ed", Role::Editor, 63)] {
        let link = role(&handle, name, role_of);
        let refused = loop {
            match handle.attach(link.clone()).await {
                Ok(seat) => crowd.push(seat),
                Err(error) => break error,
            }
        };
        assert_eq!(crowd.len(), seats);
        assert!(refused.to_string().contains(&format!("all {seats} seats")), "{refused}");
    }
    handle.attach(creator()).await.unwrap();
    drop(driver);
}
