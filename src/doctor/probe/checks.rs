//! The checks' sources, and how what they print is read.

use std::collections::HashMap;

use anyhow::Result;
use serde::Deserialize;

use super::bait::Bait;
use super::{Finding, Told, Verdict};
use crate::sandbox::{Enforcement, Protection};

const PRELUDE: &str = include_str!("prelude.py");
const NEIGHBOUR: &str = include_str!("neighbour.py");

/// Begins each line that is meant for us.
const MARK: &str = "\u{1f}probe ";

/// Checks that run one after the other as one cell; the rest of them as another one, in a new
/// session, if one of them ends the interpreter.
pub(super) struct Area {
    name: &'static str,
    source: &'static str,
}

/// Every area.
pub(super) const AREAS: &[Area] = &[
    Area { name: "network", source: include_str!("network.py") },
    Area { name: "files", source: include_str!("files.py") },
    Area { name: "privileges", source: include_str!("privileges.py") },
    Area { name: "information", source: include_str!("information.py") },
    Area { name: "limits", source: include_str!("limits.py") },
];

/// Names of every check.
pub fn names() -> Vec<&'static str> {
    AREAS.iter().flat_map(Area::names).collect()
}

/// The cell that leaves the neighbour session's traces.
pub(super) fn neighbour(bait: &Bait) -> Result<String> {
    Ok(bait.facts()? + NEIGHBOUR)
}

/// One line of an area's cell.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Begin {
        begin: String,
        means: String,
        needs: Option<String>,
        ends: Vec<String>,
    },
    End {
        end: String,
        verdict: Verdict,
        detail: String,
    },
    /// All were carried out.
    Complete {
        #[serde(rename = "complete")]
        _complete: bool,
    },
}

impl Area {
    /// The cell that carries out its checks but those that have been.
    pub(super) fn code(&self, bait: &Bait, been: &[Finding]) -> Result<String> {
        let been: Vec<_> = been.iter().map(|finding| finding.name.as_str()).collect();
        // An array of strings in JSON is one in Python too.
        let been = serde_json::to_string(&been)?;
        Ok(format!("{}{PRELUDE}\n{}\nrun_all({been})\n", bait.facts()?, self.source))
    }

    /// Names of its checks as its source declares them, so that none is lost unnoticed.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.source.lines().filter_map(|line| {
            let rest = line.strip_prefix("@check(").or_else(|| line.strip_prefix("table("))?;
            let quote = rest.chars().next()?;
            rest[1..].split(quote).next()
        })
    }

    /// A finding for every check that its cell began.
    pub(super) fn findings(&self, told: &Told, enforcement: &[Enforcement]) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        let mut terms: HashMap<String, (Option<String>, Vec<String>)> = HashMap::new();
        let lines = told.stdout.lines().filter_map(|line| line.strip_prefix(MARK));
        for line in lines.filter_map(|line| serde_json::from_str(line).ok()) {
            match line {
                Line::Begin { begin, means, needs, ends } => {
                    let why = format!("the cell ended: {} ({})", told.status, told.error);
                    findings.push(self.finding(&begin, Verdict::Broken, why, means));
                    terms.insert(begin, (needs, ends));
                }
                Line::End { end, verdict, detail } => {
                    if let Some(last) = findings.last_mut().filter(|last| last.name == end) {
                        (last.verdict, last.detail) = (verdict, detail);
                        terms.entry(end).and_modify(|(_, ends)| ends.clear());
                    }
                }
                Line::Complete { .. } => {}
            }
        }
        for finding in &mut findings {
            let Some((needs, ends)) = terms.get(&finding.name) else { continue };
            if finding.verdict == Verdict::Broken && ends.contains(&told.status) {
                finding.verdict = Verdict::Held;
                finding.detail = format!("the cell ended: {}", told.status);
            }
            let gap = needs.as_deref().and_then(|needs| gap(needs, enforcement));
            if let Some(gap) = gap.filter(|_| finding.verdict == Verdict::Open) {
                finding.verdict = Verdict::Unclaimed;
                finding.detail = format!("{}: {gap}", finding.detail);
            }
        }
        findings
    }

    /// Whether every check has been carried out.
    pub(super) fn is_done(&self, been: &[Finding]) -> bool {
        self.names().all(|name| been.iter().any(|finding| finding.name == name))
    }

    /// A finding for every check that has not been carried out, for its cell came to this.
    pub(super) fn rest(&self, been: &[Finding], told: &Told) -> Vec<Finding> {
        let why = format!("not carried out: {} {}", told.status, told.error);
        self.names()
            .filter(|name| !been.iter().any(|finding| finding.name == *name))
            .map(|name| self.finding(name, Verdict::Broken, why.clone(), String::new()))
            .collect()
    }

    fn finding(&self, name: &str, verdict: Verdict, detail: String, means: String) -> Finding {
        Finding { area: self.name, name: name.to_owned(), verdict, detail, means }
    }
}

