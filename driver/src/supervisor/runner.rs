//! The runner: an interpreter with the descriptors it was promised, and what is known of it.
//!
//! ```text
//!   starting ──READY──► ready ⇄ (cell) ──► dumping ──► ending ──► gone
//!       └────────────────┴── death, RESTART, breach ─────┘
//! ```
//! | descriptor | is |
//! |---|---|
//! | 0 | /dev/null |
//! | 1, 2 | the pipes of cell 0, until the first cell's take their place |
//! | 3 | control: a cell, its messages, its end |
//! | 4 | side: questions while a cell runs |
//! | 5 | the runner's sources |
//! | 6 | where the interpreter writes its stacks on SIGUSR2 |
//! | 7 | whom the newest interrupt is meant for: its cell and the count of interrupts, u32 each |
//! | 8, 9, … | pairs for the output of cells, of a language whose runner cannot receive descriptors |

use std::ffi::{CString, NulError};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use cellgate_driver::wire::{Header, Setup, kind};

use super::fork_detector::ForkDetector;
use super::frames::Channel;
use super::language::{CellPipes, Language, RunnerKind};
use super::link::Link;
use super::pipes::{Due, FIXED_PAIRS, Pair, Pipes, WriteEnds};
use super::search::find;
use super::stage::{Dump, Stage};
use crate::sys;
use crate::sys::launch::{Launch, LaunchError, Program, Step, launch};

/// Questions a runner may have open at a time.
pub(crate) const MOST_QUESTIONS: usize = 16;

/// How questions reach the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Questions {
    /// None was answered yet: over the control socket, and only while no cell runs.
    Untried,
    /// Over the side socket, at any time.
    Answered,
}

/// Which of the two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    /// Descriptor 3 of the runner.
    Control,
    /// Descriptor 4 of the runner.
    Side,
}

/// The interpreter and all that belongs to it.
pub(crate) struct Runner {
    /// Its process, also its process group and session.
    pub(crate) pid: i32,
    /// Whether it ever was ready.
    pub(crate) was_ready: bool,
    /// What it is doing.
    pub(crate) stage: Stage,
    /// The control socket.
    pub(crate) control: Channel,
    /// The side socket.
    pub(crate) side: Channel,
    /// The read end of its descriptor 6.
    pub(crate) stacks: OwnedFd,
    /// The pipes of its cells.
    pub(crate) pipes: Pipes,
    /// How its cells get their pipes.
    cell_pipes: CellPipes,
    /// The pipes of its next cell, made while there is time.
    next_pipes: Option<(Pair, WriteEnds)>,
    /// The ended cell that by the runner's word left nothing which could write to its pipes.
    left_pipes_of: Option<u32>,
    fork_detector: ForkDetector,
    /// What it reads to learn whom an interrupt is meant for.
    interrupted: File,
    interrupts: u32,
    /// A message of which more fragments are to come, and from where.
    pub(crate) open_message: Option<(Socket, u8, u32)>,
    /// What is still to be drained before the frame at the head of the control socket passes.
    pub(crate) gate: Option<[Due; 2]>,
    /// Frames with SYNC that were taken.
    pub(crate) syncs: u32,
    /// Whether an ACK waits for room on the control socket.
    pub(crate) ack_due: bool,
    /// How questions reach it.
    pub(crate) questions: Questions,
    /// Numbers of the questions it was asked and has not answered.
    pub(crate) asked: Vec<u32>,
    /// Since when its control socket is closed though it lives.
    pub(crate) closed_since: Option<Instant>,
}

/// Why a runner could not be started.
#[derive(Debug)]
pub(crate) struct StartError {
    /// For people.
    pub(crate) detail: String,
    /// Whether another try may succeed: the limit on processes was reached.
    pub(crate) again: bool,
}

impl StartError {
    fn new(setup: &Setup, what: impl std::fmt::Display) -> StartError {
        let interpreter = &setup.interpreter;
        StartError { detail: format!("cannot start {interpreter}: {what}"), again: false }
    }
}

