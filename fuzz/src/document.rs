//! Opens what a document does with the frames of clients.

mod check;
mod contents;
mod frames;
mod lib0;
mod presence;
mod store;

use contents::{Contents, DocumentCell};
use frames::Frame;
use presence::Presence;
use store::Store;

type SocketId = u64;

/// A document with a cell, and the awareness states of its clients.
pub struct Document {
    store: Store,
    presence: Presence,
}

impl Document {
    /// Filled with one cell.
    pub fn new() -> Document {
        let mut store = Store::new();
        let cell =
            DocumentCell { id: "a".into(), source: "1 + é🦀".into(), ..DocumentCell::default() };
        store
            .seed(&Contents { title: String::new(), cells: vec![cell] })
            .expect("a small document");
        Document { store, presence: Presence::default() }
    }

    /// Takes a frame of a client, as the document's task does.
    pub fn take(&mut self, frame: &[u8]) {
        match frames::read(frame) {
            Ok(Frame::Step1(vector)) => drop(self.store.since(vector)),
            Ok(Frame::Step2(update) | Frame::Update(update)) => drop(self.store.apply(update)),
            Ok(Frame::Awareness(states)) => drop(self.presence.receive(1, None, states)),
            Ok(Frame::QueryAwareness | Frame::Auth) | Err(_) => {}
        }
    }

    /// Asserts that it is whole: what it says can be read, and who comes anew gets the same.
    pub fn is_whole(&mut self) {
        let said = self.store.contents();
        let everything = self.store.since(&[0]).expect("an empty state vector");
        let mut copy = Store::new();
        copy.apply(&everything).expect("the gateway's own update");
        assert_eq!(copy.contents(), said);
        assert_eq!(copy.state_vector().len(), self.store.state_vector().len());
        self.presence.take_news(true);
    }
}
