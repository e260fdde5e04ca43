//! Runs the page's own tests (`web/test`), so that one `cargo test` covers it: the client library
//! and the pure parts under Node, then the whole page in headless Chromium. They run against a real
//! gateway; against a scripted one where this machine can start no real one, and where a test needs
//! what only a script can produce.

#![allow(clippy::unwrap_used)] // a test that cannot go on panics

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use common::backend::Backend;
use common::gateway::Gateway;
use common::require::Missing;

fn web() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/web"))
}

/// Node with the packages of the page's tests. `build.rs` installs what the page is made of; the
/// rest, as cargo does with dev-dependencies, is fetched when a test first wants it.
fn missing() -> Option<Missing> {
    let node = Command::new("node").arg("--version").output();
    if !node.is_ok_and(|output| output.status.success()) {
        return Some(Missing::new("node", "install Node 20 or newer and build again"));
    }
    let installed = install(web(), "typescript");
    (!installed).then(|| Missing::new("node", "`npm ci` in web/ does not succeed"))
}

/// Fetches the packages of a directory, unless the one named is there.
fn install(directory: &Path, package: &str) -> bool {
    if directory.join("node_modules").join(package).exists() {
        return true;
    }
    let install = Command::new("npm").current_dir(directory).args(["ci", "--silent"]).status();
    install.is_ok_and(|status| status.success())
}

fn npm(script: &str, environment: &[(&str, &str)]) {
    // Not captured: which of its tests were skipped, and why, belongs in front of everybody.
    let status = Command::new("npm")
        .current_dir(web())
        .args(["run", "--silent", script])
        .envs(environment.iter().copied())
        .status()
        .unwrap();
    assert!(status.success(), "npm run {script} failed; what it printed stands above");
}

/// Another site: a page with a frame for whatever its query names. Answers the port it is at.
fn embedder() -> u16 {
    const PAGE: &str = "<!doctype html><title>embedder</title><iframe width=640 height=360></iframe>\
        <script>const frame = document.querySelector('iframe');\
        frame.onload = () => { document.title = 'loaded'; };\
        frame.src = new URLSearchParams(location.search).get('frame');</script>";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            // A browser's question fits, and whatever it asks for, this is the answer.
            let Ok(1..) = stream.read(&mut request) else { continue };
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{PAGE}", PAGE.len());
        }
    });
    port
}

/// One after the other: they share what they build, in `web/dist`.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_passes_its_tests() {
    if let Some(missing) = missing() {
        return missing.skip("the page's tests").unwrap();
    }
    let backends = [Backend::LocalRoot, Backend::LocalUser];
    let Some(backend) = backends.into_iter().find(|backend| backend.missing().is_none()) else {
        let missing = Missing::new("local", "this machine allows no local sandboxes");
        missing.skip("the page against the real gateway").unwrap();
        return tokio::task::block_in_place(|| run_tests(&[]));
    };
    let embedder = embedder();
    let allowed = format!("http://localhost:{embedder}");
    let flags = [
        // Time enough for a hand on "Force stop", which a stubborn cell asks for.
        ["--interrupt-grace", "60s"],
        ["--memory", "256MiB"],
        ["--output", "16MiB"],
        ["--output-kept", "17MiB"],
        ["--allow-embed", &allowed],
        // A test that joins the gateway directly may leave a cell running.
        ["--drain-timeout", "1s"],
    ];
    // As a page of strangers has it: web/test/browser/embed.test.mjs comes with these keys.
    let settings = format!(
        "allow_weak_limits = true\n[keys.embedder]\nkey = \"pk_embedder-0123456789\"\n\
         origins = [\"http://127.0.0.1:{embedder}\"]\n\
         [keys.site]\nkey = \"pk_site-0123456789abcd\"\norigins = [\"*\"]\nsharing = true\n\
         sessions_per_address = 50\ncells_per_address = 20\n\
         [keys.alone]\nkey = \"pk_alone-0123456789abc\"\norigins = [\"*\"]\nsessions_per_address = 50\n"
    );
    let gateway = Gateway::with_settings(backend, &settings, &flags.concat());
    let url = format!("http://{}", gateway.address);
    let port = embedder.to_string();
    let starting = backend.flags().join(" ");
    let against = [
        ("CELLGATE_URL", url.as_str()),
        ("CELLGATE_TOKEN", gateway.token.as_str()),
        ("CELLGATE_EMBEDDER", port.as_str()),
        // For the server of examples/chat, which starts gateways of its own.
        ("CELLGATE_BINARY", env!("CARGO_BIN_EXE_cellgate")),
        ("CELLGATE_TEST_ARGUMENTS", starting.as_str()),
    ];
    tokio::task::block_in_place(|| run_tests(&against));
    gateway.stop().await;
}

/// Runs the tests under Node, then those in a browser.
fn run_tests(environment: &[(&str, &str)]) {
    npm("test", environment);
    if !Path::new("/usr/bin/chromium").exists() {
        let missing = Missing::new("chromium", "install the package chromium");
        return missing.skip("the page in a browser").unwrap();
    }
    let example = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/monaco"));
    if !install(example, "monaco-editor") {
        let missing = Missing::new("node", "`npm ci` in examples/monaco does not succeed");
        missing.skip("the Monaco page of examples/monaco").unwrap();
    }
    npm("test:browser", environment);
}
