//! The binary encoding that Yjs and its protocols use: numbers in groups of seven bits, and lengths before
//! bytes. Source: the functions `varUint` and `varUint8Array` of the JavaScript library lib0.
//!
//! Reading allocates nothing and trusts no length.

/// The bytes are not what the encoding allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(pub(super) &'static str);

/// Largest number that JavaScript's numbers hold exactly, and so the largest that Yjs writes.
const MOST: u64 = (1 << 53) - 1;

/// Reads from the front of some bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn byte(&mut self) -> Result<u8, Broken> {
        let (&first, rest) = self.0.split_first().ok_or(Broken("it ends too early"))?;
        self.0 = rest;
        Ok(first)
    }

    /// A number without a sign.
    pub(super) fn number(&mut self) -> Result<u64, Broken> {
        let mut value = 0_u64;
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            if shift > 49 {
                return Err(Broken("a number in it is too large"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if value > MOST {
            return Err(Broken("a number in it is too large"));
        }
        Ok(value)
    }

    /// A number of things of which each takes at least one byte.
    pub(super) fn count(&mut self) -> Result<usize, Broken> {
        let count = self.number()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.0.len() => Ok(count),
            _ => Err(Broken("it says that more follows than does")),
        }
    }

    /// So many bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Broken("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Bytes behind their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let count = self.count()?;
        self.take(count)
    }

    /// Text behind its length.
    pub(super) fn text(&mut self) -> Result<&'a str, Broken> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Broken("a text in it is not UTF-8"))
    }
}

/// Appends a number.
pub(super) fn write_number(to: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        to.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Appends bytes behind their length.
pub(super) fn write_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    write_number(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_are_read_as_they_were_written() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), MOST] {
            let mut written = Vec::new();
            write_number(&mut written, value);
            let mut reader = Reader::new(&written);
            assert_eq!((reader.number(), reader.rest()), (Ok(value), &[][..]));
        }
        let mut written = Vec::new();
        write_bytes(&mut written, "é".as_bytes());
        assert_eq!(Reader::new(&written).text(), Ok("é"));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for wrong in [&[][..], &[0x80], &[5, 1], &[0xff; 9], &[0xff, 0xff, 0xff, 0xff, 0x7f]] {
            assert!(Reader::new(wrong).bytes().is_err(), "{wrong:?}");
        }
        assert!(Reader::new(&[0xff; 12]).number().is_err());
        assert!(Reader::new(&[1, 0xff]).text().is_err());
    }
}
