//! `/v1/sessions/{id}/files` and `…/directories`: the working directory of a session, from outside.
//!
//! A file is passed on chunk by chunk in both directions, at the pace of the slower side. Whoever
//! may execute may read, write, move and remove files (owner and editor): code could show and change
//! them anyhow. An editor who may not run may read them, but not change what cells run with. A viewer
//! may not even read, as files can hold what was never shown.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::auth::Caller;
use super::body::patiently;
use super::problem::{Document, Problem};
use crate::admission::Extra;
use crate::session::SessionHandle;
use crate::session::files::{EntryKind, FileEntry, FileError, FileReader, Refusal, check_path};

pub(super) mod watching;

/// Most entries of one listing: a few megabytes of JSON.
const MOST_ENTRIES: usize = 10_000;

/// How deep a listing goes at most.
const DEEPEST: usize = 32;

/// Which directory to list.
#[derive(Debug, Deserialize)]
pub(super) struct Where {
    #[serde(default)]
    path: String,
    depth: Option<usize>,
}

/// What stands in a directory.
#[derive(Serialize, ToSchema)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct Directory {
    /// The directory, relative to the working directory, which is empty.
    path: String,
    /// What stands in it, by name; of each directory that was gone into, its entries follow its own.
    entries: Vec<DirectoryEntry>,
    /// Whether there is more: a listing ends after 10,000 entries.
    truncated: bool,
}

/// A file, or what else has a name.
#[derive(Serialize, ToSchema)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct DirectoryEntry {
    /// Its name.
    name: String,
    /// Its path, relative to the working directory.
    path: String,
    /// Its size in bytes; 0 for what is not a file.
    size: u64,
    /// When it was last changed, in Unix milliseconds.
    modified: u64,
    /// Its permissions as a number: 420 are `0o644`.
    mode: u16,
    /// What it is. Links are not followed by any request.
    kind: Kind,
}

/// What has a name.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "EntryKind"))]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// A file that was written.
#[derive(Serialize, ToSchema)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct Written {
    /// Its path, relative to the working directory.
    path: String,
    /// Its size in bytes.
    size: u64,
}

