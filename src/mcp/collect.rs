//! What a cell did, from its events. [`super::result`] makes the result of a tool of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::schemars::JsonSchema;
use serde::Serialize;

use super::images::Scaler;
use super::transcript::Transcript;
use crate::memory::{Account, Charge};
use crate::protocol::event::{CellStatus, Event, MimeBundle, Stream, plain_text};
use crate::protocol::shorten::shorten;

/// Of what a cell wrote, and of a file's text, so many bytes of the beginning are told and as many of the end.
const TEXT_BYTES: usize = 15_000;

/// The same of each of its two streams.
const STREAM_BYTES: usize = 7_500;

/// Longest value, and longest text of an exception, in bytes.
const VALUE_BYTES: usize = 15_000;

/// What all images of a result may have together, in base64. Others are linked. Clients take messages of
/// 1 MiB (Python's, unless it is told otherwise), and the texts have their share.
const IMAGES_BYTES: usize = 768 << 10; // 768 KiB

/// What is kept of them until they are scaled.
const KEPT_BYTES: usize = 8 << 20; // 8 MiB

/// Most images of which anything is told.
const MOST_IMAGES: usize = 20;

/// Images that models read.
const IMAGE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/// What came of a cell, as far as it has come.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) cell: String,
    /// What it wrote and showed, in order.
    pub(super) everything: Transcript,
    pub(super) stdout: Transcript,
    pub(super) stderr: Transcript,
    /// The value of its last expression.
    pub(super) result: Option<String>,
    pub(super) error: Option<Raised>,
    pub(super) images: Vec<Image>,
    /// Images that were shown, those included that are not kept.
    pub(super) shown: usize,
    /// The only image whose bytes are kept; `None`: as many as may be sent.
    wanted: Option<usize>,
    pub(super) execution_count: Option<u32>,
    /// How it ended, once it has.
    pub(super) ended: Option<Ended>,
    /// That it has written.
    bytes: u64,
    charge: Charge,
}

/// An exception.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Raised {
    /// Name of its class.
    name: String,
    /// Its text.
    value: String,
    /// For people, with the lines of code.
    traceback: String,
}

/// The fields of `done`.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: CellStatus,
    pub(super) duration_ms: f64,
    pub(super) state_kept: bool,
    pub(super) detail: Option<String>,
}

/// An image that the cell showed.
#[derive(Debug)]
pub(super) struct Image {
    /// Its place among the cell's images, from 0.
    pub(super) number: usize,
    pub(super) mime: &'static str,
    display_id: Option<String>,
    /// Base64; `None`: too large, or there is no room.
    pub(super) data: Option<String>,
}

impl Collected {
    /// Nothing yet of this cell; what it shows is charged as it is kept.
    pub(super) fn new(cell: String, charge: Charge) -> Collected {
        Collected {
            cell,
            everything: Transcript::new(TEXT_BYTES),
            stdout: Transcript::new(STREAM_BYTES),
            stderr: Transcript::new(STREAM_BYTES),
            result: None,
            error: None,
            images: Vec::new(),
            shown: 0,
            wanted: None,
            execution_count: None,
            ended: None,
            bytes: 0,
            charge,
        }
    }

    /// The same, for one of the cell's images of whatever size.
    pub(super) fn for_image(cell: String, number: usize, charge: Charge) -> Collected {
        Collected { wanted: Some(number), ..Collected::new(cell, charge) }
    }

    /// Whether an event is of this cell.
    pub(super) fn is_of(&self, event: &Event) -> bool {
        cell_of(event) == Some(&*self.cell)
    }

    /// Takes an event in, if it is of this cell.
    pub(super) fn take(&mut self, event: Event) {
        if !self.is_of(&event) {
            return;
        }
        match event {
            Event::Started { execution_count, .. } => self.execution_count = execution_count,
            Event::Stdout(output) => self.write(Stream::Stdout, &output.text),
            Event::Stderr(output) => self.write(Stream::Stderr, &output.text),
            Event::Truncated { stream, omitted_bytes, .. } => {
                self.everything.omit(omitted_bytes);
                self.stream(stream).omit(omitted_bytes);
            }
            Event::Result { data, .. } => {
                let value = self.show(&data, None, false);
                self.result = value.map(|value| shorten(value, VALUE_BYTES));
            }
            Event::Display { data, display_id, update, .. } => {
                self.show(&data, display_id, update);
            }
            Event::ClearOutput { .. } => {
                self.everything = Transcript::new(TEXT_BYTES);
                self.stdout = Transcript::new(STREAM_BYTES);
                self.stderr = Transcript::new(STREAM_BYTES);
                self.images.clear();
                self.count();
            }
            Event::Error { name, value, traceback, .. } => {
                let mut text = Transcript::new(STREAM_BYTES);
                text.write(&traceback.join("\n"));
                let text = text.text();
                self.paragraph(&text);
                let value = shorten(value, VALUE_BYTES);
                self.error = Some(Raised { name, value, traceback: text });
            }
            Event::Done { status, duration_ms, state_kept, detail, .. } => {
                self.ended = Some(Ended { status, duration_ms, state_kept, detail });
            }
            _ => {}
        }
    }

