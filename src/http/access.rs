//! Who may come: the `Host` and `Origin` of a request.
//!
//! A page of a stranger can make a visitor's browser speak to a gateway on the visitor's own
//! machine. `Origin` tells such a request from one of our page; `Host` tells a name that was
//! made to point here (DNS rebinding) from one of ours.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, StatusCode, Uri, Version, header};

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
    #[error(
        "a request has one Host header, a name or an address and perhaps a port; this one's is \
         missing, repeated or something else"
    )]
    NoHost,
    #[error("the host {0:?} is not a name of this gateway; start it with --allow-host {0}")]
    Host(String),
    #[error("pages of {0:?} may not connect; start the gateway with --allow-origin {0}")]
    Origin(String),
}

impl Refused {
    /// What such a request is answered with.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            // RFC 9112 §3.2.
            Refused::NoHost => StatusCode::BAD_REQUEST,
            Refused::Host(_) | Refused::Origin(_) => StatusCode::FORBIDDEN,
        }
    }
}

/// What load balancers ask, which send no name of ours; the answers hold no secret.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Which page sends a request, whatever the settings say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page<'a> {
    /// None that is told.
    Absent,
    /// The gateway's own, of the host that the request goes to.
    Own,
    /// One of this origin; empty if it cannot be said.
    Other(&'a str),
}

impl<'a> Page<'a> {
    /// That of a request which [`AccessConfig::admit`] found fault with at most in its origin.
    pub(super) fn of(target: &Uri, headers: &'a HeaderMap) -> Page<'a> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Page::Absent };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = target.authority().map_or(host, |authority| Some(authority.as_str()));
        match (origin.to_str(), origins.next()) {
            (Ok(origin), None) => match host.is_some_and(|host| same_origin(origin, host)) {
                true => Page::Own,
                false => Page::Other(origin),
            },
            _ => Page::Other(""),
        }
    }
}

impl AccessConfig {
    /// Whether a request of this version, with this target and these headers, may come in.
    pub(super) fn admit(
        &self,
        version: Version,
        target: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Refused> {
        // RFC 9112 §3.2 asks for `Host` from HTTP/1.1 on. Browsers speak that, so no page sends a
        // request without.
        let may_be_missing = version == Version::HTTP_10 && PROBES.contains(&target.path());
        if may_be_missing && !headers.contains_key(header::HOST) {
            return Ok(());
        }
        let mut hosts = headers.get_all(header::HOST).iter().map(|value| value.to_str());
        let (Some(Ok(host)), None) = (hosts.next(), hosts.next()) else {
            return Err(Refused::NoHost);
        };
        // RFC 9112 §3.2.2: what an absolute target names stands in `Host`'s place.
        let host = target.authority().map_or(host, |authority| authority.as_str());
        let name = host_name(host).ok_or(Refused::NoHost)?;
        if !is_own(name) && !listed(&self.hosts, name) {
            return Err(Refused::Host(name.to_owned()));
        }
        // A proxy may look at the first of several and a page's be the last: each has to be good.
        for origin in headers.get_all(header::ORIGIN) {
            match origin.to_str() {
                Ok(origin) if same_origin(origin, host) || listed(&self.origins, origin) => {}
                origin => return Err(Refused::Origin(origin.unwrap_or_default().to_owned())),
            }
        }
        Ok(())
    }
}

/// A name that no stranger's DNS can make ours: an address, or `localhost`.
fn is_own(name: &str) -> bool {
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            // RFC 6761 §6.3 gives all names below `localhost` to the machine itself.
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            name.parse::<Ipv4Addr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
        }
    }
}

fn listed(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry.eq_ignore_ascii_case(wanted))
}

