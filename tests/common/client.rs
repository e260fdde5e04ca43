//! A client of the protocol, over a real WebSocket, that distrusts everything it is told.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::checker::Checker;
use super::gateway::Gateway;
use super::traces::Processes;

/// Longest wait for any one message. A container's start on a busy machine is the slowest.
pub(crate) const DEADLINE: Duration = Duration::from_secs(45);

/// What a connection closed with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// The code; 1006 if there was no close frame.
    pub(crate) code: u16,
    /// The sentence for people.
    pub(crate) reason: String,
}

/// One participant.
pub(crate) struct Client {
    stream: WebSocketStream<TcpStream>,
    checker: Checker,
    /// The first message.
    pub(crate) ready: Value,
    /// Messages that somebody who waited for others has passed over.
    aside: VecDeque<Value>,
    sent: u32,
}

/// What came of one cell.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    /// Its events, in order, from `queued` to `done`.
    pub(crate) events: Vec<Value>,
}

/// A handshake for a path and query such as `/ws?template=x`.
pub(crate) fn request(gateway: &Gateway, path: &str) -> Request {
    format!("ws://{}{path}", gateway.address).into_client_request().unwrap()
}

/// Opens a WebSocket and does not wait for any message.
pub(crate) async fn open(
    gateway: &Gateway,
    request: Request,
) -> Result<(WebSocketStream<TcpStream>, Response), Error> {
    let opening = async {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        // Bytes wait in the kernel, where a slow reader's should, not in our buffers.
        let config = WebSocketConfig::default().read_buffer_size(16 << 10);
        tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await
    };
    tokio::time::timeout(DEADLINE, opening).await.expect("a handshake takes too long")
}

impl Client {
    /// A session of its own, of this template.
    pub(crate) async fn create(gateway: &Gateway, template: &str) -> Client {
        let path = format!("/ws?token={}&template={template}", gateway.token);
        Client::with_request(gateway, request(gateway, &path), Checker::default()).await
    }

    /// Joins the session of another client, who stays, as an owner beside it.
    pub(crate) async fn beside(gateway: &Gateway, other: &Client) -> Client {
        let path = format!("/ws?session={}&token={}&name=second", other.session(), gateway.token);
        Client::with_request(gateway, request(gateway, &path), Checker::default()).await
    }

    /// Joins with the session and token of somebody's `ready`, whose place it takes, or of a share
    /// link; `after` as in the query.
    pub(crate) async fn join(gateway: &Gateway, ready: &Value, after: Option<u64>) -> Client {
        Client::attach(gateway, ready, after, "&name=second").await
    }

    async fn attach(gateway: &Gateway, ready: &Value, after: Option<u64>, more: &str) -> Client {
        let (session, token) = (text(ready, "session"), text(ready, "token"));
        let mut path = format!("/ws?session={session}&token={token}{more}");
        let mut checker = Checker::default();
        if let Some(after) = after {
            path += &format!("&after={after}");
            checker = Checker::resuming(after);
        }
        Client::with_request(gateway, request(gateway, &path), checker).await
    }

    /// Breaks the connection off and comes back for what it has missed since.
    pub(crate) async fn resume(self, gateway: &Gateway) -> Client {
        let (ready, seq, sent) = (self.ready.clone(), self.seq(), self.sent);
        drop(self);
        Client { sent, ..Client::attach(gateway, &ready, Some(seq), "").await }
    }

    /// Whatever the request asks for, up to `ready`.
    pub(crate) async fn with_request(
        gateway: &Gateway,
        request: Request,
        checker: Checker,
    ) -> Client {
        let (stream, _) = open(gateway, request).await.unwrap();
        let aside = VecDeque::new();
        let mut client = Client { stream, checker, ready: Value::Null, aside, sent: 0 };
        client.ready = client.read().await.unwrap_or_else(|closed| {
            panic!("{closed:?} instead of `ready`; the gateway says:\n{}", gateway.log())
        });
        assert_eq!(client.ready["type"], "ready");
        client
    }

    /// The session's id.
    pub(crate) fn session(&self) -> &str {
        text(&self.ready, "session")
    }

    /// The processes its sandbox has on this machine; none are seen of a kernel of its own.
    pub(crate) async fn processes(&mut self) -> Processes {
        let code = "import os\nprint(os.readlink('/proc/self/ns/pid'))";
        let found = self.print(code).await.trim().to_owned();
        let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
        match own.as_os_str() == found.as_str() {
            true => Processes::default(), // gVisor's first namespace has the same name as Linux's
            false => Processes::of_namespace(&found),
        }
    }

