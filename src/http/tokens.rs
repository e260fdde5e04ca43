//! `/v1/sessions/ID/tokens`: who may come in, for the owner to give and to take back.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::auth::Caller;
use super::body::read_whole;
use super::problem::{Document, Problem};
use super::sessions::milliseconds;
use crate::admission::Extra;
use crate::protocol::reply::{Rights, RightsChange, RightsError, Role};
use crate::session::{GrantError, RevokeError};

/// Longest lifetime that may be asked for, in milliseconds: 365 days, as of the settings.
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// Longest body of a request about rights: some hundred times what it needs.
pub(super) const RIGHTS_BYTES: usize = 4 << 10; // 4 KiB

/// Whom to let in.
#[derive(Deserialize, ToSchema)]
pub(super) struct Grant {
    /// What the token's bearer may do.
    role: GrantedRole,
    /// `false` for an editor who is not to run: to execute, interrupt and answer cells, to say
    /// something on comms, and to change files.
    #[serde(default)]
    run: Option<bool>,
    /// `false` for an editor who is not to change the document.
    #[serde(default)]
    edit: Option<bool>,
    /// After how many milliseconds the token opens nothing any more and participants who joined
    /// with it have to leave; with the session if not given.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000_000_u64)]
    expires_in_ms: Option<u64>,
}

/// A role: an owner may do everything; an editor executes, interrupts, answers input, moves files and
/// edits the document; a viewer watches.
#[derive(Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum GrantedRole {
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
    /// `false` for an editor who may not run; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<bool>,
    /// `false` for an editor who may not change the document; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<bool>,
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
    params(
        ("id" = String, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header,
         description = "The same key and body give the same token again"),
    ),
    request_body = Grant,
    responses(
        (status = 201, description = "The token", body = Granted),
        (status = 400, description = "Not JSON, not these fields, or no such rights: an editor has \
         `run` or `edit`, an owner both", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "The token does not give the role `owner`, or the session was \
         made with a publishable key that allows no share links",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 422, description = "The Idempotency-Key came with another body",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 429, description = "Too many tokens are valid already",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn grant(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // Before the body is read: a client that may not make tokens costs no memory.
    caller.session_for(&app, &id, Extra::Sharing)?;
    let body = read_whole(
        body,
        RIGHTS_BYTES,
        "a request for a token has at most 4096 bytes",
        app.socket.write_timeout,
    )
    .await?;
    let whose = caller.scope(&format!("/v1/sessions/{id}/tokens"));
    let making = async { make(&app, &id, &caller, &body) };
    app.idempotency.once(&headers, &whose, &body, making).await
}

fn make(app: &AppState, id: &str, caller: &Caller, body: &[u8]) -> Result<Response, Problem> {
    let grant: Grant = serde_json::from_slice(body).map_err(|error| {
        Problem::bad_request(format!("the body is not such as {{\"role\": \"viewer\"}}: {error}"))
    })?;
    if grant.expires_in_ms.is_some_and(|lifetime| !(1..=YEAR_MS).contains(&lifetime)) {
        return Err(Problem::bad_request(
            "`expires_in_ms` must be at least 1 and at most a year's 31536000000; without it the \
             token is good as long as the session lives",
        ));
    }
    // And after it: the body may come when the client is no owner any more.
    let (session, maker) = caller.session_for(app, id, Extra::Sharing)?;
    let lifetime = grant.expires_in_ms.map(Duration::from_millis);
    let role = Role::from(grant.role);
    let withheld = RightsChange { role: None, run: grant.run, edit: grant.edit };
    let rights = withheld.applied_to(Rights::from(role))?;
    let made = session.grant(&maker, rights, lifetime).map_err(|error| match error {
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
        run: told_if_withheld(rights.run),
        edit: told_if_withheld(rights.edit),
        expires: made.info.expires.map(milliseconds),
    };
    let secret = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, secret, Json(granted)).into_response())
}

/// A flag of rights as it is told: only where it is `false`.
fn told_if_withheld(flag: bool) -> Option<bool> {
    (!flag).then_some(false)
}

impl From<GrantedRole> for Role {
    fn from(role: GrantedRole) -> Role {
        match role {
            GrantedRole::Owner => Role::Owner,
            GrantedRole::Editor => Role::Editor,
            GrantedRole::Viewer => Role::Viewer,
        }
    }
}

impl From<RightsError> for Problem {
    fn from(error: RightsError) -> Problem {
        Problem::bad_request(error.to_string())
    }
}

/// The tokens of a session that are valid.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenList {
    tokens: Vec<TokenEntry>,
}

/// What is told of a token; never the token itself.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenEntry {
    /// Its number in the session.
    id: u64,
    /// `owner`, `editor` or `viewer`.
    #[schema(value_type = String)]
    role: Role,
    /// `false` for an editor who may not run; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<bool>,
    /// `false` for an editor who may not change the document; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<bool>,
    /// When it was made, in Unix milliseconds.
    created: u64,
    /// When it expires, in Unix milliseconds; with the session if `null`.
    expires: Option<u64>,
    /// The token it was made with, which it ends with; `null`: the gateway's, or it is that of the
    /// session's creator.
    parent: Option<u64>,
    /// Whether it is a share link, which lets in anybody; else it is a participant's own.
    link: bool,
    /// The attached participant whose own token it is, as in `participants`.
    participant: Option<u32>,
}

/// The tokens that open a session: its creator's, share links, and the own ones of participants who
/// are there or may come back.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/tokens",
    operation_id = "listTokens",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The tokens that are valid, oldest first", body = TokenList),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "The token does not give the role `owner`",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    let session = caller.session(&app, &id, Role::Owner)?;
    let tokens = session.list_tokens().into_iter().map(|info| TokenEntry {
        id: info.id,
        role: info.rights.role,
        run: told_if_withheld(info.rights.run),
        edit: told_if_withheld(info.rights.edit),
        created: milliseconds(info.created),
        expires: info.expires.map(milliseconds),
        parent: info.parent,
        link: info.link,
        participant: info.participant,
    });
    let list = TokenList { tokens: tokens.collect() };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(list)).into_response())
}

/// Revokes a token and all that was made with it. Participants who joined with one of them are
/// disconnected (4401).
#[utoipa::path(
    delete,
    path = "/v1/sessions/{id}/tokens/{token}",
    operation_id = "revokeToken",
    tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        ("token" = u64, Path, description = "The token's number, as it is listed"),
    ),
    responses(
        (status = 204, description = "It opens nothing any more"),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "The token does not give the role `owner`",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 404, description = "No such session, or no such token", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 409, description = "It is the creator's, which ends with the session, or that of the \
         last owner",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke(
    State(app): State<Arc<AppState>>,
    Path((id, token)): Path<(String, String)>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let session = caller.session(&app, &id, Role::Owner)?;
    let token = token.parse().map_err(|_| RevokeError::NoToken)?;
    session.revoke(token).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<RevokeError> for Problem {
    fn from(error: RevokeError) -> Problem {
        let status = match error {
            RevokeError::NoToken | RevokeError::NoParticipant => StatusCode::NOT_FOUND,
            RevokeError::Creator | RevokeError::LastOwner => StatusCode::CONFLICT,
        };
        Problem::new(status, error.to_string())
    }
}
