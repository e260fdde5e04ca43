//! The properties of an engine that decide how sandboxes are made, read from its own description.

use std::path::PathBuf;

use bollard::models::{
    SystemInfo, SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum, SystemVersion,
};

use crate::sandbox::SandboxError;

/// Read once when the backend connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The engine's version, for messages.
    pub(super) server_version: String,
    /// Version of runc, if the engine names one.
    pub(super) runc_version: Option<String>,
    /// The OCI runtime sandboxes get: the setting's, or the engine's default.
    pub(super) runtime: String,
    /// Whether that is gVisor.
    pub(super) gvisor: bool,
    /// Whether that runtime is configured not to use cgroups, or the engine has none.
    pub(super) without_cgroups: bool,
    /// 1 or 2.
    pub(super) cgroup_version: u8,
    /// Whether the engine can limit memory, memory and swap together, CPU time, processes.
    pub(super) memory_limit: bool,
    pub(super) swap_limit: bool,
    pub(super) cpu_quota: bool,
    pub(super) pids_limit: bool,
    /// Where limits on socket buffers can be written, if the engine's machine is this one.
    pub(super) buffers_hierarchy: Option<PathBuf>,
    /// Whether the engine can install seccomp profiles.
    pub(super) seccomp: bool,
    /// The mandatory access control in force, if any: `AppArmor` or `SELinux`.
    pub(super) access_control: Option<&'static str>,
    /// Whether the whole engine runs without root.
    pub(super) rootless: bool,
    /// Whether root in a container is another user outside.
    pub(super) user_namespace: bool,
    /// Processors of the engine's machine.
    pub(super) processors: u32,
}

impl Facts {
    /// Reads the engine's answers; fails if it cannot run our sandboxes at all.
    pub(super) fn read(
        version: &SystemVersion,
        info: &SystemInfo,
        runtime: Option<&str>,
    ) -> Result<Facts, SandboxError> {
        if let Some(os) = info.os_type.as_deref()
            && os != "linux"
        {
            return Err(SandboxError::Unsupported(format!(
                "the docker engine runs {os} containers: switch it to Linux containers"
            )));
        }
        if let Some(architecture) = info.architecture.as_deref()
            && !same_architecture(architecture, std::env::consts::ARCH)
        {
            return Err(SandboxError::Unsupported(format!(
                "the docker engine's machine is {architecture} and this cellgate is {}: run the \
                 cellgate of that architecture",
                std::env::consts::ARCH
            )));
        }
        let runtimes = info.runtimes.clone().unwrap_or_default();
        if let Some(wanted) = runtime
            && !runtimes.contains_key(wanted)
        {
            let mut known: Vec<&str> = runtimes.keys().map(String::as_str).collect();
            known.sort_unstable();
            let what = format!(
                "the docker engine has no runtime {wanted:?} (it has: {}): register it under \
                 \"runtimes\" in the engine's daemon.json and restart the engine, or name another \
                 with --docker-runtime",
                known.join(", ")
            );
            return Err(SandboxError::Setting { setting: "docker.runtime", what });
        }
        let runtime = runtime
            .or(info.default_runtime.as_deref())
            .filter(|name| !name.is_empty())
            .unwrap_or("runc")
            .to_owned();
        let entry = runtimes.get(&runtime);
        let path = entry.and_then(|entry| entry.path.as_deref()).unwrap_or("");
        let gvisor = runtime.contains("runsc") || path.ends_with("runsc");
        let ignores_cgroups = entry
            .and_then(|entry| entry.runtime_args.as_deref())
            .unwrap_or_default()
            .iter()
            .any(|argument| argument.trim_start_matches('-').starts_with("ignore-cgroups"));
        let no_driver = info.cgroup_driver == Some(SystemInfoCgroupDriverEnum::NONE);
        let option = |name: &str| {
            info.security_options.as_deref().unwrap_or_default().iter().any(|option| {
                option.split(',').any(|part| part.strip_prefix("name=") == Some(name))
            })
        };
        let access_control = match (option("apparmor"), option("selinux")) {
            (true, _) => Some("AppArmor"),
            (false, true) => Some("SELinux"),
            (false, false) => None,
        };
        let runc_version = version
            .components
            .as_deref()
            .unwrap_or_default()
            .iter()
            .find(|component| component.name == "runc")
            .map(|component| component.version.clone());
        Ok(Facts {
            server_version: version.version.clone().unwrap_or_else(|| "unknown".into()),
            runc_version,
            runtime,
            gvisor,
            without_cgroups: ignores_cgroups || no_driver,
            cgroup_version: match info.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_2) => 2,
                _ => 1,
            },
            memory_limit: info.memory_limit.unwrap_or(false),
            swap_limit: info.swap_limit.unwrap_or(false),
            cpu_quota: info.cpu_cfs_quota.unwrap_or(false),
            pids_limit: info.pids_limit.unwrap_or(false),
            // What this machine is, and not what the engine says: `Engine::connect` looks.
            buffers_hierarchy: None,
            seccomp: option("seccomp"),
            access_control,
            rootless: option("rootless"),
            user_namespace: option("userns"),
            processors: info.ncpu.and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1),
        })
    }

    /// Whether the memory limit leaves out what waits in TCP and UDP sockets. Version 2 counts it
    /// as memory, and gVisor's sockets are its own memory.
    pub(super) fn counts_buffers_apart(&self) -> bool {
        self.cgroup_version == 1 && self.memory_is_enforced() && !self.gvisor
    }

    /// Whether the kernel enforces the memory limit, so that the supervisor does not have to watch
    /// it.
    pub(super) fn memory_is_enforced(&self) -> bool {
        self.memory_limit && !self.without_cgroups
    }
}

