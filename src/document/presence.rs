//! The awareness states of a document's clients: each client's name, cursor and cell, by its Yjs client id.
//! Pure: no clock, no I/O.
//!
//! A state is passed on for others to read and is no part of the document. A socket says one, its own;
//! what it repeats of others is ignored (`y-websocket` echoes everything that it hears). Changes are told soon
//! and together. A state that is only said again, so that it does not expire, is told with others of its
//! kind, because `n` clients that each repeat theirs would cost `n²` frames.

use std::collections::HashMap;
use std::sync::Arc;

use super::SocketId;
use super::lib0::{Broken, Reader, write_bytes, write_number};

/// Longest state, in bytes of JSON.
pub const STATE_BYTES: usize = 8 << 10; // 8 KiB: a name, a colour and a cursor take 300 bytes

/// The JSON of a client that has left.
const GONE: &str = "null";

/// The states of a document's clients.
#[derive(Debug, Default)]
pub(super) struct Presence {
    states: HashMap<u64, State>,
    /// Clients that have left, each with the clock of that, until it is told.
    gone: Vec<(u64, u64)>,
}

#[derive(Debug)]
struct State {
    socket: SocketId,
    /// Whose token the socket came with.
    bearer: Option<u64>,
    clock: u64,
    json: Arc<str>,
    news: News,
}

/// What the others have not been told of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    Nothing,
    /// That it was said again.
    Repeated,
    Changed,
}

/// When the others are to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// There is nothing to tell.
    Nothing,
    /// Soon enough that no state expires.
    Sometime,
    /// As soon as it can be.
    Soon,
}

/// Why a frame is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WrongPresence {
    #[error("a broken awareness message: {0}")]
    Broken(#[from] Broken),
    #[error("an awareness state is longer than {STATE_BYTES} bytes; say less about yourself")]
    TooLarge,
}

impl Presence {
    /// Takes what a socket says.
    pub(super) fn receive(
        &mut self,
        socket: SocketId,
        bearer: Option<u64>,
        bytes: &[u8],
    ) -> Result<Told, WrongPresence> {
        let mut reader = Reader::new(bytes);
        let mut told = Told::Nothing;
        for _ in 0..reader.count()? {
            let (client, clock) = (reader.number()?, reader.number()?);
            let json = reader.bytes()?;
            if !self.is_own(client, socket, bearer) {
                continue;
            }
            if json.len() > STATE_BYTES {
                return Err(WrongPresence::TooLarge);
            }
            let json = std::str::from_utf8(json).map_err(|_| Broken("a state is not UTF-8"))?;
            serde_json::from_str::<serde::de::IgnoredAny>(json)
                .map_err(|_| Broken("a state is not JSON"))?;
            match self.set(
                client,
                State { socket, bearer, clock, json: json.into(), news: News::Changed },
            ) {
                Told::Soon => told = Told::Soon,
                Told::Sometime if told == Told::Nothing => told = Told::Sometime,
                Told::Sometime | Told::Nothing => {}
            }
        }
        Ok(told)
    }

    /// Whether a socket may say the state of a client: it has said it before, or it has said none and no
    /// other has said this one, or one with the same token has, which it comes back for. Once it has a state,
    /// what it says of a second client of its token is an echo too.
    fn is_own(&self, client: u64, socket: SocketId, bearer: Option<u64>) -> bool {
        let has_none = || self.states.values().all(|state| state.socket != socket);
        match self.states.get(&client) {
            Some(state) if state.socket == socket => true,
            Some(state) => bearer.is_some() && state.bearer == bearer && has_none(),
            None => has_none(),
        }
    }

    fn set(&mut self, client: u64, mut new: State) -> Told {
        let known = self.states.get(&client);
        if known.is_some_and(|known| new.clock < known.clock) {
            return Told::Nothing;
        }
        if new.json.as_ref() == GONE {
            let clock = new.clock;
            return match self.states.remove(&client) {
                Some(_) => {
                    self.gone.push((client, clock));
                    Told::Soon
                }
                None => Told::Nothing,
            };
        }
        if let Some(known) = known
            && known.json == new.json
        {
            new.news = known.news.max(News::Repeated);
        }
        // Who is back need not be told to be gone.
        self.gone.retain(|(gone, _)| *gone != client);
        let told = if new.news == News::Changed { Told::Soon } else { Told::Sometime };
        self.states.insert(client, new);
        told
    }

    /// A socket has closed: its client has left.
    pub(super) fn leave(&mut self, socket: SocketId) -> Told {
        let of_socket: Vec<(u64, u64)> = self
            .states
            .iter()
            .filter(|(_, state)| state.socket == socket)
            .map(|(client, state)| (*client, state.clock + 1))
            .collect();
        for (client, _) in &of_socket {
            self.states.remove(client);
        }
        self.gone.extend(&of_socket);
        if of_socket.is_empty() { Told::Nothing } else { Told::Soon }
    }

    /// All states, for a newcomer; `None`: there are none.
    pub(super) fn all(&self) -> Option<Vec<u8>> {
        encode(self.states.iter(), &[])
    }

