//! Privileges: none, and no way to any. System calls that only attacks need are refused.

use crate::common::suite::{Stage, cases};
use crate::probe::probe;

cases![
    there_are_no_privileges,
    privileges_cannot_be_gained,
    namespaces_cannot_be_made_or_entered,
    the_supervisor_cannot_be_touched,
    dangerous_system_calls_are_refused,
    odd_variants_of_system_calls_are_refused,
];

async fn there_are_no_privileges(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
for line in open('/proc/self/status'):
    name, _, value = line.partition(':')
    found[name] = ' '.join(value.split())
PR_GET_NO_NEW_PRIVS = 39
found['NoNewPrivs'] = str(libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))
found['groups'] = repr(sorted(set(os.getgroups()) | {os.getgid(), os.getegid()}))
"#;
    let findings = probe(&mut client, code).await;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        // gVisor tells of no ambient set.
        if set == "CapAmb" && stage.backend.is_gvisor() {
            continue;
        }
        assert_eq!(findings.of(set), "0000000000000000", "{set}");
    }
    assert_eq!(findings.of("NoNewPrivs"), "1");
    assert_eq!(findings.of("Seccomp"), "2");
    assert_eq!(findings.of("Uid"), "1000 1000 1000 1000");
    assert_eq!(findings.of("Gid"), "1000 1000 1000 1000");
    assert_eq!(findings.of("groups"), "[1000]");
    client.end().await;
}

async fn privileges_cannot_be_gained(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
import shutil, subprocess
attempt('setuid', lambda: os.setuid(0))
attempt('setgid', lambda: os.setgid(0))
attempt('setresuid', lambda: os.setresuid(0, 0, 0))
attempt('setgroups', lambda: os.setgroups([0]))
attempt('chown', lambda: (open('/work/own', 'w').close(), os.chown('/work/own', 0, 0)))
def effective(command):
    # Programs with the setuid bit run, but as us: they fail, or say so.
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if 'uid=0' in answer.stdout: return 'root'
    raise OSError(errno.EPERM, '')
for program in ('su', 'sudo', 'pkexec', 'mount', 'newgrp', 'chsh'):
    if shutil.which(program):
        attempt(program, lambda: effective([program, '-c', 'id'] if program != 'sudo' else ['sudo', '-n', 'id']))
def copied():
    shutil.copy(shutil.which('id'), '/work/id')
    os.chmod('/work/id', 0o6755)
    return effective(['/work/id'])
attempt('a setuid file of its own', copied)
PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 28, 47, 38, 22
attempt('securebits', lambda: call(157, PR_SET_SECUREBITS, 0, 0, 0, 0))
attempt('ambient', lambda: call(157, PR_CAP_AMBIENT, 2, 21, 0, 0))
attempt('new privileges again', lambda: call(157, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))
attempt('no seccomp', lambda: call(157, PR_SET_SECCOMP, 0, 0, 0, 0))
import resource
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
def higher():
    try: resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1] + 1,) * 2)
    except ValueError: raise OSError(errno.EPERM, '')
attempt('a higher limit', higher)
attempt('a better priority', lambda: os.setpriority(os.PRIO_PROCESS, 0, -10))
attempt('real time', lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10)))
"#;
    // gVisor notes priorities and does nothing about them.
    let except = if stage.backend.is_gvisor() { &["a better priority"][..] } else { &[] };
    probe(&mut client, code).await.all_refused(except);
    client.end().await;
}

