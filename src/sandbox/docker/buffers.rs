//! The limit on TCP and UDP buffers of a container, where version 1 of cgroups counts them apart.
//!
//! Engines take `KernelMemoryTCP` for it and say in `/info` that they can, and runc has ignored it
//! since 1.0.0-rc94. So the gateway writes the file itself, between the driver's start and SETUP:
//! user code has made no socket yet, and those made later are all counted. That takes the engine's
//! machine and the right to write there; [`super::enforcement`] says where it is missing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::sandbox::common::cgroup::{BUFFERS_FILE, Layout, buffer_bytes};

/// Where this machine's version 1 memory hierarchy is, if limits on buffers can be written there.
pub(super) fn writable_hierarchy() -> Option<PathBuf> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let hierarchy = Layout::version_1_memory(&mountinfo)?;
    let file = hierarchy.join(BUFFERS_FILE);
    rustix::fs::access(&file, rustix::fs::Access::WRITE_OK).ok().map(|()| hierarchy)
}

/// Limits the buffers of the container `id`, of which `pid` is a process.
///
/// # Errors
/// If the process is not of that container, or the kernel refuses.
pub(super) fn limit(hierarchy: &Path, pid: i64, id: &str, memory_bytes: u64) -> io::Result<()> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = memory_path(&cgroups)
        .filter(|path| path.contains(id) && !path.contains(".."))
        .ok_or_else(|| io::Error::other(format!("process {pid} is in no cgroup of {id}")))?;
    let file = hierarchy.join(path.trim_start_matches('/')).join(BUFFERS_FILE);
    fs::write(&file, buffer_bytes(memory_bytes).to_string())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// A process's path in the memory hierarchy (cgroups(7)).
fn memory_path(cgroups: &str) -> Option<&str> {
    cgroups.lines().find_map(|line| {
        let (names, path) = line.split_once(':')?.1.split_once(':')?;
        names.split(',').any(|name| name == "memory").then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_hierarchy_is_found_among_others() {
        let cgroups = "9:name=systemd:/s\n4:cpu,memory:/docker/abc\n2:pids:/p\n0::/u\n";
        assert_eq!(memory_path(cgroups), Some("/docker/abc"));
        assert_eq!(memory_path("0::/docker/abc\n"), None);
    }

    #[test]
    fn a_process_of_another_container_is_left_alone() {
        let own = i64::from(std::process::id());
        let error = limit(Path::new("/nonexistent"), own, "no-such-container", 1 << 20);
        assert!(error.unwrap_err().to_string().contains("no cgroup of no-such-container"));
    }
}
