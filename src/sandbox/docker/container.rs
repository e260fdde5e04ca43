//! The request for a container, with every restriction, and the SETUP message of its supervisor.
//!
//! Pure: a template, the engine's facts and the placement of driver and link go in.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountType, MountVolumeOptions,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use cellgate_driver::wire::Setup;

use super::facts::Facts;
use crate::language::Language;
use crate::sandbox::SandboxError;
use crate::sandbox::Startable;
use crate::sandbox::common::environment;
use crate::sandbox::common::masked::PROC_MASKED;
use crate::sandbox::common::setup::{self, Found};
use crate::sandbox::common::{policy, rlimits};
use crate::template::{Limits, Template};

/// Where the link's directory and the driver's volume appear in a sandbox.
const CELLGATE: &str = "/run/cellgate";
/// Where the driver appears if it is bind-mounted, and the name it has in its volume.
const DRIVER_BIND: &str = "/run/cellgate-driver";
pub(super) const DRIVER_NAME: &str = "cellgate-driver";
/// Where sandboxes' `/etc/hosts` stands, beside the driver's executable.
pub(super) const HOSTS_NAME: &str = "hosts";
/// The link's socket in its directory.
pub(super) const SOCKET_NAME: &str = "link.sock";
/// The OOM killer takes processes of containers before all others. An engine with CAP_SYS_RESOURCE
/// fixes the score, so that no session can lower its own below its neighbours'. Of processes with
/// the same score the kernel kills the largest, which is never the supervisor.
const OOM_SCORE: i64 = 1000;
/// The engine refuses less than a hundredth of a processor.
const LEAST_CPU_MILLIS: u32 = 10;

/// Files of /sys that a container cannot read: those that Docker 28 hides, and those that describe
/// the machine's disks and hardware.
const SYS_MASKED: [&str; 6] = [
    "/sys/block",
    "/sys/class/dmi",
    "/sys/devices/virtual/dmi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/kernel/notes",
];

/// Labels of everything we make on an engine.
pub(super) mod label {
    /// The gateway that made it.
    pub(in super::super) const INSTANCE: &str = "cellgate.instance";
    /// Id of that gateway's runtime directory: gateways that share it can tell whether it runs.
    pub(in super::super) const RUNTIME_DIR_ID: &str = "cellgate.runtime-dir";
    /// The session it was made for; parked sandboxes have one too.
    pub(in super::super) const SESSION: &str = "cellgate.session";
    /// Unix seconds after which every gateway may remove it.
    pub(in super::super) const EXPIRES: &str = "cellgate.expires";
}

/// How the driver's executable gets into the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DriverSource {
    /// This file of a file system shared with the engine.
    Bind(PathBuf),
    /// A volume of the engine with the driver in it.
    Volume(String),
}

/// What the driver talks on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LinkSource {
    /// A socket in this directory of a shared file system.
    Directory(PathBuf),
    /// Its own stdin and stdout, attached through the engine.
    Stdio,
}

/// The way between gateway and sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) driver: DriverSource,
    pub(super) link: LinkSource,
}

/// The request for a sandbox of `template` from the image with id `image`. All in it is of the user
/// and group `user`, whatever the image's own is.
pub(super) fn request(
    template: &Template,
    image: &str,
    user: u32,
    facts: &Facts,
    placement: &Placement,
    labels: HashMap<String, String>,
) -> ContainerCreateBody {
    let attached = placement.link == LinkSource::Stdio;
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(command(placement)),
        cmd: Some(Vec::new()),
        user: Some(format!("{user}:{user}")),
        working_dir: Some(template.workdir.clone()),
        hostname: Some(environment::HOSTNAME.to_owned()),
        labels: Some(labels),
        // The runtime makes the empty network namespace by itself. The engine's own network code
        // would be called from a hook on every start, which costs as much as all the rest of it.
        network_disabled: Some(true),
        stop_signal: Some("SIGKILL".to_owned()),
        // A terminal would mix and rewrite the bytes of the link.
        tty: Some(false),
        // The engine closes the driver's stdin with our connection: the dead-man switch.
        open_stdin: Some(attached),
        stdin_once: Some(attached),
        attach_stdin: Some(attached),
        attach_stdout: Some(attached),
        attach_stderr: Some(attached),
        host_config: Some(host_config(template, user, facts, placement)),
        ..Default::default()
    }
}

