//! Bytes cut anywhere: what comes out at the other end is what the whole would have given.
//!
//! ```text
//!   messages ─► frames ─► bytes ─cut─► link ─► events                      the same messages
//!                            └────cut─► supervisor's reader ─► frames      the same frames
//!   chunks of cells, any bytes ─► frames ─cut─► session ─► a client's text   that of the whole
//! ```

use bytes::Bytes;
use cellgate::link::{DriverEvent, Link};
use cellgate::protocol::event::Stream;
use cellgate_driver::wire::{self, FrameReader, HEADER_BYTES, Header, MAX_PAYLOAD, Setup};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::common::property;
use crate::common::scripted::{done, frame};
use crate::*;

/// Stories of each kind.
const STORIES: u32 = 256;

/// What a driver says that becomes an event, or a sign of life that becomes none.
#[derive(Clone, Debug)]
enum Said {
    Output {
        cell: u32,
        stderr: bool,
        late: bool,
        bytes: Vec<u8>,
    },
    /// In fragments cut here; after each of them the cell writes something meanwhile.
    Message {
        cell: u32,
        late: bool,
        json: Vec<u8>,
        cuts: Vec<usize>,
        meanwhile: Vec<u8>,
    },
    Reply {
        number: u32,
        json: Vec<u8>,
    },
    Busy {
        number: u32,
    },
    Log(String),
    Pong,
}

/// Bytes of every kind: none, few, any text, half characters, nearly a frame and a whole one.
fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let half = ("[é€\u{1f600}]{1,4}", 0..4_usize, 0..4_usize).prop_map(|(text, from, off)| {
        let bytes = text.into_bytes();
        let from = from.min(bytes.len());
        bytes[from..bytes.len().saturating_sub(off).max(from)].to_vec()
    });
    prop_oneof![
        8 => vec(any::<u8>(), 0..40),
        8 => any::<String>().prop_map(String::into_bytes),
        8 => half,
        1 => (MAX_PAYLOAD - 2..=MAX_PAYLOAD).prop_map(|length| vec![b'x'; length]),
    ]
}

fn sayings() -> impl Strategy<Value = Said> {
    let number = || 1..5_u32;
    prop_oneof![
        4 => (number(), any::<bool>(), any::<bool>(), chunks()).prop_map(
            |(cell, stderr, late, bytes)| Said::Output { cell, stderr, late, bytes }
        ),
        3 => (number(), any::<bool>(), chunks(), vec(0..200_usize, 0..4), chunks()).prop_map(
            |(cell, late, json, cuts, meanwhile)| Said::Message { cell, late, json, cuts, meanwhile }
        ),
        1 => (number(), chunks()).prop_map(|(number, json)| Said::Reply { number, json }),
        1 => number().prop_map(|number| Said::Busy { number }),
        1 => any::<String>().prop_map(Said::Log),
        1 => Just(Said::Pong),
    ]
}

/// Where a stream is cut, over and over: short pieces, so that headers are cut too, and long ones.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![4 => 1..30_usize, 1 => 1..MAX_PAYLOAD * 2], 1..8)
}

/// Cuts bytes into pieces of these lengths.
fn pieces<'a>(bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut cuts = cuts.iter().cycle();
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = (*cuts.next()?).min(rest.len());
        let (piece, tail) = rest.split_at(length);
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Writes piece by piece, and lets whoever reads have each before the next.
async fn write_cut(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], cuts: &[usize]) {
    // A flood of one-byte pieces tells no more after a while than long ones do.
    let (fine, coarse) = bytes.split_at(bytes.len().min(4096));
    for piece in pieces(fine, cuts).chain(coarse.chunks(7001)) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
}

