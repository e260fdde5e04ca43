//! The probe's findings for people.

use std::fmt::Write;

use super::{Probed, Verdict};

/// One backend as a table, a line a check.
pub fn tell(probed: &Probed) -> String {
    let mut text = String::new();
    let counts =
        Verdict::ALL.map(|verdict| format!("{} {}", probed.count(verdict), verdict.text()));
    // Writing to a String cannot fail.
    writeln!(
        text,
        "probe of {}: {} checks: {}, in {:.1} s",
        probed.backend,
        probed.findings.len(),
        counts.join(", "),
        probed.duration_ms as f64 / 1000.0,
    )
    .ok();
    let width = probed.findings.iter().map(|one| one.name.chars().count()).max().unwrap_or(0);
    let mut area = "";
    for finding in &probed.findings {
        if finding.area != area {
            area = finding.area;
            writeln!(text, "\n  {area}").ok();
        }
        let verdict = finding.verdict.text();
        let line = format!("    {verdict:<17}  {:<width$}  {}", finding.name, finding.detail);
        writeln!(text, "{}", line.trim_end()).ok();
        let fine = matches!(finding.verdict, Verdict::Held | Verdict::NotApplicable);
        if !fine && !finding.means.is_empty() {
            writeln!(text, "    {:<17}  {:<width$}  → {}", "", "", finding.means).ok();
        }
    }
    writeln!(text, "\n  fit for {}", probed.label.text()).ok();
    for reason in &probed.reasons {
        writeln!(text, "    - {reason}").ok();
    }
    text
}