fn command(placement: &Placement) -> Vec<String> {
    let driver = match &placement.driver {
        DriverSource::Bind(_) => DRIVER_BIND.to_owned(),
        DriverSource::Volume(_) => format!("{CELLGATE}/{DRIVER_NAME}"),
    };
    let link = match &placement.link {
        LinkSource::Directory(_) => format!("unix:{CELLGATE}/{SOCKET_NAME}"),
        LinkSource::Stdio => "stdio".to_owned(),
    };
    vec![driver, "supervise".to_owned(), "--link".to_owned(), link]
}

fn host_config(template: &Template, user: u32, facts: &Facts, placement: &Placement) -> HostConfig {
    let limits = &template.limits;
    let cgroups = !facts.without_cgroups;
    let memory = i64::try_from(limits.memory_bytes).unwrap_or(i64::MAX);
    let cpu_millis = limits.cpu_millis.clamp(LEAST_CPU_MILLIS, facts.processors * 1000);
    HostConfig {
        runtime: Some(facts.runtime.clone()),
        auto_remove: Some(true),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            ..Default::default()
        }),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        // The driver is PID 1 itself and reaps.
        init: Some(false),
        mounts: Some(mounts(placement)),
        tmpfs: Some(tmpfs(&template.workdir, limits, user)),

        privileged: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(security_options(facts)),
        readonly_rootfs: Some(true),
        masked_paths: Some(masked_paths()),
        network_mode: Some("none".to_owned()),
        // No shared memory segments of the host; /dev/shm is a tmpfs of the container's own.
        ipc_mode: Some("none".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),

        memory: (cgroups && facts.memory_limit).then_some(memory),
        // Equal to memory: no swap. Left out where the engine cannot count swap.
        memory_swap: (cgroups && facts.memory_limit && facts.swap_limit).then_some(memory),
        nano_cpus: (cgroups && facts.cpu_quota).then_some(i64::from(cpu_millis) * 1_000_000),
        pids_limit: (cgroups && facts.pids_limit).then_some(i64::from(limits.processes)),
        ulimits: Some(ulimits(limits, facts)),
        oom_score_adj: Some(OOM_SCORE),
        ..Default::default()
    }
}

/// Every hidden path. The list replaces the engine's own.
fn masked_paths() -> Vec<String> {
    let of_proc = PROC_MASKED.iter().map(|name| format!("/proc/{name}"));
    of_proc.chain(SYS_MASKED.map(str::to_owned)).collect()
}

fn mounts(placement: &Placement) -> Vec<Mount> {
    let bind = |source: &PathBuf, target: &str| Mount {
        typ: Some(MountType::BIND),
        source: Some(source.to_string_lossy().into_owned()),
        target: Some(target.to_owned()),
        read_only: Some(true),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut mounts = vec![match &placement.driver {
        DriverSource::Bind(file) => bind(file, DRIVER_BIND),
        DriverSource::Volume(name) => volume(name, true),
    }];
    // Without a network of the engine's the image's own /etc/hosts is empty. An engine that cannot
    // see our files cannot mount one.
    if let DriverSource::Bind(file) = &placement.driver {
        mounts.push(bind(&file.with_file_name(HOSTS_NAME), "/etc/hosts"));
    }
    if let LinkSource::Directory(directory) = &placement.link {
        mounts.push(bind(directory, CELLGATE));
    }
    mounts
}

/// The driver's volume at the place where [`command`] looks for it.
pub(super) fn volume(name: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name.to_owned()),
        target: Some(CELLGATE.to_owned()),
        read_only: Some(read_only),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
        ..Default::default()
    }
}

