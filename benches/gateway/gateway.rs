//! A `cellgate serve` of our own, on a port the kernel chose; ended when dropped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::Client;
use crate::options::Options;

/// The program under measurement, built by cargo for this benchmark.
const PROGRAM: &str = env!("CARGO_BIN_EXE_cellgate");

/// For a gateway to end its sandboxes and go.
const PATIENCE: Duration = Duration::from_secs(15);

/// A serving gateway.
pub(crate) struct Gateway {
    name: &'static str,
    child: Child,
    /// Held, so that the gateway never writes to a closed pipe.
    _stdout: BufReader<ChildStdout>,
    address: String,
    token: String,
    /// Its runtime directory and its log.
    dir: TempDir,
}

impl Gateway {
    /// The gateways to measure: this build and, if there is one, the build it is compared to.
    pub(crate) fn start_all(options: &Options) -> Result<Vec<Gateway>> {
        let ours = Gateway::start("cellgate", Path::new(PROGRAM), options)?;
        let other = options.against.as_deref();
        let other = other.map(|path| Gateway::start("cellgate (other build)", path, options));
        Ok([Some(ours), other.transpose()?].into_iter().flatten().collect())
    }

    /// This build alone.
    pub(crate) fn start_one(options: &Options) -> Result<Gateway> {
        Gateway::start("cellgate", Path::new(PROGRAM), options)
    }

    fn start(name: &'static str, program: &Path, options: &Options) -> Result<Gateway> {
        let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
        let log = File::create(dir.path().join("log")).context("cannot make a log")?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--backend", &options.backend])
            .arg("--runtime-dir")
            .arg(dir.path().join("run"))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("CELLGATE_") {
                command.env_remove(variable);
            }
        }
        if options.backend == "local" {
            command.arg("--python").arg(&options.python);
        }
        if let Some(image) = &options.image {
            command.args(["--image", image]);
        }
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("the gateway has no stdout")?;
        let mut gateway = Gateway {
            name,
            child,
            _stdout: BufReader::new(stdout),
            address: String::new(),
            token: String::new(),
            dir,
        };
        gateway.read_url()?;
        Ok(gateway)
    }

    fn read_url(&mut self) -> Result<()> {
        let mut line = String::new();
        while self._stdout.read_line(&mut line).context("cannot read the gateway's stdout")? > 0 {
            if let Some((address, token)) = parse_url(&line) {
                (self.address, self.token) = (address, token);
                return Ok(());
            }
            line.clear();
        }
        bail!("the gateway ended before it printed its URL; it said:\n{}", self.log())
    }

    /// For tables.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// A participant with a fresh session whose interpreter is ready.
    pub(crate) fn connect(&self) -> Result<Client> {
        Client::connect(self.name, &self.address, &self.token)
            .with_context(|| format!("cannot begin a session; the gateway says:\n{}", self.log()))
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            kill_process(pid, Signal::TERM).ok();
        }
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Only reached alive if it did not end in time; and if it did, both are no more than asked.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// `http://127.0.0.1:4711/#token=…`, anywhere in a line.
fn parse_url(line: &str) -> Option<(String, String)> {
    let (address, rest) = line.split_once("http://")?.1.split_once('/')?;
    let token = rest.trim().strip_prefix("#token=")?.split_whitespace().next()?;
    Some((address.to_owned(), token.to_owned()))
}
