//! What sessions hold in memory together, when it is more than the gateway may hold.

use super::*;
use cellgate::memory::{Budget, FLOOR_BYTES};
use cellgate::protocol::event::EndReason;
use serde_json::json;

const MIB: usize = 1 << 20;

fn with_budget(memory: &Budget) -> SessionConfig {
    SessionConfig {
        queue: 64,
        window_bytes: MIB,
        log_bytes: 8 * MIB,
        memory: memory.clone(),
        ..config()
    }
}

async fn in_budget(memory: &Budget) -> Stage {
    stage(with_budget(memory), Limits::default(), EndCause::Unknown).await
}

async fn end(stage: Stage) {
    stage.handle.begin_end(EndReason::Requested).await;
    stage.task.await.unwrap();
}

fn cell(bytes: usize) -> Result<ClientMessage, cellgate::protocol::Refusal> {
    Ok(ClientMessage::Execute(Execute { code: "x".repeat(bytes), ..Execute::default() }))
}

/// A message in fragments, as a driver sends it.
async fn send_fragments(driver: &mut ScriptedDriver, cell: u32, json: &str) {
    let pieces: Vec<&[u8]> = json.as_bytes().chunks(60_000).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let more = if at + 1 < pieces.len() { flag::MORE } else { 0 };
        driver.send(kind::MESSAGE, more, cell, piece).await;
    }
}

fn display(bytes: usize) -> String {
    json!({"type": "display", "data": {"text/plain": "y".repeat(bytes)}}).to_string()
}

