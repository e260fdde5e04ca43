//! The tools for files of a session's working directory. They work while a cell runs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject, Resource};
use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::control::{said, structured};
use super::failure::Failure;
use super::{Call, read, resources};
use crate::admission::Extra;
use crate::session::SessionHandle;
use crate::session::files::{EntryKind, check_path};

/// Largest file whose contents are in the result of `read_file`, and longest text of `write_file`. Larger
/// ones are read as resources, and written by code.
pub(super) const INLINE_BYTES: u64 = 256 << 10; // 256 KiB

/// Largest file that is read as a resource.
pub(super) const RESOURCE_BYTES: u64 = 4 << 20; // 4 MiB

/// Most entries of one listing.
const MOST_ENTRIES: usize = 1000;

/// A directory to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct ListFiles {
    /// The session.
    session_id: String,
    /// A directory, relative to the working directory, which it is if not given.
    path: Option<String>,
}

/// A file to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct ReadFile {
    /// The session.
    session_id: String,
    /// The file, relative to the working directory.
    path: String,
}

/// A file to write.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct WriteFile {
    /// The session.
    session_id: String,
    /// The file, relative to the working directory. Directories on its way are made.
    path: String,
    /// What the file says, as text. Either this or `base64`.
    text: Option<String>,
    /// The file's bytes, in base64.
    base64: Option<String>,
}

/// What stands in a directory.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct FileList {
    /// The directory; empty for the working directory.
    path: String,
    /// What stands in it, by name.
    entries: Vec<FileEntry>,
    /// Whether there is more.
    truncated: bool,
}

/// What has a name in a directory.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct FileEntry {
    /// Its path, relative to the working directory.
    path: String,
    /// `file`, `directory`, `link` or `other`.
    kind: &'static str,
    /// Its size in bytes; 0 for what is not a file.
    size: u64,
}