impl Said {
    /// The frames it travels in, and what is to be heard of it.
    fn tell(&self, frames: &mut Vec<Vec<u8>>, heard: &mut Vec<DriverEvent>) {
        let late_flag = |late: bool| if late { flag::LATE } else { 0 };
        match self.clone() {
            Said::Output { cell, stderr, late, bytes } => {
                let flags = late_flag(late) | if stderr { flag::STDERR } else { 0 };
                frames.push(frame(kind::OUTPUT, flags, cell, &bytes));
                let stream = if stderr { Stream::Stderr } else { Stream::Stdout };
                heard.push(DriverEvent::Output { cell, stream, bytes: bytes.into() });
            }
            Said::Message { cell, late, json, cuts, meanwhile } => {
                let flags = late_flag(late);
                let mut rest = &json[..];
                for cut in cuts {
                    let (head, tail) = rest.split_at(cut.min(rest.len()));
                    frames.push(frame(kind::MESSAGE, flags | flag::MORE, cell, head));
                    let output =
                        Said::Output { cell, stderr: true, late, bytes: meanwhile.clone() };
                    output.tell(frames, heard);
                    rest = tail;
                }
                frames.push(frame(kind::MESSAGE, flags, cell, rest));
                heard.push(DriverEvent::Message { cell, json: json.into() });
            }
            Said::Reply { number, json } => {
                frames.push(frame(kind::REPLY, 0, number, &json));
                heard.push(DriverEvent::Reply { number, json: Some(json.into()) });
            }
            Said::Busy { number } => {
                frames.push(frame(kind::REPLY, flag::BUSY, number, b""));
                heard.push(DriverEvent::Reply { number, json: None });
            }
            Said::Log(line) => {
                frames.push(frame(kind::LOG, 0, 0, line.as_bytes()));
                heard.push(DriverEvent::Log(line));
            }
            Said::Pong => frames.push(frame(kind::PONG, 0, 0, b"")),
        }
    }
}

/// What the supervisor's reader makes of a stream, frame by frame.
fn read_cut(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut reader = FrameReader::default();
    let mut frames = Vec::new();
    for mut piece in pieces(bytes, cuts) {
        while !piece.is_empty() {
            let room = reader.room();
            let taken = room.len().min(piece.len());
            room[..taken].copy_from_slice(&piece[..taken]);
            reader.filled(taken);
            piece = &piece[taken..];
            while let Some(header) = reader.peek().unwrap() {
                frames.push(reader.frame(&header).to_vec());
                reader.consume(&header);
            }
        }
    }
    frames
}

#[test]
fn both_ends_of_the_wire_hear_what_was_said_however_it_is_cut() {
    let stories = (vec(sayings(), 0..24), cuts(), 1..9000_usize);
    property::check("tests/session/wire.seeds", STORIES, &stories, hear);
}

