//! The log's rules, with a disk that is a vector.

use bytes::Bytes;
use bytestring::ByteString;

use super::*;
use crate::protocol::event::{Event, Output, SessionState, TextSpan};

fn fill(log: &mut EventLog, count: usize, size: usize) {
    for _ in 0..count {
        let seq = log.next_seq();
        let json = ByteString::from(format!("{seq:0size$}"));
        let (event, text) = match seq.is_multiple_of(5) {
            true => (Event::Status { state: SessionState::Busy }, None),
            false => (text("x"), Some(TextSpan { start: 1, end: 2 })),
        };
        let sequenced = Arc::new(Sequenced { seq, kind: event.kind(), json, text });
        log.push(&event, &sequenced, u64::MAX);
    }
}

/// What a participant who asks for everything after `seq` is given: gaps, and seqs of events.
fn replay(log: &EventLog, disk: &[u8], after: u64) -> (Vec<(u64, u64)>, Vec<u64>) {
    let (mut gaps, mut seqs) = (Vec::new(), Vec::new());
    let mut next = after.saturating_add(1);
    let mut take = |next: &mut u64, record: &Record| {
        if record.next() <= *next {
            return;
        }
        assert_eq!(record.first(), *next, "a hole that nothing names");
        let json = record.json().unwrap();
        assert_eq!(json.parse::<u64>().unwrap(), *next);
        seqs.push(*next);
        *next = record.next();
    };
    loop {
        match log.place(next) {
            Location::Ahead => return (gaps, seqs),
            Location::Lost { to } => {
                gaps.push((next, to));
                next = to + 1;
            }
            Location::Disk(block) => {
                assert!(log.holds(&block));
                let at = (0..block.length).map(|at| (block.position + at) % disk.len() as u64);
                let bytes: Vec<u8> = at.map(|at| disk[at as usize]).collect();
                let records = block::decode(&block, Bytes::from(bytes)).unwrap();
                assert_eq!(block.only_output, records.iter().all(|e| !e.first().is_multiple_of(5)));
                records.iter().for_each(|record| take(&mut next, record));
            }
            Location::Memory => log.held(next).for_each(|record| take(&mut next, record)),
        }
    }
}

/// Writes what is due.
fn write(log: &mut EventLog, disk: &mut [u8]) {
    while let Some(batch) = log.take_batch() {
        for block in &batch.blocks {
            let mut bytes = Vec::new();
            block::encode(block, &batch.records, &mut bytes);
            assert_eq!(bytes.len() as u64, block.length);
            for (at, byte) in bytes.into_iter().enumerate() {
                disk[(block.position as usize + at) % disk.len()] = byte;
            }
        }
        log.on_written(true);
    }
}

#[test]
fn an_empty_log_replays_nothing() {
    let log = EventLog::new(100, 0);
    assert_eq!((log.newest(), log.next_seq()), (0, 1));
    assert_eq!(replay(&log, &[], 0), (vec![], vec![]));
}

#[test]
fn what_is_held_is_replayed_and_what_is_not_is_a_gap() {
    let mut log = EventLog::new(10 * (100 + OVERHEAD_BYTES), 0);
    fill(&mut log, 25, 100);
    assert_eq!(log.newest(), 25);
    for (after, gap, count) in [
        (0, Some((1, 15)), 10),
        (10, Some((11, 15)), 10),
        (15, None, 10),
        (20, None, 5),
        (25, None, 0),
        (99, None, 0),
        (u64::MAX, None, 0),
    ] {
        let (gaps, seqs) = replay(&log, &[], after);
        assert_eq!((gaps, seqs.len()), (Vec::from_iter(gap), count), "after {after}");
    }
}

#[test]
fn the_newest_event_is_held_whatever_its_size() {
    let mut log = EventLog::new(10, 0);
    fill(&mut log, 3, 1000);
    assert_eq!(replay(&log, &[], 0), (vec![(1, 2)], vec![3]));
}

#[test]
fn what_memory_cannot_hold_stands_on_the_disk_until_the_disk_is_full() {
    let mut disk = vec![0; 30_000];
    let mut log = EventLog::new(4_000, disk.len() as u64);
    for _ in 0..100 {
        fill(&mut log, 1, 300);
        write(&mut log, &mut disk);
    }
    assert_eq!(replay(&log, &disk, 0), (vec![], (1..=100).collect()), "all of it");
    for _ in 0..400 {
        fill(&mut log, 1, 300);
        write(&mut log, &mut disk);
    }
    for after in [0, 200, 450, 499, 500] {
        let (gaps, seqs) = replay(&log, &disk, after);
        assert_eq!(seqs.last().copied().unwrap_or(500), 500);
        match gaps[..] {
            [] => assert_eq!(seqs.len() as u64, 500 - after),
            [(from, to)] => {
                assert_eq!((from, seqs[0]), (after + 1, to + 1));
                assert!(seqs.len() * 316 > 25_000, "only {} are held", seqs.len());
            }
            _ => panic!("{gaps:?}"),
        }
    }
}