    /// What the others have not been told: changes, and with `repeated` also what was said again.
    pub(super) fn take_news(&mut self, repeated: bool) -> Option<Vec<u8>> {
        let least = if repeated { News::Repeated } else { News::Changed };
        let gone = std::mem::take(&mut self.gone);
        let news = encode(self.states.iter().filter(|(_, state)| state.news >= least), &gone);
        for state in self.states.values_mut().filter(|state| state.news >= least) {
            state.news = News::Nothing;
        }
        news
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> usize {
        self.states.values().map(|state| state.json.len() + 64).sum()
    }
}

fn encode<'a>(
    states: impl Iterator<Item = (&'a u64, &'a State)>,
    gone: &[(u64, u64)],
) -> Option<Vec<u8>> {
    let mut entries = Vec::new();
    let mut count = 0;
    let there = states.map(|(client, state)| (*client, state.clock, state.json.as_ref()));
    for (client, clock, json) in
        there.chain(gone.iter().map(|(client, clock)| (*client, *clock, GONE)))
    {
        count += 1;
        write_number(&mut entries, client);
        write_number(&mut entries, clock);
        write_bytes(&mut entries, json.as_bytes());
    }
    if count == 0 {
        return None;
    }
    let mut all = Vec::with_capacity(entries.len() + 4);
    write_number(&mut all, count);
    all.extend_from_slice(&entries);
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(states: &[(u64, u64, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_number(&mut bytes, states.len() as u64);
        for (client, clock, json) in states {
            write_number(&mut bytes, *client);
            write_number(&mut bytes, *clock);
            write_bytes(&mut bytes, json.as_bytes());
        }
        bytes
    }

    #[test]
    fn changes_are_told_soon_and_repetitions_sometime() {
        let mut presence = Presence::default();
        let state = "{\"user\":1}";
        assert_eq!(presence.receive(1, Some(10), &said(&[(7, 1, state)])), Ok(Told::Soon));
        assert_eq!(presence.take_news(false), Some(said(&[(7, 1, state)])));
        assert_eq!(presence.receive(1, Some(10), &said(&[(7, 2, state)])), Ok(Told::Sometime));
        assert_eq!(presence.take_news(false), None);
        assert_eq!(presence.take_news(true), Some(said(&[(7, 2, state)])));
        assert_eq!(presence.take_news(true), None);
        // An older one is none.
        assert_eq!(presence.receive(1, Some(10), &said(&[(7, 1, "{}")])), Ok(Told::Nothing));
        assert_eq!(presence.all(), Some(said(&[(7, 2, state)])));
        assert_eq!(presence.leave(1), Told::Soon);
        assert_eq!(presence.take_news(false), Some(said(&[(7, 3, "null")])));
        assert_eq!(presence.all(), None);
    }

    #[test]
    fn a_socket_says_its_own_state_and_no_others() {
        let mut presence = Presence::default();
        presence.receive(1, Some(10), &said(&[(7, 1, "1")])).unwrap();
        presence.receive(2, Some(20), &said(&[(8, 1, "2")])).unwrap();
        presence.take_news(true);
        // An echo, a forgery, a removal of another, a second state of its own.
        let others = said(&[(7, 5, "9"), (7, 6, "null"), (9, 1, "3")]);
        assert_eq!(presence.receive(2, Some(20), &others), Ok(Told::Nothing));
        assert_eq!(presence.take_news(true), None);
        // A client that comes back has the state that its former connection still has; that one's end
        // takes nothing away.
        assert_eq!(presence.receive(3, Some(10), &said(&[(7, 2, "1")])), Ok(Told::Sometime));
        assert_eq!(presence.leave(1), Told::Nothing);
        assert_eq!(presence.leave(3), Told::Soon);
    }

    #[test]
    fn two_clients_of_one_token_do_not_take_each_others_states_by_echoing_them() {
        let mut presence = Presence::default();
        presence.receive(1, Some(10), &said(&[(7, 1, "1")])).unwrap();
        presence.receive(2, Some(10), &said(&[(8, 1, "2")])).unwrap();
        presence.take_news(true);
        assert_eq!(presence.receive(2, Some(10), &said(&[(7, 1, "1")])), Ok(Told::Nothing));
        // Else the first one's end would leave its state there.
        assert_eq!(presence.leave(1), Told::Soon);
        assert_eq!(presence.take_news(false), Some(said(&[(7, 2, "null")])));
    }

    #[test]
    fn wrong_states_are_refused() {
        let mut presence = Presence::default();
        let long = format!("\"{}\"", "x".repeat(STATE_BYTES));
        assert_eq!(
            presence.receive(1, Some(1), &said(&[(1, 1, &long)])),
            Err(WrongPresence::TooLarge)
        );
        for broken in [&said(&[(1, 1, "{")])[..], &[200], &[1, 1], &[9, 1, 1, 1, b'1']] {
            assert!(presence.receive(1, Some(1), broken).is_err(), "{broken:?}");
        }
        assert_eq!(presence.all(), None);
    }
}
