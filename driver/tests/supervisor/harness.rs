//! A gateway for one test: starts the supervisor, speaks the wire, ends it.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use cellgate_driver::wire::{
    self, Done, Exited, HEADER_BYTES, Header, Outcome, Setup, VERSION, flag, kind,
};

/// How long anything may take that a test waits for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A frame as it arrived.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) program: u16,
    pub(crate) cell: u32,
    pub(crate) payload: Vec<u8>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Frame { kind, flags, program, cell, payload } = self;
        let text = String::from_utf8_lossy(&payload[..payload.len().min(100)]);
        write!(
            f,
            "{kind:#x} flags {flags:#x} program {program} cell {cell}: {} bytes {text:?}",
            payload.len()
        )
    }
}

/// A supervisor and the gateway's end of its link.
pub(crate) struct Gateway {
    pub(crate) child: Child,
    pub(crate) link: UnixStream,
    /// Own to this test, removed at its end.
    pub(crate) directory: tempdir::Directory,
}

mod tempdir {
    use std::path::{Path, PathBuf};

    pub(crate) struct Directory(PathBuf);

    impl Directory {
        pub(crate) fn new() -> Directory {
            let mut random = [0; 8];
            let mut source = std::fs::File::open("/dev/urandom").unwrap();
            std::io::Read::read_exact(&mut source, &mut random).unwrap();
            let name = format!("cellgate-driver-{:016x}", u64::from_le_bytes(random));
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).unwrap();
            Directory(path)
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// What every test starts from.
pub(crate) fn setup() -> Setup {
    Setup {
        language: "python".into(),
        interpreter: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/supervisor/scripted_runner.py")
            .into(),
        env: vec![b"PATH=/usr/local/bin:/usr/bin:/bin".to_vec(), b"LANG=C.UTF-8".to_vec()],
        workdir: env!("CARGO_TARGET_TMPDIR").into(),
        ..Setup::default()
    }
}

impl Gateway {
    /// A supervisor with a runner that is ready.
    pub(crate) fn start() -> Gateway {
        Gateway::with(&setup())
    }

    /// The same with another setup.
    pub(crate) fn with(setup: &Setup) -> Gateway {
        let mut gateway = Gateway::unready(setup);
        gateway.expect(kind::READY);
        gateway
    }

    /// A supervisor that was sent `setup`; what becomes of the runner is the test's.
    pub(crate) fn unready(setup: &Setup) -> Gateway {
        let mut gateway = Gateway::bare(Command::new(env!("CARGO_BIN_EXE_cellgate-driver")));
        gateway.send_message(kind::SETUP, 0, &setup.encode());
        gateway
    }

    /// A supervisor with a runner, as PID 1 of a namespace; `None` where this machine allows none.
    /// Its own process is the one child of [`Gateway::child`].
    pub(crate) fn first_of_a_namespace() -> Option<Gateway> {
        let namespaces = ["--user", "--map-root-user", "--pid", "--mount-proc", "--fork"];
        let unshare = || {
            let mut unshare = Command::new("unshare");
            unshare.args(namespaces).arg("--kill-child");
            unshare
        };
        if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
            let required = std::env::var("CELLGATE_REQUIRE").is_ok_and(|value| value == "all");
            assert!(!required, "required, but unshare can make no namespaces here");
            eprintln!("skipped: unshare can make no namespaces here");
            return None;
        }
        let mut command = unshare();
        command.arg(env!("CARGO_BIN_EXE_cellgate-driver"));
        let mut gateway = Gateway::bare(command);
        gateway.send_message(kind::SETUP, 0, &setup().encode());
        gateway.expect(kind::READY);
        Some(gateway)
    }

    /// The process id of the one child of the process that the test started.
    pub(crate) fn pid_of_first(&self) -> String {
        let pid = self.child.id();
        let children = format!("/proc/{pid}/task/{pid}/children");
        std::fs::read_to_string(children).unwrap().trim().to_owned()
    }

    /// A supervisor that has said HELLO. `command` lacks the supervisor's own arguments.
    pub(crate) fn bare(mut command: Command) -> Gateway {
        let (ours, theirs) = UnixStream::pair().unwrap();
        command.args(["supervise", "--link", "fd:0"]).stdin(Stdio::from(OwnedFd::from(theirs)));
        let child = command.spawn().unwrap();
        drop(command); // it holds the other end of the link
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut gateway = Gateway { child, link: ours, directory: tempdir::Directory::new() };
        let hello = gateway.expect(kind::HELLO);
        assert_eq!(hello.payload[..2], VERSION.to_le_bytes());
        assert_eq!(String::from_utf8_lossy(&hello.payload[2..]), "", "protections are missing");
        gateway
    }

