//! Names that cannot be guessed: session ids and tokens.

use std::fmt;

/// Names a session. 16 random bytes would be a secret; this is not one: access needs a token.
/// Twelve characters of `[a-z2-7]` (60 random bits): safe in URLs, file names, container names
/// and cgroup names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct SessionId(String);

impl SessionId {
    const LENGTH: usize = 12;

    /// A fresh id. Fails only if the kernel gives no randomness.
    pub fn random() -> Result<SessionId, getrandom::Error> {
        random_text(SessionId::LENGTH).map(SessionId)
    }

    /// Accepts what [`SessionId::random`] could have made, and nothing else.
    pub fn parse(text: &str) -> Option<SessionId> {
        let shape = text.len() == SessionId::LENGTH
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        shape.then(|| SessionId(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret that grants something. Compared in constant time, never printed by `Debug`.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    const LENGTH: usize = 32; // 160 random bits

    /// A fresh token. Fails only if the kernel gives no randomness.
    pub fn random() -> Result<Token, getrandom::Error> {
        random_text(Token::LENGTH).map(Token)
    }

    /// A token chosen by the operator.
    pub fn new(text: impl Into<String>) -> Token {
        Token(text.into())
    }

    /// Whether `offered` is this token; takes the same time for every text of one length.
    pub fn matches(&self, offered: &str) -> bool {
        use subtle::ConstantTimeEq;
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }

    /// The secret itself, to be shown once to the client that it is for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// `length` characters of the RFC 4648 base-32 alphabet in lower case, five random bits each.
fn random_text(length: usize) -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_accepted_as_made_and_nothing_else_is() {
        let id = SessionId::random().unwrap();
        assert_eq!(SessionId::parse(id.as_str()), Some(id));
        for bad in ["", "short", "UPPERCASE234", "../../../etc", "abcdefghijk1"] {
            assert_eq!(SessionId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_matches_itself_alone_and_stays_out_of_debug_output() {
        let token = Token::random().unwrap();
        assert!(token.matches(token.reveal()));
        assert!(!token.matches("") && !token.matches(&token.reveal()[1..]));
        assert!(!format!("{token:?}").contains(token.reveal()));
    }
}
