//! The door for agents: the Model Context Protocol, whose tools run code in sessions.
//!
//! ```text
//!   http/mcp ──┐                          ┌─► run       run_code, wait_for_cell
//!              ├─► rmcp ─► Server::call_tool ─► control   interrupt, restart, list and end sessions
//!   stdio ─────┘                          └─► files     list, read, write
//!                      Server::read_resource ─► resources
//! ```
//! The crate `rmcp` speaks the protocol, in its stateless revision (2026-07-28) and in the older ones.
//! A session is named by `session_id`, which a tool answers and the next call repeats: nothing else is
//! kept between two calls. [`crate::admission`] decides about each call by the token that came with it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, Implementation, JsonObject,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{QuitReason, RequestContext, ServerInitializeError};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::sandbox::Protection;
use crate::template::Template;

mod collect;
mod control;
mod failure;
mod files;
mod images;
mod resources;
mod result;
mod run;
mod tools;
mod transcript;

/// The first revision without sessions of its own between client and server.
pub const STATELESS: &str = "2026-07-28";

/// How long clients may keep the list of tools. It changes when the gateway starts with other settings.
const TOOLS_TTL_MS: u64 = 5 * 60 * 1000;

/// Clients of the older revisions that may be connected over HTTP at one time; each is a small task
/// until it says that it has finished, or was silent for [`SILENCE`].
pub const MOST_CONNECTED: usize = 1000;

/// How long a client of an older revision may be silent: longer than any call waits.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// How long the answers of calls are kept for clients of the older revisions whose connection broke.
const KEPT_ANSWERS: Duration = Duration::from_secs(10);

/// From one comment to the next on a stream on which nothing else is sent, so that proxies keep it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Who sends a request: what the door needs for the decision about it. HTTP puts it into the extensions
/// of each request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token that the request came with; empty for none.
    pub token: String,
    /// Where it came from.
    pub address: IpAddr,
}

impl Caller {
    /// The program that started the gateway for itself, which asks for no token.
    fn local() -> Caller {
        Caller { token: String::new(), address: IpAddr::V4(Ipv4Addr::LOCALHOST) }
    }
}

/// What the settings and the machine give sessions, for the descriptions of the tools.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What sessions are made from; the first is that of calls that name none.
    pub templates: Vec<Template>,
    /// What the backend enforces on this machine, in full.
    pub enforced: Vec<Protection>,
    /// How long a session may do nothing until it ends. `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// Longest code of one call, in bytes.
    pub code_bytes: usize,
}

impl Offer {
    /// Whether a protection may be promised.
    fn holds(&self, protection: Protection) -> bool {
        self.enforced.contains(&protection)
    }
}

/// The door: what all clients share.
#[derive(Clone)]
pub struct Door {
    admission: Arc<Admission>,
    offer: Arc<Offer>,
    tools: Arc<[Tool]>,
    clients: Arc<LocalSessionManager>,
    scaler: images::Scaler,
    closed: CancellationToken,
}

/// The tower service that answers requests over HTTP.
pub type HttpService = StreamableHttpService<Server, LocalSessionManager>;

impl Door {
    /// A door to the sessions that `admission` opens.
    pub fn new(admission: Arc<Admission>, offer: Offer) -> Door {
        let mut clients = LocalSessionManager::default();
        clients.session_config.keep_alive = Some(SILENCE);
        clients.session_config.completed_cache_ttl = KEPT_ANSWERS;
        Door {
            admission,
            tools: tools::all(&offer).into(),
            offer: Arc::new(offer),
            clients: Arc::new(clients),
            scaler: images::Scaler::new(),
            closed: CancellationToken::new(),
        }
    }

    /// What answers requests over HTTP, with bodies of at most so many bytes. `Host`, `Origin` and token
    /// were checked before, and each request has its [`Caller`].
    pub fn http_service(&self, body_bytes: usize) -> HttpService {
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_sse_keep_alive(Some(KEEP_ALIVE))
            .with_max_request_body_bytes(body_bytes)
            .with_cancellation_token(self.closed.clone());
        let server = Server { door: self.clone(), caller: None };
        StreamableHttpService::new(move || Ok(server.clone()), Arc::clone(&self.clients), config)
    }

    /// Whether as many clients of the older revisions are connected over HTTP as may be.
    pub async fn is_full(&self) -> bool {
        self.clients.sessions.read().await.len() >= MOST_CONNECTED
    }

