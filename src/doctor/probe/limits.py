# Using everything up: bounded.
import mmap, resource, signal, subprocess, threading, time

MEMORY, MIB = LIMITS['memory'], 1 << 20


@check('open files', 'code uses up the descriptors of the machine', needs='open files limit')
def _(t):
    held = []
    try:
        for _ in range(LIMITS['open_files'] + 64):
            held.append(os.dup(0))
    except OSError as error:
        t.note(f'{len(held)} more, then {errno.errorcode[error.errno]}')
    t.expect(len(held) < LIMITS['open_files'], f'{len(held)} of {LIMITS["open_files"]}')
    for fd in held:
        os.close(fd)


@check('raising limits', 'code takes back what was limited')
def _(t):
    for name in ('NOFILE', 'CORE', 'MEMLOCK', 'FSIZE', 'STACK', 'SIGPENDING', 'MSGQUEUE', 'NICE', 'RTPRIO', 'RTTIME'):
        which = getattr(resource, 'RLIMIT_' + name)
        hard = resource.getrlimit(which)[1]
        if hard == resource.RLIM_INFINITY:
            t.expect(False, f'{name} is unlimited', 'gVisor keeps its own count' if GVISOR else None)
            continue
        def higher():
            try:
                resource.setrlimit(which, (hard, hard + 1))
            except ValueError:
                refuse(name)
        t(name, higher)


@check('every resource', 'one process takes more than its share of what the kernel gives to a user')
def _(t):
    # The rest of the sixteen: processor time and data are limited for the sandbox as a whole,
    # address space is no resource, and the kernel heeds neither RSS nor LOCKS.
    most = {'NOFILE': LIMITS['open_files'], 'NPROC': LIMITS['processes'], 'CORE': 0, 'NICE': 0, 'RTPRIO': 0, 'RTTIME': 0,
            'MEMLOCK': 64 << 10, 'MSGQUEUE': 64 << 10, 'SIGPENDING': 1024, 'STACK': 8 * MIB, 'FSIZE': LIMITS['disk_bytes'] + MIB}
    for name, value in most.items():
        hard = resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[1]
        t.expect(0 <= hard <= value, f'{name} is {"unlimited" if hard == resource.RLIM_INFINITY else hard}')
    t.note(f'{len(most)} limited')


@check('core dumps', 'a crash writes memory to the disk of the machine, or to a program there')
def _(t):
    t.expect(resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, 'RLIMIT_CORE may be raised')
    status = in_child(lambda: os.kill(os.getpid(), signal.SIGSEGV))
    t.expect(not os.WCOREDUMP(status), 'a core was dumped')
    t.expect(not [name for name in os.listdir(WORK) if name.startswith('core')], 'there is a core')


@check('locked memory', 'code takes memory that cannot be swapped')
def _(t):
    libc.mmap.restype = ctypes.c_void_p
    size = 64 * MIB
    address = libc.mmap(None, ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0))
    t('mlock', lambda: call('mlock', ctypes.c_void_p(address), size), 'gVisor keeps its own count' if GVISOR else None)
    libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


@check('disk space', 'code fills the disk of the machine', needs='disk limit', ends=('oom',))
def _(t):
    total, block = 0, bytes(1 << 16)
    most = 3 * LIMITS['disk_bytes'] + 16 * MIB
    for place in (WORK, '/tmp', '/dev/shm', '/var/tmp', '/dev', '/run', '/'):
        try:
            fd = os.open(place + '/cellgate-probe-fill', os.O_WRONLY | os.O_CREAT)
        except OSError:
            continue
        try:
            while total < most:
                total += os.write(fd, block)
        except OSError:
            pass
        os.close(fd)
        try:
            os.remove(place + '/cellgate-probe-fill')
        except OSError:
            pass
    # Docker's three places have a limit each, ours one together.
    t.expect(total <= 3 * LIMITS['disk_bytes'], f'{total // MIB} MiB written')
    t.note(f'{total // MIB} MiB, then no more')


@check('sparse files and preallocation', 'code takes disk space that nobody counts', needs='disk limit')
def _(t):
    fd = os.open(WORK + '/allocated', os.O_WRONLY | os.O_CREAT)
    t('fallocate', lambda: os.posix_fallocate(fd, 0, 4 * LIMITS['disk_bytes']))
    os.close(fd)
    os.unlink(WORK + '/allocated')


