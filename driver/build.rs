//! Lists the runner's Python sources, so that the supervisor carries whatever `runner/` holds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

const BOOT: &str = "boot.py";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=runner");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let runner = Path::new(&variable("CARGO_MANIFEST_DIR")).join("runner");

    let mut files: Vec<PathBuf> = fs::read_dir(&runner)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", runner.display()))
        .map(|entry| entry.expect("a directory that opened can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .collect();
    files.sort();

    let (boot, modules): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|path| path.ends_with(BOOT));
    let mut code = String::new();
    match boot.first() {
        Some(path) => writeln!(code, "const PYTHON_BOOT: &str = include_str!({path:?});"),
        None => panic!("{} is missing", runner.join(BOOT).display()),
    }
    .expect("a String takes all text");
    code.push_str("const PYTHON_MODULES: &[(&str, &[u8])] = &[\n");
    for path in &modules {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("module names are ASCII");
        writeln!(code, "    ({name:?}, include_bytes!({path:?})),")
            .expect("a String takes all text");
    }
    code.push_str("];\n");
    let out = PathBuf::from(variable("OUT_DIR")).join("runner.rs");
    fs::write(&out, code).unwrap_or_else(|error| panic!("cannot write {}: {error}", out.display()));
}
