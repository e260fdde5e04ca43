//! Other sessions and other processes of the machine: not seen, not heard, not hurt.

use crate::common::suite::{Stage, cases};
use crate::probe::probe;

cases![
    other_processes_are_not_seen,
    other_sessions_files_and_memory_are_not_seen,
    killing_everything_kills_only_itself,
    what_was_daemonised_does_not_outlive_a_restart,
];

async fn other_processes_are_not_seen(stage: &Stage) {
    let mut other = stage.session().await;
    other.print("import subprocess\nchild = subprocess.Popen(['sleep', '31337'])").await;
    let mut client = stage.session().await;
    let code = r#"
lines = {}
for pid in os.listdir('/proc'):
    if pid.isdigit():
        try: lines[int(pid)] = open(f'/proc/{pid}/cmdline', 'rb').read().replace(b'\0', b' ').decode(errors='replace')
        except OSError: pass
found['strange'] = repr([line for line in lines.values() if '31337' in line or 'cellgate serve' in line])
found['count'] = len(lines)
found['ours'] = os.getpid() in lines and 1 in lines
# Beyond what is listed: every number this machine may have given away.
def reachable():
    alive = []
    for pid in range(2, 40000):
        if pid in lines: continue
        try: os.kill(pid, 0)
        except ProcessLookupError: continue
        except PermissionError: pass
        alive.append(pid)
    return [pid for pid in alive if pid not in {int(t) for p in lines for t in os.listdir(f'/proc/{p}/task')}]
attempt('reachable', reachable)
found['count'] = str(found['count']); found['ours'] = str(found['ours'])
"#;
    let findings = probe(&mut client, code).await;
    assert_eq!(findings.of("strange"), "[]");
    assert_eq!(findings.of("ours"), "True");
    assert_eq!(findings.of("reachable"), "[]");
    assert!(findings.of("count").parse::<u32>().unwrap() <= 4, "{findings:?}");
    assert_eq!(other.run("child.poll() is None").await.result(), "True");
    other.end().await;
    client.end().await;
}

async fn other_sessions_files_and_memory_are_not_seen(stage: &Stage) {
    let mut other = stage.session().await;
    let code = r#"
for place in ('/work', '/tmp', '/dev/shm'):
    try: open(place + '/of-the-other', 'w').write('secret')
    except OSError as error: print(place, error)
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
segment = libc.shmget(0x4242, 4096, 0o1666)
queue = libc.msgget(0x4242, 0o1666)
listening = socket.socket(socket.AF_UNIX)
listening.bind(b'\0of-the-other'); listening.listen()
server = socket.create_server(('127.0.0.1', 42424))
"#;
    other.print(code).await;
    let mut client = stage.session().await;
    let code = r#"
for place in ('/work', '/tmp', '/dev/shm'):
    attempt(place, lambda: os.stat(place + '/of-the-other'))
SHMGET, MSGGET = 29, 68
attempt('shared memory', lambda: call(SHMGET, 0x4242, 4096, 0o666))
attempt('message queue', lambda: call(MSGGET, 0x4242, 0o666))
def connect(family, address):
    with socket.socket(family) as s: s.connect(address)
attempt('abstract socket', lambda: connect(socket.AF_UNIX, b'\0of-the-other'))
attempt('loopback', lambda: connect(socket.AF_INET, ('127.0.0.1', 42424)))
"#;
    probe(&mut client, code).await.all_refused(&[]);
    other.end().await;
    client.end().await;
}

async fn killing_everything_kills_only_itself(stage: &Stage) {
    let mut other = stage.session().await;
    other.print("x = 1").await;
    let mut client = stage.session().await;
    let code = "import os, subprocess\nchild = subprocess.Popen(['sleep', '600'])\nos.kill(-1, 9)\n\
                print(child.wait())\nos.kill(os.getpid(), 9)";
    let cell = client.run(code).await;
    assert_eq!(cell.stdout(), "-9\n");
    cell.expect("exited", false);
    client.until("restarted").await;
    assert_eq!(client.run("6 * 7").await.result(), "42");
    assert_eq!(other.run("x").await.result(), "1");
    other.end().await;
    client.end().await;
}

async fn what_was_daemonised_does_not_outlive_a_restart(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
import os, signal, time
if os.fork() == 0:
    os.setsid()
    for number in range(1, 32):
        try: signal.signal(number, signal.SIG_IGN)
        except OSError: pass
    if os.fork() == 0:
        os.execvp('sleep', ['sleep', '27182'])
    os._exit(0)
print('let go')
"#;
    client.print(code).await;
    client.send(serde_json::json!({"type": "restart"})).await;
    client.until("restarted").await;
    let code = "import glob\nprint([p for p in glob.glob('/proc/[0-9]*/cmdline') if b'27182' in open(p, 'rb').read()])";
    assert_eq!(client.print(code).await, "[]\n");
    client.end().await;
}
