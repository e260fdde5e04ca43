//! Builds the console and leaves it in `OUT_DIR/page`, with a table of it in `OUT_DIR/page.rs`.
//!
//! ```text
//!   Node and npm there? ─yes─► npm ci (if the lock changed) ─► web/build.mjs ─► OUT_DIR/page
//!        └ no, or a step fails ─► a warning, and web/plain ─► OUT_DIR/page
//! ```
//! A machine without Node, or without a registry, still builds the whole gateway, with a plain
//! console that says how to get the full one. `CELLGATE_REQUIRE=all` makes that an error: releases
//! are built so. Nothing is written into the source tree but `web/node_modules`.
//!
//! `page.rs` is included where this type is:
//! ```ignore
//! struct Asset {
//!     path: &'static str,            // "/index.html", "/assets/console-….js"
//!     content_type: &'static str,
//!     immutable: bool,               // its name changes with its content
//!     etag: &'static str,            // quotes included
//!     csp: Option<&'static str>,     // a Content-Security-Policy of its own
//!     headers: &'static [(&'static str, &'static str)], // further ones, names in lower case
//!     identity: &'static [u8],
//!     gzip: Option<&'static [u8]>,
//!     brotli: Option<&'static [u8]>,
//! }
//! ```

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The oldest Node that runs the build.
const NODE_MAJOR: u32 = 20;

/// Written into `node_modules` after an install: the lock file it was made from.
const STAMP: &str = "node_modules/.cellgate-lock";

/// Builds the console, or the plain one. Fails the build only if `CELLGATE_REQUIRE=all`.
pub(crate) fn build() {
    let inputs = ["src", "client/src", "plain", "build.mjs", "package.json", "package-lock.json"];
    for input in inputs {
        println!("cargo::rerun-if-changed=web/{input}");
    }
    println!("cargo::rerun-if-env-changed=CELLGATE_REQUIRE");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let web = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("web");
    let out = PathBuf::from(variable("OUT_DIR"));
    let page = out.join("page");

    if let Err(reason) = full(&web, &page) {
        if env::var("CELLGATE_REQUIRE").is_ok_and(|what| what == "all") {
            panic!("CELLGATE_REQUIRE=all, but the console cannot be built: {reason}");
        }
        println!("cargo::warning=the plain console is built in, because {reason}");
        println!(
            "cargo::warning=for the full one: install Node {NODE_MAJOR} or newer with npm, touch build.rs, build again"
        );
        plain(&web, &page);
        watch_for_node();
    }
    let manifest = read(&page.join("assets.tsv"));
    write(&out.join("page.rs"), table(&manifest, &page).as_bytes());
}

/// Builds the full console with Node, or says why it cannot.
fn full(web: &Path, page: &Path) -> Result<(), String> {
    let version = run(Command::new("node").arg("--version"))?;
    let major = version.trim().trim_start_matches('v').split('.').next().unwrap_or("");
    if !major.parse::<u32>().is_ok_and(|major| major >= NODE_MAJOR) {
        return Err(format!("node is {}, older than {NODE_MAJOR}", version.trim()));
    }
    let lock = read(&web.join("package-lock.json"));
    if fs::read_to_string(web.join(STAMP)).ok().as_deref() != Some(lock.as_str()) {
        run(Command::new("npm")
            .current_dir(web)
            .args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"])
            // A machine without network shall know within seconds, not minutes.
            .args(["--fetch-retries=1", "--fetch-timeout=30000"]))?;
        fs::write(web.join(STAMP), &lock)
            .map_err(|error| format!("{STAMP} cannot be written: {error}"))?;
    }
    run(Command::new("node").current_dir(web).arg("build.mjs").arg(page)).map(drop)
}

/// Runs a program to its end: its output, or what it complained about, on one line.
fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let words: Vec<&str> = complaint.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let last = words[words.len().saturating_sub(6)..].join(" · ");
    Err(format!("{program} failed ({}): {last}", output.status))
}

/// Copies the console that needs no build.
fn plain(web: &Path, page: &Path) {
    if page.exists() {
        fs::remove_dir_all(page)
            .unwrap_or_else(|error| panic!("cannot empty OUT_DIR/page: {error}"));
    }
    fs::create_dir_all(page).unwrap_or_else(|error| panic!("cannot make OUT_DIR/page: {error}"));
    for name in ["index.html", "plain.css", "plain.js", "assets.tsv"] {
        write(&page.join(name), read(&web.join("plain").join(name)).as_bytes());
    }
}

/// Has cargo build again once something was installed where programs are found.
fn watch_for_node() {
    println!("cargo::rerun-if-env-changed=PATH");
    let path = env::var_os("PATH").unwrap_or_default();
    for directory in env::split_paths(&path).filter(|directory| directory.is_dir()) {
        println!("cargo::rerun-if-changed={}", directory.display());
    }
}

/// The table of assets as Rust: one line of the manifest each (see `web/build.mjs`).
fn table(manifest: &str, page: &Path) -> String {
    let mut rust = String::from("const ASSETS: &[Asset] = &[\n");
    for line in manifest.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [path, content_type, immutable, encodings, csp, headers] = fields[..] else {
            panic!("assets.tsv has a line of {} fields: {line}", fields.len());
        };
        let file = page.join(path);
        let bytes = fs::read(&file)
            .unwrap_or_else(|error| panic!("{} cannot be read: {error}", file.display()));
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let compressed = |encoding: &str, ending: &str| {
            if encodings.split(',').any(|one| one == encoding) {
                format!("Some(include_bytes!({:?}))", format!("{}{ending}", file.display()))
            } else {
                "None".to_owned()
            }
        };
        let csp = if csp.is_empty() { "None".to_owned() } else { format!("Some({csp:?})") };
        let headers = headers.split(" | ").filter(|header| !header.is_empty()).map(|header| {
            header.split_once(": ").unwrap_or_else(|| panic!("assets.tsv has a header {header:?}"))
        });
        let headers: Vec<(&str, &str)> = headers.collect();
        let etag = format!("\"{:016x}\"", hasher.finish());
        let entry = format!(
            "    Asset {{ path: {:?}, content_type: {content_type:?}, immutable: {}, etag: {etag:?}, \
             csp: {csp}, headers: &{headers:?}, identity: include_bytes!({:?}), gzip: {}, brotli: {} }},",
            format!("/{path}"),
            immutable == "immutable",
            file.display().to_string(),
            compressed("gz", ".gz"),
            compressed("br", ".br"),
        );
        writeln!(rust, "{entry}").unwrap_or_else(|_| unreachable!("a String takes any text"));
    }
    rust + "];\n"
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
}

fn write(path: &Path, content: &[u8]) {
    fs::write(path, content)
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()));
}
