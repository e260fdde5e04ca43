//! Who may come: the `Host` and `Origin` of a request.
//!
//! A page of a stranger can make a visitor's browser speak to a gateway on the visitor's own
//! machine. `Origin` tells such a request from one of our page; `Host` tells a name that was
//! made to point here (DNS rebinding) from one of ours.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

/// Names beyond the obvious ones.
#[derive(Clone, Debug, Default)]
pub struct AccessConfig {
    /// Host names this gateway is reached by, without port. `*`: any.
    pub hosts: Vec<String>,
    /// Origins (`https://notebook.example`) whose pages may connect. `*`: any.
    pub origins: Vec<String>,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the request has no Host header, or one that cannot be read")]
    NoHost,
    #[error("the host {0:?} is not a name of this gateway; start it with --allow-host {0}")]
    Host(String),
    #[error("pages of {0:?} may not connect; start the gateway with --allow-origin {0}")]
    Origin(String),
}

impl AccessConfig {
    /// Whether a request with these headers may come in.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let text = |name| headers.get(name).map(|value| value.to_str());
        let host = match text(header::HOST) {
            Some(Ok(host)) => host,
            _ => return Err(Refused::NoHost),
        };
        let name = host_name(host);
        if !is_own(name) && !listed(&self.hosts, name) {
            return Err(Refused::Host(name.to_owned()));
        }
        match text(header::ORIGIN) {
            None => Ok(()),
            Some(Ok(origin)) if same_origin(origin, host) || listed(&self.origins, origin) => {
                Ok(())
            }
            Some(origin) => Err(Refused::Origin(origin.unwrap_or_default().to_owned())),
        }
    }
}

/// A name that no stranger's DNS can make ours: an address, or `localhost`.
fn is_own(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost") // RFC 6761 §6.3
}

fn listed(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry.eq_ignore_ascii_case(wanted))
}

/// A host without its port.
fn host_name(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Whether a page of `origin` came from the `host` this request goes to. A proxy may have taken
/// the TLS away, so either scheme will do.
fn same_origin(origin: &str, host: &str) -> bool {
    ["http://", "https://"]
        .into_iter()
        .filter_map(|scheme| origin.strip_prefix(scheme))
        .any(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn ask(config: &AccessConfig, host: &str, origin: Option<&str>) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        config.admit(&headers)
    }

    #[test]
    fn own_names_come_in_and_strangers_do_not() {
        let plain = AccessConfig::default();
        for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "10.1.2.3", "a.localhost"] {
            assert_eq!(ask(&plain, host, None), Ok(()), "{host}");
        }
        for host in ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert!(matches!(ask(&plain, host, None), Err(Refused::Host(_))), "{host}");
        }
        assert_eq!(plain.admit(&HeaderMap::new()), Err(Refused::NoHost));
    }

    #[test]
    fn our_own_page_may_connect_and_a_strangers_may_not() {
        let plain = AccessConfig::default();
        assert_eq!(ask(&plain, "localhost:8080", Some("http://localhost:8080")), Ok(()));
        for origin in ["http://localhost:9090", "https://evil.example", "null", "file://"] {
            let asked = ask(&plain, "localhost:8080", Some(origin));
            assert_eq!(asked, Err(Refused::Origin(origin.to_owned())), "{origin}");
        }
    }

    #[test]
    fn what_the_operator_lists_comes_in() {
        let config = AccessConfig {
            hosts: vec!["cells.example".into()],
            origins: vec!["https://blog.example".into()],
        };
        assert_eq!(ask(&config, "Cells.example:443", None), Ok(()));
        assert_eq!(ask(&config, "cells.example", Some("https://blog.example")), Ok(()));
        assert!(ask(&config, "cells.example", Some("http://blog.example")).is_err());
        let open = AccessConfig { hosts: vec!["*".into()], origins: vec!["*".into()] };
        assert_eq!(ask(&open, "any.example", Some("null")), Ok(()));
    }
}
