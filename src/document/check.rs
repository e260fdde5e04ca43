//! Looks at an update before the CRDT does.
//!
//! An update is bytes of a client, and hostile. The library decodes it recursively and reserves memory by
//! lengths that the update names, neither of which a process survives if they are chosen with care.
//! So the update is walked first, with nothing reserved and no recursion beyond a bound; what a shared text
//! has no use for is refused.
//!
//! ```text
//!   update      clients { structs, client, clock { struct } }  deletions { client, ranges { clock, length } }
//!   struct      info, [left], [right], [parent, [key]], content      or a length of what was deleted or is missing
//! ```
//! Source: `encodeStateAsUpdate` and the `Content…` classes of Yjs 13, first version of the encoding.

use super::lib0::{Broken, Reader};

/// Deepest value in a map or list.
const DEPTH: usize = 16;

/// Largest clock of a client: the number of characters and other things that it has ever inserted.
const CLOCK: u64 = 1 << 31;

/// Set in a struct's info: it names its left neighbour, its right one, its key in a map.
const LEFT: u8 = 0x80;
const RIGHT: u8 = 0x40;
const KEY: u8 = 0x20;
/// The rest of the info: what the struct is.
const KIND: u8 = 0x1f;

/// What an update has in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// Structs, each of which takes memory of its own.
    pub(super) structs: usize,
    /// For each client whose structs it has: the client, and the clock of the first.
    pub(super) begins: Vec<(u64, u64)>,
    /// Ranges of what was deleted.
    pub(super) deletions: usize,
}

/// Walks an update.
pub(super) fn update(bytes: &[u8]) -> Result<Summary, Broken> {
    let mut reader = Reader::new(bytes);
    let mut summary = Summary::default();
    for _ in 0..reader.count()? {
        let structs = reader.count()?;
        let client = reader.number()?;
        let mut clock = reader.number()?;
        if structs == 0 {
            return Err(Broken("it names a client and nothing of it"));
        }
        summary.begins.push((client, clock));
        summary.structs += structs;
        for _ in 0..structs {
            let length = block(&mut reader)?;
            clock = clock.saturating_add(length);
            if length == 0 || clock > CLOCK {
                return Err(Broken("it counts nothing, or too far"));
            }
        }
    }
    for _ in 0..reader.count()? {
        reader.number()?; // the client
        let ranges = reader.count()?;
        summary.deletions += ranges;
        for _ in 0..ranges {
            let end = reader.number()?.saturating_add(reader.number()?);
            if end > CLOCK {
                return Err(Broken("it deletes what cannot have been written"));
            }
        }
    }
    match reader.rest() {
        [] => Ok(summary),
        _ => Err(Broken("something follows its end")),
    }
}

/// Walks a state vector: for each client the clock up to which everything of it is known.
pub(super) fn state_vector(bytes: &[u8]) -> Result<(), Broken> {
    let mut reader = Reader::new(bytes);
    for _ in 0..reader.count()? {
        reader.number()?;
        if reader.number()? > CLOCK {
            return Err(Broken("it counts too far"));
        }
    }
    Ok(())
}

/// Walks a struct, and answers how much of its client's clock it takes.
fn block(reader: &mut Reader<'_>) -> Result<u64, Broken> {
    let info = reader.byte()?;
    if info & KIND == 10 {
        return Err(Broken("it leaves out what came before"));
    }
    if info == 0 {
        return reader.number(); // what is deleted and forgotten
    }
    if info & LEFT != 0 {
        id(reader)?;
    }
    if info & RIGHT != 0 {
        id(reader)?;
    }
    if info & (LEFT | RIGHT) == 0 {
        match reader.number()? {
            0 => id(reader)?,
            1 => drop(reader.text()?), // the name of a root type
            _ => return Err(Broken("it has an unknown kind of parent")),
        }
        if info & KEY != 0 {
            reader.text()?;
        }
    }
    content(reader, info & KIND)
}

fn id(reader: &mut Reader<'_>) -> Result<(), Broken> {
    reader.number()?;
    match reader.number()? {
        clock if clock < CLOCK => Ok(()),
        _ => Err(Broken("it counts too far")),
    }
}

