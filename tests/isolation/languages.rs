//! What code in other languages than Python, and a process, reaches of the machine: nothing. The probe asks
//! much more, in Python; the sandbox is the same, and this shows that they are in it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::json;

use crate::common::client::{Client, text};
use crate::common::gateway::Gateway;
use crate::common::require::Missing;
use crate::common::suite::{Stage, cases};

cases![javascript_reaches_nothing, bash_reaches_nothing, a_process_reaches_nothing];

/// What this machine has, and no sandbox may reach.
struct Machine {
    directory: tempfile::TempDir,
    listener: TcpListener,
    process: Child,
}

/// Seconds that the process sleeps: a number that no other command has.
const SECONDS: &str = "2718281";

impl Machine {
    fn new() -> Machine {
        let directory = tempfile::Builder::new().prefix("cellgate-bait-").tempdir().unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(directory.path().join("bait"), "secret").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let process = Command::new("sleep").arg(SECONDS).spawn().unwrap();
        Machine { directory, listener, process }
    }

    /// The code with what it is to try.
    fn fill(&self, code: &str) -> String {
        code.replace("BAIT", self.directory.path().join("bait").to_str().unwrap())
            .replace("PORT", &self.listener.local_addr().unwrap().port().to_string())
            .replace("PROCESS", &self.process.id().to_string())
    }

    /// Asserts that none of it was reached, by what the code says and by what is seen from here.
    fn assert_untouched(mut self, said: &str) {
        assert_eq!(said.trim(), "tried, found:");
        let accepted = self.listener.accept();
        assert!(accepted.is_err(), "a connection came: {accepted:?}");
        assert_eq!(self.process.try_wait().unwrap(), None, "the process was killed");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have been killed, which the test has told by then.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Says what it could do of what no sandbox may. The number of seconds is written so that the code itself does
/// not have it: it may be on a command line.
const SHELL: &str = r#"
found=
{ read -r x < BAIT; } 2>/dev/null && found="$found file"
{ : > /usr/cellgate-was-here; } 2>/dev/null && found="$found write"
grep -qs '271828[1]' /proc/[0-9]*/cmdline && found="$found process"
kill -9 PROCESS 2>/dev/null && found="$found kill"
(exec 3<>/dev/tcp/127.0.0.1/PORT) 2>/dev/null && found="$found network"
echo "tried, found:$found"
"#;

const JAVASCRIPT: &str = r#"
const fs = require("fs"), net = require("net");
const found = [];
const attempt = (name, action) => { try { if (action() !== false) found.push(" " + name); } catch {} };
attempt("file", () => fs.readFileSync("BAIT"));
attempt("write", () => fs.writeFileSync("/usr/cellgate-was-here", ""));
attempt("process", () => fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))
  .some((pid) => fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("271828" + 1)));
attempt("kill", () => process.kill(PROCESS, "SIGKILL"));
await new Promise((done) => {
  const socket = net.connect(PORT, "127.0.0.1");
  socket.on("connect", () => { found.push(" network"); socket.destroy(); done(); });
  socket.on("error", done);
});
console.log("tried, found:" + found.join(""));
"#;

/// A session whose sandbox may have programs in these languages.
async fn session(stage: &Stage, languages: &[&str]) -> (Gateway, Client) {
    let settings = format!("other_languages = {languages:?}\n");
    let gateway = Gateway::with_settings(stage.backend, &settings, &[]);
    let client = Client::create(&gateway, "python").await;
    (gateway, client)
}

async fn cell_reaches_nothing(stage: &Stage, language: &str, code: &str) {
    let machine = Machine::new();
    let (gateway, mut client) = session(stage, &[language]).await;
    let open = json!({"type": "open", "id": "other", "kind": "interpreter", "language": language});
    client.send(open).await;
    client.until_of("opened", "other").await;
    let cell = client.run_with(&machine.fill(code), json!({"interpreter": "other"})).await;
    cell.expect("ok", true);
    machine.assert_untouched(&cell.stdout());
    client.end().await;
    gateway.stop().await;
}

async fn javascript_reaches_nothing(stage: &Stage) -> Result<(), Missing> {
    if !["/usr/bin/node", "/usr/local/bin/node"].iter().any(|path| Path::new(path).exists()) {
        return Err(Missing::new("node", "install Node 20 or newer in /usr/bin or /usr/local/bin"));
    }
    cell_reaches_nothing(stage, "javascript", JAVASCRIPT).await;
    Ok(())
}

async fn bash_reaches_nothing(stage: &Stage) {
    cell_reaches_nothing(stage, "bash", SHELL).await;
}

async fn a_process_reaches_nothing(stage: &Stage) {
    let machine = Machine::new();
    let (gateway, mut client) = session(stage, &[]).await;
    let argv = ["bash", "-c", &machine.fill(SHELL)];
    client.send(json!({"type": "open", "id": "p", "kind": "process", "argv": argv})).await;
    client.until_of("opened", "p").await;
    let said = client.next_where(|message| message["program"] == "p").await;
    machine.assert_untouched(text(&said, "text"));
    client.end().await;
    gateway.stop().await;
}
