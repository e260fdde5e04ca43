//! Values of settings as people write them: read from a flag, a variable or TOML, and written back.
//!
//! A codec reads what it writes: `read(show(value)) == value`. The error of `read` is one sentence
//! that says what was wrong and what would be right; the caller says where it stood.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::Value;

use crate::id::Token;

mod quantity;

pub(super) use quantity::{Count, Cpus, Size, Time};

/// A value as it came in.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    /// From a flag, a variable or a TOML string.
    Text(String),
    /// From a repeated flag or a TOML array of strings.
    List(Vec<String>),
    /// From a TOML table of strings.
    Pairs(Vec<(String, String)>),
    /// A TOML integer or float, as decimal text.
    Number(String),
    /// A TOML boolean.
    Boolean(bool),
    /// Anything else; what it is, with its article.
    Other(&'static str),
}

impl Raw {
    /// The value in an error message.
    fn quote(&self) -> String {
        match self {
            Raw::Text(text) => format!("{text:?}"),
            Raw::List(_) => "an array".into(),
            Raw::Pairs(_) => "a table".into(),
            Raw::Number(text) => text.clone(),
            Raw::Boolean(value) => value.to_string(),
            Raw::Other(what) => (*what).into(),
        }
    }

    /// The text of a string or a number.
    fn scalar(&self) -> Option<&str> {
        match self {
            Raw::Text(text) | Raw::Number(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a string alone: `token = 1_000` must not become the token `1000`.
    fn text(&self) -> Option<&str> {
        match self {
            Raw::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// What a command line needs to know about a value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Form {
    /// Placeholder in the help: `SIZE`.
    pub(crate) metavar: &'static str,
    /// The words there are, if only some are allowed.
    pub(crate) words: &'static [&'static str],
    /// Whether the flag may be given several times.
    pub(crate) repeats: bool,
    /// Whether the flag stands alone, without a value.
    pub(crate) switch: bool,
    /// Whether the value names a file or directory.
    pub(crate) path: bool,
    /// Whether the value must never be printed.
    pub(crate) secret: bool,
}

/// Reads and writes one kind of value.
pub(super) trait Codec {
    /// The type in [`super::Config`].
    type Value;

    /// Reads a value; a relative path starts at `base`.
    fn read(&self, raw: &Raw, base: &Path) -> Result<Self::Value, String>;

    /// The value as TOML.
    fn show(&self, value: &Self::Value) -> Value;

    /// What a command line needs to know.
    fn form(&self) -> Form;
}

/// Something, or a word that stands for its absence.
pub(super) struct Maybe<C> {
    pub(super) word: &'static str,
    pub(super) some: C,
}

impl<C: Codec> Codec for Maybe<C> {
    type Value = Option<C::Value>;

    fn read(&self, raw: &Raw, base: &Path) -> Result<Self::Value, String> {
        if raw.text() == Some(self.word) {
            return Ok(None);
        }
        let read = self.some.read(raw, base);
        read.map(Some).map_err(|error| format!("{error}, or \"{}\"", self.word))
    }

    fn show(&self, value: &Self::Value) -> Value {
        match value {
            Some(value) => self.some.show(value),
            None => Value::String(self.word.into()),
        }
    }

    fn form(&self) -> Form {
        self.some.form()
    }
}

/// Text that passes a check; the check answers the text to keep.
pub(super) struct Text {
    pub(super) metavar: &'static str,
    pub(super) check: fn(&str) -> Result<String, String>,
}

impl Codec for Text {
    type Value = String;

    fn read(&self, raw: &Raw, _: &Path) -> Result<String, String> {
        (self.check)(raw.text().ok_or_else(|| not_text(raw))?)
    }

    fn show(&self, value: &String) -> Value {
        Value::String(value.clone())
    }

    fn form(&self) -> Form {
        Form { metavar: self.metavar, ..Form::default() }
    }
}

/// A file or directory, kept absolute.
pub(super) struct Location {
    pub(super) metavar: &'static str,
}

impl Codec for Location {
    type Value = PathBuf;

    fn read(&self, raw: &Raw, base: &Path) -> Result<PathBuf, String> {
        let text = raw.text().ok_or_else(|| not_text(raw))?;
        if text.contains('\0') {
            return Err("a path has no NUL in it".into());
        }
        Ok(base.join(text).components().collect()) // drops `.` and doubled slashes
    }

    fn show(&self, value: &PathBuf) -> Value {
        // Read from UTF-8 text; only the working directory before it may be anything else.
        Value::String(value.to_string_lossy().into_owned())
    }

    fn form(&self) -> Form {
        Form { metavar: self.metavar, path: true, ..Form::default() }
    }
}

/// An IP address and a port.
pub(super) struct Address;

impl Codec for Address {
    type Value = SocketAddr;

    fn read(&self, raw: &Raw, _: &Path) -> Result<SocketAddr, String> {
        let address = raw.text().and_then(|text| text.parse().ok());
        address.ok_or_else(|| {
            let quote = raw.quote();
            format!(
                "{quote} is not an IP address with a port: write one such as \"127.0.0.1:8080\", \
                 \"0.0.0.0:8080\" or \"[::1]:8080\""
            )
        })
    }

    fn show(&self, value: &SocketAddr) -> Value {
        Value::String(value.to_string())
    }

    fn form(&self) -> Form {
        Form { metavar: "ADDR:PORT", ..Form::default() }
    }
}

/// Yes or no.
pub(super) struct Switch;

impl Codec for Switch {
    type Value = bool;

    fn read(&self, raw: &Raw, _: &Path) -> Result<bool, String> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            Raw::Text(text) if text == "true" => Ok(true),
            Raw::Text(text) if text == "false" => Ok(false),
            _ => Err(format!("{} is neither true nor false", raw.quote())),
        }
    }

    fn show(&self, value: &bool) -> Value {
        Value::Boolean(*value)
    }

    fn form(&self) -> Form {
        Form { metavar: "BOOL", words: &["true", "false"], switch: true, ..Form::default() }
    }
}

/// One of a few words, each standing for a value.
pub(super) struct Choice<T: 'static, const N: usize> {
    pub(super) words: &'static [&'static str; N],
    pub(super) values: [T; N],
}

