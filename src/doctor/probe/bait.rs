//! What stands outside for the checks to reach for: a listener on loopback, one with an abstract
//! name, and files that every user of the machine may read.

use std::io::Write;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Setting;
use crate::id::SessionId;
use crate::sandbox::common::homes;

/// Directories in which every user may write.
const PUBLIC: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// How many signals the neighbour session leaves pending: more than a session has by itself, and
/// less than gVisor keeps of one number, which is 32.
const NEIGHBOUR_SIGNALS: u32 = 24;

/// Parts of a variable's name that mark its value as a secret.
const PRIVATE: [&str; 6] = ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY"];

/// The bait, as long as it lies out. What of it has a name in the file system goes with it.
pub(super) struct Bait {
    /// Where the neighbour session listens, in its own network.
    pub(super) neighbour_port: u16,
    /// Whom the machine takes the neighbour session for.
    pub(super) neighbour_user: u32,
    facts: Value,
    _tcp: TcpListener,
    _abstract: UnixListener,
    _files: Vec<OwnFile>,
}

impl Bait {
    pub(super) fn lay(setting: &Setting) -> Result<Bait> {
        let name =
            format!("cellgate-probe-{}", SessionId::random().context("random bytes")?.as_str());
        let tcp = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen on loopback")?;
        let port = tcp.local_addr().context("the listener's address")?.port();
        let unix = SocketAddr::from_abstract_name(&name)
            .and_then(|address| UnixListener::bind_addr(&address))
            .context("cannot listen on an abstract socket")?;
        let mut files = Vec::new();
        for directory in PUBLIC.iter().map(Path::new).filter(|directory| directory.is_dir()) {
            files.push(OwnFile::new(directory.join(&name))?);
        }
        let secrets: Vec<_> =
            files.iter().map(|file| file.0.to_string_lossy().into_owned()).collect();
        let runtime_dir = setting.runtime_dir.to_string_lossy();
        let program = std::env::current_exe().unwrap_or_default();
        let mut gateway_files = Vec::new();
        // Where it keeps its sockets: a file of that directory, for in containers one socket's
        // directory has the same name. Some backends have no need of it.
        if setting.runtime_dir.is_dir() {
            files.push(OwnFile::new(setting.runtime_dir.join(&name))?);
            gateway_files.push(format!("{runtime_dir}/{name}"));
        }
        // An interpreter that is installed for all users is seen by all of them.
        if !program.starts_with("/usr") {
            gateway_files.push(program.to_string_lossy().into_owned());
        }
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        // The capability by which a process fixes how low another's score may go.
        let resource_capability = capability_may_be_had(&read("/proc/self/status"));
        let uptime: f64 =
            read("/proc/uptime").split(' ').next().unwrap_or("0").parse().unwrap_or(0.0);
        let private = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let private: Vec<_> = private
            .filter(|name| PRIVATE.iter().any(|part| name.to_uppercase().contains(part)))
            .collect();
        let limits = &setting.limits;
        let facts = json!({
            "backend": setting.backend,
            "gvisor": setting.gvisor,
            "work": setting.workdir,
            "apart": setting.apart,
            "limits": {
                "memory": limits.memory_bytes,
                "cpu_millis": limits.cpu_millis,
                "processes": limits.processes,
                "open_files": limits.open_files,
                "disk_bytes": limits.disk_bytes,
                "disk_inodes": limits.disk_inodes,
            },
            "port": port,
            "abstract": name,
            "secrets": secrets,
            "gateway_files": gateway_files,
            "runtime_dir": runtime_dir,
            "program": program.to_string_lossy(),
            "pid": std::process::id(),
            // Only names leave this process: values are what must not.
            "private_names": private,
            "hostname": read("/proc/sys/kernel/hostname"),
            "machine_id": read("/etc/machine-id"),
            "boot_parameters": read("/proc/cmdline"),
            "uptime": uptime,
            "resource_capability": resource_capability,
            "gateway_score": read("/proc/self/oom_score_adj").parse().unwrap_or(0),
            "homes": homes::of_people(),
            "neighbour": format!("of-{name}"),
            "neighbour_key": 0x4243,
            "neighbour_signals": NEIGHBOUR_SIGNALS,
        });
        Ok(Bait {
            neighbour_port: 0,
            neighbour_user: 0,
            facts,
            _tcp: tcp,
            _abstract: unix,
            _files: files,
        })
    }

    /// What the checks know from outside, as a line of Python.
    pub(super) fn facts(&self) -> Result<String> {
        let mut facts = self.facts.clone();
        facts["neighbour_port"] = self.neighbour_port.into();
        facts["neighbour_user"] = self.neighbour_user.into();
        // A JSON string is a Python string too.
        let text = serde_json::to_string(&facts.to_string())?;
        Ok(format!("import json\nFACTS = json.loads({text})\n"))
    }
}

/// Whether CAP_SYS_RESOURCE is in the bounding set of a `/proc/PID/status`.
fn capability_may_be_had(status: &str) -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set >> CAP_SYS_RESOURCE & 1 == 1)
}

/// A file that goes when it is dropped.
struct OwnFile(PathBuf);

impl OwnFile {
    fn new(path: PathBuf) -> Result<OwnFile> {
        let at = || format!("cannot make {}", path.display());
        let mut file = std::fs::File::create_new(&path).with_context(at)?;
        let own = OwnFile(path.clone());
        file.write_all(b"not for a sandbox\n").with_context(at)?;
        file.set_permissions(PermissionsExt::from_mode(0o644)).with_context(at)?;
        Ok(own)
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        // Another process may have removed it already.
        std::fs::remove_file(&self.0).ok();
    }
}
