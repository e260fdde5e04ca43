//! Output while it is made: order, characters, who may write, and what comes after the end.

use serde_json::json;

use crate::common::client::{Client, text};
use crate::common::suite::{Stage, cases};

cases![
    children_show_what_they_write_as_they_write_it,
    lines_come_while_the_cell_runs,
    the_streams_keep_their_order,
    children_and_libraries_write_too,
    what_children_write_later_is_late,
    a_forked_child_is_not_the_cell,
    progress_without_newlines_comes_at_once,
    pipes_serve_several_cells_until_something_else_may_write_to_them,
];

// What no backend changes.
cases![
    ONCE:
    characters_survive_being_split,
    bytes_that_are_no_text_are_told,
    what_threads_write_later_is_late,
    what_tasks_write_later_is_late,
];

async fn answer(client: &mut Client, id: &str, line: &str) {
    client.until_of("input_request", id).await;
    client.send(json!({"type": "input", "id": id, "text": line})).await;
}

async fn lines_come_while_the_cell_runs(stage: &Stage) {
    let mut client = stage.session().await;
    let id = client.execute("for i in range(5):\n    print(i)\n    input()").await;
    for i in 0..5 {
        // The cell waits for the answer, so the line came before the cell's end.
        assert_eq!(client.until_text(&id, "\n").await, format!("{i}\n"));
        answer(&mut client, &id, "go").await;
    }
    client.until_of("done", &id).await;
    client.end().await;
}

async fn characters_survive_being_split(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import os\nfor byte in 'aé€🦀'.encode():\n    os.write(1, bytes([byte]))";
    assert_eq!(client.print(code).await, "aé€🦀");
    // Half a character, then a wait: the half is held back until it is whole.
    let code =
        "os.write(1, b'<' + '🦀'.encode()[:2])\ninput()\nos.write(1, '🦀'.encode()[2:] + b'>')";
    let id = client.execute(code).await;
    assert_eq!(client.until_text(&id, "<").await, "<");
    answer(&mut client, &id, "go").await;
    assert_eq!(client.until_text(&id, ">").await, "🦀>");
    client.until_of("done", &id).await;
    client.end().await;
}

async fn bytes_that_are_no_text_are_told(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import os\nos.write(1, b'a\\xffb\\xc3(c\\x00d')";
    assert_eq!(client.print(code).await, "a\u{fffd}b\u{fffd}(c\0d");
    // A character that never comes to its end.
    assert_eq!(client.print("os.write(1, b'x\\xe2\\x82')").await, "x\u{fffd}");
    client.end().await;
}

async fn the_streams_keep_their_order(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import sys\nfor i in range(20):\n    print(i)\n    print(i, file=sys.stderr)\n\
                display('shown')\nprint('last')\n'result'";
    let cell = client.run(code).await;
    // However the text is cut into messages, it reads like this.
    let mut told = String::new();
    let mut stream = "";
    for event in &cell.events {
        match text(event, "type") {
            kind @ ("stdout" | "stderr") => {
                if stream != kind {
                    told += if kind == "stdout" { "<" } else { ">" };
                }
                stream = kind;
                told += text(event, "text");
            }
            kind @ ("display" | "result") => told += kind,
            _ => {}
        }
    }
    let mut expected: String = (0..20).map(|i| format!("<{i}\n>{i}\n")).collect();
    expected += "display<last\nresult";
    assert_eq!(told, expected);
    client.end().await;
}

async fn children_and_libraries_write_too(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import ctypes, os, subprocess, sys\nprint('a')\nos.system('echo b; echo c >&2')\n\
                subprocess.run([sys.executable, '-c', 'print(\"d\")'])\n\
                ctypes.CDLL(None).puts(b'e'); ctypes.CDLL(None).fflush(None)\nprint('f');";
    let cell = client.run(code).await;
    cell.expect("ok", true);
    assert_eq!((cell.stdout().as_str(), cell.stderr().as_str()), ("a\nb\nd\ne\nf\n", "c\n"));
    client.end().await;
}

async fn what_threads_write_later_is_late(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import threading\ngo = threading.Event()\ndef work():\n    go.wait()\n    print('from the thread')\n\
                threading.Thread(target=work).start()\nprint('first')";
    let first = client.execute(code).await;
    assert_eq!(client.finish(&first).await.stdout(), "first\n");
    // Another cell runs while the thread of the first one writes.
    let second = client.execute("go.set()\nprint('second')\ninput()").await;
    // The checker sees to it that it is marked as late.
    assert_eq!(client.until_text(&first, "\n").await, "from the thread\n");
    answer(&mut client, &second, "").await;
    assert_eq!(client.finish(&second).await.stdout(), "second\n");
    client.end().await;
}

