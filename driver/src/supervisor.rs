//! PID 1 of a sandbox: it carries everything between the gateway and the runner, and ends what
//! has to end.
//!
//! ```text
//!             link (frames)                    control, side (frames)
//!   gateway ════════════════► commands ─────────────────────────────► runner
//!           ◄════════════════ relay    ◄───────────────────────────── (interpreter)
//!           ◄════════════════ pipes    ◄── stdout, stderr of each cell ── and its children
//!           ◄═══════════════► files    ◄─► working directory
//!           ◄════════════════ watches  ◄── its directories (inotify)
//! ```
//! One thread, one loop: wait for whatever is ready, turn it into an [`Event`], act on it, then
//! *pump*: put on the link what can go there, in the order it has to have. Invariants:
//!
//! - Nothing grows with traffic: one buffer to the link, one a socket for what arrives.
//! - While the link is blocked nothing that could fill it is read; the link itself always is.
//! - Output stands before the frame that was written after it, and a cell's DONE or EXITED is
//!   sent exactly once.
//! - The link's end is the sandbox's end.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cellgate_driver::wire::{Setup, VERSION, WireError, kind};

use crate::sys;

mod cell;
mod changed_files;
mod clock;
mod commands;
mod ending;
mod files;
mod fork_detector;
mod frames;
mod harden;
mod language;
mod link;
mod oom_score;
mod pipes;
mod process;
mod process_table;
mod program;
mod pump;
mod relay;
mod runner;
mod search;
mod shared_memory;
mod stage;
mod usage;
mod watches;

use cell::Cell;
use changed_files::ChangedFiles;
use clock::earliest;
use commands::SetupReader;
use files::Files;
pub(crate) use link::{Link, LinkSource};
pub(crate) use oom_score::OomScore;
use pipes::Stream;
use process::Process;
use process_table::Scope;
pub(crate) use process_table::descendants;
use program::Program;
use runner::Socket;
use stage::Stage;
use usage::Meter;
pub(crate) use usage::{Cgroups, inherited};
use watches::Watches;

/// Silence after which stacks count as complete.
const DUMP_SILENCE: Duration = Duration::from_millis(30);

/// Longest stacks kept: 4 KiB, some forty frames.
const DUMP_BYTES: usize = 4 << 10;

/// Why the supervisor ends.
pub(crate) enum End {
    /// The gateway closed the link, or is gone.
    LinkClosed,
    /// SIGTERM from outside.
    Terminated,
    /// The gateway broke the wire's rules.
    Breach(String),
    /// A system call failed that never should.
    Failed {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
}

impl End {
    fn failed(operation: &'static str, cause: io::Error) -> End {
        End::Failed { operation, cause }
    }

    fn link_breach(error: WireError) -> End {
        End::Breach(error.to_string())
    }
}

/// I/O errors that surface in the loop are the link's: all other descriptors handle their own.
impl From<io::Error> for End {
    fn from(cause: io::Error) -> End {
        match cause.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => End::LinkClosed,
            _ => End::failed("use the link", cause),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::LinkClosed => f.write_str("the link closed"),
            End::Terminated => f.write_str("terminated"),
            End::Breach(what) => write!(f, "the gateway broke the protocol: {what}"),
            End::Failed { operation, cause } => write!(f, "cannot {operation}: {cause}"),
        }
    }
}

/// Serves a gateway until it closes the link. Everything below this process is dead when it
/// returns; 1 if it ended by a fault of ours or the gateway's.
pub(crate) fn supervise(link: Link, cgroups: &Cgroups, score: io::Result<OomScore>) -> ExitCode {
    let scope = Scope::of_this_process();
    let end = match Supervisor::begin(link, cgroups, score, scope) {
        Ok(mut supervisor) => match supervisor.run() {
            Ok(never) => match never {},
            Err(end) => end,
        },
        Err(end) => end,
    };
    // PID 1 takes its namespace along by ending; a supervisor without one has to look for
    // survivors.
    while scope == Scope::Descendants && !scope.list().is_empty() {
        scope.kill_all();
        while matches!(sys::reap(), Ok(sys::Reaped::Dead(_))) {}
    }
    match end {
        End::LinkClosed | End::Terminated => ExitCode::SUCCESS,
        End::Breach(_) | End::Failed { .. } => {
            eprintln!("cellgate-driver: {end}");
            ExitCode::FAILURE
        }
    }
}

