//! What is counted: the parts of a cell's way by themselves, and whole ways (`session`).

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use bytestring::ByteString;
use cellgate::link::Link;
use cellgate::protocol::Event;
use cellgate::protocol::event::{Output, Sequenced};
use cellgate::session::log::EventLog;
use cellgate::session::text::TextDecoder;
use cellgate_driver::wire::{
    self, CellUsage, Done, FrameReader, Header, Outcome, Setup, flag, kind,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{counted, session};

/// Something that is done often.
pub(crate) struct HotPath {
    /// In the table.
    pub(crate) name: &'static str,
    /// What is done, for people.
    pub(crate) work: &'static str,
    /// Does it, with all that matters inside [`counted`].
    pub(crate) walk: fn() -> Result<()>,
}

/// All of them.
pub(crate) const PATHS: &[HotPath] = &[
    HotPath { name: "frames", work: "driver: make 1000 frames of OUTPUT and DONE", walk: frames },
    HotPath { name: "reader", work: "driver: read 1000 frames", walk: reader },
    HotPath { name: "link", work: "gateway: 1000 frames become events", walk: link },
    HotPath { name: "utf8", work: "1 MiB of text, cut anywhere, is decoded", walk: utf8 },
    HotPath { name: "encode", work: "1000 coloured lines become JSON", walk: encode },
    HotPath { name: "log", work: "1000 events are kept and replayed", walk: log },
    HotPath { name: "one", work: "an event goes to 1 viewer, 100 times", walk: || fan_out(1) },
    HotPath {
        name: "hundred",
        work: "an event goes to 100 viewers, 100 times",
        walk: || fan_out(100),
    },
    HotPath {
        name: "cell",
        work: "100 cells that say nothing, message to `done`",
        walk: || whole(100, &[]),
    },
    HotPath { name: "result", work: "10 cells whose value is a table of 16 KiB", walk: result },
    HotPath { name: "trickle", work: "a cell that flushes 1000 single bytes", walk: trickle },
    HotPath { name: "lines", work: "a cell that writes 1 MiB of plain lines", walk: lines },
    HotPath { name: "colours", work: "a cell that writes 1 MiB of coloured text", walk: colours },
];

const COLOURED: &str = "\u{1b}[32m\"grün\"\u{1b}[0m\tC:\\Users\\Zoë → 日本語";

fn done() -> Vec<u8> {
    let usage = CellUsage { duration_us: 1500, ..Default::default() };
    Done { outcome: Outcome::Ok, memory_kills: 0, usage }.encode()
}

fn append_frames(stream: &mut Vec<u8>) {
    for cell in 0..500 {
        wire::append_message(stream, kind::OUTPUT, flag::LATE, cell, COLOURED.as_bytes());
        wire::append_message(stream, kind::DONE, 0, cell, &done());
    }
}

fn frames() -> Result<()> {
    let mut stream = Vec::with_capacity(256 << 10);
    counted(|| append_frames(&mut stream));
    Ok(())
}

fn reader() -> Result<()> {
    let mut stream = Vec::new();
    append_frames(&mut stream);
    let mut reader = FrameReader::default();
    let payloads = counted(|| {
        let mut rest = &stream[..];
        let mut payloads = 0;
        while !rest.is_empty() {
            let room = reader.room();
            let count = room.len().min(rest.len());
            room[..count].copy_from_slice(&rest[..count]);
            reader.filled(count);
            rest = &rest[count..];
            while let Some(header) = reader.peek()? {
                payloads += reader.payload(&header).len();
                reader.consume(&header);
            }
        }
        Ok::<_, wire::WireError>(payloads)
    })?;
    anyhow::ensure!(payloads == 500 * (COLOURED.len() + done().len()), "every frame is read");
    Ok(())
}

fn link() -> Result<()> {
    let mut stream = Vec::new();
    append_frames(&mut stream);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let mut link = runtime.block_on(async {
        let hello = Header::new(kind::HELLO, 0, 0, &wire::VERSION.to_le_bytes()).encode();
        theirs.write_all(&hello).await?;
        theirs.write_all(&wire::VERSION.to_le_bytes()).await?;
        let link = Link::open(Box::new(ours), &Setup::default()).await?;
        theirs.read_buf(&mut Vec::new()).await?; // its SETUP
        theirs.write_all(&stream).await?;
        Ok::<_, anyhow::Error>(link)
    })?;
    counted(|| {
        runtime.block_on(async {
            for _ in 0..1000 {
                link.turn(true).await?;
            }
            Ok(())
        })
    })
}

fn utf8() -> Result<()> {
    let text = Bytes::from(mebibyte(COLOURED.as_bytes()));
    let mut decoder = TextDecoder::default();
    let decoded = counted(|| {
        // An odd length, so that the cuts meet every place in a character.
        let chunks = (0..text.len()).step_by(4093);
        let chunks = chunks.map(|at| text.slice(at..text.len().min(at + 4093)));
        chunks.map(|chunk| decoder.push(chunk).len()).sum::<usize>()
    });
    anyhow::ensure!(decoded + 3 >= text.len(), "the text is decoded");
    Ok(())
}

fn output() -> Event {
    let text = ByteString::from_static(COLOURED);
    Event::Stdout(Output { id: "a-cell".into(), text, late: false })
}

fn line(seq: u64) -> Result<Sequenced> {
    Sequenced::encode(&output(), seq, 1_700_000_000_000).context("encode an event")
}

fn encode() -> Result<()> {
    counted(|| (1..=1000).try_for_each(|seq| line(seq).map(drop)))
}

fn log() -> Result<()> {
    let events = (1..=1000).map(|seq| line(seq).map(Arc::new)).collect::<Result<Vec<_>>>()?;
    // Room for half of them: forgetting is part of keeping.
    let mut log = EventLog::new(500 * (events[0].json.len() + 64), 0);
    let typed = output();
    let replayed = counted(|| {
        for event in &events {
            log.push(&typed, event, u64::MAX);
        }
        log.held(1).fold(0, |replayed, event| {
            black_box(event.clone());
            replayed + 1
        })
    });
    anyhow::ensure!((400..600).contains(&replayed), "half of the events are replayed");
    Ok(())
}

fn fan_out(viewers: usize) -> Result<()> {
    session::fan_out(viewers, 100, (kind::OUTPUT, 0, COLOURED.into()))
}

fn whole(times: u32, answer: &[session::Answer]) -> Result<()> {
    session::walk(times, answer.to_vec())
}

fn result() -> Result<()> {
    let rows = "<tr>\n<td class=\"n\">1</td><td>\u{e9}</td></tr>".repeat(16 * 1024 / 41);
    let data = serde_json::json!({"text/html": rows, "text/plain": "   n\n0  1"});
    let table = serde_json::json!({"type": "result", "data": data, "metadata": {}});
    whole(10, &[(kind::MESSAGE, flag::SYNC, table.to_string().into_bytes())])
}

fn trickle() -> Result<()> {
    whole(1, &vec![(kind::OUTPUT, 0, b".".to_vec()); 1000])
}

fn lines() -> Result<()> {
    flood(&[b'x'; 1023])
}

fn colours() -> Result<()> {
    flood(COLOURED.as_bytes())
}

/// Output in frames as the supervisor makes them of a full pipe.
fn flood(line: &[u8]) -> Result<()> {
    let frame = |chunk: &[u8]| (kind::OUTPUT, 0, chunk.to_vec());
    let frames: Vec<_> = mebibyte(line).chunks(wire::MAX_PAYLOAD).map(frame).collect();
    whole(1, &frames)
}

/// A line again and again.
fn mebibyte(line: &[u8]) -> Vec<u8> {
    [line, b"\n"].concat().iter().copied().cycle().take(1 << 20).collect()
}
