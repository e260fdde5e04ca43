//! Who is attached: how they are told of each other.

use futures::FutureExt;

use crate::*;

/// The lists of participants that wait, and how many messages wait beside them.
fn lists(seat: &Attachment) -> (Vec<Value>, usize) {
    let mut batch = Vec::new();
    while let Some(Batch::Messages) = seat.outbox().take(&mut batch).now_or_never() {}
    let all = batch.iter().map(|json| serde_json::from_str::<Value>(json).unwrap());
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
    let sloth = handle.attach(role("sloth", Role::Viewer)).await.unwrap();
    pass(Duration::from_secs(1)).await;
    lists(&ada.seat);
    let began = tokio::time::Instant::now();
    let mut told = 0;
    for _ in 0..1000 {
        drop(sloth_like(&handle).await);
        settle().await;
        told += lists(&ada.seat).0.len();
    }
    let most = 1 + began.elapsed().as_millis() as usize / 250;
    assert!((4..=most).contains(&told), "{told} lists in {:?}", began.elapsed());
    pass(Duration::from_millis(300)).await;
    // The last word is the truth, for one who takes nothing as well, and he is kept it alone.
    let (last, _) = lists(&ada.seat);
    assert!(last.iter().all(|list| names(list) == ["ada", "sloth"]), "{last:?}");
    let (kept, others) = lists(&sloth);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((names(&kept[0]), others), (vec!["ada", "sloth"], 1), "`ready` and the list");
    // Nothing of all that is in the log.
    let mut late = Client::join(&handle, None).await;
    assert_eq!(late.until("ready").await["seq"], 0);
    drop(driver);
}

async fn sloth_like(handle: &SessionHandle) -> Attachment {
    handle.attach(role("flap", Role::Viewer)).await.unwrap()
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
    let mut vera = Client::seated(&handle, role("vera", Role::Viewer)).await;
    settle().await;
    assert_eq!(vera.message().await.unwrap()["type"], "ready");
    assert_eq!(names(&vera.message().await.unwrap()), ["ada", "vera"]);
    assert_eq!(names(&ada.until("participants").await), ["ada", "vera"]);
}
