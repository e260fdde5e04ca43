//! Whatever comes and goes, and however slowly it reads: what a reader has in the end is what the
//! driver wrote, or gaps that account for every missing seq.
//!
//! ```text
//!   schedule ─► owner, editor, viewer: join, leave, take, ack, interrupt
//!            ─► driver: writes, floods, ends
//!   scribe (a viewer who takes everything at once) ─► what was said, against which all are judged
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cellgate::session::SessionConfig;
use cellgate_driver::wire::{HEADER_BYTES, Header};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::common::property;
use crate::common::scripted::{done, frame};
use crate::*;

/// Participants of a schedule besides the scribe: an owner, an editor, a viewer.
const ROLES: [Role; 3] = [Role::Owner, Role::Editor, Role::Viewer];

/// Cells that may wait.
const QUEUE: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// Joins, whether it is in already or not, and asks for what it has not seen.
    Join(usize),
    /// The connection breaks; with it goes what was taken last and has not arrived.
    Leave(usize),
    /// The connection is closed when everything that was taken has arrived.
    LeaveInPeace(usize),
    /// A socket takes what waits, and what it took before has arrived.
    Take(usize),
    /// Says how far it has come.
    Ack(usize),
    Execute(usize),
    Interrupt(usize),
    /// The running cell writes so many bytes: on stderr, or on stdout.
    Write(bool, usize),
    /// It writes so many lines, each by itself.
    Flood(usize),
    /// A cell that has ended writes a line.
    Late,
    /// It shows something.
    Show,
    /// It ends.
    End,
}

#[derive(Clone, Debug)]
struct Schedule {
    window: usize,
    /// The log in windows.
    log: usize,
    /// What the log has besides on a disk, in bytes.
    disk: u64,
    detached: DetachedOutput,
    /// What the link's pipe holds: little, so that the scribe has its turn before the log is full.
    room: usize,
    /// Who ever acknowledges.
    acks: [bool; 3],
    /// Whether an editor takes part, for whom the driver is read on while the owner is slow.
    editor: bool,
    interrupts: bool,
    steps: Vec<Step>,
}

impl Schedule {
    /// Whether the owner is owed every byte: nobody else is read on for, and nobody cuts in.
    fn owes_all(&self) -> bool {
        self.detached == DetachedOutput::Hold && !self.editor && !self.interrupts
    }
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let who = || 0..ROLES.len();
    let step = prop_oneof![
        3 => who().prop_map(Step::Join),
        2 => who().prop_map(Step::Leave),
        1 => who().prop_map(Step::LeaveInPeace),
        6 => who().prop_map(Step::Take),
        3 => who().prop_map(Step::Ack),
        3 => who().prop_map(Step::Execute),
        1 => who().prop_map(Step::Interrupt),
        6 => (any::<bool>(), 1..3000_usize).prop_map(|(err, bytes)| Step::Write(err, bytes)),
        3 => (1..60_usize).prop_map(Step::Flood),
        1 => Just(Step::Late),
        1 => Just(Step::Show),
        2 => Just(Step::End),
    ];
    let detached = prop_oneof![3 => Just(DetachedOutput::Hold), 1 => Just(DetachedOutput::Drop)];
    (
        (prop_oneof![Just(2 << 10), Just(8 << 10)], 8..12_usize, detached, 64..1024_usize),
        (any::<[bool; 3]>(), any::<bool>(), any::<bool>(), prop_oneof![Just(0), Just(64 << 10)]),
        proptest::collection::vec(step, 1..120),
    )
        .prop_map(
            |((window, log, detached, room), (acks, editor, interrupts, disk), steps)| Schedule {
                window,
                log,
                disk,
                detached,
                room,
                acks,
                editor,
                interrupts,
                steps,
            },
        )
}

#[test]
fn what_a_reader_has_in_the_end_is_what_was_written_or_gaps_account_for_it() {
    let seeds = "tests/session/schedules.seeds";
    property::check(seeds, 192, &schedules(), tell);
}

