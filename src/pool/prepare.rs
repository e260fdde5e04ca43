//! Making one: a sandbox, its driver, and an interpreter that says it is ready.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::{PrepareError, Prepared};
use crate::link::{DriverEvent, Link};
use crate::protocol::reply::LanguageInfo;
use crate::sandbox::{Backend, SandboxSpec};

/// Most of what a failing interpreter says that is kept, in bytes.
const LAST_WORDS_BYTES: usize = 4 << 10;

/// Longest name, version and shell of a language, in bytes: every `ready` of a session has them.
const NAME_BYTES: usize = 64;

/// Makes a sandbox and waits until its interpreter is ready. When this fails or is dropped
/// half-way, the sandbox goes too.
pub(super) async fn prepare(
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
    let LanguageInfo { name, version, shell } = &introduction.language;
    let shell = shell.as_deref().unwrap_or_default();
    if [name, version, shell].iter().any(|text| text.len() > NAME_BYTES) {
        let text = format!("it introduces itself with more than {NAME_BYTES} bytes");
        return Err(PrepareError::Interpreter(text));
    }
    Ok(Prepared {
        id: spec.session,
        template: spec.template,
        backend: backend.kind(),
        link,
        handle: sandbox.handle,
        language: introduction.language,
        startable: sandbox.startable,
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
