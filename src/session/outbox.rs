//! What one participant has yet to be sent: a bounded queue between the session and a socket.
//!
//! ```text
//!   actor ── push ──► waiting ── take ──► taken by the door ── the next take: sent ──► (acked)
//!            never waits        waits                                  tells the actor of room
//! ```
//! The actor never waits for a participant: it asks [`Outbox::offer`], and what finds no room stays
//! in the log for later. Bytes count until they are on the socket, or, once the participant has
//! sent an `ack`, until they are acknowledged. The window bounds output: small events that are
//! none, such as `done`, go out while it is full, unless output waits before them. Replies overtake
//! events; a `gap` keeps its place among them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::delivery::{Delivery, Departure};
use crate::protocol::Reply;
use crate::protocol::event::Sequenced;

/// Most that is taken at once: a socket write of this size is one system call or two, and an
/// interrupt's reply waits behind no more.
const BATCH_BYTES: usize = 256 << 10; // 256 KiB

/// Longest event that is no output and goes out while the window is full, in bytes.
const SMALL_BYTES: usize = 4 << 10; // 4 KiB

/// What of those may wait for the socket beyond the window, in bytes: some hundred of them.
const SMALL_ROOM_BYTES: usize = 64 << 10; // 64 KiB

/// Messages for which an empty queue keeps room; a long replay takes more, once.
pub const ROOM_KEPT: usize = 32;

/// The queue, shared by the actor and one socket.
#[derive(Debug)]
pub struct Outbox {
    inner: Mutex<Inner>,
    /// For the socket: something to take.
    filled: Notify,
    /// For the door that reads the participant's messages: replies were taken.
    answered: Notify,
    /// For the actor: there is room again, or the participant left. One for all outboxes.
    relieved: Arc<Notify>,
    window: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// Replies, which go first: a `pong` should not wait for megabytes of output.
    replies: VecDeque<Delivery>,
    /// Of replies that wait or are in the socket's hands.
    reply_bytes: usize,
    /// The newest list of participants, if it was not taken yet; it goes after the replies. One
    /// text, which all outboxes share, and so no part of what is counted as waiting.
    list: Option<Delivery>,
    waiting: VecDeque<Delivery>,
    waiting_bytes: usize,
    /// Taken and not yet reported sent.
    taken_bytes: usize,
    taken_messages: usize,
    /// Sent and not yet acknowledged, if the participant acknowledges.
    unacked: Option<VecDeque<(u64, usize)>>,
    unacked_bytes: usize,
    /// The last thing the socket does.
    departure: Option<Departure>,
    /// When something was last taken, or the close came.
    progress: Option<Instant>,
    left: bool,
    /// Events that waited when the participant left, or would wait now.
    forgotten: usize,
}

/// Whether the window bounds a message that waits in line: output, and long events.
fn counts(delivery: &Delivery) -> bool {
    delivery.is_output() || delivery.json().len() > SMALL_BYTES
}

/// How much room there is, most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Room {
    /// For everything.
    Any,
    /// For small events that are no output.
    Small,
    /// For nothing.
    None,
}

impl Room {
    /// The least room that an event can do with.
    fn needed_by(is_output: bool, bytes: usize) -> Room {
        if is_output || bytes > SMALL_BYTES { Room::Any } else { Room::Small }
    }
}

impl Outbox {
    /// An empty outbox for at most about `window` bytes.
    pub fn new(window: usize, relieved: Arc<Notify>) -> Outbox {
        let (filled, answered) = (Notify::new(), Notify::new());
        Outbox { inner: Mutex::default(), filled, answered, relieved, window }
    }

    /// Adds an event; never waits and never refuses. Call [`Outbox::wake`] after the last one.
    pub fn push(&self, event: &Arc<Sequenced>) {
        self.append(Delivery::Event(Arc::clone(event)));
    }

