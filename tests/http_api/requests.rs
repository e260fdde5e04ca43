//! Requests: one connection each, so that dropping one is what a client that goes away does.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use http_body_util::BodyStream;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::common::gateway::Gateway;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(45);

/// From one look to the next.
const PACE: Duration = Duration::from_millis(20);

/// A request on its way to be sent.
pub(crate) struct Ask<'a> {
    gateway: &'a Gateway,
    method: &'a str,
    path: String,
    headers: Vec<(&'a str, String)>,
    body: Body,
}

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

/// A response that is still coming. Dropping it closes the connection.
pub(crate) struct Stream {
    pub(crate) head: http::response::Parts,
    body: BodyStream<Incoming>,
    read: Vec<u8>,
    connection: Connection,
}

/// The task that drives a connection, ended with whoever holds this.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request with the gateway's token.
pub(crate) fn ask<'a>(gateway: &'a Gateway, method: &'a str, path: impl Into<String>) -> Ask<'a> {
    anonymous(gateway, method, path).token(&gateway.token)
}

/// A request without any token.
pub(crate) fn anonymous<'a>(
    gateway: &'a Gateway,
    method: &'a str,
    path: impl Into<String>,
) -> Ask<'a> {
    Ask { gateway, method, path: path.into(), headers: Vec::new(), body: Body::empty() }
}

/// A cell to run, as `curl --data-binary` sends it.
pub(crate) fn run<'a>(gateway: &'a Gateway, code: &str) -> Ask<'a> {
    ask(gateway, "POST", "/v1/run")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "*/*")
        .body(code.to_owned())
}

impl<'a> Ask<'a> {
    /// With another token.
    pub(crate) fn token(self, token: &str) -> Ask<'a> {
        let value = format!("Bearer {token}");
        self.header("authorization", value)
    }

    /// With this header instead of any other of its name.
    pub(crate) fn header(mut self, name: &'a str, value: impl Into<String>) -> Ask<'a> {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    /// With this body.
    pub(crate) fn body(mut self, body: impl Into<Body>) -> Ask<'a> {
        self.body = body.into();
        self
    }

    /// With a body that says it is JSON.
    pub(crate) fn json(self, body: &Value) -> Ask<'a> {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sends it and reads the whole answer.
    pub(crate) async fn reply(self) -> Reply {
        let reading = async {
            let Stream { head, mut body, connection, .. } = self.stream().await;
            let mut whole = Vec::new();
            while let Some(frame) = body.next().await {
                whole.extend(frame.unwrap().into_data().unwrap());
            }
            drop(connection);
            Reply { status: head.status.as_u16(), headers: head.headers, body: whole.into() }
        };
        tokio::time::timeout(DEADLINE, reading).await.expect("an answer takes too long")
    }

    /// Sends it and reads the head of the answer.
    pub(crate) async fn stream(self) -> Stream {
        let opening = async {
            let stream = TcpStream::connect(self.gateway.address).await.unwrap();
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            let connection = Connection(tokio::spawn(async move {
                // How it ends is told to whoever reads the answer.
                connection.await.ok();
            }));
            let mut request = http::Request::builder()
                .method(self.method)
                .uri(self.path)
                .header("host", self.gateway.address.to_string());
            for (name, value) in self.headers {
                request = request.header(name, value);
            }
            let response = sender.send_request(request.body(self.body).unwrap()).await.unwrap();
            let (head, body) = response.into_parts();
            Stream { head, body: BodyStream::new(body), read: Vec::new(), connection }
        };
        tokio::time::timeout(DEADLINE, opening).await.expect("an answer takes too long")
    }
}

impl Reply {
    /// A header as text.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}"));
        value.to_str().unwrap()
    }

    /// The body, which is JSON and came with this status.
    #[track_caller]
    pub(crate) fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The sentence of a problem document with this status.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert!(!problem["title"].as_str().unwrap().is_empty());
        let detail = problem["detail"].as_str().unwrap().to_owned();
        assert!(!detail.is_empty() && !detail.ends_with('.'), "{detail}");
        detail
    }
}

impl Stream {
    /// The next line without its end; `None` at the end of the answer.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let reading = async {
            loop {
                if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                    let rest = self.read.split_off(end + 1);
                    let mut line = std::mem::replace(&mut self.read, rest);
                    line.pop();
                    return Some(String::from_utf8(line).unwrap());
                }
                match self.body.next().await {
                    Some(frame) => self.read.extend(frame.unwrap().into_data().unwrap()),
                    None => {
                        assert!(self.read.is_empty(), "half a line at the end");
                        return None;
                    }
                }
            }
        };
        tokio::time::timeout(DEADLINE, reading).await.expect("a line takes too long")
    }

    /// The next line as an event.
    pub(crate) async fn event(&mut self) -> Option<Value> {
        self.line().await.map(|line| serde_json::from_str(&line).unwrap())
    }

    /// Events up to the next of this type, which is the last.
    pub(crate) async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await.unwrap_or_else(|| panic!("no {kind} in {events:#?}"));
            let found = event["type"] == kind;
            events.push(event);
            if found {
                return events;
            }
        }
    }
}

/// Asks again and again until the answer fits; for what nobody is told of.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let looking = async {
        // Asking without a pause would take the machine from what is waited for.
        let mut pace = tokio::time::interval(PACE);
        loop {
            pace.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// The sessions that the gateway lists.
pub(crate) async fn sessions(gateway: &Gateway) -> Vec<Value> {
    let listed = ask(gateway, "GET", "/v1/sessions").reply().await.json(200);
    listed["sessions"].as_array().unwrap().clone()
}
