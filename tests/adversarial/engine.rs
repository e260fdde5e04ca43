//! An engine that is in trouble: it refuses, hangs, is slow, says half of what it should. Whoever
//! comes is told; afterwards all is well without a restart, and nothing is left on the engine.
//!
//! What comes of an engine that is stopped, killed and started again stands in docs/leaks.md.

use std::time::Duration;

use crate::common::client::{Client, DEADLINE, next_frame, open, request};
use crate::common::gateway::Gateway;
use crate::common::http;
use crate::common::suite::{Stage, lives};
use crate::faulty::{Fault, Faulty, Trouble};

use Fault::{Answers, Closes, Cut, Hangs, Says, Slow};

/// The engine makes no container.
const CREATE: (&str, &str) = ("POST", "/containers/create");
/// The engine starts none.
const START: (&str, &str) = ("POST", "/start");
/// The engine removes none.
const REMOVE: (&str, &str) = ("DELETE", "/containers/");

/// The first call of this kind and all after it.
fn always((method, path): (&'static str, &'static str), fault: Fault) -> Trouble {
    (method, path, 0, fault)
}

/// The first call of this kind.
fn once((method, path): (&'static str, &'static str), fault: Fault) -> Trouble {
    (method, path, 1, fault)
}

/// A gateway that has to go through the proxy, and parks nothing.
fn behind(stage: &Stage, engine: &Faulty) -> Gateway {
    stage.own(&["--docker-host", &engine.host(), "--pool-max", "0"])
}

/// A newcomer is refused, with a reference under which the log says why.
pub(crate) mod refused {
    use super::*;
    use crate::common::suite::rows;

    rows![is_told:
        create_says_500 "1011 with a reference; the log has the engine's words under it"
            => (always(CREATE, Answers(500, "no space left on device")), "no space left on device"),
        the_image_has_gone "1011 with a reference; the log says under it that the image is being removed"
            => (always(CREATE, Answers(404, "No such image: gone")), "is being removed"),
        the_name_is_taken "1011 with a reference; the log has the engine's words under it"
            => (once(CREATE, Answers(409, "the name is already in use")), "already in use"),
        create_answers_with_something_else "1011 with a reference; the log tells that it is no JSON"
            => (
                always(CREATE, Says("HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n<html>no>")),
                "cannot create container",
            ),
        create_answers_with_half_a_status_line "1011 with a reference; the log tells which call broke off"
            => (always(CREATE, Says("HTTP/1.1 201 Cre")), "cannot create container"),
        create_answers_with_half_a_head "1011 with a reference; the log tells which call broke off"
            => (always(CREATE, Cut(60)), "cannot create container"),
        create_closes "1011 with a reference; the log tells which call broke off"
            => (always(CREATE, Closes), "cannot create container"),
        create_hangs "1011 with a reference after `sandbox.create_timeout`"
            => (always(CREATE, Hangs), "no interpreter was ready within"),
        start_says_500 "1011 with a reference; the container that was made is removed"
            => (always(START, Answers(500, "OCI runtime create failed")), "OCI runtime create failed"),
        start_answers_with_half_a_head "1011 with a reference; the container, which runs, is removed"
            => (always(START, Cut(5)), "cannot start container"),
        start_closes "1011 with a reference; the container that was made is removed"
            => (always(START, Closes), "cannot start container"),
    ];

    async fn is_told(stage: &Stage, (trouble, words): (Trouble, &str)) {
        let engine = Faulty::start();
        let gateway = behind(stage, &engine);
        engine.meet(trouble);
        let path = format!("/ws?token={}&template=python", gateway.token);
        let (mut stream, _) = open(&gateway, request(&gateway, &path)).await.unwrap();
        let closed = tokio::time::timeout(DEADLINE, next_frame(&mut stream)).await.unwrap();
        let closed = closed.unwrap_err();
        assert_eq!(closed.code, 1011, "{closed:?}");
        let (text, reference) = closed.reason.rsplit_once(": ").unwrap();
        assert_eq!(text, "cannot start a session; the gateway's log says why");
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains(reference)).unwrap_or_default();
        assert!(line.contains(words), "{log}");
        engine.mend();
        lives(&gateway).await;
        gateway.stop().await;
    }
}

/// Somebody has to wait.
pub(crate) mod slow {
    use super::*;
    use crate::common::suite::rows;

    const PAUSE: Duration = Duration::from_secs(2);

    rows![waits:
        create_takes_2_s "`ready` after that" => always(CREATE, Slow(PAUSE)),
        start_takes_2_s "`ready` after that" => always(START, Slow(PAUSE)),
    ];

    async fn waits(stage: &Stage, trouble: Trouble) {
        let engine = Faulty::start();
        let gateway = behind(stage, &engine);
        engine.meet(trouble);
        let began = std::time::Instant::now();
        lives(&gateway).await;
        assert!(began.elapsed() >= PAUSE);
        gateway.stop().await;
    }
}

/// A session ends and its container is not removed at once.
pub(crate) mod removal {
    use super::*;
    use crate::common::suite::rows;

    rows![is_tried_again:
        removal_says_500 "an end as always; the removal is tried again"
            => once(REMOVE, Answers(500, "driver failed to remove root filesystem")),
        removal_says_409 "an end as always; the removal is tried again"
            => once(REMOVE, Answers(409, "removal is already in progress")),
        removal_closes "an end as always; the removal is tried again" => once(REMOVE, Closes),
        removal_answers_with_half_a_head "an end as always" => once(REMOVE, Cut(7)),
    ];

    async fn is_tried_again(stage: &Stage, trouble: Trouble) {
        let engine = Faulty::start();
        let gateway = behind(stage, &engine);
        let client = Client::create(&gateway, "python").await;
        engine.meet(trouble);
        client.end().await;
        // Which looks for what is left.
        gateway.stop().await;
    }
}

/// The engine takes no calls for a while.
pub(crate) mod away {
    use super::*;
    use crate::common::suite::rows;

    rows![goes_on:
        every_call_is_refused "sessions go on; `/readyz` says 503; newcomers get 1011 until it is back"
            => always(("", ""), Closes),
        every_call_says_500 "sessions go on; `/readyz` says 503; newcomers get 1011 until it is back"
            => always(("", ""), Answers(500, "the engine is unwell")),
    ];

    async fn goes_on(stage: &Stage, trouble: Trouble) {
        let engine = Faulty::start();
        let gateway = behind(stage, &engine);
        let mut client = Client::create(&gateway, "python").await;
        client.print("kept = 1").await;
        engine.meet(trouble);
        assert_eq!(client.run("kept + 1").await.result(), "2");
        let path = format!("/ws?token={}&template=python", gateway.token);
        let (mut stream, _) = open(&gateway, request(&gateway, &path)).await.unwrap();
        let closed = tokio::time::timeout(DEADLINE, next_frame(&mut stream)).await.unwrap();
        assert_eq!(closed.unwrap_err().code, 1011);
        let answer = http::get(&gateway, "/readyz", &[]).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        engine.mend();
        lives(&gateway).await;
        assert_eq!(client.run("kept + 1").await.result(), "2");
        client.end().await;
        gateway.stop().await;
    }
}
