//! Why a link is of no use any more.

use std::io;

use cellgate_driver::wire::WireError;

use super::MAX_MESSAGE;

/// Why a link is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The driver closed it: the sandbox is gone.
    #[error("the driver closed the link")]
    Closed,
    /// The stream failed.
    #[error("the link's stream failed")]
    Io(#[from] io::Error),
    /// The driver broke the wire's rules.
    #[error("the driver broke the wire's rules")]
    Wire(#[from] WireError),
    /// A frame that has no place here.
    #[error("the driver sent a frame of kind {0:#04x}, which has no place here")]
    Unexpected(u8),
    /// A frame of a program that can only be of the sandbox.
    #[error("the driver sent a frame of program {0} that can only be of the sandbox")]
    Program(u16),
    /// A message in fragments has another one inside.
    #[error("the driver began a message before the one before it was whole")]
    Interleaved,
    /// A message beyond [`MAX_MESSAGE`].
    #[error("the driver sent a message of more than {MAX_MESSAGE} bytes")]
    TooLong,
}
