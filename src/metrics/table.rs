//! The table of metrics: each is defined here once; what is served and docs/metrics.md come from
//! it.

use super::{Kind, Metric};

/// A row: constant, kind, name, labels, meaning.
macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// Every metric there is.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD_INFO = Gauge "cellgate_build_info" ["version"]
        "1, with the version of the gateway as a label";

    SESSIONS = Gauge "cellgate_sessions" ["backend", "state"]
        "Sessions that live, by what makes their sandboxes and what they do";
    PARTICIPANTS = Gauge "cellgate_participants" []
        "Participants attached to sessions";
    SESSIONS_CREATED = Counter "cellgate_sessions_created_total" ["template"]
        "Sessions that began";
    SESSIONS_ENDED = Counter "cellgate_sessions_ended_total" ["reason"]
        "Sessions that ended, by the reason of their `ended` event";
    SESSIONS_REFUSED = Counter "cellgate_sessions_refused_total" ["reason"]
        "Sessions that were asked for and not made";
    MEMORY_HELD = Gauge "cellgate_memory_held_bytes" []
        "What the gateway holds in memory for clients and sandboxes";
    MEMORY_BUDGET = Gauge "cellgate_memory_budget_bytes" []
        "The most of that it may hold: the setting `memory_budget`";
    SESSIONS_WAITING = Gauge "cellgate_sessions_waiting" []
        "Newcomers in line while all sessions are taken";
    SESSION_WAIT = Histogram "cellgate_session_wait_seconds" []
        "From a newcomer's wish to its session, in line or not, if it got one";

    POOL_PARKED = Gauge "cellgate_pool_parked" ["template"]
        "Sandboxes parked and ready for a visitor";
    POOL_TARGET = Gauge "cellgate_pool_target" ["template"]
        "How many should be parked, by demand";
    POOL_CREATING = Gauge "cellgate_pool_creating" ["template"]
        "Sandboxes being made, for visitors and for the pool";
    POOL_WAITING = Gauge "cellgate_pool_waiting" ["template"]
        "Newcomers that wait for a sandbox to be made";
    POOL_FAILURES = Gauge "cellgate_pool_consecutive_failures" ["template"]
        "Failures since a sandbox was last made; above 0 the pool backs off";
    POOL_CLAIMS = Counter "cellgate_pool_claims_total" ["template", "result"]
        "Sandboxes asked for: `hit` found one parked, `miss` had to wait for one to be made";
    POOL_LOST = Counter "cellgate_pool_lost_total" ["template"]
        "Parked sandboxes that died or did not answer";
    SANDBOX_CREATE = Histogram "cellgate_sandbox_create_seconds" ["backend", "template"]
        "Making a sandbox, until its interpreter is ready";
    SANDBOX_FAILURES = Counter "cellgate_sandbox_failures_total" ["backend", "template"]
        "Sandboxes that could not be made";

    CELL_DURATION = Histogram "cellgate_cell_duration_seconds" ["status"]
        "Cells that ended, from start to end, by the status of their `done`";
    CELL_OUTPUT = Counter "cellgate_cell_output_bytes_total" []
        "Bytes that cells wrote to stdout and stderr before their end";
    LINK_STALL = Histogram "cellgate_link_stall_seconds" []
        "Pauses in reading a sandbox's output because nobody had room for more";

    SOCKETS = Gauge "cellgate_sockets" []
        "WebSockets that are attached to a session";
    SOCKET_SENT = Counter "cellgate_socket_sent_bytes_total" []
        "Bytes of messages sent to participants, without framing";
    SOCKET_WRITE = Histogram "cellgate_socket_write_seconds" []
        "Writing what waits for a participant: how far the network lags behind";
    SOCKET_RECEIVED = Counter "cellgate_socket_received_messages_total" []
        "Messages of participants, refused ones included";
    SOCKET_CLOSES = Counter "cellgate_socket_closes_total" ["code"]
        "WebSockets that ended, by the code the gateway closed them with; `none`: the other side left";
    PROTOCOL_ERRORS = Counter "cellgate_protocol_errors_total" ["code"]
        "Messages that were refused, by the code of their `protocol_error`";

    HTTP_REQUESTS = Counter "cellgate_http_requests_total" ["method", "route", "status"]
        "HTTP requests answered; `other` is what is not a route: the page and what does not exist";
    HTTP_DURATION = Histogram "cellgate_http_request_seconds" ["route"]
        "From an HTTP request's head to its answer's";
    CONNECTIONS_REFUSED = Counter "cellgate_connections_refused_total" []
        "Connections closed at once because their address had too many";
}
