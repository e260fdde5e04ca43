//! Limits: what reaches one is told which, and the session lives.

use serde_json::json;

use crate::common::client::text;
use crate::common::suite::{Stage, cases};

cases![
    memory_that_runs_out_is_told_with_its_limit,
    children_share_the_memory_limit,
    a_child_that_is_killed_for_memory_is_told,
    the_peak_of_memory_is_each_cells_own,
    a_fork_bomb_stays_in_its_sandbox,
    a_full_disk_is_an_error,
    open_files_are_bounded,
    usage_is_told_while_a_cell_runs,
    who_nears_the_memory_limit_is_warned,
];

// What no backend changes.
cases![
    ONCE:
    too_much_output_ends_the_cell,
    of_much_output_head_and_tail_are_shown,
];

async fn memory_that_runs_out_is_told_with_its_limit(stage: &Stage) {
    let mut client = stage.session_of("small").await;
    client.print("before = 1").await;
    let cell =
        client.run("blocks = []\nwhile True: blocks.append(bytearray(b'x') * (4 << 20))").await;
    // Where no cgroup counts, the allocation itself may fail first, and nothing is lost.
    if cell.status() == "error" {
        assert_eq!(cell.error(), "MemoryError");
        assert_eq!(stage.backend, crate::common::backend::Backend::LocalUser);
        client.run("blocks = None").await.expect("ok", true);
        client.end().await;
        return;
    }
    cell.expect("oom", false);
    assert!(cell.detail().contains("limit 160 MiB"), "{}", cell.detail());
    assert!(cell.detail().contains("peak"), "{}", cell.detail());
    assert!(cell.done()["usage"]["peak_memory_bytes"].as_u64().unwrap() > 80 << 20);
    client.until("restarted").await;
    assert_eq!(client.run("before").await.error(), "NameError");
    client.end().await;
}

async fn children_share_the_memory_limit(stage: &Stage) {
    let mut client = stage.session_of("small").await;
    let code = "import subprocess, sys\nhog = 'b = bytearray(b\"x\") * (60 << 20); input()'\n\
                children = [subprocess.Popen([sys.executable, '-c', hog], stdin=subprocess.PIPE, \
                stderr=subprocess.DEVNULL) for _ in range(4)]\n\
                import time\nwhile all(c.poll() is None for c in children): time.sleep(0.01)\n'one is gone'";
    let cell = client.run(code).await;
    match cell.status() {
        // The kernel took a child, or everything: both keep the others safe.
        "ok" => assert_eq!(cell.result(), "'one is gone'"),
        _ => cell.expect("oom", false),
    }
    client.send(json!({"type": "restart"})).await;
    client.until("restarted").await;
    assert_eq!(client.run("1").await.result(), "1");
    client.end().await;
}

async fn a_child_that_is_killed_for_memory_is_told(stage: &Stage) {
    use crate::common::backend::Backend;
    if stage.backend == Backend::LocalUser || stage.backend.is_gvisor() {
        return; // no cgroup, no kills by the kernel: the supervisor ends all of them
    }
    let mut client = stage.session_of("small").await;
    client.print("before = 1").await;
    let code = "import subprocess, sys\nhog = 'b = bytearray(b\"x\") * (600 << 20)'\n\
                subprocess.run([sys.executable, '-c', hog]).returncode";
    let cell = client.run(code).await;
    cell.expect("ok", true);
    assert_eq!(cell.result(), "-9");
    let notice = cell.events.iter().find(|event| event["type"] == "notice");
    let notice = notice.cloned();
    let notice = match notice {
        Some(notice) => notice,
        None => client.until("notice").await,
    };
    assert!(cell.detail().contains("was killed") && cell.detail().contains("limit 160 MiB"));
    assert!(["process_killed", "memory_high"].contains(&text(&notice, "code")), "{notice}");
    client.run("before").await.expect("ok", true);
    client.end().await;
}

