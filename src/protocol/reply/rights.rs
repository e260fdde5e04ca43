//! What a participant may do in a session: its role, and what is withheld from an editor.

use serde::Serialize;

/// What a participant may do; who may do more comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Role {
    /// Everything.
    Owner,
    /// Execute, interrupt, answer input, move files, edit the document; less if `run` or `edit` is
    /// withheld.
    Editor,
    /// Watch.
    Viewer,
}

impl Role {
    /// Whether it may do what needs the role `least`.
    pub fn covers(self, least: Role) -> bool {
        match least {
            Role::Viewer => true,
            Role::Editor => self != Role::Viewer,
            Role::Owner => self == Role::Owner,
        }
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Editor => "editor",
            Role::Viewer => "viewer",
        }
    }
}

/// A role, and which of an editor's rights are withheld. `run` and `edit` are `true` for owners and
/// viewers, whatever those may do: [`Rights::may_run`] and [`Rights::may_edit_document`] answer for
/// all roles. On the wire these are fields beside others; `run` and `edit` appear only as `false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Rights {
    /// The role.
    pub role: Role,
    /// `false` for an editor who may not run: it executes, interrupts and answers no cells, says
    /// nothing on comms and changes no files. Absent otherwise.
    #[serde(skip_serializing_if = "is_true")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub run: bool,
    /// `false` for an editor who may not change the document. Absent otherwise.
    #[serde(skip_serializing_if = "is_true")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub edit: bool,
}

impl From<Role> for Rights {
    /// All that the role gives.
    fn from(role: Role) -> Rights {
        Rights { role, run: true, edit: true }
    }
}

impl Rights {
    /// Whether it may run cells, and do what goes with that.
    pub fn may_run(self) -> bool {
        self.role.covers(Role::Editor) && self.run
    }

    /// Whether it may change the document.
    pub fn may_edit_document(self) -> bool {
        self.role.covers(Role::Editor) && self.edit
    }

    /// Whether it may do all that `other` may.
    pub fn covers(self, other: Rights) -> bool {
        self.role.covers(other.role)
            && self.may_run() >= other.may_run()
            && self.may_edit_document() >= other.may_edit_document()
    }
}

/// Changes to what somebody may do; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RightsChange {
    /// The role.
    pub role: Option<Role>,
    /// See [`Rights::run`].
    pub run: Option<bool>,
    /// See [`Rights::edit`].
    pub edit: Option<bool>,
}

/// Why there are no such rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RightsError {
    /// An editor would be left with nothing.
    #[error("an editor has at least one of `run` and `edit`; make it a viewer to withhold both")]
    Nothing,
    /// An owner may do everything.
    #[error("an owner runs and edits; make it an editor to withhold `run` or `edit`")]
    OwnersHaveAll,
    /// A viewer may only watch.
    #[error("a viewer neither runs nor edits; make it an editor to give `run` or `edit`")]
    ViewersHaveNone,
}

impl RightsChange {
    /// What somebody may do after the change who could do this before. Rights that were withheld
    /// from an editor stay withheld while it is one.
    pub fn applied_to(self, before: Rights) -> Result<Rights, RightsError> {
        let role = self.role.unwrap_or(before.role);
        let flags = [self.run, self.edit];
        match role {
            Role::Owner if flags.contains(&Some(false)) => Err(RightsError::OwnersHaveAll),
            Role::Viewer if flags.contains(&Some(true)) => Err(RightsError::ViewersHaveNone),
            Role::Owner | Role::Viewer => Ok(role.into()),
            Role::Editor => {
                let run = self.run.unwrap_or(before.run);
                let edit = self.edit.unwrap_or(before.edit);
                if run || edit { Ok(Rights { role, run, edit }) } else { Err(RightsError::Nothing) }
            }
        }
    }
}

fn is_true(flag: &bool) -> bool {
    *flag
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: Rights = Rights { role: Role::Editor, run: true, edit: false };
    const EDITS: Rights = Rights { role: Role::Editor, run: false, edit: true };

    #[test]
    fn a_role_covers_itself_and_what_is_below() {
        let roles = [Role::Owner, Role::Editor, Role::Viewer];
        for (has, allowed) in
            roles.into_iter().zip([[true, true, true], [false, true, true], [false, false, true]])
        {
            assert_eq!(roles.map(|least| has.covers(least)), allowed, "{has:?}");
        }
    }

    #[test]
    fn rights_follow_from_the_role_and_what_is_withheld() {
        let all: [Rights; 5] =
            [Role::Owner.into(), Role::Editor.into(), RUNS, EDITS, Role::Viewer.into()];
        let may = all.map(|rights| (rights.may_run(), rights.may_edit_document()));
        assert_eq!(may, [(true, true), (true, true), (true, false), (false, true), (false, false)]);
        for (has, covered) in all.into_iter().zip([
            [true, true, true, true, true],
            [false, true, true, true, true],
            [false, false, true, false, true],
            [false, false, false, true, true],
            [false, false, false, false, true],
        ]) {
            assert_eq!(all.map(|other| has.covers(other)), covered, "{has:?}");
        }
    }

    #[test]
    fn what_is_not_withheld_is_not_on_the_wire() {
        let json = |rights: Rights| serde_json::to_string(&rights).unwrap();
        assert_eq!(json(Role::Viewer.into()), r#"{"role":"viewer"}"#);
        assert_eq!(json(RUNS), r#"{"role":"editor","edit":false}"#);
        assert_eq!(json(EDITS), r#"{"role":"editor","run":false}"#);
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name_and_contradicts_no_role() {
        let change = |role, run, edit| RightsChange { role, run, edit };
        let (owner, viewer): (Rights, Rights) = (Role::Owner.into(), Role::Viewer.into());
        for (before, change, after) in [
            (EDITS, change(None, None, None), Ok(EDITS)),
            (EDITS, change(Some(Role::Editor), None, None), Ok(EDITS)),
            (EDITS, change(None, Some(true), Some(false)), Ok(RUNS)),
            (EDITS, change(None, None, Some(false)), Err(RightsError::Nothing)),
            (EDITS, change(Some(Role::Viewer), None, None), Ok(viewer)),
            (viewer, change(Some(Role::Editor), Some(false), None), Ok(EDITS)),
            (viewer, change(None, Some(true), None), Err(RightsError::ViewersHaveNone)),
            (viewer, change(None, Some(false), Some(false)), Ok(viewer)),
            (owner, change(Some(Role::Editor), None, Some(false)), Ok(RUNS)),
            (owner, change(None, None, Some(false)), Err(RightsError::OwnersHaveAll)),
            (RUNS, change(Some(Role::Owner), None, None), Ok(owner)),
        ] {
            assert_eq!(change.applied_to(before), after, "{before:?} {change:?}");
        }
    }
}
