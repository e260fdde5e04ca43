//! Which output is overwritten by what follows it, as the frames of a progress bar are. Pure.
//!
//! Where there is a doubt the answer is no: text counts as overwritten only if it stands on one
//! line, from the line's beginning, and what follows returns there and covers or erases it.

use std::sync::Arc;

use super::line::{Style, read, returns};
use crate::protocol::event::{EventKind, Output, Sequenced};

/// Longest text that is looked at, in bytes of its escaped form: some frames of a wide terminal.
const FRAME_BYTES: usize = 4 << 10; // 4 KiB

/// What wrote an output. Only output of one source can overwrite the other.
#[derive(Debug)]
pub(super) struct Source {
    stream: EventKind,
    cell: Arc<str>,
    /// It came after its cell's end.
    late: bool,
}

impl Source {
    /// The source of an output of this kind.
    pub(super) fn new(stream: EventKind, output: &Output) -> Source {
        Source { stream, cell: Arc::clone(&output.id), late: output.late }
    }

    /// Whether an output of this kind has this source.
    pub(super) fn is_of(&self, stream: EventKind, output: &Output) -> bool {
        // One cell's events share its id, so that the texts are compared only where they differ.
        let is_same_cell = Arc::ptr_eq(&self.cell, &output.id) || self.cell == output.id;
        self.stream == stream && self.late == output.late && is_same_cell
    }
}

/// Where an output begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// At the beginning of a line.
    pub(super) at_start: bool,
    /// On a line where nothing else stands.
    pub(super) clean: bool,
    /// Without colours and the like from before.
    pub(super) plain: bool,
}

impl Start {
    /// Where the first output of a cell begins.
    pub(super) const FRESH: Start = Start { at_start: true, clean: true, plain: true };
}

/// What `newer`, the next output of the session and of the same source, does to `older`, which
/// began at `start`: whether nothing is left to be seen of it, and where `newer` begins.
pub(super) fn follow(newer: &Sequenced, older: &Sequenced, start: Start) -> (bool, Start) {
    let (Some(new), Some(old)) = (newer.escaped_text(), older.escaped_text()) else {
        return (false, Start::default());
    };
    if ends_in(old, "n") {
        return (false, Start { at_start: true, clean: true, plain: false });
    }
    let ends_at_start = ends_in(old, "r");
    let mut next = Start { at_start: ends_at_start, ..Start::default() };
    if old.len() > FRAME_BYTES || !(ends_at_start || returns(new)) {
        return (false, next);
    }
    let Some(covered) = read(old).filter(|effect| !effect.leaves) else { return (false, next) };
    let is_neutral = match covered.style {
        Style::OutputArchive => true,
        Style::Plain => start.plain,
        Style::Other => false,
    };
    next.plain = match covered.style {
        Style::OutputArchive => start.plain,
        style => style == Style::Plain,
    };
    let Some(covers) = read(new) else { return (false, next) };
    let from_start = if covers.returns {
        start.at_start || covered.returns
    } else {
        start.at_start && ends_at_start
    };
    // Where something else stands on the line, blanks and erasures hide it.
    let needed = match (start.clean, covered.erases) {
        (true, _) => covered.shows,
        (false, false) => covered.writes,
        (false, true) => usize::MAX,
    };
    let is_overwritten = from_start && is_neutral && covers.covers >= needed.max(1);
    next.clean = is_overwritten && start.clean;
    (is_overwritten, next)
}

/// Whether an escaped text ends in this escape, rather than in a backslash and a letter.
fn ends_in(text: &str, letter: &str) -> bool {
    let Some(rest) = text.strip_suffix(letter) else { return false };
    let backslashes = rest.bytes().rev().take_while(|byte| *byte == b'\\').count();
    !backslashes.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::Event;

    fn output(text: &str) -> Sequenced {
        let output = Output { id: "a".into(), text: text.into(), late: false };
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
            ("\r\u{1b}[32m1%\u{1b}[0m|  ", "\r\u{1b}[32m22%\u{1b}[0m|", false, true),
            ("\u{1b}[2K\r  10 of 20", "\u{1b}[2K\r1", false, true),
            ("\r10% done", "\r20%\u{1b}[K", false, true),
            // Something is left of the older one.
            ("\r\u{1b}[32m10%", "\r20%", false, false),
            ("10% done", "20%\u{1b}[K", true, false),
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
            let start = Start { at_start, ..Start::FRESH };
            let (told, _) = follow(&output(newer), &output(older), start);
            assert_eq!(told, expected, "{older:?} then {newer:?}, {at_start}");
        }
    }

    #[test]
    fn cell_stream_and_lateness_are_the_source() {
        let output = |id: &str, late| Output { id: id.into(), text: "x".into(), late };
        let source = Source::new(EventKind::Stdout, &output("a", false));
        assert!(source.is_of(EventKind::Stdout, &output("a", false)));
        assert!(!source.is_of(EventKind::Stderr, &output("a", false)));
        assert!(!source.is_of(EventKind::Stdout, &output("b", false)));
        assert!(!source.is_of(EventKind::Stdout, &output("a", true)));
    }

    #[test]
    fn what_stands_beneath_a_frame_is_hidden_by_what_is_kept() {
        let judge = |older: &str, newer: &str, start| follow(&output(newer), &output(older), start);
        let dirty = Start { at_start: true, clean: false, plain: false };
        // Its blanks and its erasure hide what was there, and what follows does not.
        for older in ["\r10%  ", "\r10%\u{1b}[K", "\r\u{1b}[1m10%\u{1b}[0m"] {
            assert!(!judge(older, "\r20%", dirty).0, "{older:?}");
            assert!(judge(older, "\r20%", Start::FRESH).0, "{older:?}");
        }
        assert!(judge("\r10%  ", "\r20%  ", dirty).0);
        assert!(judge("\r10%\u{1b}[K", "\r20%\u{1b}[K", dirty).0);
        // Where a frame was overwritten the line is as clean as it was.
        assert!(judge("\r10%", "\r20%", Start::FRESH).1.clean);
        assert!(!judge("\r10%", "\r2%", Start::FRESH).1.clean);
        assert!(judge("line\n", "\r2%", dirty).1.clean);
        // A frame that ends in a plain style lets the next one begin in it.
        assert!(judge("\r\u{1b}[1m10%\u{1b}[0m", "\r20%", dirty).1.plain);
    }
}
