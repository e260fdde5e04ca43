//! What a cell wrote, as a model should read it: without the sequences that colour it, a progress bar as
//! its newest frame, and of much the beginning and the end.

use std::collections::VecDeque;

use anstyle_parse::{DefaultCharAccumulator, Parser, Perform};

/// Text of which the first and the last part are kept.
#[derive(Debug)]
pub(super) struct Transcript {
    /// Longest head, and longest tail, in bytes.
    most: usize,
    head: String,
    /// Whole lines, or parts of long ones, behind the head.
    tail: VecDeque<String>,
    tail_bytes: usize,
    /// The line that has not ended.
    line: String,
    /// It is written anew from its beginning with the next character, if that does not end it.
    returned: bool,
    omitted_bytes: u64,
    escapes: Parser<DefaultCharAccumulator>,
}

impl Transcript {
    /// Keeps at most `most` bytes of the beginning and as many of the end, and the line that has not
    /// ended, which has no more either. `most` is at least the length of a character.
    pub(super) fn new(most: usize) -> Transcript {
        Transcript {
            most,
            head: String::new(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            line: String::new(),
            returned: false,
            omitted_bytes: 0,
            escapes: Parser::<DefaultCharAccumulator>::new(),
        }
    }

    /// Takes text in as it was written, cut anywhere.
    pub(super) fn write(&mut self, text: &str) {
        let mut plain = Plain(String::with_capacity(text.len()));
        for byte in text.bytes() {
            self.escapes.advance(&mut plain, byte);
        }
        self.write_plain(&plain.0);
    }

    fn write_plain(&mut self, text: &str) {
        for part in text.split_inclusive(['\n', '\r']) {
            let (body, end) = match part.chars().next_back() {
                Some(end @ ('\n' | '\r')) => (&part[..part.len() - 1], Some(end)),
                _ => (part, None),
            };
            if !body.is_empty() {
                if std::mem::take(&mut self.returned) {
                    self.line.clear();
                }
                self.push(body);
            }
            match end {
                Some('\n') => {
                    self.returned = false;
                    self.line.push('\n');
                    self.end_line();
                }
                Some(_) => self.returned = true,
                None => {}
            }
        }
    }

    /// Adds to the line. One that is longer than what is kept is taken apart.
    fn push(&mut self, text: &str) {
        let mut rest = text;
        while self.line.len() + rest.len() > self.most {
            let mut room = self.most.saturating_sub(self.line.len());
            while !rest.is_char_boundary(room) {
                room -= 1;
            }
            let (fits, more) = rest.split_at(room);
            self.line.push_str(fits);
            self.end_line();
            rest = more;
        }
        self.line.push_str(rest);
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return;
        }
        if self.tail.is_empty()
            && self.omitted_bytes == 0
            && self.head.len() + line.len() <= self.most
        {
            self.head.push_str(&line);
            return;
        }
        self.tail_bytes += line.len();
        self.tail.push_back(line);
        while self.tail_bytes > self.most {
            let Some(oldest) = self.tail.pop_front() else { break };
            self.tail_bytes -= oldest.len();
            self.omitted_bytes += oldest.len() as u64;
        }
    }

    /// Ends the line, if something stands in it.
    pub(super) fn begin_line(&mut self) {
        if !self.line.is_empty() {
            self.write_plain("\n");
        }
    }

    /// Counts bytes that were left out before they came here, at this place.
    pub(super) fn omit(&mut self, bytes: u64) {
        self.end_line();
        self.omitted_bytes += self.tail_bytes as u64 + bytes;
        self.tail.clear();
        self.tail_bytes = 0;
    }

    /// Bytes that are not in the text.
    pub(super) fn omitted_bytes(&self) -> u64 {
        self.omitted_bytes
    }

    /// The newest line that is not blank, of at most so many characters.
    pub(super) fn last_line(&self, characters: usize) -> String {
        let lines = [self.line.as_str()].into_iter();
        let lines = lines.chain(self.tail.iter().rev().map(String::as_str));
        let mut lines = lines.chain(self.head.lines().rev());
        let line = lines.find(|line| !line.trim().is_empty()).unwrap_or_default();
        line.trim().chars().take(characters).collect()
    }

    /// All that is kept, with a notice where something is left out.
    pub(super) fn text(&self) -> String {
        let mut text = self.head.clone();
        if self.omitted_bytes > 0 {
            text.push_str(&format!("\n[… {} bytes left out …]\n", self.omitted_bytes));
        }
        self.tail.iter().for_each(|line| text.push_str(line));
        text.push_str(&self.line);
        text
    }
}

/// Text without control sequences.
struct Plain(String);

impl Perform for Plain {
    fn print(&mut self, character: char) {
        self.0.push(character);
    }

    fn execute(&mut self, byte: u8) {
        if matches!(byte, b'\n' | b'\r' | b'\t') {
            self.0.push(char::from(byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(most: usize, parts: &[&str]) -> Transcript {
        let mut transcript = Transcript::new(most);
        parts.iter().for_each(|part| transcript.write(part));
        transcript
    }

    #[test]
    fn little_is_kept_as_it_is() {
        let transcript = written(100, &["a\nb", "c\n", "\nd"]);
        assert_eq!(transcript.text(), "a\nbc\n\nd");
        assert_eq!((transcript.omitted_bytes(), transcript.last_line(9)), (0, "d".to_owned()));
    }

    #[test]
    fn colours_are_taken_out_wherever_they_are_cut() {
        assert_eq!(written(100, &["\x1b[3", "1mred\x1b", "[0m plain"]).text(), "red plain");
    }

    #[test]
    fn a_progress_bar_is_its_newest_frame() {
        let bar = ["\r 10%", "\r 20%", "\r", "100%\r\nend\r\n"];
        assert_eq!(written(100, &bar).text(), "100%\nend\n");
        // What was returned from stays, until something is written over it.
        assert_eq!(written(100, &["half\r"]).text(), "half");
    }

    #[test]
    fn of_much_the_beginning_and_the_end_are_kept() {
        let lines: Vec<String> = (0..1000).map(|n| format!("{n:03}\n")).collect();
        let transcript = written(12, &[&lines.concat()]);
        let notice = "\n[… 3976 bytes left out …]\n";
        assert_eq!(transcript.text(), format!("000\n001\n002\n{notice}997\n998\n999\n"));
        assert_eq!(transcript.omitted_bytes(), 4000 - 24);
        assert_eq!(transcript.last_line(2), "99");
    }

    #[test]
    fn a_long_line_is_cut_at_characters() {
        let transcript = written(10, &[&"é".repeat(500), "ende"]);
        let text = transcript.text();
        assert!(text.starts_with("ééééé\n[…") && text.ends_with("éende"), "{text}");
        assert!(text.len() < 100);
    }

    #[test]
    fn what_was_left_out_before_is_counted_at_its_place() {
        let mut transcript = written(100, &["a\n"]);
        transcript.omit(5);
        transcript.write("b\n");
        assert_eq!(transcript.text(), "a\n\n[… 5 bytes left out …]\nb\n");
    }
}
