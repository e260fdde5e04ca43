//! Lists the sources of each language's runner, so that the supervisor carries whatever `runner/NAME` holds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The sources of one runner.
struct Runner {
    /// Directory below `runner`.
    directory: &'static str,
    /// Beginning of the names of its constants.
    prefix: &'static str,
    /// The file that is executed first, below `runner`.
    boot: &'static str,
    /// What the names of its modules' files end with.
    extension: &'static str,
    /// Modules of other runners that it uses too, below `runner`.
    shared: &'static [&'static str],
}

const RUNNERS: &[Runner] = &[
    Runner {
        directory: "python",
        prefix: "PYTHON",
        boot: "python/boot.py",
        extension: "py",
        shared: &[],
    },
    Runner {
        directory: "javascript",
        prefix: "JAVASCRIPT",
        boot: "javascript/boot.js",
        extension: "js",
        shared: &[],
    },
    Runner {
        directory: "jupyter",
        prefix: "JUPYTER",
        boot: "python/boot.py",
        extension: "py",
        shared: &["python/wire.py", "python/jsonable.py"],
    },
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=runner");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let runners = Path::new(&variable("CARGO_MANIFEST_DIR")).join("runner");
    let mut code = String::new();
    for runner in RUNNERS {
        list(&runners, runner, &mut code);
    }
    let out = PathBuf::from(variable("OUT_DIR")).join("runners.rs");
    fs::write(&out, code).unwrap_or_else(|error| panic!("cannot write {}: {error}", out.display()));
}

/// Writes the constants of one language: its boot code, and names and sources of its modules.
fn list(runners: &Path, runner: &Runner, code: &mut String) {
    let Runner { directory, prefix, boot, extension, shared } = runner;
    let directory = runners.join(directory);
    let boot = runners.join(boot);
    let mut files: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", directory.display()))
        .map(|entry| entry.expect("a directory that opened can be read").path())
        .filter(|path| path.extension().is_some_and(|found| found == *extension))
        .filter(|path| *path != boot)
        .chain(shared.iter().map(|file| runners.join(file)))
        .collect();
    files.sort();
    assert!(boot.is_file(), "{} is missing", boot.display());
    writeln!(code, "const {prefix}_BOOT: &str = include_str!({boot:?});")
        .expect("a String takes all text");
    writeln!(code, "const {prefix}_MODULES: &[(&str, &[u8])] = &[")
        .expect("a String takes all text");
    for path in &files {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("module names are ASCII");
        writeln!(code, "    ({name:?}, include_bytes!({path:?})),")
            .expect("a String takes all text");
    }
    code.push_str("];\n");
}
