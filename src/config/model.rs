//! The settings as the program uses them: plain values, one group for each module that takes them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::id::Token;
use crate::language;
use crate::template::Template;

/// The template that always exists; the keys outside `[templates]` describe it.
pub const DEFAULT_TEMPLATE: &str = "python";

/// Every setting of the gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// The front door.
    pub listen: ListenConfig,
    /// Which clients are let in.
    pub access: AccessConfig,
    /// How sandboxes are made, and how many.
    pub sandbox: SandboxConfig,
    /// Rules of every session.
    pub session: SessionConfig,
    /// Rules of every WebSocket.
    pub socket: SocketConfig,
    /// What one client may ask for.
    pub clients: ClientsConfig,
    /// The Docker backend.
    pub docker: DockerConfig,
    /// The operator's log.
    pub log: LogConfig,
    /// The recipes there are; [`DEFAULT_TEMPLATE`] is the first and the others follow by name.
    pub templates: Vec<Template>,
}

/// The front door.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// Where HTTP and WebSockets are served. Port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// Longest file that may be put into a session's working directory over HTTP, in bytes.
    pub upload_bytes: u64,
    /// How long a gateway that was told to stop lets running cells finish.
    pub drain_timeout: Duration,
    /// Most connections at one time, WebSockets included.
    pub connections: usize,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
}

/// What one client may ask for: an address, or an IPv6 network of 64 bits.
#[derive(Clone, Debug)]
pub struct ClientsConfig {
    /// Most sessions made from one address. `None`: only the gateway's own bound.
    pub sessions: Option<usize>,
    /// Most sessions made with one gateway token. `None`: only the gateway's own bound.
    pub token_sessions: Option<usize>,
    /// Most connections open from one address. `None`: only the gateway's own bound.
    pub connections: Option<usize>,
    /// Requests a second from one address. `None`: no bound.
    pub requests: Option<u32>,
    /// Messages a second on one WebSocket. `None`: no bound.
    pub messages: Option<u32>,
    /// Addresses or networks whose `X-Forwarded-For` is believed; known to parse.
    pub trusted_proxies: Vec<String>,
}

/// Which clients are let in.
#[derive(Clone, Debug, Default)]
pub struct AccessConfig {
    /// The gateway token, from the setting itself or from `token_file`. `None`: the caller makes
    /// a random one, unless `insecure_no_token`.
    pub token: Option<Token>,
    /// What stands below it in `token_file`: each is as good, and counted apart.
    pub more_tokens: Vec<Token>,
    /// Where the token was read from.
    pub token_file: Option<PathBuf>,
    /// Whether every client that reaches the port may create sessions. Only on loopback addresses.
    pub insecure_no_token: bool,
    /// Whether clients may read the metrics without a token.
    pub metrics_public: bool,
    /// Origins, as `scheme://host[:port]` in lower case, whose pages may connect beside the
    /// gateway's own. `*`: any.
    pub allow_origin: Vec<String>,
    /// Origins, as in `allow_origin`, whose pages may show the console in a frame. `*`: any.
    pub allow_embed: Vec<String>,
    /// Names, in lower case and without port, under which the gateway answers beside `localhost`
    /// and bare addresses. `*`: any.
    pub allow_host: Vec<String>,
}

/// How sandboxes are made, and how many.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Which backend makes them.
    pub backend: BackendChoice,
    /// Whether a gateway that cannot limit memory or processors may serve whomever it likes.
    pub allow_weak_limits: bool,
    /// Directory for sockets and for what names this instance's sandboxes. Made if missing.
    pub runtime_dir: PathBuf,
    /// How long making a sandbox and starting its interpreter may take.
    pub create_timeout: Duration,
    /// Most sessions at one time.
    pub sessions: usize,
    /// Most newcomers that wait while all are taken.
    pub waiting: usize,
    /// How long a newcomer waits for a session to become free. Zero: not at all.
    pub waiting_timeout: Duration,
    /// Most sandboxes being made at one time.
    pub creations: usize,
    /// Most that the gateway holds in memory for clients and sandboxes, in bytes.
    pub memory_budget_bytes: usize,
}

/// Rules of every session.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Most cells waiting behind the running one.
    pub queue: usize,
    /// Most output a participant may have unsent or unacknowledged, in bytes.
    pub window_bytes: usize,
    /// Most events kept in memory for replay, in bytes of their JSON.
    pub log_bytes: usize,
    /// Most older events kept in a file, in bytes. 0: none.
    pub log_disk_bytes: u64,
    /// Where that file, which has no name, is.
    pub log_directory: PathBuf,
    /// Bytes that stay free on that disk.
    pub log_disk_reserve_bytes: u64,
    /// Most participants attached at one time.
    pub participants: usize,
    /// How long a session may do nothing (no cell, no message) before it ends. `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a session lives on without participants.
    pub detach_timeout: Duration,
    /// How long a sandbox may be silent while something is expected of it.
    pub silence_timeout: Duration,
    /// What becomes of output while no owner or editor is attached.
    pub detached_output: DetachedOutput,
    /// How long a session may live at all. `None`: for ever.
    pub lifetime: Option<Duration>,
}