    pub(crate) fn send(&mut self, kind: u8, cell: u32, payload: &[u8]) {
        self.send_message(kind, cell, payload);
    }

    fn send_message(&mut self, kind: u8, cell: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        wire::append_message(&mut bytes, kind, 0, cell, payload);
        self.link.write_all(&bytes).unwrap();
    }

    /// Sends a command for a program.
    pub(crate) fn send_of(&mut self, program: u16, kind: u8, cell: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        wire::append_message_of(&mut bytes, program, kind, 0, cell, payload);
        self.link.write_all(&bytes).unwrap();
    }

    pub(crate) fn execute(&mut self, cell: u32, code: &str) {
        self.send(kind::EXECUTE, cell, code.as_bytes());
    }

    pub(crate) fn interrupt(&mut self, cell: u32, grace_ms: u32) {
        self.send(kind::INTERRUPT, cell, &grace_ms.to_le_bytes());
    }

    /// The next frame; fails the test after the deadline.
    pub(crate) fn next(&mut self) -> Frame {
        self.try_next().expect("the supervisor goes on")
    }

    /// The next frame, or `None` when the supervisor closed the link.
    pub(crate) fn try_next(&mut self) -> Option<Frame> {
        let mut head = [0; HEADER_BYTES];
        match self.link.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return None,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("no frame in time: {error}"),
        }
        let header = Header::decode(&head).unwrap();
        let mut payload = vec![0; header.length as usize];
        self.link.read_exact(&mut payload).unwrap();
        let Header { kind, flags, program, cell, .. } = header;
        Some(Frame { kind, flags, program, cell, payload })
    }

    /// The next frame, which has to be of this kind.
    pub(crate) fn expect(&mut self, kind: u8) -> Frame {
        let frame = self.next();
        assert_eq!(frame.kind, kind, "{frame:?}");
        frame
    }

    /// Everything up to the next frame of this kind, that one last.
    pub(crate) fn until(&mut self, kind: u8) -> Vec<Frame> {
        let mut frames = vec![self.next()];
        while frames.last().unwrap().kind != kind {
            frames.push(self.next());
        }
        frames
    }

    /// Everything up to the cell's DONE, and that.
    pub(crate) fn finish(&mut self, cell: u32) -> (Vec<Frame>, Done) {
        let mut frames = self.until(kind::DONE);
        let last = frames.pop().unwrap();
        assert_eq!((last.cell, last.flags), (cell, 0));
        (frames, Done::decode(&last.payload).unwrap())
    }

    /// Runs a cell that ends well and answers what it wrote to stdout.
    pub(crate) fn run(&mut self, cell: u32, code: &str) -> String {
        self.execute(cell, code);
        let (frames, done) = self.finish(cell);
        let text = |stderr| String::from_utf8(written(&frames, cell, stderr)).unwrap();
        assert_eq!(done.outcome, Outcome::Ok, "{}", text(flag::STDERR));
        text(0)
    }

    /// The next EXITED, whatever comes before it.
    pub(crate) fn exited(&mut self) -> (u32, Exited) {
        let frame = self.until(kind::EXITED).pop().unwrap();
        (frame.cell, Exited::decode(&frame.payload).unwrap())
    }

    /// A path in the test's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A named pipe for cells to write to, as the test's path and its text in Python.
    pub(crate) fn fifo(&self, name: &str) -> (PathBuf, String) {
        let path = self.path(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let text = format!("{path:?}");
        (path, text)
    }

    /// Waits until the supervisor ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the supervisor lives on");
            std::thread::yield_now();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The dead-man switch is what ends the rest; a supervisor that hangs is killed.
        let _ = self.link.shutdown(std::net::Shutdown::Both);
        let deadline = Instant::now() + DEADLINE;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            std::thread::yield_now();
        }
    }
}

/// What the OUTPUT frames of a cell say together; `flags` picks the stream and the lateness.
pub(crate) fn written(frames: &[Frame], cell: u32, flags: u8) -> Vec<u8> {
    let of =
        |frame: &&Frame| frame.kind == kind::OUTPUT && frame.cell == cell && frame.flags == flags;
    frames.iter().filter(of).flat_map(|frame| frame.payload.iter().copied()).collect()
}

/// Reads a named pipe to its end in a thread, so that a test can wait for it with a deadline.
pub(crate) fn read_fifo(path: PathBuf) -> std::sync::mpsc::Receiver<Vec<u8>> {
    let (told, tell) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = told.send(std::fs::read(path).unwrap());
    });
    tell
}

/// Waits until `done` holds; for what the kernel tells nobody.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::yield_now();
    }
}