async fn hear((said, cuts, room): (Vec<Said>, Vec<usize>, usize)) {
    let (mut frames, mut expected) = (Vec::new(), Vec::new());
    said.iter().for_each(|said| said.tell(&mut frames, &mut expected));
    let bytes = frames.concat();
    assert_eq!(read_cut(&bytes, &cuts), frames, "the supervisor's reader");

    let (ours, mut theirs) = tokio::io::duplex(room);
    let setup = Setup::default();
    let speak = async {
        let hello = frame(kind::HELLO, 0, 0, &wire::VERSION.to_le_bytes());
        write_cut(&mut theirs, &hello, &cuts).await;
        let mut head = [0; HEADER_BYTES];
        theirs.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; Header::decode(&head).unwrap().length as usize];
        theirs.read_exact(&mut payload).await.unwrap();
        write_cut(&mut theirs, &bytes, &cuts).await;
        drop(theirs);
    };
    let listen = async {
        let mut link = Link::open(Box::new(ours), &setup).await.unwrap();
        let mut heard = Vec::new();
        loop {
            match link.turn(true).await {
                Ok(event) => heard.push(event),
                Err(cellgate::link::LinkError::Closed) => return heard,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let ((), heard) = tokio::join!(speak, listen);
    assert_eq!(heard, expected);
}

/// A chunk of what a cell writes; `after`: once it has ended, while the next one runs.
#[derive(Clone, Debug)]
struct Chunk {
    stderr: bool,
    after: bool,
    bytes: Vec<u8>,
}

#[test]
fn a_client_assembles_the_text_of_the_whole_however_output_is_cut() {
    let chunk = (any::<bool>(), proptest::bool::weighted(0.2), chunks());
    let chunk = chunk.prop_map(|(stderr, after, bytes)| Chunk { stderr, after, bytes });
    let stories = (vec(vec(chunk, 0..12), 1..4), cuts(), 1..9000_usize);
    property::check("tests/session/text.seeds", STORIES, &stories, assemble);
}

/// What belongs together: the cell, whether it is stderr, whether it came late.
type Place = (usize, bool, bool);

async fn assemble((cells, cuts, room): (Vec<Vec<Chunk>>, Vec<usize>, usize)) {
    let (prepared, mut driver, _) =
        scripted::prepared(Limits::default(), EndCause::Unknown, room).await;
    let config = SessionConfig { log_bytes: 4 << 20, window_bytes: 4 << 20, ..config() };
    let (handle, task) =
        cellgate::session::start(prepared, config, Token::new("t"), &Metrics::default());
    // Ends with the link, when the story is over.
    tokio::spawn(task);
    let mut client = Client::join(&handle, None).await;
    let mut written = std::collections::HashMap::<Place, Vec<u8>>::new();
    let mut texts = std::collections::HashMap::<Place, String>::new();
    let mut numbers = Vec::new();
    for (cell, chunks) in cells.iter().enumerate() {
        client.execute(&cell.to_string()).await;
        let number = driver.expect(kind::EXECUTE).await;
        numbers.push(number);
        let mut bytes = Vec::new();
        let last = cell.checked_sub(1);
        let late = last.map(|last| cells[last].iter().filter(|chunk| chunk.after));
        let now = chunks.iter().filter(|chunk| !chunk.after);
        let late = late.into_iter().flatten().map(|chunk| (cell - 1, chunk));
        for (of, chunk) in late.chain(now.map(|chunk| (cell, chunk))) {
            let stderr = if chunk.stderr { flag::STDERR } else { 0 };
            let late = if of == cell { 0 } else { flag::LATE };
            bytes.extend(frame(kind::OUTPUT, stderr | late, numbers[of], &chunk.bytes));
            let place = (of, chunk.stderr, of != cell);
            written.entry(place).or_default().extend(&chunk.bytes);
        }
        bytes.extend(frame(kind::DONE, 0, number, &done(Outcome::Ok)));
        let read = async {
            loop {
                let event = client.next().await.unwrap();
                let is_stderr = event["type"] == "stderr";
                if is_stderr || event["type"] == "stdout" {
                    let of = event["id"].as_str().unwrap().parse().unwrap();
                    let text = event["text"].as_str().unwrap();
                    assert!(!text.is_empty(), "an event that says nothing");
                    *texts.entry((of, is_stderr, event["late"] == true)).or_default() += text;
                }
                if event["type"] == "done" {
                    assert_eq!(event["id"], cell.to_string());
                    break;
                }
            }
        };
        tokio::join!(write_cut(&mut driver.stream, &bytes, &cuts), read);
    }
    for (place, bytes) in written {
        let whole = String::from_utf8_lossy(&Bytes::from(bytes)).into_owned();
        let text = texts.remove(&place).unwrap_or_default();
        let rest = whole.strip_prefix(&*text);
        let rest = rest.unwrap_or_else(|| panic!("{place:?}: {text:?} is not {whole:?}"));
        // Nobody knows when what outlives a cell has said its last: it may end within a character.
        let held = if place.2 { rest.trim_end_matches('\u{fffd}') } else { rest };
        assert!(held.is_empty() && rest.chars().count() <= 1, "{place:?}: {rest:?} is missing");
    }
    assert!(texts.is_empty(), "nobody wrote {texts:?}");
}
