//! Messages of Jupyter's comms: each comm connects an object of user code with one of a client, as
//! a widget with what is drawn of it. Clients send them ([`Comm`]) and user code does
//! ([`super::event::CommFields`]); what both have in common is bounded and checked here.

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::scrub::scrub;

/// Longest `comm_id` and longest `target_name`, in bytes.
pub const NAME_BYTES: usize = 1 << 10; // 1 KiB: ids are UUIDs, and targets names of modules

/// Most buffers of one message.
pub const MOST_BUFFERS: usize = 1024;

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommKind {
    /// A comm begins.
    CommOpen,
    /// Something is said on a comm that is open.
    CommMsg,
    /// A comm ends.
    CommClose,
}

/// A message of a client on a comm. Its JSON is the one that a runner is given.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comm {
    /// Which message.
    #[serde(rename = "type")]
    pub kind: CommKind,
    /// The comm, named by who opened it.
    pub comm_id: String,
    /// What is to answer on the other side; of `comm_open` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_name: Option<String>,
    /// What is said.
    pub data: JsonObject,
    /// What is said about it.
    pub metadata: JsonObject,
    /// Bytes that belong to `data`.
    pub buffers: Buffers,
}

impl Comm {
    /// Bytes that the message holds in memory.
    pub fn bytes(&self) -> usize {
        let Comm { kind: _, comm_id, target_name, data, metadata, buffers } = self;
        let target_name = target_name.as_ref().map_or(0, String::len);
        comm_id.len() + target_name + data.get().len() + metadata.get().len() + buffers.bytes()
    }
}

/// Why a name cannot be a comm's; `field` says which.
pub fn check_name(field: &str, name: &str) -> Result<(), String> {
    match name.len() {
        1..=NAME_BYTES => Ok(()),
        bytes => Err(format!("`{field}` has {bytes} bytes, and may have 1 to {NAME_BYTES}")),
    }
}

/// A JSON object that is passed on as the text it came as.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct JsonObject(Box<RawValue>);

impl JsonObject {
    /// Its text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Whether it has no fields.
    pub fn is_empty(&self) -> bool {
        self.get().trim_matches(['{', '}', ' ', '\t', '\r', '\n']).is_empty()
    }

    /// The same, made fit for every reader as [`scrub`] does; or why it cannot be.
    pub fn scrubbed(self) -> Result<JsonObject, String> {
        match scrub(self.get().as_bytes()).map_err(|unfit| unfit.to_string())? {
            std::borrow::Cow::Borrowed(_) => Ok(self),
            std::borrow::Cow::Owned(json) => {
                serde_json::from_slice(&json).map_err(|error| error.to_string())
            }
        }
    }
}

impl Default for JsonObject {
    /// `{}`.
    fn default() -> JsonObject {
        let empty = serde_json::value::to_raw_value(&serde_json::Map::new());
        JsonObject(empty.unwrap_or_default())
    }
}

impl PartialEq for JsonObject {
    fn eq(&self, other: &JsonObject) -> bool {
        self.get() == other.get()
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<JsonObject, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        match raw.get().starts_with('{') {
            true => Ok(JsonObject(raw)),
            false => Err(D::Error::custom("this field has to be an object")),
        }
    }
}

/// Bytes beside the JSON of a message, each buffer in base64 (RFC 4648 §4, padded); at most
/// [`MOST_BUFFERS`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Buffers(Vec<String>);

impl Buffers {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that they hold in memory.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|buffer| size_of::<String>() + buffer.len()).sum()
    }
}

impl<'de> Deserialize<'de> for Buffers {
    /// Reads one buffer after the other: of a list without end, no more is held than is allowed.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Buffers, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Buffers;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of buffers in base64")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Buffers, A::Error> {
                let mut buffers = Vec::new();
                while let Some(buffer) = all.next_element::<String>()? {
                    if buffers.len() == MOST_BUFFERS {
                        return Err(A::Error::custom(format!(
                            "a message has at most {MOST_BUFFERS} buffers"
                        )));
                    }
                    if !is_base64(&buffer) {
                        return Err(A::Error::custom("a buffer is not base64 with its padding"));
                    }
                    buffers.push(buffer);
                }
                Ok(Buffers(buffers))
            }
        }
        from.deserialize_seq(Reader)
    }
}

fn is_base64(text: &str) -> bool {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    text.len().is_multiple_of(4)
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_base64_and_bounded() {
        let read = |json: &str| serde_json::from_str::<Buffers>(json);
        for good in ["[]", r#"["","AA==","AAA=","AA+/"]"#] {
            assert!(read(good).is_ok(), "{good}");
        }
        for bad in
            ["{}", "[1]", r#"["A"]"#, r#"["A==="]"#, r#"["===="]"#, r#"["AA=A"]"#, r#"["A A="]"#]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        let many = |count| serde_json::to_string(&vec![""; count]).unwrap();
        assert!(read(&many(MOST_BUFFERS)).is_ok());
        let told = read(&many(MOST_BUFFERS + 1)).unwrap_err().to_string();
        assert!(told.contains("at most 1024"), "{told}");
    }

    #[test]
    fn an_object_stays_as_it_was_written_but_for_what_readers_stumble_over() {
        let read = |json: &str| serde_json::from_str::<JsonObject>(json);
        for bad in ["[]", "null", "\"{}\"", "1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let scrubbed = |json: &str| read(json).unwrap().scrubbed();
        assert_eq!(scrubbed(r#"{"b": 1.50, "a": 1}"#).unwrap().get(), r#"{"b": 1.50, "a": 1}"#);
        assert_eq!(scrubbed("{\n\"a\":\"\\ud800\"}").unwrap().get(), "{ \"a\":\"\\ufffd\"}");
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100), "]".repeat(100));
        assert!(scrubbed(&deep).unwrap_err().contains("nested"));
        assert!(JsonObject::default().is_empty() && read("{ }").unwrap().is_empty());
        assert!(!read(r#"{"":{}}"#).unwrap().is_empty());
    }
}
