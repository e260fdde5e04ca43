# The machine's files: not seen, or not to be changed.
import shutil, stat, subprocess


@check('files of the machine that everybody may read', 'nothing but permissions keeps code from the files of the machine')
def _(t):
    for path in FACTS['secrets']:
        t(path, lambda: read(path))
        t('of one: ' + path, lambda: read('/proc/1/root' + path))


@check('passwords and keys', 'code can read the secrets of the system it sees')
def _(t):
    for path in ('/etc/shadow', '/etc/gshadow', '/etc/shadow-', '/etc/sudoers', '/etc/ssh/ssh_host_rsa_key',
                 '/etc/ssh/ssh_host_ed25519_key', '/etc/krb5.keytab', '/etc/ssl/private/ssl-cert-snakeoil.key',
                 '/etc/kubernetes/admin.conf', '/var/run/secrets/kubernetes.io/serviceaccount/token',
                 '/run/secrets', '/etc/docker/key.json', '/etc/cellgate/cellgate.toml', '/proc/1/root/etc/shadow'):
        t(path, lambda: read(path))


@check('home directories', "code can read people's files")
def _(t):
    # An environment below a home has a name inside, and so has the way to it; nothing else has.
    known = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, os.path.realpath(sys.base_prefix),
             os.path.realpath(sys.prefix), *(path for path in sys.path if path.startswith('/'))}
    def strange(directory):
        names = os.listdir(directory)
        shown = [name for name in names if not any((path + '/').startswith(os.path.join(directory, name) + '/') for path in known)]
        if not shown:
            refuse('only the way to the interpreter')
        return ' '.join(shown[:3])
    homes = set() if DOCKER else set(FACTS['homes']) - {WORK, '/tmp', '/dev/shm'}  # an image has its own
    for path in sorted(homes | {'/root', '/home', '/proc/1/cwd/'}):
        t('list ' + path, lambda: strange(path))
    for path in ('/root/.bashrc', '/root/.profile', '/root/.ssh/id_rsa', '/root/.aws/credentials', '/root/.docker/config.json'):
        t(path, lambda: read(path))


@check('places of other programs', "code sees the machine's data")
def _(t):
    for path in ('/mnt', '/media', '/srv', '/boot', '/var/lib/docker', '/var/lib/containerd', '/var/lib/kubelet',
                 '/run/systemd', '/run/user', '/lost+found'):
        t('list ' + path, lambda: listed(path))
    for path in ('/var/log/wtmp', '/var/log/syslog', '/var/log/auth.log', '/var/lib/dpkg/lock-private'):
        t(path, lambda: read(path))


@check('files of the gateway', "code can read the gateway's settings or replace its program")
def _(t):
    for path in FACTS['gateway_files']:
        t(path, lambda: os.stat(path) and 'seen')
        t('of one: ' + path, lambda: os.stat('/proc/1/root' + path) and 'seen')


@check("another session's files", 'sessions can read what others wrote')
def _(t):
    for place in (WORK, '/tmp', '/dev/shm', '/var/tmp'):
        t(place, lambda: os.stat(f'{place}/{FACTS["neighbour"]}') and 'seen')


@check('new files in system directories', 'code can change what other sessions or the machine run')
def _(t):
    for directory in ('/', '/bin', '/etc', '/lib', '/opt', '/sbin', '/usr', '/usr/bin', '/usr/lib', '/usr/local/bin', '/var',
                      '/var/tmp', '/proc', '/sys', '/run', '/home', '/root', '/dev', '/run/cellgate', '/etc/cron.d',
                      '/etc/profile.d', os.path.dirname(os.__file__), sys.prefix):
        t('make in ' + directory, lambda: write(directory + '/cellgate-probe'))
    t('a preloaded library', lambda: write('/etc/ld.so.preload', b''))


@check('changing system files', 'code can change what other sessions or the machine run')
def _(t):
    for path in ('/bin/sh', '/usr/bin/env', '/etc/passwd', '/etc/hosts', '/etc/resolv.conf', '/etc/ld.so.cache',
                 sys.executable, os.path.realpath(sys.executable), os.__file__):
        t('change ' + path, lambda: write(path, flags=os.O_WRONLY | os.O_APPEND))
        t('remove ' + path, lambda: os.unlink(path))
        t('mode of ' + path, lambda: os.chmod(path, 0o777))
        t('owner of ' + path, lambda: os.chown(path, os.getuid(), os.getgid()))
        t('rename ' + path, lambda: os.rename(path, path + '.old'))
        t('link ' + path, lambda: os.link(path, WORK + '/linked'))
        t('truncate ' + path, lambda: os.truncate(path, 0))
        t('times of ' + path, lambda: os.utime(path))