    /// Adds an event if there is room for it; answers whether there was.
    pub fn offer(&self, event: &Arc<Sequenced>) -> bool {
        let needed = Room::needed_by(event.is_output(), event.json.len());
        let mut inner = self.lock();
        let has_room = inner.room(self.window) <= needed;
        if has_room {
            inner.append(Delivery::Event(Arc::clone(event)));
        }
        has_room
    }

    /// Adds the word that these events are left out, in its place among them.
    pub fn push_gap(&self, from: u64, to: u64, superseded: bool) -> Result<(), serde_json::Error> {
        let gap = Reply::Gap { from, to, superseded };
        self.append(Delivery::of_reply(gap, ByteString::from)?);
        Ok(())
    }

    /// Adds a reply, before all events that wait.
    pub fn push_reply(&self, reply: Delivery) {
        let mut inner = self.lock();
        if inner.departure.is_none() && !inner.left {
            inner.waiting_bytes += reply.json().len();
            inner.reply_bytes += reply.json().len();
            inner.replies.push_back(reply);
        }
    }

    /// Puts a list of participants in the place of an older one that still waits. However full the
    /// outbox is, the newest list is kept.
    pub fn set_list(&self, list: Delivery) {
        let mut inner = self.lock();
        if inner.departure.is_none() && !inner.left {
            inner.list = Some(list);
        }
    }

    /// Waits until the participant has taken most of the replies it is owed. One that asks and
    /// does not read is not asked for more.
    pub async fn answered(&self) {
        while self.has_unread_replies() {
            self.answered.notified().await;
        }
    }

    fn has_unread_replies(&self) -> bool {
        let inner = self.lock();
        inner.reply_bytes >= self.window && inner.departure.is_none() && !inner.left
    }

    /// Takes output that waits out again and leaves gaps in its place.
    pub fn skip_output(&self) -> Result<(), serde_json::Error> {
        let events = std::mem::take(&mut self.lock().waiting);
        let mut skipped: Option<(u64, u64)> = None;
        for delivery in events {
            self.lock().waiting_bytes -= delivery.json().len();
            if let Some(seq) = delivery.seq().filter(|_| delivery.is_output()) {
                let from = skipped.map_or(seq, |(from, _)| from);
                skipped = Some((from, seq));
                continue;
            }
            if let Some((from, to)) = skipped.take() {
                self.push_gap(from, to, false)?;
            }
            self.append(delivery);
        }
        match skipped {
            Some((from, to)) => self.push_gap(from, to, false),
            None => Ok(()),
        }
    }

    /// Bytes that the socket has not yet taken.
    pub fn waiting_bytes(&self) -> usize {
        self.lock().waiting_bytes
    }

    fn append(&self, delivery: Delivery) {
        self.lock().append(delivery);
    }

    /// At most this much of what it was given may not have reached the participant: bytes, and
    /// `each` for every message. Of one who has left, too.
    pub fn owed(&self, each: usize) -> usize {
        let inner = self.lock();
        let unacked = inner.unacked.as_ref().map_or(0, VecDeque::len);
        let messages = inner.waiting.len() + inner.forgotten + inner.taken_messages + unacked;
        inner.outstanding() + each * messages
    }

    /// Tells the socket that there is something to take.
    pub fn wake(&self) {
        let inner = self.lock();
        let any = !inner.waiting.is_empty() || !inner.replies.is_empty() || inner.list.is_some();
        drop(inner);
        if any {
            self.filled.notify_one();
        }
    }

    /// Whether the participant keeps up.
    pub fn has_room(&self) -> bool {
        self.lock().room(self.window) == Room::Any
    }

    /// Whether it keeps up at least with small events that are no output.
    pub fn has_small_room(&self) -> bool {
        self.lock().room(self.window) <= Room::Small
    }

    /// Whether an event can be pushed.
    pub fn has_room_for(&self, event: &Sequenced) -> bool {
        let needed = Room::needed_by(event.is_output(), event.json.len());
        self.lock().room(self.window) <= needed
    }

