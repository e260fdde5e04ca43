//! What an attachment is handed: events and replies, each with its v1 encoding, and in the end a
//! departure. Knows no door: a door sends the encoding on, or reads the typed message.

use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;

use crate::protocol::Reply;
use crate::protocol::event::{EndReason, Sequenced};

/// One message for a participant.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// What every participant is told: [`Sequenced::event`] is its typed form.
    Event(Arc<Sequenced>),
    /// What this participant alone is told, or what stands in the place of events (a gap).
    Reply(Arc<EncodedReply>),
}

/// A reply with its encoding.
#[derive(Debug)]
pub struct EncodedReply {
    /// The message.
    pub reply: Reply,
    /// Its encoding in protocol v1.
    pub json: ByteString,
}

impl Delivery {
    /// Encodes a reply; `hold` makes of the text what is kept and charged.
    pub(super) fn of_reply(
        reply: Reply,
        hold: impl FnOnce(String) -> ByteString,
    ) -> Result<Delivery, serde_json::Error> {
        let json = hold(serde_json::to_string(&reply)?);
        Ok(Delivery::Reply(Arc::new(EncodedReply { reply, json })))
    }

    /// The message in protocol v1.
    pub fn json(&self) -> &ByteString {
        match self {
            Delivery::Event(event) => &event.json,
            Delivery::Reply(reply) => &reply.json,
        }
    }

    /// Whether it is text of stdout or stderr.
    pub fn is_output(&self) -> bool {
        matches!(self, Delivery::Event(event) if event.is_output())
    }

    /// Its place in the log; `None` for a reply, which no `ack` covers.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Delivery::Event(event) => Some(event.seq),
            Delivery::Reply(_) => None,
        }
    }
}

/// Why a session lets a participant go. Doors translate it: a WebSocket into a close code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The session is over.
    Ended {
        /// Why, for programs.
        reason: EndReason,
        /// Why, for people.
        detail: String,
    },
    /// A newer connection of the same participant took its place.
    Replaced,
    /// The token that the participant came with was revoked.
    Revoked,
    /// The token that the participant came with has expired.
    Expired,
    /// An owner removed the participant.
    Removed,
    /// The door itself ends the connection, for a reason that it keeps.
    Dismissed,
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Departure::Ended { detail, .. } => detail,
            Departure::Replaced => "a newer connection of the same participant took over",
            Departure::Revoked => "the link to this session was revoked",
            Departure::Expired => "the link to this session has expired",
            Departure::Removed => "an owner removed you from this session",
            Departure::Dismissed => "the connection was ended",
        })
    }
}
