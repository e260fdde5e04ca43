//! Who a request comes from, and how much one address may ask for.
//!
//! The address is that of the connection's other end. Only when that is a proxy the settings name
//! does `X-Forwarded-For` count, read from its end: up to the first address that is no such proxy.
//! What stands before it anybody could have written.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;

use crate::tally::{Share, Tally};

/// Seconds' worth of requests that may come in one moment.
const BURST_SECONDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// What the settings say about clients.
#[derive(Clone, Debug)]
pub struct ClientsConfig {
    /// Connections one address may have open. `None`: any number.
    pub connections: Option<usize>,
    /// Requests a second from one address, [`BURST_SECONDS`] times as many in one moment. `None`:
    /// any number.
    pub requests: Option<u32>,
    /// Addresses or networks whose `X-Forwarded-For` is believed; known to parse.
    pub trusted_proxies: Vec<String>,
}

impl Default for ClientsConfig {
    fn default() -> ClientsConfig {
        ClientsConfig {
            connections: Some(1_000), // a school behind one address
            requests: Some(200),
            trusted_proxies: Vec::new(),
        }
    }
}

/// What is known of clients at this moment.
pub struct Clients {
    /// Connections one address may have open.
    connections: Option<usize>,
    trusted_proxies: Vec<IpNet>,
    open: Arc<Tally<IpAddr>>,
    requests: Option<DefaultKeyedRateLimiter<IpAddr>>,
    clock: DefaultClock,
}

/// The client a request comes from, put into its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client(pub(super) IpAddr);

impl Client {
    /// Of a request that came over no connection of ours.
    pub(super) const NOWHERE: Client = Client(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
}

/// A connection's claim to its place; it is held by whatever the connection becomes.
#[derive(Clone, Debug)]
pub(super) struct ConnectionSlot {
    /// `None`: a proxy's, which is not bounded by address.
    pub(super) _share: Option<Arc<Share<IpAddr>>>,
    /// Among all connections.
    pub(super) _permit: Arc<tokio::sync::OwnedSemaphorePermit>,
}

/// The other end of a connection, put into the extensions of its requests.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) place: ConnectionSlot,
}

impl Clients {
    /// No connection and no request counted yet.
    pub fn new(config: ClientsConfig) -> Clients {
        let quota = |rate: NonZeroU32| {
            Quota::per_second(rate).allow_burst(rate.saturating_mul(BURST_SECONDS))
        };
        Clients {
            open: Tally::new(),
            requests: config
                .requests
                .and_then(NonZeroU32::new)
                .map(|rate| RateLimiter::keyed(quota(rate))),
            clock: DefaultClock::default(),
            connections: config.connections,
            // The settings have parsed them already, so none is left out.
            trusted_proxies: config
                .trusted_proxies
                .iter()
                .filter_map(|proxy| proxy.parse().ok())
                .collect(),
        }
    }

    /// Counts a connection; `Err` if its address has too many.
    pub(super) fn connect(&self, peer: IpAddr) -> Result<Option<Arc<Share<IpAddr>>>, TooMany> {
        match self.connections {
            Some(most) if !self.is_trusted(peer) => {
                self.open.take(group(peer), most).map(|share| Some(Arc::new(share))).ok_or(TooMany)
            }
            _ => Ok(None),
        }
    }

    /// Counts a request; `Err` with the time until there may be another.
    pub(super) fn admit(&self, client: Client) -> Result<(), Duration> {
        let Some(requests) = &self.requests else { return Ok(()) };
        requests.check_key(&client.0).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// The client of a request that came from `peer` with these headers.
    pub(super) fn identify(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let mut client = peer.to_canonical();
        let lines = headers.get_all("x-forwarded-for").iter();
        let lines: Vec<&str> = lines.filter_map(|value| value.to_str().ok()).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(',')).map(str::trim);
        for hop in hops {
            if !self.is_trusted(client) {
                break;
            }
            let Some(address) = address_of(hop) else { break };
            client = address.to_canonical();
        }
        Client(group(client))
    }

    /// Forgets the rates of those who have not come for long; to be called now and then.
    pub fn forget_idle(&self) {
        if let Some(requests) = &self.requests {
            requests.retain_recent();
            requests.shrink_to_fit();
        }
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// An address has too many connections.
#[derive(Debug, PartialEq)]
pub(super) struct TooMany;

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which is what a
/// single household or machine is given.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn address_of(hop: &str) -> Option<IpAddr> {
    let bare = hop.parse().ok();
    let with_port = || hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip());
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare.or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn clients(proxies: &[&str]) -> Clients {
        let trusted_proxies = proxies.iter().map(|text| text.parse().unwrap()).collect();
        let requests = Some(2);
        Clients::new(ClientsConfig { connections: Some(2), requests, trusted_proxies })
    }

    fn identify(clients: &Clients, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        clients.identify(peer.parse().unwrap(), &headers).0.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_what_it_wrote() {
        let direct = clients(&[]);
        assert_eq!(identify(&direct, "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        let proxied = clients(&["10.0.0.0/8", "::1/128"]);
        for (peer, forwarded, client) in [
            ("10.0.0.1", &["203.0.113.9"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("192.0.2.1", &["203.0.113.9"], "192.0.2.1"),
            // The client wrote the first, the outer proxy the second, the inner one the third.
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("::1", &["[2001:db8:1:2:3:4:5:6]:99"], "2001:db8:1:2::"),
            ("::ffff:10.0.0.1", &["[2001:db8::1]"], "2001:db8::"),
        ] {
            assert_eq!(identify(&proxied, peer, forwarded), client, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn an_address_has_a_rate_and_is_told_how_long_to_wait() {
        let clients = clients(&[]);
        let (one, other) = (Client([192, 0, 2, 1].into()), Client([192, 0, 2, 2].into()));
        let mut passed = 0;
        let wait = loop {
            match clients.admit(one) {
                Ok(()) => passed += 1,
                Err(wait) => break wait,
            }
        };
        assert!(passed >= 20 && wait <= Duration::from_millis(500), "{passed} {wait:?}");
        assert_eq!(clients.admit(other), Ok(()));
    }

    #[test]
    fn an_address_has_so_many_connections_and_a_proxy_any_number() {
        let clients = clients(&["10.0.0.1/32"]);
        let address = |text: &str| text.parse().unwrap();
        let held =
            [clients.connect(address("2001:db8::1")), clients.connect(address("2001:db8::2"))];
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(clients.connect(address("2001:db8::3")).unwrap_err(), TooMany);
        assert!(clients.connect(address("2001:db8:0:1::1")).is_ok());
        drop(held);
        assert!(clients.connect(address("2001:db8::3")).is_ok());
        let proxy: Vec<_> = (0..9).map(|_| clients.connect(address("10.0.0.1"))).collect();
        assert!(proxy.iter().all(|place| matches!(place, Ok(None))));
    }
}