async fn the_peak_of_memory_is_each_cells_own(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("import time").await;
    // gVisor keeps no high water mark of a process: there, a sample each second alone tells.
    let held = if stage.backend.is_gvisor() { 1.5 } else { 0.0 };
    let code =
        format!("b = bytearray(b'x') * (150 << 20)\ntime.sleep({held})\ndel b\ntime.sleep(0.05)");
    let peak = |cell: &crate::common::client::Cell| {
        cell.done()["usage"]["peak_memory_bytes"].as_u64().unwrap() >> 20
    };
    let large = peak(&client.run(&code).await);
    assert!((140..400).contains(&large), "{large} MiB");
    let small = peak(&client.run("time.sleep(0.05)").await);
    assert!(small < 120, "{small} MiB after {large}");
    client.end().await;
}

async fn a_fork_bomb_stays_in_its_sandbox(stage: &Stage) {
    let mut client = stage.session_of("small").await;
    let code = "import os, time\nchildren = 0\ntry:\n    while children < 5000:\n        if os.fork() == 0:\n            \
                time.sleep(600)\n            os._exit(0)\n        children += 1\n\
                except OSError as error:\n    print(type(error).__name__)\nchildren";
    let cell = client.run(code).await;
    if stage.backend.is_gvisor() && cell.status() == "oom" {
        // Where runsc has no cgroups nothing counts its processes, as the gateway says at its start;
        // what they are made of is bounded.
        client.until("restarted").await;
        assert_eq!(client.run("6 * 7").await.result(), "42");
        client.end().await;
        return;
    }
    cell.expect("ok", true);
    assert_eq!(cell.stdout(), "BlockingIOError\n");
    let children: u32 = cell.result().parse().unwrap();
    assert!((4..24).contains(&children), "{children}");
    client.send(json!({"type": "restart"})).await;
    client.until("restarted").await;
    // The classic, which never stops by itself.
    let id = client
        .execute("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass")
        .await;
    client.until_of("started", &id).await;
    let mut other = stage.session_of("small").await;
    assert_eq!(other.run("6 * 7").await.result(), "42");
    other.end().await;
    client.send(json!({"type": "restart"})).await;
    client.until_of("done", &id).await;
    client.until("restarted").await;
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
}

async fn a_full_disk_is_an_error(stage: &Stage) {
    let mut client = stage.session_of("small").await;
    let code =
        "with open('big', 'wb') as file:\n    for _ in range(64): file.write(bytes(1 << 20))";
    let cell = client.run(code).await;
    cell.expect("error", true);
    assert_eq!(cell.error(), "OSError");
    let value = text(cell.one("error"), "value");
    assert!(value.contains("No space left") || value.contains("File too large"), "{value}");
    client.print("import os\nos.remove('big')\nopen('small', 'w').write('fits');").await;
    client.end().await;
}

async fn open_files_are_bounded(stage: &Stage) {
    let mut client = stage.session_of("small").await;
    let code = "import os\nopened = []\ntry:\n    while len(opened) < 5000: opened.append(os.open('/dev/null', 0))\n\
                except OSError as error:\n    print(error.errno)\nn = len(opened)\n\
                for fd in opened: os.close(fd)\nn";
    let cell = client.run(code).await;
    cell.expect("ok", true);
    assert_eq!(cell.stdout(), "24\n");
    assert!(cell.result().parse::<u32>().unwrap() < 64);
    // And with none left at all, the next cell still runs.
    let code = "import resource\nopened = []\ntry:\n    while True: opened.append(os.open('/dev/null', 0))\n\
                except OSError: pass";
    client.run(code).await.expect("ok", true);
    client.run("for fd in opened: os.close(fd)").await.expect("ok", true);
    assert_eq!(client.print("print('still here')").await, "still here\n");
    assert_eq!(client.run("1 / 0").await.error(), "ZeroDivisionError");
    client.end().await;
}

