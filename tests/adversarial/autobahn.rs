//! Cases of the Autobahn TestSuite, run by kosoku from PyPI: sections 1 to 7 and 10, each by
//! participants of one session. Section 9 measures how fast a server echoes megabytes, 12 and 13 are
//! about compression, which the gateway does not offer.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::common::client::text;
use crate::common::require::Missing;
use crate::common::suite::{Stage, rows};

/// The script that has kosoku run cases, and knows what a gateway says instead of an echo.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/adversarial/autobahn.py");

/// Cases that may come out as non-strict: the answer to a message that came right before a breach may
/// be lost to the close (3, 4, 5), and a text is judged a frame at a time (6). What 7.1.6 and 7.13 find
/// is for information.
const LENIENT: &[&str] = &[
    "3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15", "6.4.3",
    "6.4.4", "7.1.6", "7.13.1", "7.13.2",
];

rows![passes:
    section_1_framing "16 cases: 0 to 65536 bytes of text and binary; each message is answered once"
        => ("1.*", 16),
    section_2_pings_and_pongs "11 cases: up to 125 bytes come back; a longer ping closes 1002"
        => ("2.*", 11),
    section_3_reserved_bits "7 cases: close 1002" => ("3.*", 7),
    section_4_opcodes "10 cases: reserved opcodes close 1002" => ("4.*", 10),
    section_5_fragmentation "20 cases: pings between fragments are answered; fragments of nothing close 1002"
        => ("5.*", 20),
    section_6_text_that_is_not_utf_8 "145 cases: what is valid is answered, what is not closes 1007"
        => ("6.*", 145),
    section_7_closing "37 cases: a close is answered with its code, one that is not allowed with 1002"
        => ("7.*", 37),
    section_10_a_message_in_many_frames "1 case: answered once" => ("10.*", 1),
];

/// The interpreter that has kosoku: `scripts/ci-packages` makes it.
fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("kosoku/bin/python")
}

async fn passes(stage: &Stage, (cases, number): (&str, usize)) -> Result<(), Missing> {
    let python = python();
    if !python.exists() {
        let reason = format!("no {}; scripts/ci-packages installs it", python.display());
        return Err(Missing::new("kosoku", reason));
    }
    let mut owner = stage.session().await;
    let address = stage.gateway().address;
    let (session, token) = (text(&owner.ready, "session"), &stage.gateway().token);
    let url = format!("ws://{address}/ws?session={session}&token={token}");
    let mut run = Command::new(python);
    run.arg(SCRIPT).arg(url).arg(cases).stdin(Stdio::null()).kill_on_drop(true);
    let output = run.output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    let lines = String::from_utf8(output.stdout).unwrap();
    let results: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(results.len(), number);
    for result in results {
        let strict = result["behavior"] == "OK" && result["close"] == "OK";
        let lenient = LENIENT.contains(&text(&result, "case"));
        assert!(result["passed"] == true && (strict || lenient), "{result:#}");
    }
    owner.run("6 * 7").await.expect("ok", true);
    owner.end().await;
    Ok(())
}
