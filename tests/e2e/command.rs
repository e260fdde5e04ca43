//! `cellgate run`, and settings that make no sense.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::common::backend;
use crate::common::gateway;
use crate::common::suite::{Stage, cases};
use crate::common::traces::{GONE, until_empty};

cases![
    a_run_ends_as_its_cell_does,
    a_run_is_a_program_with_a_file_and_arguments,
    a_run_waits_for_what_a_program_waits_for,
    a_run_streams_and_asks,
    a_run_can_be_interrupted,
    a_setting_that_makes_no_sense_ends_the_program,
];

/// Longest time of one run.
const DEADLINE: Duration = Duration::from_secs(60);

struct Run {
    directory: tempfile::TempDir,
    stage_backend: backend::Backend,
}

impl Run {
    fn new(stage: &Stage) -> Run {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::Builder::new().prefix("cellgate-test-").tempdir().unwrap();
        let anyone = PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(directory.path(), anyone).unwrap();
        Run { directory, stage_backend: stage.backend }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let here = self.directory.path();
        let program = backend::program_for(self.stage_backend, here);
        let mut command = gateway::command(self.stage_backend, &program, here);
        command.args(arguments);
        let mut command = Command::from(command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    fn spawn(&self, code: &str, flags: &[&str]) -> Child {
        self.spawn_with(code, flags, &[])
    }

    /// The same with arguments of the program's own.
    fn spawn_with(&self, code: &str, flags: &[&str], given: &[&str]) -> Child {
        let file = self.directory.path().join("cell.py");
        std::fs::write(&file, code).unwrap();
        let runtime = self.directory.path().join("run");
        let mut arguments = vec!["run", "--runtime-dir", runtime.to_str().unwrap()];
        let of_backend = self.stage_backend.flags();
        arguments.extend(of_backend.iter().map(String::as_str));
        arguments.extend(flags);
        arguments.push(file.to_str().unwrap());
        arguments.extend(given);
        self.command(&arguments).spawn().unwrap()
    }
}

/// Exit code, stdout, stderr.
async fn end_of(child: Child) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn without_log(stderr: &str) -> String {
    let log = |line: &&str| !line.contains(" WARN ");
    stderr.lines().filter(log).map(|line| format!("{line}\n")).collect()
}

async fn a_run_ends_as_its_cell_does(stage: &Stage) {
    let run = Run::new(stage);
    let (code, out, err) =
        end_of(run.spawn("import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7", &[]))
            .await;
    assert_eq!((code, out.as_str(), without_log(&err).as_str()), (Some(0), "out\n", "err\n"));
    let (code, out, err) = end_of(run.spawn("1 / 0", &[])).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("ZeroDivisionError"), "{err}");
    for (code, exit, told) in [
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(0)", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit(256 + 7)", 7, ""),
        ("import sys; sys.exit('no such thing')", 1, "no such thing\n"),
        ("exit(2)", 2, ""),
        ("raise SystemExit(True)", 1, ""),
    ] {
        let (status, out, err) = end_of(run.spawn(code, &[])).await;
        assert_eq!((status, out.as_str()), (Some(exit), ""), "{code}: {err}");
        assert_eq!(without_log(&err), told, "{code}");
    }
    let (code, _, err) = end_of(run.spawn("while True: pass", &["--timeout", "300ms"])).await;
    assert_eq!(code, Some(124), "{err}");
    assert!(err.contains("300 ms"), "{err}");
    let (code, _, err) = end_of(run.spawn("import os; os._exit(3)", &[])).await;
    assert_eq!(code, Some(70), "{err}");
    assert!(err.contains("exit code 3"), "{err}");
    // The janitor outlives its gateway for a moment.
    let left = until_empty(GONE, async || walk(&run.directory.path().join("run"))).await;
    assert!(left.is_empty(), "{left:?}");
}