/// Engines say `uname -m` or Go's name; Rust has a third spelling for some.
fn same_architecture(engine: &str, ours: &str) -> bool {
    let common = |name: &str| match name {
        "amd64" | "x86_64" => "x86_64".to_owned(),
        "arm64" | "aarch64" => "aarch64".to_owned(),
        other => other.to_owned(),
    };
    common(engine) == common(ours)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{Runtime, SystemVersionComponents};

    use super::*;

    fn engine() -> (SystemVersion, SystemInfo) {
        let version = SystemVersion {
            version: Some("20.10.24".into()),
            components: Some(vec![SystemVersionComponents {
                name: "runc".into(),
                version: "1.1.5+ds1".into(),
                details: None,
            }]),
            ..Default::default()
        };
        let runsc = Runtime {
            path: Some("/usr/bin/runsc".into()),
            runtime_args: Some(vec!["--network=none".into(), "--ignore-cgroups".into()]),
            ..Default::default()
        };
        let info = SystemInfo {
            os_type: Some("linux".into()),
            architecture: Some(std::env::consts::ARCH.into()),
            default_runtime: Some("runc".into()),
            runtimes: Some(HashMap::from([
                ("runc".to_owned(), Runtime::default()),
                ("strict".to_owned(), runsc),
            ])),
            security_options: Some(vec![
                "name=seccomp,profile=default".into(),
                "name=rootless".into(),
            ]),
            memory_limit: Some(true),
            ..Default::default()
        };
        (version, info)
    }

    #[test]
    fn gvisor_is_known_by_its_path_and_its_arguments_are_read() {
        let (version, info) = engine();
        let facts = Facts::read(&version, &info, Some("strict")).unwrap();
        assert!(facts.gvisor && facts.without_cgroups && !facts.memory_is_enforced());
        let facts = Facts::read(&version, &info, None).unwrap();
        assert!(!facts.gvisor && facts.memory_is_enforced());
        assert_eq!((facts.runtime.as_str(), facts.rootless), ("runc", true));
        assert_eq!((facts.seccomp, facts.user_namespace), (true, false));
        assert_eq!(facts.runc_version.as_deref(), Some("1.1.5+ds1"));
    }

    #[test]
    fn an_unknown_runtime_is_refused_and_the_known_ones_are_named() {
        let (version, info) = engine();
        let error = Facts::read(&version, &info, Some("kata")).unwrap_err().to_string();
        assert!(error.contains("\"kata\"") && error.contains("runc, strict"), "{error}");
    }

    #[test]
    fn engines_that_cannot_run_the_driver_are_refused() {
        let (version, info) = engine();
        let windows = SystemInfo { os_type: Some("windows".into()), ..info.clone() };
        assert!(Facts::read(&version, &windows, None).is_err());
        let other = SystemInfo { architecture: Some("riscv64".into()), ..info };
        assert!(Facts::read(&version, &other, None).is_err());
        assert!(same_architecture("arm64", "aarch64"));
    }
}
