//! Which files a cell made or changed: those below the working directory that the kernel stamped since it began.
//!
//! Called before each DONE, so it is cheap where there are few files, and bounded where there are many: of a working
//! directory in which no name was added or removed, the names are kept from the time before ([`Listing`]). It opens
//! one directory after the other without following links, and looks at what is on the working directory's own file
//! system alone. Names that begin with a dot are left out, as are directories of what tools make for themselves.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::Supervisor;
use crate::sys;
use crate::sys::files::{About, Names, about, about_name, open_directory, open_root_listing};

/// Most paths that are told of a cell.
const MOST_PATHS: usize = 100;

/// Most bytes of paths that are told of a cell: with DONE they fit the link's buffer.
const MOST_BYTES: usize = 32 << 10; // 32 KiB

/// Most entries of directories that are looked at.
const MOST_ENTRIES: usize = 2000;

/// Most processor time for it: other than time that passes, it is the same on a busy machine.
const MOST_CPU_US: u64 = 5000; // 5 ms

/// Entries after which the processor time is asked for.
const ENTRIES_A_LOOK: usize = 32;

/// Most names of the working directory that are kept.
const MOST_KEPT: usize = 256;

/// Directories within each other that are entered.
const MOST_DEPTH: usize = 16;

/// Directories that tools fill, and no person looks at.
const LEFT_OUT: [&[u8]; 2] = [b"__pycache__", b"node_modules"];

/// The longest time in which the kernel's stamps are the same: its clock has at least 100 ticks a second.
const TICK: Duration = Duration::from_millis(20); // two of them

/// When a file was changed, by the kernel's stamp: seconds and nanoseconds.
type Stamp = (i64, i64);

/// What was found the last time, so that a file is told once though two cells share a tick of the kernel's clock.
#[derive(Default)]
pub(super) struct ChangedFiles {
    known: Vec<(Vec<u8>, Stamp)>,
    listing: Option<Listing>,
}

/// The names of the working directory, kept while they are its names.
struct Listing {
    directory: OwnedFd,
    /// When the directory was last changed before it was read.
    changed: Stamp,
    /// When it was read.
    read: Stamp,
    /// Those that count, each with the kind that the directory says it is.
    names: Vec<(CString, u8)>,
    /// All names, those that do not count too.
    entries: usize,
    is_whole: bool,
}

impl Supervisor {
    /// Looks for the files that the running cell of a program changed, once, and answers how many bytes the payload
    /// of FILES_CHANGED has; 0: there is nothing to tell.
    pub(super) fn find_changed_files(&mut self, at: usize) -> usize {
        let Some(cell) = &mut self.programs[at].cell else { return 0 };
        let since = cell.files_since;
        let (changed, workdir) = (&mut self.changed_files, &self.setup.workdir);
        cell.files_changed.get_or_insert_with(|| changed.since(since, workdir)).len()
    }

    /// Takes note of files that a transfer changed just now, and not the cell that is about to begin.
    pub(super) fn note_transferred_files(&mut self, now: Instant) {
        if self.files.changed_at.is_some_and(|at| now < at + TICK) {
            self.changed_files.since(sys::file_time(), &self.setup.workdir);
        }
    }
}

impl ChangedFiles {
    /// The payload of FILES_CHANGED for what was changed since then; empty: nothing was.
    fn since(&mut self, since: Stamp, workdir: &str) -> Vec<u8> {
        let mut walk = Walk {
            since,
            known: std::mem::take(&mut self.known),
            seen: Vec::new(),
            told: vec![0],
            count: 0,
            is_cut: false,
            entries: 0,
            until_us: None,
            device: None,
        };
        // A working directory that cannot be read has nothing to tell.
        self.listing = walk.start(self.listing.take(), workdir).unwrap_or(None);
        self.known = walk.seen;
        if walk.count == 0 {
            return Vec::new();
        }
        walk.told[0] = walk.is_cut.into();
        walk.told
    }
}

/// A walk over the working directory.
struct Walk {
    since: Stamp,
    known: Vec<(Vec<u8>, Stamp)>,
    /// What was changed since, told now or before.
    seen: Vec<(Vec<u8>, Stamp)>,
    /// The payload.
    told: Vec<u8>,
    /// Paths in it.
    count: usize,
    /// Whether not everything was looked at or told.
    is_cut: bool,
    entries: usize,
    /// Processor time at which it ends, once it is worth asking.
    until_us: Option<u64>,
    /// The device of the working directory, once there was a directory to enter.
    device: Option<u64>,
}

