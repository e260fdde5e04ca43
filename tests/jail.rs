//! Real sandboxes of the local backend, looked at from inside and from outside.
//!
//! Everything here runs once as the user who runs the tests, and, if that is root, once more as an
//! ordinary user: the last test starts this program again under another user id. What a machine
//! cannot do is printed as skipped; with CELLGATE_REQUIRE=all it fails instead.
#![allow(clippy::unwrap_used)] // a panic is how a test, and what helps it, says no

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cellgate::sandbox::local::{LocalBackend, LocalConfig};
use cellgate::sandbox::{Backend, EndCause, EnforcementState, Protection};
use cellgate::template::{Limits, Template};

#[path = "jail/client.rs"]
mod client;

use endings::{cgroups_named, eventually};

use client::{open, open_with, template};

/// Longest wait for anything in these tests; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The guarantee: how long anything of a dead gateway may stay.
const GONE_WITHIN: Duration = Duration::from_secs(10);

async fn backend() -> Option<(Arc<LocalBackend>, tempfile::TempDir)> {
    let dir = tempfile::tempdir().unwrap();
    let config = LocalConfig { runtime_dir: dir.path().join("run") };
    let backend = LocalBackend::new(config).await.unwrap();
    match backend.check().await {
        Ok(()) => Some((Arc::new(backend), dir)),
        Err(error) => {
            skip(&error.to_string());
            None
        }
    }
}

/// Says that something was not tested, or fails if everything has to be.
fn skip(why: &str) {
    let required = std::env::var("CELLGATE_REQUIRE").is_ok_and(|value| value == "all");
    assert!(!required, "required, but: {why}");
    eprintln!("skipped: {why}");
}

fn is_full(backend: &LocalBackend, protection: Protection) -> bool {
    let state = backend.protection(protection).expect("a protection of this backend");
    matches!(state, EnforcementState::Full(_))
}

/// Tries system calls directly; each answers the name of its error, or `ok`.
const CALLS: &str = r#"
import ctypes, errno, json, os
libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {'x86_64': 0, 'aarch64': 1}[os.uname().machine]
def call(numbers, *args):
    ctypes.set_errno(0)
    result = libc.syscall(numbers[NUMBERS], *args)
    return 'ok' if result >= 0 else errno.errorcode[ctypes.get_errno()]
"#;

#[tokio::test]
async fn system_calls_that_open_doors_are_refused() {
    let Some((backend, _dir)) = backend().await else { return };
    let mut client = open(&backend).await;
    let code = format!(
        "{CALLS}
answers = {{
    'ptrace': call((101, 117), 0, 0, 0, 0),
    'process_vm_readv': call((310, 270), 1, 0, 0, 0, 0, 0),
    'unshare user': call((272, 97), 0x10000000),
    'setns': call((308, 268), 0, 0),
    'clone user': call((56, 220), 0x10000000 | 17, 0, 0, 0, 0),
    'mount': call((165, 40), 0, 0, 0, 0, 0),
    'umount': call((166, 39), b'/work', 2),
    'pivot_root': call((155, 41), b'/', b'/'),
    'chroot': call((161, 51), b'/'),
    'open_tree': call((428, 428), -100, b'/', 1),
    'fsopen': call((430, 430), b'tmpfs', 0),
    'bpf': call((321, 280), 0, 0, 0),
    'keyctl': call((250, 219), 0, 0, 0, 0, 0),
    'add_key': call((248, 217), b'user', b'x', b'y', 1, -3),
    'io_uring_setup': call((425, 425), 1, 0),
    'userfaultfd': call((323, 282), 0),
    'perf_event_open': call((298, 241), 0, 0, 0, 0, 0),
    'init_module': call((175, 105), 0, 0, b''),
    'open_by_handle_at': call((304, 265), 0, 0, 0),
    'sethostname': call((170, 161), b'x', 1),
    'clone3': call((435, 435), 0, 0),
    'unknown': call((999, 999)),
}}
print(json.dumps(answers))"
    );
    let answers = client.json(&code).await;
    for (call, answer) in answers.as_object().unwrap() {
        let expected =
            if matches!(call.as_str(), "clone3" | "unknown") { "ENOSYS" } else { "EPERM" };
        assert_eq!(answer, expected, "{call}");
    }
    client.end().await;
}

