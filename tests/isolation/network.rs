//! There is no network: no way out, no way to the machine, only the sandbox's own loopback.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::common::suite::{Stage, cases};
use crate::probe::probe;

cases![
    only_loopback_is_there,
    nothing_outside_can_be_reached,
    the_machine_cannot_be_reached,
    only_ordinary_sockets_can_be_made,
    its_own_loopback_works,
];

async fn only_loopback_is_there(stage: &Stage) {
    let mut client = stage.session().await;
    let names = client.print("import socket\nprint([n for _, n in socket.if_nameindex()])").await;
    assert!(["['lo']\n", "[]\n"].contains(&names.as_str()), "{names}");
    let code = "routes = open('/proc/net/route').read().splitlines()[1:]\nprint(len(routes))";
    assert_eq!(client.print(code).await, "0\n");
    client.end().await;
}

async fn nothing_outside_can_be_reached(stage: &Stage) {
    let mut client = stage.session().await;
    // 192.0.2.0/24 and 2001:db8::/32 are nobody's (RFC 5737, RFC 3849).
    let findings = probe(
        &mut client,
        r#"
def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect(address)
    return 'connected'
def send(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.sendto(b'x', address)
    return 'sent'
attempt('tcp', lambda: connect(socket.AF_INET, ('192.0.2.1', 80)))
attempt('udp', lambda: send(socket.AF_INET, ('192.0.2.1', 53)))
attempt('tcp6', lambda: connect(socket.AF_INET6, ('2001:db8::1', 80)))
attempt('udp6', lambda: send(socket.AF_INET6, ('2001:db8::1', 53)))
attempt('broadcast', lambda: send(socket.AF_INET, ('255.255.255.255', 9)))
attempt('metadata service', lambda: connect(socket.AF_INET, ('169.254.169.254', 80)))
"#,
    )
    .await;
    findings.all_refused(&[]);
    client.end().await;
}

async fn the_machine_cannot_be_reached(stage: &Stage) {
    // A socket with an abstract name has no file that could be hidden: the namespace has to do it.
    let name = format!("cellgate-test-{}-{}", std::process::id(), stage.backend.name());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listening = UnixListener::bind_addr(&address).unwrap();
    let mut client = stage.session().await;
    let code = r#"
def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect(address)
    return 'connected'
attempt('abstract', lambda: connect(socket.AF_UNIX, b'\0NAME'))
attempt('the gateway', lambda: connect(socket.AF_INET, ('127.0.0.1', PORT)))
for path in ('/var/run/docker.sock', '/run/docker.sock', '/run/containerd/containerd.sock',
             '/run/systemd/private', '/run/dbus/system_bus_socket', '/run/cellgate/link.sock'):
    attempt(path, lambda: connect(socket.AF_UNIX, path))
"#;
    let port = stage.gateway().address.port().to_string();
    let code = code.replace("NAME", &name).replace("PORT", &port);
    probe(&mut client, &code).await.all_refused(&[]);
    client.end().await;
}

async fn only_ordinary_sockets_can_be_made(stage: &Stage) {
    let mut client = stage.session().await;
    let findings = probe(
        &mut client,
        r#"
def make(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()
    return 'made'
STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 3, 5
attempt('packet', lambda: make(17, RAW, 0x300))
attempt('packet datagrams', lambda: make(17, DGRAM, 0x300))
attempt('raw', lambda: make(2, RAW, 1))
attempt('raw6', lambda: make(10, RAW, 58))
attempt('vsock', lambda: make(40, STREAM))
attempt('alg', lambda: make(38, SEQPACKET))
attempt('bluetooth', lambda: make(31, RAW, 1))
attempt('tipc', lambda: make(30, SEQPACKET))
attempt('can', lambda: make(29, RAW, 1))
attempt('key', lambda: make(15, RAW, 2))
attempt('xdp', lambda: make(44, RAW))
attempt('rds', lambda: make(21, SEQPACKET))
attempt('netfilter', lambda: make(16, RAW, 12))
attempt('audit', lambda: make(16, RAW, 9))
attempt('uevents', lambda: make(16, RAW, 15))
attempt('x25', lambda: make(9, SEQPACKET))
"#,
    )
    .await;
    findings.all_refused(&[]);
    client.end().await;
}

async fn its_own_loopback_works(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
import socket
with socket.create_server(('127.0.0.1', 0)) as server:
    with socket.create_connection(server.getsockname()) as there:
        here, _ = server.accept()
        there.sendall(b'through')
        print(here.recv(16).decode())
        here.close()
"#;
    assert_eq!(client.print(code).await, "through\n");
    client.end().await;
}
