//! The rules of the code's shape, read from the sources: who may know whom, what the pure modules
//! keep away from, and what nobody does.
//!
//! A finding names file, line and reason. To add a module, give it a row in [`ROWS`]: one below
//! everything that uses it, above everything it uses. To give the parts of a module rows, list them
//! in [`INNER`].

// A test that cannot read the sources has failed.
#![allow(clippy::unwrap_used)]

use std::fmt;
use std::fs;
use std::path::Path;

#[path = "architecture/source.rs"]
mod source;

/// A module's name, its row, and the modules of the same row that it may use.
type Row = (&'static str, u8, &'static [&'static str]);

/// The top-level modules, each with its row, and whom it may use in the same row. A module uses
/// rows below its own, and itself. Within a row users come before the used, so that there is no
/// circle.
const ROWS: &[Row] = &[
    // Composition: the only place that knows every part.
    ("main", 5, &["gateway", "run", "stdio", "doctor", "startup", "cli", "config"]),
    ("lib", 5, &[]),
    ("run", 5, &["cli", "config"]),
    ("stdio", 5, &["config"]),
    ("doctor", 5, &["startup", "backends", "config"]),
    ("startup", 5, &["backends", "config"]),
    ("gateway", 5, &["config"]),
    ("backends", 5, &["config"]),
    ("cli", 5, &["config"]),
    ("config", 5, &[]),
    // AppState: bytes and requests in, handles used.
    ("http", 4, &["socket", "mcp"]),
    ("socket", 4, &[]),
    ("mcp", 4, &[]),
    // Heart.
    ("admission", 3, &["registry", "session"]),
    ("registry", 3, &["session", "pool"]),
    ("session", 3, &["pool"]),
    ("pool", 3, &[]),
    // Hands.
    ("document", 2, &[]),
    ("link", 2, &["sandbox"]), // the byte stream a backend hands over
    ("sandbox", 2, &[]),
    // Words. The link's wire, in the driver's crate, is one of them.
    ("memory", 1, &[]),
    ("disk", 1, &[]),
    ("metrics", 1, &[]),
    ("protocol", 1, &["template", "id"]),
    ("keys", 1, &["tally"]),
    ("tally", 1, &[]),
    ("template", 1, &["language"]),
    ("language", 1, &[]),
    ("id", 1, &[]),
    ("error", 1, &[]),
];

/// Rows inside of modules: the module's path and the rows of everything directly in it. A part uses
/// rows below its own, itself, and what the module's own file defines. The module's own file uses
/// all.
const INNER: &[(&str, &[Row])] = &[
    (
        "http",
        &[
            // What each route does.
            ("upgrade", 4, &["websocket"]),
            ("documents", 4, &["websocket"]),
            ("cells", 4, &["run"]),
            ("websocket", 4, &[]),
            ("run", 4, &[]),
            ("participants", 4, &["tokens"]),
            ("tokens", 4, &["sessions"]),
            ("sessions", 4, &[]),
            ("output", 4, &[]),
            ("files", 4, &[]),
            ("health", 4, &[]),
            ("keys", 4, &[]),
            ("page", 4, &[]),
            ("metrics", 4, &[]),
            ("openapi", 4, &[]),
            ("mcp", 4, &[]),
            ("typescript", 5, &[]), // types of the client library, made by a test
            // What they share.
            ("server", 3, &[]),
            ("idempotency", 3, &[]),
            ("auth", 3, &[]),
            ("access", 3, &[]),
            ("cross", 3, &[]),
            ("body", 2, &[]),
            ("clients", 2, &[]),
            ("problem", 1, &[]),
        ],
    ),
    (
        "session",
        &[
            ("actor", 6, &[]),
            ("audience", 5, &[]),
            ("journal", 5, &[]),
            ("fanout", 4, &[]),
            ("participant", 3, &[]),
            ("files", 3, &[]),
            ("outbox", 2, &[]),
            ("spill", 2, &[]),
            ("tokens", 2, &[]),
            ("state", 1, &["names", "text"]),
            ("transfers", 1, &[]),
            ("output_archive", 1, &[]),
            ("log", 1, &[]),
            ("flow", 1, &[]),
            ("delivery", 1, &[]),
            ("meter", 1, &[]),
            ("watchdog", 1, &[]),
            ("summary", 1, &[]),
            ("names", 1, &[]),
            ("text", 1, &[]),
        ],
    ),
    (
        "sandbox",
        &[("docker", 2, &[]), ("local", 2, &[]), ("common", 1, &[]), ("protection", 1, &[])],
    ),
    (
        "protocol",
        &[
            ("client", 3, &[]),
            ("reply", 3, &[]),
            ("event", 2, &[]),
            ("refusal", 2, &[]),
            ("close", 2, &[]),
            ("comm", 1, &["scrub"]),
            ("escape", 1, &[]),
            ("scrub", 1, &[]),
            ("shorten", 1, &[]),
        ],
    ),
];

/// Modules that decide and do nothing else: they take an event and return effects.
const PURE: &[&str] = &["src/session/state", "src/session/log"];

/// What a pure module would need for a clock, for waiting or for I/O.
const IMPURE: &[&str] = &[
    "tokio",
    "futures",
    "tracing",
    "Instant::now",
    "SystemTime",
    "getrandom",
    "println",
    "eprintln",
];

/// The same in the standard library.
const IMPURE_STD: &[&str] = &["io", "fs", "net", "process", "env", "thread", "os"];

/// Where system calls are made that no safe library offers.
const UNSAFE: &[&str] = &["src/sandbox/local", "src/memory.rs", "driver/src/"];

/// What is wrong, and where.
#[derive(Debug, PartialEq)]
struct Finding {
    file: String,
    line: usize,
    why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.why)
    }
}