    /// Forgets the messages that were passed over.
    pub(crate) fn forget(&mut self) {
        self.aside.clear();
    }

    /// Newest seq seen.
    pub(crate) fn seq(&self) -> u64 {
        self.checker.seq()
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: Value) {
        self.send_frame(Message::text(message.to_string())).await;
    }

    /// Sends a frame.
    pub(crate) async fn send_frame(&mut self, frame: Message) {
        let sending = self.stream.send(frame);
        tokio::time::timeout(DEADLINE, sending).await.expect("a send takes too long").unwrap();
    }

    /// Sends a cell and answers its id.
    pub(crate) async fn execute(&mut self, code: &str) -> String {
        self.execute_with(code, json!({})).await
    }

    /// Sends a cell with more fields than its code.
    pub(crate) async fn execute_with(&mut self, code: &str, more: Value) -> String {
        self.sent += 1;
        let id = format!("c{}", self.sent);
        let mut message = json!({"type": "execute", "id": id, "code": code});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = text(&message, "id").to_owned();
        self.send(message).await;
        id
    }

    /// Runs a cell to its end.
    pub(crate) async fn run(&mut self, code: &str) -> Cell {
        let id = self.execute(code).await;
        self.finish(&id).await
    }

    /// Runs a cell with more fields to its end.
    pub(crate) async fn run_with(&mut self, code: &str, more: Value) -> Cell {
        let id = self.execute_with(code, more).await;
        self.finish(&id).await
    }

    /// Runs a cell that has to end `ok`, and answers what it printed.
    pub(crate) async fn print(&mut self, code: &str) -> String {
        let cell = self.run(code).await;
        assert_eq!(cell.status(), "ok", "{:#?}", cell.events);
        cell.stdout()
    }

    /// Collects a cell's events up to its `done`.
    pub(crate) async fn finish(&mut self, id: &str) -> Cell {
        let mut cell = Cell::default();
        loop {
            let event = self.next_of(id).await;
            let last = event["type"] == "done";
            cell.events.push(event);
            if last {
                return cell;
            }
        }
    }

    /// The next event of a cell; a refusal that names it is none.
    pub(crate) async fn next_of(&mut self, id: &str) -> Value {
        self.next_where(|event| event["id"] == id && event.get("seq").is_some()).await
    }

    /// The next message of this type, whatever comes before it.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        self.next_where(|message| message["type"] == kind).await
    }

    /// The next message of this type that names this cell or request.
    pub(crate) async fn until_of(&mut self, kind: &str, id: &str) -> Value {
        self.next_where(|message| message["type"] == kind && message["id"] == id).await
    }

    /// The next message that fits; others are kept for whoever wants them later.
    pub(crate) async fn next_where(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.aside.iter().position(&fits) {
            return self.aside.remove(at).unwrap();
        }
        loop {
            let message = self.read().await.unwrap_or_else(|closed| {
                panic!("{closed:?} while waiting; passed over: {:#?}", self.aside)
            });
            if fits(&message) {
                return message;
            }
            self.aside.push_back(message);
        }
    }

    /// Reads on until what stdout and stderr of a cell say contains `wanted`; answers all of it.
    pub(crate) async fn until_text(&mut self, id: &str, wanted: &str) -> String {
        let mut all = String::new();
        while !all.contains(wanted) {
            let is_output = |m: &Value| m["type"] == "stdout" || m["type"] == "stderr";
            let event = self.next_where(|m| m["id"] == id && is_output(m)).await;
            all += text(&event, "text");
        }
        all
    }

    /// Reads to the end of the connection.
    pub(crate) async fn closed(&mut self) -> Closed {
        loop {
            match self.read().await {
                Ok(message) => self.aside.push_back(message),
                Err(closed) => return closed,
            }
        }
    }

    /// Says goodbye and waits for the answer.
    pub(crate) async fn close(mut self) {
        self.stream.close(None).await.unwrap();
        self.closed().await;
    }

    /// Ends the session and waits until the gateway says that it is over.
    pub(crate) async fn end(mut self) {
        self.send(json!({"type": "end"})).await;
        self.until("ended").await;
        assert_eq!(self.closed().await.code, 1000);
    }

    /// Ends the session if it has not ended by itself, and forgets what comes of it.
    pub(crate) async fn leave(&mut self) {
        // A connection that the gateway has closed takes nothing any more.
        self.stream.send(Message::text(json!({"type": "end"}).to_string())).await.ok();
    }

    /// Receives, with no deadline, until the connection closes. A client that waits for something else
    /// meanwhile polls this, because one that does not read answers no pings and is closed.
    pub(crate) async fn receive(&mut self) -> Closed {
        loop {
            match next_frame(&mut self.stream).await {
                Ok(text) => {
                    let message = self.checked(&text);
                    self.aside.push_back(message);
                }
                Err(closed) => return closed,
            }
        }
    }

    /// The next message off the wire, checked.
    pub(crate) async fn read(&mut self) -> Result<Value, Closed> {
        let reading = next_frame(&mut self.stream);
        let text = match tokio::time::timeout(DEADLINE, reading).await {
            Ok(text) => text?,
            Err(_) => panic!(
                "no message in {DEADLINE:?}; cells open: {:?}; passed over: {:#?}",
                self.checker.open(),
                self.aside
            ),
        };
        Ok(self.checked(&text))
    }

    /// A message's JSON, after the checker has looked at it.
    fn checked(&mut self, text: &str) -> Value {
        let message: Value = serde_json::from_str(text).unwrap();
        self.checker.take(&message);
        message
    }
}

