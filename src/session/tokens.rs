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

/// Why there is no new token.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// Too many are valid.
    #[error(
        "{SHARED} share tokens of this session are valid already; revoke one or let some expire"
    )]
    TooMany,
    /// The token it would be made with has expired or was revoked meanwhile.
    #[error("the token to make it with is not valid any more")]
    Invalid,
    /// The token it would be made with gives less, since it was changed.
    #[error("the token to make it with gives less than this; ask an owner for the right to share")]
    BeyondOwn,
    /// The kernel gives no randomness.
    #[error("cannot make a token")]
    Random(#[from] getrandom::Error),
}

/// Why a token is not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// There is none, or none any more.
    #[error("there is no token of this number; it may have expired or been revoked")]
    NoToken,
    /// No participant is attached under this number.
    #[error("there is no participant of this number; `participants` tells who is attached")]
    NoParticipant,
    /// It is the creator's.
    #[error("this is the token of the session's creator, which ends with the session; end that")]
    Creator,
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
        let revoked = self.records.extract_if(.., |record| gone.contains(&record.info.id));
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

#[cfg(test)]
mod tests {
    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;
    const MINUTE: Duration = Duration::from_secs(60);

    fn tokens() -> (Tokens, Credential) {
        let owner = Token::new("o");
        (Tokens::new(owner.clone(), START), Credential::Token(owner))
    }

    fn by(granted: &Granted) -> Credential {
        Credential::Token(granted.token.clone())
    }

    #[test]
    fn a_token_gives_its_role_until_it_expires() {
        let (mut tokens, owner) = tokens();
        assert_eq!(tokens.role("o", START), Some(Role::Owner));
        assert_eq!(tokens.role("", START), None);
        let viewer = tokens.grant(&owner, Role::Viewer.into(), Some(MINUTE), START).unwrap();
        let editor = tokens.grant(&owner, Role::Editor.into(), None, START).unwrap();
        let role = |granted: &Granted, at| tokens.role(granted.token.reveal(), at);
        assert_eq!(role(&viewer, START), Some(Role::Viewer));
        assert_eq!(role(&viewer, START + MINUTE), None);
        assert_eq!(role(&editor, START + 9 * MINUTE), Some(Role::Editor));
    }

    #[test]
    fn a_credential_has_the_rights_of_its_token_and_the_gateways_is_an_owners() {
        let (mut tokens, owner) = tokens();
        let runs = Rights { role: Role::Editor, run: true, edit: false };
        let link = tokens.grant(&owner, runs, Some(MINUTE), START).unwrap();
        let own = tokens.admit(&by(&link), 1, START).unwrap().unwrap();
        assert_eq!(own.info.rights, runs);
        assert_eq!(tokens.rights(&by(&own), START), Some(runs));
        assert_eq!(tokens.rights(&by(&own), START + MINUTE), None);
        assert_eq!(tokens.rights(&Credential::Gateway, START), Some(Role::Owner.into()));
        // No token gives more than the one it is made with.
        let more = tokens.grant(&by(&own), Role::Editor.into(), None, START);
        assert!(matches!(more, Err(GrantError::BeyondOwn)), "{more:?}");
        assert!(tokens.grant(&by(&own), runs, None, START).is_ok());
    }

    #[test]
    fn whoever_asked_is_told_when_tokens_open_less() {
        let (mut tokens, owner) = tokens();
        let mut changes = tokens.changes();
        let mut have_changed = || {
            let changed = changes.has_changed().unwrap();
            changes.mark_unchanged();
            changed
        };
        let link = tokens.grant(&owner, Role::Viewer.into(), Some(MINUTE), START).unwrap();
        let other = tokens.grant(&owner, Role::Viewer.into(), Some(2 * MINUTE), START).unwrap();
        assert!(have_changed(), "one of them is the next to expire");
        tokens.admit(&by(&other), 1, START).unwrap();
        tokens.expire(START);
        assert!(!have_changed());
        assert_eq!(tokens.next_expiry(), Some(START + MINUTE));
        tokens.expire(START + MINUTE);
        assert!(have_changed());
        assert_eq!(tokens.revoke(link.info.id), Err(RevokeError::NoToken));
        assert!(!have_changed());
        tokens.remove(1).unwrap();
        assert!(have_changed());
        tokens.revoke(other.info.id).unwrap();
        assert!(have_changed());
    }

