//! JavaScript: Node 20 or newer.
//!
//! Not Node 18, which gets no fixes any more: without `connectToMainThread` of its inspector, which came with Node 20, a
//! loop without a pause could not be interrupted but by the end of the interpreter.

use super::{Host, Language};

/// Prints a description of the interpreter; works on every Node.
const DESCRIBE: &str = "\
const path = require('path'), fs = require('fs');
const executable = process.execPath;
const prefixes = [executable, fs.realpathSync(executable)].map((p) => path.dirname(path.dirname(p)));
console.log(JSON.stringify({
  version: process.versions.node.split('.').slice(0, 2).map(Number),
  executable,
  paths: [...new Set(prefixes)],
}))";

/// The row of JavaScript.
pub(super) const JAVASCRIPT: Language = Language {
    name: "javascript",
    title: "Node",
    extensions: &["js", "mjs", "cjs", "ts", "mts"],
    oldest: (20, 0),
    host: Host {
        setting: "node",
        program: "node",
        usual_paths: &["/usr/bin/node", "/usr/local/bin/node"],
        describe: &["-e", DESCRIBE],
        kind: "a Node",
        etc: &[],
        etc_prefixes: &[],
        install: "apt install nodejs, dnf install nodejs, https://nodejs.org",
        make_environment: "unpack Node's archive from https://nodejs.org into DIR",
    },
    image_command: "node",
    image: "cellgate-javascript",
    image_brings: &["bash"],
    memory_bytes: 512 << 20, // 512 MiB: V8 sizes its heap by it
    variables: &[],
    shells: &[],
    processor_counts: &[],
};
