//! The task of one document: takes what its connections send, and sends each what the others did.
//!
//! Merging may take long, so it is done on a thread that may block, all that waits at one time together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::frames::{self, Frame as ClientFrame};
use super::outgoing::{Frame, Outgoing};
use super::presence::{Presence, Told, WrongPresence};
use super::store::{Refused, Store};
use super::{
    COMMANDS, Command, Contents, DocumentDeparture, DocumentSeat, JoinError, SEATS, SeedError,
    SocketId, UPDATE_BYTES,
};
use crate::memory::{Account, Charge};

/// How long changes of states wait for others, so that they are told together.
const SOON: Duration = Duration::from_millis(20);

/// How long repetitions of states wait for others. A client repeats its own every 15 s, and forgets those
/// that it has not heard for 30 s.
const SOMETIME: Duration = Duration::from_secs(10);

/// What a client is told whose update is dropped.
const DENIED: &str =
    "this link lets you read the document, not change it; ask an owner for the right to edit";

/// The state of the task.
pub(super) struct Task {
    memory: Account,
    commands: mpsc::Sender<Command>,
    incoming: mpsc::Receiver<Command>,
    changed: watch::Sender<Option<Instant>>,
    /// `None` while it is at work on another thread.
    store: Option<Store>,
    /// The memory of the document.
    charge: Charge,
    presence: Presence,
    sockets: HashMap<SocketId, Socket>,
    last_socket: SocketId,
    /// Notified when a connection is gone.
    left: Arc<Notify>,
    /// When changed states are to be told, and when repeated ones.
    soon: Option<Instant>,
    sometime: Option<Instant>,
}

/// A connection.
struct Socket {
    bearer: Option<u64>,
    outgoing: Arc<Outgoing>,
    /// It has been sent what it lacked, and is sent each change from then on. A change that came before
    /// would refer to what the client does not have, and it would answer with an update full of gaps.
    is_synced: bool,
}

/// What is to be done with the document.
enum Job {
    Apply {
        from: SocketId,
        update: Bytes,
    },
    /// A client wants what it lacks.
    Since {
        to: SocketId,
        state_vector: Bytes,
    },
    Seed {
        contents: Contents,
        seeded: oneshot::Sender<Result<bool, SeedError>>,
    },
    Read {
        contents: oneshot::Sender<Contents>,
    },
    /// A newcomer is asked for what the gateway lacks.
    Greet {
        to: SocketId,
    },
}

/// What came of it, for connections.
enum Outcome {
    /// The others are to be sent a change.
    Changed { from: Option<SocketId>, change: Vec<u8> },
    /// A client is sent what it lacked.
    Synced { to: SocketId, update: Vec<u8> },
    /// A client is asked for what the gateway lacks.
    Asked { to: SocketId, state_vector: Vec<u8> },
    /// An update was not taken.
    Refused { from: SocketId, why: Refused },
}

impl Task {
    /// Waits for the first command, before which nothing of a document is there.
    pub(super) async fn run_when_needed(
        memory: Account,
        commands: mpsc::Sender<Command>,
        mut incoming: mpsc::Receiver<Command>,
        changed: watch::Sender<Option<Instant>>,
    ) {
        let Some(first) = incoming.recv().await else { return };
        if matches!(first, Command::End) {
            return;
        }
        let task = Task {
            charge: memory.charge(0),
            memory,
            commands,
            incoming,
            changed,
            store: Some(Store::new()),
            presence: Presence::default(),
            sockets: HashMap::new(),
            last_socket: 0,
            left: Arc::new(Notify::new()),
            soon: None,
            sometime: None,
        };
        Box::pin(task.run(first)).await;
    }

    async fn run(mut self, first: Command) {
        let mut batch = vec![first];
        loop {
            let mut jobs = Vec::new();
            let mut charges = Vec::new();
            for command in batch.drain(..) {
                match command {
                    Command::Join { bearer, joined } => self.join(bearer, joined, &mut jobs),
                    Command::Frame { from, bytes, may_edit, _charge } => {
                        charges.push(_charge);
                        self.on_frame(from, &bytes, may_edit, &mut jobs);
                    }
                    Command::Seed { contents, seeded } => jobs.push(Job::Seed { contents, seeded }),
                    Command::Read { contents } => jobs.push(Job::Read { contents }),
                    Command::End => return self.end(),
                }
            }
            if !jobs.is_empty() {
                self.work(jobs).await;
            }
            drop(charges);
            self.tell_presence();
            let deadline = self.soon.into_iter().chain(self.sometime).min();
            let due = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let left = Arc::clone(&self.left);
            tokio::select! {
                count = self.incoming.recv_many(&mut batch, COMMANDS) => {
                    // It holds a sender itself, so that there is always one.
                    debug_assert!(count > 0);
                }
                () = left.notified() => self.sweep(),
                () = due => {}
            }
        }
    }

