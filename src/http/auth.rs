//! The token that a request came with. What it opens is decided by [`crate::admission`].

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::clients::Client;
use super::problem::Problem;
use super::{AppState, DOCUMENTS, WEBSOCKET, is_websocket};
use crate::admission::{Claim, Extra, Refused};
use crate::mcp;
use crate::protocol::BEARER_SUBPROTOCOL;
use crate::protocol::reply::Role;
use crate::registry::SessionOptions;
use crate::session::{Credential, SessionHandle};

/// Where addresses of sessions begin; the session's id follows.
const SESSIONS: [&str; 2] = ["/v1/sessions/", DOCUMENTS];

/// The token a request came with, if any.
pub(super) struct Caller {
    token: String,
}

#[derive(Default, Deserialize)]
struct TokenQuery {
    token: Option<String>,
}

/// What a WebSocket's query says of who comes, and where to.
#[derive(Default, Deserialize)]
struct SocketQuery {
    token: Option<String>,
    session: Option<String>,
}

impl FromRequestParts<Arc<AppState>> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Arc<AppState>,
    ) -> Result<Caller, Infallible> {
        Ok(Caller { token: token(&parts.uri, &parts.headers) })
    }
}

/// What a request claims: its token, and the session that its address names. The handlers take the
/// same token from it.
pub(super) fn claim(uri: &Uri, headers: &HeaderMap) -> Claim {
    if uri.path() == WEBSOCKET {
        // The handler refuses a query that cannot be read.
        let query = Query::<SocketQuery>::try_from_uri(uri).map(|query| query.0);
        let SocketQuery { token, session } = query.unwrap_or_default();
        return Claim { token: token_of_socket(token, headers).unwrap_or_default(), session };
    }
    let path = uri.path();
    let named = SESSIONS.iter().find_map(|start| path.strip_prefix(start));
    let session = named.and_then(|rest| rest.split('/').next()).map(str::to_owned);
    if is_websocket(path) {
        let query = Query::<TokenQuery>::try_from_uri(uri).map(|query| query.0);
        let of_query = query.unwrap_or_default().token;
        return Claim { token: token_of_socket(of_query, headers).unwrap_or_default(), session };
    }
    Claim { token: token(uri, headers), session }
}

fn token(uri: &Uri, headers: &HeaderMap) -> String {
    let token = bearer(headers).map(str::to_owned).or_else(|| {
        // A query that cannot be parsed has no token; the handler that needs the rest refuses it.
        let query = Query::<TokenQuery>::try_from_uri(uri).ok()?;
        query.0.token
    });
    token.unwrap_or_default()
}

/// The token of a WebSocket: that of its query, which is given here, else of a header or of a bearer
/// subprotocol.
pub(super) fn token_of_socket(of_query: Option<String>, headers: &HeaderMap) -> Option<String> {
    of_query.or_else(|| bearer(headers).map(str::to_owned)).or_else(|| {
        let offered = offered_protocols(headers);
        let encoded = offered.iter().find_map(|one| one.strip_prefix(BEARER_SUBPROTOCOL))?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
        String::from_utf8(bytes).ok()
    })
}

pub(super) fn offered_protocols(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    lines
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|part| part.trim().to_owned()))
        .collect()
}

