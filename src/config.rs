//! Settings: one table defines them, four layers set them, every value knows where it comes from.
//!
//! ```text
//!   settings ── the table: key, flag, variable, meaning, codec, place in Config
//!      │
//!   flags ─┐
//!   environment ─┤ raw values ─► codec ─► Config + Source of each value ─► show
//!   file ──┘       │                │
//!                  └─ Problem ◄─────┘   all of them at once, with line and column
//! ```
//! Nothing silently becomes a default: an unknown name and a bad value are fatal wherever they
//! stand, even if a higher layer would override them. Layers are applied from the lowest to the
//! highest, so that the last writer of a value is its source.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::id::Token;
use crate::keys::KeyConfig;

mod check;
mod codec;
mod environment;
mod error;
mod file;
mod model;
pub(crate) mod settings;
mod show;
mod suggest;

pub use environment::Environment;
pub use error::{ConfigError, Problem, Source};
pub use model::{
    AccessConfig, BackendChoice, Config, DEFAULT_TEMPLATE, ListenConfig, LogConfig, LogFormat,
    SandboxConfig,
};
pub(crate) use show::default_of;
pub use show::{reference, show, show_json};

use codec::Raw;
use file::KEYS;
use settings::{Scope, Setting};

/// What the command line sets.
#[derive(Clone, Default)]
pub struct Flags {
    /// The file of settings, if one is named.
    pub(crate) config: Option<PathBuf>,
    /// Keys and the values of their flags, as they were written.
    pub(crate) values: Vec<(&'static str, Vec<String>)>,
}

impl fmt::Debug for Flags {
    /// Keys alone: a value may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.values.iter().map(|(key, _)| key);
        f.debug_list().entries(keys).finish()
    }
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Their values.
    pub config: Config,
    /// The file they were read from.
    pub file: Option<PathBuf>,
    sources: BTreeMap<String, Source>,
}

impl Loaded {
    /// Where the value of a key comes from: `limits.memory`, `templates.data.image`.
    pub fn source(&self, key: &str) -> &Source {
        self.sources.get(key).unwrap_or(&Source::Default)
    }

    /// The problem with the value of a key that proved wrong when it was used. Of a template that
    /// has no value of its own it is the default template's.
    pub fn problem(&self, template: Option<&str>, key: &str, message: String) -> Problem {
        let own = file::full(template.filter(|name| *name != DEFAULT_TEMPLATE), key);
        let key = if self.sources.contains_key(&own) { own } else { key.to_owned() };
        Problem { source: self.source(&key).clone(), key: Some(key), message }
    }
}

/// Puts the layers together. Fails with everything that is wrong, not just the first.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigError> {
    let named = flags.config.clone().or_else(|| environment.named_file());
    let file = match named {
        Some(path) => Some(read(path, environment)?),
        None => {
            let usual = environment.usual_files().into_iter();
            let mut present = usual.filter(|path| environment.resolve(path).exists());
            present.next().map(|path| read(path, environment)).transpose()?
        }
    };
    let mut loading = Loading {
        loaded: Loaded {
            config: Config::with_runtime_dir(environment.runtime_dir()),
            file: file.as_ref().map(|(path, _)| path.clone()),
            sources: BTreeMap::new(),
        },
        problems: Vec::new(),
    };

    let mut of_templates = Vec::new();
    let mut templates = Vec::new();
    let mut keys = Vec::new();
    let mut file_base = environment.directory.clone();
    if let Some((path, text)) = &file {
        let contents = file::read(text, path);
        loading.problems.extend(contents.problems);
        templates = contents.templates;
        keys = contents.keys;
        let absolute = environment.resolve(path);
        file_base = absolute.parent().map_or(file_base, Path::to_owned);
        let (own, others) = contents.entries.into_iter().partition(|e| e.template.is_none());
        of_templates = others;
        let own: Vec<file::Entry> = own;
        let values = own.into_iter().map(|entry| (entry.setting, entry.raw, entry.source));
        loading.layer(values.collect(), &file_base);
    }

    let (values, problems) = environment.settings();
    loading.problems.extend(problems);
    loading.layer(values, &environment.directory);

    let values = flags.values.iter().filter_map(|(key, values)| {
        let setting = settings::find(key)?;
        let source = Source::Flag(format!("--{}", setting.flag?));
        let raw = match values.as_slice() {
            [one] => Raw::Text(one.clone()),
            many => Raw::List(many.to_vec()),
        };
        Some((setting, raw, source))
    });
    loading.layer(values.collect(), &environment.directory);

    loading.templates(templates, of_templates, &file_base);
    loading.token_file();
    loading.keys(keys, &file_base);
    loading.together();
    // First the file from top to bottom, then variables, then flags.
    loading.problems.sort_by_key(|problem| match problem.source {
        Source::File { line, column, .. } => (0, line, column),
        Source::Default | Source::Environment(_) => (1, 0, 0),
        Source::Flag(_) => (2, 0, 0),
    });
    match loading.problems.is_empty() {
        true => Ok(loading.loaded),
        false => Err(ConfigError::Wrong(loading.problems)),
    }
}

