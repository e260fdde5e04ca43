# Privileges: none, and no way to any. System calls that only attacks need are refused.
import mmap, resource, signal, subprocess, threading, time

FLAGS = {'user': 0x10000000, 'mount': 0x20000, 'pid': 0x20000000, 'net': 0x40000000, 'ipc': 0x8000000, 'uts': 0x4000000,
         'cgroup': 0x2000000, 'time': 0x80}
STATUS = dict((name, ' '.join(value.split())) for name, _, value in (line.partition(':') for line in open('/proc/self/status')))


@check('capabilities in all five sets', 'code has a part of root')
def _(t):
    for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
        if name == 'CapAmb' and GVISOR and name not in STATUS:
            continue  # not told
        t.expect(int(STATUS.get(name, 'f'), 16) == 0, f'{name} is {STATUS.get(name)}')
    t.note('all empty')


@check('no_new_privs and the filter are in force', 'programs with the setuid bit, or any system call, work')
def _(t):
    PR_GET_NO_NEW_PRIVS = 39
    t.expect(libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, 'no_new_privs is off')
    t.expect(STATUS.get('Seccomp') == '2', f'Seccomp is {STATUS.get("Seccomp")}')
    t.expect(STATUS.get('NoNewPrivs', '1') == '1', 'NoNewPrivs is 0')


@check('an unprivileged user', 'code is somebody whom files of the machine belong to')
def _(t):
    uid = os.getuid()
    # A user namespace has one name for all of them; without one it is the id that the machine sees.
    t.expect(uid >= 10000 if DOCKER else uid == 1000, f'it is user {uid}, whom files of a person may belong to')
    t.expect(STATUS['Uid'] == ' '.join([str(uid)] * 4), f'Uid {STATUS["Uid"]}')
    t.expect(STATUS['Gid'] == STATUS['Uid'], f'Gid {STATUS["Gid"]}')


@check('supplementary groups', "code is in groups of the gateway's user, and reads what these may read", needs='no further groups')
def _(t):
    # A group without a name in the user namespace is told as 65534.
    further = set(os.getgroups()) - {os.getgid()}
    t.expect(not further, f'{len(os.getgroups())} groups: {sorted(further)}')
    t.note(f'its own alone, {os.getgid()}')


@check('quotas of a user', "a session uses up what all of one user share: pending signals, timers, inotify, queues", needs='user of its own')
def _(t):
    # The machine counts by the id that it sees, which a user namespace maps to the one inside.
    inside, outside, _ = map(int, open('/proc/self/uid_map').readline().split())
    user = os.getuid() - inside + outside
    t.expect(user != FACTS['neighbour_user'], f'to the machine this and another session are user {user}')
    mine = int(STATUS.get('SigQ', '0').partition('/')[0])
    t.expect(mine < FACTS['neighbour_signals'], f'{mine} signals are pending, which another session was sent')
    t.note('no other session has its user')


@check('becoming root', 'code can be root in the sandbox')
def _(t):
    t('setuid', lambda: os.setuid(0))
    t('setgid', lambda: os.setgid(0))
    t('setreuid', lambda: os.setreuid(0, 0))
    t('setresuid', lambda: os.setresuid(0, 0, 0))
    t('setresgid', lambda: os.setresgid(0, 0, 0))
    before = libc.setfsuid(-1)
    libc.setfsuid(0)
    t.expect(libc.setfsuid(before) == before, 'setfsuid')


@check('setgroups', 'code can enter or leave groups, past what is denied to a group')
def _(t):
    t('group 0', lambda: os.setgroups([0]))
    t('no group', lambda: os.setgroups([]))


@check('giving files away', 'code can make files that belong to root')
def _(t):
    open(WORK + '/own', 'w').close()
    t('chown', lambda: os.chown(WORK + '/own', 0, 0))
    t('chgrp', lambda: os.chown(WORK + '/own', -1, 0))
    os.unlink(WORK + '/own')