impl Walk {
    /// Looks at everything; answers the names of the working directory, if they are worth keeping.
    fn start(&mut self, kept: Option<Listing>, workdir: &str) -> io::Result<Option<Listing>> {
        let listing = match kept.filter(Listing::holds) {
            Some(listing) => listing,
            None => Listing::read(workdir)?,
        };
        let mut path = Vec::new();
        for (name, kind) in &listing.names {
            if self.is_over() {
                break;
            }
            path.clear();
            path.extend_from_slice(name.to_bytes());
            // What went away meanwhile, or cannot be read, has nothing to tell.
            let _ = self.look(listing.directory.as_fd(), name, *kind, &mut path, 0);
        }
        self.is_cut |= !listing.is_whole;
        self.entries += listing.entries - listing.names.len();
        Ok(Some(listing).filter(|listing| listing.names.len() <= MOST_KEPT))
    }

    /// Looks at the entries of a directory, whose path ends with a slash.
    fn list(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &mut Vec<u8>,
        depth: usize,
    ) -> io::Result<()> {
        loop {
            let names = Names::next_of(directory)?;
            if names.is_end() {
                return Ok(());
            }
            for (name, kind) in names.with_kinds() {
                let bytes = name.to_bytes();
                if self.is_over() {
                    return Ok(());
                }
                if is_left_out(bytes) {
                    continue;
                }
                let length = path.len();
                path.extend_from_slice(bytes);
                // What went away meanwhile, or cannot be read, has nothing to tell.
                let _ = self.look(directory, name, kind, path, depth);
                path.truncate(length);
            }
        }
    }

    fn look(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        kind: u8,
        path: &mut Vec<u8>,
        depth: usize,
    ) -> io::Result<()> {
        match kind {
            libc::DT_REG | libc::DT_UNKNOWN => {
                let about = about_name(directory, name)?;
                match about.kind() {
                    libc::S_IFREG => self.file(&about, path),
                    libc::S_IFDIR => self.enter(directory, name, path, depth)?,
                    _ => {}
                }
            }
            libc::DT_DIR => self.enter(directory, name, path, depth)?,
            _ => {}
        }
        Ok(())
    }

    fn enter(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        path: &mut Vec<u8>,
        depth: usize,
    ) -> io::Result<()> {
        if depth == MOST_DEPTH {
            self.is_cut = true;
            return Ok(());
        }
        let directory = open_directory(parent, name)?;
        let device = match self.device {
            Some(device) => device,
            None => *self.device.insert(about(parent)?.device), // this is the first that is entered
        };
        if about(directory.as_fd())?.device != device {
            return Ok(());
        }
        path.push(b'/');
        self.list(directory.as_fd(), path, depth + 1)
    }

    fn file(&mut self, about: &About, path: &[u8]) {
        if about.changed < self.since {
            return;
        }
        let is_known = self.known.iter().any(|(of, at)| of == path && *at == about.changed);
        if is_known || self.count < MOST_PATHS {
            self.seen.push((path.to_vec(), about.changed));
        }
        if is_known {
            return;
        }
        if self.count == MOST_PATHS || self.told.len() + path.len() + 1 > MOST_BYTES {
            self.is_cut = true;
            return;
        }
        self.told.extend_from_slice(path);
        self.told.push(0);
        self.count += 1;
    }

    /// Counts an entry. True: no more are looked at.
    fn is_over(&mut self) -> bool {
        if self.is_cut {
            return true;
        }
        self.entries += 1;
        if self.entries.is_multiple_of(ENTRIES_A_LOOK) {
            let now = sys::own_cpu_us();
            self.is_cut = now > *self.until_us.get_or_insert(now + MOST_CPU_US);
        }
        self.is_cut |= self.entries > MOST_ENTRIES;
        self.is_cut
    }
}

impl Listing {
    fn read(workdir: &str) -> io::Result<Listing> {
        let directory = open_root_listing(&CString::new(workdir)?)?;
        let (read, changed) = (sys::file_time(), about(directory.as_fd())?.changed);
        let names = Vec::new();
        let mut listing = Listing { directory, changed, read, names, entries: 0, is_whole: false };
        while listing.entries < MOST_ENTRIES {
            let names = Names::next_of(listing.directory.as_fd())?;
            if names.is_end() {
                listing.is_whole = true;
                break;
            }
            for (name, kind) in names.with_kinds() {
                listing.entries += 1;
                if !is_left_out(name.to_bytes()) {
                    listing.names.push((name.to_owned(), kind));
                }
            }
        }
        Ok(listing)
    }

    /// Whether these are still the names. A change in the same tick as the reading would not show, so a directory that
    /// had been changed just before it was read is read again.
    fn holds(&self) -> bool {
        let nanoseconds =
            |(seconds, rest): Stamp| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        let age = nanoseconds(self.read) - nanoseconds(self.changed);
        let is_same = |about: About| about.changed == self.changed;
        self.is_whole
            && age > TICK.as_nanos() as i128
            && about(self.directory.as_fd()).is_ok_and(is_same)
    }
}