#[tokio::test(start_paused = true)]
async fn cells_that_wait_are_charged_and_refused_beyond_the_budget() {
    let memory = Budget::new(16 * MIB);
    let mut stage = in_budget(&memory).await;
    let mut client = Client::join(&stage.handle, None).await;
    client.execute("first").await;
    assert_eq!(stage.driver.expect(kind::EXECUTE).await, 1);
    for _ in 0..6 {
        client.seat.send(cell(MIB - 1)).await.unwrap();
    }
    // A quarter of the budget is one session's at most. Refusals overtake events.
    for _ in 0..3 {
        let refused = client.until("protocol_error").await;
        assert_eq!(refused["code"], "queue_full");
        assert!(refused["message"].as_str().unwrap().contains("memory_budget"), "{refused}");
    }
    for position in 1..=3 {
        assert_eq!(client.until("queued").await["position"], position);
    }
    assert!(memory.used() <= 4 * MIB, "{}", memory.used());
    // A cell of usual size is accepted as long as there is any room at all.
    client.seat.send(cell(100)).await.unwrap();
    client.until("queued").await;
    end(stage).await;
    drop(client);
    assert_eq!(memory.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_sessions_queue_has_a_bound_in_bytes() {
    let memory = Budget::new(1 << 30);
    let mut stage = in_budget(&memory).await;
    let mut client = Client::join(&stage.handle, None).await;
    client.execute("first").await;
    stage.driver.expect(kind::EXECUTE).await;
    let mut reading = 0;
    for number in 0..18 {
        client.seat.send(cell(MIB)).await.unwrap();
        let event = loop {
            let event = client.next().await.unwrap();
            if ["queued", "protocol_error"].contains(&event["type"].as_str().unwrap())
                && event["id"] != "first"
            {
                break event;
            }
        };
        let accepted = event["type"] == "queued";
        assert_eq!(accepted, number < 16, "{number}: {event}");
        reading += usize::from(accepted);
    }
    assert_eq!(reading, 16);
    end(stage).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_without_room_is_refused_and_the_cell_goes_on() {
    let memory = Budget::new(16 * MIB);
    let mut stage = in_budget(&memory).await;
    let mut client = Client::join(&stage.handle, None).await;
    client.execute("a").await;
    let cell = stage.driver.expect(kind::EXECUTE).await;
    let sending = async {
        send_fragments(&mut stage.driver, cell, &display(6 * MIB)).await;
        send_fragments(&mut stage.driver, cell, &display(MIB)).await;
        stage.driver.done(cell, Outcome::Ok).await;
    };
    let reading = async {
        let notice = client.until("notice").await;
        let shown = client.until("display").await;
        let done = client.until("done").await;
        (notice, shown, done)
    };
    let ((), (notice, shown, done)) = tokio::join!(sending, reading);
    assert_eq!(notice["code"], "unreadable");
    assert!(notice["text"].as_str().unwrap().contains("memory_budget"), "{notice}");
    assert_eq!(shown["data"]["text/plain"].as_str().unwrap().len(), MIB);
    assert_eq!(done["status"], "ok");
    end(stage).await;
    drop(client);
    assert_eq!(memory.used(), 0);
}

/// A cell that writes without end, until the link takes no more of it; answers how much it took.
async fn flood(stage: &mut Stage, cell: u32, most: usize) -> usize {
    let chunk = vec![b'z'; 32 << 10];
    let mut taken = 0;
    while taken < most {
        let sent = stage.driver.send(kind::OUTPUT, 0, cell, &chunk);
        if tokio::time::timeout(Duration::from_secs(5), sent).await.is_err() {
            break;
        }
        taken += chunk.len();
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn logs_and_unread_output_of_many_sessions_stay_within_the_budget() {
    const SESSIONS: usize = 8;
    let memory = Budget::new(16 * MIB);
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let mut stage = in_budget(&memory).await;
        let client = Client::join(&stage.handle, None).await;
        client.execute("a").await;
        let cell = stage.driver.expect(kind::EXECUTE).await;
        // Nobody reads: the outbox takes its window, the log the rest, and then the cell waits.
        flood(&mut stage, cell, 64 * MIB).await;
        sessions.push((stage, client));
    }
    let most = memory.limit() + SESSIONS * (FLOOR_BYTES + 64 * 1024);
    assert!(memory.used() <= most, "{} of {most} bytes", memory.used());
    // One that comes now has what everybody may have, and gets through.
    let mut stage = in_budget(&memory).await;
    let mut client = Client::join(&stage.handle, None).await;
    client.execute("b").await;
    let cell = stage.driver.expect(kind::EXECUTE).await;
    stage.driver.send(kind::OUTPUT, 0, cell, b"through").await;
    assert_eq!(client.until("stdout").await["text"], "through");
    stage.driver.done(cell, Outcome::Ok).await;
    client.until("done").await;
    end(stage).await;
    drop(client);
    // Who reads gets all of it, in order, whatever was squeezed out of the log meanwhile.
    for (stage, mut client) in sessions {
        let mut seq = 0;
        let begun = tokio::spawn(end(stage));
        while let Ok(event) = client.next().await {
            assert_ne!(event["type"], "gap", "{event}");
            if event["type"] != "ready"
                && let Some(next) = event["seq"].as_u64()
            {
                assert_eq!(next, seq + 1);
                seq = next;
            }
        }
        begun.await.unwrap();
    }
    assert_eq!(memory.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_log_shrinks_while_memory_is_short_by_what_every_participant_was_sent() {
    let memory = Budget::new(16 * MIB);
    let mut stage = in_budget(&memory).await;
    let mut client = Client::join(&stage.handle, None).await;
    client.execute("a").await;
    let cell = stage.driver.expect(kind::EXECUTE).await;
    let writing = async {
        assert_eq!(flood(&mut stage, cell, 6 * MIB).await, 6 * MIB);
        stage.driver.done(cell, Outcome::Ok).await;
    };
    let ((), _) = tokio::join!(writing, client.until("done"));
    settle().await;
    let held = stage.handle.memory().used();
    assert!(held > 6 * MIB, "{held}");
    // Others take the rest of the budget; this session does nothing, and gives back all the same.
    let others = memory.account().charge(15 * MIB - held);
    settle().await;
    let left = stage.handle.memory().used();
    assert!(left <= FLOOR_BYTES, "{left}");
    drop(others);
    settle().await;
    // Who comes back is told what is missing and goes on.
    let mut late = Client::join(&stage.handle, None).await;
    assert_eq!(late.until("gap").await["from"], 1);
    end(stage).await;
}

#[tokio::test(start_paused = true)]
async fn cells_that_wait_do_not_keep_the_running_one_from_writing() {
    let memory = Budget::new(16 * MIB);
    let mut stage = in_budget(&memory).await;
    let mut client = Client::join(&stage.handle, None).await;
    client.execute("first").await;
    let first = stage.driver.expect(kind::EXECUTE).await;
    for _ in 0..3 {
        client.seat.send(cell(MIB)).await.unwrap();
    }
    // Others hold so much that the budget stays under pressure for as long as these cells wait.
    let others = memory.account().charge(12 * MIB);
    let writing = async {
        assert_eq!(flood(&mut stage, first, 8 * MIB).await, 8 * MIB);
        stage.driver.done(first, Outcome::Ok).await;
    };
    let ((), done) = tokio::join!(writing, client.until("done"));
    assert_eq!(done["status"], "ok");
    assert!(memory.used() <= memory.limit(), "{}", memory.used());
    drop(others);
    end(stage).await;
}
