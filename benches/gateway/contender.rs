//! Whoever runs cells for a client: cellgate and its rivals, seen alike.

use std::borrow::Cow;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio_tungstenite::tungstenite::{Bytes, Utf8Bytes};

/// Makes contenders: a server that a client visits, or a program that is started for it.
pub(crate) trait Host: Sync {
    /// For tables.
    fn name(&self) -> &str;

    /// Whether it takes so long that it need not have every turn.
    fn is_slow(&self) -> bool {
        false
    }

    /// Whether a contender it admitted has told that it is ready: with others there is a connection
    /// or a process, which says little.
    fn tells_ready(&self) -> bool {
        false
    }

    /// Waits until it is as ready for visitors as it gets.
    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    /// From nothing to somebody who takes cells.
    fn admit(&self) -> Result<Box<dyn Contender>>;
}

/// Runs cells, one at a time.
pub(crate) trait Contender: Send {
    /// Runs a cell; answers when its end has been told.
    fn cell(&mut self, code: &str) -> Result<()>;

    /// Runs a cell and hands over its output piece by piece, as it arrives.
    fn stream(&mut self, code: &str, take: &mut dyn FnMut(Chunk) -> Result<()>) -> Result<()>;

    /// Ends it, and waits until whatever was made for it is gone.
    fn leave(self: Box<Self>) -> Result<()>;
}

/// A piece of output as it travelled. Reading it is left for later: what is compared is who
/// brings it, not who decodes JSON for a benchmark.
#[derive(Clone, Debug)]
pub(crate) enum Chunk {
    /// The bytes themselves.
    Plain(Bytes),
    /// A line without its end.
    Line(Utf8Bytes),
    /// A `stdout` event.
    Event(Utf8Bytes),
    /// A `stream` message of Jupyter.
    Jupyter(Utf8Bytes),
}

impl Chunk {
    /// Appends the output it carries.
    pub(crate) fn append_to(&self, all: &mut Vec<u8>) -> Result<()> {
        #[derive(Deserialize)]
        struct Text<'a> {
            #[serde(borrow)]
            text: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow)]
            content: Text<'a>,
        }
        match self {
            Chunk::Plain(bytes) => all.extend_from_slice(bytes),
            Chunk::Line(line) => {
                all.extend_from_slice(line.as_bytes());
                all.push(b'\n');
            }
            Chunk::Event(json) => {
                let event: Text<'_> = serde_json::from_str(json).context("not an output event")?;
                all.extend_from_slice(event.text.as_bytes());
            }
            Chunk::Jupyter(json) => {
                let message: Message<'_> =
                    serde_json::from_str(json).context("not a stream message")?;
                all.extend_from_slice(message.content.text.as_bytes());
            }
        }
        Ok(())
    }
}