/// Whether nothing of this name is told.
fn is_left_out(name: &[u8]) -> bool {
    name.starts_with(b".") || LEFT_OUT.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A working directory of its own, removed at the end.
    struct Workdir(std::path::PathBuf);

    impl Workdir {
        fn new(name: &str) -> Workdir {
            let name = format!("cellgate-changed-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Workdir(path)
        }

        fn write(&self, name: &str) {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }

        fn text(&self) -> &str {
            self.0.to_str().unwrap()
        }
    }

    impl Drop for Workdir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// The byte, and the paths in order.
    fn read(payload: &[u8]) -> (u8, Vec<String>) {
        let Some((more, paths)) = payload.split_first() else { return (0, Vec::new()) };
        let paths = paths.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        let mut paths: Vec<String> =
            paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        paths.sort();
        (*more, paths)
    }

    #[test]
    fn files_are_told_once_and_only_those_that_count() {
        let workdir = Workdir::new("once");
        let mut changed = ChangedFiles::default();
        let since = sys::file_time();
        for name in
            ["a", "sub/deep/b", ".hidden", ".git/c", "__pycache__/d", "x/node_modules/e", "x/f"]
        {
            workdir.write(name);
        }
        std::os::unix::fs::symlink("/etc", workdir.0.join("link")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", workdir.0.join("file-link")).unwrap();
        let expected = ["a", "sub/deep/b", "x/f"].map(String::from).to_vec();
        assert_eq!(read(&changed.since(since, workdir.text())), (0, expected));
        assert_eq!(changed.since(since, workdir.text()), b"", "not again");
        let before = changed.known.clone();
        await_tick(before[0].1);
        workdir.write("a");
        assert_eq!(read(&changed.since(since, workdir.text())), (0, vec!["a".into()]));
        assert_eq!(changed.since((i64::MAX, 0), workdir.text()), b"");
        assert_eq!(changed.since(since, "/none/such"), b"");
    }

    /// Waits until files are stamped later than this.
    fn await_tick(stamp: Stamp) {
        while sys::file_time() <= stamp {
            std::thread::yield_now();
        }
    }

    #[test]
    fn names_are_kept_until_one_is_added_or_removed() {
        let workdir = Workdir::new("kept");
        let mut changed = ChangedFiles::default();
        workdir.write("a");
        // Its own change and the reading must not fall into one tick. Since Linux 6.13 a file may be stamped later
        // than this clock says, by less than a tick.
        let (seconds, rest) = sys::file_time();
        let until = rest + 2 * TICK.as_nanos() as i64;
        await_tick((seconds + until / 1_000_000_000, until % 1_000_000_000));
        let since = sys::file_time();
        assert_eq!(changed.since(since, workdir.text()), b"");
        assert!(changed.listing.as_ref().unwrap().holds());
        workdir.write("a");
        assert_eq!(read(&changed.since(since, workdir.text())), (0, vec!["a".into()]));
        assert!(changed.listing.as_ref().unwrap().holds(), "only a file in it changed");
        workdir.write("b");
        assert!(!changed.listing.as_ref().unwrap().holds());
        assert_eq!(read(&changed.since(since, workdir.text())), (0, vec!["b".into()]));
        std::fs::remove_file(workdir.0.join("a")).unwrap();
        assert!(!changed.listing.as_ref().unwrap().holds());
        assert_eq!(changed.since(since, workdir.text()), b"");
    }

    #[test]
    fn of_many_a_part_is_told_and_that_there_are_more() {
        let workdir = Workdir::new("many");
        let since = sys::file_time();
        (0..=MOST_PATHS).for_each(|number| workdir.write(&format!("{number}")));
        let (more, paths) = read(&ChangedFiles::default().since(since, workdir.text()));
        assert_eq!((more, paths.len()), (1, MOST_PATHS));
        // Long names reach the other bound.
        let workdir = Workdir::new("long");
        let long = "d".repeat(250);
        (0..90).for_each(|number| workdir.write(&format!("{long}/{long}/{number}")));
        let payload = ChangedFiles::default().since(since, workdir.text());
        let (more, paths) = read(&payload);
        assert!(more == 1 && paths.len() > 50 && payload.len() <= MOST_BYTES, "{}", paths.len());
    }

    #[test]
    fn no_walk_is_without_end() {
        let workdir = Workdir::new("end");
        let since = sys::file_time();
        let deep = "d/".repeat(MOST_DEPTH + 1);
        workdir.write(&format!("{deep}file"));
        assert_eq!(changed(&workdir, since), (0, Vec::new()), "nothing to tell");
        let workdir = Workdir::new("entries");
        (0..MOST_ENTRIES).for_each(|number| workdir.write(&format!("sub/.{number}")));
        workdir.write("sub/.x");
        let (more, paths) = changed(&workdir, since);
        assert_eq!((more, paths), (0, Vec::new()));
    }

    fn changed(workdir: &Workdir, since: Stamp) -> (u8, Vec<String>) {
        read(&ChangedFiles::default().since(since, workdir.text()))
    }
}
