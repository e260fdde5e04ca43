//! What a setting is. The table of them stands in [`table`]: each is defined there once, and flags,
//! variables, keys of the file, help, `cellgate config` and docs/settings.md all come from it.

use std::path::Path;

use toml::Value;

use crate::keys::KeyConfig;
use crate::template::Template;

use super::codec::{Form, Raw};
use super::model::Config;

mod table;

pub(crate) use table::{KEYS, LANGUAGE, SECTIONS};

/// Prefix of every environment variable that sets a setting.
pub(super) const PREFIX: &str = "CELLGATE_";

/// One setting.
pub(crate) struct Setting {
    /// Its key in the file, table included: `limits.memory`.
    pub(crate) key: &'static str,
    /// Its flag without the dashes, which also names its variable. `None`: only in the file.
    pub(crate) flag: Option<&'static str>,
    /// What it means, one sentence without full stop.
    pub(crate) doc: &'static str,
    /// How its value is written.
    pub(crate) form: fn() -> Form,
    /// The structure that holds its value.
    pub(super) scope: Scope,
}

/// What a value belongs to.
pub(super) enum Scope {
    /// The gateway as a whole.
    Gateway(Access<Config>),
    /// Each template; a template without a value of its own takes the default template's.
    Template(Access<Template>),
    /// Each publishable key, in a table of its own; only the file sets it.
    Key(Access<KeyConfig>),
}

/// Reaches one value in `T`.
pub(super) struct Access<T> {
    /// Reads the value; a relative path starts at the given directory.
    pub(super) set: fn(&mut T, &Raw, &Path) -> Result<(), String>,
    /// Shows the value.
    pub(super) get: fn(&T) -> Value,
}

/// Settings that stand under one heading, and under one table in the file.
pub(crate) struct Section {
    /// Heading in help and documentation.
    pub(crate) title: &'static str,
    /// The table in the file; empty for its top.
    pub(crate) table: &'static str,
    /// Whether they concern a single sandbox too, and not just a gateway that serves.
    pub(crate) sandbox: bool,
    /// The settings, in the order in which they are shown.
    pub(crate) settings: &'static [Setting],
}

impl Setting {
    /// The setting's environment variable.
    pub(crate) fn variable(&self) -> Option<String> {
        let name = self.flag?.replace('-', "_").to_ascii_uppercase();
        Some(format!("{}{name}", PREFIX))
    }

    /// The key without its table.
    pub(super) fn name(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(_, name)| name)
    }
}

/// Every setting, in the order of the sections.
pub(crate) fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// The setting of publishable keys with that name.
pub(super) fn find_of_keys(name: &str) -> Option<&'static Setting> {
    KEYS.settings.iter().find(|setting| setting.key == name)
}

/// The setting with that key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.key == key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_there_once_and_stands_in_its_table() {
        let keys: BTreeSet<_> = all().map(|setting| setting.key).collect();
        assert_eq!(keys.len(), all().count());
        let flags: Vec<_> = all().filter_map(|setting| setting.flag).collect();
        assert_eq!(flags.iter().collect::<BTreeSet<_>>().len(), flags.len());
        for section in SECTIONS {
            for setting in section.settings {
                let table = setting.key.rsplit_once('.').map_or("", |(table, _)| table);
                assert_eq!(table, section.table, "{}", setting.key);
                assert!(!setting.doc.is_empty() && !setting.doc.ends_with('.'), "{}", setting.key);
                assert!(!setting.doc.contains('|'), "{} breaks a Markdown table", setting.key);
            }
        }
        for setting in KEYS.settings {
            assert!(setting.flag.is_none() && matches!(setting.scope, Scope::Key(_)));
            assert!(!setting.doc.is_empty() && !setting.doc.ends_with('.'), "{}", setting.key);
            assert!(!setting.doc.contains('|'), "{} breaks a Markdown table", setting.key);
        }
        // `file::Walk` takes a key either for a setting or for a table of settings.
        for section in SECTIONS {
            assert!(find(section.table).is_none(), "{}", section.table);
        }
    }
}