impl Runner {
    /// Starts the interpreter of a program.
    pub(crate) fn start(program_number: u16, setup: &Setup) -> Result<Runner, StartError> {
        let failed = |what: &str, error: io::Error| {
            StartError::new(setup, format_args!("cannot {what}: {error}"))
        };
        let language = Language::of(&setup.language).ok_or_else(|| {
            StartError::new(setup, format_args!("there is no runner for {}", setup.language))
        })?;
        let program = find(setup.interpreter.as_bytes(), &setup.env)
            .map_err(|error| StartError::new(setup, error))?;
        let program = String::from_utf8_lossy(&program).into_owned();

        let (control, control_end) = sys::socketpair().map_err(|e| failed("make a socket", e))?;
        let (side, side_end) = sys::socketpair().map_err(|e| failed("make a socket", e))?;
        let (stacks, stacks_end) = sys::pipe().map_err(|e| failed("make a pipe", e))?;
        let (idle, idle_ends) = Pair::new().map_err(|e| failed("make a pipe", e))?;
        let sources = language.sources().map_err(|e| failed("hand over the runner", e))?;
        let null = File::open("/dev/null").map_err(|e| failed("open /dev/null", e))?;
        let interrupted = sys::memory().map_err(|e| failed("make a memory file", e))?;
        let fork_detector = ForkDetector::new();
        let [out, err] = &idle_ends.0;
        let fixed = match language.pipes {
            CellPipes::Sent => 0,
            CellPipes::Fixed => FIXED_PAIRS,
        };
        let fixed: Vec<(Pair, WriteEnds)> = (0..fixed)
            .map(|_| Pair::new())
            .collect::<io::Result<_>>()
            .map_err(|e| failed("make a pipe", e))?;
        let mut descriptors = vec![
            null.as_fd(),
            out.as_fd(),
            err.as_fd(),
            control_end.as_fd(),
            side_end.as_fd(),
            sources.as_fd(),
            stacks_end.as_fd(),
            interrupted.as_fd(),
        ];
        descriptors.extend(fixed.iter().flat_map(|(_, ends)| ends.0.iter().map(OwnedFd::as_fd)));

        let resolved = Setup { interpreter: program.clone(), ..setup.clone() };
        let texts =
            Texts::new(setup, program, language).map_err(|error| StartError::new(setup, error))?;
        let rlimits: Vec<_> = setup.rlimits.iter().map(|l| (l.resource, l.value)).collect();
        let beside = || match language.runner {
            RunnerKind::Beside(run) => run(&resolved),
            RunnerKind::InInterpreter { .. } => 0,
        };
        let pid = launch(&Launch {
            program: match &language.runner {
                RunnerKind::InInterpreter { .. } => Program::File {
                    path: &texts.program,
                    arguments: &texts.arguments,
                    environment: &texts.environment,
                },
                RunnerKind::Beside(_) => Program::Function(&beside),
            },
            directory: &texts.directory,
            descriptors: &descriptors,
            has_terminal: false,
            rlimits: &rlimits,
            filter: &filter(&setup.seccomp),
        })
        .map_err(|error| explain(setup, error))?;

        let mut runner = Runner {
            pid,
            was_ready: false,
            stage: Stage::Starting,
            control: Channel::new(control),
            side: Channel::new(side),
            stacks,
            pipes: Pipes::of(program_number),
            cell_pipes: language.pipes,
            next_pipes: None,
            left_pipes_of: None,
            fork_detector: fork_detector.after_a_fork(),
            interrupted: interrupted.into(),
            interrupts: 0,
            open_message: None,
            gate: None,
            syncs: 0,
            ack_due: false,
            questions: Questions::Untried,
            asked: Vec::with_capacity(MOST_QUESTIONS),
            closed_since: None,
        };
        runner.pipes.begin(0, idle, Instant::now());
        for (number, (pair, _)) in fixed.into_iter().enumerate().rev() {
            runner.pipes.add_fixed(number as u8, pair);
        }
        runner.make_next_pipes();
        Ok(runner)
    }

    /// Makes the pipes of the next cell ahead of it.
    pub(crate) fn make_next_pipes(&mut self) {
        if self.next_pipes.is_none() && self.cell_pipes == CellPipes::Sent {
            self.next_pipes = Pair::new().ok(); // the cell itself tries again, and says why not
        }
    }

    /// Takes note that a cell has ended. By its word nothing of it is left if `alone`: its pipes
    /// may then serve the next cell, and no others are made unless those are needed.
    pub(crate) fn cell_ended(&mut self, cell: u32, alone: bool) {
        self.left_pipes_of = Some(cell).filter(|_| alone && self.fork_detector.can_tell());
        if self.left_pipes_of.is_none() {
            self.make_next_pipes();
        }
    }

    /// Sends a cell's first frame: alone if it can have the pipes of the last cell, else behind the
    /// write ends of its own, in one call and with one wake-up of the runner for both.
    pub(crate) fn send_cell(
        &mut self,
        cell: u32,
        frame: &[u8],
        link: &mut Link,
        now: Instant,
    ) -> io::Result<()> {
        if self.cell_pipes == CellPipes::Fixed {
            let number = self.pipes.begin_in_fixed(cell, link, now)?;
            let number = number.ok_or_else(|| io::Error::other("it has closed all its pipes"))?;
            let mut frames = Header::new(kind::PIPES, 0, 0, &[number]).encode().to_vec();
            frames.push(number);
            frames.extend_from_slice(frame);
            self.control.send(&frames);
            return Ok(());
        }
        // Every process and thread that was born since the last cell's pipes were sent may hold
        // them, whatever the runner says.
        let no_forks = self.fork_detector.saw_none();
        if let Some(last) = self.left_pipes_of.take().filter(|_| no_forks)
            && self.pipes.pass_on(last, cell, link, now)?
        {
            self.control.send(frame);
            return Ok(());
        }
        let (pair, ends) = match self.next_pipes.take().map_or_else(Pair::new, Ok) {
            Ok(made) => made,
            // Descriptors ran out: those of the cell that ended longest ago are worth least.
            Err(_) if self.pipes.drop_oldest_late().is_some() => Pair::new()?,
            Err(error) => return Err(error),
        };
        let pipes = Header::new(kind::PIPES, 0, 0, &[]).encode();
        let [out, err] = &ends.0;
        self.control.send_with_fds(&pipes, [out.as_fd(), err.as_fd()], frame)?;
        self.pipes.begin(cell, pair, now);
        Ok(())
    }

