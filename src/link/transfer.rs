//! What a driver answers to a step of a file's transfer.

use bytes::Bytes;
use cellgate_driver::wire::WireError;
use cellgate_driver::wire::files::{Begun, FileAnswer, Refusal};

/// The answer to a [`super::DriverCommand::File`].
#[derive(Clone, Debug, PartialEq)]
pub enum TransferAnswer {
    /// The transfer has begun.
    Begun(Begun),
    /// Bytes of a file, or entries of a directory; none at the end.
    Chunk(Bytes),
    /// Written, or committed.
    Took,
    /// It cannot be done; the transfer is over.
    Refused {
        /// Why.
        why: Refusal,
        /// What exactly, for people.
        sentence: String,
    },
}

impl TransferAnswer {
    /// Reads the payload of a FILE_ANSWER.
    pub(super) fn read(payload: &Bytes) -> Result<TransferAnswer, WireError> {
        Ok(match FileAnswer::decode(payload)? {
            FileAnswer::Begun(begun) => TransferAnswer::Begun(begun),
            FileAnswer::Chunk(bytes) => TransferAnswer::Chunk(payload.slice_ref(bytes)),
            FileAnswer::Took => TransferAnswer::Took,
            FileAnswer::Refused(why, sentence) => {
                let sentence = String::from_utf8_lossy(sentence).into_owned();
                TransferAnswer::Refused { why, sentence }
            }
        })
    }
}
