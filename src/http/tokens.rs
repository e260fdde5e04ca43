//! `/v1/sessions/ID/tokens` and `/participants`: who may come in and who is in, for the owner to
//! take back.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::auth::Caller;
use super::problem::{Document, Problem};
use super::sessions::milliseconds;
use crate::protocol::reply::Role;
use crate::session::RevokeError;

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
        (status = 409, description = "It is the creator's, which ends with the session",
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

/// Shows a participant out (4401), and revokes its own token and all that was made with it. A share
/// link that let it in lets it in again until that is revoked.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{id}/participants/{participant}",
    operation_id = "showOut",
    tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        ("participant" = u32, Path, description = "The participant's number, as in `participants`"),
    ),
    responses(
        (status = 204, description = "It is out"),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "The token does not give the role `owner`",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 404, description = "No such session, or nobody of this number is attached",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 409, description = "It is the session's creator, who leaves with the session",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show_out(
    State(app): State<Arc<AppState>>,
    Path((id, participant)): Path<(String, String)>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let session = caller.session(&app, &id, Role::Owner)?;
    let participant = participant.parse().map_err(|_| RevokeError::NoParticipant)?;
    session.remove(participant).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<RevokeError> for Problem {
    fn from(error: RevokeError) -> Problem {
        let status = match error {
            RevokeError::NoToken | RevokeError::NoParticipant => StatusCode::NOT_FOUND,
            RevokeError::Creator => StatusCode::CONFLICT,
        };
        Problem::new(status, error.to_string())
    }
}
