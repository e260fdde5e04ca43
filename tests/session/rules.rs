//! The session against [`super::model`], under random schedules: after every step everybody was
//! told what the model says, and the driver too.
//!
//! The driver does what a supervisor may do, and no more; but it looks at its commands when the
//! schedule says, so that they cross with what it reports.

use cellgate::session::SessionConfig;
use cellgate_driver::wire::{ExitCause, Exited};
use futures::FutureExt;
use proptest::prelude::*;

use crate::common::property;
use crate::common::scripted::done;
use crate::model::{Model, Report, Said, Told};
use crate::*;

const PEOPLE: [(&str, Role); 3] =
    [("ada", Role::Owner), ("ed", Role::Editor), ("vera", Role::Viewer)];

#[derive(Clone, Debug)]
enum Step {
    Say(usize, Said),
    Drain,
    /// The driver looks at its commands.
    Look,
    /// The running cell writes.
    Write,
    /// It asks for input.
    Ask,
    /// It ends; interrupted, if it was told to.
    Finish(Outcome),
    /// The interpreter ends.
    Die(ExitCause, bool),
    /// The supervisor does what a `restart` asks.
    Obey,
    /// The fresh interpreter is ready.
    Ready,
    /// Participant and driver at the same moment.
    AtOnce(usize, Said, Outcome),
    /// The link closes.
    Vanish,
}