@check('undoing what was given up', 'code can take privileges back')
def _(t):
    t('securebits', lambda: call('prctl', 28, 0, 0, 0, 0))
    t('ambient', lambda: call('prctl', 47, 2, 21, 0, 0))
    t('new privileges again', lambda: call('prctl', 38, 0, 0, 0, 0))
    t('no seccomp', lambda: call('prctl', 22, 0, 0, 0, 0))
    t('capset', lambda: libc.capset(struct.pack('II', 0x20080522, 0), struct.pack('6I', *[0xffffffff] * 6)) and refuse('capset'))


@check('user namespaces', 'code is root in a namespace of its own, the usual first step of an escape')
def _(t):
    t('unshare', lambda: call('unshare', FLAGS['user']))
    t('unshare with others', lambda: call('unshare', FLAGS['user'] | FLAGS['mount'] | FLAGS['net']))
    t('a thread in one', lambda: call('clone', FLAGS['user'] | 0x10000, 0, 0, 0, 0))


@check('every kind of namespace', 'code can make itself another view of the machine')
def _(t):
    def clone(name, *arguments):
        pid = libc.syscall(*arguments)
        if pid == 0:
            os._exit(0)
        if pid < 0:
            raise OSError(ctypes.get_errno(), '')
        os.waitpid(pid, 0)
        return name
    number = NUMBERS['clone'][0 if platform.machine() == 'x86_64' else 1]
    for name, flag in FLAGS.items():
        t('unshare ' + name, lambda: call('unshare', flag))
        if name != 'time':  # the bit means something else in clone
            t('clone ' + name, lambda: clone(name, ctypes.c_long(number), ctypes.c_long(flag | 17), 0, 0, 0, 0))
        block = struct.pack('11Q', flag, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
        t('clone3 ' + name, lambda: clone(name, ctypes.c_long(435), block, ctypes.c_long(len(block))))


@check('entering namespaces', 'code can go where other processes are')
def _(t):
    def enter(path):
        fd = os.open(path, os.O_RDONLY)
        try:
            call('setns', fd, 0)
        finally:
            os.close(fd)
    for name in os.listdir('/proc/self/ns'):
        t('its own ' + name, lambda: enter('/proc/self/ns/' + name))
        t("PID 1's " + name, lambda: enter('/proc/1/ns/' + name))
    def by_pidfd():
        fd = os.pidfd_open(1)
        try:
            call('setns', fd, FLAGS['mount'])
        finally:
            os.close(fd)
    t('by pidfd', by_pidfd)


@check('mount', 'code can mount what it should not see, or over what others see')
def _(t):
    t('tmpfs', lambda: call('mount', text(b'none'), text(WORK.encode()), text(b'tmpfs'), 0, 0))
    t('proc', lambda: call('mount', text(b'none'), text(WORK.encode()), text(b'proc'), 0, 0))
    t('cgroup', lambda: call('mount', text(b'none'), text(WORK.encode()), text(b'cgroup'), 0, text(b'rdma')))
    t('a disk', lambda: call('mount', text(b'/dev/vda'), text(WORK.encode()), text(b'ext4'), 0, 0))
    t('bind', lambda: call('mount', text(b'/etc'), text(WORK.encode()), 0, 4096, 0))
    t('remount', lambda: call('mount', text(b'none'), text(b'/'), 0, 32 | 4096, 0))
    t('umount', lambda: call('umount2', text(b'/proc'), 2))
    t('umount of a mask', lambda: call('umount2', text(b'/proc/kcore'), 2))
    t('umount of the root', lambda: call('umount2', text(b'/'), 2))


@check('the newer calls that mount', 'as mount')
def _(t):
    t('open_tree', lambda: call(428, -100, text(b'/'), 1))
    t('move_mount', lambda: call(429, -100, text(WORK.encode()), -100, text(b'/tmp'), 0))
    t('fsopen', lambda: call(430, text(b'tmpfs'), 0))
    t('fsconfig', lambda: call(431, 0, 6, 0, 0, 0))
    t('fsmount', lambda: call(432, 0, 0, 0))
    t('fspick', lambda: call(433, -100, text(b'/'), 0))
    t('mount_setattr', lambda: call(442, -100, text(b'/'), 0, text(bytes(32)), 32))
    t('open_tree_attr', lambda: call(467, -100, text(b'/'), 1, 0, 0))


@check('pivot_root and chroot', 'code can leave its root, or fool programs with the setuid bit')
def _(t):
    t('pivot_root', lambda: call('pivot_root', text(WORK.encode()), text(WORK.encode())))
    t('chroot', lambda: os.chroot(WORK))


class Sibling:
    """Another process of the sandbox, of the same user."""
    def __enter__(self):
        self.process = subprocess.Popen(['sleep', '600'])
        return self.process.pid

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


@check('ptrace of the supervisor and of siblings', 'code can take over the process that guards it')
def _(t):
    with Sibling() as sibling:
        for name, pid in (('one', 1), ('a sibling', sibling)):
            t('attach to ' + name, lambda: call('ptrace', 16, pid, 0, 0))
            t('seize ' + name, lambda: call('ptrace', 0x4206, pid, 0, 0))
    t('to be traced', lambda: must_fail(lambda: call('ptrace', 0, 0, 0, 0)))


@check('memory of other processes', 'code can change the process that guards it')
def _(t):
    buffer = ctypes.create_string_buffer(64)
    iovec = struct.pack('QQ', ctypes.addressof(buffer), 64)
    with Sibling() as sibling:
        for name, pid in (('one', 1), ('a sibling', sibling)):
            t('read of ' + name, lambda: call('process_vm_readv', pid, iovec, 1, iovec, 1, 0))
            t('write of ' + name, lambda: call('process_vm_writev', pid, iovec, 1, iovec, 1, 0))
            t('compare ' + name, lambda: call('kcmp', os.getpid(), pid, 0, 0, 0))
            t('madvise ' + name, lambda: call(440, pid, iovec, 1, 4, 0))
            t('move pages of ' + name, lambda: call('move_pages', pid, 0, 0, 0, 0, 0))
    t('/proc/1/mem', lambda: os.close(os.open('/proc/1/mem', os.O_RDWR)))
    t('/proc/1/mem to read', lambda: os.close(os.open('/proc/1/mem', os.O_RDONLY)),
      'gVisor lets it be opened, and not be read' if GVISOR else None)


@check('descriptors and limits of the supervisor', 'code can take its link, or starve it')
def _(t):
    def descriptor(number):
        fd = os.pidfd_open(1)
        try:
            call(438, fd, number, 0)
        finally:
            os.close(fd)
    for number in range(8):
        t(f'descriptor {number}', lambda: descriptor(number))
    t('limits', lambda: call('prlimit64', 1, 12, struct.pack('QQ', 1, 1), 0))
    t('affinity', lambda: os.sched_setaffinity(1, {0}) or refuse('only slower'))


@check('killing PID 1', 'code can end the process that guards it and go on without')
def _(t):
    if GVISOR:
        # To gVisor it is a process like others, and its end is the sandbox's.
        not_applicable('there it ends the sandbox: a session can end itself')
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP, signal.SIGQUIT):
        try:
            os.kill(1, number)
        except OSError:
            pass
    state = [line for line in open('/proc/1/status') if line.startswith('State')][0].split()[1]
    t.expect(state in 'SR', f'it is in state {state}')
    t.note('it lives')


