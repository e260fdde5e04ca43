//! What the build leaves where there is no Node: the plain console, whole, and a word on how to get
//! the full one. That it works in a browser is tested by `web/test/browser/plain.test.mjs`, with
//! the same files before the same gateway.

#![allow(clippy::unwrap_used)] // a test that cannot go on panics

use std::path::Path;
use std::process::{Command, Output};

#[path = "../build/page.rs"]
mod page;

/// Runs this part of the build script in a process of its own, whose programs are those in `path`.
fn build(path: &Path, out: &Path, require: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_build_script", "--ignored", "--nocapture"]);
    command.env("PATH", path).env("OUT_DIR", out).env_remove("CELLGATE_REQUIRE");
    if let Some(what) = require {
        command.env("CELLGATE_REQUIRE", what);
    }
    command.output().unwrap()
}

#[test]
#[ignore = "is the build script, for the other tests to run"]
fn the_build_script() {
    page::build();
}

#[test]
fn without_node_the_plain_console_is_built_in() {
    let nothing = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let built = build(nothing.path(), out.path(), None);
    let said = String::from_utf8(built.stdout).unwrap();
    assert!(built.status.success(), "{said}");
    assert!(said.contains("cargo::warning=the plain console is built in, because node"), "{said}");
    assert!(said.contains("cargo::warning=for the full one: install Node"), "{said}");
    // Every file of it is in the table that the program is made with, as it stands in `web/plain`.
    let table = std::fs::read_to_string(out.path().join("page.rs")).unwrap();
    for name in ["index.html", "plain.css", "plain.js"] {
        assert!(table.contains(&format!("path: \"/{name}\"")), "{name}: {table}");
        let left = std::fs::read(out.path().join("page").join(name)).unwrap();
        assert_eq!(left, std::fs::read(Path::new("web/plain").join(name)).unwrap(), "{name}");
    }
    assert_eq!(table.matches("Asset {").count(), 3, "{table}");
}

#[test]
fn a_node_that_does_not_run_is_as_good_as_none() {
    let bin = tempfile::tempdir().unwrap();
    let node = bin.path().join("node");
    std::os::unix::fs::symlink("/bin/false", &node).unwrap();
    let out = tempfile::tempdir().unwrap();
    let built = build(bin.path(), out.path(), None);
    let said = String::from_utf8(built.stdout).unwrap();
    assert!(built.status.success(), "{said}");
    assert!(said.contains("because node failed"), "{said}");
    assert!(out.path().join("page/plain.js").exists());
}

#[test]
fn a_release_without_the_full_console_is_not_built() {
    let nothing = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let built = build(nothing.path(), out.path(), Some("all"));
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(!built.status.success());
    assert!(said.contains("CELLGATE_REQUIRE=all, but the console cannot be built"), "{said}");
    assert!(!out.path().join("page.rs").exists());
}