@check('number of files', 'code uses up what the disk knows of files', needs='disk limit')
def _(t):
    made, most = 0, 3 * LIMITS['disk_inodes'] + 64
    for place in (WORK, '/tmp', '/dev/shm'):
        os.makedirs(place + '/cellgate-probe-many', exist_ok=True)
        try:
            for number in range(most):
                os.mkdir(f'{place}/cellgate-probe-many/{number}')
                made += 1
        except OSError:
            pass
        subprocess.run(['rm', '-rf', place + '/cellgate-probe-many'], timeout=60)
    gap = "gVisor's tmpfs has no bound on inodes; the memory limit is what bounds them" if GVISOR else None
    t.expect(made <= 3 * LIMITS['disk_inodes'], f'{made} directories', gap)
    t.note(f'{made} directories, then no more')


def until_refused(start, most):
    """Starts one after the other until the kernel says no; answers how many there were."""
    count = 0
    try:
        for _ in range(most):
            start()
            count += 1
    except (OSError, RuntimeError):
        pass
    return count


@check('processes', 'code fills the process table of the machine', needs='process limit', ends=('oom', 'lost'))
def _(t):
    pids, most = [], LIMITS['processes'] + 64
    def start():
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        pids.append(pid)
    try:
        count = until_refused(start, most)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    t.expect(count < LIMITS['processes'], f'{count} of {LIMITS["processes"]}')
    t.note(f'{count}, then no more')


@check('threads', 'code fills the process table of the machine', needs='process limit', ends=('oom', 'lost'))
def _(t):
    threading.stack_size(64 << 10)
    stop, threads = threading.Event(), []
    def start():
        thread = threading.Thread(target=stop.wait, daemon=True)
        thread.start()
        threads.append(thread)
    count = until_refused(start, LIMITS['processes'] + 64)
    stop.set()
    for thread in threads:
        thread.join()
    t.expect(count < LIMITS['processes'], f'{count} of {LIMITS["processes"]}')
    t.note(f'{count}, then no more')


@check('processor time', "code takes the processors from everybody else", needs='CPU limit')
def _(t):
    allowed, seconds = LIMITS['cpu_millis'] / 1000, 2.0
    before, began = os.times(), time.monotonic()
    burners = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                pass
            os._exit(0)
        burners.append(pid)
    for pid in burners:
        os.waitpid(pid, 0)
    after = os.times()
    used = sum(after[:4]) - sum(before[:4])
    share = used / (time.monotonic() - began)
    t.expect(share <= allowed * 1.3, f'{share:.2f} of {allowed:.2f} processors')
    t.note(f'{share:.2f} of {allowed:.2f} processors used by two that spin')


@check('memory of processes', 'code takes the memory of the machine', needs='memory limit', ends=('oom', 'killed', 'exited'))
def _(t):
    def grow():
        blocks = []
        try:
            for _ in range(2 * LIMITS['memory'] >> 20):
                blocks.append(bytearray(b'x') * (1 << 20))
        except MemoryError:
            os._exit(3)
        os._exit(0)
    status = in_child(grow)
    t.expect(status != 0, f'{2 * LIMITS["memory"] >> 20} MiB were had with a limit of {LIMITS["memory"] >> 20} MiB')
    t.note('it was killed' if os.WIFSIGNALED(status) else 'no more was given')


@check('memory in memory files', 'code takes the memory of the machine by files without names (memfd)', needs='memory limit',
       ends=('oom', 'killed', 'exited', 'lost'))
def _(t):
    total, fds = 0, []
    try:
        while total < 2 * LIMITS['memory']:
            fds.append(os.memfd_create('probe'))
            for _ in range(16):
                total += os.write(fds[-1], bytes(1 << 20))
        # Time for whoever looks now and then, where the kernel does not.
        time.sleep(1)
    except (OSError, MemoryError) as error:
        t.note(f'{total >> 20} MiB, then {type(error).__name__}')
    for fd in fds:
        os.close(fd)
    t.expect(total < 2 * LIMITS['memory'], f'{total >> 20} MiB were had with a limit of {LIMITS["memory"] >> 20} MiB')


def held_bytes(sock):
    """What waits in a socket, as the kernel counts it; None where it does not tell."""
    try:
        known = struct.unpack('9I', sock.getsockopt(socket.SOL_SOCKET, 55, 36))  # SO_MEMINFO
    except (OSError, struct.error):
        return None
    received, sending, queued = known[0], known[2], known[5]
    return received + max(sending, queued)


def fill(sock, piece, flags=0):
    total = 0
    try:
        for _ in range(1 << 12):
            total += sock.send(piece, flags | socket.MSG_DONTWAIT)
    except OSError:
        pass
    return total


def tcp_buffers():
    with socket.create_server(('127.0.0.1', 0)) as server:
        client = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
    return [client, there], fill(client, bytes(1 << 16))


def udp_buffers():
    receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
    receiver.bind(('127.0.0.1', 0))
    sender.connect(receiver.getsockname())
    for _ in range(256):
        fill_one = sender.send(bytes(32000), socket.MSG_DONTWAIT)
    sender.close()
    return [receiver], 0 if held_bytes(receiver) is not None else fill_one