/// The token on the first line of a text, and those on the lines below that are not empty; or the
/// line that is wrong.
fn tokens(text: &str) -> Result<(Token, Vec<Token>), (usize, String)> {
    let read = |number: usize, line: &str| codec::token(line).map_err(|error| (number, error));
    let mut lines = (1..).zip(text.lines());
    let (number, first) = lines.next().unwrap_or((1, ""));
    let token = read(number, first)?;
    let more = lines.filter(|(_, line)| !line.is_empty());
    Ok((token, more.map(|(number, line)| read(number, line)).collect::<Result<_, _>>()?))
}

fn read(path: PathBuf, environment: &Environment) -> Result<(PathBuf, String), ConfigError> {
    match std::fs::read_to_string(environment.resolve(&path)) {
        Ok(text) => Ok((path, text)),
        Err(cause) => Err(ConfigError::Unreadable { path, cause }),
    }
}

struct Loading {
    loaded: Loaded,
    problems: Vec<Problem>,
}

impl Loading {
    /// Applies one layer over those below it.
    fn layer(&mut self, mut values: Vec<(&'static Setting, Raw, Source)>, base: &Path) {
        let mut access = Vec::new();
        values.sort_by_key(|(setting, ..)| setting.key != settings::LANGUAGE);
        for (setting, raw, source) in values {
            let config = &mut self.loaded.config;
            let set = match &setting.scope {
                Scope::Gateway(place) => (place.set)(config, &raw, base),
                Scope::Template(place) => (place.set)(&mut config.templates[0], &raw, base),
                Scope::Key(_) => continue, // stands in a table of its own, which `keys` reads
            };
            match set {
                Ok(()) => {
                    self.loaded.sources.insert(setting.key.into(), source.clone());
                    if ACCESS.iter().any(|way| way.key == setting.key && (way.is_set)(config)) {
                        access.push((setting.key, source));
                    }
                }
                Err(message) => self.wrong(setting.key, source, message),
            }
        }
        self.settle_access(&access);
    }

    /// Lets the way of access that a layer sets replace those of the layers below.
    fn settle_access(&mut self, set: &[(&'static str, Source)]) {
        match set {
            [] => {}
            [(key, _)] => {
                for way in ACCESS.iter().filter(|way| way.key != *key) {
                    if (way.is_set)(&self.loaded.config) {
                        (way.unset)(&mut self.loaded.config);
                        self.loaded.sources.remove(way.key);
                    }
                }
            }
            [(first, _), others @ ..] => {
                for (key, source) in others {
                    let message = format!("{key} and {first} exclude each other: keep one of them");
                    self.wrong(key, source.clone(), message);
                }
            }
        }
    }

    /// Makes the templates of the file, each from the default one and what it says itself.
    fn templates(&mut self, names: Vec<String>, mut entries: Vec<file::Entry>, base: &Path) {
        let first = self.loaded.config.templates.len();
        entries.sort_by_key(|entry| entry.setting.key != settings::LANGUAGE);
        for name in names {
            let mut template = self.loaded.config.templates[0].clone();
            template.name = name;
            self.loaded.config.templates.push(template);
        }
        for entry in entries {
            let Scope::Template(place) = &entry.setting.scope else { continue };
            let key = file::full(entry.template.as_deref(), entry.setting.key);
            let mut templates = self.loaded.config.templates[first..].iter_mut();
            let Some(template) = templates.find(|t| Some(&t.name) == entry.template.as_ref())
            else {
                continue; // its name is wrong, and a problem says so
            };
            match (place.set)(template, &entry.raw, base) {
                Ok(()) => {
                    self.loaded.sources.insert(key, entry.source);
                }
                Err(message) => self.wrong(&key, entry.source, message),
            }
        }
    }

    /// Reads the tokens from their file, one a line.
    fn token_file(&mut self) {
        let Some(path) = self.loaded.config.access.token_file.clone() else { return };
        let source = self.loaded.source("token_file").clone();
        let tokens = match std::fs::read_to_string(&path) {
            Ok(text) => tokens(&text).map_err(|(line, error)| {
                format!("line {line} of {} is wrong: {error}", path.display())
            }),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        };
        match tokens {
            Ok((token, more)) => {
                self.loaded.config.access.token = Some(token);
                self.loaded.config.access.more_tokens = more;
                self.loaded.sources.insert("token".into(), source);
            }
            Err(message) => self.wrong("token_file", source, message),
        }
    }

    /// Makes the publishable keys of the file, each from the defaults and what it says itself.
    fn keys(&mut self, tables: Vec<file::KeyTable>, base: &Path) {
        for file::KeyTable { name, source, entries } in tables {
            let mut key = KeyConfig::new(name, DEFAULT_TEMPLATE);
            let known = self.problems.len();
            for (setting, raw, source) in entries {
                let Scope::Key(place) = &setting.scope else { continue };
                let full = file::of_key(&key.name, setting.key);
                match (place.set)(&mut key, &raw, base) {
                    Ok(()) => {
                        self.loaded.sources.insert(full, source);
                    }
                    Err(message) => self.wrong(&full, source, message),
                }
            }
            // What follows from a value that is wrong already would only stand in the way.
            if self.problems.len() == known {
                self.check_key(&mut key, &source);
            }
            self.loaded.config.keys.push(key);
        }
    }

    /// Checks a publishable key against the other settings. `table` is where its name stands.
    fn check_key(&mut self, key: &mut KeyConfig, table: &Source) {
        let config = &self.loaded.config;
        let mut found: Vec<(&str, String)> = Vec::new();
        let tokens = config.access.token.iter().chain(&config.access.more_tokens);
        if key.key.is_empty() {
            let message = "is missing: write what clients are to send, such as \
                           key = \"pk_\" and 16 or more random letters and digits";
            found.push(("key", message.into()));
        } else if tokens.into_iter().any(|token| token.matches(&key.key)) {
            let message =
                "is a token of the gateway too, which everybody would learn: choose another";
            found.push(("key", message.into()));
        } else if let Some(other) = config.keys.iter().find(|other| other.key == key.key) {
            let message = format!("is the key of {KEYS}.{} too: choose another", other.name);
            found.push(("key", message));
        }
        if key.origins.is_empty() {
            let message = "is missing or empty: write the origins of the pages that may use the key, \
                           such as [\"https://lesson.example.org\"]; [\"*\"] lets anybody use it";
            found.push(("origins", message.into()));
        }
        if key.templates.is_empty() {
            let message = "is empty: name a template, or leave it out for the default one";
            found.push(("templates", message.into()));
        }
        for name in key.templates.iter().filter(|name| config.template(name).is_none()) {
            let known: Vec<&str> =
                config.templates.iter().map(|template| template.name.as_str()).collect();
            let message = format!("there is no template {name:?}; there are: {}", known.join(", "));
            found.push(("templates", message));
        }
        let session = &config.registry.session;
        for (name, value, most) in [
            ("lifetime", &mut key.lifetime, session.lifetime),
            ("idle_timeout", &mut key.idle_timeout, session.idle_timeout),
        ] {
            let Some(most) = most.filter(|most| *value > *most) else { continue };
            // The default is as long as it can be; a value that is set means what it says.
            if self.loaded.sources.contains_key(&file::of_key(&key.name, name)) {
                let message = format!(
                    "is longer than session.{name}, which is {} s: shorten it or leave it out",
                    most.as_secs_f64()
                );
                found.push((name, message));
            }
            *value = most;
        }
        for (setting, message) in found {
            let full = file::of_key(&key.name, setting);
            let source = self.loaded.sources.get(&full).unwrap_or(table).clone();
            self.wrong(&full, source, message);
        }
    }

    /// Checks what no setting can know alone.
    fn together(&mut self) {
        let config = &self.loaded.config;
        let address = config.listen.address;
        if config.access.insecure_no_token && !address.ip().to_canonical().is_loopback() {
            let source = self.loaded.source("insecure_no_token").clone();
            let message = format!(
                "others can reach {address} and would need no token: listen on a loopback address \
                 such as 127.0.0.1:8080, or set a token"
            );
            self.wrong("insecure_no_token", source, message);
        }
        let access = &self.loaded.config.access;
        for (key, list) in
            [("allow_origin", &access.names.origins), ("allow_host", &access.names.hosts)]
        {
            // Without a token, Origin and Host are all that keeps a web page from running code.
            if access.insecure_no_token && list.iter().any(|entry| entry == check::ANY) {
                let source = self.loaded.source(key).clone();
                let message = "any page in a browser on this machine could run code, because \
                               insecure_no_token is set: list what may connect, or set a token";
                self.problems.push(Problem {
                    source,
                    key: Some(key.into()),
                    message: message.into(),
                });
            }
        }
        let session = &self.loaded.config.registry.session;
        if (1..LEAST_LOG_DISK).contains(&session.log_disk_bytes) {
            let source = self.loaded.source("session.log_disk").clone();
            let message = format!(
                "session.log_disk is {} bytes: less than {LEAST_LOG_DISK} holds no more than memory \
                 does; 0 for none",
                session.log_disk_bytes
            );
            self.wrong("session.log_disk", source, message);
        }
        let session = &self.loaded.config.registry.session;
        if session.window_bytes > session.log_bytes {
            let message = format!(
                "session.window is {} bytes and session.event_log {}: a participant may lag behind \
                 by the window, so the log has to hold at least as much",
                session.window_bytes, session.log_bytes
            );
            let by_log = *self.loaded.source("session.event_log") != Source::Default;
            let key = if by_log { "session.event_log" } else { "session.window" };
            let source = self.loaded.source(key).clone();
            self.wrong(key, source, message);
        }
    }

    fn wrong(&mut self, key: &str, source: Source, message: String) {
        self.problems.push(Problem { source, key: Some(key.into()), message });
    }
}

/// Smallest disk for a log: room for the batches that are written to it.
const LEAST_LOG_DISK: u64 = 4 << 20; // 4 MiB

/// A way of saying who may create sessions.
struct Way {
    key: &'static str,
    is_set: fn(&Config) -> bool,
    unset: fn(&mut Config),
}

/// The ways there are; only one can be in force.
const ACCESS: [Way; 3] = [
    Way {
        key: "token",
        is_set: |config| config.access.token.is_some(),
        unset: |config| config.access.token = None,
    },
    Way {
        key: "token_file",
        is_set: |config| config.access.token_file.is_some(),
        unset: |config| config.access.token_file = None,
    },
    Way {
        key: "insecure_no_token",
        is_set: |config| config.access.insecure_no_token,
        unset: |config| config.access.insecure_no_token = false,
    },
];
