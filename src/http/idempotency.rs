//! Requests that make something once, however often they are sent: a client whose connection broke before
//! the answer came sends the same `Idempotency-Key` again, and is given the same answer.
//!
//! ```text
//!   first request ─► under way ─► answered (kept for a time) ─► forgotten
//!   the same again:    409          the same answer               a new request
//! ```
//! A cell's answer is a stream that may be long: what is kept of it is the cell's id, and the same request
//! again is answered with the cell's events in the session's log.
//!
//! Source: the Internet-Draft draft-ietf-httpapi-idempotency-key-header.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::problem::Problem;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// Most answers that are kept; beyond it the oldest is forgotten.
const ANSWERS: usize = 4096;

/// Longest key, in bytes.
const KEY_BYTES: usize = 255;

/// Longest answer that is kept, in bytes: a session's `ready` has one to two KiB.
const ANSWER_BYTES: usize = 16 << 10; // 16 KiB

/// What has come of requests with a key.
#[derive(Default)]
pub struct Idempotency {
    responses: Table<KeptResponse>,
    /// The ids of cells.
    cells: Table<String>,
}

type KeptResponse = (StatusCode, HeaderMap, Bytes);

/// Requests with a key, and what is kept of their answers.
struct Table<A> {
    entries: Mutex<HashMap<Scope, Entry<A>>>,
    hasher: RandomState,
}

/// Whose request, for what, with which key: as a hash, so that no token is kept.
type Scope = (u64, String);

struct Entry<A> {
    body: u64,
    since: Instant,
    /// `None`: it is under way.
    answer: Option<A>,
}

/// What a request with a key is.
enum Begun<'a, A> {
    /// The first of its kind.
    First(UnderWay<'a, A>),
    /// One that has been answered with this.
    Again(A),
}

/// A request that is under way; forgotten if it comes to no answer.
struct UnderWay<'a, A> {
    table: &'a Table<A>,
    scope: Option<Scope>,
}

impl<A> UnderWay<'_, A> {
    fn answered(mut self, answer: A) {
        if let Some(scope) = self.scope.take()
            && let Some(entry) = self.table.entries().get_mut(&scope)
        {
            entry.answer = Some(answer);
        }
    }
}

impl<A> Drop for UnderWay<'_, A> {
    fn drop(&mut self) {
        if let Some(scope) = self.scope.take() {
            self.table.entries().remove(&scope);
        }
    }
}

/// A cell that a request with a key asks for.
pub(super) enum KeyedCell<'a> {
    /// It is to be run.
    First(FirstRequest<'a>),
    /// The same request came before, and this is the cell.
    Again(String),
}

/// The first request for a cell; forgotten unless the session accepts it.
pub(super) struct FirstRequest<'a>(UnderWay<'a, String>);

impl FirstRequest<'_> {
    /// The session has accepted this cell.
    pub(super) fn accepted(self, cell: &str) {
        self.0.answered(cell.to_owned());
    }
}

impl Idempotency {
    /// Does what a request asks for, unless one with the same key has: then the same answer is given. A
    /// refusal is not kept, so that it can be tried again. `whose` names the caller and the address.
    pub(super) async fn once(
        &self,
        headers: &HeaderMap,
        whose: &str,
        body: &[u8],
        work: impl Future<Output = Result<Response, Problem>>,
    ) -> Result<Response, Problem> {
        let under_way = match self.responses.begin(headers, whose, body)? {
            None => return work.await,
            Some(Begun::Again((status, headers, bytes))) => {
                let mut response = (status, bytes).into_response();
                *response.headers_mut() = headers;
                response.headers_mut().remove(header::CONTENT_LENGTH);
                return Ok(response);
            }
            Some(Begun::First(under_way)) => under_way,
        };
        let (parts, body) = work.await?.into_parts();
        let bytes = to_bytes(body, ANSWER_BYTES)
            .await
            .map_err(|error| Problem::internal("cannot keep an answer", &error))?;
        under_way.answered((parts.status, parts.headers.clone(), bytes.clone()));
        Ok(Response::from_parts(parts, Body::from(bytes)))
    }

    /// Whether a request for a cell came before; `None` if it has no key.
    pub(super) fn cell(
        &self,
        headers: &HeaderMap,
        whose: &str,
        body: &[u8],
    ) -> Result<Option<KeyedCell<'_>>, Problem> {
        let begun = self.cells.begin(headers, whose, body)?;
        Ok(begun.map(|begun| match begun {
            Begun::First(under_way) => KeyedCell::First(FirstRequest(under_way)),
            Begun::Again(cell) => KeyedCell::Again(cell),
        }))
    }
}

impl<A> Default for Table<A> {
    fn default() -> Table<A> {
        Table { entries: Mutex::default(), hasher: RandomState::default() }
    }
}

impl<A> Table<A> {
    fn entries(&self) -> MutexGuard<'_, HashMap<Scope, Entry<A>>> {
        // Nothing panics while it holds the lock.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Clone> Table<A> {
    /// Notes that a request is under way, or tells what is known of it; `None` if it has no key.
    fn begin(
        &self,
        headers: &HeaderMap,
        whose: &str,
        body: &[u8],
    ) -> Result<Option<Begun<'_, A>>, Problem> {
        let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
        let key = key.to_str().ok().filter(|key| (1..=KEY_BYTES).contains(&key.len()));
        let Some(key) = key else {
            let text = "an Idempotency-Key is 1 to 255 visible ASCII characters";
            return Err(Problem::bad_request(text));
        };
        let scope = (self.hasher.hash_one(whose), key.to_owned());
        let body = self.hasher.hash_one(body);
        let mut entries = self.entries();
        entries.retain(|_, entry| entry.since.elapsed() < KEPT);
        if let Some(entry) = entries.get(&scope) {
            if entry.body != body {
                let text = "this Idempotency-Key came with another body; use a new one for another request";
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, text));
            }
            let Some(answer) = &entry.answer else {
                let text =
                    "a request with this Idempotency-Key is under way; ask again in a moment";
                return Err(Problem::new(StatusCode::CONFLICT, text).for_now());
            };
            return Ok(Some(Begun::Again(answer.clone())));
        }
        if entries.len() >= ANSWERS
            && let Some(oldest) =
                entries.iter().min_by_key(|(_, entry)| entry.since).map(|(scope, _)| scope.clone())
        {
            entries.remove(&oldest);
        }
        entries.insert(scope.clone(), Entry { body, since: Instant::now(), answer: None });
        Ok(Some(Begun::First(UnderWay { table: self, scope: Some(scope) })))
    }
}