    /// Ends every stream over HTTP.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Serves the program at the other end of standard input and output, until it closes them or `stop` is
    /// cancelled.
    pub async fn serve_stdio(&self, stop: CancellationToken) -> Result<(), StdioError> {
        let server = Server { door: self.clone(), caller: Some(Caller::local()) };
        let (input, output) = rmcp::transport::io::stdio_pipes();
        let begun = server.serve_with_ct((input, output), stop.clone());
        let service = match stop.run_until_cancelled(begun).await {
            Some(Ok(begun)) => begun,
            // It was closed before a request came, or `stop` was cancelled.
            Some(Err(
                ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled,
            ))
            | None => return Ok(()),
            Some(Err(error)) => return Err(StdioError::Begin(Box::new(error))),
        };
        match service.waiting().await {
            Ok(QuitReason::JoinError(error)) | Err(error) => Err(StdioError::Failed(error)),
            Ok(_) => Ok(()),
        }
    }
}

/// Why standard input and output could not be served.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// The first messages were not those of the protocol.
    #[error(
        "the program at standard input does not speak the Model Context Protocol; \
         docs/agents.md says how agents start this"
    )]
    Begin(#[source] Box<ServerInitializeError>),
    /// The task that served them failed.
    #[error("serving standard input and output failed")]
    Failed(#[source] tokio::task::JoinError),
}

/// What answers the requests of one client.
#[derive(Clone)]
pub struct Server {
    door: Door,
    /// Who all requests are from; `None`: each says so itself.
    caller: Option<Caller>,
}

impl Server {
    /// Whom a request is from.
    fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
        let of_request = || {
            let parts = context.extensions.get::<http::request::Parts>()?;
            parts.extensions.get::<Caller>().cloned()
        };
        self.caller.clone().or_else(of_request).ok_or_else(|| {
            ErrorData::internal_error("the request came without its token; this is a fault", None)
        })
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        let name = Implementation::new("cellgate", env!("CARGO_PKG_VERSION"))
            .with_title("cellgate: code in sandboxes");
        ServerConfig::new(capabilities)
            .with_server_info(name)
            .with_instructions(tools::instructions(&self.door.offer))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.door.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut list = ListToolsResult::with_all_items(self.door.tools.to_vec());
        (list.ttl_ms, list.cache_scope) = (Some(TOOLS_TTL_MS), Some(CacheScope::Public));
        Ok(list)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let call = Call { door: &self.door, caller: self.caller(&context)?, context: &context };
        let arguments = request.arguments.unwrap_or_default();
        let answered = match &*request.name {
            tools::RUN_CODE => call.run_code(arguments).await,
            tools::WAIT_FOR_CELL => call.wait_for_cell(arguments).await,
            tools::INTERRUPT => call.interrupt(arguments).await,
            tools::RESTART => call.restart(arguments).await,
            tools::LIST_FILES => call.list_files(arguments).await,
            tools::READ_FILE => call.read_file(arguments).await,
            tools::WRITE_FILE => call.write_file(arguments).await,
            tools::LIST_SESSIONS => call.list_sessions(),
            tools::END_SESSION => call.end_session(arguments).await,
            other => {
                let known: Vec<&str> = self.door.tools.iter().map(|tool| &*tool.name).collect();
                let text = format!("there is no tool {other:?}; there are: {}", known.join(", "));
                return Err(ErrorData::invalid_params(text, None));
            }
        };
        Ok(answered.unwrap_or_else(failure::Failure::into_result).into())
    }

    /// What a session's files and cells hold is read by addresses that tools answer; a list of all would
    /// be a list of every file of every session.
    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut list = ListResourcesResult::with_all_items(Vec::new());
        (list.ttl_ms, list.cache_scope) = (Some(TOOLS_TTL_MS), Some(CacheScope::Public));
        Ok(list)
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut list = ListResourceTemplatesResult::with_all_items(resources::templates());
        (list.ttl_ms, list.cache_scope) = (Some(TOOLS_TTL_MS), Some(CacheScope::Public));
        Ok(list)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let call = Call { door: &self.door, caller: self.caller(&context)?, context: &context };
        call.read_resource(&request.uri).await.map(Into::into)
    }
}

/// One request of a client, with what it takes to answer it.
struct Call<'a> {
    door: &'a Door,
    caller: Caller,
    context: &'a RequestContext<RoleServer>,
}

/// The arguments of a tool as their structure.
fn read<T: serde::de::DeserializeOwned>(arguments: JsonObject) -> Result<T, failure::Failure> {
    serde_json::from_value(serde_json::Value::Object(arguments))
        .map_err(|error| failure::Failure::new(format!("the arguments cannot be read: {error}")))
}
