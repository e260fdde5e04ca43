//! Sandboxes with an interpreter that is ready for its first cell.
//!
//! Today each is made when it is wanted; parking them ahead of time belongs here too.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::id::SessionId;
use crate::link::{DriverEvent, Link, LinkError};
use crate::protocol::reply::LanguageInfo;
use crate::sandbox::{Backend, BackendKind, SandboxError, SandboxHandle, SandboxSpec};
use crate::template::Template;

/// Most of what a failing interpreter says that is kept, in bytes.
const LAST_WORDS_BYTES: usize = 4 << 10;

/// A sandbox whose interpreter waits for a cell.
pub struct Prepared {
    /// Which session it will be.
    pub id: SessionId,
    /// What it was made from.
    pub template: Arc<Template>,
    /// Who made it.
    pub backend: BackendKind,
    /// The way to its driver.
    pub link: Link,
    /// Power over it.
    pub handle: Box<dyn SandboxHandle>,
    /// What the interpreter says it is.
    pub language: LanguageInfo,
}

/// Why no interpreter is ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The backend could not make a sandbox.
    #[error("cannot make a sandbox")]
    Sandbox(#[from] SandboxError),
    /// The driver in it did not answer as it should.
    #[error("the driver in the sandbox failed")]
    Link(#[from] LinkError),
    /// The interpreter ended before it was ready.
    #[error("the interpreter does not start: {0}")]
    Interpreter(String),
    /// What it says of itself cannot be read.
    #[error("the interpreter's first message cannot be read")]
    Ready(#[from] serde_json::Error),
    /// All that took too long.
    #[error("no interpreter was ready within {} ms", .0.as_millis())]
    Deadline(Duration),
}

/// Makes a sandbox and waits until its interpreter is ready. When this fails or is dropped
/// half-way, the sandbox goes too.
pub async fn prepare(
    backend: &dyn Backend,
    spec: SandboxSpec,
    deadline: Duration,
) -> Result<Prepared, PrepareError> {
    tokio::time::timeout(deadline, prepare_unbounded(backend, spec))
        .await
        .unwrap_or(Err(PrepareError::Deadline(deadline)))
}

async fn prepare_unbounded(
    backend: &dyn Backend,
    spec: SandboxSpec,
) -> Result<Prepared, PrepareError> {
    #[derive(Deserialize)]
    struct Introduction {
        language: LanguageInfo,
    }
    let sandbox = backend.create(&spec).await?;
    let mut link = Link::open(sandbox.link, &sandbox.setup).await?;
    for shortfall in link.shortfalls() {
        tracing::debug!(session = %spec.session, shortfall, "the driver could not protect");
    }
    let introduction: Introduction = serde_json::from_slice(&wait_until_ready(&mut link).await?)?;
    Ok(Prepared {
        id: spec.session,
        template: spec.template,
        backend: backend.kind(),
        link,
        handle: sandbox.handle,
        language: introduction.language,
    })
}

async fn wait_until_ready(link: &mut Link) -> Result<Bytes, PrepareError> {
    let mut last_words = Vec::new();
    loop {
        match link.turn(true).await? {
            DriverEvent::Ready(json) => return Ok(json),
            DriverEvent::Output { bytes, .. } => {
                let room = LAST_WORDS_BYTES.saturating_sub(last_words.len());
                last_words.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            DriverEvent::Exited { exited, .. } => {
                let end = match (exited.detail.as_str(), exited.signalled) {
                    ("", true) => format!("it was ended by signal {}", exited.status),
                    ("", false) => format!("it ended with exit code {}", exited.status),
                    (detail, _) => detail.to_owned(),
                };
                let words = String::from_utf8_lossy(&last_words);
                let text = if words.trim().is_empty() {
                    end
                } else {
                    format!("{end}; it said:\n{}", words.trim_end())
                };
                return Err(PrepareError::Interpreter(text));
            }
            DriverEvent::Log(line) => tracing::debug!(line, "driver"),
            _ => {}
        }
    }
}
