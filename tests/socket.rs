//! What a connection's other side can hold up, and for how long: the socket and the session as they
//! are, over a pipe instead of a network, with time that passes when everybody waits.

#![allow(clippy::unwrap_used)] // helpers of tests are not tests in clippy's eyes

mod common;

use std::time::Duration;

use cellgate::id::Token;
use cellgate::metrics::Metrics;
use cellgate::protocol::Close;
use cellgate::protocol::reply::Role;
use cellgate::sandbox::EndCause;
use cellgate::session::{Credential, DetachedOutput, JoinRequest, SessionConfig, SessionHandle};
use cellgate::socket::{self, Incoming, SocketConfig};
use cellgate::template::Limits;
use cellgate_driver::wire::{Outcome, kind};
use common::scripted::{self, ScriptedDriver};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role as Side;

/// Room of the pipe that stands for the network: less than a `ready`.
const ROOM: usize = 256;

/// Time after a deadline by which it has surely been kept: tests of virtual time are exact but for
/// the timer's millisecond.
const SLACK: Duration = Duration::from_millis(5);

fn config() -> SocketConfig {
    SocketConfig {
        message_bytes: 1 << 20,
        messages_per_second: None,
        ping_interval: Duration::from_secs(20),
        ping_timeout: Duration::from_secs(15),
        write_timeout: Duration::from_secs(30),
    }
}

struct Stage {
    session: SessionHandle,
    driver: ScriptedDriver,
    /// The client's end, past the handshake.
    peer: DuplexStream,
    /// Ends when the connection has.
    serving: JoinHandle<()>,
    began: Instant,
}

/// A session with one participant who has not read anything yet.
async fn stage() -> Stage {
    stage_for(Role::Owner, None).await
}

/// The same with this role; `lifetime` after which the link expires by which the participant came.
async fn stage_for(role: Role, lifetime: Option<Duration>) -> Stage {
    let (prepared, driver, _) =
        scripted::prepared(Limits::default(), EndCause::Unknown, 64 << 10).await;
    let session = SessionConfig {
        queue: 4,
        window_bytes: 64 << 10,
        log_bytes: 1 << 20,
        log_disk_bytes: 0,
        log_directory: std::env::temp_dir(),
        log_disk_reserve_bytes: 0,
        memory: cellgate::memory::Budget::new(1 << 30),
        message_bytes: 1 << 20,
        detached_output: DetachedOutput::Hold,
        participants: 2,
        detach_timeout: Duration::from_secs(3600),
        silence_timeout: Duration::from_secs(3600),
        idle_timeout: None,
        lifetime: None,
        env: Default::default(),
        key_holder: None,
    };
    let (session, task) =
        cellgate::session::start(prepared, session, Token::new("t"), &Metrics::default());
    tokio::spawn(task);
    let mut join = JoinRequest::owner("ada", Token::new("t"));
    if lifetime.is_some() || role != Role::Owner {
        join.credential =
            Credential::Token(session.grant(&join.credential, role, lifetime).unwrap().token);
    }
    let seat = session.attach(join).await.unwrap();
    let (ours, peer) = tokio::io::duplex(ROOM);
    let served = config();
    let stream = WebSocketStream::from_raw_socket(
        Incoming::new(ours),
        Side::Server,
        Some(served.websocket()),
    )
    .await;
    let serving = tokio::spawn(async move {
        socket::serve(stream, seat, &served, &Metrics::default()).await;
    });
    Stage { session, driver, peer, serving, began: Instant::now() }
}

/// A client that answers pings, as every WebSocket does that is read.
async fn client(peer: DuplexStream) -> WebSocketStream<DuplexStream> {
    WebSocketStream::from_raw_socket(peer, Side::Client, None).await
}

