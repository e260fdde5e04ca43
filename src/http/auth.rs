//! Who asks, and what that lets them do.
//!
//! The gateway's token opens sessions, lists them, and stands for their owner in each. A session's
//! token gives its role in that session alone. A gateway without a token lets everybody do
//! everything, which the settings allow on loopback only.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::AppState;
use super::clients::Client;
use super::problem::Problem;
use crate::id::{SessionId, Token};
use crate::protocol::reply::Role;
use crate::registry::Maker;
use crate::session::{Credential, SessionHandle};

/// The token a request came with, if any.
pub(super) struct Caller {
    token: String,
}

#[derive(Default, Deserialize)]
struct TokenQuery {
    token: Option<String>,
}

impl FromRequestParts<Arc<AppState>> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Arc<AppState>,
    ) -> Result<Caller, Infallible> {
        let token = bearer(&parts.headers).map(str::to_owned).or_else(|| {
            // A query that cannot be read has no token; whoever needs the rest of it complains.
            let query = Query::<TokenQuery>::try_from_uri(&parts.uri).ok()?;
            query.0.token
        });
        Ok(Caller { token: token.unwrap_or_default() })
    }
}

/// The token of an `Authorization: Bearer` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl Caller {
    /// Lets whoever may make sessions pass.
    pub(super) fn may_make_sessions(&self, app: &AppState) -> Result<(), Problem> {
        if app.opens_to(&self.token) {
            return Ok(());
        }
        Err(unauthorised(
            "this needs the gateway's token, as `Authorization: Bearer` or `token=`; it stands in \
             the URL printed at start",
        ))
    }

    /// Who makes a session with what the request came with.
    pub(super) fn maker(&self, app: &AppState, client: Client) -> Maker {
        app.maker(&self.token, client)
    }

    /// The session of this id, for whoever has at least this role in it.
    pub(super) fn session(
        &self,
        app: &AppState,
        id: &str,
        least: Role,
    ) -> Result<SessionHandle, Problem> {
        self.enter(app, id, least).map(|(session, _)| session)
    }

    /// The same, and what lets whoever asks in.
    pub(super) fn enter(
        &self,
        app: &AppState,
        id: &str,
        least: Role,
    ) -> Result<(SessionHandle, Credential), Problem> {
        let found = SessionId::parse(id).and_then(|id| app.registry.find(&id));
        let entry = found.as_ref().and_then(|session| entry(app, session, &self.token));
        match (found, entry) {
            (Some(session), Some((role, entry))) if role.covers(least) => Ok((session, entry)),
            // Who has no token for it cannot learn whether it exists.
            (None, _) if app.opens_to(&self.token) => {
                Err(Problem::not_found("there is no session of this id"))
            }
            (Some(_), Some((role, _))) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!(
                    "this needs the role {}, and the token gives {}",
                    least.name(),
                    role.name()
                ),
            )),
            _ => Err(unauthorised(
                "this needs a token of a session of this id that is not over, or the gateway's, as \
                 `Authorization: Bearer` or `token=`",
            )),
        }
    }
}

/// What a token opens in a session, by whichever door it comes: one of the session's what it was
/// made for, the gateway's what its owner may do. The session's is looked at first, so that a share
/// link gives its role on a gateway that asks for no token, too.
pub(super) fn entry(
    app: &AppState,
    session: &SessionHandle,
    offered: &str,
) -> Option<(Role, Credential)> {
    match session.role(offered) {
        Some(role) => Some((role, Credential::Token(Token::new(offered)))),
        None => app.opens_to(offered).then_some((Role::Owner, Credential::Gateway)),
    }
}

fn unauthorised(detail: &str) -> Problem {
    let challenge = HeaderValue::from_static("Bearer realm=\"cellgate\"");
    Problem::new(StatusCode::UNAUTHORIZED, detail).with(header::WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_is_read_whatever_its_case() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(of("Basic abc"), None);
        assert_eq!(of("abc"), None);
    }
}
