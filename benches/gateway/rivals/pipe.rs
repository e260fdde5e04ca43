//! The bare driver on two pipes: what a cell costs when nothing is in between, or a sandbox at most.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use tokio_tungstenite::tungstenite::Bytes;

use super::{DRIVER, END, FLOOR, request};
use crate::contender::{Chunk, Contender, Host};

/// A pipe's capacity, so one read can take all there is.
const READ_BYTES: usize = 64 << 10;

/// What is around the driver.
#[derive(Clone, Debug)]
pub(crate) enum Around {
    /// Nothing: the floor.
    Nothing {
        /// The interpreter.
        python: PathBuf,
    },
    /// The namespaces and mounts of the local backend, made by bubblewrap.
    Bubblewrap {
        /// The interpreter.
        python: PathBuf,
    },
    /// The least that runs it in a container.
    DockerRun {
        /// A name of an image with `python3`.
        image: String,
    },
}

impl Around {
    fn command(&self) -> Command {
        match self {
            Around::Nothing { python } => Command::new(python),
            Around::Bubblewrap { python } => bubblewrap(python),
            Around::DockerRun { image } => {
                let mut command = Command::new("docker");
                // At its best: without a log of what it prints.
                command.args(["run", "--rm", "--interactive", "--network", "none"]);
                command.args(["--log-driver", "none"]);
                command.args([image, "python3"]);
                command
            }
        }
    }
}

impl Host for Around {
    fn name(&self) -> &str {
        match self {
            Around::Nothing { .. } => FLOOR,
            Around::Bubblewrap { .. } => "bwrap",
            Around::DockerRun { .. } => "docker run -i",
        }
    }

    fn admit(&self) -> Result<Box<dyn Contender>> {
        Ok(Box::new(Pipe::start_in(self.name(), self.command())?))
    }
}

fn bubblewrap(python: &Path) -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]);
    command.args(["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]);
    for dir in ["/usr", "/etc", "/opt"] {
        command.args(["--ro-bind-try", dir, dir]);
    }
    for dir in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        command.args(["--symlink", &format!("usr/{dir}"), &format!("/{dir}")]);
    }
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/work"]);
    command.args(["--chdir", "/work", "--setenv", "HOME", "/work", "--setenv", "PATH"]);
    command.args(["/usr/local/bin:/usr/bin:/bin", "--setenv", "LANG", "C.UTF-8"]);
    command.arg(python);
    command
}

/// The driver as a child, which ends when its input does.
pub(crate) struct Pipe {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Pipe {
    /// Starts the driver with a command line that ends where the interpreter's arguments begin.
    fn start_in(name: &str, mut interpreter: Command) -> Result<Pipe> {
        interpreter.args(["-c", DRIVER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = interpreter.spawn().with_context(|| format!("cannot start the {name}"))?;
        let stdin = child.stdin.take().context("the driver has no stdin")?;
        let stdout = child.stdout.take().context("the driver has no stdout")?;
        let stdout = BufReader::with_capacity(READ_BYTES, stdout);
        Ok(Pipe { child, stdin, stdout })
    }

    fn ask(&mut self, code: &str, collect: bool) -> Result<()> {
        self.stdin.write_all(request(code, collect).as_bytes()).context("cannot ask the driver")
    }
}

impl Contender for Pipe {
    fn cell(&mut self, code: &str) -> Result<()> {
        self.ask(code, true)?;
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).context("cannot read the driver's answer")?;
        check(&answer)
    }

    fn stream(&mut self, code: &str, take: &mut dyn FnMut(Chunk) -> Result<()>) -> Result<()> {
        self.ask(code, false)?;
        let mut end = EndOfCell::default();
        loop {
            let mut bytes = vec![0; READ_BYTES];
            // Past the buffer, which is empty between cells: reads this large go to the pipe.
            let count = self.stdout.read(&mut bytes).context("cannot read the driver's output")?;
            if count == 0 {
                bail!("the driver ended");
            }
            bytes.truncate(count);
            let over = end.cut(&mut bytes);
            take(Chunk::Plain(Bytes::from(bytes)))?;
            if over {
                return Ok(());
            }
        }
    }

    fn leave(self: Box<Self>) -> Result<()> {
        let Pipe { mut child, stdin, stdout } = *self;
        drop((stdin, stdout));
        child.wait().context("cannot wait for the driver")?;
        Ok(())
    }
}

/// Fails unless the driver's answer says `ok`.
pub(super) fn check(answer: &str) -> Result<()> {
    let answer: serde_json::Value = serde_json::from_str(answer)
        .with_context(|| format!("the driver's answer is {answer:?}"))?;
    if answer["status"] != "ok" {
        bail!("the driver's cell failed: {}", answer["status"]);
    }
    Ok(())
}

/// Finds the end marker, whole or cut in two.
#[derive(Default)]
pub(super) struct EndOfCell {
    half: bool,
}

impl EndOfCell {
    /// Cuts the marker off a chunk; answers whether it was there.
    pub(super) fn cut(&mut self, chunk: &mut Vec<u8>) -> bool {
        if self.half && chunk[..] == END[1..] {
            chunk.clear();
            return true;
        }
        if chunk.ends_with(END) {
            chunk.truncate(chunk.len() - END.len());
            return true;
        }
        self.half = chunk.ends_with(&END[..1]);
        if self.half {
            chunk.pop();
        }
        false
    }
}
