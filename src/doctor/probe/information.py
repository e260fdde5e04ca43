# What code can learn of the machine, of its people and of other sessions.
import glob, re

OWN_UIDS = {os.getuid()}


@check('host and domain name', 'code learns which machine it is on')
def _(t):
    t.expect(os.uname().nodename != FACTS['hostname'] and socket.gethostname() != FACTS['hostname'], f'it is {FACTS["hostname"]}')
    t.note(socket.gethostname())


@check('machine id', 'code learns which machine it is on, for ever')
def _(t):
    for path in ('/etc/machine-id', '/var/lib/dbus/machine-id'):
        def same():
            found = open(path).read().strip()
            if not found or found != FACTS['machine_id']:
                refuse('another')
            return found
        t(path, same)


@check('serial numbers of the hardware', 'code learns which machine it is on, for ever')
def _(t):
    for name in ('product_uuid', 'product_serial', 'board_serial', 'chassis_serial'):
        t(name, lambda: read('/sys/class/dmi/id/' + name))
    t('tables', lambda: read('/sys/firmware/dmi/tables/DMI'))
    t('network cards', lambda: [name for name in os.listdir('/sys/class/net') if name != 'lo' and os.path.isdir('/sys/class/net/' + name)] or refuse('none'))


@check('boot parameters', 'secrets and names on the command line of the kernel are told')
def _(t):
    def same(path, known):
        found = open(path).read().strip()
        if not found or found != known:
            refuse('another')
        return 'seen'
    if FACTS['boot_parameters']:
        t('/proc/cmdline', lambda: same('/proc/cmdline', FACTS['boot_parameters']))
    t('/proc/config.gz', lambda: read('/proc/config.gz'))
    t('/boot', lambda: listed('/boot'))


@check('disks', 'code learns which disks the machine has')
def _(t):
    t('/proc/partitions', lambda: [line for line in open('/proc/partitions').read().splitlines()[2:]][:2] or refuse('none'))
    t('/proc/diskstats', lambda: read('/proc/diskstats'))
    t('/sys/block', lambda: listed('/sys/block'))


@check('processes of the machine', 'code sees what others run, arguments included')
def _(t):
    lines = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            lines[int(pid)] = open(f'/proc/{pid}/cmdline', 'rb').read().replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            pass
    t.expect(1 in lines and os.getpid() in lines, 'its own are not there')
    t.expect(not [line for line in lines.values() if FACTS['neighbour'] in line or FACTS['program'] in line], 'another session, or the gateway')
    t.expect(len(lines) <= 8, f'{len(lines)} processes: {list(lines.values())[:8]}')
    t.note(f'{len(lines)} of its own')


@check('process ids beyond those', 'code can find and signal processes it does not see')
def _(t):
    shown = {int(pid) for pid in os.listdir('/proc') if pid.isdigit()}
    tasks = {int(task) for pid in shown for task in (os.listdir(f'/proc/{pid}/task') if os.path.isdir(f'/proc/{pid}/task') else ())}
    alive = []
    for pid in list(range(2, 8000)) + [FACTS['pid']]:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        except PermissionError:
            pass
        alive.append(pid)
    t.expect(set(alive) <= shown | tasks, f'{sorted(set(alive) - shown - tasks)[:5]}')


@check("other users' processes", 'somebody else runs in the sandbox')
def _(t):
    for path in glob.glob('/proc/[0-9]*/status'):
        try:
            uids = {int(uid) for line in open(path) if line.startswith('Uid:') for uid in line.split()[1:]}
        except OSError:
            continue
        t.expect(uids <= OWN_UIDS, f'{path}: {sorted(uids)}')


@check('environment of the gateway', "code reads the gateway's token")
def _(t):
    found = []
    for path in glob.glob('/proc/[0-9]*/environ') + ['/proc/self/environ']:
        try:
            data = open(path, 'rb').read()
        except OSError:
            continue
        names = [entry.split(b'=')[0].decode(errors='replace') for entry in data.split(b'\0') if entry]
        # Which shell the runner is to use is no secret, and the runner takes it away from the code.
        names = [name for name in names if name != 'CELLGATE_SHELL']
        found += [name for name in names if name.startswith(('CELLGATE', 'DOCKER_')) or name in FACTS['private_names']]
    t.expect(not found, f'variables {sorted(set(found))}')
    t('that of PID 1', lambda: read('/proc/1/environ'), "gVisor shows it; it is the image's" if GVISOR else None)


@check('arguments of the supervisor', 'code learns secrets or places of the gateway')
def _(t):
    try:
        line = open('/proc/1/cmdline', 'rb').read().replace(b'\0', b' ').decode().strip()
    except OSError:
        return t.note('hidden')
    t.expect(FACTS['runtime_dir'] not in outside_names(line), line)
    t.note(line)