/// Rules of every WebSocket.
#[derive(Clone, Debug)]
pub struct SocketConfig {
    /// Longest message accepted from a client, in bytes.
    pub message_bytes: usize,
    /// How often a ping is sent on a silent connection.
    pub ping_interval: Duration,
    /// How long the pong may take before the connection counts as dead.
    pub ping_timeout: Duration,
    /// How long one write may make no progress before the participant counts as too slow.
    pub write_timeout: Duration,
}

/// The Docker backend.
#[derive(Clone, Debug, Default)]
pub struct DockerConfig {
    /// Where the engine listens: `unix:///path`, `tcp://host:port` or `http://host:port`. `None`:
    /// DOCKER_HOST, then the usual socket.
    pub host: Option<String>,
    /// OCI runtime the engine is asked for, such as `runsc`. `None`: the engine's own default.
    pub runtime: Option<String>,
    /// How gateway and driver are connected.
    pub data_path: DataPath,
}

/// The operator's log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Directives of `tracing_subscriber::EnvFilter`; known to parse.
    pub filter: String,
    /// How lines are written.
    pub format: LogFormat,
}

/// Which backend is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// Docker if an engine answers, namespaces otherwise.
    #[default]
    Auto,
    /// Docker or nothing.
    Docker,
    /// Namespaces or nothing.
    Local,
}

/// How the gateway reaches a driver in a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataPath {
    /// The socket where gateway and container share a kernel, the attached stdio elsewhere.
    #[default]
    Auto,
    /// A Unix socket in a bind-mounted directory.
    Socket,
    /// The container's attached standard input and output.
    Stdio,
}

/// What becomes of output while no owner or editor is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DetachedOutput {
    /// It is kept up to the log's bound, and then the cell's writes wait.
    #[default]
    Hold,
    /// The oldest is forgotten, named by a gap.
    Drop,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// The defaults; `runtime_dir` is the one that depends on who starts the gateway.
    pub(super) fn with_runtime_dir(runtime_dir: PathBuf) -> Config {
        Config {
            listen: ListenConfig {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
                upload_bytes: 64 << 20, // 64 MiB: a quarter of the default working directory
                drain_timeout: Duration::from_secs(30),
                connections: 10_000,
                header_timeout: Duration::from_secs(10),
            },
            access: AccessConfig::default(),
            sandbox: SandboxConfig {
                backend: BackendChoice::Auto,
                allow_weak_limits: false,
                runtime_dir,
                create_timeout: Duration::from_secs(30),
                sessions: 100,
                waiting: 100,
                waiting_timeout: Duration::from_secs(10),
                // What a hundred sessions in ordinary use hold, many times over.
                memory_budget_bytes: 1 << 30, // 1 GiB
                creations: 8, // more at once only slow each other down, also with an engine
            },
            session: SessionConfig {
                queue: 64,
                window_bytes: 1 << 20, // 1 MiB: a second of output at what a browser can show
                log_bytes: 8 << 20,    // 8 MiB, times `sessions` in the worst case
                log_disk_bytes: 256 << 20, // 256 MiB: hours of chatter, a minute of a flood
                // By the file hierarchy standard on a disk, where /tmp is often memory.
                log_directory: "/var/tmp".into(),
                log_disk_reserve_bytes: 256 << 20, // 256 MiB: what shares the disk goes on
                participants: 64,
                idle_timeout: Some(Duration::from_secs(60 * 60)),
                detach_timeout: Duration::from_secs(2 * 60), // a reload, a tunnel, a lift
                silence_timeout: Duration::from_secs(30), // a machine that swaps is slow, not dead
                detached_output: DetachedOutput::Hold,
                lifetime: None,
            },
            socket: SocketConfig {
                message_bytes: 1 << 20, // 1 MiB: far beyond any cell that people write
                ping_interval: Duration::from_secs(20), // proxies cut silent connections at 30 s or 60 s
                ping_timeout: Duration::from_secs(20),
                write_timeout: Duration::from_secs(30),
            },
            clients: ClientsConfig {
                sessions: None, // holders of the gateway's token are trusted with all of them
                token_sessions: None,
                connections: Some(1_000), // a school behind one address
                requests: Some(200),
                messages: Some(5_000), // a program that waits for each tiny cell sends fewer
                trusted_proxies: Vec::new(),
            },
            docker: DockerConfig::default(),
            log: LogConfig { filter: "info".into(), format: LogFormat::Text },
            templates: vec![Template::new(DEFAULT_TEMPLATE, language::DEFAULT)],
        }
    }

    /// Whether the gateway makes a random token at each start, which is printed in its output alone.
    pub fn makes_token(&self) -> bool {
        self.access.token.is_none() && !self.access.insecure_no_token
    }

    /// The recipe a client asks for by name.
    pub fn template(&self, name: &str) -> Option<&Template> {
        self.templates.iter().find(|template| template.name == name)
    }
}
