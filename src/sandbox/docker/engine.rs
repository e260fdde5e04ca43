//! The engine: its address, one connection to it, and calls that always end.
//!
//! Every call names what it does and has a deadline. An error with an HTTP status means that the
//! engine refused; one without means that it did not answer. Callers decide by that alone and see
//! no types of the library.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::buffers;
use super::facts::Facts;
use crate::sandbox::SandboxError;

/// Answers from the engine's memory: ping, inspect, list.
pub(super) const QUICK_TIMEOUT: Duration = Duration::from_secs(5);
/// Work on disk and in the kernel: create, start, remove. A loaded host takes seconds for one.
pub(super) const SLOW_TIMEOUT: Duration = Duration::from_secs(30);
/// The library's own deadline, in seconds. Above ours, whose errors say what was being done.
const LIBRARY_SECONDS: u64 = 120;

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A Unix socket: the engine may share this kernel and these files.
    Unix(PathBuf),
    /// `tcp://host:port`: nothing is context.
    Tcp(String),
}

impl Address {
    /// Reads `unix:///path`, a bare path, `tcp://host:port` or `http://host:port`.
    pub(super) fn parse(host: &str) -> Result<Address, SandboxError> {
        if let Some(path) = host.strip_prefix("unix://") {
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        if host.starts_with('/') {
            return Ok(Address::Unix(PathBuf::from(host)));
        }
        if host.starts_with("tcp://") || host.starts_with("http://") {
            return Ok(Address::Tcp(host.to_owned()));
        }
        Err(unusable(format!(
            "the docker host {host:?} is of no kind cellgate knows: use unix:///path/to/docker.sock \
             or tcp://host:port (for ssh:// forward the engine's socket with ssh -L and name that)"
        )))
    }

    /// The settings' address, else `DOCKER_HOST`, else the first usual socket that exists.
    pub(super) fn find(setting: Option<&str>) -> Result<Address, SandboxError> {
        if let Some(host) = setting {
            return Address::parse(host);
        }
        if let Ok(host) = std::env::var("DOCKER_HOST")
            && !host.is_empty()
        {
            return Address::parse(&host);
        }
        let usual = PathBuf::from("/var/run/docker.sock");
        if !usual.exists()
            && let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR")
        {
            let rootless = PathBuf::from(runtime).join("docker.sock");
            if rootless.exists() {
                return Ok(Address::Unix(rootless));
            }
        }
        Ok(Address::Unix(usual))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp(url) => f.write_str(url),
        }
    }
}

/// A connected engine and what it said about itself.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    /// The client; use it through [`call`].
    pub(super) client: Docker,
    /// Where it listens.
    pub(super) address: Address,
    /// What it can do, read once.
    pub(super) facts: Facts,
}

impl Engine {
    /// Connects, agrees on an API version and reads what the engine is.
    pub(super) async fn connect(
        address: Address,
        runtime: Option<&str>,
    ) -> Result<Engine, SandboxError> {
        let connected = match &address {
            Address::Unix(path) => {
                try_connect(path).await?;
                Docker::connect_with_unix(
                    &path.to_string_lossy(),
                    LIBRARY_SECONDS,
                    API_DEFAULT_VERSION,
                )
            }
            Address::Tcp(url) => {
                if std::env::var_os("DOCKER_TLS_VERIFY").is_some_and(|value| !value.is_empty()) {
                    return Err(unusable(format!(
                        "DOCKER_TLS_VERIFY is set and cellgate speaks no TLS to an engine: forward \
                         the socket of {url} with ssh -L and set DOCKER_HOST to the forwarded one"
                    )));
                }
                Docker::connect_with_http(url, LIBRARY_SECONDS, API_DEFAULT_VERSION)
            }
        };
        let client = connected.map_err(|error| {
            unusable(format!("cannot connect to the engine at {address}: {error}"))
        })?;
        let client = call(
            "agree on an API version with the engine",
            QUICK_TIMEOUT,
            client.negotiate_version(),
        )
        .await
        .map_err(|error| unreachable_engine(&address, error))?;
        let (version, info) = tokio::try_join!(
            call("ask the engine for its version", QUICK_TIMEOUT, client.version()),
            call("ask the engine what it can do", SLOW_TIMEOUT, client.info()),
        )?;
        let mut facts = Facts::read(&version, &info, runtime)?;
        if matches!(address, Address::Unix(_)) && facts.counts_buffers_apart() {
            facts.buffers_hierarchy = buffers::writable_hierarchy();
        }
        Ok(Engine { client, address, facts })
    }
}