fn content(reader: &mut Reader<'_>, kind: u8) -> Result<u64, Broken> {
    match kind {
        1 => reader.number(), // deleted
        3 => reader.bytes().map(|_| 1),
        4 => Ok(reader.text()?.chars().map(|c| c.len_utf16() as u64).sum()),
        5 => json(reader).map(|()| 1), // something embedded in a text
        6 => {
            reader.text()?; // the name of a format
            json(reader).map(|()| 1)
        }
        7 => match reader.number()? {
            0..=2 => Ok(1), // Array, Map, Text
            _ => Err(Broken("it has a type other than Array, Map and Text")),
        },
        8 => {
            let values = reader.count()?;
            for _ in 0..values {
                value(reader, 0)?;
            }
            Ok(values as u64)
        }
        _ => Err(Broken("it has a content other than text, values, formats and types")),
    }
}

fn json(reader: &mut Reader<'_>) -> Result<(), Broken> {
    // Bounded in depth by the parser.
    let text = reader.text()?;
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(drop)
        .map_err(|_| Broken("a value in it is not JSON"))
}

fn value(reader: &mut Reader<'_>, depth: usize) -> Result<(), Broken> {
    if depth > DEPTH {
        return Err(Broken("a value in it is nested too deeply"));
    }
    match reader.byte()? {
        120 | 121 | 126 | 127 => {} // true, false, null, undefined
        125 => integer(reader)?,
        124 => drop(reader.take(4)?),
        122 | 123 => drop(reader.take(8)?),
        119 => drop(reader.text()?),
        116 => drop(reader.bytes()?),
        118 => {
            for _ in 0..reader.count()? {
                reader.text()?;
                value(reader, depth + 1)?;
            }
        }
        117 => {
            for _ in 0..reader.count()? {
                value(reader, depth + 1)?;
            }
        }
        _ => return Err(Broken("it has an unknown kind of value")),
    }
    Ok(())
}

/// A number with a sign: six bits in the first byte, then groups of seven.
fn integer(reader: &mut Reader<'_>) -> Result<(), Broken> {
    for _ in 0..8 {
        if reader.byte()? & 0x80 == 0 {
            return Ok(());
        }
    }
    Err(Broken("a number in it is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Yjs 13.6 writes: `doc.getText("t").insert(0, "aé🦀")` by client 1, and a deletion of the first
    /// character.
    const TEXT: &[u8] = &[
        1, 2, 1, 0, 1, 1, 1, b't', 1, 0x84, 1, 0, 6, 0xc3, 0xa9, 0xf0, 0x9f, 0xa6, 0x80, 1, 1, 1,
        0, 1,
    ];

    #[test]
    fn what_yjs_writes_is_walked_to_its_end() {
        let summary = update(TEXT).unwrap();
        assert_eq!(summary, Summary { structs: 2, begins: vec![(1, 0)], deletions: 1 });
        assert_eq!(update(&[0, 0]), Ok(Summary::default()));
    }

    #[test]
    fn an_update_that_is_cut_anywhere_is_refused() {
        for end in 0..TEXT.len() {
            assert!(update(&TEXT[..end]).is_err(), "{end}");
        }
        let longer = [TEXT, &[0]].concat();
        assert!(update(&longer).is_err());
    }

    #[test]
    fn what_would_exhaust_the_library_is_refused() {
        let with_value = |value: &[u8]| [&[1, 1, 1, 0, 8, 1, 1, b't', 1], value, &[0]].concat();
        assert!(update(&with_value(&[126])).is_ok());
        // A list that says it has 2^28 elements, a map that does, a list in a list in a list …
        assert!(update(&with_value(&[117, 0x80, 0x80, 0x80, 0x80, 1])).is_err());
        assert!(update(&with_value(&[118, 0x80, 0x80, 0x80, 0x80, 1])).is_err());
        let deep: Vec<u8> = [117, 1].repeat(100_000).into_iter().chain([126]).collect();
        assert!(update(&with_value(&deep)).is_err());
        // A subdocument, something moved, a gap, a clock beyond every bound.
        for struct_ in [
            &[9, 1, 1, b't', 0][..],
            &[11, 1, 1, b't', 0],
            &[10, 5],
            &[0, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ] {
            assert!(update(&[&[1, 1, 1, 0], struct_, &[0]].concat()).is_err(), "{struct_:?}");
        }
    }
}