/// Everything wrong with one file; `path` counts from the repository's top.
fn check(path: &str, text: &str) -> Vec<Finding> {
    let code = source::strip(text);
    let mut places = Vec::new();
    if is_under(path, &["src", "driver/src"]) {
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let program = if is_test { String::new() } else { source::without_tests(&code) };
        if is_under(path, &["src"]) {
            places.extend(layers(path, &code));
            places.extend(inner_layers(path, &code));
        }
        if is_under(path, &["src/http"]) {
            places.extend(bodies(&program));
        }
        if PURE.iter().any(|pure| in_module(path, pure)) {
            places.extend(purity(&program));
        }
        places.extend(statics(&program));
        places.extend(unbounded(&program));
        let unwraps = source::find_word(&program, ".unwrap()").into_iter();
        places.extend(
            unwraps.map(|at| (at, "a panic ends everybody's session: return an error".into())),
        );
        if !UNSAFE.iter().any(|prefix| path.starts_with(prefix)) {
            let found = source::find_word(&code, "unsafe").into_iter();
            let why = "unsafe code has its own modules: put the system call there";
            places.extend(found.map(|at| (at, why.into())));
        }
        let found = source::find_word(&code, "thread::sleep").into_iter();
        places.extend(
            found.map(|at| (at, "a thread that sleeps serves nobody: wait for the event".into())),
        );
    } else {
        places.extend(sleeps(&code));
    }
    places.sort();
    let finding = |(at, why)| Finding { file: path.into(), line: source::line(&code, at), why };
    places.into_iter().map(finding).collect()
}

fn is_under(path: &str, directories: &[&str]) -> bool {
    directories.iter().any(|directory| path.starts_with(&format!("{directory}/")))
}

/// Whether a file is that module or one inside it.
fn in_module(path: &str, module: &str) -> bool {
    path == format!("{module}.rs") || path.starts_with(&format!("{module}/"))
}

/// Names of the modules from the crate's root to the file: `src/a/b.rs` is `a`, `b`.
fn module_of(path: &str) -> Vec<&str> {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    inner.trim_end_matches(".rs").trim_end_matches("/mod").split('/').collect()
}

