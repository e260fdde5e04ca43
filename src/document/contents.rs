//! What a document says: its title and its cells.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The digits of a position, in the order in which they sort.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Longest id of a cell, in bytes.
pub const CELL_ID_BYTES: usize = 128;

/// Most cells that a document is filled with.
pub(super) const CELLS: usize = 10_000;

/// A document's title and cells, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// Empty: it has none.
    #[serde(default)]
    pub title: String,
    /// In their order.
    pub cells: Vec<DocumentCell>,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentCell {
    /// Unique in the document; what `execute.cell` names.
    pub id: String,
    /// What its text is.
    #[serde(default)]
    pub kind: CellKind,
    /// The language of its code; `None`: the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Its text.
    pub source: String,
}

/// What the text of a cell is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    /// It is executed.
    #[default]
    Code,
    /// It is rendered.
    Markdown,
    /// Neither: it is kept as it is.
    Raw,
}

impl CellKind {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            CellKind::Code => "code",
            CellKind::Markdown => "markdown",
            CellKind::Raw => "raw",
        }
    }

    /// The kind of a word.
    pub(super) fn of(word: &str) -> Option<CellKind> {
        [CellKind::Code, CellKind::Markdown, CellKind::Raw]
            .into_iter()
            .find(|kind| kind.name() == word)
    }
}

/// What is wrong with the cells that a document is to be filled with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongContents {
    /// A cell's id is empty or too long.
    #[error("the id of a cell is 1 to {CELL_ID_BYTES} bytes")]
    Id,
    /// Two cells have one id.
    #[error("two cells have the id {0:?}; give each its own")]
    Twice(String),
    /// There are too many.
    #[error("a document is filled with at most {CELLS} cells")]
    TooMany,
}

impl Contents {
    /// Sorts cells by their positions. One without a position stands behind the one before it, where a
    /// client that knows nothing of positions has put it.
    pub(super) fn ordered(title: String, cells: Vec<(Option<String>, DocumentCell)>) -> Contents {
        let mut last = String::new();
        let mut placed: Vec<(String, DocumentCell)> = cells
            .into_iter()
            .map(|(position, cell)| {
                if let Some(position) = position.filter(|position| is_position(position)) {
                    last = position;
                }
                (last.clone(), cell)
            })
            .collect();
        placed.sort_by(|(one, _), (other, _)| one.cmp(other)); // stable: equal ones by the array's order
        Contents { title, cells: placed.into_iter().map(|(_, cell)| cell).collect() }
    }

    /// Whether a document may be filled with this.
    pub fn check(&self) -> Result<(), WrongContents> {
        if self.cells.len() > CELLS {
            return Err(WrongContents::TooMany);
        }
        let mut ids = std::collections::HashSet::new();
        for cell in &self.cells {
            if cell.id.is_empty() || cell.id.len() > CELL_ID_BYTES {
                return Err(WrongContents::Id);
            }
            if !ids.insert(cell.id.as_str()) {
                return Err(WrongContents::Twice(cell.id.clone()));
            }
        }
        Ok(())
    }
}

/// Whether it is a position: digits, the last of which is not the lowest.
fn is_position(text: &str) -> bool {
    text.bytes().all(|byte| DIGITS.contains(&byte))
        && text.bytes().next_back().is_some_and(|last| last != b'0')
}

/// So many positions, rising, between which there is room: a fractional index each.
pub(super) fn spread_positions(count: usize) -> impl Iterator<Item = String> {
    let mut width = 1;
    while DIGITS.len().pow(width) <= count {
        width += 1;
    }
    (0..count).map(move |index| {
        let mut digits: Vec<u8> = Vec::new();
        let mut rest = index;
        for _ in 0..width {
            digits.push(DIGITS[rest % DIGITS.len()]);
            rest /= DIGITS.len();
        }
        digits.reverse();
        // Never ends in 0, before which there would be no room.
        digits.push(b'V');
        digits.into_iter().map(char::from).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(id: &str) -> DocumentCell {
        DocumentCell { id: id.into(), ..DocumentCell::default() }
    }

    #[test]
    fn cells_stand_where_they_were_moved_to_and_a_strangers_behind_its_neighbour() {
        let at = |position: &str, id: &str| (Some(position.to_owned()), cell(id));
        // What is no position counts as none.
        let cells = vec![
            at("0", "w"),
            at("V", "a"),
            (None, cell("x")),
            at("z", "c"),
            at("X", "b"),
            (None, cell("y")),
        ];
        let ordered = Contents::ordered(String::new(), cells);
        let ids: Vec<&str> = ordered.cells.iter().map(|cell| cell.id.as_str()).collect();
        assert_eq!(ids, ["w", "a", "x", "b", "y", "c"]);
    }

    #[test]
    fn positions_rise_and_leave_room() {
        for count in [0, 1, 2, 61, 62, 63, 5000] {
            let positions: Vec<String> = spread_positions(count).collect();
            assert_eq!(positions.len(), count);
            assert!(positions.is_sorted_by(|one, other| one < other));
            assert!(positions.iter().all(|position| !position.ends_with('0')));
        }
    }

    #[test]
    fn cells_with_no_id_or_that_of_another_are_refused() {
        let of = |cells: &[DocumentCell]| {
            Contents { title: String::new(), cells: cells.to_vec() }.check()
        };
        assert_eq!(of(&[cell("a"), cell("b")]), Ok(()));
        assert_eq!(of(&[cell("a"), cell("a")]), Err(WrongContents::Twice("a".into())));
        assert_eq!(of(&[cell("")]), Err(WrongContents::Id));
        assert_eq!(of(&vec![cell("a"); CELLS + 1]), Err(WrongContents::TooMany));
    }
}
