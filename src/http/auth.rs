//! The token that a request came with. What it opens is decided by [`crate::admission`].

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::Deserialize;

use super::AppState;
use super::clients::Client;
use super::problem::Problem;
use crate::protocol::reply::Role;
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
            // A query that cannot be parsed has no token; the handler that needs the rest refuses
            // it.
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
    /// Lets a holder of the gateway's token pass.
    pub(super) fn may_make_sessions(&self, app: &AppState) -> Result<(), Problem> {
        Ok(app.admission.admits_to_gateway(&self.token)?)
    }

    /// Makes a session from a template, or from the default one.
    pub(super) async fn create(
        &self,
        app: &AppState,
        client: Client,
        template: Option<&str>,
    ) -> Result<SessionHandle, Problem> {
        Ok(app.admission.create(&self.token, client.0, template).await?)
    }

    /// The session of this id, for a caller who has at least this role in it.
    pub(super) fn session(
        &self,
        app: &AppState,
        id: &str,
        least: Role,
    ) -> Result<SessionHandle, Problem> {
        self.enter(app, id, least).map(|(session, _)| session)
    }

    /// The same, and the credential that the caller has in it.
    pub(super) fn enter(
        &self,
        app: &AppState,
        id: &str,
        least: Role,
    ) -> Result<(SessionHandle, Credential), Problem> {
        let (session, _, credential) = app.admission.find(&self.token, id, least)?;
        Ok((session, credential))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

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