/// Whether SIGTERM comes from outside of the sandbox. Inside a namespace user code may send
/// it too, with any code and sender that it likes (rt_sigqueueinfo(2)), except those of a kill(2)
/// from outside.
fn asks_for_the_end(scope: Scope, signal: sys::Signal) -> bool {
    scope == Scope::Descendants || (signal.code == libc::SI_USER && signal.sender == 0)
}

/// What can become ready.
#[derive(Clone, Copy)]
enum Event {
    /// Commands arrived.
    Link,
    /// The link takes bytes again.
    LinkWritable,
    /// A child died, or the supervisor is to end.
    Signal,
    /// A program's runner wrote a frame. Programs stand by their place in the list.
    Socket(usize, Socket),
    /// It reads again.
    SocketWritable(usize, Socket),
    /// Its interpreter wrote its stacks.
    Stacks(usize),
    /// A cell of it wrote output.
    Output(usize, u32, Stream),
    /// A process wrote output. Processes, too, stand by their place in their list.
    ProcessOutput(usize, Stream),
    /// It reads again.
    ProcessWritable(usize),
    /// Something happened in a directory that is watched.
    Watches,
}

/// A frame of the supervisor's own that has to wait for the link: program, kind, flags, cell, payload.
type OwedFrame = (u16, u8, u8, u32, Vec<u8>);

/// Everything the loop works on.
struct Supervisor {
    link: Link,
    poller: Poller,
    scope: Scope,
    /// Which process the kernel kills first when memory runs out, or why that cannot be set.
    score: io::Result<OomScore>,
    setup: Setup,
    watch: Watch,
    /// The programs that are interpreters. The first is program 0, which is always there.
    programs: Vec<Program>,
    /// The programs that are processes.
    processes: Vec<Process>,
    /// Where among them the turn of the next begins to put output on the link.
    first_process: usize,
    /// Whether processes have that turn before interpreters, which filled the link the last time.
    processes_first: bool,
    /// Numbers of processes that have ended and were not opened again: of the 2^16 that there are.
    ended_processes: BTreeSet<u16>,
    /// The program whose OPEN is not whole, and what has come of it.
    opening: Option<u16>,
    open_payload: Vec<u8>,
    files: Files,
    watches: Watches,
    changed_files: ChangedFiles,
    /// Frames that must not be lost, in order; bounded by [`Supervisor::is_paused`].
    owed: VecDeque<OwedFrame>,
}

/// What the loop waits for.
struct Poller {
    /// SIGCHLD and SIGTERM.
    signals: OwnedFd,
    polled: Vec<libc::pollfd>,
    /// What was ready in this turn.
    events: Vec<Event>,
}

/// How the memory of the sandbox is measured.
struct Watch {
    meter: Meter,
    /// When memory is compared with the limit next, if no cgroup limits it.
    due: Option<Instant>,
}

impl Supervisor {
    /// Hardens this process, greets the gateway, waits for SETUP and starts the first runner.
    fn begin(
        mut link: Link,
        cgroups: &Cgroups,
        score: io::Result<OomScore>,
        scope: Scope,
    ) -> Result<Supervisor, End> {
        let missing = harden::harden(scope);
        let null = File::options().read(true).write(true).open("/dev/null");
        null.and_then(|null| sys::occupy_low_fds(null.into()))
            .map_err(|error| End::failed("occupy low descriptors with /dev/null", error))?;
        let signals = sys::signal_events(&[libc::SIGCHLD, libc::SIGTERM])
            .map_err(|error| End::failed("receive signals", error))?;

        let mut hello = VERSION.to_le_bytes().to_vec();
        hello.extend_from_slice(missing.join("\n").as_bytes());
        link.put(kind::HELLO, 0, 0, &hello);
        link.flush()?;

        let mut supervisor = Supervisor {
            link,
            poller: Poller { signals, polled: Vec::new(), events: Vec::new() },
            scope,
            score,
            setup: Setup::default(),
            watch: Watch { meter: Meter::new(scope, &Cgroups::default(), "/"), due: None },
            programs: Vec::new(),
            processes: Vec::new(),
            first_process: 0,
            processes_first: false,
            ended_processes: BTreeSet::new(),
            opening: None,
            open_payload: Vec::new(),
            files: Files::default(),
            watches: Watches::default(),
            changed_files: ChangedFiles::default(),
            owed: VecDeque::new(),
        };
        supervisor.setup = supervisor.await_setup()?;
        supervisor.watch.meter = Meter::new(scope, cgroups, &supervisor.setup.workdir);
        let now = Instant::now();
        supervisor.watch.due = supervisor.setup.watch_memory.then_some(now);
        supervisor.programs.push(Program::new(0, supervisor.setup.clone()));
        supervisor.start_runner(0, now);
        supervisor.pump(now)?;
        Ok(supervisor)
    }

