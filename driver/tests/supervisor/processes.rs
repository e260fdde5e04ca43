//! Programs that are processes: their pipes or terminal, what they read, signals, and their end.

use std::collections::HashMap;
use std::io::Write;

use cellgate_driver::wire::{
    self, ExitCause, Exited, MOST_UNWRITTEN, Process, Setup, TerminalSize, flag, kind,
};

use super::harness::{Frame, Gateway, eventually, setup};

const SIZE: TerminalSize = TerminalSize { columns: 80, rows: 24 };
static STDIN: Process = Process { argv: Vec::new(), stdin: true, terminal: None };
static NO_STDIN: Process = Process { argv: Vec::new(), stdin: false, terminal: None };
static TERMINAL: Process = Process { argv: Vec::new(), stdin: true, terminal: Some(SIZE) };

/// What a program said so far.
#[derive(Default)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    taken: usize,
    exited: Option<Exited>,
}

impl Said {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A gateway, and what each of its programs said.
struct Session {
    gateway: Gateway,
    said: HashMap<u16, Said>,
}

impl Session {
    fn start() -> Session {
        Session { gateway: Gateway::start(), said: HashMap::new() }
    }

    /// Sends OPEN of a process.
    fn request(&mut self, program: u16, like: &Process, argv: &[&str]) {
        let argv = argv.iter().map(|argument| argument.as_bytes().to_vec()).collect();
        let process = Some(Process { argv, ..like.clone() });
        let mut env = setup().env;
        env.push(b"TERM=dumb".to_vec());
        let opened = Setup { process, env, ..setup() };
        self.said.insert(program, Said::default());
        self.gateway.send_of(program, kind::OPEN, 0, &opened.encode());
    }

    /// Starts a process and answers its number in the sandbox.
    fn open(&mut self, program: u16, like: &Process, argv: &[&str]) -> u32 {
        self.request(program, like, argv);
        loop {
            let frame = self.take();
            if frame.kind == kind::STARTED {
                assert_eq!((frame.program, frame.cell, frame.flags), (program, 0, 0));
                return u32::from_le_bytes(frame.payload.try_into().unwrap());
            }
            assert_ne!(frame.kind, kind::EXITED, "{frame:?}");
        }
    }

    fn shell(&mut self, program: u16, like: &Process, script: &str) -> u32 {
        self.open(program, like, &["sh", "-c", script])
    }

    /// Takes in one frame.
    fn take(&mut self) -> Frame {
        let frame = self.gateway.next();
        let Some(said) = self.said.get_mut(&frame.program) else { return frame };
        assert!(said.exited.is_none(), "after its end: {frame:?}");
        match frame.kind {
            kind::OUTPUT => {
                assert_eq!((frame.cell, frame.flags & !flag::STDERR), (0, 0), "{frame:?}");
                let is_error = frame.flags == flag::STDERR;
                let to = if is_error { &mut said.stderr } else { &mut said.stdout };
                to.extend_from_slice(&frame.payload);
            }
            kind::WROTE => {
                let count = u32::from_le_bytes(frame.payload.clone().try_into().unwrap());
                said.taken += count as usize;
            }
            kind::EXITED => said.exited = Some(Exited::decode(&frame.payload).unwrap()),
            _ => {}
        }
        frame
    }

    /// Takes in frames until a program has said enough.
    fn until(&mut self, program: u16, mut enough: impl FnMut(&Said) -> bool) {
        while !enough(&self.said[&program]) {
            self.take();
        }
    }

    /// Waits until the last of what a process wrote is this.
    fn until_text(&mut self, program: u16, text: &str) {
        self.until(program, |said| said.text().contains(text));
    }

    fn end(&mut self, program: u16) -> Exited {
        self.until(program, |said| said.exited.is_some());
        self.said[&program].exited.clone().unwrap()
    }

    fn write(&mut self, program: u16, bytes: &[u8]) {
        self.gateway.send_of(program, kind::WRITE, 0, bytes);
    }

    fn signal(&mut self, program: u16, signal: i32) {
        self.gateway.send_of(program, kind::SIGNAL, 0, &[signal as u8]);
    }

    fn close(&mut self, program: u16) {
        self.gateway.send_of(program, kind::CLOSE, 0, &[]);
    }

