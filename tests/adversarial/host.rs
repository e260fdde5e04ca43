//! A machine that is in trouble: it runs out of disk, descriptors and processes; files and pipes go
//! away under the gateway.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use futures::future::BoxFuture;

use crate::common::backend::program_for;
use crate::common::client::{Client, Closed, DEADLINE, next_frame, open, request, text};
use crate::common::gateway::{Gateway, Launch, command};
use crate::common::http;
use crate::common::suite::{Stage, lives, rows};

/// What a row does.
type Row = for<'a> fn(&'a Stage) -> BoxFuture<'a, ()>;

async fn happens(stage: &Stage, row: Row) {
    row(stage).await;
}

rows![happens:
    kept_output_finds_no_disk "head and tail as always; the download says 410"
        => (|stage| Box::pin(kept_output_finds_no_disk(stage))) as Row,
    the_log_finds_no_disk "a notice `log_disk`; the cell goes on, whoever reads gets all of it"
        => (|stage| Box::pin(the_log_finds_no_disk(stage))) as Row,
    no_descriptor_is_left "newcomers get 1011 with a reference, sessions go on; it recovers"
        => (|stage| Box::pin(no_descriptor_is_left(stage))) as Row,
    the_runtime_directory_goes_away "sessions go on and newcomers come in"
        => (|stage| Box::pin(the_runtime_directory_goes_away(stage))) as Row,
    whoever_reads_the_log_goes_away "nothing"
        => (|stage| Box::pin(started_by(stage, "exec \"$@\" 2> >(head -c 1 >/dev/null)"))) as Row,
    there_is_no_stdin "nothing" => (|stage| Box::pin(started_by(stage, "exec \"$@\" <&-"))) as Row,
    there_is_no_stderr "nothing" => (|stage| Box::pin(started_by(stage, "exec \"$@\" 2>&-"))) as Row,
    the_port_is_taken "exit code 1; the address, and what to do"
        => (|stage| Box::pin(the_port_is_taken(stage))) as Row,
    the_runtime_directory_cannot_be_made "exit code 2, and the directory"
        => (|stage| Box::pin(the_runtime_directory_cannot_be_made(stage))) as Row,
];

/// What needs root to be brought about.
pub(crate) mod root {
    use super::*;

    rows![happens:
        the_logs_disk_becomes_full "a notice `log_disk`; the cell goes on, whoever reads gets all of it"
            => (|stage| Box::pin(the_logs_disk_becomes_full(stage))) as Row,
    ];
}

/// What limits only ordinary users.
pub(crate) mod user {
    use super::*;

    rows![happens:
        no_process_is_left "newcomers get 1011 with a reference, sessions go on; it recovers"
            => (|stage| Box::pin(no_process_is_left(stage))) as Row,
    ];
}

/// A gateway that `wrapper` becomes.
fn wrapped(stage: &Stage, wrapper: &[&str], flags: &[&str]) -> Gateway {
    Gateway::launch(&Launch { backend: stage.backend, settings: "", flags, wrapper })
}

/// Whoever comes now is refused, with a reference to the log.
async fn refuses(gateway: &Gateway) {
    let path = format!("/ws?token={}", gateway.token);
    let (mut stream, _) = open(gateway, request(gateway, &path)).await.unwrap();
    let closed = tokio::time::timeout(DEADLINE, next_frame(&mut stream)).await.unwrap();
    let Closed { code, reason } = closed.unwrap_err();
    assert_eq!(code, 1011, "{reason}");
    let reference = reason.strip_prefix("cannot start a session; the gateway's log says why: ");
    assert!(gateway.log().contains(reference.unwrap()), "{reason}: {}", gateway.log());
}

/// A limit of the gateway's process, by the hand of its own user.
fn limit(gateway: &Gateway, arguments: &[&str]) -> String {
    let pid = gateway.pid.as_raw_nonzero().to_string();
    let mut command = gateway.backend.command(Path::new("prlimit"));
    let done = command.args(["--pid", &pid]).args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// Lowers a limit while a newcomer comes and a session goes on; afterwards all is well.
async fn with_few(gateway: &Gateway, client: &mut Client, resource: &str, most: usize) {
    let before = limit(gateway, &[&format!("--{resource}"), "--output=SOFT", "--noheadings"]);
    limit(gateway, &[&format!("--{resource}={most}:")]);
    refuses(gateway).await;
    assert_eq!(client.run("1+1").await.result(), "2");
    limit(gateway, &[&format!("--{resource}={before}:")]);
    lives(gateway).await;
}

/// In a mount namespace of its own, with a disk of 256 KiB.
const SMALL_DISK: [&str; 6] = [
    "unshare",
    "-m",
    "sh",
    "-c",
    "mount -t tmpfs -o size=256k,mode=1777 none /mnt && exec \"$@\"",
    "sh",
];

/// 8 MiB go by, of which memory holds one.
async fn goes_on_without_its_disk(gateway: Gateway) {
    let mut client = Client::create(&gateway, "python").await;
    let id = client.execute("for _ in range(8 << 10): print('x' * 1023)").await;
    let notice = client.next_where(|event| event["type"] == "notice").await;
    assert_eq!(text(&notice, "code"), "log_disk");
    let cell = client.finish(&id).await;
    cell.expect("ok", true);
    assert_eq!(cell.stdout().len(), 8 << 20);
    client.end().await;
    gateway.stop().await;
}

/// A gateway whose directory for what does not fit into memory went away after its start.
fn without_log_directory(stage: &Stage, flags: &[&str]) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let anyone = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory.path(), anyone).unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    let gateway = stage.own(&[flags, &["--log-directory", &path]].concat());
    directory.close().unwrap();
    gateway
}