@check('writable places', 'what code writes stays, or is seen by others')
def _(t):
    known = {WORK, '/tmp', '/dev/shm', '/dev/mqueue', '/var/tmp'}
    found = []
    for directory, names, _ in os.walk('/'):
        names[:] = [n for n in names if directory != '/' or n not in ('proc', 'sys')]
        if os.access(directory, os.W_OK):
            found.append(directory)
            names[:] = []
    t.expect(set(found) <= known, f'writable: {sorted(set(found) - known)}')
    t.note(' '.join(sorted(found)))


@check('mounts', 'a file system of the machine can be written, or devices and setuid programs on it work')
def _(t):
    harmless = ('tmpfs', 'proc', 'devpts', 'mqueue', 'sysfs', 'ramfs', 'devtmpfs')
    count = 0
    for line in open('/proc/self/mountinfo'):
        before, after = line.split(' - ')
        place, options, kind = before.split()[4], before.split()[5].split(','), after.split()[0]
        count += 1
        if 'rw' not in options:
            continue
        # gVisor's root is an overlay of its own, in memory, which the container may only read.
        if GVISOR:
            continue
        try:
            found = os.stat(place)
        except OSError:
            found = None  # not to be entered, but there
        if found and stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3):
            continue  # /dev/null over what is hidden
        t.expect(kind in harmless, f'{place} ({kind}) is mounted writable')
        t.expect(place in ('/dev', '/dev/pts') or 'nosuid' in options, f'{place} lets setuid programs be')
        t.expect(place in ('/dev', '/dev/pts') or kind != 'tmpfs' or 'nodev' in options, f'{place} lets devices be')
    t.note(f'{count} mounts')


@check('mount propagation', 'a mount made here, or outside, appears on the other side')
def _(t):
    shared = [line.split()[4] for line in open('/proc/self/mountinfo') if 'shared:' in line.split(' - ')[0]]
    t.expect(not shared, f'shared: {shared[:3]}')


@check('kernel settings in /proc/sys', 'code can change how the machine behaves')
def _(t):
    for path in ('kernel/hostname', 'kernel/core_pattern', 'kernel/modprobe', 'kernel/randomize_va_space', 'kernel/shmmax',
                 'vm/overcommit_memory', 'vm/drop_caches', 'net/ipv4/ip_forward', 'fs/file-max', 'fs/protected_symlinks',
                 'user/max_user_namespaces', 'kernel/yama/ptrace_scope', 'kernel/unprivileged_bpf_disabled',
                 'fs/binfmt_misc/register', 'kernel/ns_last_pid'):
        t(path, lambda: write('/proc/sys/' + path, b'0', os.O_WRONLY))


@check('switches in /proc', 'code can crash the machine or confuse its supervisor')
def _(t):
    for path in ('sysrq-trigger', 'irq/default_smp_affinity', '1/oom_score_adj', '1/mem', '1/uid_map', '1/gid_map', '1/attr/current',
                 '1/setgroups', '1/clear_refs', '1/timerslack_ns', '1/comm', 'mtrr', 'bus/pci/00', 'fs/nfsd', 'acpi/wakeup', 'scsi/scsi'):
        t(path, lambda: write('/proc/' + path, b'0', os.O_WRONLY))


@check('switches in /sys', 'code can change drivers, power and memory of the machine')
def _(t):
    for path in ('kernel/profiling', 'kernel/uevent_helper', 'power/state', 'kernel/mm/ksm/run', 'module/kernel/parameters/panic',
                 'kernel/mm/transparent_hugepage/enabled', 'devices/system/cpu/cpu1/online', 'firmware/efi/vars',
                 'class/net/lo/mtu', 'block/vda/queue/scheduler'):
        t(path, lambda: write('/sys/' + path, b'0', os.O_WRONLY))
    for path in ('kernel/debug', 'kernel/tracing', 'fs/bpf', 'kernel/security', 'fs/fuse/connections'):
        t('make in ' + path, lambda: os.mkdir(f'/sys/{path}/cellgate-probe'))