fn row(module: &str) -> Option<&'static Row> {
    ROWS.iter().find(|(name, ..)| *name == module)
}

/// Uses of modules that are not below the file's own.
fn layers(path: &str, code: &str) -> Vec<(usize, String)> {
    let module = module_of(path);
    let Some((own, own_row, beside)) = row(module[0]) else {
        let why =
            format!("module {} has no row in tests/architecture.rs: give it a row", module[0]);
        return vec![(0, why)];
    };
    let mut places = Vec::new();
    for (at, used) in source::after_root(code, "crate") {
        let why = match row(&used) {
            None if used == "*" => "name what you use instead of taking the whole crate".into(),
            None => format!("{used} has no row in tests/architecture.rs: give it a row"),
            Some((name, ..)) if name == own || beside.contains(name) => continue,
            Some((_, used_row, _)) if used_row < own_row => continue,
            Some((name, used_row, _)) => format!(
                "{own} (row {own_row}) must not know {name} (row {used_row}): \
                 a module uses rows below its own"
            ),
        };
        places.push((at, why));
    }
    for (at, length, inline) in source::supers(code) {
        let depth = if ["main", "lib"].contains(own) { 0 } else { module.len() };
        if length >= depth + inline {
            places.push((at, "this reaches the crate's root: write crate:: and the name".into()));
        }
    }
    places
}

/// Uses inside of a module of parts that are not below the file's own, for every module in
/// [`INNER`].
fn inner_layers(path: &str, code: &str) -> Vec<(usize, String)> {
    let module = module_of(path);
    let mut places = Vec::new();
    for (parent, rows) in INNER {
        let outer: Vec<&str> = parent.split("::").collect();
        let Some([part, ..]) = module.strip_prefix(outer.as_slice()) else { continue };
        let row = |name: &str| rows.iter().find(|(part, ..)| *part == name);
        let Some((own, own_row, beside)) = row(part) else {
            let why = format!("{part} has no row inside of {parent} in tests/architecture.rs");
            places.push((0, why));
            continue;
        };
        for (at, used) in used_paths(&module, code) {
            let used: Vec<&str> = used.iter().map(String::as_str).collect();
            let Some(used) = used.strip_prefix(outer.as_slice()) else { continue };
            let why = match used.first().map(|name| (*name, row(name))) {
                None | Some(("*" | "self", _)) => {
                    format!("name what you use of {parent} instead of taking all of it")
                }
                Some((name, _)) if name == *own || beside.contains(&name) => continue,
                Some((_, None)) => continue, // defined by the module's own file
                Some((_, Some((_, used_row, _)))) if used_row < own_row => continue,
                Some((name, Some((_, used_row, _)))) => format!(
                    "{own} (row {own_row} of {parent}) must not know {name} (row {used_row}): \
                     a part uses rows below its own"
                ),
            };
            places.push((at, why));
        }
    }
    places
}

/// Every path that a file uses by `crate` or `super`, written from the crate's root.
fn used_paths(module: &[&str], code: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = source::paths_after_root(code, "crate");
    for (at, path, inline) in source::paths_after_super(code) {
        let climbs = path.iter().take_while(|segment| *segment == "super").count();
        // Within modules of the same file it climbs to a part of that file.
        let Some(up) = climbs.checked_sub(inline).filter(|up| *up > 0) else { continue };
        let Some(depth) = module.len().checked_sub(up) else { continue };
        let above = module[..depth].iter().map(|name| (*name).to_owned());
        found.push((at, above.chain(path.into_iter().skip(climbs)).collect()));
    }
    found
}

/// Clocks, waiting and I/O in a module that must have none.
fn purity(code: &str) -> Vec<(usize, String)> {
    let words = IMPURE.iter().flat_map(|word| {
        source::find_word(code, word).into_iter().map(move |at| (at, (*word).to_owned()))
    });
    let library = source::after_root(code, "std").into_iter();
    let library = library.filter(|(_, part)| IMPURE_STD.contains(&part.as_str()));
    let library = library.map(|(at, part)| (at, format!("std::{part}")));
    let why =
        |what: String| format!("this module is pure (an event in, effects out), without {what}");
    words.chain(library).map(|(at, what)| (at, why(what))).collect()
}

