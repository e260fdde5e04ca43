//! The document itself: a CRDT, kept whole whatever its clients send.
//!
//! ```text
//!   update ─► check ─► yrs ─► change, for the others
//!                       │ fails or panics
//!                       └──► rebuilt from `snapshot` and `since`
//! ```
//! Does no I/O and may take long: it is called on a thread that may block.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Any, Array, ArrayRef, Doc, GetString, Map, MapPrelim, MapRef, OffsetKind, Options, Out,
    ReadTxn, StateVector, TextPrelim, Transact, Update,
};

use super::check;
use super::contents::{CellKind, Contents, DocumentCell, spread_positions};
use super::lib0::Broken;

/// Longest document, in bytes of its encoding, which counts what was deleted too.
pub const DOCUMENT_BYTES: usize = 4 << 20; // 4 MiB: a hundred times a long notebook's text

/// Most structs of a document: pieces that were inserted at one time and are next to each other. Each
/// takes memory of its own, however short it is.
const STRUCTS: usize = 1 << 17; // 131,072: some 40 MiB; an hour of typing makes a few thousand

/// Memory of a struct, measured with yrs 0.28.
const STRUCT_BYTES: usize = 320;

/// Changes are kept beside the snapshot up to this many bytes, or a quarter of it.
const SINCE_BYTES: usize = 64 << 10; // 64 KiB

/// The times that a panic in the library may be borne. Each leaks what the library held at that moment.
const PANICS: u32 = 16;

/// Names of the root types.
const CELLS: &str = "cells";
const META: &str = "meta";
const TITLE: &str = "title";

/// Why an update is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It cannot be read, or does not follow what the gateway has.
    #[error("a broken update: {0}; connect again")]
    Broken(#[from] Broken),
    /// The library failed on it. The document is as it was before.
    #[error("an update that cannot be merged; connect again")]
    Failed,
    /// The document would be larger than it may be.
    #[error("the document would be larger than {} MiB with all that was ever deleted from it; copy its text into a new session", DOCUMENT_BYTES >> 20)]
    Full,
    /// The gateway has no memory for it.
    #[error("the gateway has no memory left for this; connect again later")]
    NoMemory,
}

/// The document of one session.
pub(super) struct Store {
    doc: Doc,
    cells: ArrayRef,
    meta: MapRef,
    /// The document as of some time, and the changes since, in order.
    snapshot: Vec<u8>,
    since: Vec<Vec<u8>>,
    since_bytes: usize,
    /// At most so many structs, as far as is known without counting.
    structs: usize,
    panics: u32,
}

fn new_doc() -> (Doc, ArrayRef, MapRef) {
    let doc = Doc::with_options(Options { offset_kind: OffsetKind::Utf16, ..Options::default() });
    let (cells, meta) = (doc.get_or_insert_array(CELLS), doc.get_or_insert_map(META));
    (doc, cells, meta)
}

impl Store {
    /// An empty document.
    pub(super) fn new() -> Store {
        let (doc, cells, meta) = new_doc();
        let snapshot = doc.transact().encode_state_as_update_v1(&StateVector::default());
        let since = Vec::new();
        Store { doc, cells, meta, snapshot, since, since_bytes: 0, structs: 0, panics: 0 }
    }

