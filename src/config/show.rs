//! The settings in print: for people and as a file again, for programs, and as documentation.

use serde_json::json;
use toml::Value;

use crate::keys::KeyConfig;
use crate::template::Template;

use super::error::Source;
use super::file;
use super::model::{Config, DEFAULT_TEMPLATE};
use super::settings::{KEYS, SECTIONS, Scope, Section, Setting};
use super::{Environment, Loaded};

/// All effective settings as a file that gives the same settings, the source of each value behind
/// it. The token is left out: what is hidden would be a wrong token in the file.
pub fn show(loaded: &Loaded) -> String {
    let mut out = format!("# cellgate {}: the settings in force", env!("CARGO_PKG_VERSION"));
    match &loaded.file {
        Some(file) => out
            .push_str(&format!(", with those of {}\n", file.display().to_string().escape_debug())),
        None => out.push_str("; there is no file of settings\n"),
    }
    for section in SECTIONS {
        let header = match section.table {
            "" => format!("\n# {}\n", section.title),
            table => format!("\n[{table}]\n"),
        };
        out.push_str(&header);
        out.push_str(&align(section.settings.iter().map(|setting| line(loaded, setting, None))));
    }
    for template in others(loaded) {
        let settings = |section: &'static Section| {
            let settings = section.settings.iter();
            settings.filter(|setting| matches!(setting.scope, Scope::Template(_)))
        };
        for section in SECTIONS.iter().filter(|section| settings(section).next().is_some()) {
            let header = file::full(Some(&template.name), section.table);
            out.push_str(&format!("\n[{}]\n", header.trim_end_matches('.')));
            let lines = settings(section).map(|setting| line(loaded, setting, Some(template)));
            out.push_str(&align(lines));
        }
    }
    for key in &loaded.config.keys {
        out.push_str(&format!("\n[{}.{}]\n", file::KEYS, key.name));
        out.push_str(&align(of_key(loaded, key).map(|(setting, value, source)| {
            (format!("{} = {}", setting.key, inline(&value)), source.to_string())
        })));
    }
    out
}

/// The settings of one publishable key, with their values and sources.
fn of_key<'a>(
    loaded: &'a Loaded,
    key: &'a KeyConfig,
) -> impl Iterator<Item = (&'static Setting, Value, &'a Source)> {
    KEYS.settings.iter().filter_map(move |setting| {
        let Scope::Key(access) = &setting.scope else { return None };
        let source = loaded.source(&file::of_key(&key.name, setting.key));
        Some((setting, (access.get)(key), source))
    })
}

/// The same for programs: every key with its value and source.
pub fn show_json(loaded: &Loaded) -> String {
    let mut settings = Vec::new();
    let places = std::iter::once(None).chain(others(loaded).map(Some));
    for template in places {
        for setting in super::settings::all() {
            let Some(value) = value(&loaded.config, setting, template) else { continue };
            let name = template.map(|template| template.name.as_str());
            let key = file::full(name, setting.key);
            let source = match (template, loaded.source(&key)) {
                (Some(template), Source::Default) => inherited(loaded, setting, template),
                (_, source) => source.to_string(),
            };
            settings.push(json!({ "key": key, "value": value, "source": source }));
        }
    }
    for key in &loaded.config.keys {
        settings.extend(of_key(loaded, key).map(|(setting, value, source)| {
            let name = file::of_key(&key.name, setting.key);
            json!({ "key": name, "value": value, "source": source.to_string() })
        }));
    }
    let file = loaded.file.as_ref().map(|file| file.display().to_string());
    // Indented by hand-made keys alone: nothing here can fail to be JSON.
    format!("{:#}\n", json!({ "file": file, "settings": settings }))
}

