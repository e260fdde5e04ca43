# There is no network: no way out, no way to the machine, no odd sockets.

def connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as s:
        s.settimeout(5)
        s.connect(address)


def reach(family, address, kind=socket.SOCK_STREAM):
    """Connects to somebody outside. That nobody answers, or a refusal that came back, is no
    refusal of the kernel's: packets left."""
    try:
        connect(family, address, kind)
    except (TimeoutError, ConnectionRefusedError, ConnectionResetError) as error:
        return f'packets leave ({type(error).__name__})'


def send(family, address, options=()):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        for option in options:
            s.setsockopt(*option)
        s.sendto(b'x', address)


def make(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()


STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 3, 5
INET, INET6, UNIX, NETLINK = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 16


@check('only the loopback interface, no routes', 'the sandbox sits on a network')
def _(t):
    names = [line.partition(':')[0].strip() for line in open('/proc/net/dev').read().splitlines()[2:]]
    t.expect(set(names) <= {'lo'}, f'interfaces {names}')
    routes = open('/proc/net/route').read().splitlines()[1:]
    t.expect(not routes, f'{len(routes)} routes')
    try:
        lines = open('/proc/net/ipv6_route').read().splitlines()
    except OSError:
        lines = []
    t.expect(all(line.split()[-1] == 'lo' for line in lines), 'routes of IPv6 that leave it')


# 192.0.2.0/24 and 2001:db8::/32 are nobody's (RFC 5737, RFC 3849).
@check('TCP to the outside', 'code can talk to any host of the internet')
def _(t):
    t('IPv4', lambda: reach(INET, ('192.0.2.1', 80)))
    t('IPv6', lambda: reach(INET6, ('2001:db8::1', 80)))


@check('UDP to the outside', 'code can send data out and take part in attacks')
def _(t):
    t('IPv4', lambda: send(INET, ('192.0.2.1', 53)))
    t('IPv6', lambda: send(INET6, ('2001:db8::1', 53)))


@check('broadcast and multicast', 'code can talk to the neighbourhood of the machine')
def _(t):
    t('broadcast', lambda: send(INET, ('255.255.255.255', 9), [(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)]))
    t('multicast', lambda: send(INET, ('224.0.0.251', 5353)))
    t('multicast of IPv6', lambda: send(INET6, ('ff02::1%1', 9)))


@check('DNS', 'data can leave in names that are looked up')
def _(t):
    t('a look-up', lambda: socket.getaddrinfo('example.com', 80))
    servers = []
    try:
        servers = [line.split()[1] for line in open('/etc/resolv.conf') if line.startswith('nameserver ')]
    except OSError:
        pass
    for server in servers + ['127.0.0.11', '127.0.0.53']:
        family = INET6 if ':' in server else INET
        t('a server of TCP', lambda: connect(family, (server, 53)))


@check('metadata service of a cloud', 'code can take the credentials of the machine')
def _(t):
    t('IPv4', lambda: reach(INET, ('169.254.169.254', 80)))
    t('IPv6', lambda: reach(INET6, ('fd00:ec2::254', 80)))
    t('of containers', lambda: reach(INET, ('169.254.170.2', 80)))


@check("the machine's loopback", "code reaches services that trust the machine, the gateway's own port too")
def _(t):
    for address in ('127.0.0.1', '127.0.1.1', '172.17.0.1', '10.0.2.2'):
        t(address, lambda: connect(INET, (address, FACTS['port'])))
    t('::1', lambda: connect(INET6, ('::1', FACTS['port'])))


@check("the machine's abstract sockets", 'code reaches services of the machine that listen without a file')
def _(t):
    t('a socket outside', lambda: connect(UNIX, b'\0' + FACTS['abstract'].encode()))
    for name in (b'/tmp/.X11-unix/X0', b'/containerd-shim/', b'/org/kernel/linux/storage/multipathd'):
        t(repr(name), lambda: connect(UNIX, b'\0' + name))


@check("sockets of the machine's services", "an engine's or a service manager's socket is root on the machine")
def _(t):
    for path in ('/var/run/docker.sock', '/run/docker.sock', '/run/containerd/containerd.sock', '/run/crio/crio.sock',
                 '/run/podman/podman.sock', '/run/systemd/private', '/run/dbus/system_bus_socket', '/run/udev/control',
                 '/run/systemd/journal/stdout', '/var/run/nscd/socket', '/run/cellgate/link.sock', '/dev/log'):
        t(path, lambda: connect(UNIX, path))


@check('raw and packet sockets', 'code can forge and read the traffic of an interface')
def _(t):
    t('packet', lambda: make(17, RAW, 0x300))
    t('packet datagrams', lambda: make(17, DGRAM, 0x300))
    t('raw', lambda: make(INET, RAW, 1))
    t('raw of IPv6', lambda: make(INET6, RAW, 58))
    t('raw of any protocol', lambda: make(INET, RAW, 255))


@check('sockets but Unix ones, TCP and UDP', 'rarely used protocols are where the bugs of the kernel are, and no limit counts what netlink holds')
def _(t):
    for name, arguments in {
        'route netlink': (NETLINK, RAW), 'route netlink of datagrams': (NETLINK, DGRAM), 'raw Unix': (UNIX, RAW),
        'ping': (INET, DGRAM, 1), 'ping of IPv6': (INET6, DGRAM, 58), 'multipath TCP': (INET, STREAM, 262),
        'multipath TCP of IPv6': (INET6, STREAM, 262), 'UDP-Lite': (INET, DGRAM, 136), 'DCCP': (INET, 6, 33), 'L2TP': (INET, DGRAM, 115),
        'SMC': (INET, STREAM, 256), 'sequenced packets of IP': (INET, SEQPACKET), 'raw with flags': (INET, RAW | 0o2004000, 6),
    }.items():
        if GVISOR and 'ping' in name:
            continue  # its own network stack has them, and no host to send to
        t(name, lambda: make(*arguments))
    for name, kind in {'raw pair': RAW, 'pair of an odd type': 4}.items():
        t(name, lambda: [each.close() for each in socket.socketpair(UNIX, kind)])


@check('netlink beyond routes', "code talks to the kernel's firewall, audit, and other configuration")
def _(t):
    for name, protocol in (('usersock', 2), ('firewall', 3), ('sock_diag', 4), ('xfrm', 6), ('audit', 9), ('connector', 11),
                           ('netfilter', 12), ('kobject events', 15), ('generic', 16), ('crypto', 21)):
        t(name, lambda: make(NETLINK, RAW, protocol))


@check('netlink that changes the network', 'code can make interfaces and routes')
def _(t):
    def new_link():
        with socket.socket(NETLINK, RAW, 0) as s:
            s.settimeout(5)
            kind = struct.pack('HH8s', 10, 1, b'dummy\0\0\0')
            info = struct.pack('HH', 4 + len(kind), 18) + kind
            body = struct.pack('BxHiII', 0, 0, 0, 0, 0) + info
            s.send(struct.pack('IHHII', 16 + len(body), 16, 0x605, 1, 0) + body)
            answer = s.recv(4096)
            code = struct.unpack_from('i', answer, 16)[0]
            if code:
                raise OSError(-code, '')
    t('a new interface', new_link)


@check('interface settings by ioctl', 'code can give itself an address')
def _(t):
    import fcntl
    def change(request):
        with socket.socket(INET, socket.SOCK_DGRAM) as s:
            return fcntl.ioctl(s, request, struct.pack('16sH2s4s8s', b'lo', 2, b'', bytes([10, 9, 9, 9]), b''))
    if GVISOR:
        not_applicable('it would change the loopback of its own kernel alone')
    t('address', lambda: change(0x8916))
    t('flags', lambda: change(0x8914))
    t('hardware address', lambda: change(0x8924))


@check('odd address families', 'rarely used protocols of the kernel are where its bugs are')
def _(t):
    for name, arguments in {
        'vsock': (40, STREAM), 'alg': (38, SEQPACKET), 'bluetooth': (31, RAW, 1), 'tipc': (30, SEQPACKET), 'can': (29, RAW, 1),
        'key': (15, RAW, 2), 'xdp': (44, RAW), 'rds': (21, SEQPACKET), 'x25': (9, SEQPACKET), 'appletalk': (5, DGRAM),
        'netrom': (6, SEQPACKET), 'rxrpc': (33, DGRAM), 'kcm': (41, DGRAM), 'smc': (43, STREAM), 'mctp': (45, DGRAM),
        'nfc': (39, RAW), 'ieee802154': (36, DGRAM), 'phonet': (35, DGRAM), 'llc': (26, STREAM), 'sctp': (INET, STREAM, 132),
    }.items():
        t(name, lambda: make(*arguments))


@check('vsock to the hypervisor', "code talks to the virtual machine's host past every firewall")
def _(t):
    for cid in (0, 1, 2):
        t(f'context {cid}', lambda: reach(40, (cid, 1024)))


@check("another session's loopback", 'sessions can reach servers that others run')
def _(t):
    t('a server', lambda: connect(INET, ('127.0.0.1', FACTS['neighbour_port'])))
    t('an abstract socket', lambda: connect(UNIX, b'\0' + FACTS['neighbour'].encode()))


@check('a tunnel', 'code can make a network interface of its own')
def _(t):
    import fcntl
    def tunnel():
        fd = os.open('/dev/net/tun', os.O_RDWR)
        try:
            fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22s', b'tun0', 1, b''))
        finally:
            os.close(fd)
    t('tun', tunnel)
