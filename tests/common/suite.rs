//! One table of cases, run against every backend.
//!
//! ```text
//!   case × backend = trial `local_root::cells::state_is_kept`
//!   trials of a backend share a gateway; each has sessions of its own
//! ```
//! A suite is a program without the standard harness: the shared gateways need an end of their
//! own, at which each has to stop well and leave nothing behind.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::backend::Backend;
use super::client::Client;
use super::gateway::Gateway;
use super::require::Missing;

/// Longest time of one trial.
const DEADLINE: Duration = Duration::from_secs(120);

/// Trials at one time, unless `--test-threads` says otherwise. Most of a trial's time is waiting;
/// more than a few containers starting at once only slow each other down.
const THREADS: usize = 4;

/// Lines of the gateway's log that a failure shows.
const LOG_LINES: usize = 30;

/// Settings of the shared gateways: templates with limits small enough to be reached quickly.
const SETTINGS: &str = r#"
[limits]
interrupt_grace = "1s"

[socket]
message_size = "256KiB"

[templates.small.limits]
memory = "160MiB"
processes = 24
open_files = 64
disk = "8MiB"
disk_files = 100

[templates.brief.limits]
timeout = "2500ms"

[templates.terse.limits]
output = "64KiB"
"#;

/// What a case gets.
pub(crate) struct Stage {
    /// The backend it runs against.
    pub(crate) backend: Backend,
    gateway: Arc<Gateway>,
}

impl Stage {
    /// The gateway it shares with the other cases.
    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// A gateway of its own, with these flags.
    pub(crate) fn own(&self, flags: &[&str]) -> Gateway {
        Gateway::start(self.backend, flags)
    }

    /// A session of its own.
    pub(crate) async fn session(&self) -> Client {
        self.session_of("python").await
    }

    /// A session of its own with the limits of a template: `small`, `brief` or `terse`.
    pub(crate) async fn session_of(&self, template: &str) -> Client {
        Client::create(&self.gateway, template).await
    }
}

/// One case: its module, its name, what it does. An `Err` names what the sandbox lacks for it.
pub(crate) struct Case {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    pub(crate) run: fn(Stage) -> BoxFuture<'static, Result<(), Missing>>,
}

/// What a case may answer.
pub(crate) trait Verdict {
    /// The same as a result.
    fn into_result(self) -> Result<(), Missing>;
}

impl Verdict for () {
    fn into_result(self) -> Result<(), Missing> {
        Ok(())
    }
}

impl Verdict for Result<(), Missing> {
    fn into_result(self) -> Result<(), Missing> {
        self
    }
}

/// The table of a module's cases. A case that is not in it is dead code, which the compiler tells.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) const CASES: &[$crate::common::suite::Case] = &[$(
            $crate::common::suite::Case {
                module: module_path!(),
                name: stringify!($name),
                run: |stage| Box::pin(async move {
                    $crate::common::suite::Verdict::into_result($name(&stage).await)
                }),
            }
        ),*];
    };
}
pub(crate) use cases;

/// The gateway that a backend's cases share; started by the first that needs it.
#[derive(Default)]
struct Shared(OnceLock<Result<Arc<Gateway>, String>>);

impl Shared {
    fn get(&self, backend: Backend) -> Result<Arc<Gateway>, String> {
        let start = || {
            let start = || Arc::new(Gateway::with_settings(backend, SETTINGS, &["--log", "debug"]));
            std::panic::catch_unwind(start).map_err(|panic| message_of(&*panic))
        };
        self.0.get_or_init(start).clone()
    }
}

/// Runs every case against every backend, then ends the shared gateways.
pub(crate) fn run(groups: &[&'static [Case]]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    // Where it happened; what happened stands in the list of failures.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!(
            "a check fails at {}",
            panic.location().map(ToString::to_string).unwrap_or_default()
        );
    }));
    let mut shared = Vec::new();
    let mut trials = Vec::new();
    for backend in Backend::ALL {
        let gateway = Arc::new(Shared::default());
        let missing = Arc::new(OnceLock::new());
        for case in groups.iter().copied().flatten() {
            let module = case.module.split_once("::").map_or(case.module, |(_, module)| module);
            let name = format!("{}::{module}::{}", backend.name(), case.name);
            let (gateway, missing) = (Arc::clone(&gateway), Arc::clone(&missing));
            let told = name.clone();
            trials.push(Trial::ignorable_test(name, move || {
                let missing: &Option<Missing> = missing.get_or_init(|| backend.missing());
                match missing {
                    Some(missing) => skipped(missing, &told),
                    None => perform(case, backend, &gateway, &told),
                }
            }));
        }
        shared.push((backend, gateway));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut well = !conclusion.has_failed();
    for (backend, shared) in shared {
        let Some(Ok(gateway)) = Arc::into_inner(shared).and_then(|shared| shared.0.into_inner())
        else {
            continue;
        };
        let stop = || match Arc::into_inner(gateway) {
            Some(gateway) => runtime().block_on(gateway.stop()),
            None => panic!("somebody still holds the gateway"),
        };
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(stop)) {
            eprintln!("the shared gateway of {}: {}", backend.name(), message_of(&*panic));
            well = false;
        }
    }
    if well { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn skipped(missing: &Missing, test: &str) -> Result<Completion, Failed> {
    missing.skip(test)?;
    Ok(Completion::ignored_with(&missing.reason))
}

fn perform(
    case: &Case,
    backend: Backend,
    shared: &Shared,
    name: &str,
) -> Result<Completion, Failed> {
    let gateway = shared.get(backend)?;
    let logged = gateway.log().len();
    let stage = Stage { backend, gateway: Arc::clone(&gateway) };
    let work =
        || runtime().block_on(async { tokio::time::timeout(DEADLINE, (case.run)(stage)).await });
    let failure = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(Ok(Ok(()))) => return Ok(Completion::Completed),
        Ok(Ok(Err(missing))) => return skipped(&missing, name),
        Ok(Err(_)) => format!("takes longer than {DEADLINE:?}"),
        Err(panic) => message_of(&*panic),
    };
    let log = gateway.log();
    let lines: Vec<&str> = log[logged..].lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    Err(format!("{failure}\nthe shared gateway's log meanwhile:\n{}", last.join("\n")).into())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

/// How long something took; for what the protocol promises a time for.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let value = work.await;
    (value, start.elapsed())
}
