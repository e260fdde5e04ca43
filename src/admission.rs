//! Who may open or join a session, and with what role: one decision for all doors.
//!
//! ```text
//!   door ── token, what is wanted ──► Admission ──► a session, a seat in it, or Refused
//!                                        │                                         │
//!                                     Registry          the door renders it ◄──────┘
//! ```
//! The gateway's token opens sessions, lists them, and stands for their owner in each. A session's
//! token gives its role in that session alone. A gateway without a token lets every client do
//! everything, which the settings allow on loopback only.

use std::net::IpAddr;
use std::sync::Arc;

use crate::error::Chain;
use crate::id::{SessionId, Token};
use crate::protocol::reply::Role;
use crate::registry::{CreateError, Maker, Registry};
use crate::session::{AttachError, Attachment, Credential, JoinRequest, SessionHandle};

/// Longest name of a participant, in characters.
const NAME_CHARS: usize = 64;

/// Decides about every request for a session.
pub struct Admission {
    registry: Arc<Registry>,
    /// Each opens new sessions; none: every client may, which the settings allow on loopback only.
    tokens: Vec<Token>,
    /// Template of a client that names none.
    default_template: String,
}

/// A client's request for a seat in a session.
#[derive(Clone, Debug)]
pub struct OpenRequest<'a> {
    /// The token that the client offers; empty for none.
    pub token: &'a str,
    /// Where the client comes from.
    pub address: IpAddr,
    /// Which session.
    pub session: Wanted<'a>,
    /// The name that it wants to be shown to others.
    pub name: Option<&'a str>,
    /// Replay what came after this seq; `None`: everything held.
    pub after: Option<u64>,
}

/// Which session is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// A new one, made from this template or from the default one.
    New(Option<&'a str>),
    /// The one of this id.
    Existing(&'a str),
}

/// Why a request for a session is refused. A door renders it by its [`Refused::kind`].
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Only a holder of the gateway's token may do this.
    #[error(
        "this needs the gateway's token, as `Authorization: Bearer` or `token=`; it stands in the \
         URL printed at start"
    )]
    NeedsGatewayToken,
    /// The token does not open the session.
    #[error(
        "this needs a token of this session, from `ready` or a share link, or the gateway's, as \
         `Authorization: Bearer` or `token=`"
    )]
    NeedsSessionToken,
    /// The token opens the session, for less than is asked for.
    #[error("this needs the role {}, and the token gives {}", .needed.name(), .held.name())]
    NeedsRole {
        /// The least role that may do it.
        needed: Role,
        /// The role that the token gives.
        held: Role,
    },
    /// There is no session of that id, or not any more.
    #[error("there is no session of this id; it may be over")]
    NoSuchSession,
    /// The same, for a client whose token does not open the gateway.
    #[error("no session of this id opens to this token; it may be over")]
    NoSuchSessionForToken,
    /// No session can be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The session does not take another participant.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// What a refusal means to a client, whatever the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedKind {
    /// The client should come with a token, or with another one.
    Unauthorised,
    /// The token is good, for less.
    Forbidden,
    /// What was named does not exist.
    NotFound,
    /// What was named does not exist, and the token would not open it if it did. HTTP answers that
    /// as it answers a wrong token; a WebSocket's client is to learn that its session is over.
    NotFoundForToken,
    /// The client has too many sessions.
    TooMany,
    /// The gateway or the session is full; the client may try again later.
    NoCapacity,
    /// The gateway shuts down.
    Draining,
    /// The gateway failed; its log says why.
    Failed,
}

impl Refused {
    /// What it means to a client.
    pub fn kind(&self) -> RefusedKind {
        match self {
            Refused::NeedsGatewayToken
            | Refused::NeedsSessionToken
            | Refused::Attach(AttachError::Invalid) => RefusedKind::Unauthorised,
            Refused::NeedsRole { .. } => RefusedKind::Forbidden,
            Refused::NoSuchSessionForToken => RefusedKind::NotFoundForToken,
            Refused::NoSuchSession
            | Refused::Attach(AttachError::Over)
            | Refused::Create(CreateError::NoTemplate { .. }) => RefusedKind::NotFound,
            Refused::Create(CreateError::TooMany(_) | CreateError::TooManyOfToken(_)) => {
                RefusedKind::TooMany
            }
            Refused::Create(
                CreateError::Full(_)
                | CreateError::LineFull(_)
                | CreateError::Failing(_)
                | CreateError::NotReady(_),
            )
            | Refused::Attach(AttachError::Full { .. }) => RefusedKind::NoCapacity,
            Refused::Create(CreateError::Draining) => RefusedKind::Draining,
            Refused::Create(CreateError::Prepare(_) | CreateError::Random(_))
            | Refused::Attach(AttachError::Random(_)) => RefusedKind::Failed,
        }
    }

    /// The sentence for the client. The cause of a failure goes to the log, and the sentence names
    /// the line there.
    pub fn sentence(&self) -> String {
        match self.kind() {
            RefusedKind::Failed => failed("cannot start a session", self),
            _ => self.to_string(),
        }
    }
}

