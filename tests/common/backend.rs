//! The backends the suites run against, each a way of starting the gateway.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::require::Missing;

/// User and group of the gateway that is nobody in particular.
pub(crate) const NOBODY: u32 = 65534;

/// The interpreter of local sandboxes: one that every user can read, unlike a pyenv below `/root`.
const PYTHON: &str = "/usr/bin/python3";

/// The engine's socket.
pub(crate) const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Names another image for Docker's sandboxes. It has `python3`.
const IMAGE_VARIABLE: &str = "CELLGATE_TEST_IMAGE";

/// The image `scripts/ci-engine` builds.
const IMAGE: &str = "cellgate-python";

/// One way of making sandboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Namespaces, made by root.
    LocalRoot,
    /// Namespaces, made by an ordinary user.
    LocalUser,
    /// Containers of the engine's default runtime, reached over a shared socket.
    Docker,
    /// The same, reached over the container's stdio.
    DockerStdio,
    /// Containers of gVisor.
    DockerRunsc,
}

impl Backend {
    /// In the order they are tested: the quick ones first.
    pub(crate) const ALL: [Backend; 5] = [
        Backend::LocalRoot,
        Backend::LocalUser,
        Backend::Docker,
        Backend::DockerStdio,
        Backend::DockerRunsc,
    ];

    /// The one that most machines have, for what has nothing to do with sandboxes.
    pub(crate) const PLAIN: &'static [Backend] = &[Backend::LocalUser];

    /// The first of the quick ones that this machine has, for cases that no backend changes. Where it
    /// has none, those cases say what is missing.
    pub(crate) fn any() -> &'static [Backend] {
        let quick: [&[Backend]; 3] = [Backend::PLAIN, &[Backend::LocalRoot], &[Backend::Docker]];
        let found = quick.into_iter().find(|backends| backends[0].missing().is_none());
        found.unwrap_or(Backend::PLAIN)
    }

    /// First part of its tests' names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Backend::LocalRoot => "local_root",
            Backend::LocalUser => "local_user",
            Backend::Docker => "docker",
            Backend::DockerStdio => "docker_stdio",
            Backend::DockerRunsc => "docker_runsc",
        }
    }

    /// Whether sandboxes are containers of an engine.
    pub(crate) fn is_docker(self) -> bool {
        !matches!(self, Backend::LocalRoot | Backend::LocalUser)
    }

    /// Whether the kernel that user code sees is gVisor's, not the host's.
    pub(crate) fn is_gvisor(self) -> bool {
        self == Backend::DockerRunsc
    }

    /// What `ready` calls it.
    pub(crate) fn told_as(self) -> &'static str {
        if self.is_docker() { "docker" } else { "local" }
    }

    /// Which shell executes its cells.
    pub(crate) fn shell(self) -> &'static str {
        if self == Backend::Docker { "ipython" } else { "plain" }
    }

    /// The settings that make it this one. One backend executes cells by IPython, the others by the
    /// plain shell, so that a suite that runs on all of them covers both.
    pub(crate) fn flags(self) -> Vec<String> {
        let mut flags = vec!["--backend".to_owned(), self.told_as().to_owned()];
        let mut add = |name: &str, value: &str| flags.extend([name.to_owned(), value.to_owned()]);
        match self {
            Backend::LocalRoot | Backend::LocalUser => add("--python", PYTHON),
            Backend::Docker => add("--docker-data-path", "socket"),
            Backend::DockerStdio => add("--docker-data-path", "stdio"),
            Backend::DockerRunsc => {
                add("--docker-runtime", "runsc");
                // gVisor delivers a signal late when the machine is busy.
                add("--interrupt-grace", "6s");
            }
        }
        // Our image has IPython, others have not; a machine that runs the tests may have it or not.
        add("--shell", if self.shell() == "ipython" { "auto" } else { "plain" });
        if self.is_docker() {
            add("--docker-host", &format!("unix://{DOCKER_SOCKET}"));
            add("--image", &image());
        }
        flags
    }

    /// What this machine lacks for it.
    pub(crate) fn missing(self) -> Option<Missing> {
        match self {
            Backend::LocalRoot => {
                (!is_root()).then(|| Missing::new("root", "the tests do not run as root"))
            }
            Backend::LocalUser => missing_for_user(),
            Backend::Docker | Backend::DockerStdio => missing_for_docker(),
            Backend::DockerRunsc => missing_for_docker().or_else(missing_for_runsc),
        }
    }

    /// The command that runs the gateway's `program` as this backend's user.
    pub(crate) fn command(self, program: &Path) -> Command {
        if self != Backend::LocalUser || !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        let id = NOBODY.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(program);
        command
    }
}

/// Whether these tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The image of Docker's sandboxes.
pub(crate) fn image() -> String {
    std::env::var(IMAGE_VARIABLE).unwrap_or_else(|_| IMAGE.to_owned())
}

fn missing_for_user() -> Option<Missing> {
    // Not root: then the user these tests run as is as ordinary as any.
    if is_root() && !succeeds("setpriv", &["--version"]) {
        return Some(Missing::new("unprivileged", "setpriv of util-linux becomes another user"));
    }
    // Debian's and Ubuntu's ways of forbidding namespaces to ordinary users.
    let forbidden = [
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
        ("/proc/sys/user/max_user_namespaces", "0"),
    ];
    forbidden.into_iter().find_map(|(path, value)| {
        let found = std::fs::read_to_string(path).ok()?;
        (found.trim() == value).then(|| Missing::new("unprivileged", format!("{path} is {value}")))
    })
}

fn missing_for_docker() -> Option<Missing> {
    let host = format!("unix://{DOCKER_SOCKET}");
    let missing = |reason| Some(Missing::new("docker", reason));
    if !succeeds("docker", &["--host", &host, "version"]) {
        return missing(format!(
            "no engine answers on {DOCKER_SOCKET}; try scripts/ci-engine start"
        ));
    }
    let image = image();
    if !succeeds("docker", &["--host", &host, "image", "inspect", &image]) {
        return missing(format!("the engine has no image {image}; try scripts/ci-engine images"));
    }
    None
}

fn missing_for_runsc() -> Option<Missing> {
    let host = format!("unix://{DOCKER_SOCKET}");
    let arguments =
        ["--host", &host, "info", "--format", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}"];
    let output = Command::new("docker").args(arguments).output().ok()?;
    let runtimes = String::from_utf8_lossy(&output.stdout).into_owned();
    let known = runtimes.split_whitespace().any(|name| name == "runsc");
    (!known)
        .then(|| Missing::new("runsc", format!("the engine's runtimes are {}", runtimes.trim())))
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// The gateway's program, at a place that the backend's user can read.
pub(crate) fn program_for(backend: Backend, directory: &Path) -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_cellgate"));
    if backend != Backend::LocalUser || !is_root() {
        return built;
    }
    let copy = directory.join("cellgate");
    // Not by our own hand: a process forked by another thread would hold it open for writing for
    // a moment, and nobody may start a program that is being written.
    let copied = Command::new("cp").arg(&built).arg(&copy).status().unwrap();
    assert!(copied.success(), "cp: {copied}");
    copy
}
