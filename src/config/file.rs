//! The file of settings: TOML, walked by hand so that every value knows its line and column.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::codec::Raw;
use super::error::{Problem, Source};
use super::settings::{self, SECTIONS, Scope, Setting};
use super::{check, suggest};

/// The table of templates.
pub(super) const TEMPLATES: &str = "templates";

/// The table of publishable keys.
pub(super) const KEYS: &str = "keys";

/// What a file says, before any value is read.
#[derive(Default)]
pub(super) struct Contents {
    /// Values of settings, in the order of the file.
    pub(super) entries: Vec<Entry>,
    /// Names of the templates, sorted.
    pub(super) templates: Vec<String>,
    /// The publishable keys, sorted by name.
    pub(super) keys: Vec<KeyTable>,
    /// What is wrong with the shape of the file, in its order.
    pub(super) problems: Vec<Problem>,
}

/// What the file says of one publishable key.
pub(super) struct KeyTable {
    pub(super) name: String,
    /// Where its name stands.
    pub(super) source: Source,
    pub(super) entries: Vec<(&'static Setting, Raw, Source)>,
}

/// One value in the file.
pub(super) struct Entry {
    pub(super) setting: &'static Setting,
    /// The template it belongs to. `None`: the gateway, or the default template.
    pub(super) template: Option<String>,
    pub(super) raw: Raw,
    pub(super) source: Source,
}

/// Reads the shape of a file; `path` is how messages name it.
pub(super) fn read(text: &str, path: &Path) -> Contents {
    let mut walk = Walk { text, path, contents: Contents::default() };
    match DeTable::parse(text) {
        Ok(table) => walk.table(table.get_ref(), "", None),
        Err(error) => {
            let at = error.span().map_or(text.len(), |span| span.start);
            // The first line alone: the others list what a parser would have taken.
            let message = error.message().lines().next().unwrap_or("not valid TOML");
            walk.problem(at, None, format!("this is not valid TOML: {message}"));
        }
    }
    let mut contents = walk.contents;
    let line = |source: &Source| match source {
        Source::File { line, column, .. } => (*line, *column),
        _ => (0, 0),
    };
    contents.entries.sort_by_key(|entry| line(&entry.source));
    contents.problems.sort_by_key(|problem| line(&problem.source));
    contents
}

struct Walk<'a> {
    text: &'a str,
    path: &'a Path,
    contents: Contents,
}

