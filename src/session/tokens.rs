//! Who may enter a session, as what, and as whom.
//!
//! ```text
//!   creator's token ──► share link ──► participant's own token ──► share link ─► …
//!   the gateway's ────► share link, participant's own token ──► …
//! ```
//! A share link lets in anybody, each as a participant of its own, who is given a token that is its
//! alone: a client that joins with that one is the same participant. A token ends no later than the
//! one that it was made with, and is revoked with it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::state::ParticipantId;
use crate::id::Token;
use crate::protocol::reply::{Rights, Role};

mod change;
mod errors;
#[cfg(test)]
mod tests;

pub use errors::{ChangeRightsError, GrantError, RevokeError};

/// Most share links that are valid at one time. More would be a leak of links, not a use.
const SHARED: usize = 256;

/// Most participants who have left and may come back with their own token. Beyond it those of the
/// least role are forgotten, of them who left first; their link lets them in anew.
const AWAY: usize = 256;

/// Names a token within its session; no secret.
pub type TokenId = u64;

/// The creator's token, which ends with the session alone.
const CREATOR: TokenId = 1;

/// What lets a participant join a session.
#[derive(Clone, Debug)]
pub enum Credential {
    /// With a token of the session.
    Token(Token),
    /// With the gateway's token, or with none where it asks for none: a new owner.
    Gateway,
}

/// The tokens of one session.
#[derive(Debug)]
pub(super) struct Tokens {
    creator: Token,
    /// By id, rising, the creator's first; parents stand before their children.
    records: Vec<Record>,
    last_id: TokenId,
    /// Counts who left, so that the first is known.
    departures: u64,
    /// Counts the changes of what tokens open and of when they expire.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Record {
    info: TokenInfo,
    token: Token,
    bearer: Bearer,
}

/// Who has a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bearer {
    /// People who got the link.
    Anybody,
    /// A participant who is attached.
    Present(ParticipantId),
    /// A participant who has left, and as which of those who have.
    Away(u64),
}

/// What may be told of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its number in the session.
    pub id: TokenId,
    /// What its bearer may do.
    pub rights: Rights,
    /// When it was made.
    pub created: SystemTime,
    /// When it stops opening anything, for who is in as well; `None`: with the session.
    pub expires: Option<SystemTime>,
    /// The token it was made with; `None`: the gateway's, or it is the creator's.
    pub parent: Option<TokenId>,
    /// Whether it is a share link, which lets in anybody; else it is a participant's own.
    pub link: bool,
    /// The attached participant whose own it is.
    pub participant: Option<ParticipantId>,
}

/// A token, and what may be told of it.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The secret.
    pub token: Token,
    /// The rest.
    pub info: TokenInfo,
}

