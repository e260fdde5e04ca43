//! One table of cases, run against every backend.
//!
//! ```text
//!   case × backend = trial `local_root::cells::state_is_kept`
//!   trials of a backend share a gateway; each has sessions of its own
//! ```
//! A suite is a program without the standard harness: the shared gateways need an end of their
//! own, at which each has to stop well and leave nothing behind.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::backend::Backend;
use super::client::Client;
use super::gateway::Gateway;
use super::require::Missing;

/// Longest time of one trial.
const DEADLINE: Duration = Duration::from_secs(300);

/// Trials at one time, unless `--test-threads` says otherwise. Most of a trial's time is waiting;
/// more than a few containers starting at once only slow each other down.
const THREADS: usize = 4;

/// Failures of one backend after which its other cases are not tried: a broken engine fails every
/// one of them, and each takes its time to find out.
const FAILURES: usize = 20;

/// Lines of the gateway's log that a failure shows.
const LOG_LINES: usize = 30;

/// Settings of the shared gateways: templates with limits small enough to be reached quickly.
const SETTINGS: &str = r#"
[limits]
interrupt_grace = "2s"

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

[templates.patient.limits]
interrupt_grace = "6s"

[templates.terse.limits]
output = "64KiB"
output_kept = "1MiB"

[templates.home]
workdir = "/home/user"
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

    /// A session of its own with the limits of a template: `small`, `brief`, `patient` or `terse`; `home` has another working
    /// directory.
    pub(crate) async fn session_of(&self, template: &str) -> Client {
        Client::create(&self.gateway, template).await
    }
}

/// One case: its module, its name, what it does. An `Err` names what the sandbox lacks for it.
pub(crate) struct Case {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    /// What a user sees, for the suites whose cases are listed in a document.
    pub(crate) sees: &'static str,
    pub(crate) run: fn(Stage) -> BoxFuture<'static, Result<(), Missing>>,
}

impl Case {
    /// The module within its suite.
    pub(crate) fn place(&self) -> &'static str {
        self.module.split_once("::").map_or(self.module, |(_, module)| module)
    }
}

/// Cases and the backends they run against.
pub(crate) struct Group {
    pub(crate) cases: &'static [Case],
    pub(crate) backends: &'static [Backend],
    /// Whether after each case a fresh session has to work on the same gateway, and one that was
    /// there before it.
    pub(crate) then_lives: bool,
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

/// The table of a module's cases, `CASES`; one whose backends differ from theirs has a name of its
/// own. A case that is in no table is dead code, which the compiler tells.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        $crate::common::suite::cases![CASES: $($name),*];
    };
    ($table:ident: $($name:ident),* $(,)?) => {
        pub(crate) const $table: &[$crate::common::suite::Case] = &[$(
            $crate::common::suite::Case {
                module: module_path!(),
                name: stringify!($name),
                sees: "",
                run: |stage| Box::pin(async move {
                    $crate::common::suite::Verdict::into_result($name(&stage).await)
                }),
            }
        ),*];
    };
}
pub(crate) use cases;

/// A table of inputs that one function judges: a name, what a user sees, the input.
macro_rules! rows {
    ($judge:ident: $($name:ident $sees:literal => $row:expr),* $(,)?) => {
        pub(crate) const CASES: &[$crate::common::suite::Case] = &[$(
            $crate::common::suite::Case {
                module: module_path!(),
                name: stringify!($name),
                sees: $sees,
                run: |stage| Box::pin(async move {
                    $crate::common::suite::Verdict::into_result($judge(&stage, $row).await)
                }),
            }
        ),*];
    };
}
pub(crate) use rows;

/// The gateway that a backend's cases share; started by the first that needs it.
#[derive(Default)]
struct Shared {
    gateway: OnceLock<Result<Arc<Gateway>, String>>,
    failures: AtomicUsize,
}

impl Shared {
    fn get(&self, backend: Backend) -> Result<Arc<Gateway>, String> {
        if self.failures.load(Ordering::Relaxed) >= FAILURES {
            return Err(format!("not tried: {FAILURES} cases of this backend have failed"));
        }
        let start = || {
            let start = || Arc::new(Gateway::with_settings(backend, SETTINGS, &["--log", "debug"]));
            std::panic::catch_unwind(start).map_err(|panic| message_of(&*panic))
        };
        self.gateway.get_or_init(start).clone()
    }
}

