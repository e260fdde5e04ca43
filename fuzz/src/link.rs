//! Opens the gateway's end of the link.

use bytes::{Bytes, BytesMut};
use cellgate_driver::wire::Header;

mod command;
mod decoder;
mod error;
mod event;
mod transfer;

pub use command::DriverCommand;
use decoder::Decoder;
pub use decoder::MAX_MESSAGE;
pub use error::LinkError;
pub use event::DriverEvent;
pub use transfer::TransferAnswer;

/// Reads `pieces` as `Link` does, a piece at most a read, and hands on each event. Answers what
/// ended it, if the driver broke the rules.
pub fn read<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    mut take: impl FnMut(DriverEvent),
) -> Result<(), LinkError> {
    let mut decoder = Decoder::default();
    for piece in pieces {
        fill(&mut decoder, piece, |decoder| {
            while let Some(event) = decoder.take_event()? {
                take(event);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The frames as the gateway cuts them out, before it joins and reads them.
pub fn frames<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    mut take: impl FnMut(Header, Bytes),
) -> Result<(), LinkError> {
    let mut decoder = Decoder::default();
    for piece in pieces {
        fill(&mut decoder, piece, |decoder| {
            while let Some((header, payload)) = decoder.take_frame()? {
                take(header, payload);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The bytes of a command.
pub fn encode(command: &DriverCommand) -> Vec<u8> {
    let mut out = BytesMut::new();
    command.append_to(&mut out);
    out.to_vec()
}

fn fill(
    decoder: &mut Decoder,
    mut piece: &[u8],
    mut drain: impl FnMut(&mut Decoder) -> Result<(), LinkError>,
) -> Result<(), LinkError> {
    while !piece.is_empty() {
        let (incoming, room) = decoder.room();
        assert!(room > 0, "a read without room would look like the end");
        let (now, later) = piece.split_at(piece.len().min(room));
        incoming.extend_from_slice(now);
        decoder.filled(now.len(), room);
        piece = later;
        drain(decoder)?;
    }
    Ok(())
}
