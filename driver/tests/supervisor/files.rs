//! Files through the link: whole and beside cells, and never from outside the working directory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use cellgate_driver::wire::files::{
    Begun, CHUNK_BYTES, Entry, EntryKind, FileAnswer, FileCommand, MOST_LEVELS, MOST_TRANSFERS,
    Refusal,
};
use cellgate_driver::wire::{Setup, kind};

use crate::harness::{Gateway, setup};

/// A supervisor whose working directory is the test's own.
pub(crate) fn start() -> Gateway {
    let mut gateway = Gateway::bare(Command::new(env!("CARGO_BIN_EXE_cellgate-driver")));
    fs::create_dir(gateway.path("work")).unwrap();
    let workdir = gateway.path("work").to_str().unwrap().to_owned();
    let setup = Setup { workdir, ..setup() };
    gateway.send(kind::SETUP, 0, &setup.encode());
    gateway.expect(kind::READY);
    gateway
}

/// What a test keeps of an answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Begun(Begun),
    Chunk(Vec<u8>),
    Took,
    Refused(Refusal),
}

impl Gateway {
    pub(crate) fn work(&self, name: &str) -> std::path::PathBuf {
        self.path("work").join(name)
    }

    pub(crate) fn ask(&mut self, number: u32, command: &FileCommand<'_>) -> Answer {
        self.send(kind::FILE, number, &command.encode());
        self.answer(number)
    }

    /// The answer to the last command, whatever a cell says before it.
    fn answer(&mut self, number: u32) -> Answer {
        let frame = self.until(kind::FILE_ANSWER).pop().unwrap();
        assert_eq!((frame.cell, frame.flags), (number, 0));
        match FileAnswer::decode(&frame.payload).unwrap() {
            FileAnswer::Begun(begun) => Answer::Begun(begun),
            FileAnswer::Chunk(bytes) => Answer::Chunk(bytes.to_vec()),
            FileAnswer::Took => Answer::Took,
            FileAnswer::Refused(why, sentence) => {
                assert!(!sentence.is_empty());
                Answer::Refused(why)
            }
        }
    }