/// Reads frames' bytes without answering any, up to a close; answers code and reason.
async fn close_of(peer: &mut DuplexStream) -> (u16, String) {
    loop {
        let first = peer.read_u8().await.unwrap();
        let length = match peer.read_u8().await.unwrap() {
            126 => u64::from(peer.read_u16().await.unwrap()),
            127 => peer.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        peer.read_exact(&mut payload).await.unwrap();
        if first & 0x0f == 8 {
            let reason = String::from_utf8(payload.split_off(2)).unwrap();
            assert!(reason.len() <= Close::REASON_BYTES);
            return (u16::from_be_bytes([payload[0], payload[1]]), reason);
        }
    }
}

#[track_caller]
fn took(began: Instant, wanted: Duration) {
    let elapsed = began.elapsed();
    assert!(elapsed >= wanted && elapsed <= wanted + SLACK, "{elapsed:?} instead of {wanted:?}");
}

#[tokio::test(start_paused = true)]
async fn who_reads_and_answers_no_ping_is_closed_after_the_second_is_due() {
    let Stage { mut peer, serving, began, session: _session, driver: _driver } = stage().await;
    let (code, reason) = close_of(&mut peer).await;
    // Pings go at 20 s and 40 s; at the second nothing was heard for more than interval and
    // timeout.
    took(began, Duration::from_secs(40));
    assert_eq!((code, reason.contains("no answer to pings for 40 s")), (4413, true), "{reason}");
    // It does not answer the close either and is cut off 2 s later.
    serving.await.unwrap();
    took(began, Duration::from_secs(42));
}

#[tokio::test(start_paused = true)]
async fn who_answers_pings_stays_and_who_stops_is_closed() {
    let Stage { peer, serving, session: _session, driver: _driver, .. } = stage().await;
    let mut client = client(peer).await;
    let mut pings = 0;
    while pings < 100 {
        match client.next().await.unwrap().unwrap() {
            Message::Ping(_) => pings += 1,
            Message::Text(_) => {}
            other => panic!("{other:?} after {pings} pings"),
        }
    }
    client.flush().await.unwrap(); // the last pong
    let silent = Instant::now();
    let mut peer = client.into_inner();
    let (code, _) = close_of(&mut peer).await;
    assert_eq!(code, 4413);
    took(silent, Duration::from_secs(40));
    drop(peer);
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_cut_off_and_the_session_lives() {
    let Stage { session, mut driver, peer, serving, began } = stage().await;
    // `ready` is more than the pipe's room: the first batch is stuck.
    serving.await.unwrap();
    // The write's deadline, then a close that nobody takes, then an answer that does not come.
    took(began, config().write_timeout + 2 * Duration::from_secs(2));
    drop(peer);
    // The seat is free and the driver is asked nothing.
    let seat = session.attach(JoinRequest::owner("bob", Token::new("t"))).await.unwrap();
    let code = cellgate::protocol::client::Execute { code: "x".into(), ..Default::default() };
    let said = Ok(cellgate::protocol::client::ClientMessage::Execute(code));
    seat.send(said).await.unwrap();
    driver.expect(kind::EXECUTE).await;
}

#[tokio::test(start_paused = true)]
async fn who_takes_what_waits_just_in_time_stays() {
    let Stage { peer, serving, session: _session, driver: _driver, .. } = stage().await;
    tokio::time::advance(config().write_timeout - SLACK).await;
    let mut client = client(peer).await;
    let mut pings = 0;
    while pings < 3 {
        match client.next().await.unwrap().unwrap() {
            Message::Ping(_) => pings += 1,
            Message::Text(_) => {}
            other => panic!("{other:?} after {pings} pings"),
        }
    }
    assert!(!serving.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_close_is_answered_at_once() {
    let Stage { peer, serving, began, session: _session, driver: _driver } = stage().await;
    let mut client = client(peer).await;
    client.close(None).await.unwrap();
    while let Some(Ok(_)) = client.next().await {}
    serving.await.unwrap();
    took(began, Duration::ZERO);
}

/// Reads up to a close and answers pings meanwhile, but acknowledges nothing after the first word.
async fn withhold(client: &mut WebSocketStream<DuplexStream>) -> u16 {
    loop {
        match client.next().await.unwrap().unwrap() {
            Message::Close(close) => return close.unwrap().code.into(),
            Message::Ping(_) => client.flush().await.unwrap(),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_acknowledges_nothing_cannot_stay_beyond_the_end_of_a_link() {
    let limit = Duration::from_secs(60);
    let Stage { mut driver, peer, serving, began, .. } = stage_for(Role::Owner, Some(limit)).await;
    let mut client = client(peer).await;
    client.send(Message::text(r#"{"type":"ack","seq":0}"#)).await.unwrap();
    client.send(Message::text(r#"{"code":"x"}"#)).await.unwrap();
    let cell = driver.expect(kind::EXECUTE).await;
    // Two windows of output: the second waits for an acknowledgement.
    let flood = async {
        flood(&mut driver, cell).await;
        driver
    };
    let (driver, code) = tokio::join!(flood, withhold(&mut client));
    // What passes the window is not read from the driver, so nothing waits for the client.
    assert_eq!(code, 4401);
    took(began, limit);
    drop((client, driver));
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_viewer_who_acknowledges_nothing_cannot_stay_beyond_the_end_of_the_session() {
    let Stage { session, mut driver, peer, serving, .. } = stage_for(Role::Viewer, None).await;
    let mut client = client(peer).await;
    client.send(Message::text(r#"{"type":"ack","seq":0}"#)).await.unwrap();
    // An owner who reads all keeps the output coming, and the viewer falls behind.
    let owner = session.attach(JoinRequest::owner("bob", Token::new("t"))).await.unwrap();
    let code = cellgate::protocol::client::Execute { code: "x".into(), ..Default::default() };
    owner.send(Ok(cellgate::protocol::client::ClientMessage::Execute(code))).await.unwrap();
    let reads_all = async { while owner.outbox().take(&mut Vec::new()).await.is_ok() {} };
    let cell = driver.expect(kind::EXECUTE).await;
    let end = async {
        flood(&mut driver, cell).await;
        driver.send(kind::DONE, 0, cell, &scripted::done(Outcome::Ok)).await;
        let wait = tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>());
        wait.await.expect_err("it is for ever");
        session.begin_end(cellgate::protocol::event::EndReason::Requested).await;
        Instant::now()
    };
    let (code, ended, ()) = tokio::join!(withhold(&mut client), end, reads_all);
    assert_eq!(code, 1000);
    // The output that the viewer is owed waits for an acknowledgement, and not for ever.
    let SocketConfig { write_timeout, ping_interval, .. } = config();
    let late = ended.elapsed();
    let most = write_timeout + ping_interval + SLACK;
    assert!(write_timeout <= late && late <= most, "{late:?}");
    drop(client);
    serving.await.unwrap();
}

/// Sends twice as much output as a participant's window holds.
async fn flood(driver: &mut ScriptedDriver, cell: u32) {
    let page = vec![b'x'; 32 << 10];
    for _ in 0..4 {
        driver.send(kind::OUTPUT, 0, cell, &page).await;
    }
}