async fn the_log_finds_no_disk(stage: &Stage) {
    let flags = ["--event-log", "1MiB"];
    goes_on_without_its_disk(without_log_directory(stage, &flags)).await;
}

async fn the_logs_disk_becomes_full(stage: &Stage) {
    let flags = ["--log-directory", "/mnt", "--event-log", "1MiB", "--log-disk", "64MiB"];
    goes_on_without_its_disk(wrapped(stage, &SMALL_DISK, &flags)).await;
}

async fn kept_output_finds_no_disk(stage: &Stage) {
    let gateway = without_log_directory(stage, &["--output", "64KiB", "--log-disk", "0"]);
    let mut client = Client::create(&gateway, "python").await;
    let id = client.execute("print('x' * 200_000)").await;
    let cell = client.finish(&id).await;
    cell.expect("ok", true);
    assert_eq!(cell.stdout().len(), 64 << 10);
    let path = format!("/v1/sessions/{}/cells/{id}/output", client.session());
    let bearer = format!("Authorization: Bearer {}", gateway.token);
    let answer = http::get(&gateway, &path, &[&bearer]).await;
    assert_eq!(answer.status, 410, "{answer:?}");
    client.end().await;
    gateway.stop().await;
}

async fn no_descriptor_is_left(stage: &Stage) {
    let gateway = stage.own(&["--pool-max", "0"]);
    let mut client = Client::create(&gateway, "python").await;
    let pid = gateway.pid.as_raw_nonzero();
    // A descriptor more is a step further on the way of a session that cannot be.
    for spare in [2, 3, 5] {
        // Lives on while whoever came last is cleaned up after.
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        with_few(&gateway, &mut client, "nofile", open + spare).await;
    }
    client.end().await;
    gateway.stop().await;
}

async fn no_process_is_left(stage: &Stage) {
    let gateway = stage.own(&["--pool-max", "0"]);
    let mut client = Client::create(&gateway, "python").await;
    with_few(&gateway, &mut client, "nproc", 1).await;
    client.end().await;
    gateway.stop().await;
}

async fn the_runtime_directory_goes_away(stage: &Stage) {
    let gateway = stage.own(&["--pool-max", "0"]);
    let mut client = Client::create(&gateway, "python").await;
    for entry in std::fs::read_dir(gateway.runtime_dir()).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    assert_eq!(client.run("1+1").await.result(), "2");
    lives(&gateway).await;
    client.end().await;
    gateway.stop().await;
}

async fn started_by(stage: &Stage, script: &str) {
    let gateway = wrapped(stage, &["bash", "-c", script, "bash"], &["--log", "debug"]);
    for _ in 0..2 {
        lives(&gateway).await;
    }
    gateway.stop().await;
}

/// Runs a gateway that does not come to serve; answers its exit code and what it says.
async fn fails(stage: &Stage, flags: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let program = program_for(stage.backend, directory.path());
    // Another user makes directories in it.
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(directory.path(), all).unwrap();
    let mut command = command(stage.backend, &program, directory.path());
    command.arg("serve").args(stage.backend.flags()).args(flags).stdout(Stdio::null());
    let ended = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(DEADLINE, ended).await.expect("it goes on").unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn the_port_is_taken(stage: &Stage) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = fails(stage, &["--listen", &address, "--runtime-dir", "run"]).await;
    assert_eq!(code, Some(1), "{said}");
    let words = format!("cannot listen on {address}; choose another with --listen");
    assert!(said.contains(&words), "{said}");
}

async fn the_runtime_directory_cannot_be_made(stage: &Stage) {
    let flags = ["--listen", "127.0.0.1:0", "--runtime-dir", "/proc/none/run"];
    let (code, said) = fails(stage, &flags).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("/proc/none/run"), "{said}");
}