    #[test]
    fn tokens_are_bounded_and_the_expired_make_room() {
        let (mut tokens, owner) = tokens();
        let mut grant = |lifetime, at| tokens.grant(&owner, Role::Viewer.into(), lifetime, at);
        for _ in 0..SHARED {
            grant(Some(MINUTE), START).unwrap();
        }
        assert!(matches!(grant(None, START), Err(GrantError::TooMany)));
        assert!(grant(None, START + MINUTE).is_ok());
    }

    #[test]
    fn what_is_made_with_a_token_ends_no_later_and_is_revoked_with_it() {
        let (mut tokens, owner) = tokens();
        let link = tokens.grant(&owner, Role::Owner.into(), Some(MINUTE), START).unwrap();
        let other = tokens.grant(&owner, Role::Viewer.into(), None, START).unwrap();
        let own = tokens.admit(&by(&link), 7, START).unwrap().unwrap();
        assert_ne!(own.token.reveal(), link.token.reveal());
        for lifetime in [None, Some(9 * MINUTE), Some(MINUTE / 2)] {
            let child = tokens.grant(&by(&own), Role::Owner.into(), lifetime, START).unwrap().info;
            let most = lifetime.unwrap_or(MINUTE).min(MINUTE);
            assert_eq!((child.expires, child.parent), (Some(START + most), Some(own.info.id)));
        }
        let join = tokens.list(START).pop().unwrap();
        assert_eq!(join.parent, Some(own.info.id));
        assert_eq!(tokens.list(START).len(), 7);
        assert_eq!(tokens.revoke(link.info.id), Ok(vec![7]));
        let left: Vec<_> = tokens.list(START).iter().map(|info| info.id).collect();
        assert_eq!(left, [CREATOR, other.info.id]);
        assert_eq!(tokens.revoke(link.info.id), Err(RevokeError::NoToken));
        assert_eq!(tokens.revoke(CREATOR), Err(RevokeError::Creator));
        assert!(tokens.admit(&by(&own), 8, START).unwrap().is_none());
        let grant = tokens.grant(&by(&link), Role::Viewer.into(), None, START);
        assert!(matches!(grant, Err(GrantError::Invalid)));
    }

    #[test]
    fn a_participant_is_its_own_token_and_two_by_one_link_are_two() {
        let (mut tokens, owner) = tokens();
        let link = tokens.grant(&owner, Role::Editor.into(), None, START).unwrap();
        let ada = tokens.admit(&by(&link), 1, START).unwrap().unwrap();
        let bob = tokens.admit(&by(&link), 2, START).unwrap().unwrap();
        assert_ne!(ada.info.id, bob.info.id);
        assert_eq!([&link, &ada, &bob].map(|one| one.info.link), [true, false, false]);
        assert_eq!(tokens.who(&by(&link), START), Some((Role::Editor, None)));
        assert_eq!(tokens.who(&by(&ada), START), Some((Role::Editor, Some(ada.info.id))));
        assert_eq!(tokens.who(&Credential::Gateway, START), Some((Role::Owner, None)));
        let back = tokens.admit(&by(&ada), 3, START).unwrap().unwrap();
        assert_eq!((back.info.id, back.token.reveal()), (ada.info.id, ada.token.reveal()));
        // Whom one is known by is the newest connection.
        assert_eq!(tokens.remove(1), Err(RevokeError::NoParticipant));
        assert_eq!(tokens.remove(3), Ok(vec![3]));
        assert!(tokens.role(bob.token.reveal(), START).is_some());
    }

    #[test]
    fn of_those_who_left_the_least_and_oldest_are_forgotten_but_not_what_they_made() {
        let (mut tokens, owner) = tokens();
        tokens.admit(&owner, 1, START).unwrap();
        tokens.leave(1);
        let ada = tokens.admit(&Credential::Gateway, 2, START).unwrap().unwrap();
        tokens.leave(2);
        let link = tokens.grant(&by(&ada), Role::Viewer.into(), None, START).unwrap();
        let mut viewers = Vec::new();
        for number in 3..3 + AWAY as u32 + 10 {
            viewers.push(tokens.admit(&by(&link), number, START).unwrap().unwrap());
            tokens.leave(number);
        }
        let known = |one: &Granted| tokens.role(one.token.reveal(), START).is_some();
        assert!(known(&ada) && known(&link), "an owner stays");
        assert_eq!(viewers.iter().map(known).filter(|known| !known).count(), 11);
        assert!(!known(&viewers[10]) && known(&viewers[11]));
        assert_eq!(tokens.list(START).len(), 2 + AWAY);
        // One who is forgotten is not what it made.
        tokens.forget(ada.info.id);
        let listed = tokens.list(START).into_iter().find(|info| info.id == link.info.id);
        assert_eq!(listed.unwrap().parent, None);
    }
}