    fn await_setup(&mut self) -> Result<Setup, End> {
        let mut collected = SetupReader::default();
        loop {
            if let Some(setup) = collected.take(&mut self.link.reader)? {
                return Ok(setup);
            }
            self.wait(Instant::now())?;
            for event in std::mem::take(&mut self.poller.events) {
                match event {
                    Event::Link => self.read_link()?,
                    Event::LinkWritable => self.link.flush()?,
                    Event::Signal => self.take_signals(Instant::now())?,
                    _ => {} // there is no runner yet
                }
            }
        }
    }

    fn run(&mut self) -> Result<std::convert::Infallible, End> {
        let mut now = Instant::now();
        loop {
            self.wait(now)?;
            now = Instant::now();
            let mut events = std::mem::take(&mut self.poller.events);
            for event in events.drain(..) {
                match event {
                    Event::Link => self.read_link()?,
                    Event::LinkWritable => self.link.flush()?,
                    Event::Signal => self.take_signals(now)?,
                    Event::Socket(at, socket) => self.read_socket(at, socket),
                    Event::SocketWritable(at, socket) => self.flush_to_runner(at, socket),
                    Event::Stacks(at) => self.take_stacks(at, now),
                    Event::Output(at, cell, stream) => {
                        self.programs[at].ready_pipes.push((cell, stream));
                    }
                    Event::ProcessOutput(at, stream) => self.processes[at].ready.push(stream),
                    Event::ProcessWritable(at) => self.processes[at].flush_input(),
                    Event::Watches => self.read_watches(now),
                }
            }
            self.poller.events = events;
            self.handle_commands(now)?;
            self.handle_deadlines(now);
            self.pump(now)?;
        }
    }

    /// Waits until something is ready or due, and lists it in `events`.
    fn wait(&mut self, now: Instant) -> Result<(), End> {
        let mut polled = std::mem::take(&mut self.poller.polled);
        let mut events = std::mem::take(&mut self.poller.events);
        polled.clear();
        events.clear();
        let mut wait_for = |fd: BorrowedFd<'_>, interest: libc::c_short, event: Event| {
            polled.push(libc::pollfd { fd: fd.as_raw_fd(), events: interest, revents: 0 });
            events.push(event);
        };