/// The token of an `Authorization: Bearer` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl Caller {
    /// Lets a holder of the gateway's token pass.
    pub(super) fn may_see_gateway(&self, app: &AppState) -> Result<(), Problem> {
        Ok(app.admission.admits_to_gateway(&self.token)?)
    }

    /// The sessions that the caller lists, in no order.
    pub(super) fn sessions(&self, app: &AppState) -> Result<Vec<SessionHandle>, Problem> {
        Ok(app.admission.sessions(&self.token)?)
    }

    /// Lets a client pass that may make sessions.
    pub(super) fn may_make_sessions(&self, app: &AppState) -> Result<(), Problem> {
        Ok(app.admission.admits_to_create(&self.token)?)
    }

    /// Lets a cell pass with these environment variables, if the caller may set some.
    pub(super) fn may_set(
        &self,
        app: &AppState,
        env: &BTreeMap<String, String>,
    ) -> Result<(), Problem> {
        match app.admission.key(&self.token) {
            Some(key) if !env.is_empty() => Err(Refused::KeyEnv { key: key.name.clone() }.into()),
            _ => Ok(()),
        }
    }

    /// Lets files pass that a new session is to have, if the caller may bring some.
    pub(super) fn may_bring(
        &self,
        app: &AppState,
        files: &BTreeMap<String, String>,
    ) -> Result<(), Problem> {
        match app.admission.key(&self.token) {
            Some(key) if !files.is_empty() && !key.files => {
                Err(Refused::KeyExtra { key: key.name.clone(), extra: Extra::Files }.into())
            }
            _ => Ok(()),
        }
    }

    /// The caller as the door for agents knows it.
    pub(super) fn for_agents(&self, client: Client) -> mcp::Caller {
        mcp::Caller { token: self.token.clone(), address: client.0 }
    }

    /// Names the caller and an address, for what is remembered of requests.
    pub(super) fn scope(&self, path: &str) -> String {
        format!("{path}\n{}", self.token)
    }

    /// Makes a session from a template, or from the default one.
    pub(super) async fn create(
        &self,
        app: &AppState,
        client: Client,
        template: Option<&str>,
        options: SessionOptions,
    ) -> Result<SessionHandle, Problem> {
        Ok(app.admission.create(&self.token, client.0, template, options).await?)
    }

    /// The session of this id, for a caller who has at least this role in it.
    pub(super) fn session(
        &self,
        app: &AppState,
        id: &str,
        least: Role,
    ) -> Result<SessionHandle, Problem> {
        let (session, _) = self.session_as(app, id, least)?;
        Ok(session)
    }

    /// The same, with the credential that the caller has.
    pub(super) fn session_as(
        &self,
        app: &AppState,
        id: &str,
        least: Role,
    ) -> Result<(SessionHandle, Credential), Problem> {
        let (session, _, credential) = app.admission.find(&self.token, id, least)?;
        Ok((session, credential))
    }

    /// The same for what a publishable key may forbid, with the credential that the caller has.
    pub(super) fn session_for(
        &self,
        app: &AppState,
        id: &str,
        extra: Extra,
    ) -> Result<(SessionHandle, Credential), Problem> {
        Ok(app.admission.find_for(&self.token, id, extra)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

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

    #[test]
    fn a_sockets_token_is_found_in_its_query_a_header_or_a_subprotocol() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            pairs.collect::<HeaderMap>()
        };
        let of = |target: &str, headers: &HeaderMap| claim(&target.parse().unwrap(), headers).token;
        let none = HeaderMap::new();
        let header = headers(&[("authorization", "bearer abc")]);
        assert_eq!(of("/ws", &header), "abc");
        assert_eq!(of("/v1/documents/s?token=q", &header), "q");
        let offered =
            headers(&[("sec-websocket-protocol", "cellgate.v1, cellgate.bearer.w6l-fn4")]);
        assert_eq!(of("/ws", &offered), "é~~~");
        assert_eq!(of("/v1/run", &offered), "", "subprotocols are a WebSocket's");
        let odd = headers(&[("sec-websocket-protocol", "cellgate.bearer.!")]);
        assert_eq!(of("/ws", &odd), "");
        // The order is the handlers': a WebSocket's query comes first, elsewhere the header.
        assert_eq!(of("/ws?token=q", &header), "q");
        assert_eq!(of("/v1/run?token=q", &header), "abc");
        assert_eq!(of("/v1/run?token=q", &none), "q");
    }

    #[test]
    fn a_session_is_named_by_the_address_alone() {
        let of = |target: &str| claim(&target.parse().unwrap(), &HeaderMap::new()).session;
        assert_eq!(of("/ws?session=abc&token=t").as_deref(), Some("abc"));
        assert_eq!(of("/v1/sessions/abc/files/x").as_deref(), Some("abc"));
        assert_eq!(of("/v1/sessions/abc").as_deref(), Some("abc"));
        assert_eq!(of("/v1/documents/abc?token=t").as_deref(), Some("abc"));
        for other in ["/v1/run?session=abc", "/metrics?session=abc", "/ws", "/v1/sessions"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
