//! `/v1/sessions`: which there are, letting others in, ending one.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::auth::Caller;
use super::body::read_whole;
use super::problem::{Document, Problem};
use crate::admission::Extra;
use crate::protocol::event::{EndReason, SessionState};
use crate::protocol::reply::Role;
use crate::session::GrantError;

/// Longest body of a request for a token: some hundred times what it needs.
const GRANT_BYTES: usize = 4 << 10; // 4 KiB

/// How long the answer to DELETE waits for the sandbox to be gone.
const END: Duration = Duration::from_secs(10);

/// The sessions that live.
#[derive(Serialize, ToSchema)]
pub(super) struct Sessions {
    sessions: Vec<SessionInfo>,
}

/// One session.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionInfo {
    /// Its id.
    id: String,
    /// What it was made from.
    template: String,
    /// `local` or `docker`.
    backend: &'static str,
    /// `idle`, `busy`, `restarting`.
    #[schema(value_type = String)]
    state: SessionState,
    /// How many are attached.
    participants: usize,
    /// Cells that have ended.
    cells: u64,
    /// When it began, in Unix milliseconds.
    created: u64,
    /// Memory of its sandbox in bytes, by the newest sample: one a second while a cell runs. Absent
    /// before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    /// Name of the publishable key that it was made with, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// The sessions of this gateway, oldest first. Where it has several tokens: those that were made with
/// the token of this request.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    operation_id = "listSessions",
    tag = "sessions",
    responses(
        (status = 200, description = "The sessions that live", body = Sessions),
        (status = 401, description = "Not the gateway's token", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "A publishable key", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    caller: Caller,
) -> Result<Json<Sessions>, Problem> {
    let mut sessions: Vec<SessionInfo> = caller
        .sessions(&app)?
        .iter()
        .filter_map(|session| {
            let (about, summary) = (session.about(), session.summary()?);
            Some(SessionInfo {
                id: session.id().to_string(),
                template: about.template.clone(),
                backend: about.backend,
                state: summary.state,
                participants: summary.participants,
                cells: summary.cells,
                created: milliseconds(about.created),
                memory_bytes: summary.memory_bytes,
                key: session.key().map(|key| key.name.clone()),
            })
        })
        .collect();
    sessions.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
    Ok(Json(Sessions { sessions }))
}

/// Ends a session now. Answers when nothing of its sandbox is left.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{id}",
    operation_id = "endSession",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 204, description = "The session is over"),
        (status = 202, description = "The session is over; its sandbox is still being removed"),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "The token does not give the role `owner`",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn end(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let session = caller.session(&app, &id, Role::Owner)?;
    session.begin_end(EndReason::Requested).await;
    Ok(match tokio::time::timeout(END, session.ended()).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::ACCEPTED,
    })
}

/// Longest lifetime that may be asked for, in milliseconds: 365 days, as of the settings.
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// Whom to let in.
#[derive(Deserialize, ToSchema)]
pub(super) struct Grant {
    /// What the token's bearer may do.
    role: GrantedRole,
    /// After how many milliseconds the token opens nothing any more and participants who joined
    /// with it have to leave; with the session if not given.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000_000_u64)]
    expires_in_ms: Option<u64>,
}

/// A role: an owner may do everything; an editor executes, interrupts, answers input and moves
/// files; a viewer watches.
#[derive(Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum GrantedRole {
    Owner,
    Editor,
    Viewer,
}

/// A token that lets its bearer into a session.
#[derive(Serialize, ToSchema)]
pub(super) struct Granted {
    /// For `token=` of the WebSocket, or as a bearer's.
    token: String,
    /// Its number in the session, by which it can be revoked.
    id: u64,
    /// The session it opens.
    session: String,
    /// What it lets its bearer do.
    role: GrantedRole,
    /// When it expires, in Unix milliseconds, no later than the token it was made with; with the
    /// session if `null`.
    expires: Option<u64>,
}

/// Makes a token that lets other people join a session: what share links carry.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/tokens",
    operation_id = "grantToken",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    request_body = Grant,
    responses(
        (status = 201, description = "The token", body = Granted),
        (status = 400, description = "Not JSON, or not these fields", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "The token does not give the role `owner`, or the session was \
         made with a publishable key that allows no share links",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 429, description = "Too many tokens are valid already",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn grant(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
    body: Body,
) -> Result<Response, Problem> {
    // Before the body is read: a client that may not make tokens costs no memory.
    let (session, maker) = caller.session_for(&app, &id, Extra::Sharing)?;
    let body = read_whole(
        body,
        GRANT_BYTES,
        "a request for a token has at most 4096 bytes",
        app.socket.write_timeout,
    )
    .await?;
    let grant: Grant = serde_json::from_slice(&body).map_err(|error| {
        Problem::bad_request(format!("the body is not such as {{\"role\": \"viewer\"}}: {error}"))
    })?;
    if grant.expires_in_ms.is_some_and(|lifetime| !(1..=YEAR_MS).contains(&lifetime)) {
        return Err(Problem::bad_request(
            "`expires_in_ms` must be at least 1 and at most a year's 31536000000; without it the \
             token is good as long as the session lives",
        ));
    }
    let lifetime = grant.expires_in_ms.map(Duration::from_millis);
    let role = match grant.role {
        GrantedRole::Owner => Role::Owner,
        GrantedRole::Editor => Role::Editor,
        GrantedRole::Viewer => Role::Viewer,
    };
    let made = session.grant(&maker, role, lifetime).map_err(|error| match error {
        GrantError::TooMany => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()).for_now()
        }
        GrantError::BeyondOwn => Problem::new(StatusCode::FORBIDDEN, error.to_string()),
        GrantError::Invalid => Problem::new(StatusCode::UNAUTHORIZED, error.to_string()),
        GrantError::Random(_) => Problem::internal("cannot make a token", &error),
    })?;
    let granted = Granted {
        token: made.token.reveal().to_owned(),
        id: made.info.id,
        session: session.id().to_string(),
        role: grant.role,
        expires: made.info.expires.map(milliseconds),
    };
    let secret = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, secret, Json(granted)).into_response())
}

pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
