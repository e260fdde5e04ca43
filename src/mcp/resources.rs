//! What is too much for the result of a tool, by an address that the result names: files, all that a cell
//! wrote, large images.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rmcp::ErrorData;
use rmcp::model::{CacheScope, ReadResourceResult, ResourceContents, ResourceTemplate};

use super::Call;
use super::collect::Collected;
use super::failure::Failure;
use super::files::{Contents, RESOURCE_BYTES, image_type};
use super::transcript::Transcript;
use crate::admission::Extra;
use crate::protocol::Reply;
use crate::session::output_archive::OutputError;
use crate::session::{Attachment, Delivery, ReadFrom};

/// Where the addresses of all sessions begin.
const SESSIONS: &str = "cellgate://sessions/";

/// What stands in a path as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// The address of a file.
pub(super) fn file(session: &str, path: &str) -> String {
    format!("{SESSIONS}{session}/files/{}", utf8_percent_encode(path, PATH))
}

/// The address of all that a cell wrote.
pub(super) fn output(session: &str, cell: &str) -> String {
    format!("{SESSIONS}{session}/cells/{cell}/output")
}

/// The address of an image that a cell showed, by its place from 0.
pub(super) fn image(session: &str, cell: &str, number: usize) -> String {
    format!("{SESSIONS}{session}/cells/{cell}/images/{number}")
}

/// The forms of all addresses.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    let template = |rest: &str, name: &str, description: &str| {
        ResourceTemplate::new(format!("{SESSIONS}{{session_id}}/{rest}"), name)
            .with_description(description)
    };
    vec![
        template("files/{+path}", "file", "A file of a session's working directory")
            .with_mime_type("application/octet-stream"),
        template("cells/{cell}/output", "output", "What a cell wrote, where not all was shown")
            .with_mime_type("text/plain"),
        template("cells/{cell}/images/{number}", "image", "An image that a cell showed, from 0 on"),
    ]
}

/// What an address names.
#[derive(Debug, PartialEq, Eq)]
enum Address {
    File { session: String, path: String },
    Output { session: String, cell: String },
    Image { session: String, cell: String, number: usize },
}

impl Address {
    fn read(uri: &str) -> Option<Address> {
        let (session, rest) = uri.strip_prefix(SESSIONS)?.split_once('/')?;
        let session = session.to_owned();
        if let Some(path) = rest.strip_prefix("files/") {
            let path = percent_decode_str(path).decode_utf8().ok()?.into_owned();
            return Some(Address::File { session, path });
        }
        let (cell, what) = rest.strip_prefix("cells/")?.split_once('/')?;
        let cell = cell.to_owned();
        match what.strip_prefix("images/") {
            Some(number) => Some(Address::Image { session, cell, number: number.parse().ok()? }),
            None => (what == "output").then_some(Address::Output { session, cell }),
        }
    }
}