/// For a look or a change, never across an await.
pub(super) fn lock(tokens: &Mutex<Tokens>) -> MutexGuard<'_, Tokens> {
    // Nothing panics while it holds the lock; if it did, the table is whole all the same.
    tokens.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tokens {
    pub(super) fn new(owner: Token, now: SystemTime) -> Tokens {
        let info = TokenInfo {
            id: CREATOR,
            rights: Role::Owner.into(),
            created: now,
            expires: None,
            parent: None,
            link: false,
            participant: None,
        };
        let creator = Record { info, token: owner.clone(), bearer: Bearer::Away(0) };
        Tokens {
            creator: owner,
            records: vec![creator],
            last_id: CREATOR,
            departures: 0,
            changes: watch::Sender::new(0),
        }
    }

    /// The token that the session's creator has.
    pub(super) fn creator(&self) -> &Token {
        &self.creator
    }

    /// What a token opens now.
    pub(super) fn role(&self, offered: &str, now: SystemTime) -> Option<Role> {
        self.find(offered, now).map(|record| record.info.rights.role)
    }

    /// What one may do now who has this credential; `None`: nothing.
    pub(super) fn rights(&self, entry: &Credential, now: SystemTime) -> Option<Rights> {
        let record = self.of_entry(entry, now)?;
        Some(record.map_or(Role::Owner.into(), |record| record.info.rights))
    }

    /// A number that changes when tokens open less or something else than before, or expire at
    /// another time.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn note_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// When the next token expires.
    pub(super) fn next_expiry(&self) -> Option<SystemTime> {
        self.records.iter().filter_map(|record| record.info.expires).min()
    }

    /// Forgets the tokens that have expired at this time.
    pub(super) fn expire(&mut self, now: SystemTime) {
        let before = self.records.len();
        self.records.retain(|record| record.is_valid(now));
        if self.records.len() < before {
            self.note_change();
        }
    }

    /// Looks at every token, so that the time it takes does not tell which one was nearly right.
    fn find(&self, offered: &str, now: SystemTime) -> Option<&Record> {
        let matching = |record: &&Record| record.token.matches(offered) && record.is_valid(now);
        self.records.iter().filter(matching).fold(None, |found, record| found.or(Some(record)))
    }

    /// The record of the token that a participant joins with; the gateway's has none.
    fn of_entry(&self, entry: &Credential, now: SystemTime) -> Option<Option<&Record>> {
        match entry {
            Credential::Token(token) => self.find(token.reveal(), now).map(Some),
            Credential::Gateway => Some(None),
        }
    }

    /// Makes a share link that ends no later than the token it is made with.
    pub(super) fn grant(
        &mut self,
        entry: &Credential,
        rights: Rights,
        lifetime: Option<Duration>,
        now: SystemTime,
    ) -> Result<Granted, GrantError> {
        self.expire(now);
        let shared = self.records.iter().filter(|record| record.bearer == Bearer::Anybody);
        if shared.count() >= SHARED {
            return Err(GrantError::TooMany);
        }
        if !self.rights(entry, now).ok_or(GrantError::Invalid)?.covers(rights) {
            return Err(GrantError::BeyondOwn);
        }
        let parent = self.of_entry(entry, now).ok_or(GrantError::Invalid)?;
        let parent = parent.map(|record| (record.info.id, record.info.expires));
        let expires = lifetime.and_then(|lifetime| now.checked_add(lifetime));
        let granted = self.add(rights, parent, expires, Bearer::Anybody, now)?;
        // It may be the next to expire.
        self.note_change();
        Ok(granted)
    }

    /// Who comes in by an entry: its role, which decides about seats, and, if it was here before, its own token's number.
    pub(super) fn who(
        &self,
        entry: &Credential,
        now: SystemTime,
    ) -> Option<(Role, Option<TokenId>)> {
        Some(match self.of_entry(entry, now)? {
            None => (Role::Owner, None),
            Some(Record { info, bearer: Bearer::Anybody, .. }) => (info.rights.role, None),
            Some(Record { info, .. }) => (info.rights.role, Some(info.id)),
        })
    }

    /// Lets a participant in: answers its own token, the one it came with or a new one. `None`: the
    /// entry opens nothing any more.
    pub(super) fn admit(
        &mut self,
        entry: &Credential,
        participant: ParticipantId,
        now: SystemTime,
    ) -> Result<Option<Granted>, getrandom::Error> {
        let Some(found) = self.of_entry(entry, now) else { return Ok(None) };
        let bearer = Bearer::Present(participant);
        let parent = match found {
            None => None,
            Some(Record { info, bearer: Bearer::Anybody, .. }) => Some((info.id, info.expires)),
            Some(Record { info, .. }) => {
                let id = info.id;
                return Ok(self.records.iter_mut().find(|one| one.info.id == id).map(|own| {
                    own.bearer = bearer;
                    own.granted()
                }));
            }
        };
        let rights = found.map_or(Role::Owner.into(), |link| link.info.rights);
        self.add(rights, parent, None, bearer, now).map(Some)
    }

    fn add(
        &mut self,
        rights: Rights,
        parent: Option<(TokenId, Option<SystemTime>)>,
        expires: Option<SystemTime>,
        bearer: Bearer,
        now: SystemTime,
    ) -> Result<Granted, getrandom::Error> {
        let token = Token::random()?;
        self.last_id += 1;
        let ends = [parent.and_then(|(_, expires)| expires), expires];
        let info = TokenInfo {
            id: self.last_id,
            rights,
            created: now,
            expires: ends.into_iter().flatten().min(),
            parent: parent.map(|(id, _)| id),
            link: bearer == Bearer::Anybody,
            participant: None,
        };
        let record = Record { info, token, bearer };
        let granted = record.granted();
        self.records.push(record);
        Ok(granted)
    }

    /// A participant has left and may come back with its own token, unless too many have left
    /// since.
    pub(super) fn leave(&mut self, participant: ParticipantId) {
        self.departures += 1;
        let present = Bearer::Present(participant);
        let Some(own) = self.records.iter_mut().find(|record| record.bearer == present) else {
            return;
        };
        own.bearer = Bearer::Away(self.departures);
        let away = |record: &&Record| match record.bearer {
            Bearer::Away(order) if record.info.id != CREATOR => {
                Some((std::cmp::Reverse(record.info.rights.role), order, record.info.id))
            }
            _ => None,
        };
        let all = self.records.iter().filter_map(|record| away(&record));
        if all.clone().count() > AWAY
            && let Some((.., forgotten)) = all.min()
        {
            self.forget(forgotten);
        }
    }

    /// Forgets a token, but not what was made with it.
    fn forget(&mut self, id: TokenId) {
        let Some(at) = self.records.iter().position(|record| record.info.id == id) else { return };
        let parent = self.records.remove(at).info.parent;
        for record in self.records.iter_mut().filter(|record| record.info.parent == Some(id)) {
            record.info.parent = parent;
        }
        self.note_change();
    }

    /// Revokes a token, and all that was made with it. Answers whose own tokens were among them.
    pub(super) fn revoke(&mut self, id: TokenId) -> Result<Vec<ParticipantId>, RevokeError> {
        if id == CREATOR {
            return Err(RevokeError::Creator);
        }
        let mut gone = vec![id];
        for record in &self.records {
            if record.info.parent.is_some_and(|parent| gone.contains(&parent)) {
                gone.push(record.info.id);
            }
        }
        let is_gone = |record: &Record| gone.contains(&record.info.id);
        let is_owner =
            |record: &Record| !record.info.link && record.info.rights.role == Role::Owner;
        if !self.records.iter().any(|record| is_owner(record) && !is_gone(record)) {
            return Err(RevokeError::LastOwner);
        }
        let revoked = self.records.extract_if(.., |record| is_gone(record));
        let revoked: Vec<Record> = revoked.collect();
        if revoked.is_empty() {
            return Err(RevokeError::NoToken);
        }
        self.note_change();
        Ok(revoked.iter().filter_map(|record| record.bearer.present()).collect())
    }

    /// Revokes a participant's own token, and all that was made with it.
    pub(super) fn remove(
        &mut self,
        participant: ParticipantId,
    ) -> Result<Vec<ParticipantId>, RevokeError> {
        let present = Bearer::Present(participant);
        let own = self.records.iter().find(|record| record.bearer == present);
        self.revoke(own.ok_or(RevokeError::NoParticipant)?.info.id)
    }

    /// All that are valid now, in the order they were made.
    pub(super) fn list(&self, now: SystemTime) -> Vec<TokenInfo> {
        let valid = self.records.iter().filter(|record| record.is_valid(now));
        valid.map(|record| record.granted().info).collect()
    }
}

impl Record {
    fn is_valid(&self, now: SystemTime) -> bool {
        self.info.expires.is_none_or(|expires| now < expires)
    }

    fn granted(&self) -> Granted {
        let info = TokenInfo { participant: self.bearer.present(), ..self.info.clone() };
        Granted { token: self.token.clone(), info }
    }
}

impl Bearer {
    fn present(self) -> Option<ParticipantId> {
        match self {
            Bearer::Present(participant) => Some(participant),
            Bearer::Anybody | Bearer::Away(_) => None,
        }
    }
}
