//! What the runner is given, and what it cannot reach.

use std::process::{Command, Stdio};

use cellgate_driver::wire::{Rlimit, Setup, kind};

use crate::harness::{Gateway, setup};

#[test]
fn the_runner_has_its_eight_descriptors_and_no_privilege() {
    let mut gateway = Gateway::start();
    let fds =
        gateway.run(1, "out(' '.join(sorted(os.listdir('/proc/self/fd'), key=int)).encode())");
    // The last one is the listing itself; 3 and 4 are the two sockets.
    assert_eq!(fds, "0 1 2 3 4 5 6 7 8");
    let status = gateway.run(2, "out(open('/proc/self/status').read().encode())");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("SigBlk"), "0000000000000000");
    assert_eq!(
        gateway.run(3, "out(open('/proc/self/oom_score_adj').read().strip().encode())"),
        "1000"
    );
    let session = "out(b'%d' % (os.getsid(0) == os.getpid() == os.getpgid(0)))";
    assert_eq!(gateway.run(4, session), "1");
    assert_eq!(gateway.run(5, "out(os.getcwd().encode())"), setup().workdir);
    let environment = "out(repr(sorted(os.environ)).encode())";
    assert_eq!(gateway.run(6, environment), "['LANG', 'PATH']");
    let supervisor = "out(open('/proc/%d/oom_score_adj' % os.getppid()).read().strip().encode())";
    assert_eq!(gateway.run(7, supervisor), "500", "below what it runs, above the machine's");
}

#[test]
fn a_later_runner_has_the_same_descriptors() {
    let mut gateway = Gateway::start();
    for cell in 1..=3 {
        let kinds = "out(' '.join(os.readlink('/proc/self/fd/%d' % n).split(':')[0] \
                     for n in range(8)).encode())";
        let kinds = gateway.run(cell, kinds);
        assert_eq!(kinds, "/dev/null pipe pipe socket socket /memfd pipe /memfd");
        gateway.send(kind::RESTART, 0, b"");
        gateway.exited();
        gateway.expect(kind::READY);
    }
}

#[test]
fn the_supervisor_cannot_be_looked_into() {
    let mut gateway = Gateway::start();
    let code = "seen = []\nfor name in 'mem', 'fd/0', 'environ', 'maps', 'exe':\n try:\n  \
                open('/proc/%d/%s' % (os.getppid(), name), 'rb').read(1); seen.append(name)\n \
                except (PermissionError, FileNotFoundError): pass\nout(repr(seen).encode())";
    assert_eq!(gateway.run(1, code), "[]");
}

#[test]
fn limits_and_filter_are_in_force() {
    let refuse = |number: libc::c_long| {
        // Load the call's number; refuse this one with EPERM; allow all others.
        let program: [(u16, u8, u8, u32); 4] = [
            (0x20, 0, 0, 0),
            (0x15, 0, 1, number as u32),
            (0x06, 0, 0, 0x0005_0000 | libc::EPERM as u32),
            (0x06, 0, 0, 0x7fff_0000),
        ];
        let encode = |(code, jt, jf, k): (u16, u8, u8, u32)| {
            [&code.to_ne_bytes()[..], &[jt, jf], &k.to_ne_bytes()].concat()
        };
        program.into_iter().flat_map(encode).collect::<Vec<u8>>()
    };
    let limited = Setup {
        rlimits: vec![Rlimit { resource: libc::RLIMIT_NOFILE, value: 99 }],
        seccomp: refuse(libc::SYS_uname),
        ..setup()
    };
    let mut gateway = Gateway::with(&limited);
    let code = "import resource\nout(repr(resource.getrlimit(resource.RLIMIT_NOFILE)).encode())\n\
                try: os.uname()\nexcept PermissionError: out(b' refused')";
    assert_eq!(gateway.run(1, code), "(99, 99) refused");
}

#[test]
fn the_link_may_be_a_socket_in_the_file_system() {
    let directory = Gateway::start();
    let path = directory.path("link");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let link = format!("unix:{}", path.display());
    let driver = env!("CARGO_BIN_EXE_cellgate-driver");
    let mut child = Command::new(driver).args(["supervise", "--link", &link]).spawn().unwrap();
    let (stream, _) = listener.accept().unwrap();
    drop(stream);
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_link_may_be_standard_input_and_output() {
    let driver = env!("CARGO_BIN_EXE_cellgate-driver");
    let mut child = Command::new(driver)
        .args(["supervise", "--link", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut bytes = Vec::new();
    let framed = |bytes: &mut Vec<u8>, kind, cell, payload: &[u8]| {
        cellgate_driver::wire::append_message(bytes, kind, 0, cell, payload);
    };
    framed(&mut bytes, kind::SETUP, 0, &setup().encode());
    framed(&mut bytes, kind::EXECUTE, 1, b"out(b'through pipes'); os._exit(0)");
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, &bytes).unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    while !seen.windows(13).any(|window| window == b"through pipes") {
        let count = std::io::Read::read(&mut stdout, &mut chunk).unwrap();
        assert!(count > 0, "the link closed");
        seen.extend_from_slice(&chunk[..count]);
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn wrong_arguments_are_refused() {
    let driver = env!("CARGO_BIN_EXE_cellgate-driver");
    for arguments in [&[][..], &["supervise"], &["supervise", "--link", "fd:77"], &["dance"]] {
        let status = Command::new(driver).args(arguments).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{arguments:?}");
    }
}

/// A supervisor that is PID 1 of a namespace, as in production. `None` where this machine does
/// not let us make one.
fn as_first_process() -> Option<Gateway> {
    let options = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let possible = Command::new("unshare").args(options).arg("true").output().ok()?;
    if !possible.status.success() {
        eprintln!("not run: unshare says {}", String::from_utf8_lossy(&possible.stderr).trim());
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(options).arg(env!("CARGO_BIN_EXE_cellgate-driver"));
    let mut gateway = Gateway::bare(command);
    gateway.send(kind::SETUP, 0, &setup().encode());
    gateway.expect(kind::READY);
    Some(gateway)
}

#[test]
fn as_pid_1_it_ends_all_in_its_namespace_and_ignores_signals_from_inside() {
    let Some(mut gateway) = as_first_process() else { return };
    assert_eq!(gateway.run(1, "out(b'%d' % os.getppid())"), "1");
    gateway.run(2, "os.kill(1, signal.SIGTERM); os.kill(1, signal.SIGKILL)");
    // Twenty that are never the same process for long: each forks and ends, in a session of its
    // own, so whoever looks for them one by one comes too late.
    let bomb = "def hop():\n while True:\n  if os.fork(): os._exit(0)\n  os.setsid()\n\
                for _ in range(20):\n if os.fork() == 0: hop()\n\
                message(b'hopping'); time.sleep(60)";
    gateway.execute(3, bomb);
    gateway.until(kind::MESSAGE);
    gateway.send(kind::RESTART, 0, b"");
    assert_eq!(gateway.exited().0, 3);
    gateway.expect(kind::READY);
    let alone = "out(repr(sorted(int(p) for p in os.listdir('/proc') if p.isdigit())).encode())";
    let processes = gateway.run(4, alone);
    assert_eq!(processes.split(',').count(), 2, "{processes}");
}
