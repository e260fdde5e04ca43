//! Watches: every change is told, nothing outside of the working directory is, and little is held.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;

use cellgate_driver::wire::file_events::{
    EVENTS_BYTES, FileChange, FileEvent, MOST_WATCHED, MOST_WATCHES,
};
use cellgate_driver::wire::files::{FileCommand, Refusal};
use cellgate_driver::wire::kind;

use crate::files::{Answer, start};
use crate::harness::Gateway;

/// One event as text, such as `created d/`; a directory has a slash at its end.
fn text(event: FileEvent<'_>) -> String {
    let slash = |is_directory| if is_directory { "/" } else { "" };
    let show = |path| String::from_utf8_lossy(path).into_owned();
    match event {
        FileEvent::Changed { change, is_directory, path } => {
            let change = match change {
                FileChange::Created => "created",
                FileChange::Written => "written",
                FileChange::Removed => "removed",
            };
            format!("{change} {}{}", show(path), slash(is_directory))
        }
        FileEvent::Renamed { is_directory, path, to } => {
            format!("renamed {}{} to {}", show(path), slash(is_directory), show(to))
        }
        FileEvent::Overflow => "overflow".to_owned(),
    }
}

fn events_of(chunk: &[u8]) -> Vec<String> {
    let mut rest = chunk;
    let mut events = Vec::new();
    while let Some(event) = FileEvent::take(&mut rest).unwrap() {
        events.push(text(event));
    }
    events
}

