//! Which code a backend is fit to run, and why not less trusted code.

use serde::Serialize;

use super::{Finding, Verdict};
use crate::sandbox::{Enforcement, EnforcementState, Kernel, Protection};

/// How far the code that a backend may run has to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// Code of strangers, who may want to break out.
    Untrusted,
    /// Code of people or models that should not have a shell, but are not expected to bring an
    /// exploit for the kernel.
    SemiTrusted,
    /// Only the operator's own code: a check that must hold does not.
    Unfit,
}

impl Label {
    /// In a few words.
    pub fn text(self) -> &'static str {
        match self {
            Label::Untrusted => "untrusted code",
            Label::SemiTrusted => "semi-trusted code",
            Label::Unfit => "no code but your own: checks that must hold do not",
        }
    }
}

/// Without these one session can take the machine from all others, whatever kernel it has.
const SHARED_RESOURCES: [Protection; 3] =
    [Protection::MemoryLimit, Protection::CpuLimit, Protection::ProcessLimit];

/// Protections that say nothing more where the kernel is gVisor's.
const COVERED_BY_GVISOR: [Protection; 2] = [Protection::UserNamespace, Protection::OwnUser];

pub(super) fn assess(
    kernel: Kernel,
    enforcement: &[Enforcement],
    findings: &[Finding],
) -> (Label, Vec<String>) {
    let mut reasons = Vec::new();
    let mut label = Label::Untrusted;
    if kernel == Kernel::Shared {
        label = Label::SemiTrusted;
        reasons.push(
            "code talks to the machine's own kernel: a bug in what the filter lets through is a \
             way out; gVisor or a virtual machine around it is what strangers' code wants"
                .to_owned(),
        );
    } else {
        reasons.push("code talks to gVisor's kernel, not to the machine's".to_owned());
    }
    for entry in enforcement {
        let (why, missing) = match &entry.state {
            EnforcementState::Full(_) => continue,
            EnforcementState::Partial { by, .. } => (by, false),
            EnforcementState::Missing { why, .. } => (why, true),
        };
        let shared = SHARED_RESOURCES.contains(&entry.protection);
        if shared && label == Label::Untrusted {
            label = Label::SemiTrusted;
        }
        let strength = if missing { "not in force" } else { "only partly in force" };
        if missing || !COVERED_BY_GVISOR.contains(&entry.protection) || kernel == Kernel::Shared {
            reasons.push(format!("{} {strength}: {why}", entry.name));
        }
    }
    let failed: Vec<&str> = findings
        .iter()
        .filter(|finding| matches!(finding.verdict, Verdict::Open | Verdict::Broken))
        .map(|finding| finding.name.as_str())
        .collect();
    if !failed.is_empty() {
        label = Label::Unfit;
        reasons.insert(0, format!("does not hold: {}", failed.join(", ")));
    }
    (label, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::BackendKind;

    fn entry(protection: Protection, full: bool) -> Enforcement {
        let state = match full {
            true => EnforcementState::Full(String::new()),
            false => EnforcementState::Missing { why: "x".into(), remedy: String::new() },
        };
        Enforcement { protection, name: protection.name(BackendKind::Local), state }
    }

    fn finding(verdict: Verdict) -> Finding {
        let text = String::new;
        Finding { area: "files", name: "n".into(), verdict, detail: text(), means: text() }
    }

    #[test]
    fn the_best_label_wants_a_kernel_of_its_own_and_every_limit() {
        let full = [entry(Protection::MemoryLimit, true), entry(Protection::CpuLimit, true)];
        let held = [finding(Verdict::Held), finding(Verdict::Unclaimed)];
        assert_eq!(assess(Kernel::Own, &full, &held).0, Label::Untrusted);
        assert_eq!(assess(Kernel::Shared, &full, &held).0, Label::SemiTrusted);
        let (label, reasons) = assess(Kernel::Own, &[entry(Protection::CpuLimit, false)], &held);
        assert_eq!(label, Label::SemiTrusted);
        assert!(reasons.iter().any(|reason| reason.starts_with("CPU limit not in force")));
    }

    #[test]
    fn what_escapes_or_is_not_known_spoils_every_label() {
        for verdict in [Verdict::Open, Verdict::Broken] {
            let (label, reasons) = assess(Kernel::Own, &[], &[finding(verdict)]);
            assert_eq!(label, Label::Unfit);
            assert!(reasons[0].contains('n'), "{reasons:?}");
        }
    }
}
