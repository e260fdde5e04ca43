//! The console: assets that the build embedded.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::AppState;
use super::problem::Problem;
use crate::keys::KeyConfig;

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

/// Path of the page itself, beside `/`.
const INDEX: &str = "/index.html";

/// Nothing from elsewhere, nothing inline; images may be data, because results carry them.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-src 'self'; \
    worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'";

/// What pages of other origins load to show the console in a frame. It holds no secret.
const EMBED_SCRIPT: &str = "/embed.js";

/// How the console is served.
#[derive(Clone, Debug)]
pub struct Page {
    /// Origins whose pages may show it in a frame, beside its own. `*`: any.
    embedders: Vec<String>,
    /// Publishable keys; pages of their origins may show it with that key.
    keys: Vec<KeyConfig>,
}

/// The query of the page, as far as the gateway reads it.
#[derive(Default, Deserialize)]
struct PageQuery {
    embed: Option<String>,
    key: Option<String>,
}

impl Page {
    /// `embedders`: origins (`https://blog.example`) whose pages may show it in a frame, whatever the
    /// token. `keys`: whose origins may show it with that key in its address.
    pub fn new(embedders: &[String], keys: &[KeyConfig]) -> Page {
        Page { embedders: embedders.to_vec(), keys: keys.to_vec() }
    }

    /// A whole policy; its last directive says who may show the asset in a frame. What could not be
    /// a header is no origin, so the settings refuse it; were it to come here, the page would do
    /// nothing.
    fn policy(&self, asset: &Asset, uri: &Uri) -> HeaderValue {
        let mut policy = asset.csp.unwrap_or(PAGE_POLICY).to_owned();
        policy.push_str("; frame-ancestors 'self'");
        for origin in self.ancestors(asset, uri) {
            policy.push(' ');
            policy.push_str(origin);
        }
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    }

    /// Origins whose pages may show an asset in a frame, each once.
    fn ancestors(&self, asset: &Asset, uri: &Uri) -> Vec<&str> {
        let of_keys = |key: &&KeyConfig| match asset.path {
            INDEX => {
                let query = Query::<PageQuery>::try_from_uri(uri).map(|query| query.0);
                let PageQuery { embed, key: named } = query.unwrap_or_default();
                embed.as_deref() == Some("1") && named.as_ref() == Some(&key.key)
            }
            // A frame within the page, for which each page around that one counts too. Its address
            // names no key, and by itself it does nothing.
            _ => true,
        };
        let of_keys = self.keys.iter().filter(of_keys).flat_map(|key| &key.origins);
        let mut origins: Vec<&str> = Vec::new();
        for origin in self.embedders.iter().chain(of_keys) {
            if !origins.contains(&origin.as_str()) {
                origins.push(origin);
            }
        }
        origins
    }
}

/// Whether an asset is for pages of every origin.
pub(super) fn is_for_every_page(path: &str) -> bool {
    path == EMBED_SCRIPT && ASSETS.iter().any(|asset| asset.path == path)
}

/// How long an asset may be kept, and who may load it.
fn sharing(asset: &Asset) -> HeaderMap {
    let caching = match asset {
        Asset { path: EMBED_SCRIPT, .. } => "public, max-age=300", // its name stays, its content not
        Asset { immutable: true, .. } => "public, max-age=31536000, immutable",
        _ => "no-cache",
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if asset.path == EMBED_SCRIPT {
        let policy = HeaderName::from_static("cross-origin-resource-policy");
        headers.insert(policy, HeaderValue::from_static("cross-origin"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    headers
}

/// Serves an asset, or says that there is nothing of that name.
pub(super) async fn asset(
    State(app): State<Arc<AppState>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let path = if uri.path() == "/" { INDEX } else { uri.path() };
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return Problem::not_found("there is nothing at this address").into_response();
    };
    if method != Method::GET && method != Method::HEAD {
        let allowed = HeaderValue::from_static("GET, HEAD");
        let detail = "this address is only for reading";
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail);
        return problem.with(header::ALLOW, allowed).into_response();
    }
    let own = asset
        .headers
        .iter()
        .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let mut common = HeaderMap::from_iter([
        (header::ETAG, HeaderValue::from_static(asset.etag)),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (header::CONTENT_SECURITY_POLICY, app.page.policy(asset, &uri)),
    ]);
    common.extend(sharing(asset));
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
        let page = Page::new(&embedders, &[]);
        ASSETS.iter().map(|asset| policy(&page, asset, asset.path)).collect()
    }

    fn policy(page: &Page, asset: &Asset, target: &str) -> String {
        page.policy(asset, &target.parse().unwrap()).to_str().unwrap().to_owned()
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
    fn a_key_in_the_address_lets_its_origins_frame_the_page() {
        let key = |key: &str, origins: &[&str]| KeyConfig {
            key: key.into(),
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            ..KeyConfig::new("k", "python")
        };
        let keys = [
            key("pk_one", &["https://a.example", "https://b.example"]),
            key("pk_two", &["https://c.example"]),
        ];
        let page = Page::new(&["https://a.example".to_owned()], &keys);
        let index = ASSETS.iter().find(|asset| asset.path == INDEX).unwrap();
        for (target, ancestors) in [
            ("/", "'self' https://a.example"),
            ("/?embed=1", "'self' https://a.example"),
            ("/?embed=1&key=pk_none", "'self' https://a.example"),
            ("/?key=pk_one", "'self' https://a.example"),
            ("/?embed=1&key=pk_one&key=pk_two", "'self' https://a.example"),
            ("/?embed=1&key=pk_one", "'self' https://a.example https://b.example"),
            ("/index.html?key=pk_two&embed=1", "'self' https://a.example https://c.example"),
            ("/?embed=1&key=pk_two;%20script-src%20*", "'self' https://a.example"),
        ] {
            let policy = policy(&page, index, target);
            assert!(policy.ends_with(&format!("; frame-ancestors {ancestors}")), "{policy}");
        }
        // What output runs in stands in the page, and so in the pages around that.
        for asset in ASSETS.iter().filter(|asset| asset.path != INDEX) {
            let policy = policy(&page, asset, asset.path);
            assert!(policy.ends_with("https://a.example https://b.example https://c.example"));
        }
    }

    #[test]
    fn the_script_that_embeds_is_for_every_page_and_the_others_are_not() {
        let asset = |path, immutable| Asset {
            path,
            content_type: "text/javascript",
            immutable,
            etag: "\"e\"",
            csp: None,
            headers: &[],
            identity: b"",
            gzip: None,
            brotli: None,
        };
        let of = |asset: Asset, name: &str| {
            sharing(&asset).get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let embed = || asset("/embed.js", false);
        assert_eq!(of(embed(), "access-control-allow-origin").as_deref(), Some("*"));
        let policy = of(embed(), "cross-origin-resource-policy");
        assert_eq!(policy.as_deref(), Some("cross-origin"));
        assert_eq!(of(embed(), "cache-control").as_deref(), Some("public, max-age=300"));
        for (path, immutable) in [("/index.html", false), ("/assets/embed-x.js", true)] {
            for name in ["access-control-allow-origin", "cross-origin-resource-policy"] {
                assert_eq!(of(asset(path, immutable), name), None, "{path} {name}");
            }
            assert!(!is_for_every_page(path), "{path}");
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
