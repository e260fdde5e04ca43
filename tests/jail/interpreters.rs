//! Which interpreters run in a sandbox, and that what people run on them works.

use cellgate::language::Interpreters;

use super::*;

/// A template's interpreters with this Python among them.
fn python_of(python: Option<std::path::PathBuf>) -> Interpreters {
    Interpreters { python, ..Interpreters::default() }
}

#[tokio::test]
async fn the_scientific_libraries_work_under_the_filter() {
    let Some((backend, _dir)) = backend().await else { return };
    let Some(python) = std::env::var_os("CELLGATE_TEST_SCIENCE_PYTHON") else {
        return skip(
            "CELLGATE_TEST_SCIENCE_PYTHON names no interpreter with numpy, pandas, matplotlib",
        );
    };
    if Command::new(&python).arg("-V").status().is_err() {
        return skip("the interpreter of CELLGATE_TEST_SCIENCE_PYTHON is out of this user's reach");
    }
    let mut client = open_with(
        &backend,
        Template { interpreters: python_of(Some(python.into())), ..template() },
    )
    .await;
    // In a child: the filter is tested here, not the runner.
    let code = r#"
import subprocess, sys
print(subprocess.check_output([sys.executable, '-c', """
import json, numpy, pandas
import matplotlib; matplotlib.use('agg')
import matplotlib.pyplot as plot
a = numpy.random.default_rng(1).random((400, 400))
frame = pandas.DataFrame({'x': range(5)}); frame.to_csv('/work/x.csv')
plot.plot([1, 2]); plot.savefig('/work/x.png')
print(json.dumps([round(float((a @ numpy.linalg.inv(a)).trace())), int(pandas.read_csv('/work/x.csv').x.sum()),
    open('/work/x.png', 'rb').read(4).hex()]))
"""], text=True), end='')"#;
    assert_eq!(client.json(code).await, serde_json::json!([400, 10, "89504e47"]));
    client.end().await;
}

#[tokio::test]
async fn what_people_use_works_under_the_filter() {
    let Some((backend, _dir)) = backend().await else { return };
    let mut client = open(&backend).await;
    let code = r#"
import asyncio, concurrent.futures, json, multiprocessing, os, sqlite3, ssl, subprocess, tempfile, threading, time
async def echo():
    process = await asyncio.create_subprocess_exec('echo', 'async', stdout=subprocess.PIPE)
    await asyncio.sleep(0.01)
    return (await process.communicate())[0].decode().strip()
with multiprocessing.get_context('fork').Pool(2) as pool:
    squares = pool.map(abs, [-1, -2])
shared = multiprocessing.shared_memory if hasattr(multiprocessing, 'shared_memory') else __import__('multiprocessing.shared_memory').shared_memory
block = shared.SharedMemory(create=True, size=4096); block.unlink()
with concurrent.futures.ThreadPoolExecutor(4) as threads:
    sums = list(threads.map(sum, [[1, 2], [3]]))
base = sqlite3.connect('/work/x.db'); base.execute('create table t(a)'); base.commit()
ssl.create_default_context()
print(json.dumps({'async': asyncio.run(echo()), 'pool': squares, 'threads': sums,
    'shell': subprocess.check_output('echo $HOME; pwd', shell=True, text=True).split(),
    'time': time.tzname[0] != '', 'cpus': os.cpu_count() > 0, 'tmp': tempfile.gettempdir(),
    'memory': 'MemTotal' in open('/proc/meminfo').read(), 'tty': os.isatty(1)}))"#;
    let found = client.json(code).await;
    assert_eq!(found["async"], "async");
    assert_eq!(found["pool"], serde_json::json!([1, 2]));
    assert_eq!(found["threads"], serde_json::json!([3, 3]));
    assert_eq!(found["shell"], serde_json::json!(["/work", "/work"]));
    assert_eq!((&found["tmp"], &found["tty"]), (&"/tmp".into(), &false.into()));
    client.end().await;
}

#[tokio::test]
async fn a_missing_interpreter_and_a_bad_root_are_named() {
    let Some((backend, _dir)) = backend().await else { return };
    let python = Some("/nowhere/python3".into());
    let spec = client::spec(Template { interpreters: python_of(python), ..template() });
    let error = backend.create(&spec).await.err().expect("there is none").to_string();
    assert!(error.contains("/nowhere/python3"), "{error}");
    let root = Some("/nowhere".into());
    let spec = client::spec(Template { root, ..template() });
    let error = backend.create(&spec).await.err().expect("there is none").to_string();
    assert!(error.contains("/nowhere"), "{error}");
    assert_eq!(cgroups_named(spec.session.as_str()), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_virtual_environment_anywhere_is_found_and_visible() {
    let Some((backend, _dir)) = backend().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let venv = dir.path().join("venv");
    let made =
        Command::new("/usr/bin/python3").args(["-m", "venv", "--without-pip"]).arg(&venv).status();
    if !made.is_ok_and(|status| status.success()) {
        return skip("python3 -m venv does not work here");
    }
    let python = Some(venv.join("bin/python"));
    let mut client =
        open_with(&backend, Template { interpreters: python_of(python), ..template() }).await;
    let prefix = client.json("import sys, json; print(json.dumps(sys.prefix))").await;
    assert_eq!(prefix, venv.to_str().unwrap());
    client.end().await;
}

#[tokio::test]
async fn a_root_of_its_own_replaces_the_hosts_system() {
    let Some((backend, _dir)) = backend().await else { return };
    // A tree that borrows the host's /usr by links would point nowhere inside, so copy a little.
    let root = tempfile::tempdir().unwrap();
    let tree = root.path();
    let copied = Command::new("/bin/sh")
        .arg("-c")
        .arg(
            "set -e; cd \"$1\"; mkdir -p usr/bin usr/lib usr/lib64 etc; for l in bin lib lib64; do ln -s usr/$l $l; done
             cp -L /usr/bin/python3 usr/bin/; cp -r /usr/lib/python3* usr/lib/ 2>/dev/null || true
             ldd /usr/bin/python3 | grep -o '/[^ ]*' | while read f; do mkdir -p \".$(dirname $f)\"; cp -L $f \".$f\"; done
             echo tree > etc/marker",
        )
        .arg("sh")
        .arg(tree)
        .status();
    if !copied.is_ok_and(|status| status.success()) {
        return skip("no root could be put together from /usr");
    }
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(tree, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut client = open_with(&backend, Template { root: Some(tree.into()), ..template() }).await;
    let code = "import json, os; print(json.dumps([open('/etc/marker').read().strip(), os.path.exists('/usr/share'), os.listdir('/work')]))";
    assert_eq!(client.json(code).await, serde_json::json!(["tree", false, []]));
    client.end().await;
}