    /// Runs a cell of program 0 to its end, past the frames of processes.
    fn cell(&mut self, cell: u32, code: &str) {
        self.gateway.execute(cell, code);
        while self.take().kind != kind::DONE {}
    }
}

fn lives(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state stands behind the name, which is in parentheses.
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

/// Bytes without any pattern that a terminal or a pipe could hide a mistake in.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    next.take(count).collect()
}

#[test]
fn what_goes_in_comes_out_byte_for_byte() {
    let mut session = Session::start();
    session.open(5, &STDIN, &["cat"]);
    let sent = bytes(8 << 20);
    let mut at = 0;
    while at < sent.len() {
        let room = MOST_UNWRITTEN - (at - session.said[&5].taken);
        let next = &sent[at..sent.len().min(at + room)];
        session.write(5, next);
        at += next.len();
        session.until(5, |said| at - said.taken < MOST_UNWRITTEN);
    }
    session.until(5, |said| said.taken == sent.len());
    session.write(5, b"");
    let exited = session.end(5);
    let end = (exited.cause, exited.signalled, exited.status);
    assert_eq!(end, (ExitCause::Own, false, 0));
    assert!(session.said[&5].stdout == sent, "{} bytes", session.said[&5].stdout.len());
    assert_eq!(exited.usage.output_bytes, sent.len() as u64);
}

#[test]
fn streams_codes_and_signals_are_told() {
    let mut session = Session::start();
    let pid = session.shell(5, &NO_STDIN, "echo out; echo error >&2; cat; echo $$; exit 7");
    let exited = session.end(5);
    assert_eq!((exited.signalled, exited.status), (false, 7));
    assert_eq!(session.said[&5].text(), format!("out\n{pid}\n"), "and its input is empty");
    assert_eq!(session.said[&5].stderr, b"error\n");
    // The number is free.
    session.shell(5, &STDIN, "kill -SEGV $$");
    let exited = session.end(5);
    assert_eq!((exited.signalled, exited.status), (true, libc::SIGSEGV));
    session.gateway.run(1, "pass");
}

#[test]
fn a_process_has_the_environment_and_directory_of_its_program() {
    let mut session = Session::start();
    let directory = session.gateway.directory.path().to_owned();
    let argv = ["env", "sh", "-c", "pwd; echo $OWN"].map(|text| text.as_bytes().to_vec()).to_vec();
    let mut opened = setup();
    opened.workdir = directory.to_str().unwrap().to_owned();
    opened.env.push(b"OWN=its own".to_vec());
    opened.process = Some(Process { argv, ..NO_STDIN.clone() });
    session.said.insert(9, Said::default());
    session.gateway.send_of(9, kind::OPEN, 0, &opened.encode());
    assert_eq!(session.end(9).status, 0);
    assert_eq!(session.said[&9].text(), format!("{}\nits own\n", directory.display()));
}

#[test]
fn a_process_that_reads_nothing_disturbs_nobody() {
    let mut session = Session::start();
    let pid = session.open(5, &STDIN, &["sleep", "600"]);
    session.write(5, &bytes(MOST_UNWRITTEN));
    // What its pipe holds was taken, and no more.
    session.until(5, |said| said.taken > 0);
    session.cell(1, "pass");
    session.gateway.send(kind::PING, 0, b"p");
    while session.take().kind != kind::PONG {}
    let taken = session.said[&5].taken;
    assert!(taken > 0 && taken < MOST_UNWRITTEN, "{taken}");
    session.write(5, b"");
    session.close(5);
    let exited = session.end(5);
    assert_eq!((exited.cause, exited.signalled), (ExitCause::Restart, true));
    assert!(!lives(pid));
    session.gateway.run(2, "pass");
}

#[test]
fn more_than_may_wait_for_a_process_ends_the_supervisor() {
    let mut session = Session::start();
    session.open(5, &STDIN, &["sleep", "600"]);
    let mut frames = Vec::new();
    wire::append_message_of(&mut frames, 5, kind::WRITE, 0, 0, &bytes(2 * MOST_UNWRITTEN));
    // It may end before it has read all.
    let _ = session.gateway.link.write_all(&frames);
    while session.gateway.try_next().is_some() {}
    assert_eq!(session.gateway.wait().code(), Some(1));
}

#[test]
fn what_a_process_has_closed_counts_as_taken() {
    let mut session = Session::start();
    session.shell(5, &STDIN, "exec <&-; echo closed; sleep 600");
    session.until_text(5, "closed");
    session.write(5, b"abc");
    session.until(5, |said| said.taken == 3);
    session.open(6, &NO_STDIN, &["sleep", "600"]);
    session.write(6, b"abcd");
    session.until(6, |said| said.taken == 4);
}

#[test]
fn a_signal_reaches_the_whole_group_of_a_process() {
    let mut session = Session::start();
    let script = "trap 'echo usr1' USR1; (trap 'echo child; exit' USR1; echo ready; while :; do sleep 600 & wait; done) & \
                  wait; wait; echo over";
    session.shell(5, &STDIN, script);
    session.until_text(5, "ready");
    session.signal(5, libc::SIGUSR1);
    session.until_text(5, "over");
    let text = session.said[&5].text();
    assert!(text.contains("usr1") && text.contains("child"), "{text}");
    session.close(5);
    session.end(5);
    session.open(6, &STDIN, &["sleep", "600"]);
    session.signal(6, libc::SIGTERM);
    let exited = session.end(6);
    let end = (exited.cause, exited.signalled, exited.status);
    assert_eq!(end, (ExitCause::Own, true, libc::SIGTERM));
}

#[test]
fn a_terminal_is_one_and_has_the_size_that_it_is_given() {
    let mut session = Session::start();
    let script =
        "tty; stty size; trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.1; done";
    session.shell(5, &TERMINAL, script);
    session.until_text(5, "ready");
    let text = session.said[&5].text();
    assert!(text.starts_with("/dev/pts/"), "{text}");
    assert!(text.contains("24 80\r\n"), "{text}");
    let size = TerminalSize { columns: 132, rows: 50 };
    session.gateway.send_of(5, kind::RESIZE, 0, &size.encode());
    assert_eq!(session.end(5).status, 3);
    assert!(session.said[&5].text().ends_with("50 132\r\n"));
    assert_eq!(session.said[&5].stderr, b"", "a terminal has one stream");
}

#[test]
fn keys_of_a_terminal_reach_its_foreground_alone() {
    let mut session = Session::start();
    // A shell with job control, in which a command runs in the foreground.
    session.open(5, &TERMINAL, &["bash", "--norc", "--noprofile", "-i"]);
    let foreground =
        b"sh -c 'trap \"echo got-it; exit\" INT; echo rea\"\"dy; while :; do sleep 0.1; done'\n";
    session.write(5, foreground);
    session.until_text(5, "ready\r\n");
    session.write(5, b"\x03");
    session.until_text(5, "got-it\r\n");
    // The same by a signal, which the shell itself does not get.
    session.write(
        5,
        b"sh -c 'trap \"echo term-it; exit\" TERM; echo aga\"\"in; while :; do sleep 0.1; done'\n",
    );
    session.until_text(5, "again\r\n");
    session.signal(5, libc::SIGTERM);
    session.until_text(5, "term-it\r\n");
    session.write(5, b"exit 4\n");
    assert_eq!(session.end(5).status, 4);
}

#[test]
fn the_end_of_input_reaches_a_terminals_reader_also_within_a_line() {
    for line in ["whole\n", "begun"] {
        let mut session = Session::start();
        session.shell(5, &TERMINAL, "stty -echo; echo ready; cat; echo over");
        session.until_text(5, "ready");
        session.write(5, line.as_bytes());
        session.write(5, b"");
        assert_eq!(session.end(5).status, 0);
        let text = session.said[&5].text().replace('\r', "");
        assert!(text.ends_with(&format!("ready\n{line}over\n")), "{text:?}");
        assert_eq!(session.said[&5].taken, line.len(), "its end counts no byte");
    }
}

#[test]
fn all_that_a_terminal_was_told_comes_before_its_end() {
    let mut session = Session::start();
    session.shell(5, &TERMINAL, "stty -opost; seq 100000");
    assert_eq!(session.end(5).status, 0);
    let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(session.said[&5].text() == expected, "{} bytes", session.said[&5].stdout.len());
}

#[test]
fn a_flood_and_cells_do_not_hold_each_other_back() {
    let mut session = Session::start();
    session.open(5, &NO_STDIN, &["yes", "flood"]);
    session.open(6, &TERMINAL, &["yes", "terminal"]);
    for cell in 1..=20 {
        session.cell(cell, "out(b'here')");
    }
    // Nor does the flood of a cell hold back a process.
    session.gateway.execute(21, "while True: os.write(1, b'z' * 65536)");
    session.open(7, &STDIN, &["cat"]);
    for round in 1..=20 {
        session.write(7, b"x");
        session.until(7, |said| said.stdout.len() == round);
    }
    let count = |session: &Session, program: u16| session.said[&program].stdout.len();
    let before = [5, 6].map(|program| count(&session, program));
    session.until(5, |said| said.stdout.len() > before[0]);
    session.until(6, |said| said.stdout.len() > before[1]);
    session.gateway.interrupt(21, 60_000);
    while session.take().kind != kind::DONE {}
    for program in 5..=7 {
        session.close(program);
        session.end(program);
    }
}

#[test]
fn what_cannot_be_started_is_told_with_what_to_do() {
    let mut session = Session::start();
    let plain = session.gateway.path("plain");
    std::fs::write(&plain, "not a program").unwrap();
    let plain = plain.to_str().unwrap().to_owned();
    let cases = [
        ("no-such-program", 127, "install it"),
        ("/no/such/program", 127, "no such file"),
        (plain.as_str(), 126, "make the file executable"),
        ("/", 126, "make the file executable"),
    ];
    for (name, status, remedy) in cases {
        for like in [&NO_STDIN, &TERMINAL] {
            session.request(5, like, &[name]);
            let exited = session.end(5);
            assert_eq!((exited.signalled, exited.status), (false, status), "{exited:?}");
            let detail = &exited.detail;
            assert!(detail.contains(name) && detail.contains(remedy), "{detail}");
        }
    }
    let process = Some(Process { argv: vec![b"true".to_vec()], ..NO_STDIN.clone() });
    let nowhere = Setup { workdir: "/no/such".into(), process, ..setup() };
    session.said.insert(6, Said::default());
    session.gateway.send_of(6, kind::OPEN, 0, &nowhere.encode());
    let exited = session.end(6);
    assert!(exited.status == 126 && exited.detail.contains("/no/such"), "{exited:?}");
    session.gateway.run(1, "pass");
}

#[test]
fn as_many_processes_run_as_there_are_programs() {
    let mut session = Session::start();
    for program in 1..32 {
        session.open(program, if program % 2 == 0 { &TERMINAL } else { &STDIN }, &["cat"]);
    }
    for program in 1..32 {
        session.write(program, format!("of {program}\n").as_bytes());
    }
    for program in 1..32 {
        session.until_text(program, &format!("of {program}"));
        session.close(program);
        session.end(program);
    }
    session.open(40, &STDIN, &["true"]);
    session.end(40);
}

#[test]
fn one_program_too_many_ends_the_supervisor() {
    let mut session = Session::start();
    for program in 1..32 {
        session.open(program, &STDIN, &["cat"]);
    }
    session.request(32, &STDIN, &["cat"]);
    while session.gateway.try_next().is_some() {}
    assert_eq!(session.gateway.wait().code(), Some(1));
}

#[test]
fn a_process_that_is_closed_leaves_nothing() {
    for like in [&STDIN, &TERMINAL] {
        let mut session = Session::start();
        let script = "trap '' TERM HUP INT; sleep 600 & echo $!; (sleep 600 & echo $!); echo all; wait; sleep 600";
        let pid = session.shell(5, like, script);
        session.until_text(5, "all");
        let text = session.said[&5].text();
        let children: Vec<u32> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
        assert_eq!(children.len(), 2, "{text}");
        assert!(children.iter().all(|&child| lives(child)));
        session.close(5);
        assert_eq!(session.end(5).cause, ExitCause::Restart);
        for pid in children.into_iter().chain([pid]) {
            eventually("it is gone", || !lives(pid));
        }
    }
}

#[test]
fn the_end_of_a_process_does_not_wait_for_what_it_leaves_behind() {
    let mut session = Session::start();
    session.shell(5, &NO_STDIN, "yes & sleep 600 & echo $! >&2; exit 5");
    assert_eq!(session.end(5).status, 5);
    let left: u32 = String::from_utf8_lossy(&session.said[&5].stderr).trim().parse().unwrap();
    assert!(lives(left), "a job in the background goes on");
    drop(session);
    eventually("it ends with the sandbox", || !lives(left));
}

#[test]
fn restarts_and_ends_of_others_leave_a_process_alone() {
    let mut session = Session::start();
    let pid = session.open(5, &STDIN, &["cat"]);
    session.open(6, &STDIN, &["sleep", "600"]);
    session.gateway.send(kind::RESTART, 0, b"");
    while session.take().kind != kind::READY {}
    session.gateway.execute(1, "os._exit(3)");
    while session.take().kind != kind::READY {}
    session.close(6);
    session.end(6);
    session.write(5, b"still here");
    session.until_text(5, "still here");
    assert!(lives(pid));
    session.gateway.run(2, "pass");
}

#[test]
fn what_has_left_its_program_and_writes_on_does_not_hold_back_a_restart() {
    let mut session = Session::start();
    session.open(5, &STDIN, &["cat"]);
    let code = "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  while True: os.write(1, b'z' * 65536)\n os._exit(0)\n\
                os.wait()";
    session.cell(1, code);
    session.gateway.send(kind::RESTART, 0, b"");
    while session.take().kind != kind::EXITED {}
    while session.take().kind != kind::READY {}
    session.gateway.run(2, "pass");
}

#[test]
fn commands_that_cross_the_end_of_a_process_are_ignored() {
    let mut session = Session::start();
    session.open(5, &STDIN, &["true"]);
    session.end(5);
    session.request(6, &STDIN, &["no-such-program"]);
    session.end(6);
    for program in [5, 6] {
        session.write(program, b"late");
        session.write(program, b"");
        session.signal(program, libc::SIGTERM);
        session.gateway.send_of(program, kind::RESIZE, 0, &SIZE.encode());
        session.close(program);
    }
    session.gateway.run(1, "pass");
    // Of one that is dying too, and it is told once.
    session.open(5, &STDIN, &["cat"]);
    session.close(5);
    session.close(5);
    session.write(5, b"late");
    session.signal(5, libc::SIGTERM);
    session.end(5);
    session.gateway.run(2, "pass");
}

#[test]
fn commands_for_the_other_kind_of_program_end_the_supervisor() {
    let commands: [(u16, u8, &[u8]); 9] = [
        (0, kind::WRITE, b"x"),
        (0, kind::SIGNAL, &[15]),
        (0, kind::RESIZE, &[80, 0, 24, 0]),
        (5, kind::EXECUTE, b"pass"),
        (5, kind::INTERRUPT, &[0, 0, 0, 0]),
        (5, kind::INPUT, b"{}"),
        (5, kind::RESTART, b""),
        (5, kind::REQUEST, b"{}"),
        (5, kind::SIGNAL, &[0]),
    ];
    for (program, command, payload) in commands {
        let mut session = Session::start();
        session.open(5, &STDIN, &["cat"]);
        session.gateway.send_of(program, command, 0, payload);
        assert_eq!(session.gateway.wait().code(), Some(1), "{command:#x} of {program}");
    }
}

#[test]
fn the_program_that_takes_the_most_memory_is_the_one_that_ends() {
    let limited = Setup { memory_limit_bytes: 256 << 20, watch_memory: true, ..setup() };
    let mut session = Session { gateway: Gateway::with(&limited), said: HashMap::new() };
    session.open(5, &STDIN, &["cat"]);
    session.open(
        6,
        &NO_STDIN,
        &["python3", "-c", "x = b'x' * (400 << 20); input()\nimport time; time.sleep(600)"],
    );
    let exited = session.end(6);
    assert_eq!(exited.cause, ExitCause::Memory, "{exited:?}");
    session.write(5, b"here");
    session.until_text(5, "here");
    session.gateway.run(1, "pass");
}