/// Handlers to which axum hands a body it has read: it does so before they can look at the token.
fn bodies(code: &str) -> Vec<(usize, String)> {
    let words =
        ["BytesRejection", "JsonRejection", "StringRejection", "body: Bytes", "body: String"];
    let why = "take the body as `Body` and read it with http/body once the token has been checked";
    let found = words.into_iter().flat_map(|word| source::find_word(code, word));
    found.map(|at| (at, why.to_owned())).collect()
}

/// Static items other than the allocator.
fn statics(code: &str) -> Vec<(usize, String)> {
    let items = source::find_word(code, "static").into_iter().filter(|at| {
        let before = code[..*at].trim_end().trim_end_matches("pub").trim_end();
        let lifetime = code[..*at].ends_with('\'');
        !lifetime && !before.ends_with("#[global_allocator]")
    });
    let why = "a static is shared by all sessions and all tests: own the value, pass it on";
    items.map(|at| (at, why.to_owned())).collect()
}

/// Channels without a bound.
fn unbounded(code: &str) -> Vec<(usize, String)> {
    let words = ["unbounded_channel", "unbounded", "UnboundedSender", "UnboundedReceiver"];
    let words = words.into_iter().flat_map(|word| source::find_word(code, word));
    let std = source::find_word(code, "std::sync::mpsc").into_iter();
    let std =
        std.filter(|at| !code[*at..].lines().next().is_some_and(|l| l.contains("sync_channel")));
    let why = "a queue without a bound grows until the machine is full: give it a bound";
    words.chain(std).map(|at| (at, why.to_owned())).collect()
}

/// Calls of anything named `sleep`, and imports of it.
fn sleeps(code: &str) -> Vec<(usize, String)> {
    let words = ["sleep", "sleep_until", "sleep_ms"];
    let found = words.into_iter().flat_map(|word| source::find_word(code, word));
    let why = "a sleep is too short on a busy machine and too long on a free one: \
               wait for the event, with a deadline";
    found.map(|at| (at, why.to_owned())).collect()
}

/// Every Rust file under a directory, with its path from the repository's top.
fn files(directory: &str) -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut open = vec![top.join(directory)];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue }; // there may be no tests yet
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_sources_keep_the_rules() {
    let directories = ["src", "driver/src", "tests", "driver/tests"];
    let sources: Vec<_> = directories.into_iter().flat_map(files).collect();
    assert!(
        sources.iter().any(|(path, _)| path == "src/lib.rs"),
        "the sources are not where they were"
    );
    let findings: Vec<_> = sources.iter().flat_map(|(path, text)| check(path, text)).collect();
    let list: Vec<_> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", list.len(), list.join("\n"));
}

#[test]
fn within_a_row_users_come_before_the_used() {
    for rows in INNER.iter().map(|(_, rows)| *rows).chain([ROWS]) {
        for (at, (name, own, beside)) in rows.iter().enumerate() {
            for used in *beside {
                let found =
                    rows.iter().skip(at + 1).any(|(name, row, _)| name == used && row == own);
                assert!(found, "{name} uses {used}, which does not follow it in its row");
            }
        }
    }
}

/// The lines on which findings are expected carry `//!!`.
#[track_caller]
fn expect(path: &str, text: &str) {
    let expected: Vec<_> =
        (1..).zip(text.lines()).filter(|(_, line)| line.contains("//!!")).map(|(n, _)| n).collect();
    let findings = check(path, text);
    let mut found: Vec<_> = findings.iter().map(|finding| finding.line).collect();
    found.dedup();
    assert_eq!(found, expected, "{path}: {findings:#?}");
}