def corked_buffers():
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(('127.0.0.1', 9))
    return [sender], sender.send(bytes(60000), socket.MSG_MORE)


def corked_by_option():
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(('127.0.0.1', 9))
    sender.setsockopt(17, 1, 1)  # UDP_CORK
    return [sender], sender.send(bytes(60000))


def unix_buffers():
    client, there = socket.socketpair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
    return [client, there], fill(client, bytes(1 << 16))


def netlink_buffers():
    receiver = socket.socket(16, socket.SOCK_RAW, 0)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
    receiver.bind((0, 0))
    # An unknown request of 4 KiB, which is sent back with the error.
    request = struct.pack('IHHII', 16 + 4000, 16, 5, 1, 0) + bytes(4000)
    return [receiver], fill(receiver, request)


def hold(kind, totals, number, enough):
    """Keeps sockets full until it has no more files, or all have enough."""
    sockets, held = [], 0
    while len(sockets) < LIMITS['open_files'] - 64:
        try:
            more, sent = kind()
        except OSError:
            break
        sockets += more
        known = [held_bytes(each) for each in more]
        held += sent if None in known else sum(known)
        totals[number] = held
        if sum(totals) > enough:
            break
    return sockets


def socket_memory(t, *kinds):
    # By children, as a process has only so many files: three hold what is enough to tell.
    enough = LIMITS['memory'] + LIMITS['memory'] // 4
    for kind in kinds:
        name = kind.__name__.replace('_', ' ')
        totals = memoryview(mmap.mmap(-1, 4096)).cast('Q')  # shared with the children
        children = []
        for number in range(3):
            done, tell = os.pipe()
            pid = os.fork()
            if pid == 0:
                sockets = hold(kind, totals, number, enough)
                os.write(tell, b'x')
                signal.pause()
            os.close(tell)
            if os.read(done, 1):
                children.append(pid)
            else:  # it was killed for it, and what it held is free
                status = os.waitpid(pid, 0)[1]
                t.expect(os.WIFSIGNALED(status), f'{name}: a child failed')
                totals[number] = 0
            os.close(done)
            if sum(totals) > enough:
                break
        total = sum(totals)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        t.expect(total <= enough, f'{name}: {total // MIB} MiB with a limit of {LIMITS["memory"] // MIB} MiB')
        t.note(f'{name}: {total // MIB} MiB')


@check('memory in TCP sockets', 'code takes the memory of the machine by sending to itself and not receiving', needs='memory limit',
       ends=('oom', 'killed', 'exited', 'lost'))
def _(t):
    socket_memory(t, tcp_buffers)


@check('memory in UDP sockets', 'code takes the memory of the machine by sending to itself and not receiving', needs='memory limit',
       ends=('oom', 'killed', 'exited', 'lost'))
def _(t):
    socket_memory(t, udp_buffers)


@check('memory in what UDP has not sent', 'code takes the memory of the machine by sockets that wait for more', needs='memory limit')
def _(t):
    for name, kind in {'by MSG_MORE': corked_buffers, 'by UDP_CORK': corked_by_option}.items():
        def wait():
            sockets, sent = kind()
            for each in sockets:
                each.close()
        t(name, wait, 'gVisor counts it as its own memory' if GVISOR else None)


@check('memory in netlink sockets', 'code takes the memory of the machine by answers of the kernel that it does not take', needs='memory limit',
       ends=('oom', 'killed', 'exited', 'lost'))
def _(t):
    socket_memory(t, netlink_buffers)


@check('memory in Unix sockets', 'code takes the memory of the machine by sending to itself and not receiving', needs='memory limit',
       ends=('oom', 'killed', 'exited', 'lost'))
def _(t):
    socket_memory(t, unix_buffers)


@check('huge pages', "code takes the machine's pool of huge pages, which no memory limit counts")
def _(t):
    HUGE = 0x40000  # MAP_HUGETLB, which with MAP_NORESERVE asks the pool only when it is touched
    libc.mmap.restype = ctypes.c_void_p
    def map_huge(flags):
        address = libc.mmap(None, ctypes.c_size_t(2 * MIB), 3, flags | HUGE | 0x22, -1, ctypes.c_long(0))
        if address in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), '')
        libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(2 * MIB))
    t('mmap', lambda: map_huge(0))
    t('mmap without reserving', lambda: map_huge(0x4000))
    t('memfd_create', lambda: call('memfd_create', text(b'huge'), 4))
    t('memfd_create of 2 MiB', lambda: call('memfd_create', text(b'huge'), 4 | 21 << 26))
    t('shmget', lambda: call('shmget', 0, 2 * MIB, 0o4000 | 0o1600))
