//! Which events show nothing any more: what a `clear_output` has removed, and what an update of
//! the same display has replaced. Pure.
//!
//! ```text
//!   frame 1 · clear (wait) · frame 2 · clear (wait) · frame 3   what a cell says
//!                                      clear (wait) · frame 3   what is worth keeping
//! ```

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::protocol::Event;

/// Most events between two clears, and most displays, of which this keeps track. Beyond it
/// more is kept than is seen.
const TRACKED: usize = 1024;

/// What is to be seen of the newest cell's output, as seqs.
#[derive(Debug, Default)]
pub(super) struct Shown {
    cell: Option<Arc<str>>,
    /// What the next clear removes.
    seen: Vec<u64>,
    /// A clear that waits for something new, and how much of `seen` it removes.
    waiting: Option<(u64, usize)>,
    /// Seq of the newest update of each display, by the hash of its id: an id may be long, and two
    /// that had the same hash would at worst cost each other an old update in a replay.
    updates: HashMap<u64, u64>,
    hasher: RandomState,
}

impl Shown {
    /// Takes in an event; answers the seqs of what is not to be seen any more.
    pub(super) fn take(&mut self, event: &Event, seq: u64) -> Vec<u64> {
        match event {
            Event::ClearOutput { id, wait } => {
                self.turn_to(id);
                if let Some((before, _)) = self.waiting.take() {
                    self.see(before);
                }
                if *wait {
                    self.waiting = Some((seq, self.seen.len()));
                    return Vec::new();
                }
                std::mem::replace(&mut self.seen, vec![seq])
            }
            Event::Display { id, display_id, update, .. } => {
                let mut outdated = self.show(id, seq);
                if let (true, Some(display)) = (update, display_id) {
                    outdated.extend(self.update(display, seq));
                }
                outdated
            }
            Event::Result { id, .. } => self.show(id, seq),
            Event::Stdout(output) | Event::Stderr(output) => self.show(&output.id, seq),
            _ => Vec::new(),
        }
    }

    fn show(&mut self, id: &Arc<str>, seq: u64) -> Vec<u64> {
        self.turn_to(id);
        let outdated = match self.waiting.take() {
            Some((clear, count)) => {
                let rest = self.seen.split_off(count.min(self.seen.len()));
                let outdated = std::mem::replace(&mut self.seen, vec![clear]);
                self.seen.extend(rest);
                outdated
            }
            None => Vec::new(),
        };
        self.see(seq);
        outdated
    }

    fn see(&mut self, seq: u64) {
        if self.seen.len() < TRACKED {
            self.seen.push(seq);
        }
    }

    fn update(&mut self, display: &str, seq: u64) -> Option<u64> {
        let display = self.hasher.hash_one(display);
        if let Some(newest) = self.updates.get_mut(&display) {
            return Some(std::mem::replace(newest, seq));
        }
        if self.updates.len() >= TRACKED {
            self.updates.clear();
        }
        self.updates.insert(display, seq);
        None
    }

    /// Late output of an earlier cell lets the newest one's earlier output stay.
    fn turn_to(&mut self, id: &Arc<str>) {
        if self.cell.as_ref() != Some(id) {
            self.cell = Some(Arc::clone(id));
            self.seen.clear();
            self.waiting = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::protocol::event::Output;

    fn text(id: &str) -> Event {
        Event::Stdout(Output { id: id.into(), text: "x".into(), late: false })
    }

    fn clear(wait: bool) -> Event {
        Event::ClearOutput { id: "a".into(), wait }
    }

    fn display(display_id: Option<&str>, update: bool) -> Event {
        Event::Display {
            id: "a".into(),
            data: Default::default(),
            metadata: RawValue::from_string("{}".into()).unwrap(),
            display_id: display_id.map(str::to_owned),
            update,
            late: false,
        }
    }

    fn told(events: &[Event]) -> Vec<Vec<u64>> {
        let mut shown = Shown::default();
        (1..).zip(events).map(|(seq, event)| shown.take(event, seq)).collect()
    }

    #[test]
    fn a_clear_removes_what_was_shown_and_the_clear_before_it() {
        let events = [text("a"), display(None, false), clear(false), text("a"), clear(false)];
        assert_eq!(told(&events), [vec![], vec![], vec![1, 2], vec![], vec![3, 4]]);
    }

    #[test]
    fn a_clear_that_waits_removes_nothing_before_something_new() {
        let events = [text("a"), clear(true), text("a"), text("a"), clear(true), text("a")];
        assert_eq!(told(&events), [vec![], vec![], vec![1], vec![], vec![], vec![2, 3, 4]]);
        // The second one is enough.
        let events = [text("a"), clear(true), clear(true), text("a")];
        assert_eq!(told(&events), [vec![], vec![], vec![], vec![1, 2]]);
        let events = [text("a"), clear(true), clear(false)];
        assert_eq!(told(&events), [vec![], vec![], vec![1, 2]]);
    }

    #[test]
    fn nothing_of_another_cell_is_removed() {
        let events = [text("b"), text("a"), clear(false), text("b"), clear(false)];
        assert_eq!(told(&events), [vec![], vec![], vec![2], vec![], vec![]]);
    }

    #[test]
    fn an_update_replaces_the_update_before_and_not_what_it_updates() {
        let events = [
            display(Some("x"), false),
            display(Some("x"), true),
            display(Some("y"), true),
            display(Some("x"), true),
            display(Some("x"), false),
            display(Some("x"), true),
        ];
        assert_eq!(told(&events), [vec![], vec![], vec![], vec![2], vec![], vec![4]]);
    }

    #[test]
    fn what_is_kept_track_of_is_bounded() {
        let mut shown = Shown::default();
        for seq in 0..3 * TRACKED as u64 {
            shown.take(&text("a"), seq);
            shown.take(&display(Some(&seq.to_string()), true), seq);
        }
        assert!(shown.seen.len() <= TRACKED && shown.updates.len() <= TRACKED);
    }
}
