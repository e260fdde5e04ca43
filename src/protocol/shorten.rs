//! Texts that must not be long, however long what they quote is.

/// At most `most` bytes of `text`: what is too long is cut at a character, with `…` in its place.
pub(crate) fn shorten(mut text: String, most: usize) -> String {
    if text.len() > most {
        let mut end = most.saturating_sub("…".len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