impl Gateway {
    fn watch(&mut self, number: u32, path: &str, is_recursive: bool) -> Result<(), Refusal> {
        match self.ask(number, &FileCommand::Watch { path: path.as_bytes(), is_recursive }) {
            Answer::Begun(_) => Ok(()),
            Answer::Refused(why) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    /// The next events of a watch; none at its end.
    fn next_events(&mut self, number: u32) -> Vec<String> {
        match self.ask(number, &FileCommand::Next) {
            Answer::Chunk(chunk) => events_of(&chunk),
            other => panic!("{other:?}"),
        }
    }

    /// The events of a watch up to and without this one.
    fn events_until(&mut self, number: u32, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let events = self.next_events(number);
            assert!(!events.is_empty(), "the watch ended after {all:?}");
            for event in events {
                if event == last {
                    return all;
                }
                all.push(event);
            }
        }
    }

    /// The events of a watch of the working directory so far.
    fn events(&mut self, number: u32) -> Vec<String> {
        fs::create_dir(self.work("mark")).unwrap();
        let events = self.events_until(number, "created mark/");
        fs::remove_dir(self.work("mark")).unwrap();
        self.events_until(number, "removed mark/");
        events
    }

    fn abandon(&mut self, number: u32) {
        self.send(kind::FILE, number, &FileCommand::Abandon.encode());
    }
}

#[test]
fn what_happens_to_files_is_told_in_its_order() {
    let mut gateway = start();
    gateway.watch(1, "", false).unwrap();
    fs::write(gateway.work("f"), "text").unwrap();
    assert_eq!(gateway.events(1), ["created f", "written f"]);
    fs::rename(gateway.work("f"), gateway.work("g")).unwrap();
    symlink("/etc/passwd", gateway.work("link")).unwrap();
    fs::create_dir(gateway.work("d")).unwrap();
    fs::write(gateway.work("d/inner"), "not shown").unwrap();
    fs::rename(gateway.work("g"), gateway.work("d/g")).unwrap();
    fs::rename(gateway.work("d/inner"), gateway.work("inner")).unwrap();
    fs::remove_file(gateway.work("inner")).unwrap();
    let expected = [
        "renamed f to g",
        "created link",
        "created d/",
        "removed g",
        "created inner",
        "removed inner",
    ];
    assert_eq!(gateway.events(1), expected);
}

#[test]
fn directories_that_appear_are_watched_with_all_in_them() {
    let mut gateway = start();
    fs::create_dir_all(gateway.work("old/deep")).unwrap();
    gateway.watch(1, "", true).unwrap();
    fs::write(gateway.work("old/deep/f"), "1").unwrap();
    assert_eq!(gateway.events(1), ["created old/deep/f", "written old/deep/f"]);

    // What is made before the directory is looked at is found, and told once.
    fs::create_dir_all(gateway.work("new/one/two")).unwrap();
    File::create(gateway.work("new/one/two/f")).unwrap();
    let mut events = gateway.events(1);
    events.retain(|event| event.starts_with("created"));
    events.sort();
    assert_eq!(
        events,
        ["created new/", "created new/one/", "created new/one/two/", "created new/one/two/f"]
    );

    // One that is renamed keeps being watched, by its new name; one that comes from elsewhere is too.
    fs::rename(gateway.work("new/one"), gateway.work("moved")).unwrap();
    File::create(gateway.work("moved/two/g")).unwrap();
    let expected = ["renamed new/one/ to moved", "created moved/two/g", "written moved/two/g"];
    assert_eq!(gateway.events(1), expected);
    fs::create_dir_all(gateway.path("elsewhere/in")).unwrap();
    fs::rename(gateway.path("elsewhere"), gateway.work("came")).unwrap();
    assert_eq!(gateway.events(1), ["created came/", "created came/in/"]);
    File::create(gateway.work("came/in/f")).unwrap();
    assert_eq!(gateway.events(1), ["created came/in/f", "written came/in/f"]);

    // One that leaves is watched no more, whatever happens in it.
    fs::rename(gateway.work("came"), gateway.path("gone")).unwrap();
    fs::write(gateway.path("gone/in/f"), "unseen").unwrap();
    assert_eq!(gateway.events(1), ["removed came/"]);
    fs::remove_dir_all(gateway.work("moved")).unwrap();
    let expected =
        ["removed moved/two/f", "removed moved/two/g", "removed moved/two/", "removed moved/"];
    let mut events = gateway.events(1);
    events[..2].sort(); // a directory has no order
    assert_eq!(events, expected);
}

#[test]
fn a_file_that_is_uploaded_is_told_as_written() {
    let mut gateway = start();
    gateway.watch(1, "", true).unwrap();
    assert_eq!(gateway.write_file(2, "d/f", b"text"), Ok(false));
    assert_eq!(gateway.write_file(2, "d/f", b"more"), Ok(true));
    let mut events = gateway.events(1);
    assert!(events.iter().filter(|event| *event == "written d/f").count() <= 2, "{events:?}");
    // The first may be whole before anything looks at its new directory.
    events.retain(|event| event != "created d/f");
    events.dedup();
    assert_eq!(events, ["created d/", "written d/f"]);
}

#[test]
fn writing_on_is_told_now_and_then_and_not_each_time() {
    let mut gateway = start();
    let mut file = File::create(gateway.work("log")).unwrap();
    gateway.watch(1, "", false).unwrap();
    file.write_all(b"first").unwrap();
    // Told though the file stays open, and once however often it is written to meanwhile.
    assert_eq!(gateway.next_events(1), ["written log"]);
    for _ in 0..100 {
        file.write_all(b"more").unwrap();
    }
    assert!(gateway.next_events(1).iter().all(|event| event == "written log"));
    drop(file);
    gateway.events_until(1, "written log");
}

#[test]
fn a_watch_ends_with_its_directory() {
    let mut gateway = start();
    for (directory, number) in [("removed", 1), ("moved", 2), ("carried/away", 3)] {
        fs::create_dir_all(gateway.work(directory)).unwrap();
        gateway.watch(number, directory, true).unwrap();
    }
    gateway.watch(4, "", true).unwrap();
    fs::remove_dir(gateway.work("removed")).unwrap();
    fs::rename(gateway.work("moved"), gateway.work("other")).unwrap();
    fs::rename(gateway.work("carried"), gateway.work("c")).unwrap();
    for (directory, number) in [("removed", 1), ("moved", 2), ("carried/away", 3)] {
        assert_eq!(gateway.next_events(number), [format!("removed {directory}/")]);
        assert_eq!(gateway.next_events(number), [""; 0], "the end");
        let ended = gateway.ask(number, &FileCommand::Next);
        assert_eq!(ended, Answer::Refused(Refusal::NotOpen));
    }
    let expected = ["removed removed/", "renamed moved/ to other", "renamed carried/ to c"];
    assert_eq!(gateway.events(4), expected);

    // Where no other watch sees it, the directory itself tells.
    gateway.abandon(4);
    gateway.watch(5, "other", false).unwrap();
    fs::rename(gateway.work("other"), gateway.work("third")).unwrap();
    assert_eq!(gateway.next_events(5), ["removed other/"]);
    assert_eq!(gateway.next_events(5), [""; 0]);
}

#[test]
fn only_directories_below_the_working_directory_are_watched() {
    let mut gateway = start();
    fs::create_dir_all(gateway.path("outside/in")).unwrap();
    fs::write(gateway.work("file"), "").unwrap();
    symlink(gateway.path("outside"), gateway.work("link")).unwrap();
    for (path, why) in [
        ("missing", Refusal::NotFound),
        ("file", Refusal::NotADirectory),
        ("link", Refusal::Link),
        ("link/in", Refusal::Link),
        ("..", Refusal::BadPath),
        ("/etc", Refusal::BadPath),
    ] {
        assert_eq!(gateway.watch(1, path, true), Err(why), "{path}");
    }
    // Nor is a link followed that is there, or appears, below a directory.
    gateway.watch(1, "", true).unwrap();
    symlink(gateway.path("outside"), gateway.work("later")).unwrap();
    File::create(gateway.path("outside/in/secret")).unwrap();
    File::create(gateway.path("outside/secret")).unwrap();
    assert_eq!(gateway.events(1), ["created later"]);
}

#[test]
fn what_finds_no_room_is_an_overflow_and_the_loop_goes_on() {
    let mut gateway = start();
    gateway.watch(1, "", false).unwrap();
    gateway.watch(2, "", false).unwrap();
    let name = |n: u32| format!("{n:0>200}");
    let most = EVENTS_BYTES as u32 / 200;
    for n in 0..most {
        File::create(gateway.work(&name(n))).unwrap();
        // The one that is read gets all, the other what fits its buffer.
        let events = gateway.events_until(2, &format!("written {}", name(n)));
        assert_eq!(events, [format!("created {}", name(n))]);
    }
    let events = gateway.next_events(1);
    assert_eq!(events[0], format!("created {}", name(0)));
    assert_eq!(events.last().unwrap(), "overflow");
    assert!(events.len() < most as usize * 2);
    // From there on it tells again.
    assert_eq!(gateway.events(1), [""; 0]);
}

#[test]
fn there_is_a_most_of_watches_and_of_directories() {
    let mut gateway = start();
    for number in 1..=MOST_WATCHES as u32 {
        gateway.watch(number, "", false).unwrap();
    }
    let more = MOST_WATCHES as u32 + 1;
    assert_eq!(gateway.watch(more, "", false), Err(Refusal::TooMany));
    // They are no transfers, of which there is a most too.
    assert_eq!(gateway.write_file(100, "file", b"text"), Ok(false));
    for number in 1..=MOST_WATCHES as u32 {
        gateway.abandon(number);
    }
    for n in 0..MOST_WATCHED {
        fs::create_dir_all(gateway.work(&format!("many/{n}"))).unwrap();
    }
    assert_eq!(gateway.watch(more, "", true), Err(Refusal::TooLarge));
    assert_eq!(gateway.watch(more, "many", true), Err(Refusal::TooLarge));
    fs::remove_dir(gateway.work("many/0")).unwrap();
    gateway.watch(more, "many", true).unwrap();
    // One more directory than can be watched: what happens in it is missed, and that is told.
    fs::create_dir(gateway.work("many/another")).unwrap();
    assert_eq!(gateway.next_events(more), ["created many/another/", "overflow"]);
}

#[test]
fn the_instance_is_there_while_there_are_watches() {
    let mut gateway = start();
    let instances = |gateway: &Gateway| {
        let links = fs::read_dir(format!("/proc/{}/fd", gateway.child.id())).unwrap();
        let targets = links.filter_map(|link| fs::read_link(link.unwrap().path()).ok());
        targets.filter(|target| target.to_string_lossy().contains("inotify")).count()
    };
    assert_eq!(instances(&gateway), 0);
    assert_eq!(gateway.watch(1, "missing", false), Err(Refusal::NotFound));
    assert_eq!(instances(&gateway), 0);
    gateway.watch(1, "", true).unwrap();
    gateway.watch(2, "", false).unwrap();
    assert_eq!(instances(&gateway), 1);
    gateway.abandon(1);
    fs::write(gateway.work("f"), "").unwrap();
    assert_eq!(gateway.events(2), ["created f", "written f"]);
    assert_eq!(instances(&gateway), 1);
    gateway.abandon(2);
    gateway.list(3, "").unwrap(); // until it has obeyed
    assert_eq!(instances(&gateway), 0);
}
