# Using everything up: bounded.
import resource, signal, subprocess, threading, time

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
    for name in ('NOFILE', 'CORE', 'MEMLOCK'):
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


@check('memory without a process', 'code takes the memory of the machine by files without names', needs='memory limit',
       ends=('oom', 'killed', 'exited', 'lost'))
def _(t):
    total, fds = 0, []
    try:
        while total < 2 * LIMITS['memory']:
            fds.append(os.memfd_create('probe'))
            for _ in range(16):
                total += os.write(fds[-1], bytes(1 << 20))
    except (OSError, MemoryError) as error:
        t.note(f'{total >> 20} MiB, then {type(error).__name__}')
    for fd in fds:
        os.close(fd)
    t.expect(total < 2 * LIMITS['memory'], f'{total >> 20} MiB were had with a limit of {LIMITS["memory"] >> 20} MiB')
