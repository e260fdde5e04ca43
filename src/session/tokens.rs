//! Who may enter a session, and as what.

use std::time::{Duration, SystemTime};

use crate::id::Token;
use crate::protocol::reply::Role;

/// Most share tokens that are valid at one time. More would be a leak of links, not a use.
const SHARED: usize = 256;

/// The tokens of one session.
#[derive(Debug)]
pub(super) struct Tokens {
    owner: Token,
    shared: Vec<Shared>,
}

#[derive(Debug)]
struct Shared {
    token: Token,
    role: Role,
    /// `None`: as long as the session lives.
    expires: Option<SystemTime>,
}

/// What a token opens, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// What its bearer may do.
    pub role: Role,
    /// When it stops opening anything, for who is in as well; `None`: with the session.
    pub expires: Option<SystemTime>,
}

/// Why there is no new token.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// Too many are valid.
    #[error("{SHARED} share tokens of this session are valid already; let some expire")]
    TooMany,
    /// The kernel gives no randomness.
    #[error("cannot make a token")]
    Random(#[from] getrandom::Error),
}

impl Tokens {
    pub(super) fn new(owner: Token) -> Tokens {
        Tokens { owner, shared: Vec::new() }
    }

    /// Makes a token for a role.
    pub(super) fn grant(
        &mut self,
        role: Role,
        lifetime: Option<Duration>,
        now: SystemTime,
    ) -> Result<Token, GrantError> {
        self.shared.retain(|shared| shared.is_valid(now));
        if self.shared.len() >= SHARED {
            return Err(GrantError::TooMany);
        }
        let token = Token::random()?;
        let expires = lifetime.and_then(|lifetime| now.checked_add(lifetime));
        self.shared.push(Shared { token: token.clone(), role, expires });
        Ok(token)
    }

    /// What a token opens now. Looks at every token, so that the time it takes does not tell
    /// which one was nearly right.
    pub(super) fn pass(&self, offered: &str, now: SystemTime) -> Option<Pass> {
        let owner = Pass { role: Role::Owner, expires: None };
        let mut pass = self.owner.matches(offered).then_some(owner);
        for shared in &self.shared {
            if shared.token.matches(offered) && shared.is_valid(now) {
                pass = pass.or(Some(Pass { role: shared.role, expires: shared.expires }));
            }
        }
        pass
    }

    /// A token that gives this role, for its bearer to come back with.
    pub(super) fn owner(&self) -> &Token {
        &self.owner
    }
}

impl Shared {
    fn is_valid(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_its_role_until_it_expires() {
        let start = SystemTime::UNIX_EPOCH;
        let mut tokens = Tokens::new(Token::new("o"));
        let forever = |role| Some(Pass { role, expires: None });
        assert_eq!(tokens.pass("o", start), forever(Role::Owner));
        assert_eq!(tokens.pass("", start), None);
        let minute = Duration::from_secs(60);
        let viewer = tokens.grant(Role::Viewer, Some(minute), start).unwrap();
        let editor = tokens.grant(Role::Editor, None, start).unwrap();
        let short = Pass { role: Role::Viewer, expires: Some(start + minute) };
        assert_eq!(tokens.pass(viewer.reveal(), start), Some(short));
        assert_eq!(tokens.pass(viewer.reveal(), start + minute), None);
        assert_eq!(tokens.pass(editor.reveal(), start + 9 * minute), forever(Role::Editor));
    }

    #[test]
    fn tokens_are_bounded_and_the_expired_make_room() {
        let start = SystemTime::UNIX_EPOCH;
        let minute = Duration::from_secs(60);
        let mut tokens = Tokens::new(Token::new("o"));
        for _ in 0..SHARED {
            tokens.grant(Role::Viewer, Some(minute), start).unwrap();
        }
        assert!(matches!(tokens.grant(Role::Viewer, None, start), Err(GrantError::TooMany)));
        assert!(tokens.grant(Role::Viewer, None, start + minute).is_ok());
    }
}
