//! A Jupyter kernel gateway: ipykernel behind a WebSocket, the messages of the Jupyter protocol.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::client;
use crate::contender::{Chunk, Contender, Host};

/// Its name in tables.
pub(crate) const JUPYTER: &str = "jupyter kernel gateway";

/// For Python to import a web server.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kernel gateway, killed when dropped.
pub(crate) struct Jupyter {
    server: Child,
    address: String,
}

impl Jupyter {
    /// Starts a server and waits until it answers.
    pub(crate) fn start(python: &Path) -> Result<Jupyter> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Command::new(python)
            .args(["-m", "jupyter", "kernelgateway", "--KernelGatewayApp.ip=127.0.0.1"])
            .arg(format!("--KernelGatewayApp.port={port}"))
            // Its limits drop output beyond 1 MB or 1,000 messages a second.
            .arg("--ZMQChannelsWebsocketConnection.iopub_data_rate_limit=1e15")
            .arg("--ZMQChannelsWebsocketConnection.iopub_msg_rate_limit=1e15")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let jupyter = Jupyter { server, address: format!("127.0.0.1:{port}") };
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = http(&jupyter.address, "GET", "/api") {
            if Instant::now() > deadline {
                return Err(error.context("the Jupyter kernel gateway does not answer"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(jupyter)
    }
}

impl Jupyter {
    /// Process id of the server.
    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }
}

/// One request on a connection of its own; answers the body's JSON, null if it is empty.
fn http(address: &str, method: &str, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    if !head.starts_with("HTTP/1.1 2") {
        bail!("{method} {path} was answered with {head}");
    }
    Ok(serde_json::from_str(body).unwrap_or(Value::Null))
}

impl Host for Jupyter {
    fn name(&self) -> &str {
        JUPYTER
    }

    fn is_slow(&self) -> bool {
        true // tens of milliseconds a cell
    }

    /// Starts a kernel and connects to it.
    fn admit(&self) -> Result<Box<dyn Contender>> {
        let kernel = http(&self.address, "POST", "/api/kernels")?;
        let id = kernel["id"].as_str().context("a new kernel has no id")?.to_owned();
        let socket = client::open(&self.address, &format!("/api/kernels/{id}/channels"), None)?;
        Ok(Box::new(Kernel { address: self.address.clone(), socket, id, cells: 0 }))
    }
}

impl Drop for Jupyter {
    fn drop(&mut self) {
        let running = http(&self.address, "GET", "/api/kernels").unwrap_or_default();
        for kernel in running.as_array().into_iter().flatten() {
            let id = kernel["id"].as_str().unwrap_or_default();
            // A kernel outlives a killed server; one that has ended already is no loss.
            http(&self.address, "DELETE", &format!("/api/kernels/{id}")).ok();
        }
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// A kernel and the WebSocket to it.
struct Kernel {
    address: String,
    socket: WebSocket<TcpStream>,
    id: String,
    cells: u64,
}

impl Contender for Kernel {
    fn cell(&mut self, code: &str) -> Result<()> {
        self.stream(code, &mut |_| Ok(()))
    }

    fn stream(&mut self, code: &str, take: &mut dyn FnMut(Chunk) -> Result<()>) -> Result<()> {
        self.cells += 1;
        let cell = format!("cell-{}", self.cells);
        let request = json!({
            "channel": "shell",
            "header": {
                "msg_id": cell, "msg_type": "execute_request", "session": "bench",
                "username": "", "version": "5.3",
            },
            "parent_header": {},
            "metadata": {},
            "content": {"code": code, "silent": false, "store_history": true},
            "buffers": [],
        });
        self.socket.send(Message::text(request.to_string())).context("cannot ask the kernel")?;
        loop {
            let text = client::next_text(&mut self.socket)?;
            match read(&text, &cell)? {
                Word::Output => take(Chunk::Jupyter(text))?,
                Word::Idle => return Ok(()),
                Word::Other => {}
            }
        }
    }

    fn leave(self: Box<Self>) -> Result<()> {
        http(&self.address, "DELETE", &format!("/api/kernels/{}", self.id)).map(drop)
    }
}

enum Word {
    Output,
    /// The kernel's last word on a cell.
    Idle,
    Other,
}

fn read(text: &Utf8Bytes, cell: &str) -> Result<Word> {
    #[derive(serde::Deserialize)]
    struct Parent {
        #[serde(default)]
        msg_id: String,
    }
    #[derive(serde::Deserialize)]
    struct Content {
        #[serde(default)]
        execution_state: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Message {
        msg_type: String,
        parent_header: Parent,
        content: Content,
    }
    let message: Message = serde_json::from_str(text).context("not a message of Jupyter")?;
    Ok(match message.msg_type.as_str() {
        _ if message.parent_header.msg_id != cell => Word::Other,
        "stream" => Word::Output,
        "error" => bail!("the kernel says {text}"),
        "status" if message.content.execution_state.as_deref() == Some("idle") => Word::Idle,
        _ => Word::Other,
    })
}