/// Tables of cases, each with the backends that it runs against.
pub(crate) type Matrix<'a> = &'a [(&'static [Case], &'static [Backend])];

/// Runs cases against their backends, then ends the shared gateways.
pub(crate) fn run(matrix: Matrix<'_>) -> ExitCode {
    let group = |&(cases, backends): &_| Group { cases, backends, then_lives: false };
    run_groups(&matrix.iter().map(group).collect::<Vec<_>>(), Vec::new())
}

/// Runs groups of cases and trials besides, then ends the shared gateways.
pub(crate) fn run_groups(groups: &[Group], more: Vec<Trial>) -> ExitCode {
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
    let mut trials = more;
    for backend in Backend::ALL {
        let gateway = Arc::new(Shared::default());
        let missing = Arc::new(OnceLock::new());
        let groups = groups.iter().filter(|group| group.backends.contains(&backend));
        let cases =
            groups.flat_map(|group| group.cases.iter().map(|case| (case, group.then_lives)));
        for (case, then_lives) in cases {
            let name = format!("{}::{}::{}", backend.name(), case.place(), case.name);
            let (gateway, missing) = (Arc::clone(&gateway), Arc::clone(&missing));
            let told = name.clone();
            trials.push(Trial::ignorable_test(name, move || {
                let missing: &Option<Missing> = missing.get_or_init(|| backend.missing());
                match missing {
                    Some(missing) => skipped(missing, &told),
                    None => perform(case, backend, &gateway, &told, then_lives),
                }
            }));
        }
        shared.push((backend, gateway));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut well = !conclusion.has_failed();
    for (backend, shared) in shared {
        let Some(Ok(gateway)) =
            Arc::into_inner(shared).and_then(|shared| shared.gateway.into_inner())
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
    then_lives: bool,
) -> Result<Completion, Failed> {
    let gateway = shared.get(backend)?;
    let logged = gateway.log().len();
    let stage = Stage { backend, gateway: Arc::clone(&gateway) };
    let whole = async {
        if !then_lives {
            return (case.run)(stage).await;
        }
        let mut bystander = Bystander::come(&gateway).await;
        tokio::select! {
            done = (case.run)(stage) => done?,
            closed = bystander.0.receive() => panic!("another session's client was closed: {closed:?}"),
        }
        bystander.has_noticed_nothing().await;
        lives(&gateway).await;
        Ok(())
    };
    let work = || runtime().block_on(async { tokio::time::timeout(DEADLINE, whole).await });
    let failure = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(Ok(Ok(()))) => return Ok(Completion::Completed),
        Ok(Ok(Err(missing))) => return skipped(&missing, name),
        Ok(Err(_)) => format!("takes longer than {DEADLINE:?}"),
        Err(panic) => message_of(&*panic),
    };
    shared.failures.fetch_add(1, Ordering::Relaxed);
    let log = gateway.log();
    let lines: Vec<&str> = log[logged..].lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    Err(format!("{failure}\nthe shared gateway's log meanwhile:\n{}", last.join("\n")).into())
}

/// A session that has nothing to do with a case, while it runs.
struct Bystander(Client);

impl Bystander {
    async fn come(gateway: &Gateway) -> Bystander {
        let mut client = Client::create(gateway, "python").await;
        client.run("mine = 42").await.expect("ok", true);
        Bystander(client)
    }

    /// Asserts that its variables are there, in the interpreter it had. What it heard meanwhile is
    /// checked by [`Client::read`].
    async fn has_noticed_nothing(self) {
        let mut client = self.0;
        let cell = client.run("mine").await;
        assert_eq!((cell.result(), cell.done()["execution_count"].as_u64()), ("42", Some(2)));
        client.end().await;
    }
}

/// Asserts that a fresh session works.
pub(crate) async fn lives(gateway: &Gateway) {
    let mut client = Client::create(gateway, "python").await;
    assert_eq!(client.run("1+1").await.result(), "2");
    client.end().await;
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

/// How long something took; for what the protocol promises a time for.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let value = work.await;
    (value, start.elapsed())
}
