//! `/v1/sessions/ID/participants`: what those who are attached may do, and removing them, for the
//! owner.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::AppState;
use super::auth::Caller;
use super::body::read_whole;
use super::problem::{Document, Problem};
use super::tokens::{GrantedRole, RIGHTS_BYTES};
use crate::protocol::reply::{RightsChange, Role};
use crate::session::{ChangeRightsError, RevokeError};

/// What is to be changed; what is left out stays as it is.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewRights {
    /// The role.
    #[serde(default)]
    role: Option<GrantedRole>,
    /// Whether it may run: execute, interrupt and answer cells, say something on comms, and change
    /// files. Of editors; owners may, viewers may not.
    #[serde(default)]
    run: Option<bool>,
    /// Whether it may change the document. Of editors; owners may, viewers may not.
    #[serde(default)]
    edit: Option<bool>,
}

/// Changes what a participant may do, from its next message on. It keeps that when it comes back, and
/// sees it in the next list of participants. What it has queued runs. Share links that it made and
/// that give more than it has now are revoked; who came by them stays. The link that it came by lets
/// in as before, until it is revoked.
#[utoipa::path(
    patch,
    path = "/v1/sessions/{id}/participants/{participant}",
    operation_id = "changeRights",
    tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        ("participant" = u32, Path, description = "The participant's number, as in `participants`"),
    ),
    request_body = NewRights,
    responses(
        (status = 204, description = "It may do that now"),
        (status = 400, description = "Not JSON, none of these fields, or no such rights: an editor \
         has `run` or `edit`, an owner both, a viewer neither",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "The token does not give the role `owner`",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 404, description = "No such session, or nobody of this number is attached",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 409, description = "It is the last owner", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn change_rights(
    State(app): State<Arc<AppState>>,
    Path((id, participant)): Path<(String, String)>,
    caller: Caller,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (session, by) = caller.session_as(&app, &id, Role::Owner)?;
    let participant = participant.parse().map_err(|_| ChangeRightsError::NoParticipant)?;
    let body = read_whole(
        body,
        RIGHTS_BYTES,
        "a request to change rights has at most 4096 bytes",
        app.socket.write_timeout,
    )
    .await?;
    let NewRights { role, run, edit } = serde_json::from_slice(&body).map_err(|error| {
        Problem::bad_request(format!(
            "the body is not such as {{\"role\": \"editor\", \"run\": false}}: {error}"
        ))
    })?;
    if role.is_none() && run.is_none() && edit.is_none() {
        return Err(Problem::bad_request(
            "the body has none of `role`, `run` and `edit`; name what is to change",
        ));
    }
    let change = RightsChange { role: role.map(Role::from), run, edit };
    session.change_rights(&by, participant, change).await?;
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
        (status = 409, description = "It is the session's creator, who leaves with the session, or the \
         last owner",
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

impl From<ChangeRightsError> for Problem {
    fn from(error: ChangeRightsError) -> Problem {
        let status = match error {
            ChangeRightsError::NotByOwner => StatusCode::FORBIDDEN,
            ChangeRightsError::NoParticipant => StatusCode::NOT_FOUND,
            ChangeRightsError::LastOwner => StatusCode::CONFLICT,
            ChangeRightsError::Rights(_) => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, error.to_string())
    }
}