/// The only writable places. All of it is memory and counts against the memory limit.
fn tmpfs(workdir: &str, limits: &Limits, user: u32) -> HashMap<String, String> {
    let options = |exec: &str| {
        format!(
            "rw,nosuid,nodev,{exec},size={},nr_inodes={},mode=0700,uid={user},gid={user}",
            limits.disk_bytes, limits.disk_inodes
        )
    };
    HashMap::from([
        // Programs that a session builds or installs have to run.
        (workdir.to_owned(), options("exec")),
        ("/tmp".to_owned(), options("exec")),
        ("/dev/shm".to_owned(), options("noexec")),
    ])
}

fn security_options(facts: &Facts) -> Vec<String> {
    let mut options = vec!["no-new-privileges:true".to_owned()];
    if facts.seccomp {
        options.push(format!("seccomp={}", policy::docker_profile()));
    }
    options
}

/// Limits for every process of the container; the supervisor sets the same on user code.
fn ulimits(limits: &Limits, facts: &Facts) -> Vec<ResourcesUlimits> {
    let ulimit = |resource: rlimits::Resource| {
        let value = i64::try_from(resource.value?).unwrap_or(i64::MAX);
        let name = Some(resource.name.to_owned());
        Some(ResourcesUlimits { name, soft: Some(value), hard: Some(value) })
    };
    let table = rlimits::table(limits, facts.memory_is_enforced());
    table.into_iter().filter_map(ulimit).collect()
}

/// The command of a language's interpreter in an image.
pub(super) fn interpreter(template: &Template, language: &Language) -> String {
    match template.interpreters.of(language) {
        Some(path) => path.to_string_lossy().into_owned(),
        None => language.image_command.to_owned(),
    }
}

/// The languages that sessions of a template may have beside its first: what an image has cannot be seen from here, but
/// of the project's own.
pub(super) fn other_languages(template: &Template) -> Vec<&'static Language> {
    let (mut others, named) = template.other_languages();
    let brought = template.language.image_brings;
    let is_ours = template.image == template.language.image;
    others.retain(|other| named || (is_ours && brought.contains(&other.name)));
    others
}

/// The SETUP message, and what can be started later. `image_env` is the image's own environment, `NAME=value` each.
pub(super) fn setup(
    template: &Template,
    image_env: &[String],
    facts: &Facts,
) -> Result<(Setup, Startable), SandboxError> {
    let seccomp = policy::runner_filter().map_err(|error| SandboxError::Step {
        operation: "make the filter for system calls".into(),
        cause: error.into(),
    })?;
    let found = |interpreter: &str| Found {
        interpreter: interpreter.to_owned(),
        variables: variables(image_env),
        seccomp: seccomp.clone(),
        memory_is_limited: facts.memory_is_enforced(),
    };
    let languages = std::iter::once(template.language).chain(other_languages(template));
    let languages =
        languages.map(|language| (language, interpreter(template, language), String::new()));
    let startable = Startable::new(template, languages, found);
    Ok((setup::setup(template, found(&interpreter(template, template.language))), startable))
}

