//! Shapes of texts in settings: each check answers the text to keep, or what is wrong with it.

use tracing_subscriber::EnvFilter;

/// An origin as browsers send it: `scheme://host[:port]`, kept in lower case.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    match rest {
        Some(authority) if is_authority(authority) => Ok(lower),
        _ => Err(format!(
            "{text:?} is not a web origin: write scheme, host and, if it has one, port, such as \
             \"https://play.example.org\", without path"
        )),
    }
}

/// A `Host` header's value: `host[:port]`, kept in lower case.
pub(super) fn host(text: &str) -> Result<String, String> {
    match is_authority(text) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!(
            "{text:?} is not a host: write a name or an address and, if needed, a port, such as \
             \"play.example.org\" or \"[fd00::1]:8080\""
        )),
    }
}

/// `host[:port]`, the host being a name, an IPv4 address or an IPv6 address in brackets.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let name = |host: &str| {
        !host.is_empty()
            && host.len() <= 253
            && host.split('.').all(|label| {
                !label.is_empty()
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            })
    };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_fits = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name(host),
    };
    host_fits && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// An image's name. The engine knows the exact rules; this keeps out what no engine takes.
pub(super) fn image(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    match first && text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is not the name of an image: write one such as \"python:3.13-slim\""
        )),
    }
}

/// An OCI runtime's name, or its path.
pub(super) fn runtime(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    match !text.is_empty() && text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not the name of a runtime such as \"runsc\"")),
    }
}

/// Where a Docker engine listens.
pub(super) fn docker_host(text: &str) -> Result<String, String> {
    let fits = match text.split_once("://") {
        Some(("unix", path)) => path.starts_with('/'),
        Some(("tcp" | "http", authority)) => is_authority(authority.trim_end_matches('/')),
        _ => false,
    };
    match fits {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no address of an engine: write one such as \"unix:///run/docker.sock\" \
             or \"tcp://10.0.0.5:2375\""
        )),
    }
}

/// Directives for the log.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Err(format!(
            "{text:?} is not a filter: write a level such as \"debug\", or directives such as \
             \"info,cellgate::session=debug\""
        )),
    }
}

/// A template's name: part of URLs, labels and file names.
pub(super) fn template_name(text: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    match first && text.len() <= 32 && text.bytes().all(fits) {
        true => Ok(()),
        false => Err(
            "the name of a template starts with a lower-case letter and goes on with lower-case \
             letters, digits, hyphens and underscores, 32 at most"
                .into(),
        ),
    }
}
