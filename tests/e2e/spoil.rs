//! Cells that spoil the interpreter they run in: the next cell works all the same.

use serde_json::json;

use crate::common::suite::{Stage, cases};

cases![
    what_a_cell_spoils_is_mended,
    closed_descriptors_do_not_end_the_session,
    hostile_children_do_not_end_the_session,
    the_wire_cannot_be_forged,
];

/// The cell may end as it likes; the one after it prints, raises, shows and stops as ever.
async fn what_a_cell_spoils_is_mended(stage: &Stage) {
    let mut client = stage.session().await;
    for code in [
        "import sys\nsys.stdout = None",
        "import sys\nsys.stdout = sys.stderr = sys.stdin = object()",
        "import sys\nsys.stdout.close()",
        "import sys\nsys.settrace(lambda *_: 1 / 0)",
        "import sys, threading\nsys.setprofile(lambda *_: 1 / 0)",
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))",
        "import sys\nsys.setrecursionlimit(50)",
        "import sys\nsys.displayhook = sys.excepthook = None",
        "import builtins\nbuiltins.print = builtins.repr = builtins.str = None",
        "import builtins\ndel builtins.print",
        "import sys\nsys.modules.clear()",
        "__name__ = __builtins__ = None",
        "globals().clear()",
        "import os\nos.chdir('/')\nos.environ.clear()",
        "import gc, sys\ngc.disable()\nsys.path.clear()\nsys.meta_path.clear()",
        "class Broken(Exception):\n    def __str__(self): raise self\n    __repr__ = __str__\nraise Broken",
        "import json, codecs\njson.dumps = codecs.encode = None",
        "import threading\nthreading.current_thread = None",
        "import warnings\nwarnings.simplefilter('error')",
        "import sys\nsys.setswitchinterval(60)",
        "import locale\nlocale.setlocale(locale.LC_ALL, 'C')",
        "def f(): f()\nf()",
    ] {
        let cell = client.run(code).await;
        assert!(["ok", "error"].contains(&cell.status()), "{code}: {:#?}", cell.events);
        assert_eq!(cell.done()["state_kept"], true, "{code}");
        // A fresh session for each would hide what adds up; but a cell may shadow what it likes.
        let next = client.run("import builtins as b\nb.__dict__['print']('é')\n1 / 0").await;
        assert!(
            next.stdout() == "é\n" || code.contains("builtins"),
            "after {code}: {:#?}",
            next.events
        );
        assert_eq!(next.status(), "error", "after {code}: {:#?}", next.events);
        if code.contains("builtins") {
            client.send(json!({"type": "restart"})).await;
            client.until("restarted").await;
        }
    }
    let id = client.execute("while True: pass").await;
    client.until_of("started", &id).await;
    client.send(json!({"type": "interrupt"})).await;
    client.finish(&id).await.expect("interrupted", true);
    client.end().await;
}

async fn closed_descriptors_do_not_end_the_session(stage: &Stage) {
    let mut client = stage.session().await;
    client.run("import os\nos.close(1)\nos.close(2)").await.expect("ok", true);
    assert_eq!(client.print("print('back')").await, "back\n");
    client.run("os.dup2(os.open('/dev/null', os.O_RDWR), 1)").await.expect("ok", true);
    assert_eq!(client.print("os.system('echo back')").await, "back\n");
    // Everything, the runner's own included: it ends, is told, and is replaced.
    let cell = client.run("os.closerange(3, 256)").await;
    assert!(["ok", "exited"].contains(&cell.status()), "{:#?}", cell.events);
    if cell.status() == "ok" {
        client.send(json!({"type": "restart"})).await;
    }
    client.until("restarted").await;
    assert_eq!(client.print("print('back')").await, "back\n");
    client.end().await;
}

async fn hostile_children_do_not_end_the_session(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import os\nfor _ in range(20):\n    if os.fork() == 0:\n        os.closerange(0, 256)\n        \
                os._exit(0)\nprint('parent')";
    assert_eq!(client.print(code).await, "parent\n");
    if stage.backend.is_gvisor() {
        // gVisor shows the supervisor's descriptors to its user. Code can speak in its name there,
        // and may so end its own session; the gateway believes no driver, so nothing else.
        client.end().await;
        return;
    }
    // Descriptors found in /proc are no way into the gateway.
    let code = "import glob, os\nfor path in glob.glob('/proc/[0-9]*/fd/*'):\n    try:\n        \
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)\n        os.write(fd, b'\\xff' * 64)\n    \
                except OSError:\n        pass";
    let cell = client.run(code).await;
    assert!(["ok", "exited"].contains(&cell.status()), "{:#?}", cell.events);
    client.run("6 * 7").await.expect("ok", true);
    client.end().await;
}

async fn the_wire_cannot_be_forged(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("before = 1").await;
    // User code is in the runner's process: it can write to the control socket. What it may reach
    // by that is the end of its own interpreter, nothing else.
    let code = "import os\nos.write(3, bytes(range(256)) * 64)\nimport time\ntime.sleep(30)";
    let cell = client.run(code).await;
    assert_eq!(cell.status(), "exited", "{:#?}", cell.events);
    client.until("restarted").await;
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
}
