//! Who may open or join a session, and with what role: one decision for all doors.
//!
//! ```text
//!   door ── token, what is wanted ──► Admission ──► a session, a seat in it, or Refused
//!                                        │                                         │
//!                                     Registry          the door renders it ◄──────┘
//! ```
//! The gateway's token opens sessions, lists them, and stands for their owner in each. Where the gateway
//! has several tokens, each of them lists the sessions that were made with it and no others, and stands
//! for the owner of those alone. A session's
//! token gives its role in that session alone. A gateway without a token lets every client do
//! everything, which the settings allow on loopback only.
//!
//! A publishable key opens new sessions of its templates, within its bounds, from its origins, and
//! nothing else. A session that was made with one keeps its bounds for each participant; the
//! gateway's token may do in it what it may in all.

use std::net::IpAddr;
use std::sync::Arc;

use crate::error::Chain;
use crate::id::{SessionId, Token};
use crate::keys::{KeyConfig, KeyHolder, PublishableKey};
use crate::protocol::reply::Role;
use crate::registry::{CreateError, Maker, Registry, SessionOptions};
use crate::session::{AttachError, Attachment, Credential, JoinRequest, SessionHandle};

/// Longest name of a participant, in characters.
const NAME_CHARS: usize = 64;

/// Decides about every request for a session.
pub struct Admission {
    registry: Arc<Registry>,
    /// Each opens new sessions; none: every client may, which the settings allow on loopback only.
    tokens: Vec<Token>,
    /// Each opens new sessions within bounds of its own.
    keys: Vec<Arc<PublishableKey>>,
    /// Template of a client that names none.
    default_template: String,
}

/// Whom a token of the settings stands for.
enum Holder<'a> {
    /// The gateway's operator and those trusted alike, by the index of their token; `None`: the
    /// gateway asks for none.
    Gateway(Option<usize>),
    /// Anybody who has read a page with this publishable key.
    Key(&'a Arc<PublishableKey>),
}

/// What a publishable key may forbid to the participants of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// Reading files of the working directory.
    Files,
    /// Writing, moving and removing them, which are what cells run with: for those who may run.
    FileChanges,
    /// Making share links.
    Sharing,
}

/// What a request claims about itself, for the decision whether a page may send it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The token that it carries; empty for none.
    pub token: String,
    /// The session that it names, if it does.
    pub session: Option<String>,
}

