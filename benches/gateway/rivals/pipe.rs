//! The bare driver on two pipes: what a cell costs when nothing is in between.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use tokio_tungstenite::tungstenite::Bytes;

use super::{DRIVER, END, request};
use crate::contender::{Chunk, Contender};

/// A pipe's capacity, so one read can take all there is.
const READ_BYTES: usize = 64 << 10;

/// The driver as a child, killed when dropped.
pub(crate) struct Pipe {
    name: &'static str,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Pipe {
    /// Starts the driver with `python` and nothing around it.
    pub(crate) fn start(python: &Path) -> Result<Pipe> {
        Pipe::start_in("bare driver on a pipe", Command::new(python))
    }

    /// Starts the driver with a command line that ends where the interpreter's arguments begin.
    pub(crate) fn start_in(name: &'static str, mut interpreter: Command) -> Result<Pipe> {
        interpreter.args(["-c", DRIVER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = interpreter.spawn().with_context(|| format!("cannot start the {name}"))?;
        let stdin = child.stdin.take().context("the driver has no stdin")?;
        let stdout = child.stdout.take().context("the driver has no stdout")?;
        let stdout = BufReader::with_capacity(READ_BYTES, stdout);
        Ok(Pipe { name, child, stdin, stdout })
    }

    /// Closes its input and waits until it is gone.
    pub(crate) fn end(self) -> Result<()> {
        let Pipe { mut child, stdin, stdout, .. } = self;
        drop((stdin, stdout));
        child.wait().context("cannot wait for the driver")?;
        Ok(())
    }

    fn ask(&mut self, code: &str, collect: bool) -> Result<()> {
        self.stdin.write_all(request(code, collect).as_bytes()).context("cannot ask the driver")
    }
}

impl Contender for Pipe {
    fn name(&self) -> &str {
        self.name
    }

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