@check('cgroups', 'code can raise its limits, or run a program outside through release_agent')
def _(t):
    for path in ('memory/memory.limit_in_bytes', 'memory.max', 'cgroup.procs', 'memory/cgroup.procs', 'release_agent',
                 'memory/release_agent', 'notify_on_release', 'pids/pids.max', 'pids.max', 'cpu/cpu.cfs_quota_us', 'cpu.max',
                 'devices/devices.allow', 'cgroup.kill', 'freezer/freezer.state', 'unified/cgroup.procs'):
        t(path, lambda: write('/sys/fs/cgroup/' + path, b'0', os.O_WRONLY))
    for path in ('', '/memory', '/pids', '/unified'):
        t('make in ' + path, lambda: os.mkdir(f'/sys/fs/cgroup{path}/cellgate-probe'))


@check('device files', "a device of the machine's stands open")
def _(t):
    known = {'null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx', 'console'}
    # gVisor has these two always; they lead to its own kernel, and there want privileges.
    known |= {'fuse', 'tun'} if GVISOR else set()
    strange = []
    for directory, names, files in os.walk('/'):
        names[:] = [n for n in names if directory != '/' or n not in ('proc', 'sys')]
        for name in files:
            try:
                mode = os.lstat(os.path.join(directory, name)).st_mode
            except OSError:
                continue
            usual = directory in ('/dev', '/dev/net') and name in known or directory == '/dev/pts'
            if stat.S_ISBLK(mode) or stat.S_ISCHR(mode) and not usual:
                strange.append(os.path.join(directory, name))
    t.expect(not strange, f'there are {sorted(strange)}')


@check('making device files', "the disks and the memory of the machine can be had by making their devices")
def _(t):
    kinds = {'disk': (stat.S_IFBLK, 8, 0), 'virtual disk': (stat.S_IFBLK, 254, 0), 'memory': (stat.S_IFCHR, 1, 1), 'kmsg': (stat.S_IFCHR, 1, 11)}
    for place in (WORK, '/tmp', '/dev/shm'):
        for name, (kind, major, minor) in kinds.items():
            path = f'{place}/device-{major}-{minor}'
            if GVISOR:  # lets nodes be made, for there is no device behind any of them
                try:
                    os.mknod(path, 0o666 | kind, os.makedev(major, minor))
                except OSError:
                    pass
            else:
                t(f'{name} in {place}', lambda: os.mknod(path, 0o666 | kind, os.makedev(major, minor)))
            t(f'reading {name} in {place}', lambda: read(path, 1))


@check("the machine's memory and disks", 'code can read the memory of everybody')
def _(t):
    for path in ('/proc/kcore', '/dev/mem', '/dev/kmem', '/dev/port', '/dev/kmsg', '/dev/sda', '/dev/vda', '/dev/nvme0n1', '/dev/dm-0',
                 '/dev/kvm', '/dev/vfio/vfio', '/dev/fb0', '/dev/loop-control', '/dev/mapper/control', '/dev/cpu/0/msr', '/dev/hpet',
                 '/dev/uinput', '/dev/vhost-net', '/dev/vhost-vsock', '/dev/userfaultfd', '/dev/nvram'):
        t(path, lambda: read(path))


@check("layers below the image, and the engine's store", "code reads or changes the layers of all containers")
def _(t):
    lower = set()
    for line in open('/proc/self/mountinfo'):
        for option in line.rstrip().split(' - ')[1].split(' ', 2)[-1].split(','):
            name, _, value = option.partition('=')
            if name in ('lowerdir', 'upperdir', 'workdir'):
                lower.update(value.split(':'))
    for path in sorted(lower)[:8] + ['/var/lib/docker/overlay2', '/var/lib/containerd/io.containerd.content.v1.content',
                                     '/var/lib/cellgate-engine', '/var/lib/docker/volumes']:
        if path.startswith('/'):
            t(path, lambda: listed(path))
            t('of one: ' + path, lambda: listed('/proc/1/root' + path))


