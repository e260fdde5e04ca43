//! The participants of a session, their tokens, and when they are told of each other.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use super::fanout::{Fanout, Seats};
use super::flow::Holders;
use super::state::ParticipantId;
use super::tokens::{self, Granted, Tokens};
use super::{AttachError, Credential, JoinRequest};
use crate::protocol::reply::Rights;

/// Shortest time from one list of participants that all are told to the next: four a second, so
/// that a participant who joins and leaves all the time costs the others little.
const LIST_INTERVAL: Duration = Duration::from_millis(250);

/// Everyone who is attached to one session.
pub(super) struct Audience {
    pub(super) fanout: Fanout,
    /// Shared with the session's handles.
    tokens: Arc<Mutex<Tokens>>,
    /// Changes with the tokens, which hold its sender.
    pub(super) token_changes: watch::Receiver<u64>,
    /// When the next token expires, by both clocks.
    next_expiry: Option<(SystemTime, Instant)>,
    seats: Seats,
    /// Since when all may be told again who is attached.
    next_list: Instant,
    /// Since when no participant is attached.
    unattended_since: Option<Instant>,
}

impl Audience {
    /// No participant attached yet.
    pub(super) fn new(fanout: Fanout, tokens: Arc<Mutex<Tokens>>, seats: Seats) -> Audience {
        let now = Instant::now();
        let mut token_changes = tokens::lock(&tokens).changes();
        // Tokens may have been made before the session's task begins.
        token_changes.mark_changed();
        Audience {
            fanout,
            tokens,
            token_changes,
            next_expiry: None,
            seats,
            next_list: now,
            unattended_since: Some(now),
        }
    }

    /// Learns when the next token expires.
    pub(super) fn note_next_expiry(&mut self) {
        let (clock, now) = (SystemTime::now(), Instant::now());
        let next = tokens::lock(&self.tokens).next_expiry();
        self.next_expiry = next.and_then(|at| {
            Some((at, now.checked_add(at.duration_since(clock).unwrap_or_default())?))
        });
    }

    /// When a token expires next.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry.map(|(_, due)| due)
    }

    /// The time for the next token to expire has come: forgets it. By then its participants leave by
    /// themselves, see [`super::Attachment::expired`].
    pub(super) fn expire_tokens(&mut self) {
        if let Some((at, _)) = self.next_expiry.take() {
            tokens::lock(&self.tokens).expire(at);
        }
    }

    /// The token of the participant who joins next: its own from before, or a new one.
    pub(super) fn admit(&self, join: &JoinRequest) -> Result<Granted, AttachError> {
        let now = SystemTime::now();
        let mut tokens = tokens::lock(&self.tokens);
        let (role, own) = tokens.who(&join.credential, now).ok_or(AttachError::Invalid)?;
        if !self.fanout.has_seat(role, own, self.seats) {
            return Err(AttachError::Full { seats: self.seats.most(role), role });
        }
        let admitted = tokens.admit(&join.credential, self.fanout.next_id(), now)?;
        admitted.ok_or(AttachError::Invalid)
    }

    /// A participant may do something else than before.
    pub(super) fn on_rights_changed(&mut self, participant: ParticipantId) {
        // One who was removed meanwhile has none.
        if let Some(rights) = tokens::lock(&self.tokens).rights_of(participant) {
            self.fanout.set_rights(participant, rights);
        }
    }

    /// What one may do now who has this credential; `None`: nothing.
    pub(super) fn rights(&self, credential: &Credential) -> Option<Rights> {
        tokens::lock(&self.tokens).rights(credential, SystemTime::now())
    }

    /// A participant has joined.
    pub(super) fn on_joined(&mut self) {
        self.unattended_since = None;
    }

    /// Forgets the participants whose sockets are gone.
    pub(super) fn forget_leavers(&mut self) {
        let gone: Vec<ParticipantId> = self.fanout.sweep();
        if gone.is_empty() {
            return;
        }
        for participant in gone {
            tokens::lock(&self.tokens).leave(participant);
        }
        self.note_emptiness();
    }

    /// The time that a session lives on without participants begins when the last one is gone.
    pub(super) fn note_emptiness(&mut self) {
        if self.fanout.is_empty() {
            self.unattended_since.get_or_insert(Instant::now());
        }
    }

    /// Since when no participant is attached.
    pub(super) fn unattended_since(&self) -> Option<Instant> {
        self.unattended_since
    }

    /// When all are to be told who is attached, if that has changed.
    pub(super) fn next_list(&self) -> Option<Instant> {
        self.fanout.owes_list().then_some(self.next_list)
    }

    /// Tells all who is attached, if that has changed and it is time again.
    pub(super) fn tell_list(&mut self) -> Result<(), serde_json::Error> {
        let now = Instant::now();
        if self.next_list().is_none_or(|due| now < due) {
            return Ok(());
        }
        self.next_list = now + LIST_INTERVAL;
        self.fanout.tell_list()
    }

    /// Whether those for whom output is held back have room for more.
    pub(super) fn holders(&self) -> Holders {
        match (self.fanout.has_holders(), self.fanout.has_room()) {
            (false, _) => Holders::None,
            (true, false) => Holders::Behind,
            (true, true) => Holders::Ready,
        }
    }
}
