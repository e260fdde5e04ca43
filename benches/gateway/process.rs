//! What /proc tells of processes: who belongs to whom, memory, CPU time.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The unit of CPU times in /proc, fixed by the kernel's ABI on every architecture we build for.
const TICKS_A_SECOND: f64 = 100.0;

/// A process and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) name: String,
}

/// All processes below `root`, itself not included.
pub(crate) fn descendants(root: u32) -> Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        // Whoever has ended since the listing is no descendant any more.
        all.extend(pid.and_then(process));
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.pid);
            found.push(process.clone());
        }
    }
    Ok(found)
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, spaces and brackets too; what follows the last bracket not.
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let parent = tail.split_whitespace().nth(1)?.parse().ok()?;
    Some(Process { pid, parent, name })
}

/// CPU time a process has used, in user and kernel mode, to a hundredth of a second.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("cannot read the CPU time of process {pid}"))?;
    let tail = stat.rsplit_once(')').map_or("", |(_, tail)| tail);
    // Fields 14 and 15 of proc_pid_stat(5); `tail` begins with field 3.
    let ticks: f64 = tail
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Ok(Duration::from_secs_f64(ticks / TICKS_A_SECOND))
}

/// Proportional set size in bytes: pages shared by k processes count 1/k in each.
pub(crate) fn pss(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Pss:")).map(str::trim);
    let kib = kib.and_then(|text| text.strip_suffix(" kB")).and_then(|kib| kib.parse::<u64>().ok());
    kib.map(|kib| kib << 10).with_context(|| format!("{path} has no Pss"))
}

/// Memory the kernel charges to a process's cgroup beyond its pages: the kernel's own, and files
/// in memory (tmpfs, memfd). `None` where there is no cgroup of its own or it says nothing.
pub(crate) fn cgroup_kernel_memory(pid: u32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let line = |wanted: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            controllers.split(',').any(|name| name == wanted).then(|| path.to_owned())
        })
    };
    let stat = |dir: &str, key: &str| -> Option<u64> {
        let stat = fs::read_to_string(format!("{dir}/memory.stat")).ok()?;
        stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
    };
    if let Some(path) = line("memory").filter(|path| path.len() > 1) {
        let dir = format!("/sys/fs/cgroup/memory{path}");
        let kernel = fs::read_to_string(format!("{dir}/memory.kmem.usage_in_bytes")).ok()?;
        return Some((kernel.trim().parse().ok()?, stat(&dir, "shmem").unwrap_or(0)));
    }
    let dir = format!("/sys/fs/cgroup{}", line("").filter(|path| path.len() > 1)?);
    Some((stat(&dir, "kernel")?, stat(&dir, "shmem").unwrap_or(0)))
}