    /// The channel of a socket.
    pub(crate) fn channel(&mut self, socket: Socket) -> &mut Channel {
        match socket {
            Socket::Control => &mut self.control,
            Socket::Side => &mut self.side,
        }
    }

    /// Counts a frame that asked for it, and says so as soon as the runner takes it. The count
    /// runs on, so that one answer to several frames tells all.
    pub(crate) fn acknowledge(&mut self) {
        self.syncs = self.syncs.wrapping_add(1);
        self.ack_due = true;
        self.send_due_ack();
    }

    /// Sends the acknowledgement that is due, if the control socket is free.
    pub(crate) fn send_due_ack(&mut self) {
        if !self.ack_due || self.control.queued() > 0 {
            return;
        }
        let count = self.syncs.to_le_bytes();
        let mut frame = Header::new(kind::ACK, 0, 0, &count).encode().to_vec();
        frame.extend_from_slice(&count);
        self.control.send(&frame);
        self.ack_due = false;
    }

    /// Whether it reads so slowly that a queue to it is over its level.
    pub(crate) fn is_full(&self) -> bool {
        [&self.control, &self.side].iter().any(|channel| channel.queued() > Channel::FULL)
    }

    /// Whether it is on its way out.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Ending(_))
    }

    /// Interrupts a cell: the interpreter and everything in its process group.
    pub(crate) fn interrupt(&mut self, cell: u32) {
        self.interrupts = self.interrupts.wrapping_add(1);
        let mut word = [0; 8];
        word[..4].copy_from_slice(&cell.to_le_bytes());
        word[4..].copy_from_slice(&self.interrupts.to_le_bytes());
        // Without it (memory ran out) the interpreter takes the signal for one of its own, and
        // heeds it whatever runs.
        let _ = self.interrupted.write_all_at(&word, 0);
        self.signal_group(libc::SIGINT);
    }

    /// Sends a signal to the interpreter and everything in its process group.
    fn signal_group(&self, signal: i32) {
        // It may be dead already; its death is an event of its own.
        let _ = sys::kill(-self.pid, signal);
    }

    /// Asks the interpreter for the stacks of its threads, to arrive within `limit`.
    pub(crate) fn begin_dump(&mut self, now: Instant, limit: Duration) {
        let mut stale = [0; 4 << 10]; // 4 KiB at a time of what user code may have written there
        for _ in 0..16 {
            if !matches!(sys::read(self.stacks.as_fd(), &mut stale), Ok(1..)) {
                break;
            }
        }
        // As above.
        let _ = sys::kill(self.pid, libc::SIGUSR2);
        self.stage = Stage::Dumping(Dump { text: Vec::new(), until: now + limit });
    }

    /// Where stacks arrive.
    pub(crate) fn stacks(&self) -> BorrowedFd<'_> {
        self.stacks.as_fd()
    }
}

/// What a launch needs as NUL-terminated texts.
struct Texts {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: CString,
}

impl Texts {
    fn new(setup: &Setup, program: String, language: &Language) -> Result<Texts, NulError> {
        let text = |text: &str| CString::new(text);
        Ok(Texts {
            program: text(&program)?,
            arguments: match language.runner {
                RunnerKind::InInterpreter { arguments, boot, .. } => [setup.interpreter.as_str()]
                    .into_iter()
                    .chain(arguments.iter().copied())
                    .chain([boot])
                    .map(CString::new)
                    .collect::<Result<_, _>>()?,
                RunnerKind::Beside(_) => Vec::new(),
            },
            environment: setup.env.iter().cloned().map(CString::new).collect::<Result<_, _>>()?,
            directory: text(&setup.workdir)?,
        })
    }
}

/// The seccomp program of SETUP as the kernel takes it.
pub(super) fn filter(bytes: &[u8]) -> Vec<libc::sock_filter> {
    let instruction = |b: &[u8]| libc::sock_filter {
        code: u16::from_ne_bytes([b[0], b[1]]),
        jt: b[2],
        jf: b[3],
        k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
    };
    bytes.chunks_exact(8).map(instruction).collect()
}

fn explain(setup: &Setup, error: LaunchError) -> StartError {
    let LaunchError { step, cause } = error;
    let mut told = match step {
        Step::Execute => StartError::new(setup, &cause),
        Step::Directory => {
            StartError::new(setup, format_args!("cannot enter {}: {cause}", setup.workdir))
        }
        _ => StartError::new(setup, format_args!("cannot {}: {cause}", step.text())),
    };
    told.again = step == Step::Fork;
    told
}
