//! A `cellgate serve` of our own, on a port the kernel chose; ended when dropped.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::Client;
use crate::contender::{Contender, Host};
use crate::options::Options;

/// The program under measurement, built by cargo for this benchmark.
const PROGRAM: &str = env!("CARGO_BIN_EXE_cellgate");

/// For a gateway to end its sandboxes and go.
const PATIENCE: Duration = Duration::from_secs(15);

/// For a pool of a hundred to fill on a slow machine.
const STOCKED: Duration = Duration::from_secs(120);

/// No sandboxes parked ahead of visitors.
pub(crate) const NO_POOL: &[&str] = &["--pool-max", "0"];

/// One client that is a whole crowd.
const UNBOUNDED: [&str; 12] = [
    // The interpreter of the machine may have IPython or not; scripts/compare-shells measures it.
    "--shell",
    "plain",
    "--sessions",
    "1000",
    "--participants",
    "1000",
    "--client-requests",
    "none",
    "--client-connections",
    "none",
    "--client-messages",
    "none",
];

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
    /// The gateways to measure: this build, with Docker too if there is an image for it, and the
    /// build it is compared to, if there is one. None parks sandboxes: what is measured is
    /// disturbed by nothing that goes on meanwhile.
    pub(crate) fn start_all(options: &Options) -> Result<Vec<Gateway>> {
        let mut gateways = vec![Gateway::start_one(options, NO_POOL)?];
        if let Some(docker) = options.docker() {
            gateways.push(Gateway::start(
                "cellgate, docker",
                Path::new(PROGRAM),
                &docker,
                NO_POOL,
            )?);
        }
        if let Some(path) = &options.against {
            gateways.push(Gateway::start("cellgate (other build)", path, options, NO_POOL)?);
        }
        Ok(gateways)
    }

    /// This build alone.
    pub(crate) fn start_one(options: &Options, flags: &[&str]) -> Result<Gateway> {
        Gateway::start_as("cellgate", options, flags)
    }

    /// This build by another name.
    pub(crate) fn start_as(
        name: &'static str,
        options: &Options,
        flags: &[&str],
    ) -> Result<Gateway> {
        Gateway::start(name, Path::new(PROGRAM), options, flags)
    }

    fn start(
        name: &'static str,
        program: &Path,
        options: &Options,
        flags: &[&str],
    ) -> Result<Gateway> {
        let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
        let log = File::create(dir.path().join("log")).context("cannot make a log")?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--backend", &options.backend])
            .arg("--runtime-dir")
            .arg(dir.path().join("run"))
            .args(UNBOUNDED)
            .args(flags)
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

    /// A participant with a fresh session whose interpreter is ready.
    pub(crate) fn connect(&self) -> Result<Client> {
        Client::connect(&self.address, "/ws", Some(&self.token))
            .with_context(|| format!("cannot begin a session; the gateway says:\n{}", self.log()))
    }

    /// Another participant of somebody's session, who only watches.
    pub(crate) fn watch(&self, owner: &Client) -> Result<Client> {
        let path = format!("/v1/sessions/{}/tokens", owner.session);
        let answer = self.http("POST", &path, r#"{"role":"viewer"}"#)?;
        let token: serde_json::Value =
            serde_json::from_str(&answer).with_context(|| format!("no token in {answer:?}"))?;
        let token = token["token"].as_str().context("the answer has no token")?;
        Client::connect(
            &self.address,
            &format!("/ws?session={}&token={token}", owner.session),
            None,
        )
    }

    /// Waits until as many sandboxes are parked as the pool wants.
    pub(crate) fn stock(&self) -> Result<()> {
        let deadline = Instant::now() + STOCKED;
        loop {
            let answer = self.http("GET", "/readyz", "")?;
            let line = answer.lines().find(|line| line.starts_with("pool python"));
            let line = line.with_context(|| format!("no pool in {answer:?}"))?;
            // "pool python: 3 parked of 8, 0 being made": the first two agree.
            let numbers: Vec<usize> = line
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|word| word.parse().ok())
                .collect();
            if let [parked, wanted, 0, ..] = numbers[..]
                && parked == wanted
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the pool does not fill: {line}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// One request on a connection of its own; answers the body.
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
        if !head.starts_with("HTTP/1.1 2") {
            bail!("{method} {path} was answered with {head}\n{body}");
        }
        Ok(body.to_owned())
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Host for Gateway {
    fn name(&self) -> &str {
        self.name
    }

    fn tells_ready(&self) -> bool {
        true
    }

    fn admit(&self) -> Result<Box<dyn Contender>> {
        Ok(Box::new(self.connect()?))
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