    fn join(
        &mut self,
        bearer: Option<u64>,
        joined: oneshot::Sender<Result<DocumentSeat, JoinError>>,
        jobs: &mut Vec<Job>,
    ) {
        self.sweep();
        if self.sockets.len() >= SEATS {
            // A client that is gone already need not be told.
            joined.send(Err(JoinError::Full)).ok();
            return;
        }
        self.last_socket += 1;
        let socket = self.last_socket;
        let outgoing = Arc::new(Outgoing::new(Arc::clone(&self.left)));
        if let Some(states) = self.presence.all() {
            outgoing.push(&Frame::new(frames::awareness(&states), &self.memory));
        }
        let outgoing_too = Arc::clone(&outgoing);
        self.sockets.insert(socket, Socket { bearer, outgoing: outgoing_too, is_synced: false });
        jobs.push(Job::Greet { to: socket });
        // If it is gone, its seat is dropped, which leaves.
        joined.send(Ok(DocumentSeat { socket, commands: self.commands.clone(), outgoing })).ok();
    }

    fn on_frame(&mut self, from: SocketId, bytes: &Bytes, may_edit: bool, jobs: &mut Vec<Job>) {
        let Some(socket) = self.sockets.get(&from) else { return };
        let bearer = socket.bearer;
        let frame = match frames::read(bytes) {
            Ok(frame) => frame,
            Err(broken) => {
                let why = format!("a broken frame: {broken}; speak the y-websocket protocol");
                return socket.outgoing.close(DocumentDeparture::Broken(why));
            }
        };
        match frame {
            ClientFrame::Step1(vector) => {
                jobs.push(Job::Since { to: from, state_vector: bytes.slice_ref(vector) });
            }
            ClientFrame::Update(update) if update.len() > UPDATE_BYTES => {
                let why = format!(
                    "an update of {} bytes is longer than the {UPDATE_BYTES} allowed; it is taken when you connect again",
                    update.len()
                );
                socket.outgoing.close(DocumentDeparture::TooLarge(why));
            }
            ClientFrame::Update(update) | ClientFrame::Step2(update) if may_edit => {
                jobs.push(Job::Apply { from, update: bytes.slice_ref(update) });
            }
            ClientFrame::Update(_) => {
                socket.outgoing.push(&Frame::new(frames::denied(DENIED), &self.memory));
            }
            // Sent by every client when it is asked, whether it has changed anything or not.
            ClientFrame::Step2(_) => {}
            ClientFrame::Awareness(states) => match self.presence.receive(from, bearer, states) {
                Ok(told) => self.tell(told),
                Err(wrong) => {
                    let departure = match wrong {
                        WrongPresence::Broken(_) => DocumentDeparture::Broken(wrong.to_string()),
                        WrongPresence::TooLarge => DocumentDeparture::TooLarge(wrong.to_string()),
                    };
                    socket.outgoing.close(departure);
                }
            },
            ClientFrame::QueryAwareness => {
                if let Some(states) = self.presence.all() {
                    socket.outgoing.push(&Frame::new(frames::awareness(&states), &self.memory));
                }
            }
            ClientFrame::Auth => {}
        }
    }

    /// Does jobs on a thread that may block, in their order, and passes on what comes of them.
    async fn work(&mut self, jobs: Vec<Job>) {
        let Some(store) = self.store.take() else { return };
        let room = self.room_for(&store, &jobs);
        let worked = tokio::task::spawn_blocking(move || work(store, jobs, room)).await;
        let Ok((store, outcomes)) = worked else {
            // What the library left is not known. Clients have the text, and bring it when they come back.
            tracing::error!("the document's store panicked; its connections are closed");
            self.store = Some(Store::new());
            for socket in self.sockets.values() {
                socket.outgoing.close(DocumentDeparture::Failed);
            }
            return;
        };
        self.charge.set(store.bytes() + self.presence.bytes());
        self.store = Some(store);
        for outcome in outcomes {
            match outcome {
                Outcome::Changed { from, change } => {
                    self.changed.send_replace(Some(Instant::now()));
                    let frame = Frame::new(frames::update(&change), &self.memory);
                    let others = self.sockets.iter().filter(|(id, _)| Some(**id) != from);
                    for (_, socket) in others.filter(|(_, socket)| socket.is_synced) {
                        socket.outgoing.push(&frame);
                    }
                }
                Outcome::Synced { to, update } => {
                    if let Some(socket) = self.sockets.get_mut(&to) {
                        socket.is_synced = true;
                        socket.outgoing.push(&Frame::new(frames::step_2(&update), &self.memory));
                    }
                }
                Outcome::Asked { to, state_vector } => {
                    if let Some(socket) = self.sockets.get(&to) {
                        let frame = Frame::new(frames::step_1(&state_vector), &self.memory);
                        socket.outgoing.push(&frame);
                    }
                }
                Outcome::Refused { from, why } => {
                    if let Some(socket) = self.sockets.get(&from) {
                        socket.outgoing.close(departure(&why));
                    }
                }
            }
        }
    }

