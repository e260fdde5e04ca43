//! `GET /v1/openapi.json`: what the routes are, made from the code that serves them.

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::problem::Document;

/// What stands in the description beside the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "cellgate",
        description = "A streaming gateway for code. Sessions that live on are made and used over \
                       the WebSocket; everything here is for what needs none."
    ),
    components(schemas(Document<'static>)),
    security(("bearer" = []), ("query" = [])),
    modifiers(&Tokens)
)]
pub(super) struct Base;

/// How tokens travel.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, description: &mut Description) {
        let components = description.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let query = ApiKey::Query(ApiKeyValue::new("token"));
        components.add_security_scheme("query", SecurityScheme::ApiKey(query));
    }
}

/// The description as it is served.
#[derive(Clone)]
pub(super) struct Served(Bytes);

impl Served {
    /// Fails only if the description cannot be encoded.
    pub(super) fn new(mut description: Description) -> Result<Served, serde_json::Error> {
        // The router's mark of a parameter with slashes in it means nothing to others.
        let paths = std::mem::take(&mut description.paths.paths);
        description.paths.paths =
            paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
        Ok(Served(serde_json::to_vec(&description)?.into()))
    }
}

/// This description.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "describe",
    tag = "gateway",
    security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document", content_type = "application/json"))
)]
pub(super) async fn description(Extension(served): Extension<Served>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], served.0).into_response()
}
