//! What is allowed in the settings and better changed: said in the log at the start.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::config::AccessConfig;
use crate::keys::KeyConfig;

/// Fewer characters can be guessed: 16 random ones of the alphabet of our own tokens have 80 bits.
const LEAST_TOKEN_CHARS: usize = 16;

/// Permissions of the group and of other users to read a file.
const READ_BY_OTHERS: u32 = 0o044;

/// A sentence for each thing that is weak about the gateway's tokens.
pub(super) fn of_tokens(access: &AccessConfig) -> Vec<String> {
    let tokens = access.token.iter().chain(&access.more_tokens);
    let short = tokens
        .filter(|token| token.reveal().chars().count() < LEAST_TOKEN_CHARS)
        .map(|_| {
            format!(
                "a token of the gateway has fewer than {LEAST_TOKEN_CHARS} characters and could be \
                 guessed; use a random one: head -c 20 /dev/urandom | base32"
            )
        })
        .take(1);
    short.chain(access.token_file.as_deref().and_then(readable)).collect()
}

/// A sentence for each publishable key that is no more than a token for everybody.
pub(super) fn of_keys(keys: &[KeyConfig]) -> Vec<String> {
    let open = keys.iter().filter(|key| key.allows_any_origin());
    open.map(|key| {
        format!(
            "any page and any program may use the publishable key {}: its origins are \"*\"; name the \
             pages that are to use it",
            key.name
        )
    })
    .collect()
}

/// That others can read the file, if they can.
fn readable(file: &Path) -> Option<String> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    (mode & READ_BY_OTHERS != 0).then(|| {
        let file = file.display();
        format!(
            "other users of this machine can read {file}, where the tokens are: chmod 600 {file}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Token;

    fn access(tokens: &[&str], file: Option<&Path>) -> AccessConfig {
        let mut tokens = tokens.iter().map(|token| Token::new(*token));
        AccessConfig {
            token: tokens.next(),
            more_tokens: tokens.collect(),
            token_file: file.map(Path::to_owned),
            ..AccessConfig::default()
        }
    }

    #[test]
    fn a_key_for_every_origin_is_told() {
        let key = |name: &str, origins: &[&str]| KeyConfig {
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            ..KeyConfig::new(name, "python")
        };
        let told = of_keys(&[key("lesson", &["https://a.example"]), key("open", &["*"])]);
        assert!(told.len() == 1 && told[0].contains("key open"), "{told:?}");
    }

    #[test]
    fn short_tokens_and_open_files_are_told() {
        let long = "x".repeat(LEAST_TOKEN_CHARS);
        assert_eq!(of_tokens(&access(&[], None)), Vec::<String>::new());
        assert_eq!(of_tokens(&access(&[&long, &long], None)), Vec::<String>::new());
        let told = of_tokens(&access(&[&long, "short", "secret"], None));
        assert!(told.len() == 1 && told[0].contains("16 characters"), "{told:?}");
        assert!(!told[0].contains("short") && !told[0].contains("secret"));
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, is_told) in [(0o600, false), (0o640, true), (0o604, true), (0o400, false)] {
            file.as_file().set_permissions(PermissionsExt::from_mode(mode)).unwrap();
            let told = of_tokens(&access(&[&long], Some(file.path())));
            assert_eq!(told.len(), usize::from(is_told), "{mode:o}: {told:?}");
        }
    }
}