impl<T: Copy + PartialEq, const N: usize> Codec for Choice<T, N> {
    type Value = T;

    fn read(&self, raw: &Raw, _: &Path) -> Result<T, String> {
        let at = raw.text().and_then(|text| self.words.iter().position(|word| *word == text));
        at.map(|at| self.values[at]).ok_or_else(|| none_of(raw, self.words))
    }

    fn show(&self, value: &T) -> Value {
        let at = self.values.iter().position(|candidate| candidate == value);
        Value::String(at.map(|at| self.words[at]).unwrap_or_default().into())
    }

    fn form(&self) -> Form {
        Form { metavar: "WORD", words: self.words, ..Form::default() }
    }
}

/// One of a few words, or nothing where there are none to choose from.
pub(super) struct Word {
    pub(super) words: &'static [&'static str],
}

impl Codec for Word {
    type Value = Option<&'static str>;

    fn read(&self, raw: &Raw, _: &Path) -> Result<Self::Value, String> {
        let found = raw.text().and_then(|text| self.words.iter().find(|word| **word == text));
        found.copied().map(Some).ok_or_else(|| none_of(raw, self.words))
    }

    fn show(&self, value: &Self::Value) -> Value {
        Value::String(value.unwrap_or_default().into())
    }

    fn form(&self) -> Form {
        Form { metavar: "WORD", words: self.words, ..Form::default() }
    }
}

fn none_of(raw: &Raw, words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    format!("{} is not one of {}", raw.quote(), words.join(", "))
}

