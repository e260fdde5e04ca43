//! Shapes of texts in settings: each check answers the text to keep, or what is wrong with it.

use tracing_subscriber::EnvFilter;

/// Stands for every origin, or every host.
pub(super) const ANY: &str = "*";

/// An origin as browsers send it: `scheme://host[:port]`, kept in lower case; or [`ANY`].
pub(super) fn origin(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    match rest {
        _ if text == ANY => Ok(lower),
        Some(authority) if is_authority(authority) => Ok(lower),
        _ => Err(format!(
            "{text:?} is not a web origin: write scheme, host and, if it has one, port, such as \
             \"https://play.example.org\", without path; or \"*\" for any"
        )),
    }
}

/// A host's name without port, kept in lower case; or [`ANY`].
pub(super) fn host(text: &str) -> Result<String, String> {
    match text == ANY || is_host(text) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!(
            "{text:?} is not a host: write a name such as \"play.example.org\", without scheme \
             and port; or \"*\" for any"
        )),
    }
}

/// An address or a network, kept as a network.
pub(super) fn network(text: &str) -> Result<String, String> {
    let network = text.parse::<ipnet::IpNet>().ok();
    let address = || text.parse::<std::net::IpAddr>().ok().map(ipnet::IpNet::from);
    network.or_else(address).map(|network| network.trunc().to_string()).ok_or_else(|| {
        format!("{text:?} is no address or network: write one such as \"10.0.0.0/8\" or \"::1\"")
    })
}

/// `host[:port]`.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let digits = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    let fits = |port: &str| digits(port) && port.parse::<u16>().is_ok_and(|port| port > 0);
    is_host(host) && port.is_none_or(fits)
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let character = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    // 253: the longest name that DNS can carry (RFC 1035 §2.3.4).
    text.len() <= 253
        && text.split('.').all(|label| !label.is_empty() && label.bytes().all(character))
}

/// An image's name. The engine knows the exact rules; this keeps out what no engine takes.
pub(super) fn image(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    match first && text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is not the name of an image: write one such as \"cellgate-python\""
        )),
    }
}

/// The name of a kernel of Jupyter, which is that of a directory.
pub(super) fn kernel(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    match !text.is_empty() && !text.starts_with('.') && text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not the name of a kernel: write one such as \"ir\"")),
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

/// A working directory: a place of its own, below nothing that every sandbox has of the machine or for itself.
pub(super) fn workdir(text: &str) -> Result<String, String> {
    const TAKEN: [&str; 15] = [
        "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libo32", "libx32", "proc", "run",
        "sbin", "sys", "tmp", "usr",
    ];
    let example = "write an absolute path such as \"/home/user\"";
    let parts: Vec<&str> = text.split('/').skip(1).collect();
    let is_part = |part: &&str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !part.is_empty() && *part != "." && *part != ".." && part.bytes().all(fits)
    };
    if !text.starts_with('/') || parts.is_empty() || !parts.iter().all(is_part) || text.len() > 200
    {
        return Err(format!(
            "{text:?} is no working directory: {example}, of letters, digits, hyphens, underscores and dots"
        ));
    }
    match TAKEN.contains(&parts[0]) {
        true => Err(format!(
            "{text:?} is below /{}, which sandboxes have for other things: {example}",
            parts[0]
        )),
        false => Ok(text.to_owned()),
    }
}

/// A template's name: part of URLs, labels and file names.
pub(super) fn template_name(text: &str) -> Result<(), String> {
    match is_name(text) {
        true => Ok(()),
        false => Err(format!("the name of a template {NAME_RULE}")),
    }
}

/// The name of a template that another setting refers to.
pub(super) fn template(text: &str) -> Result<String, String> {
    template_name(text).map(|()| text.to_owned())
}

/// The name of a publishable key.
pub(super) fn key_name(text: &str) -> Result<(), String> {
    match is_name(text) {
        true => Ok(()),
        false => Err(format!("the name of a publishable key {NAME_RULE}")),
    }
}