/// Why the protection of that name is not fully in force here.
fn gap(name: &str, enforcement: &[Enforcement]) -> Option<String> {
    let protection = Protection::named(name)?;
    let found = enforcement.iter().find(|entry| entry.protection == protection)?;
    found.state.shortfall().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::EnforcementState;

    const AREA: Area = Area { name: "limits", source: "@check('a', 'm')\n@check(\"b\", 'm')\n" };

    fn told(lines: &[&str], status: &str) -> Told {
        let stdout = lines.iter().map(|line| format!("{MARK}{line}\n")).collect();
        Told { stdout, error: "why".into(), status: status.into() }
    }

    fn verdicts(lines: &[&str], status: &str, enforcement: &[Enforcement]) -> Vec<Verdict> {
        let told = told(lines, status);
        let mut findings = AREA.findings(&told, enforcement);
        findings.extend(AREA.rest(&findings, &told));
        findings.into_iter().map(|finding| finding.verdict).collect()
    }

    const BEGIN_A: &str =
        r#"{"begin": "a", "means": "m", "needs": "memory limit", "ends": ["oom"]}"#;
    const OPEN_A: &str = r#"{"end": "a", "verdict": "open", "detail": "d"}"#;
    const BEGIN_B: &str = r#"{"begin": "b", "means": "m", "needs": null, "ends": []}"#;
    const HELD_B: &str = r#"{"end": "b", "verdict": "held", "detail": "d"}"#;

    #[test]
    fn there_are_enough_checks_and_each_name_is_its_own() {
        let mut names = names();
        assert!(names.len() >= 60, "{}", names.len());
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn what_did_not_end_is_no_success() {
        use Verdict::{Broken, Held, Open};
        let full = [BEGIN_A, OPEN_A, BEGIN_B, HELD_B];
        assert_eq!(verdicts(&full, "ok", &[]), [Open, Held]);
        assert_eq!(verdicts(&full[..2], "ok", &[]), [Open, Broken]);
        assert_eq!(verdicts(&[], "lost", &[]), [Broken, Broken]);
        assert_eq!(verdicts(&[BEGIN_B], "oom", &[]), [Broken, Broken]);
        // An end that a check expects is its success, and of no other one.
        assert_eq!(verdicts(&[BEGIN_B, HELD_B, BEGIN_A], "oom", &[]), [Held, Held]);
        assert_eq!(verdicts(&[BEGIN_B, HELD_B, BEGIN_A], "lost", &[]), [Held, Broken]);
    }

    #[test]
    fn what_is_known_to_be_missing_is_named_and_nothing_else_is_excused() {
        let entry = |state| {
            [Enforcement { protection: Protection::MemoryLimit, name: "memory limit", state }]
        };
        let missing =
            entry(EnforcementState::Missing { why: "no cgroups".into(), remedy: String::new() });
        let lines = [BEGIN_A, OPEN_A, BEGIN_B, HELD_B];
        let findings = AREA.findings(&told(&lines, "ok"), &missing);
        assert_eq!(findings[0].verdict, Verdict::Unclaimed);
        assert!(findings[0].detail.contains("no cgroups"));
        let full = entry(EnforcementState::Full(String::new()));
        assert_eq!(AREA.findings(&told(&lines, "ok"), &full)[0].verdict, Verdict::Open);
    }
}
