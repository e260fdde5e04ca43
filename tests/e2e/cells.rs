//! Cells: results, state, errors, counts.

use serde_json::{Value, json};

use crate::common::client::{Cell, text};
use crate::common::suite::{Stage, cases};

cases![
    the_local_host_has_a_name_and_threads_are_as_many_as_processors,
    ready_says_what_a_client_needs,
    state_is_kept,
    a_cell_says_what_it_used,
    the_standard_library_is_there,
];

// What no backend changes.
cases![
    ONCE:
    code_alone_is_a_whole_client,
    the_last_expression_is_the_result,
    a_cell_may_await,
    tracebacks_name_the_cells_lines,
    tracebacks_tell_causes,
    code_that_does_not_parse_is_an_error,
    system_exit_keeps_the_state,
    a_silent_cell_is_not_counted,
    the_documents_cell_is_repeated,
    variables_of_a_cell_last_as_long_as_it,
    an_error_cancels_what_was_built_on_it,
];

async fn code_alone_is_a_whole_client(stage: &Stage) {
    let mut client = stage.session().await;
    client.send(json!({"code": "1 + 1"})).await;
    let started = client.until("started").await;
    assert_eq!(
        (text(&started, "code"), &started["execution_count"]),
        ("1 + 1", &json!(1)),
        "{started}"
    );
    assert_eq!(text(&started, "by"), "owner");
    let id = text(&started, "id").to_owned();
    let result = client.until_of("result", &id).await;
    assert_eq!(result["data"], json!({"text/plain": "2"}));
    assert_eq!(result["execution_count"], 1);
    let done = client.until_of("done", &id).await;
    assert_eq!((&done["status"], &done["state_kept"]), (&json!("ok"), &json!(true)));
    client.end().await;
}

async fn ready_says_what_a_client_needs(stage: &Stage) {
    let client = stage.session().await;
    let ready = &client.ready;
    assert_eq!(ready["protocol"], 1);
    assert_eq!(text(ready, "role"), "owner");
    assert_eq!(text(ready, "template"), "python");
    assert_eq!(text(ready, "state"), "idle");
    assert_eq!(text(ready, "backend"), stage.backend.told_as());
    assert_eq!(text(&ready["language"], "name"), "python");
    assert!(text(&ready["language"], "version").starts_with("3."), "{ready}");
    assert_eq!(ready["limits"]["message_bytes"], 256 << 10);
    assert_eq!(ready["limits"]["memory_bytes"], 512 << 20);
    assert_eq!(ready["limits"]["timeout_ms"], Value::Null);
    assert_eq!(ready["limits"]["queue"], 64);
    client.end().await;
}

async fn state_is_kept(stage: &Stage) {
    let mut client = stage.session().await;
    for code in ["x = 20", "import math", "def twice(n): return 2 * n", "class A: tag = 'a'"] {
        client.print(code).await;
    }
    let cell = client.run("twice(x) + math.floor(2.5), A.tag").await;
    assert_eq!(cell.result(), "(42, 'a')");
    // Another session knows nothing of it.
    let mut other = stage.session().await;
    assert_eq!(other.run("x").await.error(), "NameError");
    other.end().await;
    client.end().await;
}

async fn the_last_expression_is_the_result(stage: &Stage) {
    let mut client = stage.session().await;
    let kinds = |cell: &Cell| cell.all("result").count();
    assert_eq!(client.run("x = 5\nx + 1").await.result(), "6");
    assert_eq!(client.run("_ * 2").await.result(), "12");
    assert_eq!(kinds(&client.run("x;").await), 0);
    assert_eq!(kinds(&client.run("None").await), 0);
    assert_eq!(kinds(&client.run("x = 7").await), 0);
    assert_eq!(kinds(&client.run("").await), 0);
    assert_eq!(client.run("'text; with a semicolon'").await.result(), "'text; with a semicolon'");
    assert_eq!(client.run("print('first')\nx").await.kinds()[2..4], ["stdout", "result"]);
    client.end().await;
}

async fn a_cell_may_await(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return n\n\
                await f(1) + sum(await asyncio.gather(f(2), f(3)))";
    assert_eq!(client.run(code).await.result(), "6");
    assert_eq!(client.run("asyncio.run(f(4))").await.result(), "4");
    let cell = client.run("await f(1 / 0)").await;
    cell.expect("error", true);
    client.end().await;
}