    /// Memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        2 * (self.snapshot.len() + self.since_bytes) + self.structs * STRUCT_BYTES
    }

    /// Applies an update of a client. Answers the change it made, for the others; `None`: it made none.
    pub(super) fn apply(&mut self, update: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
        let summary = check::update(update)?;
        if summary.structs == 0 && summary.deletions == 0 {
            return Ok(None);
        }
        let known = self.doc.transact().state_vector();
        for (client, clock) in &summary.begins {
            if *clock > u64::from(known.get(&yrs::block::ClientID::new(*client))) {
                return Err(Broken("it leaves out what came before").into());
            }
        }
        self.make_room(update.len(), summary.structs)?;
        let decoded = Update::decode_v1(update).map_err(|_| Broken("it cannot be decoded"))?;
        let change = self.merge(|txn| {
            txn.apply_update(decoded).map_err(|_| Refused::Failed)?;
            if txn.has_missing_updates() {
                return Err(Broken("it refers to what is not there").into());
            }
            Ok(())
        })?;
        self.keep(change, summary.structs)
    }

    /// Fills a document that has no cells. Answers the change; `None`: it has cells, or nothing is given.
    pub(super) fn seed(&mut self, contents: &Contents) -> Result<Option<Vec<u8>>, Refused> {
        if contents.cells.is_empty() || self.cells.len(&self.doc.transact()) > 0 {
            return Ok(None);
        }
        let structs = contents.cells.len() * 8 + 1;
        let text: usize = contents.cells.iter().map(|cell| cell.source.len() + 256).sum();
        self.make_room(text, structs)?;
        let (cells, meta) = (self.cells.clone(), self.meta.clone());
        let positions = spread_positions(contents.cells.len());
        let change = self.merge(|txn| {
            for (cell, position) in contents.cells.iter().zip(positions) {
                let map = cells.push_back(txn, MapPrelim::default());
                map.insert(txn, "id", cell.id.as_str());
                map.insert(txn, "kind", cell.kind.name());
                if let Some(language) = &cell.language {
                    map.insert(txn, "language", language.as_str());
                }
                map.insert(txn, "source", TextPrelim::new(cell.source.as_str()));
                map.insert(txn, "position", position);
            }
            if !contents.title.is_empty() {
                meta.insert(txn, TITLE, contents.title.as_str());
            }
            Ok(())
        })?;
        self.keep(change, structs)
    }

    /// What a client lacks who has what this state vector says; and the other way round.
    pub(super) fn since(&self, state_vector: &[u8]) -> Result<Vec<u8>, Refused> {
        check::state_vector(state_vector)?;
        let known =
            StateVector::decode_v1(state_vector).map_err(|_| Broken("it cannot be decoded"))?;
        Ok(self.doc.transact().encode_state_as_update_v1(&known))
    }

    /// What the gateway has.
    pub(super) fn state_vector(&self) -> Vec<u8> {
        self.doc.transact().state_vector().encode_v1()
    }

    /// The title and the cells, in their order.
    pub(super) fn contents(&self) -> Contents {
        let txn = self.doc.transact();
        let title = match self.meta.get(&txn, TITLE) {
            Some(Out::Any(Any::String(title))) => title.to_string(),
            _ => String::new(),
        };
        let cells = self.cells.iter(&txn).filter_map(|value| {
            // Whatever else a client has put between them is no cell.
            let Out::YMap(map) = value else { return None };
            let text = |key: &str| match map.get(&txn, key) {
                Some(Out::Any(Any::String(text))) => Some(text.to_string()),
                _ => None,
            };
            let source = match map.get(&txn, "source") {
                Some(Out::YText(source)) => source.get_string(&txn),
                Some(Out::Any(Any::String(source))) => source.to_string(),
                _ => return None,
            };
            let kind = text("kind").and_then(|kind| CellKind::of(&kind)).unwrap_or_default();
            let cell = DocumentCell { id: text("id")?, kind, language: text("language"), source };
            Some((text("position"), cell))
        });
        Contents::ordered(title, cells.collect())
    }

    /// Runs a transaction. If it fails or panics, the document is as it was before.
    fn merge(
        &mut self,
        work: impl FnOnce(&mut yrs::TransactionMut<'_>) -> Result<(), Refused>,
    ) -> Result<Vec<u8>, Refused> {
        let merged = {
            // A transaction commits when it is dropped, which after a panic might panic again.
            let mut txn = ManuallyDrop::new(self.doc.transact_mut());
            let merged = catch_unwind(AssertUnwindSafe(|| {
                work(&mut txn)?;
                let change = txn.encode_update_v1();
                txn.commit();
                Ok(change)
            }));
            if merged.is_ok() {
                let _committed = ManuallyDrop::into_inner(txn);
            }
            merged
        };
        match merged {
            Ok(Ok(change)) => Ok(change),
            Ok(Err(refused)) => {
                self.rebuild();
                Err(refused)
            }
            Err(_) => {
                self.panics += 1;
                tracing::error!(panics = self.panics, "the CRDT library panicked on an update");
                self.rebuild();
                Err(Refused::Failed)
            }
        }
    }

    /// Rebuilds the document from the snapshot and the changes since, all of which could be merged before.
    fn rebuild(&mut self) {
        let (doc, cells, meta) = new_doc();
        for update in std::iter::once(&self.snapshot).chain(&self.since) {
            let mut txn = doc.transact_mut();
            if let Err(error) = Update::decode_v1(update)
                .map_err(|error| error.to_string())
                .and_then(|update| txn.apply_update(update).map_err(|error| error.to_string()))
            {
                tracing::error!(error, "a change that was good cannot be applied again");
            }
        }
        (self.doc, self.cells, self.meta) = (doc, cells, meta);
    }

    /// Keeps a change that was made.
    fn keep(&mut self, change: Vec<u8>, structs: usize) -> Result<Option<Vec<u8>>, Refused> {
        // The library's own encoding.
        let Ok(summary) = check::update(&change) else {
            self.rebuild();
            return Err(Refused::Failed);
        };
        if summary.structs == 0 && summary.deletions == 0 {
            return Ok(None);
        }
        self.structs += structs + summary.deletions;
        self.since_bytes += change.len();
        self.since.push(change.clone());
        if self.since_bytes > SINCE_BYTES.max(self.snapshot.len() / 4) {
            self.measure();
        }
        Ok(Some(change))
    }

    /// Refuses what would make the document too large.
    fn make_room(&mut self, bytes: usize, structs: usize) -> Result<(), Refused> {
        if self.panics >= PANICS {
            return Err(Refused::Full);
        }
        let is_full = |store: &Store| {
            let all = store.snapshot.len() + store.since_bytes + bytes;
            all > DOCUMENT_BYTES || store.structs + structs > STRUCTS
        };
        if is_full(self) {
            // Changes one by one take more than all together.
            self.measure();
        }
        if is_full(self) { Err(Refused::Full) } else { Ok(()) }
    }

    /// Takes a new snapshot, and counts what is there.
    fn measure(&mut self) {
        self.snapshot = self.doc.transact().encode_state_as_update_v1(&StateVector::default());
        self.since = Vec::new();
        self.since_bytes = 0;
        if let Ok(summary) = check::update(&self.snapshot) {
            self.structs = summary.structs;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use yrs::{Text, TextRef};

    use super::*;

    /// A client as Yjs is one.
    struct Editor {
        doc: Doc,
        text: TextRef,
    }

    impl Editor {
        fn new(client: u64) -> Editor {
            let client_id = yrs::block::ClientID::new(client);
            let doc = Doc::with_options(Options {
                client_id,
                offset_kind: OffsetKind::Utf16,
                ..Options::default()
            });
            let text = doc.get_or_insert_text("text");
            Editor { doc, text }
        }

        fn edit(&self, work: impl FnOnce(&TextRef, &mut yrs::TransactionMut<'_>)) -> Vec<u8> {
            let mut txn = self.doc.transact_mut();
            work(&self.text, &mut txn);
            txn.encode_update_v1()
        }

        fn take(&self, update: &[u8]) {
            self.doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
        }

        fn said(&self) -> String {
            self.text.get_string(&self.doc.transact())
        }
    }

    fn contents(sources: &[&str]) -> Contents {
        let cell = |(at, source): (usize, &&str)| DocumentCell {
            id: format!("c{at}"),
            source: (*source).to_owned(),
            ..DocumentCell::default()
        };
        Contents { title: "Title".into(), cells: sources.iter().enumerate().map(cell).collect() }
    }

    #[test]
    fn it_is_filled_once() {
        let mut store = Store::new();
        assert!(store.seed(&contents(&["1 + 1", "é🦀"])).unwrap().is_some());
        assert_eq!(store.seed(&contents(&["2"])), Ok(None));
        assert_eq!(store.contents(), contents(&["1 + 1", "é🦀"]));
        assert_eq!(Store::new().seed(&contents(&[])), Ok(None));
    }

    #[test]
    fn who_lacks_something_is_sent_it() {
        let mut store = Store::new();
        let (one, other) = (Editor::new(1), Editor::new(2));
        let hello = one.edit(|text, txn| text.insert(txn, 0, "hello"));
        let change = store.apply(&hello).unwrap().unwrap();
        assert_eq!(store.apply(&hello), Ok(None), "it is known");
        other.take(&change);
        let world = other.edit(|text, txn| text.insert(txn, 5, " world"));
        store.apply(&world).unwrap().unwrap();
        let known = one.doc.transact().state_vector().encode_v1();
        one.take(&store.since(&known).unwrap());
        assert_eq!((one.said(), other.said()), ("hello world".into(), "hello world".into()));
    }

    #[test]
    fn what_does_not_follow_is_refused_and_changes_nothing() {
        let mut store = Store::new();
        let (one, other) = (Editor::new(1), Editor::new(2));
        let first = one.edit(|text, txn| text.insert(txn, 0, "a"));
        let second = one.edit(|text, txn| text.insert(txn, 1, "b"));
        other.take(&first);
        let on_first = other.edit(|text, txn| text.insert(txn, 1, "c"));
        for early in [&second, &on_first] {
            assert!(matches!(store.apply(early), Err(Refused::Broken(_))));
        }
        assert!(matches!(store.apply(&[1, 2, 3]), Err(Refused::Broken(_))));
        for update in [&first, &second, &on_first] {
            assert!(store.apply(update).unwrap().is_some());
        }
    }

    #[test]
    fn a_document_has_a_bound() {
        let mut store = Store::new();
        let editor = Editor::new(1);
        let large = editor.edit(|text, txn| text.insert(txn, 0, &"x".repeat(DOCUMENT_BYTES - 100)));
        assert!(store.apply(&large).is_ok());
        let more = editor.edit(|text, txn| text.insert(txn, 0, &"y".repeat(200)));
        assert_eq!(store.apply(&more), Err(Refused::Full));
        // What was deleted takes no more than its place.
        let length = u32::try_from(DOCUMENT_BYTES - 100).unwrap();
        let other = Editor::new(2);
        other.take(&large);
        let removed = other.edit(|text, txn| text.remove_range(txn, 0, length));
        store.apply(&removed).unwrap();
        assert_eq!(store.apply(&more).map(|change| change.is_some()), Ok(true));
        assert!(store.bytes() < 10_000, "{}", store.bytes());
    }

    #[test]
    fn single_characters_here_and_there_have_a_bound() {
        let mut store = Store::new();
        let editor = Editor::new(1);
        let full = (0..200).find_map(|_| {
            let update = editor.edit(|text, txn| {
                for _ in 0..1000 {
                    text.insert(txn, 0, "x");
                }
            });
            store.apply(&update).err()
        });
        assert_eq!(full, Some(Refused::Full));
        assert!(store.bytes() < 64 << 20, "{}", store.bytes());
    }

    #[test]
    fn it_is_rebuilt_as_it_was() {
        let mut store = Store::new();
        store.seed(&contents(&["1", "2"])).unwrap();
        let editor = Editor::new(1);
        store.apply(&editor.edit(|text, txn| text.insert(txn, 0, "more"))).unwrap();
        let vector = store.state_vector();
        let failed = store.merge(|_| panic!("as the library might"));
        assert_eq!(failed, Err(Refused::Failed));
        assert_eq!((store.contents(), store.state_vector()), (contents(&["1", "2"]), vector));
        for _ in 1..PANICS {
            assert!(store.merge(|_| panic!("again")).is_err());
        }
        let update = editor.edit(|text, txn| text.insert(txn, 0, "x"));
        assert_eq!(store.apply(&update), Err(Refused::Full), "each leaks a little");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        /// Some bytes of good updates are replaced: nothing panics, and a good update is still taken.
        #[test]
        fn hostile_updates_harm_nobody(
            texts in prop::collection::vec((0_u32..20, "[a-c🦀é]{0,6}", 0_u32..4), 1..8),
            holes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut store = Store::new();
            let editor = Editor::new(1);
            for (at, insert, remove) in texts {
                let length = editor.text.len(&editor.doc.transact());
                let mut update = editor.edit(|text, txn| {
                    text.insert(txn, at.min(length), &insert);
                    let length = text.len(txn);
                    let at = at.min(length);
                    text.remove_range(txn, at, remove.min(length - at));
                });
                let good = update.clone();
                for (at, byte) in &holes {
                    let at = at.index(update.len());
                    update[at] = *byte;
                }
                store.apply(&update).ok();
                store.apply(&good).ok();
            }
            prop_assert_eq!(store.panics, 0);
            let other = Editor::new(2);
            let update = other.edit(|text, txn| text.insert(txn, 0, "good"));
            prop_assert!(store.apply(&update).unwrap().is_some());
            store.contents();
        }
    }
}
