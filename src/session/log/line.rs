//! What a text does to the line on which it begins, as a terminal shows it. Pure.

use std::str::Chars;

/// Most parameters' bytes of a sequence that is looked at.
const PARAMETERS: usize = 32;

/// What is written, from the line's beginning on, between its returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// The first thing it does is to return to the line's beginning.
    pub(super) returns: bool,
    /// Columns it writes for sure, blanks too. All of them where it erases the line.
    pub(super) covers: usize,
    /// Columns it may write to, blanks too.
    pub(super) writes: usize,
    /// Columns in which something may be seen of it.
    pub(super) shows: usize,
    /// It erases the line, or what is right of it.
    pub(super) erases: bool,
    /// It goes on to another line.
    pub(super) leaves: bool,
    /// What it does to the style of what follows.
    pub(super) style: Style,
}

/// What becomes of colours and the like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// They stay what they were.
    #[default]
    OutputArchive,
    /// None are left.
    Plain,
    /// Some are left.
    Other,
}

/// Whether the first thing an escaped text does is to return to the line's beginning; at a glance,
/// for all the text that does not.
pub(super) fn returns(mut escaped: &str) -> bool {
    while let Some(sequence) = escaped.strip_prefix(r"\u001b[") {
        let last = sequence.bytes().take(PARAMETERS).position(|byte| byte.is_ascii_alphabetic());
        let Some(rest) = last.and_then(|last| sequence.get(last + 1..)) else { return false };
        escaped = rest;
    }
    escaped.starts_with(r"\r")
}

/// Reads an escaped text up to its first line's end. `None`: it does what is not ours to judge.
pub(super) fn read(escaped: &str) -> Option<Effect> {
    let mut text = Text(escaped.chars());
    let mut effect = Effect::default();
    // Columns since the last return, at least and at most.
    let (mut least, mut most) = (0, 0);
    let mut at_start = true;
    while let Some(c) = text.next() {
        match c {
            '\n' => {
                effect.leaves = true;
                break;
            }
            '\r' => {
                effect.returns |= at_start;
                (least, most) = (0, 0);
            }
            '\u{1b}' => {
                sequence(&mut text, &mut effect)?;
                continue; // it moves nothing
            }
            c if c.is_control() => return None,
            c => {
                let (narrow, wide) = columns(c);
                (least, most) = (least + narrow, most + wide);
                effect.covers = effect.covers.max(least);
                effect.writes = effect.writes.max(most);
                if c != ' ' {
                    effect.shows = effect.shows.max(most);
                }
            }
        }
        at_start = false;
    }
    if effect.erases {
        effect.covers = usize::MAX;
    }
    Some(effect)
}

/// Reads on behind an escape: a style, an erased line, a cursor that is hidden or shown.
fn sequence(text: &mut Text<'_>, effect: &mut Effect) -> Option<()> {
    if text.next()? != '[' {
        return None;
    }
    let mut parameters = String::new();
    let last = loop {
        match text.next()? {
            c @ ('0'..='9' | ';' | ':' | '?') if parameters.len() < PARAMETERS => {
                parameters.push(c);
            }
            c => break c,
        }
    };
    match (last, &*parameters) {
        // To the line's end, from where everything before was written; or all of it.
        ('K', "" | "0" | "2") => effect.erases = true,
        ('m', "" | "0") => effect.style = Style::Plain,
        ('m', _) => effect.style = Style::Other,
        ('h' | 'l', "?25") => {}
        _ => return None,
    }
    Some(())
}

/// Columns a terminal gives a character, at least and at most. The dashes, arrows, blocks and dots
/// that bars are made of have one.
fn columns(c: char) -> (usize, usize) {
    match c {
        '\u{ad}' => (0, 1),
        ..'\u{300}'
        | '\u{370}'..'\u{483}'
        | '\u{48a}'..'\u{530}'
        | '\u{2010}'..'\u{2028}'
        | '\u{2030}'..'\u{205f}'
        | '\u{2190}'..'\u{231a}'
        | '\u{2500}'..'\u{25fd}'
        | '\u{2800}'..'\u{2900}' => (1, 1),
        _ => (0, 2),
    }
}

/// The characters of an escaped text.
struct Text<'a>(Chars<'a>);

impl Iterator for Text<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let c = self.0.next()?;
        if c != '\\' {
            return Some(c);
        }
        Some(match self.0.next()? {
            'n' => '\n',
            'r' => '\r',
            'b' => '\u{8}',
            't' => '\t',
            'f' => '\u{c}',
            'u' => {
                let digits = self.0.as_str().get(..4)?;
                self.0 = self.0.as_str()[4..].chars();
                // Half of a pair is no character: what it is counts as one that we do not judge.
                char::from_u32(u32::from_str_radix(digits, 16).ok()?).unwrap_or('\0')
            }
            same => same,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_returns_erasures_and_styles_are_told() {
        let none = Effect::default();
        for (text, expected) in [
            ("10% ", Effect { covers: 4, writes: 4, shows: 3, ..none }),
            (r"\r1\r22", Effect { returns: true, covers: 2, writes: 2, shows: 2, ..none }),
            (r"1\r\n23", Effect { covers: 1, writes: 1, shows: 1, leaves: true, ..none }),
            ("a\u{301}", Effect { covers: 1, writes: 3, shows: 3, ..none }),
            ("日", Effect { covers: 0, writes: 2, shows: 2, ..none }),
            (r#"\"\\"#, Effect { covers: 2, writes: 2, shows: 2, ..none }),
            (
                r"\u001b[?25l\u001b[2K\r\u001b[1;38:5:2m1\u001b[0m",
                Effect {
                    returns: true,
                    covers: usize::MAX,
                    writes: 1,
                    shows: 1,
                    erases: true,
                    style: Style::Plain,
                    ..none
                },
            ),
            (r"\u001b[m\u001b[31m", Effect { style: Style::Other, ..none }),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
            assert_eq!(returns(text), expected.returns, "{text}");
        }
    }

    #[test]
    fn what_moves_elsewhere_is_not_judged() {
        for text in [
            r"1\t2",
            r"1\b2",
            r"\u001b[1A",
            r"\u001b[1K",
            r"\u001b]0;t\u0007",
            r"1\u001b[",
            r"\u0000",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
