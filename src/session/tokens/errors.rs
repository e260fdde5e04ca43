//! Why tokens are not made, changed or revoked, in sentences for people.

use super::SHARED;
use crate::protocol::reply::RightsError;

/// Why there is no new token.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// Too many are valid.
    #[error(
        "{SHARED} share tokens of this session are valid already; revoke one or let some expire"
    )]
    TooMany,
    /// The token it would be made with has expired or was revoked meanwhile.
    #[error("the token to make it with is not valid any more")]
    Invalid,
    /// The token it would be made with gives less, since it was changed.
    #[error("the token to make it with gives less than this; ask an owner for the right to share")]
    BeyondOwn,
    /// The kernel gives no randomness.
    #[error("cannot make a token")]
    Random(#[from] getrandom::Error),
}

/// Why a token is not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// There is none, or none any more.
    #[error("there is no token of this number; it may have expired or been revoked")]
    NoToken,
    /// No participant is attached under this number.
    #[error("there is no participant of this number; `participants` tells who is attached")]
    NoParticipant,
    /// It is the creator's.
    #[error("this is the token of the session's creator, which ends with the session; end that")]
    Creator,
    /// It would leave the session without an owner.
    #[error("no owner would be left; make another participant an owner first, or end the session")]
    LastOwner,
}

/// Why what a participant may do is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRightsError {
    /// The token it would be changed with is no owner's, or not any more.
    #[error("this needs the role owner, and the token does not give it any more")]
    NotByOwner,
    /// No participant is attached under this number.
    #[error("there is no participant of this number; `participants` tells who is attached")]
    NoParticipant,
    /// It would leave the session without an owner, at once or when the tokens of the others expire.
    #[error(
        "no other owner is here for as long as this one; make another participant an owner first"
    )]
    LastOwner,
    /// There are no such rights.
    #[error(transparent)]
    Rights(#[from] RightsError),
}