impl Walk<'_> {
    /// Walks the table at `prefix`, which is empty or ends with a dot; within a template, keys
    /// count from the template on.
    fn table(&mut self, table: &DeTable<'_>, prefix: &str, template: Option<&str>) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let at = name.span().start;
            if key == TEMPLATES && template.is_none() {
                self.templates(value);
            } else if key == KEYS && template.is_none() {
                self.keys(value);
            } else if let Some(setting) = settings::find(&key) {
                self.setting(setting, value, at, template);
            } else if settings::all().any(|s| s.key.starts_with(&format!("{key}."))) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.table(inner, &format!("{key}."), template),
                    _ => {
                        let message = format!("this is a table: write [{key}] above its settings");
                        self.problem(value.span().start, Some(full(template, &key)), message);
                    }
                }
            } else {
                let known = settings::all().filter(|s| template.is_none() || is_of_templates(s));
                let known = known.map(|setting| setting.key);
                let tables = SECTIONS.iter().map(|section| section.table).chain([TEMPLATES, KEYS]);
                let tables = tables.filter(|table| !table.is_empty() && template.is_none());
                let known = known.chain(tables).map(str::to_owned);
                let message = format!("unknown setting; {}", suggest::nearest(&key, known, ""));
                self.problem(at, Some(full(template, &key)), message);
            }
        }
    }

    fn templates(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = value.get_ref() else {
            let message = "this is a table: write [templates.NAME] above a template's settings";
            return self.problem(value.span().start, Some(TEMPLATES.into()), message.into());
        };
        for (name, value) in table {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            let key = format!("{TEMPLATES}.{name}");
            if name == super::DEFAULT_TEMPLATE {
                let message = "the default template is described by the settings outside \
                               [templates]: language, python, node, image, root, env and [limits]";
                self.problem(at, Some(key), message.into());
            } else if let Err(message) = check::template_name(name) {
                self.problem(at, Some(key), message);
            } else if let DeValue::Table(table) = value.get_ref() {
                self.contents.templates.push(name.to_owned());
                self.table(table, "", Some(name));
            } else {
                let message = format!("this is a table: write [{key}] above its settings");
                self.problem(value.span().start, Some(key), message);
            }
        }
    }

    fn keys(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = value.get_ref() else {
            let message =
                "this is a table: write [keys.NAME] above the settings of a publishable key";
            return self.problem(value.span().start, Some(KEYS.into()), message.into());
        };
        for (name, value) in table {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            if let Err(message) = check::key_name(name) {
                self.problem(at, Some(format!("{KEYS}.{name}")), message);
            } else if let DeValue::Table(table) = value.get_ref() {
                let source = self.source(at);
                let entries = self.key(name, table);
                self.contents.keys.push(KeyTable { name: name.to_owned(), source, entries });
            } else {
                let message = format!("this is a table: write [{KEYS}.{name}] above its settings");
                self.problem(value.span().start, Some(format!("{KEYS}.{name}")), message);
            }
        }
    }

    /// The settings of one publishable key.
    fn key(&mut self, name: &str, table: &DeTable<'_>) -> Vec<(&'static Setting, Raw, Source)> {
        let mut entries = Vec::new();
        for (setting, value) in table {
            let key = of_key(name, setting.get_ref());
            let Some(setting) = settings::find_of_keys(setting.get_ref()) else {
                let known = settings::KEYS.settings.iter().map(|known| known.key.to_owned());
                let hint = suggest::nearest(setting.get_ref(), known, "");
                let message = format!("unknown setting; {hint}");
                self.problem(setting.span().start, Some(key), message);
                continue;
            };
            match raw(value) {
                Ok(raw) => entries.push((setting, raw, self.source(value.span().start))),
                Err((at, message)) => self.problem(at, Some(key), message),
            }
        }
        entries
    }

    fn setting(
        &mut self,
        setting: &'static Setting,
        value: &Spanned<DeValue<'_>>,
        at: usize,
        template: Option<&str>,
    ) {
        let key = full(template, setting.key);
        if template.is_some() && !is_of_templates(setting) {
            let message = "this is a setting of the gateway, not of a template";
            return self.problem(at, Some(key), message.into());
        }
        match raw(value) {
            Ok(raw) => {
                let source = self.source(value.span().start);
                let template = template.map(str::to_owned);
                self.contents.entries.push(Entry { setting, template, raw, source });
            }
            Err((at, message)) => self.problem(at, Some(key), message),
        }
    }

    fn source(&self, at: usize) -> Source {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Source::File {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn problem(&mut self, at: usize, key: Option<String>, message: String) {
        let source = self.source(at);
        self.contents.problems.push(Problem { source, key, message });
    }
}

/// A key as it stands in the file, from the top.
pub(super) fn full(template: Option<&str>, key: &str) -> String {
    template.map_or_else(|| key.to_owned(), |name| format!("{TEMPLATES}.{name}.{key}"))
}

/// The same for a setting of a publishable key.
pub(super) fn of_key(name: &str, key: &str) -> String {
    format!("{KEYS}.{name}.{key}")
}

fn is_of_templates(setting: &Setting) -> bool {
    matches!(setting.scope, Scope::Template(_))
}

/// A TOML value as codecs take it, or the place and fault of an element that is no text.
fn raw(value: &Spanned<DeValue<'_>>) -> Result<Raw, (usize, String)> {
    let text = |element: &Spanned<DeValue<'_>>| match element.get_ref() {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        _ => Err((element.span().start, "this is not text: write it in quotes".to_owned())),
    };
    Ok(match value.get_ref() {
        DeValue::String(text) => Raw::Text(text.clone().into_owned()),
        DeValue::Integer(integer) => {
            // Decimal text, whatever base it was written in; what is too large stays as it was.
            let parsed = i128::from_str_radix(integer.as_str(), integer.radix());
            Raw::Number(parsed.map_or_else(|_| integer.to_string(), |number| number.to_string()))
        }
        DeValue::Float(float) => Raw::Number(float.as_str().to_owned()),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(array) => Raw::List(array.iter().map(text).collect::<Result<_, _>>()?),
        DeValue::Table(table) => {
            let pair = |(name, value): (&Spanned<toml::de::DeString<'_>>, _)| {
                Ok((name.get_ref().clone().into_owned(), text(value)?))
            };
            Raw::Pairs(table.iter().map(pair).collect::<Result<_, _>>()?)
        }
    })
}