#[tokio::test(start_paused = true)]
async fn an_owner_who_comes_and_goes_without_taking_anything_loses_nothing() {
    let visit = [Step::Join(0), Step::Flood(40), Step::Leave(0), Step::Flood(40)];
    let schedule = Schedule {
        window: 2 << 10,
        log: 8,
        disk: 0,
        detached: DetachedOutput::Hold,
        room: 256,
        acks: [false; 3],
        editor: false,
        interrupts: false,
        steps: [Step::Join(0), Step::Execute(0)]
            .into_iter()
            .chain(visit.into_iter().cycle().take(40))
            .collect(),
    };
    tell(schedule).await;
}

async fn tell(schedule: Schedule) {
    let mut play = Play::new(&schedule).await;
    for step in &schedule.steps {
        play.act(step).await;
    }
    play.finish().await;
    play.judge(&schedule);
}

/// A cell's name, one of its streams, and whether it had ended.
type Place = (String, &'static str, bool);

/// The driver, who writes what it is told to as fast as the link takes it.
struct Driver {
    to_link: mpsc::Sender<Vec<u8>>,
    /// Bytes that the link has not taken yet.
    unwritten: Arc<AtomicUsize>,
    commands: mpsc::Receiver<(Header, Vec<u8>)>,
    /// The running cell and its name.
    running: Option<(u32, String)>,
    interrupted: bool,
    /// The last that has ended.
    ended: Option<(u32, String)>,
    /// What each cell wrote, a stream each: on time, and late.
    written: HashMap<Place, Vec<u8>>,
    /// What tells one character from the other.
    count: usize,
}

async fn write(
    mut link: WriteHalf<tokio::io::DuplexStream>,
    mut frames: mpsc::Receiver<Vec<u8>>,
    unwritten: Arc<AtomicUsize>,
) {
    while let Some(frame) = frames.recv().await {
        // The session is over at the end of a story.
        link.write_all(&frame).await.ok();
        unwritten.fetch_sub(frame.len(), Ordering::SeqCst);
    }
}

async fn read(
    mut link: ReadHalf<tokio::io::DuplexStream>,
    commands: mpsc::Sender<(Header, Vec<u8>)>,
) {
    let mut header = [0; HEADER_BYTES];
    while link.read_exact(&mut header).await.is_ok() {
        let header = Header::decode(&header).unwrap();
        let mut payload = vec![0; header.length as usize];
        link.read_exact(&mut payload).await.unwrap();
        commands.send((header, payload)).await.ok();
    }
}

impl Driver {
    fn new(driver: ScriptedDriver) -> Driver {
        let (from_link, link) = tokio::io::split(driver.stream);
        let (to_link, frames) = mpsc::channel(1 << 16);
        let (commands_tx, commands) = mpsc::channel(1 << 10);
        let unwritten = Arc::new(AtomicUsize::new(0));
        // Both end with the link or the story.
        tokio::spawn(write(link, frames, Arc::clone(&unwritten)));
        tokio::spawn(read(from_link, commands_tx));
        Driver {
            to_link,
            unwritten,
            commands,
            running: None,
            interrupted: false,
            ended: None,
            written: HashMap::new(),
            count: 0,
        }
    }

    fn look(&mut self) {
        while let Ok((header, payload)) = self.commands.try_recv() {
            match header.kind {
                kind::EXECUTE => {
                    let order: Value = serde_json::from_slice(&payload).unwrap();
                    let name = order["id"].as_str().unwrap().to_owned();
                    let before = self.running.replace((header.cell, name));
                    assert_eq!(before, None, "one cell at a time");
                }
                kind::INTERRUPT => {
                    self.interrupted = self.running.as_ref().is_some_and(|(n, _)| *n == header.cell)
                }
                // It is busy writing, which is sign enough.
                kind::PING => self.send(kind::PONG, 0, 0, b""),
                other => panic!("a frame of kind {other:#04x}"),
            }
        }
    }

    fn send(&self, kind: u8, flags: u8, cell: u32, payload: &[u8]) {
        let frame = frame(kind, flags, cell, payload);
        self.unwritten.fetch_add(frame.len(), Ordering::SeqCst);
        self.to_link.try_send(frame).expect("a story is shorter than that");
    }

    fn output(&mut self, is_late: bool, is_stderr: bool, bytes: &[u8]) {
        let cell = if is_late { &self.ended } else { &self.running };
        let Some((number, name)) = cell.clone() else { return };
        let late = if is_late { flag::LATE } else { 0 };
        let (flags, stream) = if is_stderr { (flag::STDERR, "stderr") } else { (0, "stdout") };
        self.send(kind::OUTPUT, flags | late, number, bytes);
        self.written.entry((name, stream, is_late)).or_default().extend(bytes);
    }

    /// So many bytes of text, cut anywhere in a character.
    fn text(&mut self, bytes: usize) -> Vec<u8> {
        let mut text = String::new();
        while text.len() < bytes + 4 {
            self.count += 1;
            text += &format!("{}é€\u{1f600}\"\\\n\u{1b}", self.count);
        }
        // Begins within a character too, as the one before ended within one: not always the same.
        text.into_bytes()[self.count % 4..][..bytes].to_vec()
    }

    fn end(&mut self) {
        let Some(cell) = self.running.take() else { return };
        let interrupted = std::mem::take(&mut self.interrupted);
        let outcome = if interrupted { Outcome::Interrupted } else { Outcome::Ok };
        self.send(kind::DONE, 0, cell.0, &done(outcome));
        self.ended = Some(cell);
    }
}

/// What a participant has of the session, over all its connections.
#[derive(Default)]
struct Reader {
    seat: Option<Attachment>,
    /// Taken by the socket and not yet arrived.
    on_the_way: Vec<String>,
    /// The last seq that it has, or knows to be missing.
    newest: u64,
    events: BTreeMap<u64, String>,
    gaps: Vec<(u64, u64)>,
    /// What the last `ready` promised.
    promised: u64,
    /// Its own token, once it was told.
    token: Option<Token>,
    /// How many it was told last that there are.
    attached: usize,
}

impl Reader {
    /// Takes what waits, without waiting for it; answers whether there was anything.
    async fn take(&mut self) -> bool {
        self.arrive();
        let Some(seat) = &self.seat else { return false };
        let mut batch = Vec::new();
        let taking = seat.outbox().take(&mut batch);
        match tokio::time::timeout(Duration::from_millis(1), taking).await {
            Ok(Ok(())) => {}
            Ok(Err(departure)) => panic!("{departure}"),
            Err(_) => return false,
        }
        self.on_the_way.extend(batch.iter().map(|delivery| delivery.json().to_string()));
        true
    }

    fn arrive(&mut self) {
        for json in std::mem::take(&mut self.on_the_way) {
            let message: Value = serde_json::from_str(&json).unwrap();
            match message["type"].as_str().unwrap() {
                "ready" => {
                    self.promised = message["seq"].as_u64().unwrap();
                    self.token = message["token"].as_str().map(Token::new);
                }
                // A viewer was told that it may not do that, or the queue is full.
                "protocol_error" => {}
                "participants" => self.attached = message["list"].as_array().unwrap().len(),
                "gap" => {
                    let [from, to] = ["from", "to"].map(|at| message[at].as_u64().unwrap());
                    assert_eq!(from, self.newest + 1, "a gap elsewhere: {json}");
                    assert!(to >= from, "{json}");
                    self.newest = to;
                    self.gaps.push((from, to));
                }
                _ => {
                    assert_eq!(message["seq"], self.newest + 1, "out of order: {json}");
                    self.newest += 1;
                    self.events.insert(self.newest, json);
                }
            }
        }
    }

    fn ack(&self) {
        if let Some(seat) = &self.seat {
            let said = seat.send(Ok(ClientMessage::Ack { seq: self.newest }));
            futures::FutureExt::now_or_never(said).unwrap().unwrap();
        }
    }
}

/// After so long everybody has been told who is attached.
const LIST: Duration = Duration::from_millis(300);

struct Play {
    handle: SessionHandle,
    driver: Driver,
    readers: [Reader; 3],
    acks: [bool; 3],
    editor: bool,
    interrupts: bool,
    /// What was said, by seq.
    truth: Arc<Mutex<BTreeMap<u64, String>>>,
    cells: usize,
}

impl Play {
    async fn new(schedule: &Schedule) -> Play {
        let config = SessionConfig {
            queue: QUEUE,
            window_bytes: schedule.window,
            log_bytes: schedule.window * schedule.log,
            log_disk_bytes: schedule.disk,
            detached_output: schedule.detached,
            participants: 8,
            detach_timeout: Duration::from_secs(86_400),
            idle_timeout: None,
            ..config()
        };
        let (prepared, driver, _) =
            scripted::prepared(Limits::default(), EndCause::Unknown, schedule.room).await;
        let (handle, task) =
            cellgate::session::start(prepared, config, Token::new("t"), &Metrics::default());
        tokio::spawn(task);
        let truth = Arc::<Mutex<BTreeMap<u64, String>>>::default();
        let scribe = handle.attach(role(&handle, "scribe", Role::Viewer)).await.unwrap();
        tokio::spawn(write_down(scribe, Arc::clone(&truth)));
        Play {
            handle,
            driver: Driver::new(driver),
            readers: Default::default(),
            acks: schedule.acks,
            editor: schedule.editor,
            interrupts: schedule.interrupts,
            truth,
            cells: 0,
        }
    }

    async fn act(&mut self, step: &Step) {
        match *step {
            Step::Join(1) if !self.editor => return,
            Step::Join(who) => self.join(who).await,
            Step::Leave(who) => {
                self.readers[who].on_the_way.clear();
                self.readers[who].seat = None;
            }
            Step::LeaveInPeace(who) => {
                self.readers[who].arrive();
                self.readers[who].seat = None;
            }
            Step::Take(who) => {
                self.readers[who].take().await;
            }
            Step::Ack(who) if self.acks[who] => self.readers[who].ack(),
            Step::Ack(_) => return,
            Step::Execute(who) => {
                self.cells += 1;
                let id = Some(format!("c{}", self.cells));
                let cell = Execute { code: "x".into(), id, ..Execute::default() };
                self.send(who, ClientMessage::Execute(cell)).await;
            }
            Step::Interrupt(who) if self.interrupts => {
                self.send(who, ClientMessage::Interrupt { id: None, interpreter: None }).await;
            }
            Step::Interrupt(_) => return,
            Step::Write(is_stderr, bytes) => {
                let text = self.driver.text(bytes);
                self.driver.output(false, is_stderr, &text);
            }
            Step::Flood(lines) => {
                for line in 0..lines {
                    self.driver.output(false, false, format!("{line}\n").as_bytes());
                }
            }
            Step::Late => self.driver.output(true, false, b"late\n"),
            Step::Show => {
                let json = br#"{"type":"display","data":{"text/plain":"1"},"metadata":{}}"#;
                if let Some((cell, _)) = self.driver.running {
                    self.driver.send(kind::MESSAGE, 0, cell, json);
                }
            }
            Step::End => self.driver.end(),
        }
        settle().await;
        self.driver.look();
    }

    async fn join(&mut self, who: usize) {
        let reader = &mut self.readers[who];
        reader.on_the_way.clear();
        let after = (reader.newest > 0).then_some(reader.newest);
        let join = match &reader.token {
            Some(own) => JoinRequest { credential: Credential::Token(own.clone()), ..join("back") },
            None => role(&self.handle, ["ada", "ed", "vera"][who], ROLES[who]),
        };
        let join = JoinRequest { after, ..join };
        // The seat before, if there is one, is taken over and stays with its dead connection.
        reader.seat = Some(self.handle.attach(join).await.unwrap());
        if self.acks[who] {
            reader.ack();
        }
    }

    async fn send(&self, who: usize, message: ClientMessage) {
        if let Some(seat) = &self.readers[who].seat {
            seat.send(Ok(message)).await.unwrap();
        }
    }

    /// Everybody comes, takes everything, and every cell ends.
    async fn finish(&mut self) {
        for who in 0..ROLES.len() {
            if self.readers[who].seat.is_none() && (who != 1 || self.editor) {
                self.join(who).await;
            }
        }
        pass(LIST).await;
        let mut quiet = 0;
        while quiet < 2 {
            let mut took = false;
            for reader in &mut self.readers {
                took |= reader.take().await;
                reader.ack();
            }
            self.driver.look();
            let unwritten = self.driver.unwritten.load(Ordering::SeqCst);
            let runs = self.driver.running.is_some();
            if unwritten == 0 && runs {
                self.driver.end();
            }
            quiet = if took || runs || unwritten > 0 { 0 } else { quiet + 1 };
        }
    }

    fn judge(&self, schedule: &Schedule) {
        let mut truth = self.truth.lock().unwrap();
        if !schedule.interrupts {
            let newest = truth.last_key_value().map_or(0, |(seq, _)| *seq);
            assert_eq!(newest, truth.len() as u64, "the scribe keeps up");
        }
        // What a scribe was behind by when a cell was stopped, others may have.
        for reader in &self.readers {
            let missing = reader.events.iter().filter(|(seq, _)| !truth.contains_key(seq));
            let missing: Vec<_> = missing.map(|(seq, json)| (*seq, json.clone())).collect();
            truth.extend(missing);
        }
        let newest = truth.last_key_value().map_or(0, |(seq, _)| *seq);
        self.judge_cells(&truth);
        let scribe = 1;
        let attached = self.readers.iter().filter(|reader| reader.seat.is_some()).count() + scribe;
        for (who, reader) in self.readers.iter().enumerate() {
            if reader.seat.is_none() {
                continue;
            }
            let name = ROLES[who];
            assert_eq!(reader.attached, attached, "{name:?} was not told who is there at the end");
            assert_eq!(reader.newest, newest, "{name:?} has not come to the end");
            assert!(reader.promised <= newest);
            let missing: u64 = reader.gaps.iter().map(|(from, to)| to - from + 1).sum();
            assert_eq!(reader.events.len() as u64 + missing, newest, "{name:?}: {:?}", reader.gaps);
            for (seq, json) in &reader.events {
                assert_eq!(Some(json), truth.get(seq), "{name:?} was told something else");
            }
        }
        if schedule.owes_all() {
            assert_eq!(self.readers[0].gaps, [], "the owner has lost something");
        }
    }

    /// Each accepted cell has its events in order, what it wrote, and one end.
    fn judge_cells(&self, truth: &BTreeMap<u64, String>) {
        let mut stages = HashMap::<String, &str>::new();
        // A piece for each run of events without a hole.
        let mut texts = HashMap::<Place, Vec<String>>::new();
        let mut expected_seq = 1;
        for (seq, json) in truth {
            if *seq != expected_seq {
                texts.values_mut().for_each(|pieces| pieces.push(String::new()));
            }
            expected_seq = seq + 1;
            let event: Value = serde_json::from_str(json).unwrap();
            let Some(id) = event["id"].as_str().map(str::to_owned) else { continue };
            let stage = stages.get(&id).copied();
            let late = event["late"] == true;
            let kind = event["type"].as_str().unwrap();
            let (expected, next) = match kind {
                "queued" => (None, "queued"),
                "started" => (Some("queued"), "started"),
                "done" if event["status"] == "cancelled" => (Some("queued"), "done"),
                "done" => (Some("started"), "done"),
                _ if late => (Some("done"), "done"),
                _ => (Some("started"), "started"),
            };
            assert_eq!(stage, expected, "{json}");
            stages.insert(id.clone(), next);
            let stream = ["stdout", "stderr"].into_iter().find(|stream| *stream == kind);
            if let Some(stream) = stream {
                let pieces = texts.entry((id, stream, late)).or_insert(vec![String::new()]);
                *pieces.last_mut().unwrap() += event["text"].as_str().unwrap();
            }
        }
        assert!(stages.values().all(|stage| *stage == "done"), "{stages:?}");
        let whole = truth.len() as u64 + 1 == expected_seq;
        for (place, bytes) in &self.driver.written {
            let wanted = String::from_utf8_lossy(bytes);
            let pieces = texts.remove(place).unwrap_or_default();
            if whole {
                assert_eq!(pieces.concat(), wanted, "{place:?}");
            }
            let mut rest = &*wanted;
            for piece in pieces {
                let at =
                    rest.find(&piece).unwrap_or_else(|| panic!("{place:?} wrote no {piece:?}"));
                rest = &rest[at + piece.len()..];
            }
        }
        assert!(texts.is_empty(), "nobody wrote {texts:?}");
    }
}

/// Takes everything at once, as it comes.
async fn write_down(seat: Attachment, truth: Arc<Mutex<BTreeMap<u64, String>>>) {
    loop {
        let mut batch = Vec::new();
        if seat.outbox().take(&mut batch).await.is_err() {
            return;
        }
        for delivery in batch {
            let message = as_json(&delivery);
            if let Some(seq) = message["seq"].as_u64().filter(|_| message["type"] != "ready") {
                truth.lock().unwrap().insert(seq, delivery.json().to_string());
            }
        }
    }
}
