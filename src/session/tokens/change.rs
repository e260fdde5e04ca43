//! Changes of what an attached participant may do.

use std::time::SystemTime;

use super::{
    Bearer, CREATOR, ChangeRightsError, Credential, ParticipantId, Record, TokenId, Tokens,
};
use crate::protocol::reply::{Rights, RightsChange, Role};

impl Tokens {
    /// Changes what a participant may do, now and when it comes back with its own token. Share links
    /// that it made and that give more than it has now are revoked, as it knows them and could let
    /// itself in by one; who came by them stays. Whether `by` is an owner's is asked here, so that one
    /// who was demoted while its request was under way changes nothing.
    pub(in crate::session) fn change_rights(
        &mut self,
        by: &Credential,
        participant: ParticipantId,
        change: RightsChange,
        now: SystemTime,
    ) -> Result<(), ChangeRightsError> {
        if self.rights(by, now).is_none_or(|rights| rights.role != Role::Owner) {
            return Err(ChangeRightsError::NotByOwner);
        }
        let present = Bearer::Present(participant);
        let is_own = |record: &Record| record.bearer == present && record.is_valid(now);
        let at = self.records.iter().position(is_own).ok_or(ChangeRightsError::NoParticipant)?;
        let own = &self.records[at];
        let (id, before) = (own.info.id, own.info.rights);
        let after = change.applied_to(before)?;
        let is_demoted = before.role == Role::Owner && after.role != Role::Owner;
        if is_demoted && !self.records.iter().any(|other| other.is_owner_beside(own, now)) {
            return Err(ChangeRightsError::LastOwner);
        }
        if after == before {
            return Ok(());
        }
        self.records[at].info.rights = after;
        let gives_more = |record: &&Record| {
            let is_link = record.bearer == Bearer::Anybody && record.info.parent == Some(id);
            is_link && !after.covers(record.info.rights)
        };
        let links: Vec<TokenId> =
            self.records.iter().filter(gives_more).map(|record| record.info.id).collect();
        for link in links {
            self.forget(link);
        }
        self.note_change();
        Ok(())
    }

    /// What a participant who is attached may do.
    pub(in crate::session) fn rights_of(&self, participant: ParticipantId) -> Option<Rights> {
        let present = Bearer::Present(participant);
        let own = self.records.iter().find(|record| record.bearer == present)?;
        Some(own.info.rights)
    }
}

impl Record {
    /// Whether the session keeps an owner by this token when that of `other` is none any more, for as
    /// long as the other is valid. The creator may come back at any time; of those who have left,
    /// nobody else is counted on, nor is anybody who has got a link.
    fn is_owner_beside(&self, other: &Record, now: SystemTime) -> bool {
        let is_another = self.info.id != other.info.id && self.info.rights.role == Role::Owner;
        let is_here = self.bearer.present().is_some() || self.info.id == CREATOR;
        let outlasts = match (self.info.expires, other.info.expires) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(this), Some(other)) => this >= other,
        };
        is_another && is_here && outlasts && self.is_valid(now)
    }
}