/// Opens the socket once, for an error that says what is wrong with it.
async fn try_connect(path: &Path) -> Result<(), SandboxError> {
    use std::io::ErrorKind;
    let opening = tokio::net::UnixStream::connect(path);
    let error = match tokio::time::timeout(QUICK_TIMEOUT, opening).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => ErrorKind::TimedOut.into(),
    };
    let path = path.display();
    let advice = match error.kind() {
        ErrorKind::NotFound => format!(
            "no docker engine: {path} does not exist; start one (systemctl start docker), or name \
             its socket with --docker-host, or choose another backend with --backend local"
        ),
        ErrorKind::PermissionDenied => format!(
            "the docker socket {path} may not be used by this user: add it to the socket's group \
             (usermod -aG docker USER, then log in anew), or use a rootless engine"
        ),
        ErrorKind::ConnectionRefused => format!(
            "the docker engine does not run: nothing listens on {path}; start it (systemctl start \
             docker) or choose another backend with --backend local"
        ),
        _ => format!("the docker socket {path} cannot be opened: {error}"),
    };
    Err(unusable(advice))
}

fn unreachable_engine(address: &Address, error: CallError) -> SandboxError {
    if error.status().is_some() {
        return error.into();
    }
    unusable(format!(
        "no docker engine answers at {address} ({error}): start it, or name where it listens with \
         --docker-host, or choose another backend with --backend local"
    ))
}

/// The error of an address at which there is no engine for us.
fn unusable(what: String) -> SandboxError {
    SandboxError::Setting { setting: "docker.host", what }
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// No answer in time; the engine may still do what it was asked.
    Deadline { operation: String, limit: Duration },
    /// The engine refused, or the connection broke.
    Failed { operation: String, error: BollardError },
}

impl CallError {
    /// The HTTP status, if the engine answered with one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            CallError::Failed {
                error: BollardError::DockerResponseServerError { status_code, .. },
                ..
            } => Some(*status_code),
            _ => None,
        }
    }

    /// What the engine said, empty if it did not answer.
    pub(super) fn message(&self) -> &str {
        match self {
            CallError::Failed {
                error: BollardError::DockerResponseServerError { message, .. },
                ..
            } => message,
            _ => "",
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Deadline { operation, limit } => {
                write!(f, "cannot {operation}: no answer in {} ms", limit.as_millis())
            }
            CallError::Failed { operation, error } => write!(f, "cannot {operation}: {error}"),
        }
    }
}

impl From<CallError> for SandboxError {
    fn from(error: CallError) -> SandboxError {
        match error {
            CallError::Deadline { operation, limit } => {
                SandboxError::Deadline { operation, limit_ms: limit.as_millis() as u64 }
            }
            CallError::Failed { operation, error } => {
                SandboxError::Step { operation, cause: error.into() }
            }
        }
    }
}

/// Awaits one call of the engine for at most `limit`. `operation` completes "cannot …".
pub(super) async fn call<T>(
    operation: impl Into<String>,
    limit: Duration,
    future: impl Future<Output = Result<T, BollardError>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(CallError::Failed { operation: operation.into(), error }),
        Err(_) => Err(CallError::Deadline { operation: operation.into(), limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_or_a_tcp_endpoint_and_nothing_else() {
        let unix = |path: &str| Address::Unix(PathBuf::from(path));
        assert_eq!(Address::parse("unix:///run/d.sock").unwrap(), unix("/run/d.sock"));
        assert_eq!(Address::parse("/run/d.sock").unwrap(), unix("/run/d.sock"));
        let tcp = Address::parse("tcp://127.0.0.1:2375").unwrap();
        assert_eq!(tcp, Address::Tcp("tcp://127.0.0.1:2375".into()));
        for bad in ["ssh://user@host", "", "docker.sock", "npipe:////./pipe/docker_engine"] {
            let error = Address::parse(bad).unwrap_err().to_string();
            assert!(error.contains("unix:///"), "{bad}: {error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_engine_is_a_deadline_that_says_what_was_tried() {
        let never = std::future::pending::<Result<(), BollardError>>();
        let error = call("start container x", QUICK_TIMEOUT, never).await.unwrap_err();
        assert_eq!(error.status(), None);
        assert_eq!(
            SandboxError::from(error).to_string(),
            "start container x took longer than 5000 ms"
        );
    }
}
