//! Questions about code in bash: whether it is complete, and what a word may become.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::commands::quoted;

/// Most texts that are answered.
const MATCHES: usize = 200;

/// Ends the list of texts on the descriptor of reports.
const END: &str = "\u{1}end";

/// A question of a client.
pub(super) enum Question {
    /// Whether this is a whole cell.
    IsComplete(String),
    /// What the word before the cursor may become.
    Complete(Completion),
    /// Nothing is known; the answer says so.
    Unknown(Value),
}

/// Reads a question.
pub(super) fn read(payload: &[u8]) -> Question {
    let question: Value = serde_json::from_slice(payload).unwrap_or_default();
    let code = question["code"].as_str().unwrap_or_default().to_owned();
    match question["op"].as_str().unwrap_or_default() {
        "is_complete" => Question::IsComplete(code),
        "complete" => {
            let cursor = question["cursor"].as_u64().unwrap_or(u64::MAX);
            Question::Complete(Completion::of(&code, usize::try_from(cursor).unwrap_or(usize::MAX)))
        }
        "inspect" => Question::Unknown(json!({"found": false, "data": {}})),
        _ => Question::Unknown(json!({})),
    }
}

/// Asks a bash that only reads whether code is a whole cell.
pub(super) fn is_complete(interpreter: &str, code: &str) -> Value {
    let asked = Command::new(interpreter)
        .args(["--norc", "--noprofile", "-n"])
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|mut bash| {
            if let Some(mut input) = bash.stdin.take() {
                // One that ends before it has read everything has found a fault.
                input.write_all(code.as_bytes()).ok();
            }
            bash.wait_with_output()
        });
    let Ok(output) = asked else { return json!({"status": "unknown"}) };
    let said = String::from_utf8_lossy(&output.stderr);
    let incomplete = ["unexpected end of file", "unexpected EOF", "here-document at line"];
    let continues = code.trim_end_matches('\n').ends_with('\\');
    match output.status.success() {
        _ if continues || incomplete.iter().any(|sign| said.contains(sign)) => {
            json!({"status": "incomplete", "indent": ""})
        }
        true => json!({"status": "complete"}),
        false => json!({"status": "invalid"}),
    }
}

/// The word at the cursor, and what was found for it so far.
pub(super) struct Completion {
    /// Where the answer goes.
    pub(super) socket: usize,
    pub(super) number: u32,
    word: String,
    start: usize,
    end: usize,
    /// What `compgen` is asked for.
    what: &'static str,
    matches: Vec<String>,
}

impl Completion {
    fn of(code: &str, cursor: usize) -> Completion {
        let before: Vec<char> = code.chars().take(cursor).collect();
        let end = before.len();
        let ends_word = |char: &char| char.is_whitespace() || "'\"`;|&()<>=".contains(*char);
        let mut start = before.iter().rposition(ends_word).map_or(0, |at| at + 1);
        let first = before[..start].iter().rev().find(|char| !" \t".contains(**char));
        let mut what = match first {
            None | Some('\n' | ';' | '|' | '&' | '(' | '`') => "-A function -c",
            Some(_) => "-f",
        };
        let mut word: String = before[start..].iter().collect();
        if let Some(at) = word.rfind('$') {
            let name = word[at + 1..].trim_start_matches('{').to_owned();
            start = end - name.chars().count();
            (word, what) = (name, "-v");
        } else if word.contains('/') {
            what = "-f";
        }
        Completion { socket: 0, number: 0, word, start, end, what, matches: Vec::new() }
    }

    /// The command that lists what fits.
    pub(super) fn command(&self, reports: i32) -> String {
        let word = quoted(&self.word);
        let list = format!("builtin compgen {} -- {word} | head -n {MATCHES}", self.what);
        format!("{{ {list}; builtin printf '{END}\\n'; }} >&{reports} 2>/dev/null </dev/null\n")
    }

    /// Takes in a line; the answer if that was the last.
    pub(super) fn take(&mut self, line: String) -> Option<Value> {
        if line != END {
            if self.matches.len() < MATCHES {
                self.matches.push(line);
            }
            return None;
        }
        self.matches.sort();
        self.matches.dedup();
        Some(json!({"matches": self.matches, "start": self.start, "end": self.end}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_at_the_cursor_is_found() {
        for (code, word, start, what) in [
            ("ec", "ec", 0, "-A function -c"),
            ("ls fi", "fi", 3, "-f"),
            ("a | gr", "gr", 4, "-A function -c"),
            ("echo é $HO", "HO", 8, "-v"),
            ("echo ${HO", "HO", 7, "-v"),
            ("./run", "./run", 0, "-f"),
            ("x=1\nec", "ec", 4, "-A function -c"),
        ] {
            let found = Completion::of(code, usize::MAX);
            assert_eq!((&*found.word, found.start, found.what), (word, start, what), "{code}");
            assert_eq!(found.end, code.chars().count());
        }
    }
}
