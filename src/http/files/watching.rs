//! `/v1/sessions/{id}/watch`: what happens to files, as server-sent events.
//!
//! ```text
//!   driver ─► session::FileWatch ─► follow (a task) ─► response     a client that leaves ends the watch
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::Instrument;
use utoipa::ToSchema;

use super::{AppState, Caller, Document, Extra, Problem, check_path};
use crate::protocol::reply::Role;
use crate::session::files::{FileChange, FileEvent, FileWatch};
use crate::session::{Credential, SessionHandle};

/// How often a silent stream of events shows that it lives: proxies cut those that do not after 30 s or 60 s.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How far a watch goes.
#[derive(Debug, Deserialize)]
pub(in crate::http) struct Reach {
    #[serde(default)]
    recursive: bool,
}

/// What happened to a file. Paths are relative to the working directory.
#[derive(Serialize, ToSchema)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "lowercase")]
pub(in crate::http) enum WatchEvent {
    /// The watch is in place: what happens from now on is told. The first event.
    Ready {},
    /// The file is there, and was not.
    Created {
        /// Its path.
        path: String,
        /// What it is.
        kind: WatchedKind,
    },
    /// A process closed it after it could write to it, or has it open and writes; at most five times a
    /// second.
    Written {
        /// Its path.
        path: String,
        /// What it is.
        kind: WatchedKind,
    },
    /// It is there no more. Of the watched directory itself, this is the last event.
    Removed {
        /// Its path.
        path: String,
        /// What it was.
        kind: WatchedKind,
    },
    /// It has another path, and takes the place of what had that one.
    Renamed {
        /// The path it had.
        path: String,
        /// The path it has.
        to: String,
        /// What it is.
        kind: WatchedKind,
    },
    /// Events are missing here: the client has to list the files anew.
    Overflow {},
}

/// What an event is about.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(in crate::http) enum WatchedKind {
    /// All that is not a directory: a regular file, a link, a pipe.
    File,
    /// A directory.
    Directory,
}

impl WatchEvent {
    fn of(event: FileEvent) -> WatchEvent {
        let kind = |is_directory| match is_directory {
            true => WatchedKind::Directory,
            false => WatchedKind::File,
        };
        match event {
            FileEvent::Changed { change, is_directory, path } => {
                let kind = kind(is_directory);
                match change {
                    FileChange::Created => WatchEvent::Created { path, kind },
                    FileChange::Written => WatchEvent::Written { path, kind },
                    FileChange::Removed => WatchEvent::Removed { path, kind },
                }
            }
            FileEvent::Renamed { is_directory, path, to } => {
                WatchEvent::Renamed { path, to, kind: kind(is_directory) }
            }
            FileEvent::Overflow => WatchEvent::Overflow {},
        }
    }

    /// Appends it as a server-sent event. JSON has no line breaks but escaped ones.
    fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        // Strings alone: it cannot fail.
        serde_json::to_writer(&mut *out, self).ok();
        out.extend_from_slice(b"\n\n");
    }
}

