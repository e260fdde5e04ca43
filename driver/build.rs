//! Lists the sources of each language's runner, so that the supervisor carries whatever `runner/NAME` holds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Directory below `runner`, prefix of the constants, the file that is executed first, extension of the others.
const RUNNERS: &[(&str, &str, &str, &str)] =
    &[("python", "PYTHON", "boot.py", "py"), ("javascript", "JAVASCRIPT", "boot.js", "js")];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=runner");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let runners = Path::new(&variable("CARGO_MANIFEST_DIR")).join("runner");
    let mut code = String::new();
    for (directory, prefix, boot, extension) in RUNNERS {
        list(&runners.join(directory), prefix, boot, extension, &mut code);
    }
    let out = PathBuf::from(variable("OUT_DIR")).join("runners.rs");
    fs::write(&out, code).unwrap_or_else(|error| panic!("cannot write {}: {error}", out.display()));
}

/// Writes the constants of one language: its boot code, and names and sources of its modules.
fn list(runner: &Path, prefix: &str, boot: &str, extension: &str, code: &mut String) {
    let mut files: Vec<PathBuf> = fs::read_dir(runner)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", runner.display()))
        .map(|entry| entry.expect("a directory that opened can be read").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    let (boots, modules): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|path| path.ends_with(boot));
    match boots.first() {
        Some(path) => writeln!(code, "const {prefix}_BOOT: &str = include_str!({path:?});"),
        None => panic!("{} is missing", runner.join(boot).display()),
    }
    .expect("a String takes all text");
    writeln!(code, "const {prefix}_MODULES: &[(&str, &[u8])] = &[")
        .expect("a String takes all text");
    for path in &modules {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("module names are ASCII");
        writeln!(code, "    ({name:?}, include_bytes!({path:?})),")
            .expect("a String takes all text");
    }
    code.push_str("];\n");
}