/// The next text frame, or what the connection closed with.
pub(crate) async fn next_frame(stream: &mut WebSocketStream<TcpStream>) -> Result<String, Closed> {
    loop {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Close(Some(frame)))) => {
                return Err(Closed { code: frame.code.into(), reason: frame.reason.to_string() });
            }
            Some(Ok(Message::Close(None))) => {
                return Err(Closed { code: 1005, reason: "a close without a code".into() });
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(other)) => panic!("not a frame of the protocol: {other:?}"),
            Some(Err(error)) => return Err(Closed { code: 1006, reason: error.to_string() }),
            None => return Err(Closed { code: 1006, reason: "no close frame".into() }),
        }
    }
}

/// A field that is text.
#[track_caller]
pub(crate) fn text<'a>(message: &'a Value, field: &str) -> &'a str {
    message[field].as_str().unwrap_or_else(|| panic!("no text {field:?} in {message}"))
}

impl Cell {
    /// Its events of one type.
    pub(crate) fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["type"] == kind)
    }

    /// Its one event of a type.
    #[track_caller]
    pub(crate) fn one(&self, kind: &str) -> &Value {
        let found: Vec<&Value> = self.all(kind).collect();
        assert_eq!(found.len(), 1, "one {kind} in {:#?}", self.events);
        found[0]
    }

    /// The types of its events, in order.
    pub(crate) fn kinds(&self) -> Vec<&str> {
        self.events.iter().map(|event| text(event, "type")).collect()
    }

    /// How it ended.
    pub(crate) fn done(&self) -> &Value {
        self.events.last().unwrap()
    }

    /// `done.status`.
    pub(crate) fn status(&self) -> &str {
        text(self.done(), "status")
    }

    /// `done.detail`.
    pub(crate) fn detail(&self) -> &str {
        self.done()["detail"].as_str().unwrap_or_default()
    }

    /// What it printed.
    pub(crate) fn stdout(&self) -> String {
        self.all("stdout").map(|event| text(event, "text")).collect()
    }

    /// What it printed to stderr.
    pub(crate) fn stderr(&self) -> String {
        self.all("stderr").map(|event| text(event, "text")).collect()
    }

    /// The plain text of its result.
    #[track_caller]
    pub(crate) fn result(&self) -> &str {
        text(&self.one("result")["data"], "text/plain")
    }

    /// Name of the exception it ended with.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        text(self.one("error"), "name")
    }

    /// The traceback as one text, without colours.
    #[track_caller]
    pub(crate) fn traceback(&self) -> String {
        let lines = self.one("error")["traceback"].as_array().unwrap();
        let lines: Vec<&str> = lines.iter().map(|line| line.as_str().unwrap()).collect();
        without_colours(&lines.join("\n"))
    }

    /// Asserts how it ended and whether the variables are still there.
    #[track_caller]
    pub(crate) fn expect(&self, status: &str, state_kept: bool) {
        let done = self.done();
        let found = (text(done, "status"), done["state_kept"].as_bool().unwrap());
        assert_eq!(found, (status, state_kept), "{:#?}", self.events);
    }
}

/// Text without SGR sequences.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain += part.split_once('m').map_or(part, |(_, rest)| rest);
    }
    plain
}