    /// Whether the gateway's memory has room for what jobs add.
    fn room_for(&mut self, store: &Store, jobs: &[Job]) -> bool {
        let added: usize = jobs
            .iter()
            .map(|job| match job {
                Job::Apply { update, .. } => 4 * update.len(),
                Job::Seed { contents, .. } => {
                    contents.cells.iter().map(|cell| 4 * cell.source.len() + 1024).sum()
                }
                Job::Since { .. } | Job::Read { .. } | Job::Greet { .. } => 0,
            })
            .sum();
        added == 0 || self.charge.try_set(store.bytes() + self.presence.bytes() + added).is_ok()
    }

    fn tell(&mut self, told: Told) {
        let now = Instant::now();
        match told {
            Told::Nothing => {}
            Told::Soon => drop(self.soon.get_or_insert(now + SOON)),
            Told::Sometime => drop(self.sometime.get_or_insert(now + SOMETIME)),
        }
    }

    /// Tells the states of which it is time.
    fn tell_presence(&mut self) {
        let now = Instant::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let repeated = is_due(self.sometime);
        if !repeated && !is_due(self.soon) {
            return;
        }
        self.soon = None;
        if repeated {
            self.sometime = None;
        }
        if let Some(states) = self.presence.take_news(repeated) {
            let frame = Frame::new(frames::awareness(&states), &self.memory);
            for socket in self.sockets.values() {
                socket.outgoing.push(&frame);
            }
        }
    }

    /// Forgets the connections that are gone.
    fn sweep(&mut self) {
        let gone: Vec<SocketId> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.outgoing.has_left())
            .map(|(id, _)| *id)
            .collect();
        for socket in gone {
            self.sockets.remove(&socket);
            let told = self.presence.leave(socket);
            self.tell(told);
        }
    }

    fn end(self) {
        for socket in self.sockets.values() {
            socket.outgoing.close(DocumentDeparture::Over);
        }
    }
}

fn departure(why: &Refused) -> DocumentDeparture {
    match why {
        Refused::Broken(_) | Refused::Failed => DocumentDeparture::Broken(why.to_string()),
        Refused::Full => DocumentDeparture::Full(why.to_string()),
        Refused::NoMemory => DocumentDeparture::NoMemory(why.to_string()),
    }
}

/// Does jobs in their order.
fn work(mut store: Store, jobs: Vec<Job>, room: bool) -> (Store, Vec<Outcome>) {
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        match job {
            Job::Apply { from, .. } if !room => {
                outcomes.push(Outcome::Refused { from, why: Refused::NoMemory });
            }
            Job::Apply { from, update } => match store.apply(&update) {
                Ok(Some(change)) => outcomes.push(Outcome::Changed { from: Some(from), change }),
                Ok(None) => {}
                Err(why) => outcomes.push(Outcome::Refused { from, why }),
            },
            Job::Since { to, state_vector } => outcomes.push(match store.since(&state_vector) {
                Ok(update) => Outcome::Synced { to, update },
                Err(why) => Outcome::Refused { from: to, why },
            }),
            Job::Greet { to } => {
                outcomes.push(Outcome::Asked { to, state_vector: store.state_vector() });
            }
            Job::Seed { contents, seeded } => {
                let result = if room { store.seed(&contents) } else { Err(Refused::NoMemory) };
                let answer = match result {
                    Ok(Some(change)) => {
                        outcomes.push(Outcome::Changed { from: None, change });
                        Ok(true)
                    }
                    Ok(None) => Ok(false),
                    Err(why) => Err(SeedError::TooLarge(why.to_string())),
                };
                // Who does not wait for the answer any more does not need it.
                seeded.send(answer).ok();
            }
            Job::Read { contents } => drop(contents.send(store.contents())),
        }
    }
    (store, outcomes)
}