    /// After what waits, the participant is let go. The first departure counts.
    pub fn close(&self, departure: Departure) {
        let mut inner = self.lock();
        inner.departure.get_or_insert(departure);
        inner.progress = Some(Instant::now());
        drop(inner);
        self.filled.notify_one();
        self.answered.notify_one();
    }

    /// The departure that has waited for at least `patience` behind messages which the participant
    /// does not acknowledge. No participant can stay by not acknowledging.
    pub fn overdue(&self, patience: Duration) -> Option<Departure> {
        let inner = self.lock();
        let waits = inner.progress.is_some_and(|since| since.elapsed() >= patience);
        inner.departure.clone().filter(|_| waits)
    }

    /// The socket is gone.
    pub fn leave(&self) {
        let mut inner = self.lock();
        inner.left = true;
        inner.forgotten = inner.waiting.len();
        inner.waiting.clear();
        inner.replies.clear();
        inner.list = None;
        drop(inner);
        self.relieved.notify_one();
        self.answered.notify_one();
    }

    /// Whether the socket is gone.
    pub fn has_left(&self) -> bool {
        self.lock().left
    }

    /// Waits for messages and moves up to [`BATCH_BYTES`] of them into `into`; once none is left of
    /// those that were added before a departure, answers that. What an earlier call moved counts as
    /// sent.
    pub async fn take(&self, into: &mut Vec<Delivery>) -> Result<(), Departure> {
        loop {
            if let Some(taken) = self.try_take(into) {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    /// The participant has taken everything up to `seq`.
    pub fn ack(&self, seq: u64) {
        let mut inner = self.lock();
        let Inner { unacked, unacked_bytes, .. } = &mut *inner;
        let unacked = unacked.get_or_insert_default();
        while unacked.front().is_some_and(|(sent, _)| *sent <= seq) {
            if let Some((_, bytes)) = unacked.pop_front() {
                *unacked_bytes -= bytes;
            }
        }
        if unacked.is_empty() {
            unacked.shrink_to(ROOM_KEPT);
        }
        drop(inner);
        self.filled.notify_one();
        self.relieved.notify_one();
    }

    fn try_take(&self, into: &mut Vec<Delivery>) -> Option<Result<(), Departure>> {
        let mut inner = self.lock();
        let before = inner.room(self.window);
        inner.taken_bytes = 0;
        inner.taken_messages = 0;
        let mut taken = 0;
        let owed = std::mem::take(&mut inner.reply_bytes);
        while let Some(reply) = inner.replies.pop_front() {
            let bytes = reply.json().len();
            taken += bytes;
            inner.reply_bytes += bytes;
            inner.waiting_bytes -= bytes;
            into.push(reply);
        }
        if let Some(list) = inner.list.take() {
            taken += list.json().len();
            into.push(list);
        }
        while taken < BATCH_BYTES
            && let Some(next) = inner.waiting.front()
        {
            let counts = counts(next);
            if counts && inner.unacked.is_some() && inner.unacked_bytes >= self.window {
                break;
            }
            let Some(delivery) = inner.waiting.pop_front() else { break };
            let bytes = delivery.json().len();
            taken += bytes;
            inner.taken_messages += 1;
            inner.waiting_bytes -= bytes;
            if let Some(seq) = delivery.seq().filter(|_| counts)
                && let Some(unacked) = &mut inner.unacked
            {
                unacked.push_back((seq, bytes));
                inner.unacked_bytes += bytes;
            }
            into.push(delivery);
        }
        if inner.waiting.is_empty() {
            inner.waiting.shrink_to(ROOM_KEPT);
        }
        inner.taken_bytes = taken;
        if taken > 0 && inner.progress.is_some() {
            inner.progress = Some(Instant::now());
        }
        let was_answered = owed > inner.reply_bytes;
        let taken = match (taken, inner.waiting.is_empty(), &inner.departure) {
            (0, true, Some(departure)) => Some(Err(departure.clone())),
            (0, ..) => None,
            _ => Some(Ok(())),
        };
        let after = inner.room(self.window);
        drop(inner);
        if after < before {
            self.relieved.notify_one();
        }
        if was_answered {
            self.answered.notify_one();
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock; if it did, the queue is whole all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, delivery: Delivery) {
        if self.departure.is_none() {
            self.waiting_bytes += delivery.json().len();
            if self.left {
                self.forgotten += 1;
            } else {
                self.waiting.push_back(delivery);
            }
        }
    }

    fn room(&self, window: usize) -> Room {
        let outstanding = self.outstanding();
        if self.left || outstanding < window {
            Room::Any
        } else if outstanding < window.saturating_add(SMALL_ROOM_BYTES) {
            Room::Small
        } else {
            Room::None
        }
    }

    fn outstanding(&self) -> usize {
        self.waiting_bytes + self.taken_bytes + self.unacked_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::{EventKind, TextSpan};
    use crate::session::EncodedReply;

    fn outbox(window: usize) -> Outbox {
        Outbox::new(window, Arc::new(Notify::new()))
    }

    fn text(seq: u64, length: usize) -> Arc<Sequenced> {
        let text = Some(TextSpan { start: 0, end: length as u32 });
        let json = ByteString::from("x".repeat(length));
        Arc::new(Sequenced { seq, kind: EventKind::Stdout, json, text })
    }

    /// An event that is no output.
    fn usage(seq: u64, length: usize) -> Arc<Sequenced> {
        let json = text(seq, length).json.clone();
        Arc::new(Sequenced { seq, kind: EventKind::Usage, json, text: None })
    }

    fn reply(json: &'static str) -> Delivery {
        let (reply, json) = (Reply::Pong(Default::default()), ByteString::from_static(json));
        Delivery::Reply(Arc::new(EncodedReply { reply, json }))
    }

    fn texts(deliveries: &[Delivery]) -> Vec<&str> {
        deliveries.iter().map(|delivery| &**delivery.json()).collect()
    }

    #[tokio::test]
    async fn replies_overtake_events_and_skipped_output_leaves_a_gap() {
        let outbox = outbox(1000);
        for seq in 1..=3 {
            outbox.push(&text(seq, 10));
        }
        outbox.push(&usage(4, 1));
        outbox.push(&text(5, 10));
        outbox.push_reply(reply("pong"));
        outbox.skip_output().unwrap();
        let mut taken = Vec::new();
        outbox.take(&mut taken).await.unwrap();
        let gap = |from, to| format!(r#"{{"type":"gap","from":{from},"to":{to}}}"#);
        assert_eq!(texts(&taken), ["pong", &gap(1, 3), "x", &gap(5, 5)]);
        assert_eq!(outbox.waiting_bytes(), 0);
    }

    #[tokio::test]
    async fn there_is_room_again_when_the_socket_has_sent() {
        let outbox = outbox(100);
        outbox.push(&text(1, 60));
        assert!(outbox.has_room());
        outbox.push(&text(2, 60));
        assert!(!outbox.has_room());
        let mut taken = Vec::new();
        assert_eq!(outbox.take(&mut taken).await, Ok(()));
        assert_eq!(taken.len(), 2);
        assert!(!outbox.has_room(), "taken is not yet sent");
        outbox.push(&text(3, 1));
        outbox.take(&mut taken).await.unwrap();
        assert!(outbox.has_room());
        outbox.relieved.notified().await;
    }

    #[tokio::test]
    async fn the_first_departure_comes_after_what_waits() {
        let outbox = outbox(100);
        outbox.push(&text(1, 1));
        outbox.close(Departure::Replaced);
        outbox.close(Departure::Removed);
        outbox.push(&text(2, 1));
        let mut taken = Vec::new();
        assert_eq!(outbox.take(&mut taken).await, Ok(()));
        assert_eq!(outbox.take(&mut taken).await, Err(Departure::Replaced));
        assert_eq!(taken.len(), 1);
    }

    #[tokio::test]
    async fn who_acknowledges_has_a_window_of_unacknowledged_output() {
        let outbox = outbox(100);
        outbox.ack(0);
        for seq in 1..=5 {
            outbox.push(&text(seq, 40));
        }
        let mut taken = Vec::new();
        outbox.take(&mut taken).await.unwrap();
        assert_eq!(taken.len(), 3, "a window, and the message that passes it");
        assert!(outbox.try_take(&mut taken).is_none());
        outbox.ack(2);
        outbox.take(&mut taken).await.unwrap();
        assert_eq!(taken.len(), 5);
        outbox.ack(99);
        assert!(outbox.try_take(&mut taken).is_none());
        assert!(outbox.has_room());
    }

    #[tokio::test]
    async fn of_the_lists_of_participants_the_newest_is_kept_and_room_or_not_it_is_given() {
        let outbox = outbox(10);
        outbox.push(&text(1, 50));
        outbox.push_reply(reply("ready"));
        for list in ["one", "two", "three"] {
            outbox.set_list(reply(list));
        }
        let mut taken = Vec::new();
        outbox.take(&mut taken).await.unwrap();
        assert_eq!(texts(&taken[..2]), ["ready", "three"]);
        assert_eq!(taken.len(), 3);
        outbox.ack(0); // what is unacknowledged holds up events, and no list
        outbox.push(&text(2, 50));
        outbox.push(&text(3, 50));
        outbox.take(&mut taken).await.unwrap();
        outbox.set_list(reply("four"));
        outbox.take(&mut taken).await.unwrap();
        assert_eq!(texts(&taken).last(), Some(&"four"));
    }

    #[tokio::test]
    async fn a_window_full_of_output_lets_small_events_pass_in_order() {
        let outbox = outbox(100);
        outbox.ack(0);
        let small = |seq| usage(seq, 10);
        for seq in 1..=2 {
            outbox.push(&text(seq, 60));
        }
        assert!(!outbox.has_room() && outbox.has_room_for(&small(3)));
        assert!(!outbox.has_room_for(&text(3, 10)));
        let large = usage(3, SMALL_BYTES + 1);
        assert!(!outbox.has_room_for(&large), "a result is bounded as output is");
        outbox.push(&small(3));
        outbox.push(&text(4, 10));
        outbox.push(&small(5));
        let mut taken = Vec::new();
        outbox.take(&mut taken).await.unwrap();
        assert_eq!(taken.len(), 3, "the window, and the small event behind it");
        assert!(outbox.try_take(&mut taken).is_none(), "5 does not overtake 4");
        outbox.ack(2);
        outbox.take(&mut taken).await.unwrap();
        assert_eq!(taken.len(), 5);
        // Who does not read is not sent small events without end.
        let mut seq = 6;
        while outbox.has_room_for(&small(seq)) {
            outbox.push(&small(seq));
            seq += 1;
        }
        assert!(outbox.waiting_bytes() <= 100 + SMALL_ROOM_BYTES);
        // There is room again for those as soon as some of them are taken.
        taken.clear();
        outbox.push(&text(seq, 100));
        outbox.take(&mut taken).await.unwrap();
        outbox.try_take(&mut taken);
        outbox.relieved.notified().await;
    }

    #[test]
    fn nothing_is_kept_for_who_has_left() {
        let outbox = outbox(10);
        outbox.push(&text(1, 50));
        outbox.set_list(reply("list"));
        outbox.leave();
        outbox.push(&text(2, 50));
        assert!(outbox.has_room() && outbox.has_left());
        assert!(outbox.lock().waiting.is_empty() && outbox.lock().list.is_none());
        assert_eq!(outbox.owed(8), 2 * 58, "what it did not get is known");
    }
}
