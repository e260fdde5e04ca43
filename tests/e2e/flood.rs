//! A great deal of output: nothing is lost, nothing is reordered, nothing grows without bound.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::closes::shared;
use crate::common::backend::Backend;
use crate::common::client::{Client, text};
use crate::common::suite::{Stage, cases};

cases![
    a_flood_arrives_to_the_byte,
    a_slow_reader_loses_nothing,
    a_flood_can_be_interrupted,
    a_client_that_acknowledges_is_not_run_over,
    a_viewer_who_stalls_holds_up_nobody_and_costs_no_memory,
];

/// Lines of 1 KiB, newline included, each with its number.
const LINES: &str = "for i in range(N): print(f'{i:08d}'.ljust(1023, '.'))";

fn line(number: u64) -> Vec<u8> {
    let mut line = format!("{number:08}").into_bytes();
    line.resize(1023, b'.');
    line.push(b'\n');
    line
}

fn expected(lines: u64) -> Vec<u8> {
    let mut digest = Sha256::new();
    (0..lines).for_each(|number| digest.update(line(number)));
    digest.finalize().to_vec()
}

/// Reads a cell's output up to its end; answers its digest and its length.
async fn digest(client: &mut Client, id: &str) -> (Vec<u8>, u64) {
    let mut digest = Sha256::new();
    let mut length = 0;
    loop {
        let event = client.next_of(id).await;
        match text(&event, "type") {
            "stdout" => {
                digest.update(text(&event, "text"));
                length += text(&event, "text").len() as u64;
            }
            "done" => {
                assert_eq!(event["status"], "ok", "{event}");
                assert_eq!(event["usage"]["output_bytes"], length, "{event}");
                return (digest.finalize().to_vec(), length);
            }
            _ => {}
        }
    }
}

async fn a_flood_arrives_to_the_byte(stage: &Stage) {
    let lines = 64 << 10; // 64 MiB
    let mut client = stage.session().await;
    let before = stage.gateway().resident_bytes();
    let id = client.execute(&LINES.replace('N', &lines.to_string())).await;
    let (found, length) = digest(&mut client, &id).await;
    assert_eq!(length, lines << 10);
    assert_eq!(found, expected(lines));
    let grown = stage.gateway().resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "the gateway grew by {} MiB", grown >> 20);
    client.end().await;
}

async fn a_slow_reader_loses_nothing(stage: &Stage) {
    let lines = 16 << 10; // 16 MiB: more than the log, the window and both sockets hold
    let mut client = stage.session().await;
    let id = client.execute(&LINES.replace('N', &lines.to_string())).await;
    client.until_of("started", &id).await;
    // Nobody reads while another session works from start to end.
    let mut other = stage.session().await;
    assert_eq!(other.run("sum(range(100))").await.result(), "4950");
    other.end().await;
    let (found, _) = digest(&mut client, &id).await;
    assert_eq!(found, expected(lines));
    client.end().await;
}

async fn a_flood_can_be_interrupted(stage: &Stage) {
    let mut client = stage.session().await;
    let id = client.execute("while True: print('x' * 1000)").await;
    client.until_of("stdout", &id).await;
    client.send(json!({"type": "interrupt"})).await;
    client.finish(&id).await.expect("interrupted", true);
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
}

async fn a_client_that_acknowledges_is_not_run_over(stage: &Stage) {
    let mut client = stage.session().await;
    client.send(json!({"type": "ack", "seq": client.seq()})).await;
    let lines = 4 << 10; // 4 MiB: four windows
    let id = client.execute(&LINES.replace('N', &lines.to_string())).await;
    // Without an acknowledgement no more than a window comes; the rest waits, and so does a reply
    // of the gateway not: a pong is no output.
    let window = client.ready["limits"]["window_bytes"].as_u64().unwrap();
    let mut digest = Sha256::new();
    let mut outstanding = 0;
    loop {
        let event = client.next_of(&id).await;
        match text(&event, "type") {
            "stdout" => {
                digest.update(text(&event, "text"));
                outstanding += text(&event, "text").len() as u64;
                assert!(outstanding <= window + (128 << 10), "{outstanding} bytes outstanding");
                if outstanding > window / 2 {
                    client.send(json!({"type": "ack", "seq": client.seq()})).await;
                    outstanding = 0;
                }
            }
            "done" => break,
            _ => {}
        }
    }
    assert_eq!(digest.finalize().to_vec(), expected(lines));
    client.end().await;
}

async fn a_viewer_who_stalls_holds_up_nobody_and_costs_no_memory(stage: &Stage) {
    // 96 MiB, many times what the log, the window and both sockets hold; the gateway does the same
    // whatever makes the sandboxes, so one of them shows it at full length.
    let lines = if stage.backend == Backend::LocalUser { 96 << 10 } else { 24 << 10 };
    // However long this takes here, the viewer is not to be given up for it.
    let flags = ["--write-timeout", "10m", "--ping-interval", "10m"];
    let gateway =
        stage.own(&[&flags[..], &["--event-log", "4MiB", "--log-disk", "16MiB"]].concat());
    let mut owner = Client::create(&gateway, "python").await;
    let mut viewer = shared(&gateway, &owner, "viewer").await;
    let before = gateway.resident_bytes();
    let id = owner.execute(&LINES.replace('N', &lines.to_string())).await;
    let mut digest = Sha256::new();
    let (mut length, mut looked, mut most) = (0, 0, before);
    loop {
        let event = owner.next_of(&id).await;
        match text(&event, "type") {
            "stdout" => {
                digest.update(text(&event, "text"));
                length += text(&event, "text").len() as u64;
            }
            "done" => break,
            _ => {}
        }
        if length - looked > 4 << 20 {
            looked = length;
            most = most.max(gateway.resident_bytes());
        }
    }
    assert_eq!((length, digest.finalize().to_vec()), (lines << 10, expected(lines)));
    let grown = most - before;
    println!(
        "the gateway grew by {} MiB at most while {} MiB passed by",
        grown >> 20,
        length >> 20
    );
    assert!(grown < 48 << 20, "the gateway grew by {} MiB", grown >> 20);
    // The checker sees to it that gaps name every seq that does not come.
    let (mut seen, mut gaps, mut present) = (0, 0, String::new());
    while viewer.seq() < owner.seq() {
        let message = viewer.read().await.unwrap();
        match text(&message, "type") {
            "gap" if message["superseded"] == true => {} // nothing is lost by it
            "gap" => {
                gaps += 1;
                present.clear();
            }
            "stdout" => {
                present += text(&message, "text");
                seen += text(&message, "text").len() as u64;
            }
            _ => {}
        }
    }
    assert!(gaps > 0 && seen < length / 2, "{gaps} gaps, {seen} of {length} bytes");
    let tail = String::from_utf8_lossy(&present.as_bytes()[present.len().saturating_sub(60)..]);
    // The newest event alone may be shorter than a line.
    let last = line(lines - 1);
    assert!(
        present.as_bytes().ends_with(&last)
            || (!present.is_empty() && last.ends_with(present.as_bytes())),
        "the present is what was written last: {} bytes after {gaps} gaps, ending with {tail:?}",
        present.len()
    );
    // And it is live again.
    let id = owner.execute("'seen by all'").await;
    viewer.until_of("result", &id).await;
    owner.end().await;
    gateway.stop().await;
}
