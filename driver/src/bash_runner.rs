//! The runner of bash: speaks the wire with the supervisor, and drives a bash that reads its commands from a pipe.
//!
//! ```text
//!   supervisor ══ frames ══► this process ── lines of commands ──► bash -i ──► its children
//!              ◄════════════             ◄── cell, exit status ───   │ output     │
//!              ◄───────────── the pipes that the cell was given ─────┴────────────┘
//! ```
//! An interactive bash keeps its state when it is interrupted, and goes on with the next command that it reads. The code
//! of a cell is in a memory file, which bash reads as a script (`source`), so that its errors name the lines.
//!
//! | descriptor of bash | is |
//! |---|---|
//! | 0 | the pipe with its commands |
//! | 1, 2 | /dev/null |
//! | 8 to 23 | the pairs of pipes for the output of cells |
//! | 24 | where it writes a cell's number and exit status |
//! | 25 | the code of the cell |

use std::ffi::{OsStr, c_int};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use cellgate_driver::wire::{FrameReader, Header, Outcome, Setup, append_message, flag, kind};

use crate::{supervisor, sys};

mod commands;
mod questions;

use commands::{as_program, quoted, reads_on_command, report_command};
use questions::{Completion, Question};

/// What the supervisor starts a runner with: control, side, sources, stacks, interrupted.
const CONTROL: i32 = 3;
const INTERRUPTED: i32 = 7;
const FIRST_PAIR: usize = 8;

/// Descriptors of bash, behind the pairs.
const REPORTS: i32 = 24;
const CODE: i32 = 25;

/// Begins a line that says how a cell ended, which no other line on that descriptor begins with by chance.
const REPORT: &str = "\u{1}cell ";

/// Begins a line that says that bash reads commands again after a cell that was interrupted.
const READS_ON: &str = "\u{1}reads on after ";

/// An interrupt may be lost: on a command that bash was just starting, or with the command that runs or reports the cell,
/// if bash was reading that. After so long the command's is given once more, and twice as long after that bash's too; the
/// report is asked for again each time.
const AGAIN: Duration = Duration::from_millis(250);

/// An interrupt that meets bash between fork and exec of a command ends the cell and not the command, for which bash then
/// waits before it reads on. After so long the command is interrupted by itself.
const READS_ON_AGAIN: Duration = Duration::from_millis(20);

/// Exit codes of this process, from sysexits.h and the shell's own.
const EX_SOFTWARE: c_int = 70;
const NOT_FOUND: c_int = 127;

/// The cell that runs.
struct Running {
    number: u32,
    /// Whether it is to end as a program does: with an exit status other than 0 it has failed.
    program: bool,
    /// What came of an interrupt that was meant for it.
    interrupted: Option<Interrupted>,
    /// Its exit status, if it was interrupted, has ended, and bash has not read on yet.
    ended: Option<i32>,
}

/// An interrupt of the running cell.
struct Interrupted {
    again_at: Instant,
    waited: Duration,
}

/// Why the runner ends.
enum End {
    /// The supervisor has closed its socket.
    Closed,
    /// Bash has ended.
    Exited(ExitStatus),
}

struct Runner<'a> {
    setup: &'a Setup,
    bash: Child,
    commands: PipeWriter,
    reports: PipeReader,
    /// A line of `reports` that is not whole.
    line: Vec<u8>,
    code: File,
    control: OwnedFd,
    side: OwnedFd,
    readers: [FrameReader; 2],
    /// Messages that are not whole, one of each socket.
    partial: [Vec<u8>; 2],
    interrupted: File,
    signals: OwnedFd,
    running: Option<Running>,
    /// Which pair of pipes the next cell has.
    pair: usize,
    /// The exit status of the last cell, which the next one finds in `$?`.
    status: i32,
    completion: Option<Completion>,
}

/// Runs cells until the supervisor or bash has gone; answers this process's exit code.
pub(crate) fn run(setup: &Setup) -> c_int {
    let mut runner = match Runner::start(setup) {
        Ok(runner) => runner,
        Err(error) => {
            eprintln!("cannot start {}: {error}", setup.interpreter);
            return NOT_FOUND;
        }
    };
    match runner.serve() {
        Ok(End::Closed) => 0,
        Ok(End::Exited(status)) => match status.signal() {
            Some(signal) => sys::end_by_signal(signal),
            None => status.code().unwrap_or(EX_SOFTWARE),
        },
        Err(error) => {
            eprintln!("the runner of bash fails: {error}");
            EX_SOFTWARE
        }
    }
}

