//! What the supervisor does to itself before it reads a byte of anybody: it cannot be read or
//! traced by what it starts, and neither it nor anything below it can gain a privilege.

use super::process_table::Scope;
use crate::sys::{self, privileges};

/// Hardens this process. Answers a line of text for each protection that could not be had.
pub(crate) fn harden(scope: Scope) -> Vec<String> {
    let mut missing = Vec::new();
    let mut need = |what: &str, result: std::io::Result<()>| {
        if let Err(error) = result {
            missing.push(format!("{what}: {error}"));
        }
    };
    sys::ignore_sigpipe();
    need("the supervisor cannot be made untraceable", privileges::forbid_dumping());
    need("privileges can be gained by exec (no_new_privs)", privileges::forbid_new_privileges());
    // The bounding set first, as emptying it takes a capability. Without that capability it stays
    // as it is, which does no harm: with no_new_privs no exec gains from it.
    privileges::empty_bounding_set();
    need("capabilities cannot be dropped", privileges::drop_capabilities());
    // Late pipes take descriptors of the supervisor; the runner's own limit comes from SETUP.
    need("the limit on open files cannot be raised", privileges::raise_open_files());
    if scope == Scope::Descendants {
        need("orphans cannot be adopted", privileges::adopt_orphans());
    }
    missing
}
