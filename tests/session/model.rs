//! The rules of a session said once more, as short as they can be: what participants say and the
//! driver reports, and what everybody is told of it. Written from the protocol, not from the code;
//! [`super::rules`] holds the real session against it.

use std::collections::{HashSet, VecDeque};

use cellgate::protocol::reply::Role;
use cellgate_driver::wire::{ExitCause, Outcome};

/// What a participant says.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Execute { id: Option<String>, stop_on_error: bool, silent: bool },
    Interrupt(Option<String>),
    Input(String),
    Restart,
    Ping,
    End,
}

/// What a driver reports.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Report {
    Output(u32),
    Asks(u32),
    Done(u32, Outcome),
    /// The cell it ran, or 0; why; whether by a signal.
    Exited(u32, ExitCause, bool),
    Ready,
    /// The link closes.
    Gone,
}

/// What comes of it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    /// To everybody, in a word or two each.
    pub(crate) events: Vec<String>,
    /// To whoever said something.
    pub(crate) replies: Vec<String>,
    /// To the driver.
    pub(crate) commands: Vec<String>,
}

#[derive(Debug)]
struct Cell {
    number: u32,
    id: String,
    by: &'static str,
    stop_on_error: bool,
    silent: bool,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Model {
    queue: usize,
    state: &'static str,
    waiting: VecDeque<Cell>,
    running: Option<Cell>,
    /// The running cell was told to stop, by an interrupt or (`false`) by a restart.
    stopping: Option<bool>,
    asks: bool,
    accepted: u32,
    names: HashSet<String>,
    count: u32,
    /// Who asked for the fresh interpreter that is on its way.
    restart_by: Option<&'static str>,
    /// The interpreter has been ready once.
    lived: bool,
    draining: bool,
    told: Told,
}

impl Model {
    pub(crate) fn new(queue: usize) -> Model {
        Model {
            queue,
            state: "idle",
            waiting: VecDeque::new(),
            running: None,
            stopping: None,
            asks: false,
            accepted: 0,
            names: HashSet::new(),
            count: 0,
            restart_by: None,
            lived: true,
            draining: false,
            told: Told::default(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state == "ended"
    }

    /// Everything there is to tell since the last time.
    pub(crate) fn told(&mut self) -> Told {
        std::mem::take(&mut self.told)
    }

    pub(crate) fn send(&mut self, by: &'static str, role: Role, said: Said) {
        let allowed = match (&said, role) {
            (Said::Ping, _) | (_, Role::Owner) => true,
            (Said::End | Said::Restart, Role::Editor) | (_, Role::Viewer) => false,
            (_, Role::Editor) => true,
        };
        if !allowed {
            let id = match said {
                Said::Execute { id, .. } | Said::Interrupt(id) => id,
                Said::Input(id) => Some(id),
                Said::Restart | Said::Ping | Said::End => None,
            };
            return self.refuse("forbidden", id);
        }
        match said {
            Said::Execute { id, .. } if self.draining || self.waiting.len() >= self.queue => {
                self.refuse("queue_full", id);
            }
            Said::Execute { id: Some(id), .. } if self.names.contains(&id) => {
                self.refuse("duplicate_id", Some(id));
            }
            Said::Execute { id, stop_on_error, silent } => {
                self.accepted += 1;
                let number = self.accepted;
                let id = id.unwrap_or(format!("cell-{number}"));
                self.names.insert(id.clone());
                let ahead = self.waiting.len() + usize::from(self.running.is_some());
                self.tell(format!("queued {id} {ahead} {by}"));
                self.waiting.push_back(Cell { number, id, by, stop_on_error, silent });
                if self.state == "idle" {
                    self.next();
                }
            }
            Said::Interrupt(None) => self.stop(),
            Said::Interrupt(Some(id)) if !self.names.contains(&id) => {
                self.refuse("not_running", Some(id));
            }
            Said::Interrupt(Some(id)) => {
                if self.running.as_ref().is_some_and(|cell| cell.id == id) {
                    self.stop();
                } else if let Some(at) = self.waiting.iter().position(|cell| cell.id == id) {
                    self.waiting.remove(at);
                    self.tell(format!("done {id} cancelled kept"));
                }
            }
            Said::Input(id) => match &self.running {
                Some(cell) if cell.id == id && self.asks => {
                    self.told.commands.push(format!("input {}", cell.number));
                    self.asks = false;
                }
                _ => self.refuse("not_running", Some(id)),
            },
            Said::Restart => {
                self.cancel_waiting();
                if self.state != "restarting" {
                    self.told.commands.push("restart".into());
                    self.stopping = self.running.as_ref().map(|_| false);
                    self.restart_by = Some(by);
                    self.enter("restarting");
                }
            }
            Said::Ping => self.told.replies.push("pong".into()),
            Said::End => self.end("requested", "interrupted"),
        }
    }

    /// The gateway shuts down.
    pub(crate) fn drain(&mut self) {
        if !std::mem::replace(&mut self.draining, true) {
            match self.state {
                "idle" => self.end("draining", "interrupted"),
                _ => self.tell("notice draining".into()),
            }
        }
    }

    pub(crate) fn hear(&mut self, report: Report) {
        match report {
            Report::Output(number) => match &self.running {
                Some(cell) if cell.number == number => self.tell(format!("stdout {}", cell.id)),
                _ => {}
            },
            Report::Asks(number) => match &self.running {
                Some(cell) if cell.number == number => {
                    self.asks = true;
                    self.tell(format!("input_request {}", cell.id));
                }
                _ => {}
            },
            Report::Done(number, outcome) => {
                let status = match (outcome, self.stopping) {
                    (Outcome::Ok, _) => "ok",
                    (_, Some(true)) | (Outcome::Interrupted, Some(_)) => "interrupted",
                    (Outcome::Error | Outcome::Interrupted, _) => "error",
                };
                if let Some(cell) = self.finish(number, status, "kept") {
                    if cell.stop_on_error && status != "ok" {
                        self.cancel_waiting();
                    }
                    if self.state == "busy" {
                        self.next();
                    }
                }
            }
            Report::Exited(number, cause, signalled) => {
                let status = match cause {
                    ExitCause::Restart => "interrupted",
                    ExitCause::Own if signalled && self.stopping == Some(true) => "interrupted",
                    ExitCause::Own | ExitCause::Protocol => "exited",
                    ExitCause::Stubborn => "killed",
                    ExitCause::Memory => "oom",
                };
                self.finish(number, status, "lost");
                if cause != ExitCause::Restart {
                    self.cancel_waiting();
                }
                self.count = 0;
                let lived = std::mem::replace(&mut self.lived, false);
                if lived || cause == ExitCause::Restart {
                    self.enter("restarting");
                } else {
                    self.end("interpreter_failed", "lost");
                }
            }
            Report::Ready => {
                self.lived = true;
                let by = self.restart_by.take();
                self.tell(format!("restarted {by:?}"));
                self.state = "fresh";
                match self.running {
                    // It was on its way while the interpreter before this one ended.
                    Some(_) => self.enter("busy"),
                    None => self.next(),
                }
            }
            Report::Gone => self.end("sandbox_lost", "lost"),
        }
    }

    fn next(&mut self) {
        let Some(cell) = self.waiting.pop_front() else {
            return match self.draining {
                true => self.end("draining", "interrupted"),
                false => self.enter("idle"),
            };
        };
        self.enter("busy");
        let count = if cell.silent {
            String::new()
        } else {
            self.count += 1;
            format!(" [{}]", self.count)
        };
        self.told.commands.push(format!("execute {}", cell.number));
        self.tell(format!("started {}{count} {}", cell.id, cell.by));
        self.running = Some(cell);
    }

    fn stop(&mut self) {
        if let (Some(cell), None) = (&self.running, self.stopping) {
            self.stopping = Some(true);
            self.told.commands.push(format!("interrupt {}", cell.number));
        }
    }

    fn finish(&mut self, number: u32, status: &str, state: &str) -> Option<Cell> {
        let cell = self.running.take_if(|cell| cell.number == number)?;
        (self.stopping, self.asks) = (None, false);
        self.tell(format!("done {} {status} {state}", cell.id));
        Some(cell)
    }

    fn cancel_waiting(&mut self) {
        for cell in std::mem::take(&mut self.waiting) {
            self.tell(format!("done {} cancelled kept", cell.id));
        }
    }

    fn end(&mut self, reason: &str, status: &str) {
        if let Some(cell) = &self.running {
            self.finish(cell.number, status, "lost");
        }
        self.cancel_waiting();
        self.enter("ended");
        self.tell(format!("ended {reason}"));
    }

    fn enter(&mut self, state: &'static str) {
        if self.state != state {
            self.state = state;
            self.tell(format!("status {state}"));
        }
    }

    fn refuse(&mut self, code: &str, id: Option<String>) {
        self.told.replies.push(format!("refused {code} {id:?}"));
    }

    fn tell(&mut self, event: String) {
        self.told.events.push(event);
    }
}