#[tokio::test]
async fn no_privilege_is_left_and_none_can_be_gained() {
    let Some((backend, _dir)) = backend().await else { return };
    let mut client = open(&backend).await;
    let code = r#"
import json, os, subprocess
status = dict(line.split(':\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\t' in line)
setuid = [p for p in ('/usr/bin/su', '/bin/su', '/usr/bin/mount', '/usr/bin/passwd') if os.path.exists(p)]
mounts = {line.split()[1]: line.split()[3].split(',') for line in open('/proc/self/mounts')}
own = subprocess.run(['cp', '/usr/bin/id', '/work/id'])
os.chmod('/work/id', 0o4755)
print(json.dumps({
    'caps': [status[name] for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')],
    'no_new_privs': status['NoNewPrivs'], 'seccomp': status['Seccomp'],
    'uid': os.getresuid(), 'gid': os.getresgid(), 'user': os.popen('id -un').read().strip(),
    'setuid': subprocess.run(['/work/id', '-u'], capture_output=True, text=True).stdout.strip(),
    'suid programs': [subprocess.run([p, '-c', 'id -u'] if p.endswith('su') else [p],
        stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout for p in setuid],
    'nosuid': [m for m, options in mounts.items() if 'nosuid' not in options],
    'maps': [open('/proc/self/uid_map').read().split(), open('/proc/self/gid_map').read().split()],
    'groups': os.getgroups(),
}))"#;
    let found = client.json(code).await;
    for set in found["caps"].as_array().unwrap() {
        assert_eq!(u64::from_str_radix(set.as_str().unwrap(), 16), Ok(0), "{found}");
    }
    assert_eq!(found["no_new_privs"], "1");
    assert_eq!(found["seccomp"], "2");
    assert_eq!(found["uid"], serde_json::json!([1000, 1000, 1000]));
    assert_eq!(found["gid"], serde_json::json!([1000, 1000, 1000]));
    assert_eq!(found["user"], "sandbox");
    assert_eq!(found["setuid"], "1000");
    for output in found["suid programs"].as_array().unwrap() {
        assert_ne!(output.as_str().unwrap().trim(), "0");
    }
    assert_eq!(found["nosuid"], serde_json::json!([]), "every mount is nosuid");
    let outside: u32 = found["maps"][0][1].as_str().unwrap().parse().unwrap();
    assert_ne!(outside, 0, "nobody inside is root outside");
    assert_eq!(found["maps"][0][2], "1", "and there is one user only");
    if is_full(&backend, Protection::OwnUser) {
        assert!(outside >= 1_900_000_000, "{outside}");
        assert_eq!(found["groups"], serde_json::json!([]));
    }
    client.end().await;
}

#[tokio::test]
async fn no_process_of_a_sandbox_makes_itself_outlive_others_when_memory_runs_out() {
    let Some((backend, _dir)) = backend().await else { return };
    let mut client = open(&backend).await;
    let code = r#"
import json, os
def score(pid): return int(open(f'/proc/{pid}/oom_score_adj').read())
def write(path, value):
    try:
        with open(path, 'w') as file: file.write(str(value))
        return 'written'
    except OSError as error:
        return error.strerror
first = score('self')
tries = {path: write(path, 0) for path in ('/proc/self/oom_score_adj', '/proc/thread-self/oom_score_adj', '/proc/self/oom_adj', '/proc/1/oom_score_adj')}
ours, theirs = os.pipe()
if os.fork() == 0:
    write('/proc/self/oom_score_adj', first - 1)
    os.write(theirs, str(score('self')).encode())
    os._exit(0)
print(json.dumps({'supervisor': score(1), 'first': first, 'after': score('self'), 'child': int(os.read(ours, 9)), 'tries': tries}))"#;
    let found = client.json(code).await;
    let gateways: i32 =
        std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    assert_eq!(found["supervisor"], gateways.max(500), "{found}");
    for who in ["first", "after", "child"] {
        assert_eq!(found[who], 1000, "{found}");
    }
    for (path, answer) in found["tries"].as_object().unwrap() {
        assert_ne!(answer, "written", "{path}: {found}");
    }
    client.end().await;
}

#[tokio::test]
async fn the_hosts_private_files_have_no_name_inside() {
    let Some((backend, dir)) = backend().await else { return };
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "x").unwrap();
    let mut client = open(&backend).await;
    let code = format!(
        r#"
import glob, json, os
print(json.dumps({{
    'there': [p for p in ('/root', '/home', '/etc/shadow', '/var', '/run', '/srv', '/mnt', '/media',
        '/boot', '/etc/ssh', '/sys/kernel', '/sys/fs', '/etc/machine-id', {secret:?}) if os.path.lexists(p)],
    'tmp': os.listdir('/tmp'), 'work': os.listdir('/work'), 'shm': os.listdir('/dev/shm'),
    'dev': sorted(os.listdir('/dev')),
    'top': sorted(os.listdir('/')),
    'fds': sorted(int(f) for f in os.listdir('/proc/self/fd')),
    'targets': [os.readlink('/proc/self/fd/' + f) for f in os.listdir('/proc/self/fd') if os.path.lexists('/proc/self/fd/' + f)],
    'processes': len([p for p in os.listdir('/proc') if p.isdigit()]),
    'first': os.path.basename(open('/proc/1/cmdline').read().split(chr(0))[0]),
    'cgroup': sorted({{line.split(':', 2)[2].strip() for line in open('/proc/self/cgroup') if any(c in line.split(':')[1] for c in ('memory', 'pids'))}}),
    'hostname': os.uname().nodename,
    'env': sorted(os.environ),
}}))"#
    );
    let found = client.json(&code).await;
    assert_eq!(found["there"], serde_json::json!([]));
    assert_eq!((&found["work"], &found["shm"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert_eq!(
        found["dev"],
        serde_json::json!([
            "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
            "tty", "urandom", "zero"
        ])
    );
    // What the interpreter holds is its own: no directory, no file of the host.
    for target in found["targets"].as_array().unwrap() {
        let target = target.as_str().unwrap();
        let own = ["/dev/null", "pipe:", "socket:", "/memfd:", "anon_inode:"];
        assert!(own.iter().any(|prefix| target.starts_with(prefix)), "{target}: {found}");
    }
    assert!(found["processes"].as_u64().unwrap() <= 4, "{found}");
    for path in found["cgroup"].as_array().unwrap() {
        assert!(!path.as_str().unwrap().contains("cellgate"), "{found}");
    }
    assert_eq!(found["hostname"], "sandbox");
    client.end().await;
}

#[tokio::test]
async fn the_system_cannot_be_written_and_the_working_places_can() {
    let Some((backend, _dir)) = backend().await else { return };
    let mut client = open(&backend).await;
    let code = r#"
import json, os
def attempt(path):
    try:
        with open(path, 'w') as f: f.write('1')
        return 'written'
    except OSError as error:
        return error.strerror
paths = ['/x', '/usr/x', '/etc/passwd', '/etc/x', '/bin/x', '/dev/x', '/sys/x', '/proc/sys/kernel/hostname',
    '/proc/sys/vm/overcommit_memory', '/proc/sys/net/ipv4/ip_forward', '/proc/sysrq-trigger', '/proc/irq/default_smp_affinity', '/proc/self/comm', '/proc/self/coredump_filter']
def mode(path):
    try:
        os.chmod(path, 0o777); return 'changed'
    except OSError as error:
        return error.strerror
print(json.dumps({
    'refused': {p: attempt(p) for p in paths if os.path.exists(os.path.dirname(p))},
    'modes': {p: mode(p) for p in ('/', '/etc', '/etc/passwd', '/dev', '/dev/null', '/usr')},
    'allowed': {p: attempt(p) for p in ('/work/x', '/tmp/x', '/dev/shm/x', '/dev/null')},
    'kcore': os.path.getsize('/proc/kcore') if os.path.exists('/proc/kcore') else 0,
    'masked': [p for p in ('/proc/keys', '/proc/timer_list', '/proc/kallsyms') if os.path.exists(p) and open(p).read(1)],
    'acpi': os.listdir('/proc/acpi') if os.path.exists('/proc/acpi') else [],
    'exec': os.system('cp /bin/false /work/run && /work/run') >> 8,
}))"#;
    let found = client.json(code).await;
    for (path, answer) in found["refused"].as_object().unwrap() {
        assert_ne!(answer, "written", "{path}");
    }
    for (path, answer) in found["modes"].as_object().unwrap() {
        assert_ne!(answer, "changed", "{path}");
    }
    for (path, answer) in found["allowed"].as_object().unwrap() {
        assert_eq!(answer, "written", "{path}");
    }
    assert_eq!(found["kcore"], 0);
    assert_eq!(found["masked"], serde_json::json!([]));
    assert_eq!(found["acpi"], serde_json::json!([]));
    assert_eq!(found["exec"], 1, "what one compiles can be run");
    client.end().await;
}

#[tokio::test]
async fn there_is_no_network_but_loopback_works() {
    let Some((backend, _dir)) = backend().await else { return };
    let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port();
    let mut client = open(&backend).await;
    let code = format!(
        r#"
import json, socket, threading
def attempt(address, port):
    try:
        socket.create_connection((address, port), 2).close(); return 'connected'
    except OSError as error:
        return error.strerror or str(error)
server = socket.create_server(('127.0.0.1', 0))
def family(number, kind, protocol=0):
    try:
        socket.socket(number, kind, protocol).close(); return 'ok'
    except OSError as error:
        return error.strerror
print(json.dumps({{
    'interfaces': [line.partition(':')[0].strip() for line in open('/proc/net/dev').read().splitlines()[2:]],
    'host': attempt('127.0.0.1', {port}), 'net': attempt('192.0.2.1', 80),
    'own': attempt('127.0.0.1', server.getsockname()[1]),
    'name': socket.gethostbyname('localhost'),
    'packet': family(17, socket.SOCK_RAW), 'vsock': family(40, socket.SOCK_STREAM), 'alg': family(38, 5),
    'raw': family(socket.AF_INET, socket.SOCK_RAW, 1),
}}))"#
    );
    let found = client.json(&code).await;
    assert_eq!(found["interfaces"], serde_json::json!(["lo"]));
    assert_eq!(found["host"], "Connection refused", "the host's loopback is another");
    assert_ne!(found["net"], "connected");
    assert_eq!((&found["own"], &found["name"]), (&"connected".into(), &"127.0.0.1".into()));
    for family in ["packet", "vsock", "alg", "raw"] {
        assert_eq!(found[family], "Operation not supported", "{family}");
    }
    client.end().await;
}

#[tokio::test]
async fn two_sandboxes_do_not_see_each_other() {
    let Some((backend, _dir)) = backend().await else { return };
    let mut one = open(&backend).await;
    let mut two = open(&backend).await;
    let leave = r#"
import os, socket, json
open('/work/secret', 'w').write('mine'); open('/tmp/secret', 'w').write('mine'); open('/dev/shm/secret', 'w').write('mine')
s = socket.socket(socket.AF_UNIX); s.bind('\0cellgate-test')
print(json.dumps({'uid': open('/proc/self/uid_map').read().split()[1], 'pid': os.stat('/proc/self/ns/pid').st_ino}))"#;
    let first = one.json(leave).await;
    let look = r#"
import os, json, socket
found = [p for p in ('/work/secret', '/tmp/secret', '/dev/shm/secret') if os.path.exists(p)]
s = socket.socket(socket.AF_UNIX); s.bind('\0cellgate-test')
print(json.dumps({'found': found, 'uid': open('/proc/self/uid_map').read().split()[1], 'pid': os.stat('/proc/self/ns/pid').st_ino,
    'processes': sorted(open('/proc/%s/comm' % p).read().strip() for p in os.listdir('/proc') if p.isdigit())}))"#;
    let second = two.json(look).await;
    assert_eq!(second["found"], serde_json::json!([]));
    assert_ne!(first["pid"], second["pid"]);
    assert!(second["processes"].as_array().unwrap().len() <= 3, "{second}");
    if is_full(&backend, Protection::OwnUser) {
        assert_ne!(first["uid"], second["uid"]);
    }
    one.end().await;
    two.end().await;
}

#[path = "jail/cost.rs"]
mod cost;
#[path = "jail/death.rs"]
mod death;
#[path = "jail/endings.rs"]
mod endings;
#[path = "jail/interpreters.rs"]
mod interpreters;
#[path = "jail/limits.rs"]
mod limits;

#[path = "jail/again.rs"]
mod again;