async fn a_run_is_a_program_with_a_file_and_arguments(stage: &Stage) {
    let run = Run::new(stage);
    let code = "import sys\nprint(sys.argv)\nprint(__file__)\nprint(len(open(__file__).read()))";
    let given = ["--flag", "-x", "two words", "--memory", "1"];
    let (exit, out, err) = end_of(run.spawn_with(code, &[], &given)).await;
    assert_eq!(exit, Some(0), "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "['cell.py', '--flag', '-x', 'two words', '--memory', '1']");
    assert!(lines[1].ends_with("/cell.py") && lines[1].starts_with('/'), "{out}");
    assert_eq!(lines[2], code.len().to_string());
    // A traceback names the file, without colours where there is no terminal.
    let (exit, _, err) = end_of(run.spawn("def f():\n    1 / 0\nf()", &[])).await;
    assert_eq!(exit, Some(1));
    assert!(err.contains("cell.py") && err.contains("ZeroDivisionError"), "{err}");
    assert!(!err.contains('\u{1b}'), "{err}");
    let nowhere = run.command(&["run", "/nonexistent/prog.py"]).spawn().unwrap();
    let (exit, out, err) = end_of(nowhere).await;
    assert_eq!((exit, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("/nonexistent/prog.py"), "{err}");
    // What starts Python anew finds the program's functions, as it has a file.
    let code = "import multiprocessing\ndef double(x):\n    return 2 * x\n\
                if __name__ == '__main__':\n    context = multiprocessing.get_context('spawn')\n    \
                with context.Pool(1) as pool:\n        print(pool.map(double, [1, 21]))";
    let (exit, out, err) = end_of(run.spawn(code, &[])).await;
    assert_eq!((exit, out.as_str()), (Some(0), "[2, 42]\n"), "{err}");
}

async fn a_run_waits_for_what_a_program_waits_for(stage: &Stage) {
    let run = Run::new(stage);
    let code = "import atexit, threading, time\nfrom concurrent.futures import ThreadPoolExecutor\n\
                atexit.register(print, 'last')\n\
                def late():\n    time.sleep(0.3)\n    print('thread')\n\
                threading.Thread(target=late).start()\n\
                threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n\
                ThreadPoolExecutor().submit(lambda: (time.sleep(0.6), print('pool')))\n\
                print('first')";
    let (exit, out, err) = end_of(run.spawn(code, &[])).await;
    assert_eq!((exit, out.as_str()), (Some(0), "first\nthread\npool\nlast\n"), "{err}");
    // Its time is counted.
    let code = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()";
    let (exit, _, err) = end_of(run.spawn(code, &["--timeout", "500ms"])).await;
    assert_eq!(exit, Some(124), "{err}");
}

fn walk(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let shared = ["docker", "local", "runtime-dir-id", "directory.lock"];
    let found = paths.flat_map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut all = walk(&path);
        all.extend((!shared.contains(&name.as_str())).then_some(name));
        all
    });
    found.collect()
}

async fn a_run_streams_and_asks(stage: &Stage) {
    let run = Run::new(stage);
    let mut child = run.spawn("print('first')\nname = input()\nprint('hello', name)", &[]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    // The cell waits for us, so the line came while it ran.
    tokio::time::timeout(DEADLINE, stdout.read_line(&mut line)).await.unwrap().unwrap();
    assert_eq!(line, "first\n");
    child.stdin.take().unwrap().write_all("Zoë\n".as_bytes()).await.unwrap();
    let mut rest = String::new();
    tokio::time::timeout(DEADLINE, stdout.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, "hello Zoë\n");
    assert_eq!(end_of(child).await.0, Some(0));
}

async fn a_run_can_be_interrupted(stage: &Stage) {
    let run = Run::new(stage);
    let mut child = run.spawn("print('up', flush=True)\nwhile True: pass", &[]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    tokio::time::timeout(DEADLINE, stdout.read_line(&mut line)).await.unwrap().unwrap();
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let (code, _, err) = end_of(child).await;
    assert_eq!(code, Some(130), "{err}");
    assert!(err.contains("KeyboardInterrupt"), "{err}");
    // Also while it waits for a line.
    let mut child = run.spawn("input('name? ')", &[]);
    let mut stdout = child.stdout.take().unwrap();
    let mut prompt = [0; 6];
    tokio::time::timeout(DEADLINE, stdout.read_exact(&mut prompt)).await.unwrap().unwrap();
    assert_eq!(&prompt, b"name? ");
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    let open = child.stdin.take(); // an end of input would be an answer
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(end_of(child).await.0, Some(130));
    drop(open);
}

async fn a_setting_that_makes_no_sense_ends_the_program(stage: &Stage) {
    let run = Run::new(stage);
    for (arguments, named) in [
        (&["serve", "--memory", "lots"][..], "--memory"),
        (&["serve", "--listen", "nowhere"], "--listen"),
        (&["serve", "--no-such-flag"], "--no-such-flag"),
        (&["serve", "--config", "/nonexistent/cellgate.toml"], "/nonexistent/cellgate.toml"),
        (&["serve", "--insecure-no-token", "--listen", "0.0.0.0:0"], "insecure"),
        (&["run"], "FILE"),
    ] {
        let (code, out, err) = end_of(run.command(arguments).spawn().unwrap()).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(err.contains(named), "{arguments:?}: {err}");
    }
}