fn said() -> impl Strategy<Value = Said> {
    let id = || (0..14_u32).prop_map(|number| format!("k{number}"));
    let execute = (proptest::option::weighted(0.8, id()), any::<bool>(), any::<bool>());
    prop_oneof![
        8 => execute.prop_map(|(id, stop_on_error, silent)| {
            Said::Execute { id, stop_on_error, silent }
        }),
        2 => Just(Said::Interrupt(None)),
        3 => id().prop_map(|id| Said::Interrupt(Some(id))),
        1 => id().prop_map(Said::Input),
        1 => Just(Said::Restart),
        1 => Just(Said::Ping),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || prop_oneof![4 => Just(0_usize), 4 => Just(1), 1 => Just(2)];
    let outcome = || prop_oneof![2 => Just(Outcome::Ok), 1 => Just(Outcome::Error), 1 => Just(Outcome::Interrupted)];
    let cause = prop_oneof![
        3 => Just(ExitCause::Own),
        2 => Just(ExitCause::Stubborn),
        1 => Just(ExitCause::Memory),
        1 => Just(ExitCause::Protocol),
    ];
    let step = prop_oneof![
        120 => (who(), said()).prop_map(|(who, said)| Step::Say(who, said)),
        60 => Just(Step::Look),
        10 => Just(Step::Write),
        10 => Just(Step::Ask),
        50 => outcome().prop_map(Step::Finish),
        10 => (cause, any::<bool>()).prop_map(|(cause, signalled)| Step::Die(cause, signalled)),
        20 => Just(Step::Obey),
        30 => Just(Step::Ready),
        10 => (who(), said(), outcome()).prop_map(|(who, said, end)| Step::AtOnce(who, said, end)),
        1 => Just(Step::Drain),
        1 => Just(Step::Vanish),
        1 => who().prop_map(|who| Step::Say(who, Said::End)),
    ];
    proptest::collection::vec(step, 1..160)
}

#[test]
fn a_session_does_what_the_model_says() {
    property::check("tests/session/rules.seeds", 384, &steps(), |steps| async move {
        let mut play = Play::new().await;
        for step in steps {
            play.act(&step).await;
            let context = format!("after {step:?}");
            if play.compare(&context).await {
                break;
            }
        }
    });
}

/// What there is for a participant: events, and replies to it alone, in a word or two each.
fn hear(seat: &Attachment) -> (Vec<String>, Vec<String>) {
    let (mut events, mut replies, mut batch) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(Ok(())) = seat.outbox().take(&mut batch).now_or_never() {}
    for delivery in batch {
        let message = as_json(&delivery);
        let text = |field: &str| message[field].as_str().unwrap_or_default();
        let (kind, id) = (text("type"), text("id"));
        match kind {
            "ready" | "participants" => {}
            "pong" => replies.push("pong".into()),
            "protocol_error" => {
                replies.push(format!("refused {} {:?}", text("code"), message["id"].as_str()));
            }
            "queued" => events.push(format!("queued {id} {} {}", message["position"], text("by"))),
            "started" => {
                let count = message["execution_count"].as_u64();
                let count = count.map_or(String::new(), |count| format!(" [{count}]"));
                events.push(format!("started {id}{count} {}", text("by")));
            }
            "done" => {
                let state = if message["state_kept"] == true { "kept" } else { "lost" };
                events.push(format!("done {id} {} {state}", text("status")));
            }
            "status" => events.push(format!("status {}", text("state"))),
            "restarted" => events.push(format!("restarted {:?}", message["requested_by"].as_str())),
            "notice" => events.push(format!("notice {}", text("code"))),
            "ended" => events.push(format!("ended {}", text("reason"))),
            _ => events.push(format!("{kind} {id}")),
        }
    }
    (events, replies)
}

/// What a supervisor knows.
#[derive(Default)]
struct Supervisor {
    /// The interpreter is being started.
    is_starting: bool,
    /// The cell that runs, or that runs as soon as there is an interpreter.
    cell: Option<u32>,
    is_interrupted: bool,
    is_to_restart: bool,
}

struct Play {
    model: Model,
    driver: ScriptedDriver,
    supervisor: Supervisor,
    handle: SessionHandle,
    people: Vec<Attachment>,
    /// Who said what the model answers.
    speaker: usize,
    /// Commands that the driver has not looked at.
    unseen: Vec<String>,
}

impl Play {
    async fn new() -> Play {
        let config = SessionConfig { queue: 3, participants: 8, ..config() };
        let Stage { handle, driver, .. } =
            stage(config, Limits::default(), EndCause::Unknown).await;
        let mut people = Vec::new();
        for (name, role_of) in PEOPLE {
            people.push(handle.attach(role(&handle, name, role_of)).await.unwrap());
        }
        settle().await;
        for seat in &people {
            // `ready`, and who came.
            hear(seat);
        }
        let supervisor = Supervisor::default();
        Play {
            model: Model::new(3),
            driver,
            supervisor,
            handle,
            people,
            speaker: 0,
            unseen: Vec::new(),
        }
    }

    async fn act(&mut self, step: &Step) {
        let Supervisor { is_starting, cell, is_interrupted, is_to_restart } = self.supervisor;
        let runs = cell.filter(|_| !is_starting);
        match step {
            Step::Say(who, said) => self.send(*who, said).await,
            Step::Drain => {
                self.model.drain();
                self.handle.begin_drain().await;
            }
            Step::Look => self.look().await,
            Step::Write => {
                if let Some(cell) = runs {
                    self.model.hear(Report::Output(cell));
                    self.driver.send(kind::OUTPUT, 0, cell, b"x").await;
                }
            }
            Step::Ask => {
                if let Some(cell) = runs {
                    self.model.hear(Report::Asks(cell));
                    let json = br#"{"type":"input_request","prompt":"?","password":false}"#;
                    self.driver.send(kind::MESSAGE, flag::SYNC, cell, json).await;
                }
            }
            Step::Finish(outcome) => self.finish(*outcome).await,
            Step::Die(ExitCause::Stubborn, _) if !is_interrupted || runs.is_none() => {}
            Step::Die(cause, signalled) => self.die(*cause, *signalled).await,
            Step::Obey if is_to_restart => {
                self.supervisor.is_to_restart = false;
                self.die(ExitCause::Restart, true).await;
            }
            Step::Obey => {}
            Step::Ready => {
                if is_starting {
                    self.supervisor.is_starting = false;
                    self.model.hear(Report::Ready);
                    let ready = br#"{"language":{"name":"python","version":"3.11.2"}}"#;
                    self.driver.send(kind::READY, 0, 0, ready).await;
                }
            }
            Step::AtOnce(who, said, outcome) => {
                // Commands are looked at first; nothing has been waited for in between.
                self.send(*who, said).await;
                self.finish(*outcome).await;
            }
            Step::Vanish => {
                self.model.hear(Report::Gone);
                let (_, gone) = tokio::io::duplex(1);
                drop(std::mem::replace(&mut self.driver.stream, gone));
            }
        }
    }

    async fn send(&mut self, who: usize, said: &Said) {
        let (name, role) = PEOPLE[who];
        self.speaker = who;
        self.model.send(name, role, said.clone());
        let message = match said.clone() {
            Said::Execute { id, stop_on_error, silent } => {
                let code = "x".into();
                ClientMessage::Execute(Execute {
                    code,
                    id,
                    stop_on_error,
                    silent,
                    ..Execute::default()
                })
            }
            Said::Interrupt(id) => ClientMessage::Interrupt { id, interpreter: None },
            Said::Input(id) => ClientMessage::Input { id, text: Some("y".into()) },
            Said::Restart => ClientMessage::Restart { interpreter: None },
            Said::Ping => ClientMessage::Ping { fields: Default::default() },
            Said::End => ClientMessage::End,
        };
        self.people[who].send(Ok(message)).await.unwrap();
    }

    async fn finish(&mut self, outcome: Outcome) {
        if self.supervisor.is_starting {
            return;
        }
        let Some(cell) = self.supervisor.cell.take() else { return };
        let interrupted = std::mem::take(&mut self.supervisor.is_interrupted);
        // Whoever was not told to stop has not been interrupted, but may have raised.
        let outcome = match outcome {
            Outcome::Interrupted if !interrupted => Outcome::Error,
            outcome => outcome,
        };
        self.model.hear(Report::Done(cell, outcome));
        self.driver.send(kind::DONE, 0, cell, &done(outcome)).await;
    }

    /// The interpreter ends, with what runs in it.
    async fn die(&mut self, cause: ExitCause, signalled: bool) {
        let cell = self.supervisor.cell.take().unwrap_or(0);
        self.supervisor.is_interrupted = false;
        self.supervisor.is_starting = true;
        self.model.hear(Report::Exited(cell, cause, signalled));
        let exited = Exited {
            cause,
            signalled,
            status: 9,
            memory_limit_bytes: 0,
            usage: Default::default(),
            detail: String::new(),
        };
        self.driver.send(kind::EXITED, 0, cell, &exited.encode()).await;
    }

    async fn look(&mut self) {
        let mut told = Vec::new();
        // What was sent is in the pipe, whole.
        while let Some((header, _)) = self.driver.receive().now_or_never() {
            let supervisor = &mut self.supervisor;
            told.push(match header.kind {
                kind::EXECUTE => {
                    assert_eq!(supervisor.cell.replace(header.cell), None, "one at a time");
                    format!("execute {}", header.cell)
                }
                kind::INTERRUPT => {
                    supervisor.is_interrupted |= supervisor.cell == Some(header.cell);
                    format!("interrupt {}", header.cell)
                }
                kind::INPUT => format!("input {}", header.cell),
                kind::RESTART => {
                    supervisor.is_to_restart = true;
                    "restart".to_owned()
                }
                other => panic!("a frame of kind {other:#04x}"),
            });
        }
        assert_eq!(told, std::mem::take(&mut self.unseen), "the driver was told");
    }

    /// Whether everybody was told what the model says; answers whether the session is over.
    async fn compare(&mut self, context: &str) -> bool {
        settle().await;
        let Told { events, replies, commands } = self.model.told();
        self.unseen.extend(commands);
        for (who, seat) in self.people.iter().enumerate() {
            let (heard, answers) = hear(seat);
            assert_eq!(heard, events, "{context}, to {}", PEOPLE[who].0);
            let wanted: &[String] = if who == self.speaker { &replies } else { &[] };
            assert_eq!(answers, wanted, "{context}, answered to {}", PEOPLE[who].0);
        }
        self.model.is_over()
    }
}
