# What every area of the probe begins with. FACTS, what is known from outside, is put before it.
#
# A check gets a `Tries` and tells it everything it tries. It holds if the kernel refused every try.
# Each check is told in a line of its own the moment it ends, so that one which ends the
# interpreter is known by the line that is missing.
import ctypes, errno, json, os, platform, socket, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
GVISOR, DOCKER = FACTS['gvisor'], FACTS['backend'] == 'docker'
LIMITS, WORK = FACTS['limits'], FACTS['work']
checks = []


def check(name, means, needs=None, ends=()):
    """A check; `means` says what it would mean if it failed. `needs` names the protection that has
    to be in force for it, `ends` the ways in which the cell may end instead."""
    def add(run):
        checks.append((name, means, needs, ends, run))
        return run
    return add


class NotApplicable(Exception):
    pass


def not_applicable(why):
    """Ends a check: there is nothing here that it could try."""
    raise NotApplicable(why)


class Tries:
    def __init__(self):
        self.refused, self.allowed, self.gaps, self.broken, self.notes = {}, [], [], [], []

    def __call__(self, what, act, gap=None):
        """Tries something that has to be refused. `gap`: why it cannot be refused here."""
        try:
            answer = act()
        except OSError as error:
            name = errno.errorcode.get(error.errno, str(error)[:40] or type(error).__name__)
            self.refused[name] = self.refused.get(name, 0) + 1
        except NotApplicable:
            raise
        except Exception as error:
            self.broken.append(f'{what}: {type(error).__name__}: {error}')
        else:
            self.expect(False, what if answer in (None, 'allowed') else f'{what}: {answer}', gap)

    def expect(self, holds, what, gap=None):
        """Something that has to be so; `what` says what is wrong."""
        if not holds:
            (self.allowed if gap is None else self.gaps).append(what if gap is None else f'{gap} ({what})')

    def note(self, text):
        self.notes.append(text)

    def verdict(self):
        short = lambda texts: '; '.join(str(text)[:160] for text in texts[:4]) + (f'; and {len(texts) - 4} more' if len(texts) > 4 else '')
        if self.broken:
            return 'broken', short(self.broken)
        if self.allowed:
            return 'open', short(self.allowed)
        if self.gaps:
            return 'unclaimed', short(self.gaps)
        counted = [name if count == 1 else f'{name} ×{count}' for name, count in sorted(self.refused.items())]
        return 'held', ', '.join(self.notes + counted)


def say(**line):
    print('\x1fprobe ' + json.dumps(line), flush=True)


def run_all(been):
    for name, means, needs, ends, run in checks:
        if name not in been:
            say(begin=name, means=means, needs=needs, ends=ends)
            if FACTS['apart']:
                in_child(lambda: carry_out(name, run))
            else:
                carry_out(name, run)
    say(complete=True)


def carry_out(name, run):
    tries = Tries()
    try:
        run(tries)
        verdict, detail = tries.verdict()
    except NotApplicable as why:
        verdict, detail = 'not_applicable', str(why)
    except Exception as error:
        tries.broken.append(f'{type(error).__name__}: {error}')
        verdict, detail = tries.verdict()
    say(end=name, verdict=verdict, detail=detail)


# Numbers of system calls: x86-64, then 64-bit ARM; those from 424 on are the same everywhere.
NUMBERS = {
    'acct': (163, 89), 'add_key': (248, 217), 'adjtimex': (159, 171), 'bpf': (321, 280), 'chroot': (161, 51),
    'clock_adjtime': (305, 266), 'clock_settime': (227, 112), 'clone': (56, 220), 'create_module': (174, None),
    'delete_module': (176, 106), 'fanotify_init': (300, 262), 'finit_module': (313, 273), 'init_module': (175, 105),
    'io_cancel': (210, 3), 'io_destroy': (207, 1), 'io_getevents': (208, 4), 'io_pgetevents': (333, 292), 'io_setup': (206, 0),
    'io_submit': (209, 2), 'ioctl': (16, 29), 'iopl': (172, None), 'ioperm': (173, None), 'kcmp': (312, 272), 'kexec_file_load': (320, 294),
    'kexec_load': (246, 104), 'keyctl': (250, 219), 'lookup_dcookie': (212, 18), 'mbind': (237, 235),
    'memfd_create': (319, 279), 'migrate_pages': (256, 238), 'mlock': (149, 228), 'modify_ldt': (154, None),
    'mount': (165, 40), 'move_pages': (279, 239), 'msgget': (68, 186), 'msgsnd': (69, 189),
    'name_to_handle_at': (303, 264), 'nfsservctl': (180, 42), 'open_by_handle_at': (304, 265),
    'perf_event_open': (298, 241), 'personality': (135, 92), 'pivot_root': (155, 41), 'prctl': (157, 167),
    'pidfd_send_signal': (424, 424), 'prlimit64': (302, 261), 'process_vm_readv': (310, 270), 'process_vm_writev': (311, 271), 'ptrace': (101, 117),
    'quotactl': (179, 60), 'reboot': (169, 142), 'request_key': (249, 218), 'setdomainname': (171, 162),
    'sethostname': (170, 161), 'setns': (308, 268), 'set_mempolicy': (238, 237), 'settimeofday': (164, 170),
    'rt_sigqueueinfo': (129, 138), 'rt_tgsigqueueinfo': (297, 240), 'shmat': (30, 196), 'shmget': (29, 194), 'swapoff': (168, 225), 'swapon': (167, 224), 'sysfs': (139, None),
    'syslog': (103, 116), 'umount2': (166, 39), 'unshare': (272, 97), 'uselib': (134, None), 'userfaultfd': (323, 282),
    'ustat': (136, None), 'vhangup': (153, 58), 'vmsplice': (278, 75),
}


def call(name, *arguments):
    """Makes a system call, by its name or its number."""
    number = name
    if isinstance(name, str):
        number = NUMBERS[name][0 if platform.machine() == 'x86_64' else 1]
        if number is None:
            raise OSError(errno.ENOSYS, 'not on this architecture')
    ctypes.set_errno(0)
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    answer = libc.syscall(ctypes.c_long(number), *converted)
    if answer == -1:
        raise OSError(ctypes.get_errno(), '')
    return 'allowed'


def text(bytes_):
    return ctypes.c_char_p(bytes_)


def refuse(reason):
    raise OSError(errno.EPERM, reason)


def write(path, data=b'x', flags=os.O_WRONLY | os.O_CREAT):
    fd = os.open(path, flags)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def read(path, size=256):
    with open(path, 'rb') as file:
        data = file.read(size)
    if not data.strip(b'\0'):
        raise OSError(errno.ENODATA, 'empty')
    return repr(data[:24])


def listed(path):
    names = os.listdir(path)
    if not names:
        raise OSError(errno.ENOENT, 'nothing in it')
    return ' '.join(names[:3])


def outside_names(text):
    """A text without the names that the driver's files have in every container."""
    return text.replace('/run/cellgate-driver', '').replace('/run/cellgate/link.sock', '')


def in_child(act):
    """Does something in a child; answers its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except OSError:
            os._exit(1)
        except BaseException:
            os._exit(2)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def must_fail(act):
    """Does something in a child that the kernel may kill for it."""
    status = in_child(act)
    if status != 0:
        raise OSError(errno.ENOSYS if os.WIFSIGNALED(status) else errno.EPERM, '')