/// What is asked of names; it completes a sentence.
const NAME_RULE: &str = "starts with a lower-case letter and goes on with lower-case letters, digits, \
                         hyphens and underscores, 32 at most";

fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    first && text.len() <= 32 && text.bytes().all(fits)
}

/// A publishable key: what it begins with keeps it apart from tokens, for people and for tools that
/// look for secrets.
pub(super) fn publishable_key(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("pk_").unwrap_or_default();
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    match (16..=100).contains(&rest.len()) && rest.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no publishable key: write \"pk_\" and then 16 to 100 letters, digits, \
             underscores and hyphens"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins() {
        for good in ["a", "Play.Example.org", "127.0.0.1", "[fd00::1]", "my_host-2", "*"] {
            assert_eq!(host(good), Ok(good.to_ascii_lowercase()));
        }
        for bad in ["", "a:80", "http://a", "a..b", ".a", "a b", "[x]", "*.a", "a/b", "::1"] {
            assert!(host(bad).is_err(), "{bad}");
        }
        for good in ["https://a.example", "http://A:8080", "http://[::1]:80", "*"] {
            assert_eq!(origin(good), Ok(good.to_ascii_lowercase()));
        }
        for bad in [
            "",
            "a",
            "ftp://a",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a:",
            "null",
            "https://a:0",
            "https://a:+1",
            "https://a:65536",
            "https://u@a",
            "https://*",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks() {
        for (text, kept) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("::1", "::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(network(text).as_deref(), Ok(kept));
            assert_eq!(network(kept).as_deref(), Ok(kept));
        }
        for bad in ["", "*", "10.0.0.0/33", "10.0.0", "proxy.example"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_images_runtimes_and_engines() {
        for good in ["python", "cellgate-python", "r.example:5000/a/b@sha256:00ff"] {
            assert_eq!(image(good), Ok(good.to_owned()));
        }
        for bad in ["", "-rm", "a b", "a\n", "$(x)"] {
            assert!(image(bad).is_err(), "{bad}");
        }
        assert!(runtime("runsc").is_ok() && runtime("io.containerd.runsc.v1").is_ok());
        assert!(runtime("").is_err() && runtime("a b").is_err());
        for good in ["unix:///run/docker.sock", "tcp://10.0.0.5:2375", "http://engine:2375/"] {
            assert_eq!(docker_host(good), Ok(good.to_owned()));
        }
        for bad in ["", "/run/docker.sock", "unix://run", "ssh://a", "tcp://", "https://a:1"] {
            assert!(docker_host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn publishable_keys_and_their_names() {
        for good in
            ["pk_0123456789abcdef", "pk_ABC-def_0123456789", &format!("pk_{}", "x".repeat(100))]
        {
            assert_eq!(publishable_key(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "pk_",
            "0123456789abcdef0123",
            "pk_0123456789abcde",
            "PK_0123456789abcdef",
            "pk_0123456789abcde f",
            "pk_0123456789abcdé",
            "pk_0123456789abcdef;",
            &format!("pk_{}", "x".repeat(101)),
        ] {
            assert!(publishable_key(bad).is_err(), "{bad}");
        }
        assert!(key_name("lesson-1").is_ok() && key_name("Lesson").unwrap_err().contains("key"));
    }

    #[test]
    fn filters_and_templates() {
        for good in ["info", "off", "info,cellgate::session=debug"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "info,=,", "cellgate=loud"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
        for good in ["/work", "/home/user", "/srv/a.b-c_1"] {
            assert_eq!(workdir(good).as_deref(), Ok(good));
        }
        let bad = [
            "", "/", "work", "/a/", "//a", "/a/../b", "/a/.", "/tmp", "/tmp/x", "/usr/x", "/etc",
            "/a b", "/a:b",
        ];
        for bad in bad.into_iter().chain([&*"/a".repeat(101)]) {
            assert!(workdir(bad).is_err(), "{bad}");
        }
        for good in ["data", "py-3_12"] {
            assert!(template_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Data", "1a", "a b", "a/b", "é", "-a", &"a".repeat(33)] {
            assert!(template_name(bad).is_err(), "{bad}");
        }
    }
}
