//! One visitor: session after session, in each a few of the things that people do, every answer
//! checked.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::chance::Chance;
use crate::common::client::{Client, text};
use crate::common::gateway::Gateway;
use crate::common::http;
use crate::tally::Tally;

/// Between two things a person does.
const PAUSE: (u64, u64) = (300, 5_000);

/// What a flood writes before it is stopped.
const FLOOD_BYTES: usize = 1 << 20;

/// What a visitor does, and how often of a hundred times.
const DEEDS: [(u64, Deed); 15] = [
    (34, Deed::Small),
    (10, Deed::Lines),
    (5, Deed::Megabytes),
    (6, Deed::FloodAndStop),
    (5, Deed::Error),
    (5, Deed::SleepAndStop),
    (4, Deed::Orphans),
    (4, Deed::Question),
    (3, Deed::Restart),
    (3, Deed::Exit),
    (8, Deed::DropAndResume),
    (4, Deed::Company),
    (3, Deed::Files),
    (3, Deed::Rich),
    (3, Deed::Memory),
];

/// Something that a visitor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    Small,
    Lines,
    Megabytes,
    FloodAndStop,
    Error,
    SleepAndStop,
    Orphans,
    Question,
    Restart,
    Exit,
    DropAndResume,
    Company,
    Files,
    Rich,
    Memory,
}

/// Visits until the time is over; panics where an answer is wrong.
pub(crate) async fn visit(
    gateway: Arc<Gateway>,
    tally: Arc<Tally>,
    mut chance: Chance,
    until: Instant,
) {
    while Instant::now() < until {
        let began = Instant::now();
        let mut client = Client::create(&gateway, "python").await;
        tally.session(began.elapsed());
        for _ in 0..chance.between(3, 20) {
            if Instant::now() >= until {
                break;
            }
            let deed = pick(&mut chance);
            client = perform(deed, client, &gateway, &tally, &mut chance).await;
            client.forget();
            tally.deed(deed);
            sleep(Duration::from_millis(chance.between(PAUSE.0, PAUSE.1))).await;
        }
        match chance.between(0, 10) {
            // Gone without a word, perhaps in the middle of a cell: the session is abandoned.
            0 => drop(client),
            1 => {
                client.execute("while True: print('nobody reads this')").await;
                drop(client);
            }
            _ => client.end().await,
        }
    }
}

fn pick(chance: &mut Chance) -> Deed {
    let mut at = chance.between(0, DEEDS.iter().map(|(share, _)| share).sum());
    for (share, deed) in DEEDS {
        if at < share {
            return deed;
        }
        at -= share;
    }
    Deed::Small
}

async fn perform(
    deed: Deed,
    mut client: Client,
    gateway: &Gateway,
    tally: &Tally,
    chance: &mut Chance,
) -> Client {
    let number = chance.between(1, 1_000_000);
    match deed {
        Deed::Small => {
            let began = Instant::now();
            let cell = client.run(&format!("{number} * 2")).await;
            tally.round_trip(began.elapsed());
            assert_eq!(cell.result(), (number * 2).to_string());
        }
        Deed::Lines => {
            let wanted: String = (0..300).map(|line| format!("{number} {line}\n")).collect();
            let code = format!("for i in range(300): print({number}, i)");
            assert_eq!(client.print(&code).await, wanted);
        }
        Deed::Megabytes => {
            let out = client.print("import sys\nfor _ in range(64): sys.stdout.write('x' * 65536)");
            assert_eq!(out.await.len(), 64 << 16);
            tally.bytes(64 << 16);
        }
        Deed::FloodAndStop => {
            let id = client.execute("while True: print('x' * 1000)").await;
            let mut seen = 0;
            while seen < FLOOD_BYTES {
                seen += text(&client.until_of("stdout", &id).await, "text").len();
            }
            client.send(json!({"type": "interrupt"})).await;
            client.finish(&id).await.expect("interrupted", true);
            tally.bytes(seen);
        }
        Deed::Error => assert_eq!(client.run("1 / 0").await.error(), "ZeroDivisionError"),
        Deed::SleepAndStop => {
            let id = client.execute("import time\nprint('up')\ntime.sleep(600)").await;
            client.until_text(&id, "up\n").await;
            client.send(json!({"type": "interrupt", "id": id})).await;
            client.finish(&id).await.expect("interrupted", true);
        }
        Deed::Orphans => {
            // Daemons, threads, zombies, files: what a session's end has to take along.
            let code = "import os, subprocess, threading, time\n\
                        subprocess.Popen(['sleep', '600'], start_new_session=True)\n\
                        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n\
                        if os.fork() == 0: os._exit(0)\n\
                        open('/tmp/left', 'wb').write(bytes(1 << 20))";
            client.run(code).await.expect("ok", true);
        }
        Deed::Question => {
            let id = client.execute("input('? ')").await;
            client.until_of("input_request", &id).await;
            client.send(json!({"type": "input", "id": id, "text": number.to_string()})).await;
            assert_eq!(client.finish(&id).await.result(), format!("'{number}'"));
        }
        Deed::Restart => {
            client.print("state = 1").await;
            client.send(json!({"type": "restart"})).await;
            client.until("restarted").await;
            assert_eq!(client.run("state").await.error(), "NameError");
        }
        Deed::Exit => {
            client.run("import os\nos._exit(3)").await.expect("exited", false);
            client.until("restarted").await;
            assert_eq!(client.run("6 * 7").await.result(), "42");
        }
        Deed::DropAndResume => return drop_and_resume(client, gateway, number).await,
        Deed::Company => {
            let mut second = Client::beside(gateway, &client).await;
            let id = client.execute(&format!("print({number})")).await;
            assert_eq!(second.finish(&id).await.stdout(), format!("{number}\n"));
            client.finish(&id).await.expect("ok", true);
            second.close().await;
        }
        Deed::Files => {
            let path = format!("/v1/sessions/{}/files/soak.bin", client.session());
            let head = format!("Authorization: Bearer {}", text(&client.ready, "token"));
            let body = number.to_string().repeat(10_000);
            let put = http::request(gateway, "PUT", &path, &[&head], &body).await;
            assert!((200..300).contains(&put.status), "{}", put.status);
            let code = "len(open('soak.bin', 'rb').read())";
            assert_eq!(client.run(code).await.result(), body.len().to_string());
            let got = http::get(gateway, &path, &[&head]).await;
            assert_eq!((got.status, got.body.len()), (200, body.len()));
        }
        Deed::Rich => {
            let cell = client.run("'r' * 300_000").await;
            assert_eq!(cell.result().len(), 300_002);
        }
        Deed::Memory => {
            client.run("b = bytearray(64 << 20)\ndel b").await.expect("ok", true);
        }
    }
    client
}

/// The connection breaks while a cell writes; another one sees the rest, and nothing twice.
async fn drop_and_resume(mut client: Client, gateway: &Gateway, number: u64) -> Client {
    let code = format!(
        "import time\nfor i in range(40):\n    print({number}, i, flush=True)\n    time.sleep(0.005)"
    );
    let id = client.execute(&code).await;
    let mut seen = client.until_text(&id, "\n").await;
    client = client.resume(gateway).await;
    let rest = client.finish(&id).await;
    assert_eq!(rest.status(), "ok", "{:#?}", rest.events);
    seen += &rest.stdout();
    let wanted: String = (0..40).map(|line| format!("{number} {line}\n")).collect();
    assert_eq!(seen, wanted, "every line once, across a broken connection");
    client
}