#[test]
fn a_use_of_a_higher_row_is_found_however_it_is_written() {
    expect(
        "src/session/actor.rs",
        "use crate::link::Link;
         use crate::protocol;
         use crate::session::log::Log;
         use crate::pool::Pool;
         use crate::http::Door; //!!
         use crate::registry::Registry; //!!
         use crate::{id::Id, socket::{A, B}, link}; //!!
         use crate::{
             id,
             http, //!!
         };
         fn f(door: &crate::socket::Socket) {} //!!
         pub(crate) fn g() { ::crate::gateway::run() } //!!
         use crate::*; //!!
         use crate::nobody::X; //!!
         // use crate::http::X;
         /* use crate::http::X; */
         const A: &str = \"crate::http\";
         const B: &str = r#\"crate::\"http\"#;
         const C: char = '\"'; use crate::http::Y; //!!
         fn h<'a>(x: &'a str) -> crate::http::Z<'a> {} //!!
        ",
    );
    expect("src/id.rs", "use crate::template::Template; //!!\nuse cellgate_driver::wire;\n");
    expect("src/protocol/event.rs", "use crate::id::SessionId;\n");
    expect("src/config.rs", "use crate::cli::Cli; //!!\nuse crate::id::Token;\n");
    expect("src/cli.rs", "use crate::config::Config;\n");
}

#[test]
fn a_use_of_a_higher_part_inside_of_a_module_is_found_however_it_is_written() {
    expect(
        "src/sandbox/docker/creation.rs",
        "use crate::sandbox::common::stream::LinkStream;
         use crate::sandbox::{SandboxError, common::lock};
         use super::engine::Engine;
         use super::super::common::lock;
         use crate::sandbox::local::LocalBackend; //!!
         use crate::sandbox::{Backend, local::LocalConfig}; //!!
         use super::super::local; //!!
         use super::super::{Backend, local::LocalConfig}; //!!
         use crate::sandbox; //!!
         use crate::sandbox::{self, Backend}; //!!
         use crate::sandbox::*; //!!
         fn f() -> crate::sandbox::local::LocalBackend {} //!!
         pub(in crate::sandbox) fn g() {}
         pub(in super::super) fn h() {}
         pub(super) fn i() {}
         // crate::sandbox::local
         mod inner {
             use super::super::engine;
             use super::super::super::local; //!!
             use super::LinkStream;
         }
        ",
    );
    expect("src/sandbox/common/cgroup.rs", "use crate::sandbox::docker::DockerBackend; //!!\n");
    expect("src/sandbox/common/cgroup/tests.rs", "use super::*;\nuse super::super::lock;\n");
    expect(
        "src/sandbox/common.rs",
        "use super::local; //!!\nuse super::SandboxError;\npub(super) mod lock;\n",
    );
    expect("src/sandbox.rs", "use crate::sandbox::docker::DockerBackend;\n");
    expect("src/backends.rs", "use crate::sandbox::{docker, local::LocalBackend};\n");
    let findings = check("src/sandbox/kubernetes.rs", "fn f() {}\n");
    assert_eq!(findings.len(), 1);
    assert!(findings[0].why.contains("no row inside of sandbox"), "{}", findings[0]);
}

#[test]
fn tests_inside_a_module_keep_to_the_rows_too() {
    expect("src/link.rs", "#[cfg(test)]\nmod tests {\n    use crate::http::X; //!!\n}\n");
}

#[test]
fn climbing_to_the_root_is_found() {
    expect("src/link.rs", "use super::http; //!!\nmod inner {\n    use super::X;\n}\n");
    expect("src/session/state.rs", "use super::names;\nuse super::super::http; //!!\n");
    expect(
        "src/session/state.rs",
        "mod inner {\n    use super::super::text;\n}\nuse super::text;\n",
    );
    expect("src/main.rs", "use super::x; //!!\n");
}