/// Lists a directory.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/files",
    operation_id = "listFiles",
    tag = "files",
    params(
        ("id" = String, Path, description = "The session"),
        ("path" = Option<String>, Query,
         description = "A directory below the working directory, which it is if not given"),
        ("depth" = Option<usize>, Query,
         description = "How deep to go into directories, at most 32; 1, the default, is the directory alone. \
         Links are not followed"),
    ),
    responses(
        (status = 200, description = "What stands in the directory", body = Directory),
        (status = "4XX", description = "401, 403: not allowed, or over a link · 404: no such \
         session or directory · 409: not a directory · 400: not a path", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    asked: Result<Query<Where>, QueryRejection>,
    caller: Caller,
) -> Result<Json<Directory>, Problem> {
    let (session, _) = caller.session_for(&app, &id, Extra::Files)?;
    let Query(Where { path, depth }) =
        asked.map_err(|error| Problem::bad_request(error.body_text()))?;
    // As people write a directory.
    let path = path.trim_end_matches('/').trim_start_matches("./");
    let path = if path == "." { "" } else { path };
    if !path.is_empty() {
        check_path(path.as_bytes()).map_err(Problem::bad_request)?;
    }
    let depth = depth.unwrap_or(1);
    if !(1..=DEEPEST).contains(&depth) {
        let text = format!("`depth` must be at least 1 and at most {DEEPEST}");
        return Err(Problem::bad_request(text));
    }
    Ok(Json(walk(&session, path, depth).await?))
}

/// Lists a directory and those in it, each behind its own entry.
async fn walk(session: &SessionHandle, path: &str, depth: usize) -> Result<Directory, Problem> {
    let mut all = Directory { path: path.to_owned(), entries: Vec::new(), truncated: false };
    // Directories that are not finished: what is left of each, the last one first, and where it is.
    let listing = session.list_files(path, MOST_ENTRIES).await?;
    all.truncated = listing.truncated;
    let mut open = vec![(path.to_owned(), reversed(listing.entries))];
    while let Some((directory, left)) = open.last_mut() {
        let Some(entry) = left.pop() else {
            open.pop();
            continue;
        };
        if all.entries.len() == MOST_ENTRIES {
            all.truncated = true;
            break;
        }
        let entry = DirectoryEntry::new(directory, entry);
        let goes_in = matches!(entry.kind, Kind::Directory) && open.len() < depth;
        let path = goes_in.then(|| entry.path.clone());
        all.entries.push(entry);
        let Some(path) = path else { continue };
        let room = MOST_ENTRIES - all.entries.len();
        match session.list_files(&path, room).await {
            Ok(listing) => {
                all.truncated |= listing.truncated;
                open.push((path, reversed(listing.entries)));
            }
            // It went away meanwhile, or may not be read: its entry is all there is to say.
            Err(FileError::Refused { why, .. }) if why != Refusal::TooMany => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

fn reversed(mut entries: Vec<FileEntry>) -> Vec<FileEntry> {
    entries.reverse();
    entries
}

impl DirectoryEntry {
    fn new(directory: &str, entry: FileEntry) -> DirectoryEntry {
        let path = match directory {
            "" => entry.name.clone(),
            directory => format!("{directory}/{}", entry.name),
        };
        let kind = match entry.kind {
            EntryKind::File => Kind::File,
            EntryKind::Directory => Kind::Directory,
            EntryKind::Link => Kind::Link,
            EntryKind::Other => Kind::Other,
        };
        let FileEntry { name, size, modified_ms: modified, mode, .. } = entry;
        DirectoryEntry { name, path, kind, size, modified, mode }
    }
}

/// Tells what has the name at a path: the entry that a listing of its directory would have. Of a link,
/// the link itself.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/stat/{*path}",
    operation_id = "statFile",
    tag = "files",
    params(
        ("id" = String, Path, description = "The session"),
        ("path" = String, Path, description = "A file or directory below the working directory"),
    ),
    responses(
        (status = 200, description = "What has that name", body = DirectoryEntry),
        (status = "4XX", description = "401, 403: not allowed, or over a link · 404: no such \
         session or file · 409: a part of the path is not a directory · 400: not a path",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stat(
    State(app): State<Arc<AppState>>,
    place: Result<Path<(String, String)>, PathRejection>,
    caller: Caller,
) -> Result<Json<DirectoryEntry>, Problem> {
    let Path((id, path)) = place.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (session, _) = caller.session_for(&app, &id, Extra::Files)?;
    check_path(path.as_bytes()).map_err(Problem::bad_request)?;
    let entry = session.stat_file(&path).await?;
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    Ok(Json(DirectoryEntry::new(directory, entry)))
}

/// Reads a file.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/files/{*path}",
    operation_id = "readFile",
    tag = "files",
    params(
        ("id" = String, Path, description = "The session"),
        ("path" = String, Path, description = "A file below the working directory"),
    ),
    responses(
        (status = 200, description = "The file", content_type = "application/octet-stream"),
        (status = "4XX", description = "401, 403: not allowed, or over a link · 404: no such \
         session or file · 409: a directory, a pipe, a device · 429: too many transfers at once · \
         400: not a path", body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn download(
    State(app): State<Arc<AppState>>,
    place: Result<Path<(String, String)>, PathRejection>,
    caller: Caller,
) -> Result<Response, Problem> {
    let Path((id, path)) = place.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (session, _) = caller.session_for(&app, &id, Extra::Files)?;
    check_path(path.as_bytes()).map_err(Problem::bad_request)?;
    let file = session.read_file(&path).await?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let headers = [
        (header::CONTENT_LENGTH, HeaderValue::from(file.size())),
        // Made by hostile code and served from the console's own origin: nothing may run it.
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::try_from(format!("attachment; filename*=UTF-8''{name}"))
                .unwrap_or(HeaderValue::from_static("attachment")),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let chunks = futures::stream::try_unfold(file, async |mut file: FileReader| {
        // A file that becomes shorter breaks the connection: its length was promised.
        let chunk = file.next().await.inspect_err(|error| {
            tracing::debug!(%error, "a download breaks off");
        })?;
        Ok::<_, FileError>(chunk.map(|chunk| (chunk, file)))
    });
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// Writes a file; directories on its way are made. What was there is replaced in one step.
#[utoipa::path(
    put,
    path = "/v1/sessions/{id}/files/{*path}",
    operation_id = "writeFile",
    tag = "files",
    params(
        ("id" = String, Path, description = "The session"),
        ("path" = String, Path, description = "A file below the working directory"),
    ),
    request_body(content_type = "application/octet-stream", description = "The file"),
    responses(
        (status = 201, description = "The file is new", body = Written),
        (status = 200, description = "The file was there and is replaced", body = Written),
        (status = "4XX", description = "401, 403: not allowed, or over a link · 404: no such \
         session · 408: the body stopped coming · 409: a directory, a pipe, a device · 413: too \
         large · 429: too many transfers at once · 400: not a path", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 507, description = "The working directory is full", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn upload(
    State(app): State<Arc<AppState>>,
    place: Result<Path<(String, String)>, PathRejection>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path((id, path)) = place.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (session, _) = caller.session_for(&app, &id, Extra::FileChanges)?;
    check_path(path.as_bytes()).map_err(Problem::bad_request)?;
    let most = app.upload_bytes;
    let too_large = || {
        let detail = format!("a file has at most {most} bytes; --upload-size says how many");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if told.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let mut file = session.write_file(&path).await?;
    let mut chunks = body.into_data_stream();
    let mut size = 0;
    while let Some(chunk) = patiently(app.socket.write_timeout, chunks.next()).await? {
        let chunk = chunk.map_err(|error| {
            Problem::bad_request(format!("the body broke off after {size} bytes: {error}"))
        })?;
        size += chunk.len() as u64;
        if size > most {
            return Err(too_large());
        }
        file.append(&chunk).await?;
    }
    let status = if file.existed() { StatusCode::OK } else { StatusCode::CREATED };
    file.commit().await?;
    Ok((status, Json(Written { path, size })).into_response())
}

/// Whether a directory goes with all in it.
#[derive(Debug, Deserialize)]
pub(super) struct HowMuch {
    #[serde(default)]
    recursive: bool,
}

/// Removes a file, a link itself, or an empty directory; with `recursive` a directory with all in it.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{id}/files/{*path}",
    operation_id = "removeFile",
    tag = "files",
    params(
        ("id" = String, Path, description = "The session"),
        ("path" = String, Path, description = "What to remove, below the working directory"),
        ("recursive" = Option<bool>, Query,
         description = "Whether a directory is removed with all in it: at most 100,000 names, 128 \
         directories below each other, and nothing that is mounted"),
    ),
    responses(
        (status = 204, description = "It is removed"),
        (status = "4XX", description = "401, 403: not allowed, or over a link · 404: no such \
         session or file · 409: the directory is not empty, or what is in it cannot be removed; some \
         of it may be · 429: too many transfers at once · 400: not a path",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn remove(
    State(app): State<Arc<AppState>>,
    place: Result<Path<(String, String)>, PathRejection>,
    asked: Result<Query<HowMuch>, QueryRejection>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let Path((id, path)) = place.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (session, _) = caller.session_for(&app, &id, Extra::FileChanges)?;
    let Query(HowMuch { recursive }) =
        asked.map_err(|error| Problem::bad_request(error.body_text()))?;
    check_path(path.as_bytes()).map_err(Problem::bad_request)?;
    match session.remove_file(&path).await {
        Err(FileError::Refused { why: Refusal::NotEmpty, .. }) if recursive => {
            session.remove_directory(&path).await?;
        }
        removed => removed?,
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Where a file goes.
#[derive(Debug, Deserialize)]
pub(super) struct Target {
    move_to: String,
}

/// Renames or moves a file or a directory. Nothing is replaced.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/files/{*path}",
    operation_id = "moveFile",
    tag = "files",
    params(
        ("id" = String, Path, description = "The session"),
        ("path" = String, Path, description = "What to move, below the working directory"),
        ("move_to" = String, Query,
         description = "The path that it gets, below the working directory, in a directory that is \
         there"),
    ),
    responses(
        (status = 204, description = "It is moved"),
        (status = "4XX", description = "401, 403: not allowed, or over a link · 404: no such \
         session or file, or no directory to move it into · 409: something has that name already, or \
         it is a directory that would be in itself · 400: not a path",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn move_to(
    State(app): State<Arc<AppState>>,
    place: Result<Path<(String, String)>, PathRejection>,
    asked: Result<Query<Target>, QueryRejection>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let Path((id, path)) = place.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (session, _) = caller.session_for(&app, &id, Extra::FileChanges)?;
    let Query(Target { move_to }) = asked.map_err(|error| {
        Problem::bad_request(format!(
            "`move_to` has to say which path the file gets; PUT writes one: {}",
            error.body_text()
        ))
    })?;
    check_path(path.as_bytes()).map_err(Problem::bad_request)?;
    check_path(move_to.as_bytes())
        .map_err(|what| Problem::bad_request(format!("`move_to`: {what}")))?;
    session.move_file(&path, &move_to).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A directory that is there now.
#[derive(Serialize, ToSchema)]
pub(super) struct Made {
    /// Its path, relative to the working directory.
    path: String,
}

/// Makes a directory, and those on its way that are missing.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/directories/{*path}",
    operation_id = "makeDirectory",
    tag = "files",
    params(
        ("id" = String, Path, description = "The session"),
        ("path" = String, Path, description = "A directory below the working directory"),
    ),
    responses(
        (status = 201, description = "The directory is new", body = Made),
        (status = 200, description = "The directory was there", body = Made),
        (status = "4XX", description = "401, 403: not allowed, or over a link · 404: no such \
         session · 409: what has this name is no directory · 400: not a path",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 507, description = "The working directory is full", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn make_directory(
    State(app): State<Arc<AppState>>,
    place: Result<Path<(String, String)>, PathRejection>,
    caller: Caller,
) -> Result<Response, Problem> {
    let Path((id, path)) = place.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (session, _) = caller.session_for(&app, &id, Extra::FileChanges)?;
    check_path(path.as_bytes()).map_err(Problem::bad_request)?;
    let existed = session.make_directory(&path).await?;
    let status = if existed { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(Made { path })).into_response())
}