impl Call<'_> {
    /// Reads what an address names.
    pub(super) async fn read_resource(&self, uri: &str) -> Result<ReadResourceResult, ErrorData> {
        let Some(address) = Address::read(uri) else {
            let text = "there is no such resource; tools that answer one name its address";
            return Err(missing(self, uri, text));
        };
        let read = match address {
            Address::File { session, path } => self.read_whole_file(uri, &session, &path).await,
            Address::Output { session, cell } => self.read_output(uri, &session, &cell).await,
            Address::Image { session, cell, number } => {
                self.read_image(uri, &session, &cell, number).await
            }
        };
        let contents = read.map_err(|failure| missing(self, uri, failure.sentence()))?;
        let mut result = ReadResourceResult::new(vec![contents]);
        // A file may change at any time.
        (result.ttl_ms, result.cache_scope) = (Some(0), Some(CacheScope::Private));
        Ok(result)
    }

    async fn read_whole_file(
        &self,
        uri: &str,
        session: &str,
        path: &str,
    ) -> Result<ResourceContents, Failure> {
        let session = self.session_for(session, Extra::Files)?;
        match self.contents(&session, path, RESOURCE_BYTES).await? {
            Contents::All(bytes) => Ok(match String::from_utf8(bytes) {
                Ok(text) => ResourceContents::text(text, uri),
                Err(error) => {
                    let bytes = error.into_bytes();
                    let mime = image_type(&bytes).unwrap_or("application/octet-stream");
                    ResourceContents::blob(STANDARD.encode(&bytes), uri).with_mime_type(mime)
                }
            }),
            Contents::TooLarge(size) => Err(Failure::new(format!(
                "the file has {size} bytes, and a resource at most {RESOURCE_BYTES}; read the part that you \
                 need in code"
            ))),
        }
    }

    /// What was kept of a cell's output, which is more than the log has; else what the log has.
    async fn read_output(
        &self,
        uri: &str,
        session: &str,
        cell: &str,
    ) -> Result<ResourceContents, Failure> {
        let (session, credential) = self.session(session)?;
        let most = RESOURCE_BYTES as usize;
        let _charge = session.memory().try_charge(2 * most)?;
        match session.output(cell).await {
            Ok(kept) => {
                let failed = |error: std::io::Error| {
                    Failure::new(crate::admission::failed("cannot read a cell's output", &error))
                };
                let bytes = kept.read(0, most).await.map_err(failed)?;
                let mut text = String::from_utf8_lossy(&bytes).into_owned();
                if kept.length() > bytes.len() as u64 {
                    let (of, all) = (bytes.len(), kept.length());
                    text.push_str(&format!("\n[the first {of} of {all} bytes]"));
                }
                return Ok(ResourceContents::text(text, uri));
            }
            Err(OutputError::NotKept) => {}
            Err(other) => return Err(Failure::new(other.to_string())),
        }
        let (seat, newest) =
            session.observe(super::run::from(credential, ReadFrom::Beginning, false)).await?;
        let mut transcript = Transcript::new(most / 2);
        replay(seat, newest, |event| match event {
            crate::protocol::event::Event::Stdout(output)
            | crate::protocol::event::Event::Stderr(output)
                if &*output.id == cell =>
            {
                transcript.write(&output.text);
            }
            _ => {}
        })
        .await?;
        Ok(ResourceContents::text(transcript.text(), uri))
    }

    async fn read_image(
        &self,
        uri: &str,
        session: &str,
        cell: &str,
        number: usize,
    ) -> Result<ResourceContents, Failure> {
        let (session, credential) = self.session(session)?;
        let (seat, newest) =
            session.observe(super::run::from(credential, ReadFrom::Beginning, false)).await?;
        let memory = session.memory().request();
        let mut collected = Collected::for_image(cell.to_owned(), number, memory);
        replay(seat, newest, |event| collected.take(event)).await?;
        let (mime, data) = collected.into_image().ok_or_else(|| {
            Failure::new("the session's log holds no such image any more; show it again")
        })?;
        Ok(ResourceContents::blob(data, uri).with_mime_type(mime))
    }
}

/// Reads the log up to this event.
async fn replay(
    mut seat: Attachment,
    newest: u64,
    mut take: impl FnMut(crate::protocol::event::Event),
) -> Result<(), Failure> {
    let mut seen = 0;
    while seen < newest {
        match seat.next().await? {
            Delivery::Event(sequenced) => {
                seen = sequenced.seq;
                take(sequenced.event().map_err(|error| {
                    Failure::new(crate::admission::failed("cannot read an event", &error))
                })?);
            }
            Delivery::Reply(reply) => {
                if let Reply::Gap { to, .. } = reply.reply {
                    seen = to;
                }
            }
        }
    }
    Ok(())
}

/// That there is no such resource, as the revision of the request says it.
fn missing(call: &Call<'_>, uri: &str, sentence: &str) -> ErrorData {
    let data = Some(serde_json::json!({ "uri": uri }));
    let sentence = sentence.to_owned();
    match call.context.protocol_version() {
        Some(version) if version >= rmcp::model::ProtocolVersion::V_2026_07_28 => {
            ErrorData::invalid_params(sentence, data)
        }
        _ => ErrorData::resource_not_found(sentence, data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_made() {
        let (session, cell) = ("s".to_owned(), "c".to_owned());
        let path = "a b/ü%.txt".to_owned();
        let uri = file("s", &path);
        assert_eq!(uri, "cellgate://sessions/s/files/a%20b/%C3%BC%25.txt");
        let named = Address::File { session: session.clone(), path };
        assert_eq!(Address::read(&uri), Some(named));
        let named = Address::Output { session: session.clone(), cell: cell.clone() };
        assert_eq!(Address::read(&output("s", "c")), Some(named));
        let named = Address::Image { session, cell, number: 3 };
        assert_eq!(Address::read(&image("s", "c", 3)), Some(named));
        for other in [
            "",
            "file:///etc/passwd",
            "cellgate://sessions/s",
            "cellgate://sessions/s/x/y",
            "cellgate://sessions/s/cells/c/images/-1",
            "cellgate://sessions/s/cells/c/else",
        ] {
            assert_eq!(Address::read(other), None, "{other}");
        }
    }
}
