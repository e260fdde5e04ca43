//! Parts that every backend uses: what a sandbox has inside, and how the gateway keeps track of it.
//!
//! ```text
//!   setup        the SETUP message: environment, rlimits, system call filter
//!   startable    what can be started in a sandbox later
//!   environment  variables, working directory, host name     rlimits  limits of each process
//!   policy       allowed system calls                         masked   hidden files of /proc
//!   cgroup       limits of the whole sandbox                  homes    directories never shown
//!   embedded     the driver's executable                      stream   the link's socket
//!   reaper       tasks that end dropped sandboxes             lock     which gateways are running
//! ```
//! Nothing in here knows a backend.

pub mod cgroup;
pub mod embedded;
pub(super) mod environment;
pub mod homes;
pub(super) mod lock;
pub(super) mod masked;
pub mod policy;
pub mod reaper;
pub(super) mod rlimits;
pub(super) mod setup;
pub mod startable;
pub(super) mod stream;