#[test]
fn a_disk_that_fails_leaves_a_hole_and_what_it_holds() {
    let mut disk = vec![0; 100_000];
    let mut log = EventLog::new(4_000, disk.len() as u64);
    for _ in 0..50 {
        fill(&mut log, 1, 300);
        write(&mut log, &mut disk);
    }
    fill(&mut log, 10, 300);
    assert!(log.take_batch().is_some());
    let (gaps, seqs) = replay(&log, &disk, 0);
    assert_eq!((gaps, seqs.len()), (vec![], 60), "what is being written can be read");
    let hold = log.hold_bytes();
    log.on_written(false);
    assert!(log.hold_bytes() < hold && log.take_batch().is_none());
    let (gaps, seqs) = replay(&log, &disk, 0);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let missing: u64 = gaps.iter().map(|(from, to)| to - from + 1).sum();
    assert_eq!(missing + seqs.len() as u64, 60);
    fill(&mut log, 30, 300);
    assert_eq!(replay(&log, &disk, 0).1.last(), Some(&90));
    log.lose_disk();
    assert_eq!(replay(&log, &disk, 0).0[0].0, 1);
}

#[test]
fn a_disk_that_is_too_slow_loses_what_memory_cannot_hold() {
    let mut log = EventLog::new(4_000, 100_000);
    fill(&mut log, 10, 300);
    let batch = log.take_batch().unwrap();
    assert!(!log.is_pressed());
    fill(&mut log, 4, 300);
    assert!(log.is_pressed(), "whoever reads the link waits now");
    fill(&mut log, 40, 300);
    log.on_written(true);
    // The batch is on the disk, the newest in memory, and between them is a hole.
    assert_eq!(log.place(1), Location::Disk(batch.blocks[0]));
    assert!(matches!(log.place(batch.blocks[0].next), Location::Lost { to } if to < 54));
    assert_eq!(log.place(54), Location::Memory);
}

fn say(log: &mut EventLog, event: &Event, wanted: u64) -> usize {
    log.push(event, &Arc::new(Sequenced::encode(event, log.next_seq(), 0).unwrap()), wanted)
}

fn text(text: &str) -> Event {
    Event::Stdout(Output { id: "a".into(), text: text.into(), late: false })
}

fn frame(number: usize) -> Event {
    let text = format!("\r{number:>6} of 40000").into();
    Event::Stderr(Output { id: "a".into(), text, late: false })
}

fn usage() -> Event {
    Event::Usage { memory_bytes: 1, memory_limit_bytes: 2, cpu_percent: 3.0, processes: 4 }
}

#[test]
fn the_frames_of_a_progress_bar_are_kept_as_their_last() {
    let mut log = EventLog::new(64 << 10, 0);
    for number in 1..=40_000 {
        say(&mut log, &frame(number), u64::MAX);
        if number % 1000 == 0 {
            say(&mut log, &usage(), u64::MAX);
        }
    }
    let shown: Vec<&Record> = log.held(1).filter(|record| record.json().is_some()).collect();
    let output: Vec<&Record> =
        shown.iter().copied().filter(|e| e.json().unwrap().contains("stderr")).collect();
    assert_eq!((shown.len(), output.len()), (41, 1));
    assert!(output[0].json().unwrap().contains(" 40000 of 40000"));
    // Every seq is accounted for, in order and in few records.
    let mut next = 1;
    for record in log.held(1) {
        assert_eq!(record.first(), next);
        next = record.next();
    }
    assert_eq!((next, log.records.len()), (40_041, 81));
    let bytes: usize = log.records.iter().map(cost).sum();
    assert_eq!(bytes, log.bytes);
}

#[test]
fn a_frame_is_kept_while_somebody_is_still_to_get_it_and_where_something_else_came_between() {
    let mut log = EventLog::new(64 << 10, 0);
    let clear = Event::ClearOutput { id: "a".into(), wait: false };
    assert_eq!(say(&mut log, &frame(1), 1), 0);
    assert_eq!(say(&mut log, &frame(2), 1), 0);
    assert!(say(&mut log, &frame(3), 3) > 0, "the second is nobody's any more");
    assert_eq!(say(&mut log, &clear, u64::MAX), 0);
    assert_eq!(say(&mut log, &frame(5), u64::MAX), 0);
    let kept: Vec<u64> = log.held(1).filter(|e| e.json().is_some()).map(Record::first).collect();
    assert_eq!(kept, [1, 3, 4, 5]);
}

