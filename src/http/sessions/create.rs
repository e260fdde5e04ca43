//! `POST /v1/sessions`: a session for a client that comes with a request at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::auth::Caller;
use crate::http::body::read_whole;
use crate::http::clients::Client;
use crate::http::problem::{Document, Problem};
use crate::protocol::Reply;
use crate::protocol::client::check_env;
use crate::protocol::event::EndReason;
use crate::protocol::reply::Ready;
use crate::registry::SessionOptions;
use crate::session::{Delivery, JoinRequest, SessionHandle};

/// Longest request: the files it may bring.
const CREATE_BYTES: usize = 4 << 20; // 4 MiB

/// A session to make.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CreateRequest {
    /// What it is made from; the gateway's or the key's first template if not given.
    template: Option<String>,
    /// Environment variables of all its cells.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Files of its working directory: their texts, by their paths.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// How long it may do nothing, in milliseconds; at most what the gateway's settings say.
    #[schema(minimum = 1)]
    idle_timeout_ms: Option<u64>,
    /// How long it may live, in milliseconds; at most what the gateway's settings say.
    #[schema(minimum = 1)]
    lifetime_ms: Option<u64>,
}

/// The session that was made: its id, and the fields of `ready`.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Created {
    /// Its id.
    id: String,
    /// The fields of the message `ready`: among them `token`, which makes its bearer the session's owner.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    ready: Box<Ready>,
}

/// Makes a session. It does not end because nobody is attached: its idle timeout and its lifetime end it, or
/// `DELETE`.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    operation_id = "createSession",
    tag = "sessions",
    params(("Idempotency-Key" = Option<String>, Header,
            description = "The same key and body give the same session again")),
    request_body(content = CreateRequest, description = "May be empty"),
    responses(
        (status = 201, description = "The session", body = Created),
        (status = "4XX", description = "400: a body that cannot be read, or a file that cannot be written · \
         401: not the gateway's token and no publishable key · 403: the key allows no such template, \
         environment or files · 404: no such template · 409: a request with this Idempotency-Key is under \
         way · 413: too long · 422: the Idempotency-Key came with another body · 429: too many sessions",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 503, description = "All sessions are taken, or the gateway shuts down",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn create(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // Before the body is read: a client that may make no sessions costs no memory.
    caller.may_make_sessions(&app)?;
    let _charge = app.requests.try_charge(CREATE_BYTES).map_err(|exhausted| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, exhausted.to_string()).for_now()
    })?;
    let rule =
        "a request for a session has at most 4 MiB; write larger files with PUT …/files/PATH";
    let bytes = read_whole(body, CREATE_BYTES, rule, app.socket.write_timeout).await?;
    let making = make(&app, &caller, client, &bytes);
    app.idempotency.once(&headers, &caller.scope("/v1/sessions"), &bytes, making).await
}

async fn make(
    app: &AppState,
    caller: &Caller,
    client: Client,
    body: &[u8],
) -> Result<Response, Problem> {
    let request: CreateRequest = match body.iter().all(u8::is_ascii_whitespace) {
        true => CreateRequest::default(),
        false => serde_json::from_slice(body).map_err(|error| {
            let example = "{\"template\": \"python\"}";
            Problem::bad_request(format!("the body is not such as {example}: {error}"))
        })?,
    };
    let limit = |name: &str, value: Option<u64>| match value {
        Some(0) => {
            let text = format!("`{name}` must be at least 1; leave it out for the gateway's own");
            Err(Problem::bad_request(text))
        }
        other => Ok(other.map(Duration::from_millis)),
    };
    check_env(&request.env).map_err(Problem::bad_request)?;
    caller.may_set(app, &request.env)?;
    caller.may_bring(app, &request.files)?;
    let options = SessionOptions {
        idle_timeout: limit("idle_timeout_ms", request.idle_timeout_ms)?,
        lifetime: limit("lifetime_ms", request.lifetime_ms)?,
        env: request.env,
        unattended: true,
    };
    let session = caller.create(app, client, request.template.as_deref(), options).await?;
    let made = prepare(&session, &request.files).await;
    if made.is_err() {
        session.begin_end(EndReason::Requested).await;
    }
    let created = Created { id: session.id().to_string(), ready: made? };
    let location = format!("/v1/sessions/{}", created.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(created)).into_response())
}

/// Writes the files of a new session, and answers its `ready`.
async fn prepare(
    session: &SessionHandle,
    files: &BTreeMap<String, String>,
) -> Result<Box<Ready>, Problem> {
    for (path, text) in files {
        let mut file = session.write_file(path).await?;
        file.append(text.as_bytes()).await?;
        file.commit().await?;
    }
    let over = |why: String| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("the session ended: {why}")).for_now()
    };
    let join = JoinRequest::owner("api", session.owner_token());
    let mut seat = session.attach(join).await.map_err(|error| over(error.to_string()))?;
    loop {
        let delivery = seat.next().await.map_err(|departure| over(departure.to_string()))?;
        if let Delivery::Reply(reply) = &delivery
            && let Reply::Ready(ready) = &reply.reply
        {
            return Ok(ready.clone());
        }
    }
}