        let blocked = self.link.is_blocked();
        let paused = self.is_paused();
        let listens = self.link.reader.has_room() && !paused;
        // Even unread it tells when it is closed.
        let interest = if listens { libc::POLLIN } else { 0 };
        wait_for(self.link.input(), interest, Event::Link);
        if blocked {
            wait_for(self.link.output(), libc::POLLOUT, Event::LinkWritable);
        }
        wait_for(self.poller.signals.as_fd(), libc::POLLIN, Event::Signal);
        let mut deadline = self.deadline(now);
        for (at, program) in self.programs.iter().enumerate() {
            let Some(runner) = &program.runner else { continue };
            for (socket, channel) in
                [(Socket::Control, &runner.control), (Socket::Side, &runner.side)]
            {
                if channel.closed {
                    continue;
                }
                if !blocked && channel.reader.has_room() {
                    wait_for(channel.socket(), libc::POLLIN, Event::Socket(at, socket));
                }
                if channel.queued() > 0 {
                    wait_for(channel.socket(), libc::POLLOUT, Event::SocketWritable(at, socket));
                }
            }
            if let Stage::Dumping(_) = runner.stage {
                wait_for(runner.stacks(), libc::POLLIN, Event::Stacks(at));
            }
            if !blocked {
                let output = |cell, stream, fd: BorrowedFd<'_>| {
                    wait_for(fd, libc::POLLIN, Event::Output(at, cell, stream));
                };
                deadline = earliest(deadline, runner.pipes.waiting(now, output));
            }
        }

        for (at, process) in self.processes.iter().enumerate() {
            if let Some(input) = process.waits_to_write() {
                wait_for(input, libc::POLLOUT, Event::ProcessWritable(at));
            }
            // What it wrote before its end is carried without waiting for it.
            if !blocked && process.ending.is_none() {
                let output = |_, stream, fd: BorrowedFd<'_>| {
                    wait_for(fd, libc::POLLIN, Event::ProcessOutput(at, stream));
                };
                deadline = earliest(deadline, process.pipes.waiting(now, output));
            }
        }

        // While the link is blocked the kernel keeps what happens, as far as its own bound goes.
        if let Some(input) = self.watches.input().filter(|_| !blocked) {
            wait_for(input, libc::POLLIN, Event::Watches);
        }

        let left_over = !paused && matches!(self.link.reader.peek(), Ok(Some(_)));
        let timeout = match left_over {
            true => Some(Duration::ZERO),
            false => deadline.map(|deadline| deadline.saturating_duration_since(now)),
        };
        // The end of a short cell comes sooner than sleeping and waking takes.
        let cells = self.programs.iter().filter_map(|program| program.cell.as_ref());
        let eager_until = cells.map(Cell::eager_until).max().filter(|_| !left_over);
        let found = eager_until.map(|until| sys::poll_until(&mut polled, until)).unwrap_or(Ok(0));
        let waited = match found {
            Ok(0) => sys::poll(&mut polled, timeout),
            found => found,
        };
        waited.map_err(|error| End::failed("wait for events", error))?;
        let gone = libc::POLLHUP | libc::POLLERR | libc::POLLNVAL;
        if !listens && polled.first().is_some_and(|link| link.revents & gone != 0) {
            return Err(End::LinkClosed);
        }
        let mut ready = polled.iter().map(|fd| fd.revents != 0);
        events.retain(|_| ready.next() == Some(true));
        self.poller.polled = polled;
        self.poller.events = events;
        Ok(())
    }

    fn flush_to_runner(&mut self, at: usize, socket: Socket) {
        let Program { runner, full_since, .. } = &mut self.programs[at];
        if let Some(runner) = runner
            && runner.channel(socket).flush()
        {
            *full_since = None;
        }
    }

    fn take_signals(&mut self, now: Instant) -> Result<(), End> {
        let mut died = false;
        loop {
            let signal = sys::next_signal(self.poller.signals.as_fd());
            match signal.map_err(|error| End::failed("read signals", error))? {
                None => break,
                // Forged, it costs a look at children that live.
                Some(sys::Signal { number: libc::SIGCHLD, .. }) => died = true,
                Some(signal) if asks_for_the_end(self.scope, signal) => {
                    return Err(End::Terminated);
                }
                Some(_) => {}
            }
        }
        if died { self.reap(now) } else { Ok(()) }
    }

    fn take_stacks(&mut self, at: usize, now: Instant) {
        let Some(runner) = &mut self.programs[at].runner else { return };
        let Stage::Dumping(dump) = &mut runner.stage else { return };
        let mut bytes = [0; DUMP_BYTES];
        let Ok(count @ 1..) = sys::read(runner.stacks.as_fd(), &mut bytes) else {
            dump.until = now;
            return;
        };
        dump.text.extend_from_slice(&bytes[..count.min(DUMP_BYTES - dump.text.len())]);
        let full = dump.text.len() == DUMP_BYTES;
        dump.until = if full { now } else { dump.until.min(now + DUMP_SILENCE) };
    }

    /// Puts a line into the operator's log.
    fn log(&mut self, line: &str) {
        let line = &line.as_bytes()[..line.len().min(1 << 10)]; // 1 KiB: a sentence, not a book
        if self.link.has_reserve(2 << 10) {
            self.link.put(kind::LOG, 0, 0, line);
        } else {
            eprintln!("cellgate-driver: {}", String::from_utf8_lossy(line));
        }
    }
}
