//! Cells that spoil their interpreter, or what it says. What the e2e suite has (`spoil`, `exits`,
//! `limits`) is not repeated.

use serde_json::json;

use crate::common::suite::{Stage, rows};

/// How a cell ends.
enum Ends {
    /// `ok`, having printed this.
    Prints(&'static str),
    /// `ok`, with a result that has these words.
    Shows(&'static str),
    /// `error`, with a name and words of its traceback.
    Raises(&'static str, &'static str),
    /// `exited`, with words of `detail`; a fresh interpreter takes the next cell.
    Exits(&'static str),
    /// Not by itself: it prints `go`, and then an interrupt ends it.
    Stops,
    /// In any way that keeps the state, of which only a restart gets rid.
    Spoils,
}
use Ends::{Exits, Prints, Raises, Shows, Spoils, Stops};

rows![ends:
    half_a_character_at_the_end "it is told as U+FFFD with the cell"
        => ("import os\nos.write(1, b'a\\xe2\\x82');", Prints("a\u{fffd}")),
    a_character_that_utf_8_does_not_have "its escape is shown" => ("print('\\ud800')", Prints("\\ud800\n")),
    escapes_of_terminals "they are passed on, every byte"
        => ("print('\\x1b]0;title\\x07\\x1b[2J\\x1b[?1049h\\x1bPq' + 'x' * 9, end='\\0')",
            Prints("\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}[?1049h\u{1b}Pqxxxxxxxxx\0")),
    writes_to_every_descriptor "`exited`; a fresh interpreter"
        => ("import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\xff' * 99)\n    except OSError: pass\nimport time\ntime.sleep(99)",
            Exits("")),
    every_descriptor_is_another_file "`exited`; a fresh interpreter"
        => ("import os\nnull = os.open('/dev/null', os.O_RDWR)\nfor fd in range(3, 64):\n    if fd != null: os.dup2(null, fd)", Exits("")),
    an_exit_in_a_thread "the thread ends alone"
        => ("import sys, threading\nt = threading.Thread(target=sys.exit, args=[3])\nt.start()\nt.join()\nprint('on')", Prints("on\n")),
    a_real_exit_in_a_thread "`exited` with the code"
        => ("import os, threading, time\nthreading.Thread(target=os._exit, args=[7]).start()\ntime.sleep(99)", Exits("7")),
    an_exit_handler_that_never_ends "the session ends all the same"
        => ("import atexit, time\natexit.register(time.sleep, 9999)\nprint('set')", Prints("set\n")),
    an_exit_handler_that_never_ends_at_an_exit "the cell raises; nothing waits for the handler"
        => ("import atexit, sys, time\natexit.register(time.sleep, 9999)\nsys.exit(4)", Raises("SystemExit", "4")),
    another_program_in_place_of_the_interpreter "`exited` with its code; what it prints is shown"
        => ("import os\nos.execv('/bin/sh', ['sh', '-c', 'exit 5'])", Exits("5")),
    a_kill_of_everybody "its children die; it and its session live"
        => ("import os, subprocess\nchild = subprocess.Popen(['sleep', '99'])\nos.kill(-1, 9)\nprint(child.wait())", Prints("-9\n")),
    a_stop_of_the_supervisor "nothing happens"
        => ("import os, signal\ntry: os.kill(1, signal.SIGSTOP)\nexcept PermissionError: pass\nprint('on')", Prints("on\n")),

    a_limit_on_its_own_time "`exited` with SIGXCPU"
        => ("import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass", Exits("SIGXCPU")),
    a_file_cut_under_a_mapping "`exited` with SIGBUS"
        => ("import mmap\nf = open('m', 'w+b')\nf.truncate(8192)\nm = mmap.mmap(f.fileno(), 8192)\nf.truncate(0)\nm[5000]", Exits("SIGBUS")),
    nothing_overwritten "`exited` with a signal" => ("import ctypes\nctypes.memset(id(None), 255, 16)\nprint(None)", Exits("SIG")),
    its_own_runner_taken_apart "`exited`; a fresh interpreter"
        => ("import sys\nfor name, module in list(sys.modules.items()):\n    if 'cellgate' in name: vars(module).clear()", Exits("")),
    builtins_emptied "cells end, a restart mends it" => ("import builtins\nvars(builtins).clear()", Spoils),
    a_hook_that_forbids_everything "cells raise, a restart mends it"
        => ("import sys\nsys.addaudithook(lambda *_: 1 / 0)", Spoils),
    an_import_that_is_none "the cell is `ok`, the next one too" => ("import builtins\nbuiltins.__import__ = None\nprint('on')", Prints("on\n")),
    a_finder_that_never_finds "an interrupt ends it"
        => ("import sys\nclass Finder:\n    def find_spec(*_):\n        print('go')\n        while True: pass\nsys.meta_path.insert(0, Finder)\nimport nowhere", Stops),
    a_collector_that_raises "it is told on stderr"
        => ("import gc\ngc.callbacks.append(lambda *_: 1 / 0)\ngc.collect()\nprint('on')", Prints("on\n")),
    a_timer_that_raises "it hits the cell, the next cell works"
        => ("import signal, time\ndef ring(*_): raise TimeoutError('ring')\nsignal.signal(signal.SIGALRM, ring)\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\ntime.sleep(99)",
            Raises("TimeoutError", "ring")),
    a_repr_that_prints "both are shown" => ("class A:\n    def __repr__(self): print('p'); return 'shown'\nA()", Shows("shown")),
    a_repr_that_is_no_text "its fault is told on stderr, and that it failed in its place"
        => ("class A:\n    def __repr__(self): return 5\nA()", Shows("<A object whose repr failed>")),
    a_repr_that_never_ends "an interrupt ends it" => ("class A:\n    def __repr__(self):\n        print('go')\n        while True: pass\nA()", Stops),
    a_repr_that_exits "the cell raises" => ("class A:\n    def __repr__(self): raise SystemExit(3)\nA()", Raises("SystemExit", "3")),
    an_object_that_has_every_attribute "it is shown as text" => ("from unittest.mock import MagicMock\nMagicMock()", Shows("MagicMock")),
    an_object_that_lies_about_its_class "the cell raises"
        => ("class A:\n    __class__ = property(lambda self: 1 / 0)\nA()", Raises("ZeroDivisionError", "lambda")),
    a_list_100000_deep "it is shown, or why not" => ("x = []\nfor _ in range(100000): x = [x]\nx", Shows("")),
    a_number_of_a_million_digits "the cell raises" => ("10 ** 1000000", Raises("ValueError", "4300 digits")),
    a_picture_that_is_no_base64 "it is passed on as text" => ("display({'image/png': '!'}, raw=True)", Prints("")),
    data_that_is_no_json "it is shown as well as it can be"
        => ("display({'application/json': {1: object(), 'n': float('nan')}}, raw=True)", Prints("")),
    data_with_half_a_surrogate_pair "it is shown with U+FFFD" => ("display({'text/plain': '\\ud800'}, raw=True)", Prints("")),
    data_of_64_MiB "it is told that it is too large" => ("display({'text/html': 'x' * (64 << 20)}, raw=True)", Prints("")),
    five_thousand_displays "all are shown" => ("for n in range(5000): display(n)\nprint('on')", Prints("on\n")),
    an_error_of_10_MiB "its text is cut" => ("raise ValueError('x' * (10 << 20))", Raises("ValueError", "x")),
    an_error_whose_text_never_ends "an interrupt ends it"
        => ("class E(Exception):\n    def __str__(self):\n        print('go')\n        while True: pass\nraise E", Stops),
    an_error_that_is_its_own_cause "it is told once"
        => ("e = ValueError('round')\ne.__cause__ = ValueError('trip')\ne.__cause__.__cause__ = e\nraise e", Raises("ValueError", "round")),
    an_error_with_a_name_of_1_MiB "its name is cut"
        => ("raise type('E' * (1 << 20), (Exception,), {})('x')", Raises("E", "x")),
    an_error_whose_class_lies_about_its_name "it is told by its name"
        => ("class M(type): __name__ = __module__ = property(lambda self: 1 / 0)\nclass E(Exception, metaclass=M): pass\nraise E('x')",
            Raises("E", "x")),
    a_function_with_a_name_of_10_MiB "its name is cut"
        => ("def f(): 1 / 0\nf.__code__ = f.__code__.replace(co_name='f' * (10 << 20))\nf()", Raises("ZeroDivisionError", "ffff")),
    a_traceback_of_50000_frames "its middle is left out"
        => ("import sys\nsys.setrecursionlimit(10 ** 6)\ndef f(n): return f(n - 1) if n else 1 / 0\nf(50000)", Raises("ZeroDivisionError", "f(n - 1)")),
    ten_thousand_errors_in_a_chain "the last ones are told"
        => ("e = None\nfor n in range(10000):\n    new = ValueError(n)\n    new.__cause__ = e\n    e = new\nraise e", Raises("ValueError", "9999")),
    a_generator_of_itself "the cell raises" => ("def g(): yield from g()\nlist(g())", Raises("RecursionError", "")),
    threads_without_end "the cell raises"
        => ("import threading\nwhile True: threading.Thread(target=threading.Event().wait, daemon=True).start()", Raises("RuntimeError", "thread")),
    a_loop_within_the_loop "the cell raises"
        => ("import asyncio\nasync def f(): asyncio.run(asyncio.sleep(0))\nawait f()", Raises("RuntimeError", "running event loop")),
    all_tasks_cancelled "the cell raises"
        => ("import asyncio\nasync def f():\n    for task in asyncio.all_tasks(): task.cancel()\n    await asyncio.sleep(0)\nawait f()",
            Raises("CancelledError", "")),
    the_loop_closed "the next `await` has another one"
        => ("import asyncio\nasync def f(): asyncio.get_running_loop().stop()\nawait f()\nprint('on')", Prints("on\n")),
];

async fn ends(stage: &Stage, (code, wanted): (&str, Ends)) {
    let mut client = stage.session().await;
    let id = client.execute(code).await;
    if let Stops = wanted {
        client.until_text(&id, "go").await;
        client.send(json!({"type": "interrupt", "id": id})).await;
    }
    let cell = client.finish(&id).await;
    let ipython = stage.backend.shell() == "ipython";
    match wanted {
        // IPython tells of a value that cannot be shown on stderr alone, and the cell goes on.
        Shows(_) | Raises(..) if ipython && cell.status() == "ok" && !cell.stderr().is_empty() => {}
        Prints(text) => {
            cell.expect("ok", true);
            assert_eq!(cell.stdout(), text, "{:#?}", cell.events);
        }
        Shows(words) => {
            cell.expect("ok", true);
            assert!(cell.result().contains(words), "{:#?}", cell.events);
        }
        Raises(name, words) => {
            cell.expect("error", true);
            assert!(cell.error().starts_with(name) && cell.error().len() <= 1000);
            // It writes lines of any length, which the runner then leaves out.
            assert!(ipython || cell.traceback().contains(words), "{}", cell.traceback());
        }
        Exits(words) => {
            cell.expect("exited", false);
            assert!(cell.detail().contains(words), "{}", cell.detail());
            client.until("restarted").await;
        }
        Stops => cell.expect("interrupted", true),
        Spoils => {
            assert_eq!(cell.done()["state_kept"], true, "{:#?}", cell.events);
            assert_eq!(client.run("6 * 7").await.done()["state_kept"], true);
            client.send(json!({"type": "restart"})).await;
            client.until("restarted").await;
        }
    }
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
}