    /// Whether the cell has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Bytes that it has written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The newest line that it wrote, of at most so many characters.
    pub(super) fn last_line(&self, characters: usize) -> String {
        self.everything.last_line(characters)
    }

    /// The only image that is kept, with its type.
    pub(super) fn into_image(self) -> Option<(&'static str, String)> {
        let wanted = self.wanted;
        let mut images = self.images.into_iter();
        let image = images.find(|image| Some(image.number) == wanted)?;
        Some((image.mime, image.data?))
    }

    fn write(&mut self, stream: Stream, text: &str) {
        self.bytes += text.len() as u64;
        self.everything.write(text);
        self.stream(stream).write(text);
    }

    fn stream(&mut self, stream: Stream) -> &mut Transcript {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Adds text that stands in lines of its own.
    fn paragraph(&mut self, text: &str) {
        self.everything.begin_line();
        self.everything.write(text);
        self.everything.begin_line();
    }

    /// Shows a value: its image, else its text, which is answered too.
    fn show(
        &mut self,
        data: &MimeBundle,
        display_id: Option<String>,
        update: bool,
    ) -> Option<String> {
        let text = text_of(data);
        let Some((mime, image)) = image_of(data) else {
            // What is shown anew, as a progress bar is, has been told once.
            if let Some(text) = text.as_ref().filter(|_| !update) {
                self.paragraph(text);
            }
            return text;
        };
        if update {
            let is_older = |image: &Image| image.display_id == display_id;
            if let Some(at) = self.images.iter().position(is_older) {
                self.images[at].data = None;
                let number = self.images[at].number;
                self.images[at].data = self.keep(number, image);
            }
            return text;
        }
        let number = self.shown;
        self.shown += 1;
        if self.images.len() < MOST_IMAGES || self.wanted == Some(number) {
            let data = self.keep(number, image);
            self.images.push(Image { number, mime, display_id, data });
        }
        text
    }

    /// The image if it may be sent.
    fn keep(&mut self, number: usize, image: String) -> Option<String> {
        let fits = match self.wanted {
            Some(wanted) => number == wanted,
            None => self.held() + image.len() <= KEPT_BYTES,
        };
        (fits && self.charge.try_set(self.held() + image.len()).is_ok()).then_some(image)
    }

    /// Bytes of the images that are kept.
    fn held(&self) -> usize {
        self.images.iter().filter_map(|image| image.data.as_ref()).map(String::len).sum()
    }

    /// Makes the images fit into a result. Those that cannot be are linked.
    pub(super) async fn scale(&mut self, scaler: &Scaler, memory: &Account) {
        let mut room = IMAGES_BYTES;
        for image in &mut self.images {
            let Some(data) = image.data.take() else { continue };
            if let Some((mime, data)) = scaler.fit((image.mime, data), room, memory).await {
                room -= data.len();
                (image.mime, image.data) = (mime, Some(data));
            }
        }
        self.count();
    }

    fn count(&mut self) {
        self.charge.set(self.held());
    }
}

/// The cell that an event is of.
fn cell_of(event: &Event) -> Option<&str> {
    match event {
        Event::Queued { id, .. }
        | Event::Started { id, .. }
        | Event::Result { id, .. }
        | Event::Display { id, .. }
        | Event::ClearOutput { id, .. }
        | Event::Error { id, .. }
        | Event::Truncated { id, .. }
        | Event::Done { id, .. } => Some(id),
        Event::Stdout(output) | Event::Stderr(output) => Some(&output.id),
        _ => None,
    }
}

/// A value as text: what reads best first.
fn text_of(data: &MimeBundle) -> Option<String> {
    let markdown = data.get("text/markdown");
    let markdown = markdown.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    markdown.or_else(|| plain_text(data))
}

/// A value as an image that models read, in base64 without blanks.
fn image_of(data: &MimeBundle) -> Option<(&'static str, String)> {
    IMAGE_TYPES.into_iter().find_map(|mime| {
        let mut text: String = serde_json::from_str(data.get(mime)?.get()).ok()?;
        text.retain(|character| !character.is_ascii_whitespace());
        // Code may call anything an image; a model's provider refuses a request with what is not base64.
        STANDARD.decode(&text).ok()?;
        Some((mime, text))
    })
}
