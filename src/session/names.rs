//! Which cell has which name and number. Pure.
//!
//! Clients name cells with texts, the wire with numbers that rise by one. Names are remembered
//! beyond the cell's end: a repeated name must be refused, and a thread may write long after its
//! cell is done.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// How many cells are remembered. Older names could be used again and older output is dropped;
/// 65,536 cells of 40 bytes are 3 MiB, and an hour of a cell every 55 ms.
const REMEMBERED: usize = 64 << 10;

/// The names of a session's cells.
#[derive(Debug)]
pub struct Names {
    /// With the program that each is of.
    by_number: VecDeque<(Arc<str>, u16)>,
    taken: HashSet<Arc<str>>,
    /// Number of the oldest cell remembered.
    first: u32,
}

impl Default for Names {
    /// No cells yet.
    fn default() -> Names {
        Names { by_number: VecDeque::new(), taken: HashSet::new(), first: 1 }
    }
}

impl Names {
    /// Gives the next cell, which is of this program, its number, and a name if the client gave none. `None`: the name is
    /// taken.
    pub fn add(&mut self, wanted: Option<String>, program: u16) -> Option<(u32, Arc<str>)> {
        let number = self.first + self.by_number.len() as u32;
        let name: Arc<str> = match wanted {
            Some(name) if self.taken.contains(name.as_str()) => return None,
            Some(name) => name.into(),
            None => self.invent(number),
        };
        self.taken.insert(Arc::clone(&name));
        self.by_number.push_back((Arc::clone(&name), program));
        if self.by_number.len() > REMEMBERED
            && let Some((oldest, _)) = self.by_number.pop_front()
        {
            self.taken.remove(&oldest);
            self.first += 1;
        }
        Some((number, name))
    }

    /// The name of a cell of this program.
    pub fn name(&self, number: u32, program: u16) -> Option<&Arc<str>> {
        let at = number.checked_sub(self.first)?;
        let (name, of) = self.by_number.get(at as usize)?;
        (*of == program).then_some(name)
    }

    /// Whether a cell of this name was accepted.
    pub fn knows(&self, name: &str) -> bool {
        self.taken.contains(name)
    }

    fn invent(&self, number: u32) -> Arc<str> {
        let plain = format!("cell-{number}");
        if !self.taken.contains(plain.as_str()) {
            return plain.into();
        }
        // A client chose names that look like ours; one of so many suffixes is free.
        (0..=self.taken.len())
            .map(|suffix| format!("{plain}-{suffix}"))
            .find(|name| !self.taken.contains(name.as_str()))
            .unwrap_or(plain)
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_names_are_unique_and_found_again() {
        let mut names = Names::default();
        assert_eq!(names.add(Some("a".into()), 0).unwrap().0, 1);
        assert_eq!(names.add(Some("a".into()), 0), None);
        assert_eq!(names.add(Some("cell-2".into()), 0).unwrap().0, 2);
        assert_eq!(names.add(None, 0).unwrap(), (3, "cell-3".into()));
        assert_eq!(names.add(Some("cell-4-x".into()), 0).unwrap().0, 4);
        assert_eq!(names.add(Some("cell-6".into()), 0).unwrap().0, 5);
        assert_eq!(names.add(None, 0).unwrap(), (6, "cell-6-0".into()));
        assert_eq!(names.name(5, 0).map(|name| &**name), Some("cell-6"));
        assert_eq!((names.name(0, 0), names.name(7, 0)), (None, None));
        assert_eq!(names.name(5, 1), None, "another program's");
        assert!(names.knows("a") && !names.knows("b"));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut names = Names::default();
        for _ in 0..REMEMBERED + 2 {
            names.add(None, 0).unwrap();
        }
        assert_eq!(names.name(2, 0), None);
        assert_eq!(names.name(3, 0).map(|name| &**name), Some("cell-3"));
        assert!(!names.knows("cell-1"));
    }
}
