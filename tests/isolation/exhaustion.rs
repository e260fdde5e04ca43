//! A session that uses up memory, processes or time is told so, and other sessions go on. The probe
//! checks the limits themselves.

use serde_json::json;

use crate::common::backend::Backend;
use crate::common::client::Client;
use crate::common::suite::{Stage, cases};

cases![
    memory_is_bounded_and_neighbours_live,
    memory_in_files_counts,
    processes_are_bounded,
    a_reader_that_never_reads_costs_the_gateway_little,
    the_hidden_ways_to_use_memory_are_bounded
];

/// A session that has to keep working whatever the session under test does.
async fn neighbour(stage: &Stage) -> Client {
    let mut client = stage.session().await;
    client.print("x = 42").await;
    client
}

async fn lives(mut neighbour: Client) {
    assert_eq!(neighbour.run("x").await.result(), "42");
    neighbour.end().await;
}

async fn memory_is_bounded_and_neighbours_live(stage: &Stage) {
    let neighbour = neighbour(stage).await;
    let mut client = stage.session_of("small").await;
    // In children that the cell does not wait for, so that the runner itself allocates nothing.
    let code = r#"
import os, time
for _ in range(6):
    if os.fork() == 0:
        blocks = []
        while True: blocks.append(bytearray(b'x') * (1 << 20))
used = 0
for _ in range(400):
    try: used = max(used, sum(int(open(f'/proc/{p}/statm').read().split()[1]) * 4096 for p in os.listdir('/proc') if p.isdigit()))
    except (OSError, IndexError): pass
    time.sleep(0.005)
print(used >> 20)
"#;
    let cell = client.run(code).await;
    if cell.status() == "ok" {
        // Shared pages count for each, hence the room above 160 MiB; IPython has 50 MiB of them.
        let used: u64 = cell.stdout().trim().parse().unwrap();
        let most = if stage.backend.shell() == "ipython" { 700 } else { 400 };
        assert!(used < most, "{used} MiB of 160 were in use");
    } else {
        cell.expect("oom", false);
    }
    client.send(json!({"type": "restart"})).await;
    client.until("restarted").await;
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
    lives(neighbour).await;
}

async fn memory_in_files_counts(stage: &Stage) {
    let neighbour = neighbour(stage).await;
    // The disk limit is above the memory limit here, and files in tmpfs count as memory.
    let gateway = stage.own(&["--memory", "128MiB", "--disk", "512MiB"]);
    let mut client = Client::create(&gateway, "python").await;
    let code = "with open('/work/big', 'wb') as file:\n    for _ in range(500): file.write(bytes(1 << 20))";
    let cell = client.run(code).await;
    assert!(["oom", "error", "exited"].contains(&cell.status()), "{:#?}", cell.events);
    drop(client);
    gateway.stop().await;
    lives(neighbour).await;
}

async fn processes_are_bounded(stage: &Stage) {
    if stage.backend.is_gvisor() {
        return; // without cgroups nothing counts runsc's processes, as the gateway says at its start
    }
    let neighbour = neighbour(stage).await;
    let mut client = stage.session_of("small").await;
    // Children of children, so that killing one stops nothing.
    let code = "import os\nwhile True:\n    try:\n        if os.fork() == 0: os.setsid()\n    except OSError: pass";
    let id = client.execute(code).await;
    client.until_of("started", &id).await;
    lives(neighbour).await;
    // Measure three times: it never uses more than its limit.
    for _ in 0..3 {
        let usage = client.until("usage").await;
        assert!(usage["processes"].as_u64().unwrap() <= 24, "{usage}");
    }
    client.send(json!({"type": "restart"})).await;
    client.until_of("done", &id).await;
    client.until("restarted").await;
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
}

async fn a_reader_that_never_reads_costs_the_gateway_little(stage: &Stage) {
    let neighbour = neighbour(stage).await;
    let gateway = stage.own(&[]);
    let mut client = Client::create(&gateway, "python").await;
    let before = gateway.resident_bytes();
    let id = client.execute("while True: print('x' * 4096)").await;
    client.until_of("started", &id).await;
    // Another session of the same gateway answers while the flood has to wait.
    let mut other = Client::create(&gateway, "python").await;
    other.print("import time\ntime.sleep(2)").await;
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "the gateway grew by {} MiB", grown >> 20);
    client.send(json!({"type": "interrupt"})).await;
    client.finish(&id).await.expect("interrupted", true);
    client.end().await;
    other.end().await;
    gateway.stop().await;
    lives(neighbour).await;
}

async fn the_hidden_ways_to_use_memory_are_bounded(stage: &Stage) {
    let neighbour = neighbour(stage).await;
    for code in [
        // Files without names, pipes and sockets full of bytes: kernel memory.
        "import os\nfds = []\ntry:\n    while True:\n        fds.append(os.memfd_create('x'))\n        \
         os.write(fds[-1], bytes(16 << 20))\nexcept (OSError, MemoryError): pass",
        "import ctypes\nlibc = ctypes.CDLL(None)\nfor key in range(64):\n    s = libc.shmget(key + 1, 16 << 20, 0o1600)\n    \
         if s < 0: break\n    a = libc.shmat\n    a.restype = ctypes.c_void_p\n    p = a(s, None, 0)\n    \
         if p in (None, 2 ** 64 - 1): break\n    ctypes.memset(p, 1, 16 << 20)",
    ] {
        let mut client = stage.session_of("small").await;
        let cell = client.run(code).await;
        let status = cell.status();
        if status == "lost" {
            // What belongs to no process may leave the kernel none but the supervisor to end.
            assert!(cell.detail().contains("memory"), "{:#?}", cell.events);
            client.closed().await;
            continue;
        }
        assert!(["ok", "error", "oom", "exited"].contains(&status), "{:#?}", cell.events);
        // Without accounting both would take more than the limit.
        assert!(stage.backend != Backend::LocalUser || status == "oom", "{:#?}", cell.events);
        client.send(json!({"type": "restart"})).await;
        client.until("restarted").await;
        assert_eq!(client.run("6 * 7").await.result(), "42");
        client.end().await;
    }
    lives(neighbour).await;
}
