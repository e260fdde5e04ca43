//! `GET /metrics`, and the counting of requests.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::AppState;
use super::auth::Caller;
use super::problem::{Document, Problem};
use crate::metrics;

/// Prometheus' text format, version 0.0.4.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the gateway counts and measures, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "gateway",
    responses(
        (status = 200, description = "Prometheus' text format", body = String),
        (status = 401, description = "Not the gateway's token, and the metrics are not public",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 403, description = "A publishable key, and the metrics are not public",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn scrape(
    State(app): State<Arc<AppState>>,
    caller: Caller,
) -> Result<Response, Problem> {
    if !app.metrics_public {
        caller.may_see_gateway(&app)?;
    }
    app.registry.measure();
    let text = app.metrics.render();
    Ok(([(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-store")], text).into_response())
}

/// A request under way: what is known of it before it is answered.
pub(super) struct Pending {
    began: Instant,
    method: Method,
    route: Option<MatchedPath>,
}

impl Pending {
    /// The clock runs from now on.
    pub(super) fn of(request: &Request) -> Pending {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Pending { began: Instant::now(), method: request.method().clone(), route }
    }

    /// Its answer begins.
    pub(super) fn answered(self, app: &AppState, response: &Response) {
        let route = self.route.as_ref().map_or("other", MatchedPath::as_str);
        // Clients make up methods.
        let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
        let method = if known.contains(&self.method) { self.method.as_str() } else { "other" };
        let status = response.status();
        let labels = [method, route, status.as_str()];
        app.metrics.count(&metrics::HTTP_REQUESTS, &labels);
        app.metrics.observe(&metrics::HTTP_DURATION, &[route], self.began.elapsed());
    }
}
