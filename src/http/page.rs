//! The console: assets that the build embedded.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// A file of the page, as `build/page.rs` prepares it.
struct Asset {
    /// Path it is served at; the page itself is `/`.
    path: &'static str,
    content_type: &'static str,
    /// Its name changes with its content, so it may be kept for ever.
    immutable: bool,
    etag: &'static str,
    /// A policy of its own instead of the page's.
    csp: Option<&'static str>,
    identity: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Nothing from elsewhere, nothing inline; images may be data, because results carry them.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-src 'self'; \
    worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'self'";

/// Serves an asset, or says that there is nothing of that name.
pub(super) async fn asset(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = if uri.path() == "/" { "/index.html" } else { uri.path() };
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return Problem::not_found("there is nothing at this address").into_response();
    };
    if method != Method::GET && method != Method::HEAD {
        let allowed = HeaderValue::from_static("GET, HEAD");
        let detail = "this address is only for reading";
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail);
        return problem.with(header::ALLOW, allowed).into_response();
    }
    let caching = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let common = [
        (header::ETAG, asset.etag),
        (header::CACHE_CONTROL, caching),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, asset.csp.unwrap_or(PAGE_POLICY)),
    ];
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let known = text(header::IF_NONE_MATCH);
    if known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == asset.etag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let accepted = text(header::ACCEPT_ENCODING);
    let accepts = |wanted: &str| {
        accepted.split(',').map(str::trim).any(|one| {
            let (name, quality) = one.split_once(";q=").unwrap_or((one, "1"));
            name.eq_ignore_ascii_case(wanted) && quality.parse::<f32>().is_ok_and(|q| q > 0.0)
        })
    };
    let (encoding, bytes) = match (asset.brotli, asset.gzip) {
        (Some(bytes), _) if accepts("br") => (Some("br"), bytes),
        (_, Some(bytes)) if accepts("gzip") => (Some("gzip"), bytes),
        _ => (None, asset.identity),
    };
    let mut response = (common, Body::from(bytes)).into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    if let Some(encoding) = encoding {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}