@check('forged signals to PID 1', 'code ends the process that guards it by a signal that seems to come from outside')
def _(t):
    if GVISOR:
        not_applicable('there its end is the sandbox\'s: a session can end itself')
    SI_QUEUE, SI_TKILL = -1, -6
    pidfd = os.pidfd_open(1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGSEGV, signal.SIGRTMIN):
        # 0, sent by kill from outside the namespace, is what no process may claim of another.
        for code in (0, SI_QUEUE, SI_TKILL, 0x80):
            forged = struct.pack('iiiiII', number, 0, code, 0, 0, 0) + bytes(104)
            for name, arguments in {
                'rt_sigqueueinfo': (1, number, forged), 'rt_tgsigqueueinfo': (1, 1, number, forged),
                'pidfd_send_signal': (pidfd, number, forged, 0),
            }.items():
                try:
                    call(name, *arguments)
                except OSError:
                    pass
    os.close(pidfd)
    time.sleep(0.3)  # longer than PID 1 takes to heed a signal, which would end this cell
    t.expect(open('/proc/1/stat').read().rpartition(')')[2].split()[0] in 'SR', 'it has ended')
    t.note('it lives')


def table(name, means, calls):
    """A check that is a list of calls."""
    @check(name, means)
    def _(t):
        for name, arguments in calls().items():
            t(name, lambda: call(*arguments))


