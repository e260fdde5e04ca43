//! What a session may use, spent to the last.

use super::*;

fn small() -> Template {
    let limits = Limits {
        memory_bytes: 96 << 20,
        processes: 20,
        open_files: 64,
        disk_bytes: 8 << 20,
        disk_inodes: 100,
        ..Limits::default()
    };
    Template { limits, ..template() }
}

#[tokio::test]
async fn disk_inodes_files_and_processes_are_limited() {
    let Some((backend, _dir)) = backend().await else { return };
    let mut client = open_with(&backend, small()).await;
    let disk = r#"
import errno, json, os
written = 0
try:
    for place in ('/work', '/tmp', '/dev/shm'):
        with open(place + '/fill', 'wb', buffering=0) as f:
            for _ in range(64): written += f.write(bytes(1 << 20))
except OSError as error:
    full = errno.errorcode[error.errno]
for place in ('/work', '/tmp', '/dev/shm'):
    if os.path.exists(place + '/fill'): os.unlink(place + '/fill')
made = 0
try:
    for n in range(1000):
        open(('/work', '/tmp', '/dev/shm')[n % 3] + f'/{n}', 'w').close(); made += 1
except OSError as error:
    inodes = errno.errorcode[error.errno]
files = []
try:
    for _ in range(1000): files.append(os.open('/dev/null', os.O_RDONLY))
except OSError as error:
    open_files = errno.errorcode[error.errno]
for fd in files: os.close(fd)
print(json.dumps({'written': written, 'full': full, 'made': made, 'inodes': inodes, 'files': len(files), 'open': open_files}))"#;
    let found = client.json(disk).await;
    assert_eq!(found["full"], "ENOSPC");
    let written = found["written"].as_u64().unwrap();
    assert!((4 << 20..=8 << 20).contains(&written), "{found}");
    assert_eq!(found["inodes"], "ENOSPC");
    let made = found["made"].as_u64().unwrap();
    assert!((60..=100).contains(&made), "{found}");
    assert_eq!(found["open"], "EMFILE");
    assert!(found["files"].as_u64().unwrap() < 64);

    let processes = r#"
import errno, json, os, time
children = []
try:
    for _ in range(200):
        child = os.fork()
        if child == 0:
            time.sleep(60); os._exit(0)
        children.append(child)
except OSError as error:
    refused = errno.errorcode[error.errno]
for child in children: os.kill(child, 9)
for child in children: os.waitpid(child, 0)
print(json.dumps({'children': len(children), 'refused': refused}))"#;
    let found = client.json(processes).await;
    assert_eq!(found["refused"], "EAGAIN");
    let children = found["children"].as_u64().unwrap();
    assert!((10..=19).contains(&children), "{found}");
    client.end().await;
}

#[tokio::test]
async fn memory_is_limited() {
    let Some((backend, _dir)) = backend().await else { return };
    let enforced = is_full(&backend, Protection::MemoryLimit);
    let mut client = open_with(&backend, small()).await;
    let run = client.execute("data = bytearray(512 << 20)\nprint('kept', len(data))").await;
    assert!(!run.output.contains("kept"), "{run:?}");
    // Without a cgroup the interpreter gets a MemoryError; with one the kernel kills it.
    assert!(enforced || run.output.contains("MemoryError") || run.signal.is_some(), "{run:?}");
    // Files in memory count too, where it is the kernel that counts.
    if enforced {
        let hidden = "import os\nfd = os.memfd_create('x')\nfor _ in range(512): os.write(fd, bytes(1 << 20))\nprint('kept')";
        let mut second = open_with(&backend, small()).await;
        let run = second.execute(hidden).await;
        assert!(!run.output.contains("kept"), "{run:?}");
        second.end().await;
    } else {
        skip("no memory cgroup here: only the supervisor's watch");
    }
    client.end().await;
}

#[tokio::test]
async fn cpu_time_is_limited() {
    let Some((backend, _dir)) = backend().await else { return };
    if !is_full(&backend, Protection::CpuLimit) {
        return skip("no CPU cgroup here");
    }
    let limits = Limits { cpu_millis: 200, ..Limits::default() };
    let mut client = open_with(&backend, Template { limits, ..template() }).await;
    let code = r#"
import json, time
wall, cpu = time.monotonic(), time.process_time()
while time.monotonic() - wall < 1.5: pass
print(json.dumps((time.process_time() - cpu) / (time.monotonic() - wall)))"#;
    let share = client.json(code).await.as_f64().unwrap();
    assert!(share < 0.35, "{share} of a core, where 0.2 are allowed");
    client.end().await;
}