async fn tracebacks_name_the_cells_lines(stage: &Stage) {
    let mut client = stage.session().await;
    let first = client.execute("def half(n):\n    return n / 0").await;
    client.finish(&first).await;
    let second = client.execute("x = 1\nhalf(x)").await;
    let cell = client.finish(&second).await;
    cell.expect("error", true);
    let error = cell.one("error");
    assert_eq!(
        (text(error, "name"), text(error, "value")),
        ("ZeroDivisionError", "division by zero")
    );
    let frames = error["frames"].as_array().unwrap();
    let frame = |at: usize| {
        let frame = &frames[at];
        let line = frame["line"].as_u64().unwrap();
        (text(frame, "cell"), line, text(frame, "function"), text(frame, "source"))
    };
    assert_eq!(frames.len(), 2, "{error:#}");
    assert_eq!(frame(0).1, 2);
    assert_eq!((frame(0).2, frame(0).3), ("<module>", "half(x)"));
    assert_eq!((frame(1).1, frame(1).2, frame(1).3), (2, "half", "return n / 0"));
    assert_eq!((frame(0).0, frame(1).0), (second.as_str(), first.as_str()));
    let told = cell.traceback();
    assert!(told.contains("half(x)") && told.contains("return n / 0"), "{told}");
    assert!(!told.contains("_cellgate") && !told.contains("<cellgate"), "{told}");
    client.end().await;
}

async fn tracebacks_tell_causes(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "try:\n    {}['key']\nexcept KeyError as e:\n    raise ValueError('because') from e";
    let cell = client.run(code).await;
    assert_eq!(cell.error(), "ValueError");
    let told = cell.traceback();
    assert!(told.contains("direct cause") && told.contains("KeyError: 'key'"), "{told}");
    let code = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    undefined";
    let told = client.run(code).await.traceback();
    assert!(told.contains("During handling"), "{told}");
    assert!(told.contains("ZeroDivisionError") && told.contains("NameError"), "{told}");
    client.end().await;
}

async fn code_that_does_not_parse_is_an_error(stage: &Stage) {
    let mut client = stage.session().await;
    let cell = client.run("x = 1\ny = = 2").await;
    cell.expect("error", true);
    assert_eq!(cell.error(), "SyntaxError");
    assert!(cell.traceback().contains("y = = 2"), "{}", cell.traceback());
    // Nothing of it ran.
    assert_eq!(client.run("x").await.error(), "NameError");
    client.run("y = '\\ud800'").await.expect("ok", true);
    client.run("print(y)").await.expect("ok", true);
    client.end().await;
}

async fn system_exit_keeps_the_state(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("x = 1").await;
    for code in ["raise SystemExit(3)", "import sys; sys.exit()", "exit()"] {
        let cell = client.run(code).await;
        assert_eq!(cell.done()["state_kept"], true, "{code}: {:#?}", cell.events);
    }
    assert_eq!(client.run("x").await.result(), "1");
    client.end().await;
}

async fn a_silent_cell_is_not_counted(stage: &Stage) {
    let mut client = stage.session().await;
    let cell = client.run_with("print('heard'); 5", json!({"silent": true})).await;
    assert_eq!(cell.kinds(), ["queued", "started", "stdout", "done"]);
    assert!(cell.one("started").get("execution_count").is_none());
    assert!(cell.done().get("execution_count").is_none());
    assert_eq!(client.run("1").await.done()["execution_count"], 1);
    assert_eq!(client.run("1/0").await.done()["execution_count"], 2);
    client.end().await;
}

async fn the_documents_cell_is_repeated(stage: &Stage) {
    let mut client = stage.session().await;
    for cell in [json!("ü".repeat(64)), Value::Null] {
        let run = client.run_with("print(1)", json!({"cell": cell})).await;
        for event in &run.events {
            let tells = ["queued", "started", "done"].contains(&text(event, "type"));
            let told = if tells { cell.clone() } else { Value::Null };
            assert_eq!(event["cell"], told, "{event}");
            assert_eq!(event.get("cell").is_some(), told.is_string(), "{event}");
        }
    }
    let id = client.execute_with("1", json!({"cell": "ü".repeat(65)})).await;
    let refused = client.until_of("protocol_error", &id).await;
    assert_eq!(refused["code"], "bad_message", "{refused}");
    client.end().await;
}