/// Tells what happens to files of the working directory, as server-sent events: `ready`, then one for each
/// change. Ends with the session.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/watch",
    operation_id = "watchFiles",
    tag = "files",
    params(
        ("id" = String, Path, description = "The session"),
        ("recursive" = Option<bool>, Query,
         description = "Whether what happens in directories of it is told too, those that appear included: \
         at most 1,000 directories for all watches of a session"),
    ),
    responses(
        (status = 200, description = "The events", content_type = "text/event-stream", body = WatchEvent),
        (status = "4XX", description = "401, 403: not allowed · 404: no such session · 409: more \
         directories than can be watched · 429: 8 watches are open · 400: odd parameters",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 503, description = "The machine has no inotify instance or watch left",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn watch_all(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    asked: Result<Query<Reach>, QueryRejection>,
    caller: Caller,
) -> Result<Response, Problem> {
    begin(app, &id, "", asked, caller).await
}

/// Tells what happens to files of a directory, as server-sent events. Ends with the directory, or with the
/// session.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/watch/{*path}",
    operation_id = "watchDirectory",
    tag = "files",
    params(
        ("id" = String, Path, description = "The session"),
        ("path" = String, Path, description = "A directory below the working directory"),
        ("recursive" = Option<bool>, Query, description = "As for all files"),
    ),
    responses(
        (status = 200, description = "The events", content_type = "text/event-stream", body = WatchEvent),
        (status = "4XX", description = "401, 403: not allowed, or over a link · 404: no such session or \
         directory · 409: not a directory, or more than can be watched · 429: 8 watches are open · 400: not \
         a path", body = Document<'static>, content_type = "application/problem+json"),
        (status = 503, description = "The machine has no inotify instance or watch left",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn watch(
    State(app): State<Arc<AppState>>,
    place: Result<Path<(String, String)>, PathRejection>,
    asked: Result<Query<Reach>, QueryRejection>,
    caller: Caller,
) -> Result<Response, Problem> {
    let Path((id, path)) = place.map_err(|error| Problem::bad_request(error.body_text()))?;
    begin(app, &id, &path, asked, caller).await
}

async fn begin(
    app: Arc<AppState>,
    id: &str,
    path: &str,
    asked: Result<Query<Reach>, QueryRejection>,
    caller: Caller,
) -> Result<Response, Problem> {
    let (session, credential) = caller.session_for(&app, id, Extra::Files)?;
    let Query(Reach { recursive }) =
        asked.map_err(|error| Problem::bad_request(error.body_text()))?;
    if !path.is_empty() {
        check_path(path.as_bytes()).map_err(Problem::bad_request)?;
    }
    let watch = session.watch_files(path, recursive).await?;
    let (tell, told) = mpsc::channel(1);
    let span = session.span();
    app.connections.spawn(follow(session, credential, watch, tell).instrument(span));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would keep the stream until it has a page full.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(stream(told))).into_response())
}

/// Passes events on until the session is over, the directory is gone, the client leaves, or its right to read
/// files is taken back.
async fn follow(
    session: SessionHandle,
    credential: Credential,
    mut watch: FileWatch,
    tell: mpsc::Sender<Bytes>,
) {
    let mut rights_changed = session.rights_changed();
    // They may have changed since the request was let in.
    if !may_watch(&session, &credential) {
        return;
    }
    loop {
        let mut next = std::pin::pin!(watch.next());
        let events = loop {
            tokio::select! {
                () = tell.closed() => return,
                changed = rights_changed.changed() => {
                    if changed.is_err() || !may_watch(&session, &credential) {
                        return;
                    }
                }
                events = &mut next => break events,
            }
        };
        let Ok(Some(events)) = events else { return };
        let mut bytes = Vec::new();
        for event in events {
            WatchEvent::of(event).append(&mut bytes);
        }
        // The connection has a deadline for a client that does not read; what happens meanwhile waits in the
        // driver, as far as there is room.
        if tell.send(bytes.into()).await.is_err() {
            return;
        }
    }
}

/// Whether the client may still read files: as for [`Extra::Files`], viewers may not.
fn may_watch(session: &SessionHandle, credential: &Credential) -> bool {
    session.rights(credential).is_some_and(|rights| rights.role != Role::Viewer)
}

/// The response's body: `ready`, and what is told, with signs of life between.
fn stream(
    told: mpsc::Receiver<Bytes>,
) -> impl futures::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static {
    let mut ready = Vec::new();
    WatchEvent::Ready {}.append(&mut ready);
    futures::stream::unfold((Some(Bytes::from(ready)), told), |(first, mut told)| async move {
        if let Some(first) = first {
            return Some((Ok(first), (None, told)));
        }
        let next = tokio::time::timeout(SIGN_OF_LIFE, told.recv()).await;
        let bytes = next.unwrap_or(Some(Bytes::from_static(b":\n\n")))?;
        Some((Ok(bytes), (None, told)))
    })
}