/// The image's variables, and a PATH for images that have none.
fn variables(image: &[String]) -> Vec<(String, String)> {
    let usual_path = ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let image = image.iter().filter_map(|entry| entry.split_once('='));
    let all = [usual_path].into_iter().chain(image);
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language;

    const USER: u32 = 2_100_000_007;

    fn template() -> Template {
        let env = vec![("PATH".into(), "/opt/bin".into()), ("A".into(), "1".into())];
        Template { env, ..Template::new("python", language::DEFAULT) }
    }

    fn facts() -> Facts {
        Facts {
            runtime: "runc".into(),
            memory_limit: true,
            swap_limit: true,
            cpu_quota: true,
            pids_limit: true,
            seccomp: true,
            processors: 2,
            ..Default::default()
        }
    }

    fn placement(link: LinkSource) -> Placement {
        Placement { driver: DriverSource::Bind("/run/x/driver".into()), link }
    }

    #[test]
    fn the_template_has_the_last_word_on_the_environment() {
        let image = ["PATH=/image/bin".to_owned(), "LANG=en".to_owned(), "odd".to_owned()];
        let env = setup(&template(), &image, &facts()).unwrap().0.env;
        let env: Vec<String> = env.into_iter().map(|v| String::from_utf8(v).unwrap()).collect();
        for expected in ["PATH=/opt/bin", "A=1", "LANG=C.UTF-8", "HOME=/work"] {
            assert!(env.contains(&expected.to_owned()), "{expected} in {env:?}");
        }
        assert_eq!(env.iter().filter(|entry| entry.starts_with("PATH=")).count(), 1);
    }

    #[test]
    fn only_an_attached_sandbox_has_a_stdin() {
        let stdio = placement(LinkSource::Stdio);
        let request_stdio = request(&template(), "id", USER, &facts(), &stdio, HashMap::new());
        assert_eq!(request_stdio.stdin_once, Some(true));
        assert_eq!(request_stdio.entrypoint.unwrap().last().unwrap(), "stdio");
        let socket = placement(LinkSource::Directory("/run/x/s".into()));
        let request_socket = request(&template(), "id", USER, &facts(), &socket, HashMap::new());
        assert_eq!(request_socket.open_stdin, Some(false));
        let link = request_socket.entrypoint.unwrap().last().unwrap().clone();
        assert_eq!(link, "unix:/run/cellgate/link.sock");
    }

    #[test]
    fn what_the_engine_cannot_enforce_is_not_asked_for() {
        let bare = Facts { without_cgroups: true, seccomp: false, ..facts() };
        let host = host_config(&template(), USER, &bare, &placement(LinkSource::Stdio));
        assert_eq!((host.memory, host.nano_cpus, host.pids_limit), (None, None, None));
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges:true"]);
        assert!(setup(&template(), &[], &bare).unwrap().0.watch_memory);
        assert!(!setup(&template(), &[], &facts()).unwrap().0.watch_memory);
    }

    #[test]
    fn everything_is_of_the_sandboxs_own_user_and_every_resource_is_limited() {
        let stdio = placement(LinkSource::Stdio);
        let request = request(&template(), "id", USER, &facts(), &stdio, HashMap::new());
        assert_eq!(request.user.as_deref(), Some("2100000007:2100000007"));
        let host = request.host_config.unwrap();
        let tmpfs = host.tmpfs.unwrap();
        assert!(tmpfs.values().all(|options| options.ends_with("uid=2100000007,gid=2100000007")));
        let ulimits = host.ulimits.unwrap();
        assert!(ulimits.iter().all(|one| one.soft == one.hard));
        let names: Vec<_> = ulimits.iter().filter_map(|one| one.name.as_deref()).collect();
        // An engine knows no name for address space, and these are what stays as it is.
        for name in ["cpu", "data", "rss", "as", "locks"] {
            assert!(!names.contains(&name), "{name}");
        }
        assert_eq!(names.len(), 11);
        // What the runtime set before is what the supervisor sets again.
        let inside = setup(&template(), &[], &facts()).unwrap().0.rlimits;
        let outside: Vec<_> = ulimits.iter().filter_map(|one| one.hard).collect();
        assert_eq!(inside.iter().map(|one| one.value as i64).collect::<Vec<_>>(), outside);
    }

    #[test]
    fn more_processors_than_there_are_is_all_of_them() {
        let limits = Limits { cpu_millis: 64_000, ..Limits::default() };
        let template = Template { limits, ..template() };
        let host = host_config(&template, USER, &facts(), &placement(LinkSource::Stdio));
        assert_eq!(host.nano_cpus, Some(2_000_000_000));
    }
}