/// Several texts that each pass a check; a variable separates them by commas.
pub(super) struct List {
    pub(super) metavar: &'static str,
    pub(super) check: fn(&str) -> Result<String, String>,
}

impl Codec for List {
    type Value = Vec<String>;

    fn read(&self, raw: &Raw, _: &Path) -> Result<Vec<String>, String> {
        match raw {
            Raw::Text(text) => text.split(',').map(|item| (self.check)(item.trim())).collect(),
            Raw::List(items) => items.iter().map(|item| (self.check)(item)).collect(),
            _ => Err(format!("{} is not an array of strings", raw.quote())),
        }
    }

    fn show(&self, value: &Vec<String>) -> Value {
        value.clone().into()
    }

    fn form(&self) -> Form {
        Form { metavar: self.metavar, repeats: true, ..Form::default() }
    }
}

/// Several values of one kind, maybe none; a variable separates them by commas.
pub(super) struct Several<C> {
    pub(super) each: C,
}

impl<C: Codec> Codec for Several<C> {
    type Value = Vec<C::Value>;

    fn read(&self, raw: &Raw, base: &Path) -> Result<Self::Value, String> {
        let items: Vec<String> = match raw {
            Raw::Text(text) if text.trim().is_empty() => Vec::new(),
            Raw::Text(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
            Raw::List(items) => items.clone(),
            _ => return Err(format!("{} is not an array of strings", raw.quote())),
        };
        items.into_iter().map(|item| self.each.read(&Raw::Text(item), base)).collect()
    }

    fn show(&self, value: &Self::Value) -> Value {
        Value::Array(value.iter().map(|item| self.each.show(item)).collect())
    }

    fn form(&self) -> Form {
        // Further words may stand for an absence, so the words of each are no closed list here.
        Form { words: &[], repeats: true, ..self.each.form() }
    }
}

/// Names and values of environment variables.
pub(super) struct Variables;

impl Codec for Variables {
    type Value = Vec<(String, String)>;

    fn read(&self, raw: &Raw, _: &Path) -> Result<Self::Value, String> {
        let Raw::Pairs(pairs) = raw else {
            return Err(format!("{} is not a table of strings", raw.quote()));
        };
        for (name, value) in pairs {
            let first = !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty();
            if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(format!(
                    "{name:?} cannot name a variable: use letters, digits and underscores"
                ));
            }
            if value.contains('\0') {
                return Err(format!("the value of {name} has a NUL in it"));
            }
        }
        Ok(pairs.clone())
    }

    fn show(&self, value: &Self::Value) -> Value {
        let pairs = value.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        Value::Table(pairs.collect())
    }

    fn form(&self) -> Form {
        Form { metavar: "TABLE", ..Form::default() }
    }
}

/// A token; appears in no message and in no output.
pub(super) struct Secret;

impl Codec for Secret {
    type Value = Option<Token>;

    fn read(&self, raw: &Raw, _: &Path) -> Result<Option<Token>, String> {
        let text = raw.text().ok_or("a token is text: write it in quotes")?;
        token(text).map(Some)
    }

    fn show(&self, value: &Option<Token>) -> Value {
        Value::String(if value.is_some() { "(hidden)" } else { "(random)" }.into())
    }

    fn form(&self) -> Form {
        Form { metavar: "TOKEN", secret: true, ..Form::default() }
    }
}

/// A token from a setting or a file. It has to travel in a header and in a URL's query.
pub(super) fn token(text: &str) -> Result<Token, String> {
    match text.bytes().all(|b| b.is_ascii_graphic()) && !text.is_empty() {
        true => Ok(Token::new(text)),
        false => Err("a token is one or more visible ASCII characters without spaces".into()),
    }
}

fn not_text(raw: &Raw) -> String {
    format!("{} is not text: write it in quotes", raw.quote())
}

#[cfg(test)]
mod tests;