@check("ways through PID 1's /proc", "the supervisor's files, root or descriptors can be reached")
def _(t):
    # gVisor's /proc shows what belongs to the same user, dumpable or not. The supervisor has no
    # secrets: its environment is the image's, and its root is the sandbox's.
    gap = "gVisor's /proc shows every process of the same user" if GVISOR else None
    for name in ('root', 'cwd', 'exe', 'ns/pid', 'ns/mnt'):
        t(name, lambda: os.readlink('/proc/1/' + name), gap)
    for name in ('fd', 'map_files', 'task/1/fd'):
        t(name, lambda: listed('/proc/1/' + name), gap)
    if GVISOR:
        try:
            inside, ours = os.stat('/proc/1/root'), os.stat('/')
        except OSError:
            return
        t.expect((inside.st_dev, inside.st_ino) == (ours.st_dev, ours.st_ino), 'the root of PID 1 is another one')


@check('ways up and links out', 'a path leads out of the root')
def _(t):
    root = os.stat('/')
    fd = os.open('/', os.O_RDONLY | os.O_DIRECTORY)
    try:
        above = os.stat('../' * 64, dir_fd=fd)
        t.expect((above.st_dev, above.st_ino) == (root.st_dev, root.st_ino), 'there is something above the root')
    finally:
        os.close(fd)
    for number, path in enumerate(FACTS['secrets'] + ['/proc/1/root/etc/shadow', '/proc/1/cwd/../../etc/shadow']):
        link = f'{WORK}/link-{number}'
        os.symlink(path if path.startswith('/proc') else '../' * 16 + path, link)
        t('by a link to ' + path, lambda: read(link))
        os.unlink(link)


@check("another session's or the host's root by descriptor", 'a descriptor that the gateway forgot leads out (CVE-2024-21626)')
def _(t):
    strange = []
    for name in os.listdir('/proc/self/fd'):
        try:
            to, mode = os.readlink('/proc/self/fd/' + name), os.fstat(int(name)).st_mode
        except OSError:
            continue  # the one that read the directory
        usual = to.startswith(('pipe:', 'socket:', 'anon_inode:', '/dev/null', '/memfd:', 'host:'))
        if stat.S_ISDIR(mode) or not usual and not (GVISOR and stat.S_ISSOCK(mode)):
            strange.append(f'{name} → {to}')
    t.expect(not strange, f'open: {strange}')
    for number in range(3, 64):
        t(f'out by descriptor {number}', lambda: read(f'/proc/self/fd/{number}/../../../../etc/shadow'))


def effective(command):
    # Programs with the setuid bit run, but as us: they fail, or say so.
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
    if 'uid=0' in answer.stdout or 'euid=0' in answer.stdout:
        return 'root'
    raise OSError(errno.EPERM, '')


@check('setuid programs of the system', 'a bug in one of them gives root')
def _(t):
    for program in ('su', 'sudo', 'pkexec', 'mount', 'newgrp', 'chsh'):
        if shutil.which(program):
            t(program, lambda: effective([program, '-c', 'id'] if program != 'sudo' else ['sudo', '-n', 'id']))
    marked = []
    for directory in os.environ['PATH'].split(':'):
        for name in os.listdir(directory) if os.path.isdir(directory) else ():
            try:
                mode = os.stat(os.path.join(directory, name)).st_mode
            except OSError:
                continue
            if mode & 0o6000 and stat.S_ISREG(mode):
                marked.append(name)
    t.note(f'{len(set(marked))} programs with the bit, without effect')


@check('a setuid program of its own', 'code can make itself root')
def _(t):
    path = WORK + '/probe-id'
    shutil.copy(shutil.which('id'), path)
    os.chmod(path, 0o6755)
    t('run', lambda: effective([path]))
    os.unlink(path)


@check('file capabilities', 'a program of its own gets privileges')
def _(t):
    path = WORK + '/probe-caps'
    write(path)
    value = struct.pack('<IIIII', 0x02000001, 0xffffffff, 0, 0xffffffff, 0)
    t('capabilities', lambda: os.setxattr(path, 'security.capability', value))
    t('trusted attributes', lambda: os.setxattr(path, 'trusted.overlay.opaque', b'y'))
    t('security attributes', lambda: os.setxattr(path, 'security.ima', b'y'))
    os.unlink(path)