/// Which page sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOrigin<'a> {
    /// None that is told: no browser, or a navigation.
    Absent,
    /// The gateway's own.
    Own,
    /// One of another origin that the settings let connect with any token.
    Listed(&'a str),
    /// One of an origin that the settings of the gateway as a whole do not name.
    Foreign(&'a str),
}

/// What is to be done with a page's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageVerdict {
    /// It is served.
    Served,
    /// It is served, and the page of this other origin may read the answer: a key says so.
    Readable,
    /// It is from a page that may not connect.
    Refused,
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
    /// A publishable key is no token of the gateway.
    #[error(
        "this needs the gateway's token; a publishable key makes sessions and does nothing else"
    )]
    KeyForGateway,
    /// A publishable key opens other templates.
    #[error("the publishable key {key} opens the templates {}; leave `template` out for the first", .templates.join(", "))]
    KeyTemplate {
        /// The key's name.
        key: String,
        /// The templates it opens.
        templates: Vec<String>,
    },
    /// A publishable key does not allow this in its sessions.
    #[error("sessions made with the publishable key {key} {}", .extra.forbidden())]
    KeyExtra {
        /// The key's name.
        key: String,
        /// What is not allowed.
        extra: Extra,
    },
    /// A publishable key sets no environment variables.
    #[error(
        "cells with the publishable key {key} take no `env`; set what the code needs in `os.environ`"
    )]
    KeyEnv {
        /// The key's name.
        key: String,
    },
    /// Pages of this origin may not use a publishable key.
    #[error(
        "pages of {origin:?} may not use the publishable key {key}; its `origins` in the settings \
         say which may"
    )]
    KeyOrigin {
        /// The key's name.
        key: String,
        /// Where the page is from.
        origin: String,
    },
    /// A WebSocket with a publishable key comes from no page.
    #[error(
        "the publishable key {key} is for web pages, and this request has no Origin; connect from \
         a page of one of its `origins`"
    )]
    KeyWithoutOrigin {
        /// The key's name.
        key: String,
    },
    /// The token opens the session, for less than is asked for.
    #[error("this needs the role {}, and the token gives {}", .needed.name(), .held.name())]
    NeedsRole {
        /// The least role that may do it.
        needed: Role,
        /// The role that the token gives.
        held: Role,
    },
    /// The token is an editor's from whom the right to run is withheld.
    #[error(
        "this needs the right to run cells, and the token gives the right to edit the document \
         alone; ask an owner for the right to run"
    )]
    NeedsRun,
    /// There is no session of that id, or not any more.
    #[error("there is no session of this id for this token; it may be over")]
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
            Refused::NeedsRole { .. }
            | Refused::NeedsRun
            | Refused::KeyForGateway
            | Refused::KeyTemplate { .. }
            | Refused::KeyExtra { .. }
            | Refused::KeyEnv { .. }
            | Refused::KeyOrigin { .. }
            | Refused::KeyWithoutOrigin { .. } => RefusedKind::Forbidden,
            Refused::NoSuchSessionForToken => RefusedKind::NotFoundForToken,
            Refused::NoSuchSession
            | Refused::Attach(AttachError::Over)
            | Refused::Create(CreateError::NoTemplate { .. }) => RefusedKind::NotFound,
            Refused::Create(
                CreateError::TooMany(_)
                | CreateError::TooManyOfToken(_)
                | CreateError::TooManyOfKey(_),
            ) => RefusedKind::TooMany,
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
    /// Decides by these tokens of the gateway and these publishable keys.
    pub fn new(
        registry: Arc<Registry>,
        tokens: Vec<Token>,
        keys: Vec<KeyConfig>,
        default_template: String,
    ) -> Admission {
        let keys = keys.into_iter().map(|config| Arc::new(PublishableKey::new(config))).collect();
        Admission { registry, tokens, keys, default_template }
    }

    /// Whether strangers may come with a publishable key.
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// What the settings say of each publishable key.
    pub fn keys(&self) -> impl Iterator<Item = &KeyConfig> {
        self.keys.iter().map(|key| &key.config)
    }

    /// The key that clients write like this.
    pub fn key(&self, text: &str) -> Option<&KeyConfig> {
        self.find_key(text).map(|key| &key.config)
    }

    /// Whether pages of this origin may use some key: then a browser may ask what it may send.
    pub fn some_key_allows(&self, origin: &str) -> bool {
        self.keys.iter().any(|key| key.config.allows_origin(origin))
    }

    /// The token to print at the start; `None`: none is needed.
    pub fn first_token(&self) -> Option<&Token> {
        self.tokens.first()
    }

    /// Template of a client that names none.
    pub fn default_template(&self) -> &str {
        &self.default_template
    }

    /// Whether a token lists sessions and sees what is measured of all.
    pub fn admits_to_gateway(&self, token: &str) -> Result<(), Refused> {
        match self.holder(token).ok_or(Refused::NeedsGatewayToken)? {
            Holder::Gateway(_) => Ok(()),
            Holder::Key(_) => Err(Refused::KeyForGateway),
        }
    }

    /// The sessions that a token lists, in no order.
    pub fn sessions(&self, token: &str) -> Result<Vec<SessionHandle>, Refused> {
        Ok(match self.holder(token).ok_or(Refused::NeedsGatewayToken)? {
            Holder::Gateway(Some(index)) if self.tokens.len() > 1 => {
                self.registry.handles_of(index)
            }
            Holder::Gateway(_) => self.registry.handles(),
            Holder::Key(_) => return Err(Refused::KeyForGateway),
        })
    }

    /// Whether a token of the gateway stands for the owner of a session that was made with the token of
    /// this index, or with none.
    fn owns(&self, token: &str, made_with: Option<usize>) -> bool {
        match self.holder(token) {
            Some(Holder::Gateway(Some(index))) if self.tokens.len() > 1 => made_with == Some(index),
            Some(Holder::Gateway(_)) => true,
            Some(Holder::Key(_)) | None => false,
        }
    }

    /// Whether a token opens new sessions, of some template at least.
    pub fn admits_to_create(&self, token: &str) -> Result<(), Refused> {
        self.holder(token).map(|_| ()).ok_or(Refused::NeedsGatewayToken)
    }

    /// Makes a session from a template, or from the token's default one.
    pub async fn create(
        &self,
        token: &str,
        address: IpAddr,
        template: Option<&str>,
        options: SessionOptions,
    ) -> Result<SessionHandle, Refused> {
        let mut maker = Maker { address: Some(address), options, ..Maker::default() };
        let template = match self.holder(token).ok_or(Refused::NeedsGatewayToken)? {
            Holder::Gateway(index) => {
                maker.token = index;
                template.unwrap_or(&self.default_template)
            }
            Holder::Key(key) => {
                maker.key_holder = Some(KeyHolder { key: Arc::clone(key), address });
                template_of(&key.config, template)?
            }
        };
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
        let missing = || match self.admits_to_gateway(token) {
            Ok(()) => Refused::NoSuchSession,
            Err(_) => Refused::NoSuchSessionForToken,
        };
        let found = SessionId::parse(id).and_then(|id| self.registry.find_with_token(&id));
        let (session, made_with) = found.ok_or_else(missing)?;
        // The session's own tokens are looked at first, so that a share link gives its role on a
        // gateway that asks for no token, too. A key is none of them, not even of its sessions: who
        // made one has its own token, from `ready`.
        let (role, credential) = match session.role(token) {
            Some(role) => (role, Credential::Token(Token::new(token))),
            None if self.owns(token, made_with) => (Role::Owner, Credential::Gateway),
            // A session of another token of the gateway: whether there is one is not told.
            None if self.admits_to_gateway(token).is_ok() => return Err(Refused::NoSuchSession),
            None => return Err(Refused::NeedsSessionToken),
        };
        if !role.covers(least) {
            return Err(Refused::NeedsRole { needed: least, held: role });
        }
        Ok((session, role, credential))
    }

    /// The same for what the key of the session may forbid to all but the gateway's token, and what
    /// may be withheld from an editor.
    pub fn find_for(
        &self,
        token: &str,
        id: &str,
        extra: Extra,
    ) -> Result<(SessionHandle, Credential), Refused> {
        let (session, _, credential) = self.find(token, id, extra.least())?;
        let rights = session.rights(&credential).ok_or(Refused::NeedsSessionToken)?;
        if extra == Extra::FileChanges && !rights.may_run() {
            return Err(Refused::NeedsRun);
        }
        match (session.key(), &credential) {
            (Some(key), Credential::Token(_)) if !extra.is_allowed_by(key) => {
                Err(Refused::KeyExtra { key: key.name.clone(), extra })
            }
            _ => Ok((session, credential)),
        }
    }

    /// Whether a page may send a request with this claim. A key is for pages of its own origins and
    /// of the gateway; so are the tokens of its sessions. All else is as the gateway's settings
    /// have it.
    pub fn judge_page(
        &self,
        claim: &Claim,
        page: PageOrigin<'_>,
        is_websocket: bool,
    ) -> Result<PageVerdict, Refused> {
        if let Some(key) = self.key(&claim.token) {
            let name = || key.name.clone();
            return match page {
                PageOrigin::Own => Ok(PageVerdict::Served),
                // A browser sends an Origin with each WebSocket, but not with each request.
                PageOrigin::Absent if is_websocket && !key.allows_any_origin() => {
                    Err(Refused::KeyWithoutOrigin { key: name() })
                }
                PageOrigin::Absent => Ok(PageVerdict::Served),
                PageOrigin::Listed(origin) | PageOrigin::Foreign(origin) => {
                    match key.allows_origin(origin) {
                        true => Ok(PageVerdict::Readable),
                        false => Err(Refused::KeyOrigin { key: name(), origin: origin.to_owned() }),
                    }
                }
            };
        }
        let (PageOrigin::Foreign(origin) | PageOrigin::Listed(origin)) = page else {
            return Ok(PageVerdict::Served);
        };
        let is_listed = matches!(page, PageOrigin::Listed(_));
        let named = claim.session.as_deref().and_then(SessionId::parse);
        let session = named.map(|id| self.registry.find(&id));
        let is_readable = match session {
            // One of the session's own tokens.
            Some(Some(session)) => {
                let key = session.key().filter(|key| key.allows_origin(origin));
                key.is_some() && session.role(&claim.token).is_some()
            }
            // A page is to learn that its session is over, and nothing else comes of it.
            Some(None) => self.some_key_allows(origin),
            None => false,
        };
        Ok(match (is_readable, is_listed) {
            (true, _) => PageVerdict::Readable,
            (false, true) => PageVerdict::Served,
            (false, false) => PageVerdict::Refused,
        })
    }

    /// A seat in the session that is asked for.
    pub async fn open(
        &self,
        request: OpenRequest<'_>,
    ) -> Result<(SessionHandle, Attachment), Refused> {
        let OpenRequest { token, address, session, name, after } = request;
        let (session, role, credential) = match session {
            Wanted::New(template) => {
                let session =
                    self.create(token, address, template, SessionOptions::default()).await?;
                let credential = Credential::Token(session.owner_token());
                (session, Role::Owner, credential)
            }
            Wanted::Existing(id) => self.find(token, id, Role::Viewer)?,
        };
        let join = JoinRequest { name: participant_name(name, role), credential, after };
        let seat = session.attach(join).await?;
        Ok((session, seat))
    }

    /// Whom a token stands for. A key is looked at first: on a gateway that asks for no token it
    /// gives what it says, and no more.
    fn holder(&self, token: &str) -> Option<Holder<'_>> {
        if let Some(key) = self.find_key(token) {
            return Some(Holder::Key(key));
        }
        match self.index_of(token) {
            Some(index) => Some(Holder::Gateway(Some(index))),
            None => self.tokens.is_empty().then_some(Holder::Gateway(None)),
        }
    }

    /// A key is public, so that the time this takes may tell what it likes.
    fn find_key(&self, text: &str) -> Option<&Arc<PublishableKey>> {
        self.keys.iter().find(|key| key.config.key == text)
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

impl Extra {
    /// The least role that may do it where no key forbids it.
    fn least(self) -> Role {
        match self {
            Extra::Files | Extra::FileChanges => Role::Editor,
            Extra::Sharing => Role::Owner,
        }
    }

    fn is_allowed_by(self, key: &KeyConfig) -> bool {
        match self {
            Extra::Files | Extra::FileChanges => key.files,
            Extra::Sharing => key.sharing,
        }
    }

    /// Completes "sessions made with the key … ".
    fn forbidden(self) -> &'static str {
        match self {
            Extra::Files | Extra::FileChanges => {
                "read and write no files over HTTP; its setting `files` would allow it"
            }
            Extra::Sharing => "make no share links; its setting `sharing` would allow it",
        }
    }
}

/// The template of a session that is made with a key.
fn template_of<'a>(key: &'a KeyConfig, wanted: Option<&str>) -> Result<&'a str, Refused> {
    let mut templates = key.templates.iter();
    let found = match wanted {
        Some(wanted) => templates.find(|template| *template == wanted),
        None => templates.next(),
    };
    found.map(String::as_str).ok_or_else(|| Refused::KeyTemplate {
        key: key.name.clone(),
        templates: key.templates.clone(),
    })
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
