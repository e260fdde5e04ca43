//! The same tests as an ordinary user.

use std::process::Command;

use super::*;

/// Set in the second run, so that it does not start a third.
const SECOND: &str = "CELLGATE_TEST_AGAIN";

/// A user id without an account, whose processes and quotas are therefore the test's alone.
const USER: &str = "64123";

#[test]
fn everything_again_as_an_ordinary_user() {
    if std::env::var_os(SECOND).is_some() || !rustix::process::geteuid().is_root() {
        return;
    }
    // A copy where the other user can reach it.
    let dir = tempfile::Builder::new().prefix("cellgate-test-").tempdir_in("/tmp").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let program = dir.path().join("jail");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = Command::new("setpriv")
        .args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"])
        .arg(&program)
        // One at a time: without cgroups a test tells its sandbox from another's by being newest.
        .args(["--test-threads=1", "--nocapture"])
        .current_dir(dir.path())
        .env(SECOND, "1")
        .env("TMPDIR", dir.path())
        // Some limits need root or a delegated cgroup: their absence is tested, not a failure.
        .env_remove("CELLGATE_REQUIRE")
        .output();
    let Ok(run) = run else {
        return skip("there is no setpriv to become an ordinary user with");
    };
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "as user {USER}:\n{out}\n{err}");
    let ran = out.lines().filter(|line| line.contains("... ok")).count();
    assert!(ran > 10, "only {ran} tests ran as user {USER}:\n{out}");
    if err.contains("does not allow sandboxes") {
        skip("this machine gives ordinary users no namespaces");
    }
}