async fn what_children_write_later_is_late(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import subprocess\nchild = subprocess.Popen(['sh', '-c', 'read line; echo got $line; echo e >&2'], \
                stdin=subprocess.PIPE)";
    let first = client.execute(code).await;
    client.finish(&first).await;
    let second = client.execute("child.communicate(b'word\\n');").await;
    let late = client.until_of("stdout", &first).await;
    assert_eq!((text(&late, "text"), &late["late"]), ("got word\n", &json!(true)));
    assert_eq!(text(&client.until_of("stderr", &first).await, "text"), "e\n");
    assert_eq!(client.finish(&second).await.stdout(), "");
    client.end().await;
}

async fn what_tasks_write_later_is_late(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import asyncio\ngo = asyncio.Event()\nasync def work():\n    await go.wait()\n    print('from the task')\n\
                task = asyncio.create_task(work())\nawait asyncio.sleep(0)";
    let first = client.execute(code).await;
    client.finish(&first).await.expect("ok", true);
    let second = client.execute("go.set()\nawait task").await;
    assert_eq!(client.until_text(&first, "\n").await, "from the task\n");
    client.finish(&second).await.expect("ok", true);
    client.end().await;
}

async fn a_forked_child_is_not_the_cell(stage: &Stage) {
    let mut client = stage.session().await;
    // The child runs to the end of the cell's code too; only the parent may answer for it.
    let code = "import os\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\n\
                print('child' if pid == 0 else 'parent')\n'result of ' + ('child' if pid == 0 else 'parent')";
    let cell = client.run(code).await;
    cell.expect("ok", true);
    assert_eq!(cell.stdout(), "child\nparent\n");
    assert_eq!(cell.result(), "'result of parent'");
    // Neither an error nor an exit of a child is the cell's.
    let code = "pid = os.fork()\nif pid == 0:\n    raise ValueError('of the child')\n\
                os.waitpid(pid, 0)[1] >> 8";
    let cell = client.run(code).await;
    cell.expect("ok", true);
    assert_eq!(cell.result(), "1");
    assert!(cell.stderr().contains("ValueError"), "{}", cell.stderr());
    let code = "pid = os.fork()\nif pid == 0:\n    raise SystemExit(7)\nos.waitpid(pid, 0)[1] >> 8";
    assert_eq!(client.run(code).await.result(), "7");
    client.end().await;
}

async fn progress_without_newlines_comes_at_once(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "for i in range(3):\n    print(f'\\r{i}/3', end='', flush=True)\n    input()";
    let id = client.execute(code).await;
    for i in 0..3 {
        assert_eq!(client.until_text(&id, "/3").await, format!("\r{i}/3"));
        answer(&mut client, &id, "").await;
    }
    client.until_of("done", &id).await;
    client.end().await;
}

async fn pipes_serve_several_cells_until_something_else_may_write_to_them(stage: &Stage) {
    let mut client = stage.session().await;
    let which = "import os\nprint(os.fstat(1).st_ino)";
    let first = client.print(which).await;
    // gVisor does not tell that a process was forked, and then each cell has pipes of its own.
    if client.print("print(open('/proc/loadavg').read().split()[-1])").await != "0\n" {
        assert_eq!(client.print(which).await, first);
    }
    let mut last = first;
    for holder in [
        "import subprocess\nchild = subprocess.Popen(['sleep', '60'])",
        "import threading, time\nthreading.Thread(target=time.sleep, args=[60]).start()",
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(60)\n    os._exit(0)",
    ] {
        client.run(holder).await.expect("ok", true);
        let next = client.print(which).await;
        assert_ne!(next, last, "after {holder}");
        last = next;
    }
    client.end().await;
}

async fn children_show_what_they_write_as_they_write_it(stage: &Stage) {
    let mut client = stage.session().await;
    let slow = "import time\nprint('first')\ntime.sleep(600)";
    client.print(&format!("open('slow.py', 'w').write({slow:?})")).await;
    for code in [
        "import subprocess, sys\nsubprocess.run([sys.executable, 'slow.py'])",
        "!python3 slow.py",
        "import os\nos.system('python3 slow.py')",
        "%%bash\npython3 slow.py",
        "!awk 'BEGIN { print \"first\"; while (1) system(\"sleep 600\") }' < /dev/null",
    ] {
        let id = client.execute(code).await;
        // It came while the child runs on, and stays although the child is ended.
        client.until_text(&id, "first\n").await;
        client.send(json!({"type": "interrupt"})).await;
        client.finish(&id).await;
    }
    client.end().await;
}