async fn too_much_output_ends_the_cell(stage: &Stage) {
    let mut client = stage.session_of("terse").await;
    assert_eq!(client.ready["limits"]["output_bytes"], 64 << 10);
    client.print("kept = 1").await;
    let cell = client.run("while True: print('x' * 1023)").await;
    cell.expect("output_limit", true);
    assert!(cell.detail().contains("1048576"), "{}", cell.detail());
    assert_eq!(cell.stdout().len(), 64 << 10);
    let truncated = cell.one("truncated");
    assert_eq!(text(truncated, "stream"), "stdout");
    assert!(truncated["omitted_bytes"].as_u64().unwrap() > 0);
    assert_eq!(client.run("kept").await.result(), "1");
    client.end().await;
}

async fn of_much_output_head_and_tail_are_shown(stage: &Stage) {
    let mut client = stage.session_of("terse").await;
    let cell = client.run("for number in range(20_000): print(f'{number:09}')").await;
    cell.expect("ok", true);
    let all: String = (0..20_000).map(|number| format!("{number:09}\n")).collect();
    let shown = cell.stdout();
    assert_eq!(shown.len(), 64 << 10);
    let (head, tail) = shown.split_at(32 << 10);
    assert!(all.starts_with(head) && all.ends_with(tail), "{shown}");
    let truncated = cell.one("truncated");
    assert_eq!(truncated["omitted_bytes"], all.len() - shown.len());
    // People are told while it runs why nothing more comes.
    let id = client.execute("import time\nprint('x' * 70_000, flush=True)\ntime.sleep(60)").await;
    let notice = client.next_where(|event| event["type"] == "notice").await;
    assert_eq!(notice["code"], "output_budget");
    client.send(json!({"type": "interrupt"})).await;
    client.finish(&id).await.expect("interrupted", true);
    client.end().await;
}

async fn usage_is_told_while_a_cell_runs(stage: &Stage) {
    let mut client = stage.session().await;
    let id = client.execute("block = bytearray(b'x') * (64 << 20)\nwhile True: pass").await;
    let enough = |event: &serde_json::Value| {
        event["type"] == "usage"
            && event["memory_bytes"].as_u64().unwrap() > 64 << 20
            && event["cpu_percent"].as_f64().unwrap() > 5.0
    };
    let usage = client.next_where(enough).await;
    assert_eq!(usage["memory_limit_bytes"], 512 << 20);
    assert!(usage["processes"].as_u64().unwrap() >= 1, "{usage}");
    assert!(usage["cpu_percent"].as_f64().unwrap() < 250.0, "{usage}");
    // About once a second: by the gateway's clock, and no more often however busy this machine is.
    let mut last = usage["ts"].as_u64().unwrap();
    for _ in 0..3 {
        let ts = |event: &serde_json::Value| event["ts"].as_u64().unwrap_or_default();
        let later = |event: &serde_json::Value| event["type"] == "usage" && ts(event) > last;
        let next = ts(&client.next_where(later).await);
        assert!((500..5_000).contains(&(next - last)), "{} ms", next - last);
        last = next;
    }
    client.send(json!({"type": "interrupt"})).await;
    client.finish(&id).await.expect("interrupted", true);
    client.end().await;
}

async fn who_nears_the_memory_limit_is_warned(stage: &Stage) {
    let mut client = stage.session_of("small").await;
    // IPython has 40 MiB of its own.
    let block = if stage.backend.shell() == "ipython" { 92 } else { 132 };
    let code = format!("block = bytearray(b'x') * ({block} << 20)\ninput()");
    let id = client.execute(&code).await;
    let notice = client.until("notice").await;
    assert_eq!((text(&notice, "code"), text(&notice, "level")), ("memory_high", "warning"));
    let said = text(&notice, "text");
    assert!(said.contains("of 160 MiB") && said.contains('%'), "{said}");
    // In time: there is still somebody to save something. The warning may overtake the question.
    client.until_of("input_request", &id).await;
    client.send(json!({"type": "input", "id": id, "text": ""})).await;
    client.finish(&id).await.expect("ok", true);
    assert_eq!(client.run("block = None\n'saved'").await.result(), "'saved'");
    client.end().await;
}
