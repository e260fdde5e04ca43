//! The console: assets that the build embedded.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::AppState;
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
    /// Further headers that are sent with it; their names are in lower case.
    headers: &'static [(&'static str, &'static str)],
    identity: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Nothing from elsewhere, nothing inline; images may be data, because results carry them.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-src 'self'; \
    worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'";

/// How the console is served.
#[derive(Clone, Debug)]
pub struct Page {
    /// The policy's last directive: who may show the console in a frame.
    ancestors: String,
}

impl Page {
    /// `embedders`: origins (`https://blog.example`) whose pages may show it in a frame, beside its
    /// own. `*`: any.
    pub fn new(embedders: &[String]) -> Page {
        let mut ancestors = String::from("frame-ancestors 'self'");
        for origin in embedders {
            ancestors.push(' ');
            ancestors.push_str(origin);
        }
        Page { ancestors }
    }

    /// A whole policy. What could not be a header is no origin, so the settings refuse it; were it
    /// to come here, the page would do nothing.
    fn policy(&self, asset: &Asset) -> HeaderValue {
        let policy = format!("{}; {}", asset.csp.unwrap_or(PAGE_POLICY), self.ancestors);
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    }
}

/// Serves an asset, or says that there is nothing of that name.
pub(super) async fn asset(
    State(app): State<Arc<AppState>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
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
    let own = asset
        .headers
        .iter()
        .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let mut common = HeaderMap::from_iter([
        (header::ETAG, HeaderValue::from_static(asset.etag)),
        (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (header::CONTENT_SECURITY_POLICY, app.page.policy(asset)),
    ]);
    common.extend(own);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(embedders: &[&str]) -> Vec<String> {
        let embedders: Vec<String> = embedders.iter().map(|origin| (*origin).to_owned()).collect();
        let page = Page::new(&embedders);
        let text = |asset| page.policy(asset).to_str().map(str::to_owned);
        ASSETS.iter().map(|asset| text(asset).unwrap()).collect()
    }

    #[test]
    fn only_the_origins_listed_may_frame_the_page() {
        for policy in policies(&[]) {
            assert!(policy.ends_with("; frame-ancestors 'self'"), "{policy}");
            assert_eq!(policy.matches("frame-ancestors").count(), 1, "{policy}");
        }
        for policy in policies(&["https://a.example", "http://b.example:8080"]) {
            let wanted = "; frame-ancestors 'self' https://a.example http://b.example:8080";
            assert!(policy.ends_with(wanted), "{policy}");
        }
    }

    #[test]
    fn nothing_inline_and_nothing_from_elsewhere() {
        let page = ASSETS.iter().find(|asset| asset.path == "/index.html").unwrap();
        let policy = page.csp.unwrap();
        for directive in ["default-src 'none'", "script-src 'self'", "style-src 'self'"] {
            assert!(policy.split("; ").any(|one| one == directive), "{directive}: {policy}");
        }
        let text = std::str::from_utf8(page.identity).unwrap();
        assert!(!text.contains("<style") && !text.contains(" style="), "{text}");
        for script in text.split("<script").skip(1) {
            assert!(script.starts_with(" type=\"module\" src=\""), "{script}");
        }
    }

    #[test]
    fn what_output_runs_in_may_connect_to_nothing() {
        // The plain console has no such frame.
        let sandboxed = |asset: &&Asset| asset.csp.is_some_and(|csp| csp.starts_with("sandbox "));
        for asset in ASSETS {
            // A value that could not be a header would panic when it is first asked for.
            for (name, value) in asset.headers {
                HeaderName::from_static(name);
                HeaderValue::from_static(value);
            }
        }
        for frame in ASSETS.iter().filter(sandboxed) {
            let allowed = ("connection-allowlist", "();webrtc=block");
            assert!(frame.headers.contains(&allowed), "{}: {:?}", frame.path, frame.headers);
            assert!(frame.headers.contains(&("x-dns-prefetch-control", "off")), "{}", frame.path);
        }
    }

    #[test]
    fn the_first_load_is_small() {
        let index = ASSETS.iter().find(|asset| asset.path == "/index.html").unwrap();
        let text = std::str::from_utf8(index.identity).unwrap();
        let sent = |asset: &Asset| asset.gzip.unwrap_or(asset.identity).len();
        let named = |asset: &&Asset| text.contains(&asset.path[1..]);
        let first: usize = sent(index) + ASSETS.iter().filter(named).map(sent).sum::<usize>();
        // The page, and whatever it names: gzip, the larger of the two forms.
        assert!(first <= 200 << 10, "{first} bytes");
    }
}