async fn namespaces_cannot_be_made_or_entered(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
UNSHARE, SETNS, CLONE, CLONE3 = 272, 308, 56, 435
flags = {'user': 0x10000000, 'mount': 0x20000, 'pid': 0x20000000, 'net': 0x40000000, 'ipc': 0x8000000,
         'uts': 0x4000000, 'cgroup': 0x2000000, 'time': 0x80}
def clone(flag):
    pid = libc.syscall(ctypes.c_long(CLONE), ctypes.c_long(flag | 17), 0, 0, 0, 0)
    if pid == 0: os._exit(0)
    if pid < 0: raise OSError(ctypes.get_errno(), '')
    os.waitpid(pid, 0)
    return 'allowed'
def clone3(flag):
    arguments = struct.pack('11Q', flag, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
    pid = libc.syscall(ctypes.c_long(CLONE3), arguments, ctypes.c_long(len(arguments)))
    if pid == 0: os._exit(0)
    if pid < 0: raise OSError(ctypes.get_errno(), '')
    os.waitpid(pid, 0)
    return 'allowed'
for name, flag in flags.items():
    attempt('unshare ' + name, lambda: call(UNSHARE, flag))
    if name != 'time':  # the bit means something else in clone
        attempt('clone ' + name, lambda: clone(flag))
    attempt('clone3 ' + name, lambda: clone3(flag))
for name in os.listdir('/proc/self/ns'):
    def enter():
        fd = os.open('/proc/self/ns/' + name, os.O_RDONLY)
        try: return call(SETNS, fd, 0)
        finally: os.close(fd)
    attempt('enter ' + name, enter)
text = lambda s: ctypes.c_char_p(s)
attempt('mount tmpfs', lambda: call(165, text(b'none'), text(b'/work'), text(b'tmpfs'), 0, 0))
attempt('mount proc', lambda: call(165, text(b'none'), text(b'/work'), text(b'proc'), 0, 0))
attempt('bind', lambda: call(165, text(b'/etc'), text(b'/work'), 0, 4096, 0))
attempt('remount', lambda: call(165, text(b'none'), text(b'/'), 0, 32 | 4096, 0))
attempt('umount', lambda: call(166, text(b'/proc'), 2))
attempt('pivot_root', lambda: call(155, text(b'/work'), text(b'/work')))
attempt('chroot', lambda: os.chroot('/work'))
attempt('open_tree', lambda: call(428, -100, text(b'/'), 1))
attempt('move_mount', lambda: call(429, -100, text(b'/work'), -100, text(b'/tmp'), 0))
attempt('fsopen', lambda: call(430, text(b'tmpfs'), 0))
attempt('fsmount', lambda: call(432, 0, 0, 0))
attempt('fspick', lambda: call(433, -100, text(b'/'), 0))
attempt('mount_setattr', lambda: call(442, -100, text(b'/'), 0, text(bytes(32)), 32))
"#;
    probe(&mut client, code).await.all_refused(&[]);
    client.end().await;
}

async fn the_supervisor_cannot_be_touched(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
import signal, subprocess
sibling = subprocess.Popen(['sleep', '600'])
buffer = ctypes.create_string_buffer(64)
iovec = struct.pack('QQ', ctypes.addressof(buffer), 64)
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
for name, pid in (('one', 1), ('a sibling', sibling.pid)):
    attempt('attach to ' + name, lambda: call(101, PTRACE_ATTACH, pid, 0, 0))
    attempt('seize ' + name, lambda: call(101, PTRACE_SEIZE, pid, 0, 0))
    attempt('read memory of ' + name, lambda: call(310, pid, iovec, 1, iovec, 1, 0))
    attempt('write memory of ' + name, lambda: call(311, pid, iovec, 1, iovec, 1, 0))
    attempt('compare ' + name, lambda: call(312, os.getpid(), pid, 0, 0, 0))
def descriptor():
    fd = os.pidfd_open(1)
    try: return call(438, fd, 0, 0)
    finally: os.close(fd)
attempt('take a descriptor of one', descriptor)
attempt('limits of one', lambda: call(302, 1, 7, struct.pack('QQ', 1, 1), 0))
attempt('move pages of one', lambda: call(279, 1, 0, 0, 0, 0, 0))
# Linux lets no signal to PID 1 of a namespace through from inside that it has no handler for. To
# gVisor it is a process like others: there, code can end its own sandbox.
for number in () if GVISOR else (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP):
    try: os.kill(1, number)
    except OSError: pass
# Nor does it matter how slow it makes its own supervisor.
try: os.setpriority(os.PRIO_PROCESS, 1, 19)
except OSError: pass
sibling.kill()
sibling.wait();
"#;
    let code = code.replace("GVISOR", if stage.backend.is_gvisor() { "True" } else { "False" });
    probe(&mut client, &code).await.all_refused(&[]);
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
}

async fn dangerous_system_calls_are_refused(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
text = lambda s: ctypes.c_char_p(s)
calls = {
    'io_uring_setup': (425, 8, bytes(120)), 'io_uring_enter': (426, 0, 0, 0, 0, 0, 0),
    'bpf': (321, 0, bytes(72), 72), 'add_key': (248, text(b'user'), text(b'k'), text(b'v'), 1, -3),
    'request_key': (249, text(b'user'), text(b'k'), 0, -3), 'keyctl': (250, 0, -3, 1, 0, 0),
    'perf_event_open': (298, struct.pack('II', 1, 128) + bytes(120), 0, -1, -1, 0),
    'userfaultfd': (323, 0), 'userfaultfd of user mode': (323, 1), 'kexec_load': (246, 0, 0, 0, 0),
    'kexec_file_load': (320, 0, 0, 0, 0, 0), 'init_module': (175, 0, 0, text(b'')),
    'finit_module': (313, 0, text(b''), 0), 'delete_module': (176, text(b'x'), 0),
    'open_by_handle_at': (304, -100, bytes(16), 0), 'name_to_handle_at': (303, -100, text(b'/'), bytes(136), bytes(8), 0),
    'acct': (163, 0), 'swapon': (167, text(b'/work'), 0), 'swapoff': (168, text(b'/work')),
    'reboot': (169, 0xfee1dead, 672274793, 0, 0), 'sethostname': (170, text(b'x'), 1),
    'setdomainname': (171, text(b'x'), 1), 'iopl': (172, 3), 'ioperm': (173, 0, 1, 1),
    'settimeofday': (164, bytes(16), 0), 'clock_settime': (227, 0, bytes(16)), 'adjtimex': (159, struct.pack('I', 1) + bytes(204)),
    'clock_adjtime': (305, 0, struct.pack('I', 1) + bytes(204)),
    'syslog': (103, 3, bytes(8), 8), 'vhangup': (153,), 'quotactl': (179, 0, 0, 0, 0), 'lookup_dcookie': (212, 0, 0, 0),
    'mbind': (237, 0, 0, 0, 0, 0, 0), 'set_mempolicy': (238, 0, 0, 0), 'migrate_pages': (256, 0, 0, 0, 0),
    'fanotify_init': (300, 0, 0), 'uselib': (134, text(b'/x')), 'sysfs': (139, 3), 'ustat': (136, 0, bytes(64)),
    'modify_ldt': (154, 0, bytes(16), 16), 'memfd_secret': (447, 0), 'process_madvise': (440, -1, 0, 0, 0, 0),
    'quotactl_fd': (443, -1, 0, 0, 0), 'cachestat of nothing': (451, -1, 0, 0, 0),
    'listmount': (458, bytes(24), 0, 0, 0), 'statmount': (457, bytes(24), 0, 0, 0),
    'lsm_get_self_attr': (459, 0, 0, 0, 0), 'a call of the future': (600,),
    'vmsplice into nothing': (278, -1, 0, 0, 0), 'nfsservctl': (180, 0, 0, 0), 'create_module': (174, 0, 0),
}
for name, (number, *arguments) in calls.items():
    attempt(name, lambda: call(number, *arguments))
# Calls in the style of x32 are refused or end whoever makes them.
def x32():
    pid = os.fork()
    if pid == 0:
        try: call(0x40000000 + 39)
        except OSError: os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1] != 0: raise OSError(errno.ENOSYS, '')
    return 'allowed'
attempt('x32', x32)
"#;
    let findings = probe(&mut client, code).await;
    findings.all_refused(&[]);
    client.end().await;
}

async fn odd_variants_of_system_calls_are_refused(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
# Without address randomisation, or with a zero page, bugs are easier to use.
for name, persona in (('no randomisation', 0x0040000), ('zero page', 0x0100000), ('read implies exec', 0x0400000)):
    attempt(name, lambda: call(135, persona))
text = lambda s: ctypes.c_char_p(s)
try: parent, child = os.openpty()
except OSError: child = os.open('/dev/null', os.O_RDWR)
import fcntl, termios
attempt('tiocsti', lambda: fcntl.ioctl(child, termios.TIOCSTI, b'x'))
attempt('tiocsti in 64 bits', lambda: call(16, child, termios.TIOCSTI | 1 << 32, text(b'x')))
attempt('tioclinux', lambda: fcntl.ioctl(child, 0x541C, b'\x02'))
attempt('a thread in a user namespace', lambda: call(56, 0x10000000 | 0x10000, 0, 0, 0, 0))
"#;
    probe(&mut client, code).await.all_refused(&[]);
    client.end().await;
}