impl<'a> Runner<'a> {
    fn start(setup: &'a Setup) -> io::Result<Runner<'a>> {
        let open_null = || File::options().read(true).write(true).open("/dev/null");
        // Nothing of ours may stand where bash's descriptors will.
        for number in [REPORTS, CODE] {
            let null = open_null()?;
            sys::inheritable(null.as_fd(), number)?;
            if null.as_raw_fd() == number {
                let _ = null.into_raw_fd(); // stays open in its place
            }
        }
        let null = open_null()?;
        let mut ours = Vec::new();
        for number in CONTROL..=INTERRUPTED {
            // The copy is closed on exec.
            ours.push(sys::duplicate_high(sys::adopt(number)?.as_fd())?);
        }
        let [control, side, _sources, _stacks, interrupted] = <[OwnedFd; 5]>::try_from(ours)
            .map_err(|_| io::Error::other("five descriptors were not five"))?;
        let (commands_end, commands) = io::pipe()?;
        let (reports, reports_end) = io::pipe()?;
        let code = File::from(sys::memory()?);
        sys::inheritable(reports_end.as_fd(), REPORTS)?;
        sys::inheritable(code.as_fd(), CODE)?;
        drop(reports_end);
        let mut command = Command::new(&setup.interpreter);
        command.args(["--norc", "--noprofile", "--noediting", "-i"]).env_clear();
        for entry in &setup.env {
            let mut parts = entry.splitn(2, |byte| *byte == b'=').map(OsStr::from_bytes);
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                command.env(name, value);
            }
        }
        command.stdin(commands_end).stdout(Stdio::from(null.try_clone()?)).stderr(null);
        let bash = command.arg0("bash").spawn()?;
        // Taken as events from here on; blocked before, they would be so in bash.
        let signals = sys::signal_events(&[libc::SIGCHLD, libc::SIGINT, libc::SIGUSR2])?;
        // Ours would keep the end of bash from being seen.
        drop([sys::adopt(REPORTS)?, sys::adopt(CODE)?]);
        let mut runner = Runner {
            setup,
            bash,
            commands,
            reports,
            line: Vec::new(),
            code,
            control,
            side,
            readers: [FrameReader::default(), FrameReader::default()],
            partial: [Vec::new(), Vec::new()],
            interrupted: interrupted.into(),
            signals,
            running: None,
            pair: 0,
            status: 0,
            completion: None,
        };
        let version = runner.introduce()?;
        let ready = serde_json::json!({"language": {"name": "bash", "version": version}});
        runner.send(kind::READY, 0, ready.to_string().as_bytes())?;
        Ok(runner)
    }

    /// Lets bash be silent, and answers its version.
    fn introduce(&mut self) -> io::Result<String> {
        let quiet = "PS1= PS2= PROMPT_COMMAND=; unset HISTFILE; set +m +H";
        writeln!(self.commands, "{quiet}; builtin printf '%s\\n' \"$BASH_VERSION\" >&{REPORTS}")?;
        let mut said = Vec::new();
        while !said.ends_with(b"\n") {
            let mut byte = [0];
            if self.reports.read(&mut byte)? == 0 {
                return Err(io::Error::other("it ended at once"));
            }
            said.push(byte[0]);
        }
        let version = String::from_utf8_lossy(&said);
        Ok(version.trim().split('(').next().unwrap_or_default().to_owned())
    }

    fn serve(&mut self) -> io::Result<End> {
        loop {
            let fds = [
                self.control.as_raw_fd(),
                self.side.as_raw_fd(),
                self.reports.as_raw_fd(),
                self.signals.as_raw_fd(),
            ];
            let mut polled = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
            let running = self.running.as_ref();
            let again_at = running.and_then(|running| Some(running.interrupted.as_ref()?.again_at));
            let wait = again_at.map(|at| at.saturating_duration_since(Instant::now()));
            sys::poll(&mut polled, wait)?;
            let ready = polled.map(|fd| fd.revents != 0);
            // Before signals: an interrupt comes after its cell.
            for (at, ready) in ready[..2].iter().enumerate() {
                if *ready && !self.read_frames(at)? {
                    return Ok(End::Closed);
                }
            }
            if ready[3]
                && let Some(status) = self.take_signals()?
            {
                return Ok(End::Exited(status));
            }
            if ready[2] {
                self.read_reports()?;
            }
            self.repeat_interrupt()?;
        }
    }

