//! The settings as the program uses them: the structures of the modules that take them, and those
//! of the composition itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::http::{self, ClientsConfig, ServerConfig};
use crate::id::Token;
use crate::keys::KeyConfig;
use crate::language;
use crate::mcp::Offer;
use crate::memory::Budget;
use crate::registry::RegistryConfig;
use crate::sandbox::docker::DockerConfig;
use crate::sandbox::{Backend, EnforcementState};
use crate::session::MEMORY_BUDGET_BYTES;
use crate::socket::SocketConfig;
use crate::template::Template;

/// The template that always exists; the keys outside `[templates]` describe it.
pub const DEFAULT_TEMPLATE: &str = "python";

/// Every setting of the gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// The front door.
    pub listen: ListenConfig,
    /// The HTTP server.
    pub server: ServerConfig,
    /// What one client may ask for: an address, or an IPv6 network of 64 bits.
    pub clients: ClientsConfig,
    /// Which clients are let in.
    pub access: AccessConfig,
    /// What sandboxes are made by.
    pub sandbox: SandboxConfig,
    /// How many sessions there may be, how their sandboxes are made, and the rules of each.
    pub registry: RegistryConfig,
    /// Rules of every WebSocket.
    pub socket: SocketConfig,
    /// The Docker backend. Its directory and its images follow from other settings.
    pub docker: DockerConfig,
    /// The operator's log.
    pub log: LogConfig,
    /// The recipes there are; [`DEFAULT_TEMPLATE`] is the first and the others follow by name.
    pub templates: Vec<Template>,
    /// Publishable keys, by name.
    pub keys: Vec<KeyConfig>,
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
}

/// Which clients are let in.
#[derive(Clone, Debug, Default)]
pub struct AccessConfig {
    /// The gateway token, from the setting itself or from `token_file`. `None`: the caller makes
    /// a random one, unless `insecure_no_token`.
    pub token: Option<Token>,
    /// What stands below it in `token_file`: each makes sessions as well, and lists and opens its own alone.
    pub more_tokens: Vec<Token>,
    /// Where the token was read from.
    pub token_file: Option<PathBuf>,
    /// Whether every client that reaches the port may create sessions. Only on loopback addresses.
    pub insecure_no_token: bool,
    /// Whether clients may read the metrics without a token.
    pub metrics_public: bool,
    /// Origins, as `scheme://host[:port]` in lower case, whose pages may show the console in a
    /// frame. `*`: any.
    pub allow_embed: Vec<String>,
    /// Names under which the gateway answers, and origins whose pages may connect.
    pub names: http::AccessConfig,
}

/// What sandboxes are made by.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Which backend makes them.
    pub backend: BackendChoice,
    /// Whether a gateway that cannot limit memory or processors may serve other users than its own.
    pub allow_weak_limits: bool,
    /// Directory for sockets and for what names this instance's sandboxes. Made if missing.
    pub runtime_dir: PathBuf,
    /// Most that the gateway holds in memory for clients and sandboxes, in bytes.
    pub memory_budget_bytes: usize,
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
            },
            server: ServerConfig::default(),
            clients: ClientsConfig::default(),
            access: AccessConfig::default(),
            docker: DockerConfig::new(runtime_dir.join("docker")),
            sandbox: SandboxConfig {
                backend: BackendChoice::Auto,
                allow_weak_limits: false,
                runtime_dir,
                memory_budget_bytes: MEMORY_BUDGET_BYTES,
            },
            registry: RegistryConfig::default(),
            socket: SocketConfig::default(),
            log: LogConfig { filter: "info".into(), format: LogFormat::Text },
            templates: vec![Template::new(DEFAULT_TEMPLATE, language::DEFAULT)],
            keys: Vec::new(),
        }
    }

    /// What the registry is made with: its settings, and what follows for sessions from others.
    pub fn registry(&self) -> RegistryConfig {
        let mut registry = self.registry.clone();
        registry.session.memory = Budget::new(self.sandbox.memory_budget_bytes);
        registry.session.message_bytes = self.socket.message_bytes;
        registry
    }

    /// What agents are told of the sessions that this backend makes with these settings.
    pub fn offer(&self, backend: &dyn Backend) -> Offer {
        let enforced = backend.enforcement().into_iter().filter_map(|entry| {
            matches!(entry.state, EnforcementState::Full(_)).then_some(entry.protection)
        });
        // The default template first, as clients get it.
        let (mut templates, others): (Vec<_>, Vec<_>) =
            self.templates.iter().cloned().partition(|template| template.name == DEFAULT_TEMPLATE);
        templates.extend(others);
        Offer {
            templates,
            enforced: enforced.collect(),
            idle_timeout: self.registry.session.idle_timeout,
            code_bytes: self.socket.message_bytes,
        }
    }

    /// Whether the gateway makes a random token at each start, which is printed in its output
    /// alone.
    pub fn makes_token(&self) -> bool {
        self.access.token.is_none() && !self.access.insecure_no_token
    }

    /// The recipe a client asks for by name.
    pub fn template(&self, name: &str) -> Option<&Template> {
        self.templates.iter().find(|template| template.name == name)
    }
}