#[test]
fn a_module_without_a_row_is_found() {
    let findings = check("src/newcomer/door.rs", "fn f() {}\n");
    assert_eq!(findings.len(), 1);
    assert!(findings[0].why.contains("module newcomer has no row"), "{}", findings[0]);
    assert_eq!(check("src/bin/tool.rs", "fn main() {}\n").len(), 1);
}

#[test]
fn a_clock_or_io_in_a_pure_module_is_found() {
    let text = "//! No tokio here.
        use std::time::Duration;
        use std::time::{Instant, SystemTime}; //!!
        use std::{fmt, io, collections::VecDeque}; //!!
        use std::fs::File; //!!
        use tokio::sync::mpsc; //!!
        fn f() -> Instant { Instant::now() } //!!
        fn g() { tracing::info!(\"x\"); } //!!
        fn h(now: Instant) -> Duration { now.environment() }
        #[cfg(test)]
        mod tests {
            use std::fs;
        }
    ";
    for path in ["src/session/state.rs", "src/session/log.rs", "src/session/state/queue.rs"] {
        expect(path, text);
    }
    assert!(check("src/session/fanout.rs", "use tokio::sync::mpsc;\n").is_empty());
}

#[test]
fn statics_are_found_and_lifetimes_are_not() {
    expect(
        "src/link.rs",
        "static COUNT: AtomicU64 = AtomicU64::new(0); //!!
         pub static mut X: u8 = 0; //!!
         thread_local! { static Y: u8 = 0; } //!!
         fn f(x: &'static str) -> impl Fn() + 'static {}
         #[global_allocator]
         static ALLOCATOR: System = System;
         const STATIC: &str = \"static X: u8\";
        ",
    );
}

#[test]
fn unbounded_channels_are_found() {
    expect(
        "src/session.rs",
        "use tokio::sync::mpsc::unbounded_channel; //!!
         let (a, b) = mpsc::unbounded(); //!!
         use std::sync::mpsc::channel; //!!
         use std::sync::mpsc::sync_channel;
         let (a, b) = tokio::sync::mpsc::channel(8);
        ",
    );
}

#[test]
fn unwraps_are_found_outside_of_tests() {
    let text = "fn f() { g().unwrap(); } //!!
         fn g() { x.unwrap_or(1); x.unwrap_or_default(); }
         #[cfg(all(test, unix))]
         mod tests {
             fn h() { x.unwrap(); }
         }
         #[cfg(not(test))]
         fn i() { x.unwrap(); } //!!
         #[cfg(test)]
         mod more;
         fn j() { x.unwrap(); } //!!
        ";
    expect("src/link.rs", text);
    expect("driver/src/pipes.rs", text);
    assert!(check("src/link/tests.rs", "fn h() { x.unwrap(); }\n").is_empty());
}

#[test]
fn unsafe_code_is_found_outside_of_its_modules() {
    let text = "#![allow(unsafe_code)]\nfn f() { unsafe { g() } } //!!\n";
    expect("src/session.rs", text);
    expect("src/sandbox/docker.rs", text);
    assert!(check("src/sandbox/local/clone.rs", text).is_empty());
}

#[test]
fn sleeps_are_found() {
    expect(
        "tests/end_to_end.rs",
        "use std::thread::sleep; //!!
         async fn f() { tokio::time::sleep(SECOND).await; } //!!
         fn g() { time::sleep_until(x); } //!!
         fn h() { let code = \"import time; time.sleep(5)\"; sleepless(); }
        ",
    );
    expect("src/session.rs", "fn f() { std::thread::sleep(x) } //!!\nfn g() { time::sleep(x) }\n");
}

#[test]
fn stripping_keeps_every_line_and_only_code() {
    let text = "a /* x /* y */ \n z */ é // c\n'\\'' \"d\\\"\n\" 'e r#\"f\"\n\"# r#type b\"g\" 'h'";
    let code = source::strip(text);
    assert_eq!(code.lines().count(), text.lines().count());
    let words: Vec<_> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "x", "'e", "r#type", "b"]);
}
