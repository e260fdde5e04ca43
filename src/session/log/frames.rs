//! Which output is overwritten by what follows it, as the frames of a progress bar are. Pure.
//!
//! Where there is a doubt the answer is no: text counts as overwritten only if it stands on one
//! line, from the line's beginning, and what follows returns there and covers it.

use std::str::Chars;

use crate::protocol::event::Sequenced;

/// Longest text that is looked at, in bytes of its escaped form: some frames of a wide terminal.
const FRAME_BYTES: usize = 4 << 10; // 4 KiB

/// Whether nothing is left to be seen of `older` once `newer`, the next output of the session, is
/// there. `at_start`: `older` begins at the beginning of a line.
pub(super) fn overwrites(newer: &Sequenced, older: &Sequenced, at_start: bool) -> bool {
    let (Some(new), Some(old)) = (newer.escaped_text(), older.escaped_text()) else { return false };
    let returns = new.starts_with("\\r");
    if old.len() > FRAME_BYTES
        || !(if returns {
            at_start || old.starts_with("\\r")
        } else {
            at_start && ends_in(old, "r")
        })
        || !is_same_stream(newer, older)
    {
        return false;
    }
    let newer_line = widest(Text(new.chars()).take_while(|c| *c != '\n'), false);
    match (newer_line, widest(Text(old.chars()), true)) {
        (Some(covers), Some(covered)) => covers >= covered.max(1),
        _ => false,
    }
}

/// Whether what follows this output in its stream begins at the beginning of a line.
pub(super) fn ends_line(event: &Sequenced) -> bool {
    event.escaped_text().is_some_and(|text| ends_in(text, "r") || ends_in(text, "n"))
}

/// Whether two outputs are of the same cell and stream, and both in time or late.
pub(super) fn is_same_stream(one: &Sequenced, other: &Sequenced) -> bool {
    let around = |event: &Sequenced| {
        let span = event.text?;
        let head = event.json.get(..span.start as usize)?.to_owned();
        Some((head, event.json.get(span.end as usize..)?.starts_with("\",\"late\"")))
    };
    around(one) == around(other)
}

/// Whether an escaped text ends in this escape, rather than in a backslash and a letter.
fn ends_in(text: &str, letter: &str) -> bool {
    let Some(rest) = text.strip_suffix(letter) else { return false };
    let backslashes = rest.bytes().rev().take_while(|byte| *byte == b'\\').count();
    !backslashes.is_multiple_of(2)
}

/// Columns of the widest piece between returns. `None`: it does more than write on one line.
/// `trimmed`: blanks at a piece's end, which cover something, are nothing to be covered.
fn widest(text: impl Iterator<Item = char>, trimmed: bool) -> Option<usize> {
    let (mut widest, mut column) = (0, 0);
    for c in text {
        match c {
            '\r' => column = 0,
            ' ' => {
                column += 1;
                if !trimmed {
                    widest = widest.max(column);
                }
            }
            c if c.is_control() => return None,
            c => {
                column += if trimmed && may_be_wide(c) { 2 } else { 1 };
                widest = widest.max(column);
            }
        }
    }
    Some(widest)
}

/// Whether a terminal may give it two columns. The blocks and lines of bars have one.
fn may_be_wide(c: char) -> bool {
    c >= '\u{1100}' && !('\u{2000}'..'\u{2600}').contains(&c)
}

/// The characters of an escaped text.
struct Text<'a>(Chars<'a>);

impl Iterator for Text<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self.0.next()? {
            '\\' => match self.0.next()? {
                'n' => Some('\n'),
                'r' => Some('\r'),
                '"' => Some('"'),
                '\\' => Some('\\'),
                // Tabs, backspaces, and whatever is told by its number.
                _ => Some('\0'),
            },
            c => Some(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::{Event, Output};

    fn output(text: &str) -> Sequenced {
        of("a", text, false)
    }

    fn of(id: &str, text: &str, late: bool) -> Sequenced {
        let output = Output { id: id.into(), text: text.into(), late };
        Sequenced::encode(&Event::Stdout(output), 1, 1).unwrap()
    }

    #[test]
    fn what_is_covered_from_a_lines_beginning_is_overwritten() {
        for (older, newer, at_start, expected) in [
            ("\r10%", "\r20%", false, true),
            ("10%", "\r20%", true, true),
            ("10%\r", "20%\r", true, true),
            ("\r10%", "\r20%\nnext\tline", false, true),
            ("\r  9% of all  ", "\r 10% of all", false, true),
            ("\r|██  |", "\r|███ |", false, true),
            ("\r1\r2\r3", "\r4", false, true),
            // Something is left of the older one.
            ("\r10% done", "\r20%", false, false),
            ("10%", "\r20%", false, false),
            ("10%\r", "20%\r", false, false),
            ("10%", "20%", true, false),
            ("\r10%\n", "\r20%", false, false),
            ("10%\r\n", "20%\r\n", true, false),
            ("\r10%", "\r\n20%", false, false),
            ("\r10%", "\r", false, false),
            ("\r", "20%", false, false),
            ("\r日本", "\rabc", false, false),
            // Not ours to judge.
            ("\r\u{1b}[1A10%", "\r20%     ", false, false),
            ("\r1\t", "\r20%     ", false, false),
            ("\r1", "\r\u{8}20%", false, false),
            // A backslash and a letter.
            ("10%\\r", "20%\\r", true, false),
            ("1", "\\r20%", true, false),
        ] {
            let told = overwrites(&output(newer), &output(older), at_start);
            assert_eq!(told, expected, "{older:?} then {newer:?}, {at_start}");
        }
    }

    #[test]
    fn only_output_of_the_same_cell_and_stream_is() {
        let older = output("\r10%");
        assert!(overwrites(&of("a", "\r20%", false), &older, false));
        assert!(!overwrites(&of("b", "\r20%", false), &older, false));
        assert!(!overwrites(&of("a", "\r20%", true), &older, false));
        let stderr = Output { id: "a".into(), text: "\r20%".into(), late: false };
        let stderr = Sequenced::encode(&Event::Stderr(stderr), 2, 1).unwrap();
        assert!(!overwrites(&stderr, &older, false));
    }
}
