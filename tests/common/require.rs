//! What a test needs of the machine, and what happens where that is missing.
//!
//! A test that cannot run here says so on stderr and counts as ignored. `CELLGATE_REQUIRE` turns
//! that into a failure, so that a machine which should have everything cannot silently test less:
//! `all`, or a list such as `docker,runsc,unprivileged`.

/// Name of the variable.
const VARIABLE: &str = "CELLGATE_REQUIRE";

/// Something a machine may lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// As in the variable: `docker`, `runsc`, `root`, `unprivileged`, `matplotlib`.
    pub(crate) feature: &'static str,
    /// Why it is missing, or how to get it.
    pub(crate) reason: String,
}

impl Missing {
    /// Says what is missing.
    pub(crate) fn new(feature: &'static str, reason: impl Into<String>) -> Missing {
        Missing { feature, reason: reason.into() }
    }

    /// Tells people that a test is skipped; fails where the feature is required.
    pub(crate) fn skip(&self, test: &str) -> Result<(), String> {
        let Missing { feature, reason } = self;
        let required = std::env::var(VARIABLE).unwrap_or_default();
        if requires(&required, feature) {
            return Err(format!("{VARIABLE} asks for {feature}, which is not here: {reason}"));
        }
        eprintln!("skipped: {test}: no {feature}: {reason}");
        Ok(())
    }
}

/// Whether a value of the variable asks for a feature.
pub(crate) fn requires(value: &str, feature: &str) -> bool {
    value.split(',').map(str::trim).any(|one| one == "all" || one == feature)
}
