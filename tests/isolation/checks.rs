//! The probe's checks, `cellgate doctor --probe`, gate every backend: the table of what must hold
//! is in src/doctor/probe, and nowhere else.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::common::backend::{NOBODY, is_root, program_for};
use crate::common::gateway::command;
use crate::common::suite::{Stage, cases};
use cellgate::doctor::probe;

cases![every_check_of_the_probe_holds];

async fn every_check_of_the_probe_holds(stage: &Stage) {
    let probed = probe_of(stage).await;
    let findings = probed["findings"].as_array().unwrap();
    assert!(findings.len() >= 60);
    let mut names: Vec<_> = findings.iter().map(|finding| finding["name"].as_str()).collect();
    let mut known: Vec<_> = probe::names().into_iter().map(Some).collect();
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(names, known);
    let wrong: Vec<_> = findings
        .iter()
        .filter(|finding| ["open", "broken"].contains(&finding["verdict"].as_str().unwrap()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A backend may leave a few checks unclaimed; most must hold.
    let held = findings.iter().filter(|finding| finding["verdict"] == "held").count();
    assert!(held * 10 >= findings.len() * 8, "{held} of {} hold", findings.len());
    let label = probed["label"].as_str().unwrap();
    let best = if stage.backend.is_gvisor() { "untrusted" } else { "semi-trusted" };
    assert!([best, "semi-trusted"].contains(&label), "{label}");
}

/// What the program says of this backend.
async fn probe_of(stage: &Stage) -> Value {
    let home = tempfile::Builder::new().prefix("cellgate-test-").tempdir().unwrap();
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let runtime = home.path().join("run");
    std::fs::create_dir(&runtime).unwrap();
    if stage.backend.command("x".as_ref()).get_program() == "setpriv" && is_root() {
        std::os::unix::fs::chown(&runtime, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let program = program_for(stage.backend, home.path());
    let mut command = command(stage.backend, &program, home.path());
    command.args(["doctor", "--probe", "--json"]).args(stage.backend.flags());
    command.arg("--runtime-dir").arg(&runtime);
    if stage.backend.is_docker() && !stage.backend.is_gvisor() {
        // Not the other runtime too, which has a backend of its own here.
        command.args(["--docker-runtime", "runc"]);
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let probed = told["probed"].as_array().unwrap();
    assert_eq!(probed.len(), 1, "{probed:#?}");
    let holds = ["open", "broken"].iter().all(|bad| {
        probed[0]["findings"].as_array().unwrap().iter().all(|finding| finding["verdict"] != *bad)
    });
    // The exit code says the same.
    assert_eq!(output.status.success(), holds, "{}", output.status);
    probed[0].clone()
}