table('kernel keyrings', "code can read keys that are not the sandbox's, as all users' are in one place (CVE-2016-0728)", lambda: {
    'add_key': ('add_key', text(b'user'), text(b'k'), text(b'v'), 1, -3),
    'request_key': ('request_key', text(b'user'), text(b'k'), 0, -3),
    'keyctl session': ('keyctl', 0, -3, 1, 0, 0), 'keyctl read': ('keyctl', 11, -4, 0, 0, 0),
})
table('bpf', 'code runs in the kernel; a bug of the verifier is a way out', lambda: {
    'map': ('bpf', 0, struct.pack('5I', 2, 4, 4, 1, 0) + bytes(52), 72), 'program': ('bpf', 5, bytes(72), 72),
})
table('perf_event_open', 'code can watch the machine, and reach much kernel code', lambda: {
    'software': ('perf_event_open', struct.pack('II', 1, 128) + bytes(120), 0, -1, -1, 0),
    'whole machine': ('perf_event_open', struct.pack('II', 0, 128) + bytes(120), -1, 0, -1, 0),
})
table('io_uring', 'code reaches the part of the kernel with the most escapes of late, past the filter', lambda: {
    'setup': (425, 8, bytes(120)), 'enter': (426, 0, 0, 0, 0, 0, 0), 'register': (427, 0, 0, 0, 0),
})
table('asynchronous I/O', "code takes all contexts that the machine has (fs.aio-max-nr), and no database outside starts", lambda: {
    'io_setup': ('io_setup', 1, ctypes.create_string_buffer(8)), 'io_destroy': ('io_destroy', 0),
    'io_submit': ('io_submit', 0, 0, 0), 'io_cancel': ('io_cancel', 0, 0, 0),
    'io_getevents': ('io_getevents', 0, 0, 0, 0, 0), 'io_pgetevents': ('io_pgetevents', 0, 0, 0, 0, 0, 0),
})
table('userfaultfd', 'races in the kernel become easy to win', lambda: {
    'full': ('userfaultfd', 0), 'of user mode': ('userfaultfd', 1),
})
table('another kernel, or modules', 'code becomes the kernel', lambda: {
    'kexec_load': ('kexec_load', 0, 0, 0, 0), 'kexec_file_load': ('kexec_file_load', 0, 0, 0, 0, 0),
    'init_module': ('init_module', 0, 0, text(b'')), 'finit_module': ('finit_module', 0, text(b''), 0),
    'delete_module': ('delete_module', text(b'x'), 0), 'create_module': ('create_module', 0, 0),
})
table('files by handle', 'code opens any file of the disk below it (the escape called Shocker)', lambda: {
    'open_by_handle_at': ('open_by_handle_at', -100, struct.pack('II', 8, 1) + struct.pack('Q', 2) + bytes(128), 0),
    'name_to_handle_at': ('name_to_handle_at', -100, text(b'/'), struct.pack('II', 128, 0) + bytes(128), bytes(8), 0),
})
table('personality', 'without address randomisation, or with a zero page, bugs are easier to use', lambda: {
    'no randomisation': ('personality', 0x0040000), 'zero page': ('personality', 0x0100000),
    'read implies exec': ('personality', 0x0400000), 'short addresses': ('personality', 0x8000000),
})
table('quotas, accounting, swap', "code changes the machine's storage", lambda: {
    'quotactl': ('quotactl', 0, 0, 0, 0), 'quotactl_fd': (443, -1, 0, 0, 0), 'acct': ('acct', 0),
    'swapon': ('swapon', text(WORK.encode()), 0), 'swapoff': ('swapoff', text(WORK.encode())),
})
table('reboot and the console', 'code stops the machine', lambda: {
    'reboot': ('reboot', 0xfee1dead, 672274793, 0, 0), 'vhangup': ('vhangup',),
})
table('the clock', "code changes the machine's time, which certificates and logs rest on", lambda: {
    'settimeofday': ('settimeofday', bytes(16), 0), 'clock_settime': ('clock_settime', 0, bytes(16)),
    'adjtimex': ('adjtimex', struct.pack('I', 1) + bytes(204)), 'clock_adjtime': ('clock_adjtime', 0, struct.pack('I', 1) + bytes(204)),
})
table('renaming the machine', 'others meet it under a name that code chose', lambda: {
    'sethostname': ('sethostname', text(b'x'), 1), 'setdomainname': ('setdomainname', text(b'x'), 1),
})
table('ports and segments of the processor', 'code talks to the hardware, or uses rarely used paths into the kernel', lambda: {
    'iopl': ('iopl', 3), 'ioperm': ('ioperm', 0, 1, 1), 'modify_ldt': ('modify_ldt', 0, bytes(16), 16),
})
table('fanotify and the log', 'code watches files and messages of the whole machine', lambda: {
    'fanotify_init': ('fanotify_init', 0, 0), 'syslog': ('syslog', 3, bytes(8), 8), 'lookup_dcookie': ('lookup_dcookie', 0, 0, 0),
})
table('placing memory', "code moves other processes' memory, by calls full of old bugs", lambda: {
    'mbind': ('mbind', 0, 0, 0, 0, 0, 0), 'set_mempolicy': ('set_mempolicy', 0, 0, 0),
    'migrate_pages': ('migrate_pages', 0, 0, 0, 0), 'memfd_secret': (447, 0), 'vmsplice': ('vmsplice', -1, 0, 0, 0),
    'process_mrelease': (448, -1, 0),
})
table('calls of the past and of the future', 'what nobody needs, or nobody has judged, works', lambda: {
    'uselib': ('uselib', text(b'/x')), 'sysfs': ('sysfs', 3), 'ustat': ('ustat', 0, bytes(64)), 'nfsservctl': ('nfsservctl', 0, 0, 0),
    'listmount': (458, bytes(24), 0, 0, 0), 'statmount': (457, bytes(24), 0, 0, 0), 'lsm_get_self_attr': (459, 0, 0, 0, 0),
    'lsm_list_modules': (461, 0, 0, 0), 'cachestat of nothing': (451, -1, 0, 0, 0), 'a number of the future': (600,),
})


