//! What keeps a gateway from starting: each setting that names what is not there ends the program
//! with code 2, the setting and the place where it was set.
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use common::backend::{Backend, DOCKER_SOCKET, NOBODY, image, is_root, program_for};
use common::gateway::{self, Gateway};

/// Nothing is found by it that has no path of its own.
const EMPTY_PATH: &str = "/nowhere";

/// One wrong setting. `@` in it is the directory that the program starts in.
#[derive(Default)]
struct Row {
    /// The file of settings.
    toml: &'static str,
    variables: &'static [(&'static str, &'static str)],
    flags: &'static [&'static str],
    /// What `serve` says: how the line begins, and a part of it.
    says: [&'static str; 2],
    /// Key and source, as the doctor's JSON has them.
    told: [&'static str; 2],
    /// `run` has no flag for it.
    only_serve: bool,
}

const LOCAL: &[Row] = &[
    Row {
        flags: &["--python", "/nowhere/python3"],
        says: ["--python: ", "/nowhere/python3: No such file"],
        told: ["python", "flag --python"],
        ..NONE
    },
    Row {
        variables: &[("CELLGATE_PYTHON", "/nowhere/python3")],
        says: ["CELLGATE_PYTHON: ", "Python 3.9 or newer"],
        told: ["python", "environment CELLGATE_PYTHON"],
        ..NONE
    },
    Row {
        toml: "python = 'nowhere'\n",
        says: ["cellgate.toml:1:10: python: ", "@/nowhere: No such file"],
        told: ["python", "cellgate.toml:1"],
        ..NONE
    },
    Row {
        toml: "[templates.data]\npython = '/nowhere/python3'\n",
        says: ["cellgate.toml:2:10: templates.data.python: ", "No such file"],
        told: ["templates.data.python", "cellgate.toml:2"],
        ..NONE
    },
    Row {
        flags: &["--python", "/usr"],
        says: ["--python: ", "/usr is a directory"],
        told: ["python", "flag --python"],
        ..NONE
    },
    Row {
        flags: &["--python", "@/plain"],
        says: ["--python: ", "@/plain cannot be started: Permission denied"],
        told: ["python", "flag --python"],
        ..NONE
    },
    Row {
        flags: &["--python", "/bin/true"],
        says: ["--python: ", "/bin/true is not a Python 3"],
        told: ["python", "flag --python"],
        ..NONE
    },
    Row {
        flags: &["--python", "@/old"],
        says: ["--python: ", "is Python 3.8, and 3.9 is needed"],
        told: ["python", "flag --python"],
        ..NONE
    },
    Row {
        flags: &["--root", "/"],
        says: ["--root: ", "/ shows a user's home directory, /"],
        told: ["root", "flag --root"],
        ..NONE
    },
    Row {
        variables: &[("HOME", "@/home"), ("CELLGATE_PYTHON", "@/home/bin/python3")],
        says: ["CELLGATE_PYTHON: ", "@/home is a user's home directory, all of which"],
        told: ["python", "environment CELLGATE_PYTHON"],
        ..NONE
    },
    Row {
        flags: &["--root", "/nowhere"],
        says: ["--root: ", "/nowhere: No such file"],
        told: ["root", "flag --root"],
        ..NONE
    },
    Row {
        flags: &["--root", "@/plain"],
        says: ["--root: ", "@/plain is not a directory"],
        told: ["root", "flag --root"],
        ..NONE
    },
    Row {
        flags: &["--root", "@/empty"],
        says: ["--root: ", "@/empty has no /usr/bin/python3"],
        told: ["root", "flag --root"],
        ..NONE
    },
    Row {
        flags: &["--root", "@/empty", "--python", "/opt/python3"],
        says: ["--python: ", "@/empty has no /opt/python3"],
        told: ["python", "flag --python"],
        ..NONE
    },
    Row {
        flags: &["--log-directory", "/nowhere"],
        says: ["--log-directory: ", "/nowhere: No such file"],
        told: ["session.log_directory", "flag --log-directory"],
        only_serve: true,
        ..NONE
    },
    Row {
        toml: "[session]\nlog_directory = 'plain'\n",
        says: ["cellgate.toml:2:17: session.log_directory: ", "@/plain is not a directory"],
        told: ["session.log_directory", "cellgate.toml:2"],
        ..NONE
    },
    Row {
        // Not even root makes a file there.
        variables: &[("CELLGATE_LOG_DIRECTORY", "/proc")],
        says: ["CELLGATE_LOG_DIRECTORY: ", "no file can be made in /proc by this user"],
        told: ["session.log_directory", "environment CELLGATE_LOG_DIRECTORY"],
        ..NONE
    },
    Row {
        flags: &["--runtime-dir", "@/plain/run"],
        says: ["--runtime-dir: ", "@/plain/run/local: Not a directory"],
        told: ["runtime_dir", "flag --runtime-dir"],
        ..NONE
    },
];

/// Where no engine is needed to tell.
const ENGINE: &[Row] = &[
    Row {
        flags: &["--docker-host", "unix:///nowhere/docker.sock"],
        says: ["--docker-host: ", "/nowhere/docker.sock does not exist"],
        told: ["docker.host", "flag --docker-host"],
        ..NONE
    },
    Row {
        variables: &[("DOCKER_HOST", "unix:///nowhere/docker.sock")],
        says: ["DOCKER_HOST: ", "/nowhere/docker.sock does not exist"],
        told: ["docker.host", "environment DOCKER_HOST"],
        ..NONE
    },
    Row {
        toml: "[docker]\nhost = 'tcp://127.0.0.1:1'\n",
        says: ["cellgate.toml:2:8: docker.host: ", "no docker engine answers at tcp://127.0.0.1:1"],
        told: ["docker.host", "cellgate.toml:2"],
        ..NONE
    },
];

/// With the engine of this machine.
const DOCKER: &[Row] = &[
    Row {
        flags: &["--docker-runtime", "cellgate-none"],
        says: ["--docker-runtime: ", "has no runtime \"cellgate-none\" (it has: "],
        told: ["docker.runtime", "flag --docker-runtime"],
        ..NONE
    },
    Row {
        variables: &[("CELLGATE_IMAGE", "cellgate-none")],
        says: ["CELLGATE_IMAGE: ", "has no image cellgate-none: build it"],
        told: ["image", "environment CELLGATE_IMAGE"],
        ..NONE
    },
    Row {
        toml: "[templates.data]\nimage = 'cellgate-none'\n",
        says: ["cellgate.toml:2:9: templates.data.image: ", "has no image cellgate-none: build it"],
        told: ["templates.data.image", "cellgate.toml:2"],
        ..NONE
    },
    Row {
        flags: &["--runtime-dir", "@/plain/run"],
        says: ["--runtime-dir: ", "cannot use the runtime directory @/plain/run/docker"],
        told: ["runtime_dir", "flag --runtime-dir"],
        ..NONE
    },
];

const NONE: Row =
    Row { toml: "", variables: &[], flags: &[], says: ["", ""], told: ["", ""], only_serve: false };

/// A directory to start in.
struct Stage(TempDir);

impl Stage {
    fn new(toml: &str) -> Stage {
        let stage = Stage(tempfile::tempdir().unwrap());
        fs::write(stage.path().join("cellgate.toml"), toml).unwrap();
        fs::write(stage.path().join("plain"), "").unwrap();
        fs::write(stage.path().join("code.py"), "print(6 * 7)\n").unwrap();
        fs::create_dir(stage.path().join("empty")).unwrap();
        fs::create_dir_all(stage.path().join("home/bin")).unwrap();
        let answer = |version: &str, prefix: &str| {
            format!(
                "#!/bin/sh\necho '{{\"version\": {version}, \"executable\": \"/usr/bin/x\", \
                 \"paths\": [{prefix:?}]}}'\n"
            )
        };
        stage.script("old", &answer("[3, 8]", "/usr"));
        stage.script("home/bin/python3", &answer("[3, 12]", &stage.text("@/home")));
        fs::set_permissions(stage.path(), PermissionsExt::from_mode(0o755)).unwrap();
        stage
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Written by another process, so that starting it does not fail because this one has it open.
    fn script(&self, name: &str, text: &str) {
        let write = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", write]).arg(self.path().join(name)).arg(text);
        assert!(command.status().unwrap().success());
    }

    fn text(&self, text: &str) -> String {
        text.replace('@', self.path().to_str().unwrap())
    }

    fn program(&self, before: &[&str], arguments: &[String], variables: &[(&str, &str)]) -> Output {
        let program = env!("CARGO_BIN_EXE_cellgate");
        let mut command = match before {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        let variables = variables.iter().map(|(name, value)| (name, self.text(value)));
        command.args(arguments).env_clear().env("PATH", EMPTY_PATH).envs(variables);
        command.current_dir(self.path()).stdin(Stdio::null()).output().unwrap()
    }

    /// `serve`, `run` and `doctor` with these flags beside those of the backend.
    fn arguments(&self, command: &[&str], backend: &[&str], flags: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        all.extend(backend.iter().chain(flags).map(|flag| self.text(flag)));
        if !flags.contains(&"--runtime-dir") {
            all.extend(["--runtime-dir".to_owned(), self.text("@/run")]);
        }
        all
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Tries a row with every command that has its flags.
fn try_row(row: &Row, backend: &[&str]) {
    let stage = Stage::new(row.toml);
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let run = ["run", "code.py"];
    let commands: &[&[&str]] = if row.only_serve { &[&listen] } else { &[&listen, &run] };
    let [begin, part] = row.says.map(|text| stage.text(text));
    for command in commands {
        let arguments = stage.arguments(command, backend, row.flags);
        let output = stage.program(&[], &arguments, row.variables);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        let line = said.lines().next().unwrap_or_default();
        assert!(line.starts_with(&format!("error: {begin}")), "{arguments:?}: {said}");
        assert!(line.contains(&part), "{arguments:?}: no {part:?} in {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let arguments = stage.arguments(&["doctor", "--json"], backend, row.flags);
    let output = stage.program(&[], &arguments, row.variables);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problem = &said["problems"][0];
    let [key, source] = row.told;
    assert_eq!((&problem["key"], &problem["source"]), (&key.into(), &source.into()), "{said:#}");
    assert!(problem["message"].as_str().unwrap().contains(&part), "{said:#}");
    assert_eq!(said["chosen"], Value::Null, "{said:#}");
}

#[test]
fn a_setting_that_names_what_is_not_there_ends_the_program_with_its_place() {
    LOCAL.iter().for_each(|row| try_row(row, &["--backend", "local"]));
    ENGINE.iter().for_each(|row| try_row(row, &["--backend", "docker"]));
}

#[test]
fn what_an_engine_does_not_have_ends_the_program_with_the_setting_that_asks_for_it() {
    if let Some(missing) = Backend::Docker.missing() {
        return missing.skip("what an engine does not have ends the program").unwrap();
    }
    let host = format!("unix://{DOCKER_SOCKET}");
    for row in DOCKER {
        let image = image();
        let mut backend = vec!["--backend", "docker", "--docker-host", &host];
        // A variable's value would be hidden by the flag.
        if row.variables.is_empty() {
            backend.extend(["--image", &image]);
        }
        try_row(row, &backend);
    }
}

/// Commands run in namespaces in which no python3 is where one could be.
fn without_python() -> Vec<String> {
    let hide = "for python in /usr/bin/python3 /usr/local/bin/python3; do \
                [ ! -e $python ] || mount --bind /dev/null $python || exit 99; done; exec \"$@\"";
    [
        "/usr/bin/env",
        "PATH=/usr/bin:/bin",
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        hide.to_owned(),
        "sh".to_owned(),
        "/usr/bin/env".to_owned(),
        format!("PATH={EMPTY_PATH}"),
    ])
    .collect()
}

#[test]
fn without_a_python_nothing_starts_and_every_command_says_how_to_get_one() {
    if let Some(missing) = Backend::LocalUser.missing() {
        return missing.skip("without a Python nothing starts").unwrap();
    }
    let stage = Stage::new("");
    let hidden = without_python();
    let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
    let nowhere = [("DOCKER_HOST", "unix:///nowhere/docker.sock")];
    for backend in ["local", "auto"] {
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["run", "code.py"], &["doctor"]]
        {
            let arguments = stage.arguments(command, &["--backend", backend], &[]);
            let output = stage.program(&hidden, &arguments, &nowhere);
            let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            for part in [
                "python: no python3 of version 3.9 or newer: there is none",
                "apt install python3",
                "--python PATH",
                "--image NAME",
            ] {
                assert!(said.contains(part), "{arguments:?}: no {part:?} in {said}");
            }
            if command == ["doctor"] {
                assert!(said.contains("backend local: not usable"), "{said}");
                assert!(said.contains("cellgate could not start: python: no python3"), "{said}");
            }
            let both = said.contains("docker, which comes first, is not usable either");
            assert_eq!(both, backend == "auto", "{said}");
        }
    }
}

#[test]
fn where_there_is_a_choice_what_docker_lacks_is_the_reason_for_local() {
    if let Some(missing) = Backend::LocalRoot.missing().and(Backend::LocalUser.missing()) {
        return missing.skip("where there is a choice").unwrap();
    }
    let stage = Stage::new("");
    for (flag, value, why) in [
        ("--docker-host", "unix:///nowhere/docker.sock", "/nowhere/docker.sock"),
        ("--docker-runtime", "cellgate-none", "docker"),
        ("--image", "cellgate-none", "docker"),
    ] {
        let flags = ["--python", "/usr/bin/python3", flag, value];
        let arguments = stage.arguments(&["doctor", "--json"], &["--backend", "auto"], &flags);
        let output = stage.program(&[], &arguments, &[]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &said["chosen"]), (Some(0), &"local".into()), "{said:#}");
        let reason = said["reason"].as_str().unwrap();
        assert!(reason.starts_with("docker, which comes first, is not usable: "), "{reason}");
        assert!(reason.contains(why), "{reason}");
        assert_eq!(said["problems"], Value::Array(Vec::new()));
    }
}

/// An ordinary user's program with these arguments; its limits are those of a user without cgroups.
fn as_user(stage: &Stage, arguments: &[&str]) -> Output {
    let backend = Backend::LocalUser;
    let program = program_for(backend, stage.path());
    let run = stage.path().join("user");
    fs::create_dir_all(&run).unwrap();
    if is_root() {
        std::os::unix::fs::chown(&run, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = gateway::command(backend, &program, stage.path());
    command.args(arguments).args(backend.flags()).arg("--runtime-dir").arg(run);
    command.output().unwrap()
}

#[test]
fn without_memory_and_cpu_limits_only_the_user_who_started_it_is_served() {
    let test = "without memory and CPU limits only the user who started it is served";
    if let Some(missing) = Backend::LocalUser.missing() {
        return missing.skip(test).unwrap();
    }
    let stage = Stage::new("");
    let doctor = |flags: &[&str]| {
        let output = as_user(&stage, &[&["doctor", "--json"], flags].concat());
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), said)
    };
    let missing = serde_json::json!(["memory limit", "CPU limit"]);
    if doctor(&[]).1["weak_limits"]["missing"] != missing {
        // Nothing that a machine could be asked to have.
        return eprintln!("skipped: {test}: an ordinary user has cgroups here");
    }
    for (flags, because) in [
        (&[][..], "loopback"),
        (&["--listen", "[::1]:8080"], "loopback"),
        (&["--listen", "0.0.0.0:8080", "--allow-weak-limits"], "the setting"),
        (&["--token", "chosen-by-somebody", "--allow-weak-limits"], "the setting"),
    ] {
        let (code, said) = doctor(flags);
        assert_eq!((code, &said["chosen"]), (Some(0), &"local".into()), "{flags:?}: {said:#}");
        let allowed = said["weak_limits"]["allowed"].as_str().unwrap();
        assert!(allowed.contains(because), "{flags:?}: {allowed}");
    }
    let keys = "[keys.a]\nkey = 'pk_0123456789abcdef'\norigins = ['https://a.example']\n";
    fs::write(stage.path().join("keys.toml"), keys).unwrap();
    let ways_out = [
        "start the gateway as root",
        "systemd-run --user --scope --property=Delegate=yes cellgate",
        "--allow-weak-limits",
        "no memory limit and no CPU limit",
    ];
    for flags in [
        &["--listen", "0.0.0.0:0"][..],
        &["--listen", "[::]:0"],
        // Behind a proxy, say: others know this token.
        &["--listen", "127.0.0.1:0", "--token", "chosen-by-somebody"],
        &["--listen", "127.0.0.1:0", "--insecure-no-token"],
        // A key is for everybody who has read a page.
        &["--listen", "127.0.0.1:0", "--config", "keys.toml"],
    ] {
        let (code, said) = doctor(flags);
        assert_eq!((code, &said["chosen"]), (Some(2), &Value::Null), "{flags:?}: {said:#}");
        assert_eq!(said["problems"][0]["key"], "allow_weak_limits", "{flags:?}: {said:#}");
        let output = as_user(&stage, &[&["serve"], flags].concat());
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {error}");
        for part in ways_out {
            assert!(said["problems"][0]["message"].as_str().unwrap().contains(part), "{said:#}");
            assert!(error.contains(part), "{flags:?}: no {part:?} in {error}");
        }
    }
    // With `cellgate run`, missing limits are reported only on request.
    let quiet = as_user(&stage, &["run", "code.py"]);
    assert_eq!((quiet.status.code(), stderr(&quiet).as_str()), (Some(0), ""));
    let told = as_user(&stage, &["run", "code.py", "--log", "info"]);
    let said = stderr(&told);
    assert!(
        told.status.success() && said.contains("missing=\"memory limit, CPU limit\""),
        "{said}"
    );
}

#[tokio::test]
async fn a_gateway_without_limits_warns_when_it_starts() {
    let test = "a gateway without limits warns when it starts";
    if let Some(missing) = Backend::LocalUser.missing() {
        return missing.skip(test).unwrap();
    }
    let gateway = Gateway::start(Backend::LocalUser, &[]);
    let log = gateway.log();
    let warns = log.lines().find(|line| line.contains("one session can take the whole machine"));
    // Where the user has cgroups nothing is missing.
    let missing = log.contains("not enforced what=\"memory limit\"");
    assert_eq!(warns.is_some_and(|line| line.contains("WARN")), missing, "{log}");
    gateway.stop().await;
}

#[test]
fn a_gateway_that_is_asked_to_end_while_it_starts_ends_well() {
    let stage = Stage::new("");
    let path = stage.path().join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let host = format!("unix://{}", path.display());
    let flags = ["serve", "--listen", "127.0.0.1:0", "--backend", "docker", "--docker-host", &host];
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellgate"));
    command.args(flags).arg("--runtime-dir").arg(stage.path().join("run")).env_clear();
    let mut gateway = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // An engine that is asked and does not answer: the gateway waits for it.
    let asked = poll(
        &mut [PollFd::new(&listener, PollFlags::IN)],
        Some(&Timespec { tv_sec: 60, tv_nsec: 0 }),
    );
    assert_eq!(asked.unwrap(), 1, "the gateway does not ask the engine");
    let _asked = listener.accept().unwrap();
    kill_process(Pid::from_child(&gateway), Signal::TERM).unwrap();
    let mut said = String::new();
    gateway.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((gateway.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn groups_that_an_ordinary_user_cannot_leave_are_reported() {
    let test = "groups that an ordinary user cannot leave are told";
    if let Some(missing) = Backend::LocalRoot.missing().or_else(|| Backend::LocalUser.missing()) {
        return missing.skip(test).unwrap();
    }
    let stage = Stage::new("");
    let user = NOBODY.to_string();
    let runtime = stage.path().join("run");
    fs::create_dir(&runtime).unwrap();
    std::os::unix::fs::chown(&runtime, Some(NOBODY), Some(NOBODY)).unwrap();
    for (groups, state) in [("65533,65532", "partial"), (user.as_str(), "full")] {
        let program = program_for(Backend::LocalUser, stage.path());
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--groups", groups]).arg(program);
        command.args(["doctor", "--json", "--backend", "local", "--python", "/usr/bin/python3"]);
        let output = command.env_clear().env("PATH", "/usr/bin").arg("--runtime-dir").arg(&runtime);
        let output = output.current_dir(stage.path()).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let protections = said["backends"][1]["protections"].as_array().unwrap();
        let entry = protections.iter().find(|one| one["what"] == "no further groups").unwrap();
        assert_eq!(entry["state"], state, "{groups}: {entry}");
    }
}
