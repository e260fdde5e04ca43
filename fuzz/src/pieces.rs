//! Bytes cut anywhere.

/// Lengths to cut by, and what is to be cut. The first byte says how many lengths follow.
pub fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((&count, rest)) = data.split_first() else { return (&[], &[]) };
    rest.split_at(usize::from(count % 8).min(rest.len()))
}

/// Cuts `bytes` by `lengths`, over and over: a length of 0 is one byte, 255 is very long.
pub fn cut<'a>(lengths: &'a [u8], bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let whole = [255];
    let lengths = if lengths.is_empty() { whole.to_vec() } else { lengths.to_vec() };
    let mut lengths = lengths.into_iter().cycle();
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = match lengths.next()? {
            255 => usize::MAX,
            length => usize::from(length) + 1,
        };
        let (piece, tail) = rest.split_at(length.min(rest.len()));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}
