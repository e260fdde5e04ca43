//! Writes the client library's types, `web/client/src/wire.ts`, from the definitions in Rust, and
//! fails when the file that is there says something else.

use std::path::Path;

use ts_rs::{Config, TS};

use super::files;
use crate::protocol::{self, CloseCode, client, event, refusal, reply};

const HEAD: &str = "\
// What travels between a gateway and its clients. Generated from the definitions in Rust, do not
// edit: `CELLGATE_TEST_UPDATE=1 cargo test --lib typescript` writes it anew, and `cargo test` fails
// when it is out of date.

/** One value in several forms, by MIME type. */
export type MimeBundle = Record<string, unknown>;

/** What a value says about its forms. */
export type Metadata = Record<string, unknown>;
";

/// The whole file.
fn types() -> String {
    // No number of the protocol comes near 2^53.
    let config = &Config::new().with_large_int("number");
    let mut file = String::from(HEAD);
    for (name, value, meaning) in [
        (
            "PROTOCOL",
            format!("{}", protocol::VERSION),
            "The version that `ready.protocol` carries.",
        ),
        ("SUBPROTOCOL", format!("{:?}", protocol::SUBPROTOCOL), "The WebSocket subprotocol of it."),
        (
            "BEARER_SUBPROTOCOL",
            format!("{:?}", protocol::BEARER_SUBPROTOCOL),
            "A subprotocol that carries a token: this, then its base64url form.",
        ),
    ] {
        file += &format!("\n/** {meaning} */\nexport const {name} = {value};\n");
    }
    let message = client::typescript::declaration(config);
    file += &format!("\n/** Whatever a client may send. */\nexport {}\n", tidy(&message));
    for one in [
        declared::<event::Placed<'static>>,
        declared::<event::Output>,
        declared::<event::ProcessOutput>,
        declared::<event::ProgramInfo>,
        declared::<event::ProgramKind>,
        declared::<client::RawSize>,
        declared::<event::CommFields>,
        declared::<event::Stream>,
        declared::<event::Frame>,
        declared::<event::CellStatus>,
        declared::<event::DoneUsage>,
        declared::<event::ExpressionValue>,
        declared::<event::ExpressionStatus>,
        declared::<event::SessionState>,
        declared::<event::NoticeLevel>,
        declared::<event::EndReason>,
        declared::<reply::Reply>,
        declared::<reply::Ready>,
        declared::<reply::LanguageInfo>,
        declared::<reply::ReadyLimits>,
        declared::<reply::ReadyAllowed>,
        declared::<reply::Role>,
        declared::<reply::ParticipantInfo>,
        declared::<reply::Completeness>,
        declared::<client::SortKey>,
        declared::<client::TableFormat>,
        declared::<reply::TableField>,
        declared::<reply::Variable>,
        declared::<refusal::ErrorCode>,
        declared::<CloseCode>,
        declared::<files::Directory>,
        declared::<files::DirectoryEntry>,
        declared::<files::Kind>,
        declared::<files::Written>,
        declared::<files::watching::WatchEvent>,
        declared::<files::watching::WatchedKind>,
    ] {
        file += &one(config);
    }
    file
}

fn declared<T: TS>(config: &Config) -> String {
    let (docs, declaration) = (T::docs().unwrap_or_default(), T::decl(config));
    format!("\n{}\nexport {}\n", tidy(&docs), tidy(&declaration))
}

/// For people's eyes: a comment is one line, and what stands in brackets is indented.
fn tidy(declaration: &str) -> String {
    let flat = declaration
        .replace("/**\n * ", "/** ")
        .replace("\n * ", " ")
        .replace("\n */", " */")
        .replace("\"type\": ", "type: ")
        .replace(", }", ",\n}");
    let mut lines = Vec::new();
    let mut depth: usize = 0;
    for line in flat.lines().map(str::trim) {
        let outwards = usize::from(line.starts_with('}'));
        lines.push(format!("{}{line}", "  ".repeat(depth.saturating_sub(outwards))));
        if !line.starts_with("/**") {
            depth += line.matches(['{', '(']).count();
            depth = depth.saturating_sub(line.matches(['}', ')']).count());
        }
    }
    lines.join("\n")
}

#[test]
fn the_client_library_has_the_types_of_the_gateway() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/client/src/wire.ts");
    let types = types();
    if std::env::var_os("CELLGATE_TEST_UPDATE").is_some() {
        std::fs::write(&path, &types)?;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, types, "run CELLGATE_TEST_UPDATE=1 cargo test --lib typescript");
    Ok(())
}