@check('calls of another architecture', 'the filter judges 64-bit numbers and calls of 32 bits pass by')
def _(t):
    if platform.machine() != 'x86_64':
        not_applicable('this processor has none')
    t('x32', lambda: must_fail(lambda: call(0x40000000 + 39)))
    code = bytes.fromhex('53b814000000cd805bc3')  # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
    def gate():
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        act = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        if act() < 0:
            refuse('an error')
    t('int 0x80', lambda: must_fail(gate))


@check('typing into terminals', "code types into the terminal of whoever started the gateway (TIOCSTI)")
def _(t):
    import fcntl, termios
    try:
        parent, child = os.openpty()
    except OSError:
        parent = child = os.open('/dev/null', os.O_RDWR)
    t('TIOCSTI', lambda: fcntl.ioctl(child, termios.TIOCSTI, b'x'))
    t('TIOCSTI in 64 bits', lambda: call('ioctl', child, termios.TIOCSTI | 1 << 32, text(b'x')))
    t('TIOCLINUX', lambda: fcntl.ioctl(child, 0x541C, b'\x02'))
    t('a terminal of its own', lambda: os.close(os.open('/dev/tty', os.O_RDWR)))
    t('the console', lambda: os.close(os.open('/dev/console', os.O_RDWR)))
    t('a virtual one', lambda: os.close(os.open('/dev/tty1', os.O_RDWR)))
    os.close(child)


@check('priorities', "code runs before everybody else's")
def _(t):
    # gVisor notes priorities and does nothing about them.
    t('nice', lambda: os.setpriority(os.PRIO_PROCESS, 0, -10), "gVisor notes it, and does nothing about it" if GVISOR else None)
    t('real time', lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10)))