/// docs/settings.md, made from the table of settings.
pub fn reference() -> String {
    let environment = Environment::bare();
    let defaults = Config::with_runtime_dir(environment.runtime_dir());
    let of_keys = KeyConfig::new("NAME", DEFAULT_TEMPLATE);
    let mut out = include_str!("reference.md").to_owned();
    for section in SECTIONS.iter().chain([KEYS]) {
        let table = match section.table {
            "" => String::new(),
            table => format!(" (`[{table}]` in the file)"),
        };
        out.push_str(&format!("\n## {}{table}\n\n", section.title));
        out.push_str("| key | flag | variable | default | meaning |\n|---|---|---|---|---|\n");
        for setting in section.settings {
            let value = match &setting.scope {
                Scope::Key(access) => default_of_key(setting, (access.get)(&of_keys)),
                _ => value(&defaults, setting, None),
            };
            let default = value.map_or_else(String::new, |value| format!("`{value}`"));
            let form = (setting.form)();
            let flag = match (setting.flag, form.switch) {
                (None, _) => "file only".into(),
                (Some(flag), true) => format!("`--{flag}`"),
                (Some(flag), false) => format!("`--{flag} {}`", form.metavar),
            };
            let variable = setting.variable().map_or_else(String::new, |name| format!("`{name}`"));
            let (key, doc) = (setting.key, setting.doc);
            let words = match form.switch || form.words.is_empty() {
                true => String::new(),
                false => format!(": `{}`", form.words.join("`, `")),
            };
            let default = if form.secret { "random".into() } else { default };
            out.push_str(&format!(
                "| `{key}` | {flag} | {variable} | {default} | {doc}{words} |\n"
            ));
        }
    }
    out
}

/// A setting's default as a command line's help shows it. `None`: made at each start.
pub(crate) fn default_of(setting: &Setting) -> Option<String> {
    let config = Config::with_runtime_dir(Environment::bare().runtime_dir());
    match value(&config, setting, None) {
        _ if (setting.form)().secret => None,
        Some(Value::String(text)) => Some(text),
        Some(Value::Array(items)) if items.is_empty() => None,
        Some(value) => Some(value.to_string()),
        None => None,
    }
}

/// The default of a setting of publishable keys. `None`: each key has to say it.
fn default_of_key(setting: &Setting, value: Value) -> Option<Value> {
    (!["key", "origins"].contains(&setting.key)).then_some(value)
}

/// Every template but the default one.
fn others(loaded: &Loaded) -> impl Iterator<Item = &Template> {
    loaded.config.templates.iter().filter(|template| template.name != DEFAULT_TEMPLATE)
}

/// The value of a setting, of that template or of the gateway. `None`: templates do not have it.
fn value(config: &Config, setting: &Setting, template: Option<&Template>) -> Option<Value> {
    match (&setting.scope, template) {
        (Scope::Gateway(access), None) => Some((access.get)(config)),
        (Scope::Gateway(_), Some(_)) => None,
        (Scope::Template(access), Some(template)) => Some((access.get)(template)),
        (Scope::Template(access), None) => config.template(DEFAULT_TEMPLATE).map(access.get),
        (Scope::Key(_), _) => None,
    }
}

/// Where a template has a value from that it does not set itself.
fn inherited(loaded: &Loaded, setting: &Setting, template: &Template) -> String {
    let (config, language) = (&loaded.config, template.language.name);
    match value(config, setting, Some(template)) == value(config, setting, None) {
        true => format!("as {DEFAULT_TEMPLATE}"),
        false => format!("usual for {language}"),
    }
}

/// One setting as an assignment and where it comes from.
fn line(loaded: &Loaded, setting: &Setting, template: Option<&Template>) -> (String, String) {
    let key = file::full(template.map(|template| template.name.as_str()), setting.key);
    let value = value(&loaded.config, setting, template);
    let value = value.as_ref().map_or_else(String::new, inline);
    let name = setting.name();
    if (setting.form)().secret {
        return (format!("# {name}: {}", value.trim_matches('"')), loaded.source(&key).to_string());
    }
    match (template, loaded.source(&key)) {
        (Some(template), Source::Default) => {
            (format!("# {name} = {value}"), inherited(loaded, setting, template))
        }
        (_, source) => (format!("{name} = {value}"), source.to_string()),
    }
}

/// A value on one line; the `toml` crate writes text with line breaks on several.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) if table.is_empty() => "{}".into(),
        Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{key} = {}", inline(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The lines with their comments in one column.
fn align(lines: impl Iterator<Item = (String, String)>) -> String {
    const WIDEST: usize = 48; // beyond that a comment just follows
    let lines: Vec<_> = lines.collect();
    let widths = lines.iter().map(|(line, _)| line.chars().count());
    let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
    // A file's name may hold anything, a line break too.
    let one = |(line, comment): &(String, String)| {
        format!("{line:width$}  # {}\n", comment.escape_debug())
    };
    lines.iter().map(one).collect()
}