@check('mount table', 'code learns where on the machine its parts come from')
def _(t):
    # What it says of a mount but where in here it stands.
    rows = [line.split(' ') for line in open('/proc/self/mountinfo')]
    table_ = '\n'.join(' '.join(row[3:4] + row[5:]) for row in rows)
    gap = "an engine's mount table names its store and our directory; neither can be reached" if DOCKER and not GVISOR else None
    t.expect(FACTS['runtime_dir'] not in table_, 'it names the runtime directory', gap)
    t.expect('upperdir=' not in table_, "it names the engine's store", gap)


@check('cgroup path', 'code learns names of other sessions or of the engine')
def _(t):
    lines = open('/proc/self/cgroup').read().splitlines() if os.path.exists('/proc/self/cgroup') else []
    strange = [line for line in lines if line.split(':', 2)[2] not in ('/', '')]
    t.expect(not strange, f'{strange[:2]}')


@check('kernel log', 'code reads what the kernel says, addresses and other sessions included')
def _(t):
    t('syslog', lambda: call('syslog', 3, ctypes.create_string_buffer(4096), 4096))
    t('size', lambda: call('syslog', 10, 0, 0))
    for path in ('/proc/kmsg', '/dev/kmsg', '/var/log/dmesg', '/var/log/kern.log'):
        t(path, lambda: read(path))


ADDRESS = re.compile(rb'(?<![0-9a-fA-F])(?:0x)?ffff[89a-f][0-9a-f]{11}(?![0-9a-fA-F])')


@check('addresses of the kernel', 'code knows where the kernel is, half of every attack on it')
def _(t):
    def addresses(path):
        data = open(path, 'rb').read(1 << 18)
        if not ADDRESS.search(data):
            refuse('none')
        return ADDRESS.search(data)[0].decode()
    for path in ('/proc/kallsyms', '/proc/modules', '/proc/net/unix', '/proc/net/tcp', '/proc/net/packet', '/proc/net/netlink', '/proc/timer_list',
                 '/proc/self/stack', '/proc/self/syscall', '/proc/self/wchan', '/proc/iomem', '/proc/vmallocinfo', '/proc/slabinfo',
                 '/proc/sched_debug', '/proc/net/ptype', '/sys/module/kernel/sections/.text', '/sys/kernel/notes', '/sys/kernel/vmcoreinfo',
                 '/sys/kernel/boot_params/data'):
        t(path, lambda: addresses(path))


@check('files of the kernel that tell much', "code reads the machine's allocations, keys and timers")
def _(t):
    for path in ('/proc/keys', '/proc/timer_list', '/proc/sched_debug', '/proc/slabinfo', '/proc/vmallocinfo', '/proc/pagetypeinfo',
                 '/proc/kpageflags', '/proc/kpagecount', '/proc/kpagecgroup', '/proc/latency_stats', '/proc/acpi/wakeup', '/proc/1/maps',
                 '/proc/1/auxv', '/proc/1/stack', '/proc/1/syscall', '/proc/1/io', '/proc/interrupts', '/sys/firmware/acpi/tables/DSDT',
                 '/sys/kernel/debug/sched', '/sys/kernel/tracing/trace', '/sys/kernel/security/lsm', '/sys/fs/bpf'):
        gap = "gVisor's /proc shows every process of the same user" if GVISOR and path.startswith('/proc/1/') else None
        t(path, lambda: read(path), gap)


@check('physical addresses', 'code knows where its memory lies, which attacks on memory chips need')
def _(t):
    def frame():
        with open('/proc/self/pagemap', 'rb') as file:
            file.seek(id(t) // 4096 * 8)
            entry = struct.unpack('Q', file.read(8))[0]
        if entry & ((1 << 55) - 1) == 0:
            refuse('zeros')
        return hex(entry & ((1 << 55) - 1))
    t('pagemap', frame)


@check("another session's shared memory and queues", 'sessions can read what others keep in memory')
def _(t):
    key = FACTS['neighbour_key']
    t('shared memory', lambda: call('shmget', key, 4096, 0o666))
    t('message queue', lambda: call('msgget', key, 0o666))
    t('queue by name', lambda: read('/dev/mqueue/' + FACTS['neighbour']))


@check("the machine's load", 'code learns how busy the machine and so its neighbours are')
def _(t):
    gap = None if GVISOR else 'the kernel has one count for all: /proc/loadavg, stat, meminfo and uptime are the machine\'s'
    up = float(open('/proc/uptime').read().split()[0])
    t.expect(up < FACTS['uptime'] - 1, f'it runs for {int(up)} s', gap)
