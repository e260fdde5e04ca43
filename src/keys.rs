//! Publishable keys: tokens that may stand in public pages, and what their holders may have.
//!
//! ```text
//!   settings ─► KeyConfig ─► PublishableKey ─┬─ sessions: a share for each that lives
//!                                            └─ cells: a share for each that waits or runs
//! ```
//! [`crate::admission`] recognises a key and says what it opens. [`crate::registry`] takes a share
//! for each session, the session one for each cell. A share is given back when it is dropped, so
//! that no count can exceed its bound, whatever comes at one moment.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::tally::{Quota, QuotaExceeded, QuotaShare};

/// Stands for every origin.
pub const ANY_ORIGIN: &str = "*";

/// What the settings say of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfig {
    /// Its name in the settings, for the log and for messages.
    pub name: String,
    /// What clients send in a token's place. No secret.
    pub key: String,
    /// Templates that its sessions may be made from; the first is that of a client that names none.
    pub templates: Vec<String>,
    /// Origins, as `scheme://host[:port]` in lower case, whose pages may use it. `*`: any.
    pub origins: Vec<String>,
    /// Sessions that may live at one time, of all holders.
    pub sessions: usize,
    /// Those of them that one address may have made.
    pub sessions_per_address: usize,
    /// Cells that may wait or run at one time, in all of its sessions.
    pub cells: usize,
    /// Those of them in sessions that one address has made.
    pub cells_per_address: usize,
    /// How long a session may live.
    pub lifetime: Duration,
    /// How long a session may do nothing.
    pub idle_timeout: Duration,
    /// Whether files may be read and written over HTTP.
    pub files: bool,
    /// Whether share links may be made.
    pub sharing: bool,
}

impl KeyConfig {
    /// A key with the defaults, without the two things that each has to say itself: what it is, and
    /// the origins.
    pub fn new(name: impl Into<String>, template: impl Into<String>) -> KeyConfig {
        KeyConfig {
            name: name.into(),
            key: String::new(),
            templates: vec![template.into()],
            origins: Vec::new(),
            sessions: 50,
            sessions_per_address: 2, // a reader who opens two pages
            cells: 20,
            cells_per_address: 4,
            lifetime: Duration::from_secs(30 * 60),
            idle_timeout: Duration::from_secs(5 * 60),
            files: false,
            sharing: false,
        }
    }

    /// Whether pages of this origin may use it.
    pub fn allows_origin(&self, origin: &str) -> bool {
        let mut origins = self.origins.iter();
        origins.any(|own| own == ANY_ORIGIN || own.eq_ignore_ascii_case(origin))
    }

    /// Whether pages of every origin may use it, and programs without saying one.
    pub fn allows_any_origin(&self) -> bool {
        self.origins.iter().any(|own| own == ANY_ORIGIN)
    }
}

/// A key, and how much of its bounds is taken.
#[derive(Debug)]
pub struct PublishableKey {
    /// What the settings say.
    pub config: KeyConfig,
    sessions: Quota,
    cells: Quota,
}

impl PublishableKey {
    /// A key that is not in use yet.
    pub fn new(config: KeyConfig) -> PublishableKey {
        PublishableKey {
            sessions: Quota::new(config.sessions, config.sessions_per_address),
            cells: Quota::new(config.cells, config.cells_per_address),
            config,
        }
    }
}

/// A client that came with a key: what its sessions are bound by.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    /// The key.
    pub key: Arc<PublishableKey>,
    /// Where the client comes from.
    pub address: IpAddr,
}

impl KeyHolder {
    /// A place for one session, held until nothing of it is left.
    pub fn take_session(&self) -> Result<QuotaShare, TooManySessions> {
        self.key.sessions.take(self.address).map_err(TooManySessions)
    }

    /// A place for one cell, held until it has ended.
    pub fn take_cell(&self) -> Result<QuotaShare, TooManyCells> {
        self.key.cells.take(self.address).map_err(TooManyCells)
    }
}

/// All sessions that the key allows are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", match .0 {
    QuotaExceeded::All(most) => {
        format!("all {most} sessions that this publishable key may have are taken; try again later")
    }
    QuotaExceeded::Address(most) => format!(
        "all {most} sessions that one address may have with this publishable key are taken; end one \
         of them"
    ),
})]
pub struct TooManySessions(pub QuotaExceeded);

/// All cells that the key allows wait or run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", match .0 {
    QuotaExceeded::All(most) => format!(
        "all {most} cells that may wait or run with this publishable key do; try again later"
    ),
    QuotaExceeded::Address(most) => format!(
        "all {most} cells of one address that may wait or run with this publishable key do; wait \
         until one of them has ended"
    ),
})]
pub struct TooManyCells(pub QuotaExceeded);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_allowed_by_its_name_or_by_all_being_allowed() {
        let mut config = KeyConfig::new("lesson", "python");
        assert!(!config.allows_origin("https://lesson.example"));
        config.origins = vec!["https://lesson.example".into()];
        assert!(config.allows_origin("https://Lesson.example"));
        for other in ["http://lesson.example", "https://lesson.example:8443", "null", ""] {
            assert!(!config.allows_origin(other), "{other}");
        }
        assert!(!config.allows_any_origin());
        config.origins.push(ANY_ORIGIN.into());
        assert!(config.allows_any_origin() && config.allows_origin("null"));
    }

    #[test]
    fn cells_and_sessions_are_counted_apart_and_by_address() {
        let mut config = KeyConfig::new("lesson", "python");
        (config.sessions, config.sessions_per_address) = (2, 1);
        (config.cells, config.cells_per_address) = (3, 2);
        let key = Arc::new(PublishableKey::new(config));
        let of = |last| KeyHolder { key: Arc::clone(&key), address: [192, 0, 2, last].into() };
        let _first = of(1).take_session().unwrap();
        let refused = of(1).take_session().unwrap_err();
        assert_eq!(refused, TooManySessions(QuotaExceeded::Address(1)));
        let _second = of(2).take_session().unwrap();
        let refused = of(3).take_session().unwrap_err();
        assert_eq!(refused, TooManySessions(QuotaExceeded::All(2)));
        let cells = [of(1).take_cell().unwrap(), of(1).take_cell().unwrap()];
        assert_eq!(of(1).take_cell().unwrap_err(), TooManyCells(QuotaExceeded::Address(2)));
        let _third = of(2).take_cell().unwrap();
        assert_eq!(of(2).take_cell().unwrap_err(), TooManyCells(QuotaExceeded::All(3)));
        drop(cells);
        // What was refused for all took no place of its address.
        let _cells = [of(2).take_cell().unwrap(), of(1).take_cell().unwrap()];
    }
}
