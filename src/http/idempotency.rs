//! Requests that make something once, however often they are sent: a client whose connection broke before
//! the answer came sends the same `Idempotency-Key` again, and is given the same answer.
//!
//! ```text
//!   first request ─► under way ─► answered (kept for a time) ─► forgotten
//!   the same again:    409          the same answer               a new request
//! ```
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

/// The answers of requests with a key.
#[derive(Default)]
pub struct Idempotency {
    entries: Mutex<HashMap<Scope, Entry>>,
    hasher: RandomState,
}

/// Whose request, for what, with which key: as a hash, so that no token is kept.
type Scope = (u64, String);

struct Entry {
    body: u64,
    since: Instant,
    /// `None`: it is under way.
    answer: Option<(StatusCode, HeaderMap, Bytes)>,
}

/// Forgets a request that came to no answer.
struct UnderWay<'a> {
    table: &'a Idempotency,
    scope: Option<Scope>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(scope) = self.scope.take() {
            self.table.entries().remove(&scope);
        }
    }
}

impl Idempotency {
    fn entries(&self) -> MutexGuard<'_, HashMap<Scope, Entry>> {
        // Nothing panics while it holds the lock.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a request asks for, unless one with the same key has: then the same answer is given. A
    /// refusal is not kept, so that it can be tried again. `whose` names the caller and the address.
    pub(super) async fn once(
        &self,
        headers: &HeaderMap,
        whose: &str,
        body: &[u8],
        work: impl Future<Output = Result<Response, Problem>>,
    ) -> Result<Response, Problem> {
        let Some(key) = headers.get("idempotency-key") else { return work.await };
        let key = key.to_str().ok().filter(|key| (1..=KEY_BYTES).contains(&key.len()));
        let Some(key) = key else {
            let text = "an Idempotency-Key is 1 to 255 visible ASCII characters";
            return Err(Problem::bad_request(text));
        };
        let scope = (self.hasher.hash_one(whose), key.to_owned());
        let body = self.hasher.hash_one(body);
        if let Some(answer) = self.begin(&scope, body)? {
            return Ok(answer);
        }
        let mut under_way = UnderWay { table: self, scope: Some(scope) };
        let (parts, body) = work.await?.into_parts();
        let bytes = to_bytes(body, ANSWER_BYTES)
            .await
            .map_err(|error| Problem::internal("cannot keep an answer", &error))?;
        if let Some(scope) = under_way.scope.take()
            && let Some(entry) = self.entries().get_mut(&scope)
        {
            entry.answer = Some((parts.status, parts.headers.clone(), bytes.clone()));
        }
        Ok(Response::from_parts(parts, Body::from(bytes)))
    }

    /// Notes that a request is under way, or answers what is known of it.
    fn begin(&self, scope: &Scope, body: u64) -> Result<Option<Response>, Problem> {
        let mut entries = self.entries();
        entries.retain(|_, entry| entry.since.elapsed() < KEPT);
        if let Some(entry) = entries.get(scope) {
            if entry.body != body {
                let text = "this Idempotency-Key came with another body; use a new one for another request";
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, text));
            }
            let Some((status, headers, bytes)) = &entry.answer else {
                let text =
                    "a request with this Idempotency-Key is under way; ask again in a moment";
                return Err(Problem::new(StatusCode::CONFLICT, text).for_now());
            };
            let mut response = (*status, bytes.clone()).into_response();
            *response.headers_mut() = headers.clone();
            response.headers_mut().remove(header::CONTENT_LENGTH);
            return Ok(Some(response));
        }
        if entries.len() >= ANSWERS
            && let Some(oldest) =
                entries.iter().min_by_key(|(_, entry)| entry.since).map(|(scope, _)| scope.clone())
        {
            entries.remove(&oldest);
        }
        entries.insert(scope.clone(), Entry { body, since: Instant::now(), answer: None });
        Ok(None)
    }
}