impl Call<'_> {
    /// Lists a directory.
    pub(super) async fn list_files(
        &self,
        arguments: JsonObject,
    ) -> Result<CallToolResult, Failure> {
        let ListFiles { session_id, path } = read(arguments)?;
        let session = self.session_for(&session_id, Extra::Files)?;
        let path = path.as_deref().map_or("", relative);
        if !path.is_empty() {
            checked(path)?;
        }
        let listing = session.list_files(path, MOST_ENTRIES).await?;
        let entries = listing.entries.into_iter().map(|entry| FileEntry {
            path: match path {
                "" => entry.name,
                path => format!("{path}/{}", entry.name),
            },
            kind: match entry.kind {
                EntryKind::File => "file",
                EntryKind::Directory => "directory",
                EntryKind::Link => "link",
                EntryKind::Other => "other",
            },
            size: entry.size,
        });
        let (path, truncated) = (path.to_owned(), listing.truncated);
        let list = FileList { path, entries: entries.collect(), truncated };
        let lines = list.entries.iter().map(|entry| match entry.kind {
            "file" => format!("{} ({} bytes)", entry.path, entry.size),
            "directory" => format!("{}/", entry.path),
            kind => format!("{} ({kind})", entry.path),
        });
        let mut text = match list.entries.is_empty() {
            true => "The directory is empty.".to_owned(),
            false => lines.collect::<Vec<_>>().join("\n"),
        };
        if truncated {
            text.push_str(&format!("\n[only the first {MOST_ENTRIES} entries]"));
        }
        Ok(structured(text, &list))
    }

    /// Reads a file: its text, its image, or where to read it.
    pub(super) async fn read_file(&self, arguments: JsonObject) -> Result<CallToolResult, Failure> {
        let ReadFile { session_id, path } = read(arguments)?;
        let session = self.session_for(&session_id, Extra::Files)?;
        let path = relative(&path);
        let link = || Resource::new(resources::file(&session_id, path), path);
        let file = match self.contents(&session, path, INLINE_BYTES).await? {
            Contents::All(bytes) => bytes,
            Contents::TooLarge(size) => {
                let text = format!(
                    "{path} has {size} bytes, and at most {INLINE_BYTES} are read like this. Read the part \
                     that you need in code, or the resource that is linked here, if it has at most \
                     {RESOURCE_BYTES} bytes."
                );
                let mut result = said(text);
                if size <= RESOURCE_BYTES {
                    result.content.push(ContentBlock::resource_link(link().with_size(size)));
                }
                return Ok(result);
            }
        };
        Ok(match String::from_utf8(file) {
            Ok(text) => said(text),
            Err(error) => {
                let bytes = error.into_bytes();
                match image_type(&bytes) {
                    Some(mime) => CallToolResult::success(vec![ContentBlock::image(
                        STANDARD.encode(&bytes),
                        mime,
                    )]),
                    None => {
                        let mut result = said(format!(
                            "{path} is no text: {} bytes. Read it in code, or as the resource that is \
                             linked here.",
                            bytes.len()
                        ));
                        let link = link().with_size(bytes.len() as u64);
                        result.content.push(ContentBlock::resource_link(link));
                        result
                    }
                }
            }
        })
    }

    /// Writes a file.
    pub(super) async fn write_file(
        &self,
        arguments: JsonObject,
    ) -> Result<CallToolResult, Failure> {
        let WriteFile { session_id, path, text, base64 } = read(arguments)?;
        let session = self.session_for(&session_id, Extra::FileChanges)?;
        let path = relative(&path);
        checked(path)?;
        let bytes = match (text, base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => STANDARD
                .decode(base64)
                .map_err(|error| Failure::new(format!("`base64` cannot be read: {error}")))?,
            _ => {
                return Err(Failure::new(
                    "a file's contents are `text` or `base64`; one is needed",
                ));
            }
        };
        let size = bytes.len() as u64;
        if size > INLINE_BYTES {
            return Err(Failure::new(format!(
                "the file would have {size} bytes, and at most {INLINE_BYTES} are written like this; write \
                 it in parts and put them together in code"
            )));
        }
        let mut writer = session.write_file(path).await?;
        writer.append(&bytes).await?;
        let existed = writer.existed();
        writer.commit().await?;
        let verb = if existed { "Replaced" } else { "Wrote" };
        Ok(said(format!("{verb} {path}: {size} bytes.")))
    }

    /// A session that is there, for a caller who may do this with its files.
    pub(super) fn session_for(&self, id: &str, extra: Extra) -> Result<SessionHandle, Failure> {
        let (session, _) = self.door.admission.find_for(&self.caller.token, id, extra)?;
        Ok(session)
    }

    /// A file's contents, if it has at most so many bytes.
    pub(super) async fn contents(
        &self,
        session: &SessionHandle,
        path: &str,
        most: u64,
    ) -> Result<Contents, Failure> {
        checked(path)?;
        let mut file = session.read_file(path).await?;
        if file.size() > most {
            return Ok(Contents::TooLarge(file.size()));
        }
        let size = usize::try_from(file.size()).unwrap_or(usize::MAX);
        // As base64 and in the message: twice.
        let _charge = session.memory().try_charge(2 * size)?;
        let mut bytes = Vec::with_capacity(size);
        while let Some(chunk) = file.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(Contents::All(bytes))
    }
}

/// What was read of a file.
pub(super) enum Contents {
    /// Everything.
    All(Vec<u8>),
    /// Nothing: it has so many bytes.
    TooLarge(u64),
}

/// A path as people write it.
fn relative(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let path = path.strip_prefix("./").unwrap_or(path);
    if path == "." { "" } else { path }
}

fn checked(path: &str) -> Result<(), Failure> {
    check_path(path.as_bytes()).map_err(|what| {
        Failure::new(format!("{path:?}: {what}; paths are relative to the working directory"))
    })
}

/// The type of an image that models read, by how it begins.
pub(super) fn image_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}