@check('a safer place when memory runs out', 'code lives on and the supervisor, or the machine, dies for it')
def _(t):
    def score(pid):
        return int(open(f'/proc/{pid}/oom_score_adj').read())
    gap = None
    if GVISOR:
        gap = 'gVisor notes it, and does nothing about it'
    elif DOCKER and not FACTS['resource_capability']:
        gap = "this machine's root has no CAP_SYS_RESOURCE, without which an engine cannot fix a score"
    own, supervisor = score('self'), score(1)
    def lower(by):
        write('/proc/self/oom_score_adj', str(own - by).encode(), os.O_WRONLY)
        refuse('not heeded') if score('self') == own else None
    # Its neighbours, sessions too, have the score that it began with.
    t('a score below its neighbours', lambda: must_fail(lambda: lower(1)), gap)
    t("a score of the machine's programs", lambda: must_fail(lambda: lower(own)), gap)
    t('the score of a thread', lambda: write('/proc/thread-self/oom_score_adj', str(own - 1).encode(), os.O_WRONLY), gap)
    t("the supervisor's score", lambda: write('/proc/1/oom_score_adj', b'1000', os.O_WRONLY))
    t.expect(own >= supervisor or GVISOR, f'its score is {own} and that of the supervisor {supervisor}')
    t.expect(own > FACTS['gateway_score'] or own == 1000 or GVISOR, f'its score is {own} and that of the gateway {FACTS["gateway_score"]}')
    t.note(f'its score is {own}, the supervisor has {supervisor}')


@check('a program from memory', 'a program without a file escapes what holds for files')
def _(t):
    fd = os.memfd_create('probe')
    with open(os.path.realpath(sys.executable), 'rb') as file:
        while data := file.read(1 << 20):
            os.write(fd, data)
    code = 'print([l.split()[1] for l in open("/proc/self/status") if l.split(":")[0] in ("CapEff","CapPrm","Seccomp")])'
    answer = subprocess.run([f'/proc/self/fd/{fd}', '-I', '-S', '-c', code], pass_fds=[fd], capture_output=True, text=True, timeout=30)
    os.close(fd)
    if answer.returncode:
        return t.note('it does not run')
    t.expect("'0000000000000000', '0000000000000000', '2'" in answer.stdout, answer.stdout.strip())
    t.note('it runs as confined as its maker')


@check('writing to what may only be read: Dirty Pipe', 'the kernel lets pages of read-only files be changed (CVE-2022-0847)')
def _(t):
    path = WORK + '/probe-read-only'
    write(path, b'a' * 4096)
    os.chmod(path, 0o444)
    fd = os.open(path, os.O_RDONLY)
    out, into = os.pipe()
    for _ in range(16):  # marks every buffer of the pipe as one that may be added to
        os.write(into, bytes(4096))
    for _ in range(16):
        os.read(out, 4096)
    if hasattr(os, 'splice'):
        os.splice(fd, into, 1, offset_src=0)
    else:
        libc.splice(fd, ctypes.byref(ctypes.c_longlong(0)), into, None, ctypes.c_size_t(1), 0)
    os.write(into, b'changed')
    t.expect(open(path, 'rb').read() == b'a' * 4096, 'a read-only file was changed')
    for each in (fd, out, into):
        os.close(each)
    os.unlink(path)


@check('writing to what may only be read: Dirty COW', 'the kernel lets pages of read-only files be changed (CVE-2016-5195)')
def _(t):
    path = WORK + '/probe-read-only'
    write(path, b'a' * 4096)
    os.chmod(path, 0o444)
    fd = os.open(path, os.O_RDONLY)
    page = mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, ctypes.c_size_t(4096), 1, 2, fd, ctypes.c_long(0))
    until = time.monotonic() + 0.3

    def forget():
        while time.monotonic() < until:
            libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(4096), 4)
    thread = threading.Thread(target=forget)
    thread.start()
    try:
        memory = os.open('/proc/self/mem', os.O_RDWR)
        while time.monotonic() < until:
            try:
                os.pwrite(memory, b'changed', address)
            except OSError:
                break
        os.close(memory)
    except OSError:
        pass
    thread.join()
    t.expect(open(path, 'rb').read() == b'a' * 4096, 'a read-only file was changed')
    page.close()
    os.close(fd)
    os.unlink(path)