async fn variables_of_a_cell_last_as_long_as_it(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import os, subprocess\nprint(os.environ['GREETING'])\n\
                subprocess.run('echo $GREETING', shell=True);";
    let cell = client.run_with(code, json!({"env": {"GREETING": "grüezi 🦀"}})).await;
    assert_eq!(cell.stdout(), "grüezi 🦀\ngrüezi 🦀\n");
    assert_eq!(client.run("os.environ.get('GREETING', 'gone')").await.result(), "'gone'");
    client.end().await;
}

async fn an_error_cancels_what_was_built_on_it(stage: &Stage) {
    let mut client = stage.session().await;
    let first = client.execute_with("input()", json!({"stop_on_error": true})).await;
    let second = client.execute("2").await;
    let third = client.execute("3").await;
    let request = client.until_of("input_request", &first).await;
    assert_eq!(text(&request, "prompt"), "");
    client.send(json!({"type": "input", "id": first, "eof": true})).await;
    assert_eq!(client.finish(&first).await.error(), "EOFError");
    for id in [second, third] {
        let cell = client.finish(&id).await;
        cell.expect("cancelled", true);
        assert_eq!(cell.kinds(), ["queued", "done"]);
    }
    // Without it the next one runs.
    let failing = client.execute("1/0").await;
    let next = client.execute("'ran'").await;
    client.finish(&failing).await.expect("error", true);
    assert_eq!(client.finish(&next).await.result(), "'ran'");
    client.end().await;
}

async fn a_cell_says_what_it_used(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import time, sys\nend = time.process_time() + 0.2\n\
                while time.process_time() < end: pass\nprint('x' * 99)\nprint('y' * 9, file=sys.stderr)";
    let cell = client.run(code).await;
    cell.expect("ok", true);
    let done = cell.done();
    assert_eq!(done["usage"]["output_bytes"], 110);
    let cpu = done["usage"]["cpu_ms"].as_f64().unwrap();
    let duration = done["duration_ms"].as_f64().unwrap();
    assert!((150.0..5_000.0).contains(&cpu), "{done}");
    assert!(duration >= 200.0 && duration >= cpu * 0.5, "{done}");
    assert!(done["usage"]["peak_memory_bytes"].as_u64().unwrap() > 4 << 20, "{done}");
    client.end().await;
}

async fn the_standard_library_is_there(stage: &Stage) {
    let mut client = stage.session().await;
    // What a sandbox breaks first: shared memory, fork, threads, temporary files, name services.
    let code = r#"
import concurrent.futures, getpass, multiprocessing, os, pathlib, sqlite3, ssl, tempfile, uuid, zoneinfo
with concurrent.futures.ThreadPoolExecutor() as pool:
    assert list(pool.map(lambda n: n * n, range(4))) == [0, 1, 4, 9]
with multiprocessing.get_context('fork').Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
with tempfile.NamedTemporaryFile() as file:
    file.write(b'x' * 4096); file.flush()
    assert os.path.getsize(file.name) == 4096
pathlib.Path('notes.txt').write_text('kept')
assert sqlite3.connect(':memory:').execute('select 6 * 7').fetchone() == (42,)
assert os.getcwd() == os.path.expanduser('~') == '/work', (os.getcwd(), os.path.expanduser('~'))
assert os.getuid() >= 1000 and getpass.getuser()
"#;
    client.print(code).await;
    assert_eq!(client.run("pathlib.Path('/work/notes.txt').read_text()").await.result(), "'kept'");
    client.end().await;
}

async fn the_local_host_has_a_name_and_threads_are_as_many_as_processors(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import socket\nserver = socket.create_server(('localhost', 0))\n\
                with socket.create_connection(('localhost', server.getsockname()[1])): pass\n\
                socket.gethostbyname(socket.gethostname())";
    assert_eq!(client.run(code).await.result(), "'127.0.0.1'");
    // The default is one processor, however many the machine has.
    let code =
        "import os\n{os.environ[n] for n in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'GOMAXPROCS')}";
    assert_eq!(client.run(code).await.result(), "{'1'}");
    client.end().await;
}