#[test]
fn superseded_frames_stand_on_the_disk_as_one() {
    let mut disk = vec![0; 100_000];
    let mut log = EventLog::new(4_000, disk.len() as u64);
    for number in 1..=50 {
        say(&mut log, &frame(number), u64::MAX);
    }
    let status = Event::Status { state: SessionState::Busy };
    for _ in 0..100 {
        say(&mut log, &status, u64::MAX);
        write(&mut log, &mut disk);
    }
    let Location::Disk(block) = log.place(7) else { panic!("{:?}", log.place(7)) };
    let bytes = disk[block.position as usize..][..block.length as usize].to_vec();
    let records = block::decode(&block, Bytes::from(bytes)).unwrap();
    assert!(matches!(records[0], Record::Superseded(1, 49)));
    assert!(matches!(&records[1], Record::Event(event) if event.seq == 50 && event.is_output()));
}

#[test]
fn what_a_clear_removes_makes_room_only_for_what_nobody_has_seen() {
    let text = |number: usize| {
        Event::Stdout(Output {
            id: "a".into(),
            text: format!("{number:>100}\n").into(),
            late: false,
        })
    };
    let status = Event::Status { state: SessionState::Busy };
    let clear = Event::ClearOutput { id: "a".into(), wait: false };
    let mut log = EventLog::new(64 << 10, 0);
    let take = |log: &mut EventLog, event: &Event| {
        say(log, event, u64::MAX) + log.outdate(event, u64::MAX)
    };
    for number in 1..=100 {
        take(&mut log, &text(number));
        if number == 40 {
            take(&mut log, &status);
            log.mark_sent();
        }
    }
    let (before, new) = (log.bytes, log.held(42).map(cost).sum::<usize>());
    let unseen = take(&mut log, &clear);
    let newest = log.held(log.newest()).next().map(cost).unwrap();
    assert_eq!(log.records.len(), 4, "texts, a status, texts, a clear");
    assert_eq!(log.bytes, log.records.iter().map(cost).sum::<usize>());
    assert_eq!(unseen, new - OVERHEAD_BYTES);
    assert!(before + newest - log.bytes > unseen);
    let ends: Vec<_> = log.records.iter().map(|record| (record.first(), record.next())).collect();
    assert_eq!(ends, [(1, 41), (41, 42), (42, 102), (102, 103)]);
}

#[test]
fn the_newest_output_is_among_the_last_however_large_it_is() {
    let mut log = EventLog::new(1 << 20, 0);
    fill(&mut log, 9, 1000); // all are output but the fifth
    let last = |log: &EventLog, bytes: usize| log.last_output(bytes);
    assert_eq!(last(&log, 10), 9);
    assert_eq!(last(&log, 3 * (1000 + OVERHEAD_BYTES)), 7);
    // What is no output counts for nothing.
    assert_eq!(last(&log, 5 * (1000 + OVERHEAD_BYTES)), 4);
    assert_eq!(last(&log, 1 << 20), 1);
    fill(&mut log, 1, 1000);
    assert_eq!(last(&log, 10), 9);
}

#[test]
fn the_first_frame_of_a_cell_is_overwritten_like_any_other() {
    let started = Event::Started {
        id: "a".into(),
        code: "".into(),
        execution_count: None,
        by: "x".into(),
        comm_id: None,
        cell: None,
        interpreter: None,
    };
    let status = Event::Status { state: SessionState::Busy };
    let mut log = EventLog::new(64 << 10, 0);
    for event in [&started, &status, &text("10%  "), &status, &text("\r20%")] {
        say(&mut log, event, u64::MAX);
    }
    let kept: Vec<u64> = log.held(1).filter(|e| e.json().is_some()).map(Record::first).collect();
    assert_eq!(kept, [1, 2, 4, 5]);
}

#[test]
fn frames_that_follow_what_was_seen_take_no_more_room_than_their_newest() {
    let mut log = EventLog::new(1 << 20, 0);
    let mut unseen = 0;
    for number in 1..=100 {
        let event = frame(number);
        let sequenced = Arc::new(Sequenced::encode(&event, log.next_seq(), 1).unwrap());
        unseen += sequenced.json.len() + OVERHEAD_BYTES;
        unseen -= log.push(&event, &sequenced, u64::MAX);
        if number == 50 {
            log.mark_sent();
            unseen = 0;
        }
    }
    let newest = log.held(100).next().map(cost).unwrap();
    assert!(unseen <= newest + 2 * OVERHEAD_BYTES, "{unseen} bytes for a frame of {newest}");
}