/// The host of a `Host` header, without its port. `None`: it is not `host [ ":" port ]` (RFC 9110
/// §7.2), where what looks like an address of ours may be the beginning of a stranger's name.
fn host_name(host: &str) -> Option<&str> {
    let length = match host.strip_prefix('[') {
        Some(rest) => rest.find(']')? + "[]".len(),
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(length);
    let is_port = |port: &str| {
        let digits = port.strip_prefix(':');
        port.is_empty() || digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[:]".contains(&byte);
    (!name.is_empty() && name.bytes().all(allowed) && is_port(port)).then_some(name)
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
        config.admit(Version::HTTP_11, &Uri::from_static("/"), &headers)
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
        let absolute = Uri::from_static("http://evil.example:8080/");
        let mut headers = HeaderMap::new();
        assert_eq!(plain.admit(Version::HTTP_11, &absolute, &headers), Err(Refused::NoHost));
        headers.append(header::HOST, HeaderValue::from_static("localhost:8080"));
        assert!(matches!(
            plain.admit(Version::HTTP_11, &absolute, &headers),
            Err(Refused::Host(_))
        ));
        headers.append(header::HOST, HeaderValue::from_static("localhost:8080"));
        assert_eq!(
            plain.admit(Version::HTTP_11, &Uri::from_static("/"), &headers),
            Err(Refused::NoHost)
        );
    }

    #[test]
    fn a_host_is_read_whole() {
        let plain = AccessConfig::default();
        for host in [
            "[::1].evil.example",
            "[::1]evil.example:80",
            "[::1",
            "[::1]:80:80",
            "[[::1]]",
            "::1",
            "127.0.0.1:80:80",
            "127.0.0.1:evil.example",
            "user@localhost",
            "evil.example/localhost",
            "localhost evil.example",
            ":8080",
            "",
        ] {
            assert_eq!(ask(&plain, host, None), Err(Refused::NoHost), "{host}");
        }
        for host in ["[127.0.0.1]", "[evil.example]", "localhost..", "[::1%25eth0]"] {
            assert!(ask(&plain, host, None).is_err(), "{host}");
        }
        for host in ["localhost.", "LOCALHOST", "[::ffff:127.0.0.1]:1", "localhost:", "10.0.0.1."] {
            assert_eq!(ask(&plain, host, None), Ok(()), "{host}");
        }
    }

    #[test]
    fn an_old_probe_without_a_host_is_answered() {
        let plain = AccessConfig::default();
        let none = HeaderMap::new();
        for (version, path, admitted) in [
            (Version::HTTP_10, "/healthz", true),
            (Version::HTTP_10, "/readyz", true),
            (Version::HTTP_10, "/v1/sessions", false),
            (Version::HTTP_11, "/healthz", false),
        ] {
            let asked = plain.admit(version, &path.parse().unwrap(), &none);
            assert_eq!(asked.is_ok(), admitted, "{version:?} {path}");
        }
        let mut evil = HeaderMap::new();
        evil.insert(header::HOST, HeaderValue::from_static("evil.example"));
        let path = Uri::from_static("/healthz");
        assert!(plain.admit(Version::HTTP_10, &path, &evil).is_err());
    }

    #[test]
    fn our_own_page_may_connect_and_a_strangers_may_not() {
        let plain = AccessConfig::default();
        assert_eq!(ask(&plain, "localhost:8080", Some("http://localhost:8080")), Ok(()));
        for origin in ["http://localhost:9090", "https://evil.example", "null", "file://"] {
            let asked = ask(&plain, "localhost:8080", Some(origin));
            assert_eq!(asked, Err(Refused::Origin(origin.to_owned())), "{origin}");
        }
        let mut two = HeaderMap::new();
        two.append(header::HOST, HeaderValue::from_static("localhost:8080"));
        two.append(header::ORIGIN, HeaderValue::from_static("http://localhost:8080"));
        two.append(header::ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert!(plain.admit(Version::HTTP_11, &Uri::from_static("/"), &two).is_err());
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

    #[test]
    fn a_page_is_told_by_its_one_origin() {
        let of = |target: &'static str, origins: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.append(header::HOST, HeaderValue::from_static("localhost:8080"));
            for origin in origins {
                headers.append(header::ORIGIN, HeaderValue::from_static(origin));
            }
            match Page::of(&Uri::from_static(target), &headers) {
                Page::Absent => "absent".to_owned(),
                Page::Own => "own".to_owned(),
                Page::Other(origin) => format!("other {origin}"),
            }
        };
        let (own, other) = ("http://localhost:8080", "https://a.example");
        assert_eq!(of("/", &[]), "absent");
        assert_eq!(of("/", &[own]), "own");
        assert_eq!(of("/", &[other]), "other https://a.example");
        // A key names no origin like that, and so allows it only if it allows all.
        assert_eq!(of("/", &[own, other]), "other ");
        assert_eq!(of("/", &[own, own]), "other ");
        assert_eq!(of("http://b.example/", &[own]), "other http://localhost:8080");
    }
}