    /// Answers how bash has ended, if it has.
    fn take_signals(&mut self) -> io::Result<Option<ExitStatus>> {
        let mut ended = None;
        while let Some(signal) = sys::next_signal(self.signals.as_fd())? {
            match signal.number {
                libc::SIGINT => self.note_interrupt(),
                libc::SIGCHLD => ended = self.bash.try_wait()?.or(ended),
                // What a runner is asked for its stacks with: bash has none to show.
                _ => {}
            }
        }
        Ok(ended)
    }

    fn note_interrupt(&mut self) {
        let meant = self.interrupted_cell();
        let Some(running) = &mut self.running else { return };
        // Where it cannot be read the signal is taken for the cell's.
        if meant.is_some_and(|meant| meant != running.number) {
            return;
        }
        running
            .interrupted
            .get_or_insert_with(|| Interrupted { again_at: Instant::now() + AGAIN, waited: AGAIN });
    }

    /// The cell that the newest interrupt was meant for.
    fn interrupted_cell(&self) -> Option<u32> {
        let mut word = [0; 4];
        self.interrupted.read_exact_at(&mut word, 0).ok()?;
        Some(u32::from_le_bytes(word))
    }

    fn repeat_interrupt(&mut self) -> io::Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let Some(interrupted) = &mut running.interrupted else { return Ok(()) };
        if interrupted.again_at > Instant::now() {
            return Ok(());
        }
        let bash = self.bash.id() as i32;
        // Commands in the background ignore SIGINT: bash starts them so. What was lost is nearly always the command's, and a
        // bash that is reading does not bear one well.
        let targets = match running.ended {
            None if interrupted.waited == 2 * AGAIN => {
                supervisor::descendants(bash).into_iter().chain([bash]).collect()
            }
            None if interrupted.waited > 2 * AGAIN => Vec::new(),
            _ => supervisor::descendants(bash),
        };
        for pid in targets {
            // It may be gone.
            let _ = sys::kill(pid, libc::SIGINT);
        }
        interrupted.waited *= 2;
        interrupted.again_at = Instant::now() + interrupted.waited;
        let command = match running.ended {
            Some(_) => reads_on_command(running.number),
            None => report_command(running.number),
        };
        self.commands.write_all(command.as_bytes())
    }

    /// Bash says how the running cell ended. One that was interrupted is over when bash has read on.
    fn on_report(&mut self, number: u32, status: i32) -> io::Result<()> {
        // The signal itself may still be on its way to this process.
        let meant = self.interrupted_cell() == Some(number);
        // A report that was asked for twice comes twice.
        let Some(running) = self.running.as_mut().filter(|running| running.number == number) else {
            return Ok(());
        };
        if running.ended.is_some() {
            return Ok(());
        }
        if running.interrupted.is_none() && !meant {
            return self.finish(number, status);
        }
        running.ended = Some(status);
        let again_at = Instant::now() + READS_ON_AGAIN;
        running.interrupted = Some(Interrupted { again_at, waited: READS_ON_AGAIN });
        self.commands.write_all(reads_on_command(number).as_bytes())
    }

    fn on_reads_on(&mut self, number: u32) -> io::Result<()> {
        let running = self.running.as_ref().filter(|running| running.number == number);
        match running.and_then(|running| running.ended) {
            Some(status) => self.finish(number, status),
            None => Ok(()),
        }
    }

    /// Reads one of the sockets once, and does what it says. False: it is closed.
    fn read_frames(&mut self, at: usize) -> io::Result<bool> {
        let socket = if at == 0 { self.control.as_fd() } else { self.side.as_fd() };
        let reader = &mut self.readers[at];
        match sys::read(socket, reader.room()) {
            Ok(0) => return Ok(false),
            Ok(count) => reader.filled(count),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        }
        while let Some(header) = self.readers[at].peek().map_err(io::Error::other)? {
            self.partial[at].extend_from_slice(self.readers[at].payload(&header));
            self.readers[at].consume(&header);
            if header.flags & flag::MORE == 0 {
                let payload = std::mem::take(&mut self.partial[at]);
                self.on_message(at, header, &payload)?;
            }
        }
        Ok(true)
    }

    fn on_message(&mut self, at: usize, header: Header, payload: &[u8]) -> io::Result<()> {
        match header.kind {
            kind::PIPES => self.pair = payload.first().copied().unwrap_or_default().into(),
            kind::EXECUTE => self.execute(header.cell, payload)?,
            kind::REQUEST => self.answer(at, header.cell, payload)?,
            // A cell's input is empty, and nothing is ever waited for.
            _ => {}
        }
        Ok(())
    }

    fn execute(&mut self, number: u32, payload: &[u8]) -> io::Result<()> {
        let order: serde_json::Value = serde_json::from_slice(payload)?;
        let program = order.get("program").is_some();
        self.running = Some(Running { number, program, interrupted: None, ended: None });
        if order.get("comm").is_some() {
            return self.finish(number, 0); // bash has no widgets
        }
        self.code.set_len(0)?;
        self.code.write_all_at(order["code"].as_str().unwrap_or_default().as_bytes(), 0)?;
        let mut line = String::new();
        if self.status != 0 {
            line += &format!("(exit {}); ", self.status);
        }
        let variables: String = order["env"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={} ", quoted(value.as_str().unwrap_or_default())))
            .collect();
        let source = format!("builtin source /proc/self/fd/{CODE}");
        let source = match order.get("program") {
            None => variables + &source,
            Some(program) => as_program(&source, &variables, program),
        };
        let out = FIRST_PAIR + 2 * self.pair;
        line += &format!("{source} 0</dev/null 1>&{out} 2>&{}\n", out + 1);
        line += &report_command(number);
        self.commands.write_all(line.as_bytes())
    }

    fn read_reports(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4 << 10];
        let count = self.reports.read(&mut bytes)?;
        for &byte in &bytes[..count] {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
            if let Some(number) = line.strip_prefix(READS_ON) {
                self.on_reads_on(number.parse().unwrap_or_default())?;
                continue;
            }
            let report = line.strip_prefix(REPORT).and_then(|report| report.split_once(' '));
            match report.map(|(cell, status)| (cell.parse(), status.parse())) {
                Some((Ok(cell), Ok(status))) => self.on_report(cell, status)?,
                _ => self.on_completion(line)?,
            }
        }
        Ok(())
    }

    fn finish(&mut self, number: u32, status: i32) -> io::Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        self.status = status;
        let mut frames = Vec::new();
        let outcome = match status {
            0 => Outcome::Ok,
            _ if running.ended.is_some() => Outcome::Interrupted,
            _ if running.program => Outcome::Error,
            _ => Outcome::Ok,
        };
        if outcome == Outcome::Error {
            let said = format!("The program exits with {status}");
            let error = serde_json::json!({"type": "error", "name": "SystemExit", "value": status.to_string(),
                                           "traceback": [said], "frames": []});
            append_message(&mut frames, kind::MESSAGE, 0, number, error.to_string().as_bytes());
        } else if status != 0 {
            let text = format!("exit status {status}");
            let detail = serde_json::json!({"type": "detail", "text": text}).to_string();
            append_message(&mut frames, kind::MESSAGE, 0, number, detail.as_bytes());
        }
        append_message(&mut frames, kind::DONE, 0, number, &[outcome as u8]);
        write_all(&self.control, &frames)
    }

    fn send(&mut self, kind: u8, number: u32, payload: &[u8]) -> io::Result<()> {
        let mut frames = Vec::new();
        append_message(&mut frames, kind, 0, number, payload);
        write_all(&self.control, &frames)
    }

    fn answer(&mut self, at: usize, number: u32, payload: &[u8]) -> io::Result<()> {
        match questions::read(payload) {
            Question::IsComplete(code) => {
                let answer = questions::is_complete(&self.setup.interpreter, &code);
                self.reply(at, number, Some(&answer))
            }
            Question::Complete(mut completion)
                if self.running.is_none() && self.completion.is_none() =>
            {
                (completion.socket, completion.number) = (at, number);
                self.commands.write_all(completion.command(REPORTS).as_bytes())?;
                self.completion = Some(completion);
                Ok(())
            }
            Question::Complete(_) => self.reply(at, number, None),
            Question::Unknown(answer) => self.reply(at, number, Some(&answer)),
        }
    }

    fn on_completion(&mut self, line: String) -> io::Result<()> {
        let Some(completion) = &mut self.completion else { return Ok(()) };
        if let Some(answer) = completion.take(line) {
            let (at, number) = (completion.socket, completion.number);
            self.completion = None;
            return self.reply(at, number, Some(&answer));
        }
        Ok(())
    }

    /// Answers a question; `None`: bash is busy.
    fn reply(&self, at: usize, number: u32, answer: Option<&serde_json::Value>) -> io::Result<()> {
        let flags = if answer.is_some() { 0 } else { flag::BUSY };
        let payload = answer.map(ToString::to_string).unwrap_or_default();
        let mut frames = Vec::new();
        append_message(&mut frames, kind::REPLY, flags, number, payload.as_bytes());
        write_all(if at == 0 { &self.control } else { &self.side }, &frames)
    }
}

fn write_all(socket: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[sys::write(socket.as_fd(), bytes)?..];
    }
    Ok(())
}