    fn read_file(&mut self, number: u32, path: &str) -> Result<Vec<u8>, Refusal> {
        match self.ask(number, &FileCommand::Read(path.as_bytes())) {
            Answer::Begun(begun) => {
                let bytes = self.rest(number)?;
                assert_eq!(bytes.len() as u64, begun.size);
                Ok(bytes)
            }
            Answer::Refused(why) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    fn rest(&mut self, number: u32) -> Result<Vec<u8>, Refusal> {
        let mut all = Vec::new();
        loop {
            match self.ask(number, &FileCommand::Next) {
                Answer::Chunk(bytes) if bytes.is_empty() => return Ok(all),
                Answer::Chunk(bytes) => all.extend(bytes),
                Answer::Refused(why) => return Err(why),
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn write_file(
        &mut self,
        number: u32,
        path: &str,
        bytes: &[u8],
    ) -> Result<bool, Refusal> {
        let existed = match self.ask(number, &FileCommand::Write(path.as_bytes())) {
            Answer::Begun(begun) => begun.existed,
            Answer::Refused(why) => return Err(why),
            other => panic!("{other:?}"),
        };
        let chunks = bytes.chunks(CHUNK_BYTES).map(FileCommand::Append);
        for command in chunks.chain([FileCommand::Commit]) {
            match self.ask(number, &command) {
                Answer::Took => {}
                Answer::Refused(why) => return Err(why),
                other => panic!("{other:?}"),
            }
        }
        Ok(existed)
    }

    /// What a change that is done at once comes to.
    fn change(&mut self, command: &FileCommand<'_>) -> Result<(), Refusal> {
        match self.ask(1, command) {
            Answer::Took | Answer::Begun(_) => Ok(()),
            Answer::Refused(why) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    fn remove(&mut self, path: &str) -> Result<(), Refusal> {
        self.change(&FileCommand::Remove(path.as_bytes()))
    }

    fn move_to(&mut self, from: &str, to: &str) -> Result<(), Refusal> {
        self.change(&FileCommand::Move { from: from.as_bytes(), to: to.as_bytes() })
    }

    /// Whether a directory that is to be made was there.
    fn make(&mut self, path: &str) -> Result<bool, Refusal> {
        match self.ask(1, &FileCommand::Make(path.as_bytes())) {
            Answer::Begun(begun) => Ok(begun.existed),
            Answer::Refused(why) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    /// Removes a directory with all in it; how many names that were.
    fn empty(&mut self, number: u32, path: &str) -> Result<u64, Refusal> {
        if let Answer::Refused(why) = self.ask(number, &FileCommand::Empty(path.as_bytes())) {
            return Err(why);
        }
        let counts = self.rest(number)?;
        let counts = counts.chunks(8).map(|count| u64::from_le_bytes(count.try_into().unwrap()));
        Ok(counts.sum())
    }

    /// Names and kinds in a directory, sorted.
    pub(crate) fn list(
        &mut self,
        number: u32,
        path: &str,
    ) -> Result<Vec<(String, EntryKind, u64)>, Refusal> {
        if let Answer::Refused(why) = self.ask(number, &FileCommand::List(path.as_bytes())) {
            return Err(why);
        }
        let bytes = self.rest(number)?;
        let mut rest = &bytes[..];
        let mut entries = Vec::new();
        while let Some(Entry { kind, size, modified_ms, name, .. }) =
            Entry::take(&mut rest).unwrap()
        {
            assert!(modified_ms > 1_600_000_000_000);
            entries.push((String::from_utf8_lossy(name).into_owned(), kind, size));
        }
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(entries)
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_read_again() {
    let mut gateway = start();
    let bytes: Vec<u8> =
        (0..5 * CHUNK_BYTES as u32 / 2).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    assert_eq!(gateway.write_file(1, "new/deep/é", &bytes), Ok(false));
    assert_eq!(fs::read(gateway.work("new/deep/é")).unwrap(), bytes);
    assert_eq!(gateway.read_file(2, "new/deep/é"), Ok(bytes));
    assert_eq!(gateway.write_file(3, "empty", b""), Ok(false));
    assert_eq!(gateway.read_file(4, "empty"), Ok(Vec::new()));

    // What is replaced keeps its permissions.
    fs::set_permissions(gateway.work("empty"), PermissionsExt::from_mode(0o750)).unwrap();
    assert_eq!(gateway.write_file(5, "empty", b"full"), Ok(true));
    let mode = fs::metadata(gateway.work("empty")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o750);
    assert_eq!(names(&gateway.path("work")), ["empty", "new"]);
}

#[test]
fn a_file_is_whole_or_not_there() {
    let mut gateway = start();
    fs::write(gateway.work("kept"), "old").unwrap();
    for number in [1, 2] {
        assert!(matches!(gateway.ask(number, &FileCommand::Write(b"kept")), Answer::Begun(_)));
        assert_eq!(gateway.ask(number, &FileCommand::Append(b"new")), Answer::Took);
        assert_eq!(fs::read_to_string(gateway.work("kept")).unwrap(), "old");
    }
    gateway.send(kind::FILE, 1, &FileCommand::Abandon.encode());
    assert_eq!(gateway.ask(2, &FileCommand::Commit), Answer::Took);
    assert_eq!(fs::read_to_string(gateway.work("kept")).unwrap(), "new");
    assert_eq!(names(&gateway.path("work")), ["kept"]);
    // Both are over.
    for number in [1, 2] {
        let again = gateway.ask(number, &FileCommand::Commit);
        assert_eq!(again, Answer::Refused(Refusal::NotOpen));
    }
}

#[test]
fn directories_are_listed_in_chunks() {
    let mut gateway = start();
    fs::create_dir(gateway.work("many")).unwrap();
    for number in 0..1000 {
        fs::write(gateway.work(&format!("many/a rather long name {number:04}")), "x").unwrap();
    }
    fs::create_dir(gateway.work("many/directory")).unwrap();
    symlink("/etc/passwd", gateway.work("many/link")).unwrap();
    assert!(Command::new("mkfifo").arg(gateway.work("many/pipe")).status().unwrap().success());
    let entries = gateway.list(1, "many").unwrap();
    assert_eq!(entries.len(), 1003);
    assert_eq!(entries[7], ("a rather long name 0007".into(), EntryKind::File, 1));
    let others: Vec<_> =
        entries[1000..].iter().map(|(name, kind, _)| (name.as_str(), *kind)).collect();
    let expected = [
        ("directory", EntryKind::Directory),
        ("link", EntryKind::Link),
        ("pipe", EntryKind::Other),
    ];
    assert_eq!(others, expected);
    assert_eq!(gateway.list(2, ""), Ok(vec![("many".into(), EntryKind::Directory, 0)]));
    assert_eq!(gateway.list(3, "many/directory"), Ok(Vec::new()));
}

#[test]
fn nothing_outside_is_reached_and_no_trap_is_stepped_into() {
    let mut gateway = start();
    fs::write(gateway.path("secret"), "outside").unwrap();
    fs::create_dir(gateway.work("directory")).unwrap();
    fs::write(gateway.work("file"), "inside").unwrap();
    let up = gateway.path("");
    symlink("/etc/passwd", gateway.work("absolute")).unwrap();
    symlink("..", gateway.work("parent")).unwrap();
    symlink(&up, gateway.work("directory/up")).unwrap();
    symlink("file", gateway.work("harmless")).unwrap();
    symlink("nowhere", gateway.work("dangling")).unwrap();
    assert!(Command::new("mkfifo").arg(gateway.work("pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(gateway.work("socket")).unwrap();
    let cases = [
        ("absolute", Refusal::Link),
        ("harmless", Refusal::Link),
        ("dangling", Refusal::Link),
        ("parent", Refusal::Link),
        ("parent/secret", Refusal::Link),
        ("directory/up/secret", Refusal::Link),
        ("file/below", Refusal::NotADirectory),
        ("pipe/below", Refusal::NotADirectory),
        ("../secret", Refusal::BadPath),
        ("directory/../../secret", Refusal::BadPath),
        ("/etc/passwd", Refusal::BadPath),
        ("directory//up", Refusal::BadPath),
        (".", Refusal::BadPath),
        ("a\0b", Refusal::BadPath),
    ];
    let long = "n".repeat(256);
    for (path, why) in cases.into_iter().chain([(long.as_str(), Refusal::BadPath)]) {
        assert_eq!(gateway.read_file(1, path), Err(why), "read {path:?}");
        assert_eq!(gateway.write_file(2, path, b"x"), Err(why), "write {path:?}");
        assert_eq!(gateway.list(3, path), Err(why), "list {path:?}");
    }
    for (path, why) in [
        ("pipe", Refusal::Special),
        ("socket", Refusal::Special),
        ("directory", Refusal::Directory),
    ] {
        assert_eq!(gateway.read_file(1, path), Err(why), "read {path:?}");
        assert_eq!(gateway.write_file(2, path, b"x"), Err(why), "write {path:?}");
    }
    for path in ["pipe", "socket", "file"] {
        assert_eq!(gateway.list(3, path), Err(Refusal::NotADirectory), "list {path:?}");
    }
    for path in ["missing", "missing/file"] {
        assert_eq!(gateway.read_file(1, path), Err(Refusal::NotFound));
        assert_eq!(gateway.list(3, path), Err(Refusal::NotFound));
    }
    assert_eq!(names(&up), ["secret", "work"]);
    assert_eq!(fs::read_to_string(gateway.path("secret")).unwrap(), "outside");
    assert_eq!(gateway.read_file(1, "file"), Ok(b"inside".to_vec()));
}

#[test]
fn a_directory_that_turns_into_a_link_and_back_leads_nowhere() {
    let mut gateway = start();
    fs::create_dir(gateway.path("outside")).unwrap();
    fs::write(gateway.path("outside/file"), "outside").unwrap();
    fs::create_dir(gateway.work("d")).unwrap();
    fs::write(gateway.work("d/file"), "inside").unwrap();
    symlink("../outside", gateway.work("link")).unwrap();
    // They change places without a moment between.
    gateway.execute(
        1,
        "import ctypes\nlibrary = ctypes.CDLL(None)\nmessage(b'begun')\n\
         while True: assert library.renameat2(-100, b'd', -100, b'link', 2) == 0",
    );
    gateway.expect(kind::MESSAGE);
    let (mut inside, mut refused) = (0, 0);
    while inside < 50 || refused < 50 {
        let read = gateway.read_file(1, "d/file");
        let written = gateway.write_file(2, "d/new", b"x").map(|_| b"inside".to_vec());
        for outcome in [read, written] {
            match outcome {
                Ok(bytes) => {
                    assert_eq!(bytes, b"inside");
                    inside += 1;
                }
                Err(why) => {
                    assert_eq!(why, Refusal::Link);
                    refused += 1;
                }
            }
        }
    }
    assert_eq!(names(&gateway.path("outside")), ["file"]);
}

#[test]
fn names_are_removed_and_no_link_is_followed() {
    let mut gateway = start();
    fs::create_dir_all(gateway.work("full/inner")).unwrap();
    fs::create_dir(gateway.path("outside")).unwrap();
    fs::write(gateway.path("outside/kept"), "kept").unwrap();
    fs::write(gateway.work("file"), "x").unwrap();
    symlink("../outside", gateway.work("link")).unwrap();
    symlink("../../outside", gateway.work("full/link")).unwrap();
    assert!(Command::new("mkfifo").arg(gateway.work("pipe")).status().unwrap().success());
    for (path, why) in [
        ("missing", Refusal::NotFound),
        ("missing/file", Refusal::NotFound),
        ("full", Refusal::NotEmpty),
        ("link/kept", Refusal::Link),
        ("file/below", Refusal::NotADirectory),
        ("../outside/kept", Refusal::BadPath),
        ("", Refusal::BadPath),
    ] {
        assert_eq!(gateway.remove(path), Err(why), "{path}");
        if path != "full" {
            assert_eq!(gateway.empty(2, path), Err(why), "{path}");
        }
    }
    // A link and a file are no directories to be emptied.
    assert_eq!(gateway.empty(2, "link"), Err(Refusal::Link));
    assert_eq!(gateway.empty(2, "file"), Err(Refusal::NotADirectory));
    for path in ["file", "link", "pipe", "full/inner"] {
        assert_eq!(gateway.remove(path), Ok(()), "{path}");
    }
    assert_eq!(names(&gateway.path("work")), ["full"]);
    assert_eq!(gateway.empty(2, "full"), Ok(2));
    assert_eq!(names(&gateway.path("work")), Vec::<String>::new());
    assert_eq!(names(&gateway.path("outside")), ["kept"]);
}

#[test]
fn a_directory_is_removed_with_all_in_it() {
    let mut gateway = start();
    for directory in 0..30 {
        let directory = gateway.work(&format!("tree/{directory}/inner"));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..100 {
            fs::write(directory.join(format!("a rather long name {file}")), "x").unwrap();
        }
    }
    fs::write(gateway.work("beside"), "x").unwrap();
    let expected = 1 + 30 * (2 + 100);
    assert_eq!(gateway.empty(1, "tree"), Ok(expected));
    assert_eq!(names(&gateway.path("work")), ["beside"]);
    // One that is given up leaves the rest, and is over.
    fs::create_dir_all(gateway.work("tree/inner")).unwrap();
    assert!(matches!(gateway.ask(2, &FileCommand::Empty(b"tree")), Answer::Begun(_)));
    gateway.send(kind::FILE, 2, &FileCommand::Abandon.encode());
    assert_eq!(gateway.ask(2, &FileCommand::Next), Answer::Refused(Refusal::NotOpen));
    assert_eq!(names(&gateway.path("work")), ["beside", "tree"]);
}

#[test]
fn a_tree_that_is_too_deep_is_left() {
    let mut gateway = start();
    let deep = |levels: usize| vec!["d"; levels].join("/");
    fs::create_dir_all(gateway.work(&deep(MOST_LEVELS))).unwrap();
    assert_eq!(gateway.empty(1, "d"), Ok(MOST_LEVELS as u64));
    fs::create_dir_all(gateway.work(&deep(MOST_LEVELS + 1))).unwrap();
    assert_eq!(gateway.empty(1, "d"), Ok(MOST_LEVELS as u64 + 1), "the innermost is empty");
    fs::create_dir_all(gateway.work(&deep(MOST_LEVELS + 2))).unwrap();
    assert_eq!(gateway.empty(1, "d"), Err(Refusal::TooLarge));
    assert!(gateway.work(&deep(MOST_LEVELS + 2)).is_dir());
}

#[test]
fn a_directory_that_is_replaced_by_a_link_while_it_is_emptied_leads_nowhere() {
    let mut gateway = start();
    fs::create_dir(gateway.path("outside")).unwrap();
    for number in 0..50 {
        fs::write(gateway.path(&format!("outside/{number}")), "outside").unwrap();
    }
    symlink("../../outside", gateway.work("link")).unwrap();
    gateway.execute(
        1,
        "import ctypes\nlibrary = ctypes.CDLL(None)\nmessage(b'begun')\n\
         while True: library.renameat2(-100, b'tree/d', -100, b'link', 2)",
    );
    gateway.expect(kind::MESSAGE);
    let (mut removed, mut refused) = (0, 0);
    for round in 0..2000 {
        if removed >= 5 && refused >= 5 {
            break;
        }
        // Whatever of both was removed by the round before is there again.
        let tree = gateway.work("tree");
        fs::create_dir_all(&tree).unwrap();
        for place in [gateway.work("tree/d"), gateway.work("link")] {
            if fs::symlink_metadata(&place).is_err() {
                let _ = fs::create_dir(&place);
            }
            // Through whichever of the two is a directory at this moment.
            for number in 0..20 {
                if fs::symlink_metadata(&place).is_ok_and(|about| about.is_dir()) {
                    let _ = fs::write(place.join(format!("inside {number}")), "x");
                }
            }
        }
        match gateway.empty(1, "tree") {
            Ok(_) => removed += 1,
            Err(Refusal::Link | Refusal::NotADirectory | Refusal::NotFound) => refused += 1,
            Err(why) => panic!("{why:?}"),
        }
        if fs::symlink_metadata(gateway.work("link")).is_ok_and(|about| about.is_dir())
            && fs::symlink_metadata(gateway.work("tree/d")).is_err()
        {
            fs::remove_dir_all(gateway.work("link")).unwrap();
            symlink("../../outside", gateway.work("link")).unwrap();
        }
        assert!(round < 1999, "{removed} removed, {refused} refused");
    }
    let kept = names(&gateway.path("outside"));
    assert_eq!(kept.iter().filter(|name| !name.starts_with("inside")).count(), 50);
}

#[test]
fn what_is_mounted_in_a_directory_is_left() {
    let namespaces = ["--user", "--map-root-user", "--mount"];
    let can_mount = Command::new("unshare").args(namespaces).arg("true").status();
    if !can_mount.is_ok_and(|status| status.success()) {
        let required = std::env::var("CELLGATE_REQUIRE").is_ok_and(|value| value == "all");
        assert!(!required, "required, but unshare can make no namespaces here");
        eprintln!("skipped: unshare can make no namespaces here");
        return;
    }
    let name = format!("cellgate-driver-mount-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    let work = directory.join("work");
    fs::create_dir_all(work.join("d/mounted")).unwrap();
    fs::create_dir_all(directory.join("other/inner")).unwrap();
    fs::write(directory.join("other/kept"), "kept").unwrap();
    // The same file system once more: its device alone does not tell that it is mounted there.
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["sh", "-c"]);
    command.arg("at=$1; shift; mount --bind \"$at/other\" \"$at/work/d/mounted\" && exec \"$@\"");
    command.arg("sh").arg(&directory).arg(env!("CARGO_BIN_EXE_cellgate-driver"));
    let mut gateway = Gateway::bare(command);
    let workdir = work.to_str().unwrap().to_owned();
    gateway.send(kind::SETUP, 0, &Setup { workdir, ..setup() }.encode());
    gateway.expect(kind::READY);
    assert_eq!(gateway.list(1, "d/mounted").unwrap().len(), 2, "it is mounted");
    // A name cannot be taken from what is mounted there.
    assert_eq!(gateway.remove("d/mounted"), Err(Refusal::Busy));
    for path in ["d", "d/mounted"] {
        let refused = gateway.empty(1, path);
        assert!(matches!(refused, Err(Refusal::Mount | Refusal::Busy)), "{path}: {refused:?}");
    }
    assert_eq!(gateway.empty(1, "d/mounted"), Err(Refusal::Mount));
    assert_eq!(gateway.move_to("d/mounted/kept", "taken"), Err(Refusal::Mount));
    assert_eq!(names(&directory.join("other")), ["inner", "kept"]);
    drop(gateway);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn names_are_moved_where_nothing_is() {
    let mut gateway = start();
    fs::create_dir_all(gateway.work("d/inner")).unwrap();
    fs::create_dir(gateway.path("outside")).unwrap();
    symlink("../outside", gateway.work("link")).unwrap();
    fs::write(gateway.work("file"), "x").unwrap();
    fs::write(gateway.work("other"), "y").unwrap();
    for (from, to, why) in [
        ("missing", "new", Refusal::NotFound),
        ("file", "missing/new", Refusal::NotFound),
        ("file", "other", Refusal::Exists),
        ("file", "file", Refusal::Exists),
        ("file", "d", Refusal::Exists),
        ("file", "link", Refusal::Exists),
        ("d", "d/inner/d", Refusal::Exists),
        ("file", "link/new", Refusal::Link),
        ("link/x", "new", Refusal::Link),
        ("file", "other/new", Refusal::NotADirectory),
        ("file", "../new", Refusal::BadPath),
        ("../outside", "new", Refusal::BadPath),
        ("file", "", Refusal::BadPath),
    ] {
        assert_eq!(gateway.move_to(from, to), Err(why), "{from} to {to}");
    }
    assert_eq!(gateway.move_to("file", "d/inner/new"), Ok(()));
    assert_eq!(gateway.move_to("d", "e"), Ok(()));
    assert_eq!(gateway.move_to("link", "e/link"), Ok(()));
    assert_eq!(gateway.read_file(1, "e/inner/new"), Ok(b"x".to_vec()));
    assert_eq!(names(&gateway.path("work")), ["e", "other"]);
    assert_eq!(names(&gateway.work("e")), ["inner", "link"]);
    assert_eq!(names(&gateway.path("outside")), Vec::<String>::new());
}

#[test]
fn directories_are_made_with_those_on_their_way() {
    let mut gateway = start();
    symlink("..", gateway.work("up")).unwrap();
    fs::write(gateway.work("file"), "x").unwrap();
    assert_eq!(gateway.make("a/b/c"), Ok(false));
    assert_eq!(gateway.make("a/b"), Ok(true));
    for (path, why) in [
        ("up", Refusal::Link),
        ("up/new", Refusal::Link),
        ("file", Refusal::Exists),
        ("file/new", Refusal::NotADirectory),
        ("../new", Refusal::BadPath),
    ] {
        assert_eq!(gateway.make(path), Err(why), "{path}");
    }
    assert_eq!(names(&gateway.path("work")), ["a", "file", "up"]);
    assert!(gateway.work("a/b/c").is_dir());
}

#[test]
fn files_pass_beside_a_cell_that_floods() {
    let mut gateway = start();
    let bytes = vec![7; 20 * CHUNK_BYTES];
    fs::write(gateway.work("file"), &bytes).unwrap();
    gateway.execute(1, "while True: os.write(1, b'x' * 65536)");
    gateway.expect(kind::OUTPUT);
    assert_eq!(gateway.read_file(1, "file"), Ok(bytes));
    assert_eq!(gateway.write_file(2, "other", b"y"), Ok(false));
    gateway.interrupt(1, 10_000);
    gateway.until(kind::DONE);
}

#[test]
fn transfers_survive_the_interpreter() {
    let mut gateway = start();
    assert!(matches!(gateway.ask(1, &FileCommand::Write(b"file")), Answer::Begun(_)));
    assert_eq!(gateway.ask(1, &FileCommand::Append(b"before ")), Answer::Took);
    gateway.send(kind::RESTART, 0, b"");
    gateway.until(kind::READY);
    assert_eq!(gateway.ask(1, &FileCommand::Append(b"after")), Answer::Took);
    assert_eq!(gateway.ask(1, &FileCommand::Commit), Answer::Took);
    assert_eq!(gateway.read_file(1, "file"), Ok(b"before after".to_vec()));
}

#[test]
fn transfers_are_counted() {
    let mut gateway = start();
    fs::write(gateway.work("file"), "x").unwrap();
    let most = MOST_TRANSFERS as u32;
    for number in 1..=most {
        assert!(matches!(gateway.ask(number, &FileCommand::Read(b"file")), Answer::Begun(_)));
    }
    let refused = Answer::Refused(Refusal::TooMany);
    assert_eq!(gateway.ask(most + 1, &FileCommand::Read(b"file")), refused);
    gateway.send(kind::FILE, 1, &FileCommand::Abandon.encode());
    gateway.send(kind::FILE, 77, &FileCommand::Abandon.encode()); // of nothing
    assert_eq!(gateway.read_file(most + 1, "file"), Ok(b"x".to_vec()));
}

#[test]
fn a_gateway_that_breaks_the_rules_ends_the_supervisor() {
    let breaches: [&[FileCommand<'_>]; 7] = [
        &[FileCommand::Remove(b"other")],
        &[FileCommand::Abandon, FileCommand::Empty(b"d"), FileCommand::Commit],
        &[FileCommand::Read(b"file")],
        &[FileCommand::Append(b"x")],
        &[FileCommand::Commit],
        &[FileCommand::Abandon, FileCommand::Write(b"x"), FileCommand::Next],
        &[FileCommand::Abandon, FileCommand::List(b""), FileCommand::Append(b"x")],
    ];
    for commands in breaches {
        let mut gateway = start();
        fs::write(gateway.work("file"), "x").unwrap();
        fs::create_dir(gateway.work("d")).unwrap();
        assert!(matches!(gateway.ask(1, &FileCommand::Read(b"file")), Answer::Begun(_)));
        for command in commands {
            gateway.send(kind::FILE, 1, &command.encode());
        }
        assert!(!gateway.wait().success(), "{commands:?}");
        assert_eq!(names(&gateway.path("work")), ["d", "file"], "{commands:?}");
    }
    for payload in [&b""[..], b"\0", b"\x63"] {
        let mut gateway = start();
        gateway.send(kind::FILE, 1, payload);
        assert!(!gateway.wait().success(), "{payload:?}");
    }
}
