//! `GET /v1/keys`: the publishable keys, for whom writes them into pages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::auth::Caller;
use super::problem::{Document, Problem};
use crate::keys::KeyConfig;

/// The publishable keys of the settings.
#[derive(Serialize, ToSchema)]
pub(super) struct Keys {
    keys: Vec<KeyInfo>,
}

/// One key.
#[derive(Serialize, ToSchema)]
struct KeyInfo {
    /// Its name in the settings.
    name: String,
    /// What stands in pages. No secret.
    key: String,
    /// What its sessions may be made from; the first is the default.
    templates: Vec<String>,
    /// Origins whose pages may use it; `*` is any.
    origins: Vec<String>,
    /// Whether several frames of a page may share one session: they join it by share links.
    sharing: bool,
}

impl KeyInfo {
    fn of(key: &KeyConfig) -> KeyInfo {
        KeyInfo {
            name: key.name.clone(),
            key: key.key.clone(),
            templates: key.templates.clone(),
            origins: key.origins.clone(),
            sharing: key.sharing,
        }
    }
}

/// The publishable keys of this gateway.
#[utoipa::path(
    get,
    path = "/v1/keys",
    operation_id = "listKeys",
    tag = "gateway",
    responses(
        (status = 200, description = "The publishable keys", body = Keys),
        (status = 401, description = "Not the gateway's token", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "A publishable key", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    caller: Caller,
) -> Result<Json<Keys>, Problem> {
    caller.may_see_gateway(&app)?;
    Ok(Json(Keys { keys: app.admission.keys().map(KeyInfo::of).collect() }))
}