/// Logs the cause of a failure with a new reference, and answers the sentence for the client that
/// names it.
pub fn failed(what: &str, cause: &(dyn std::error::Error + 'static)) -> String {
    let reference = SessionId::random().map(|id| id.to_string()).unwrap_or_default();
    tracing::error!(reference, error = %Chain(cause), "{what}");
    format!("{what}; the gateway's log says why: {reference}")
}

impl Admission {
    /// Decides by these tokens of the gateway.
    pub fn new(registry: Arc<Registry>, tokens: Vec<Token>, default_template: String) -> Admission {
        Admission { registry, tokens, default_template }
    }

    /// The token to print at the start; `None`: none is needed.
    pub fn first_token(&self) -> Option<&Token> {
        self.tokens.first()
    }

    /// Template of a client that names none.
    pub fn default_template(&self) -> &str {
        &self.default_template
    }

    /// Whether a token opens new sessions, lists all and sees what is measured.
    pub fn admits_to_gateway(&self, token: &str) -> Result<(), Refused> {
        match self.tokens.is_empty() || self.index_of(token).is_some() {
            true => Ok(()),
            false => Err(Refused::NeedsGatewayToken),
        }
    }

    /// Makes a session from a template, or from the default one.
    pub async fn create(
        &self,
        token: &str,
        address: IpAddr,
        template: Option<&str>,
    ) -> Result<SessionHandle, Refused> {
        self.admits_to_gateway(token)?;
        let maker = Maker { address: Some(address), token: self.index_of(token) };
        let template = template.unwrap_or(&self.default_template);
        Ok(self.registry.create(template, maker).await?)
    }

    /// The session of this id, for a client whose token gives at least the role `least` in it; with
    /// the role, and the credential to join it with.
    pub fn find(
        &self,
        token: &str,
        id: &str,
        least: Role,
    ) -> Result<(SessionHandle, Role, Credential), Refused> {
        let found = SessionId::parse(id).and_then(|id| self.registry.find(&id));
        let session = found.ok_or_else(|| match self.admits_to_gateway(token) {
            Ok(()) => Refused::NoSuchSession,
            Err(_) => Refused::NoSuchSessionForToken,
        })?;
        // The session's own tokens are looked at first, so that a share link gives its role on a
        // gateway that asks for no token, too.
        let (role, credential) = match session.role(token) {
            Some(role) => (role, Credential::Token(Token::new(token))),
            None if self.admits_to_gateway(token).is_ok() => (Role::Owner, Credential::Gateway),
            None => return Err(Refused::NeedsSessionToken),
        };
        if !role.covers(least) {
            return Err(Refused::NeedsRole { needed: least, held: role });
        }
        Ok((session, role, credential))
    }

    /// A seat in the session that is asked for.
    pub async fn open(
        &self,
        request: OpenRequest<'_>,
    ) -> Result<(SessionHandle, Attachment), Refused> {
        let OpenRequest { token, address, session, name, after } = request;
        let (session, role, credential) = match session {
            Wanted::New(template) => {
                let session = self.create(token, address, template).await?;
                let credential = Credential::Token(session.owner_token());
                (session, Role::Owner, credential)
            }
            Wanted::Existing(id) => self.find(token, id, Role::Viewer)?,
        };
        let join = JoinRequest { name: participant_name(name, role), credential, after };
        let seat = session.attach(join).await?;
        Ok((session, seat))
    }

    /// The index of a token among the gateway's. Looks at every one, so that the time it takes does
    /// not tell which was nearly right.
    fn index_of(&self, token: &str) -> Option<usize> {
        let indices = self.tokens.iter().enumerate();
        indices
            .filter(|(_, known)| known.matches(token))
            .map(|(index, _)| index)
            .fold(None, |found, index| found.or(Some(index)))
    }
}

/// Whether a character of a name is shown as it is: not a control character, and not one that turns
/// the direction of what follows, which lets one name look like another.
fn is_shown(character: char) -> bool {
    let bidirectional = matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let separators = matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}');
    !character.is_control() && !bidirectional && !separators
}

/// A name fit to be shown: printable, short, never empty.
fn participant_name(wanted: Option<&str>, role: Role) -> Arc<str> {
    let name: String =
        wanted.unwrap_or_default().chars().filter(|c| is_shown(*c)).take(NAME_CHARS).collect();
    match name.trim() {
        "" => role.name().into(),
        name => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_fit_to_be_shown() {
        let name = |wanted| participant_name(wanted, Role::Viewer);
        assert_eq!(&*name(None), "viewer");
        assert_eq!(&*name(Some(" \u{7}\n ")), "viewer");
        assert_eq!(&*name(Some(" Ada\n")), "Ada");
        assert_eq!(&*name(Some("A\u{202e}d\u{2066}a\u{200f}\u{feff}\u{9f}")), "Ada");
        assert_eq!(&*name(Some("עדה")), "עדה", "letters have a direction of their own");
        assert_eq!(name(Some(&"x".repeat(999))).len(), NAME_CHARS);
    }
}
