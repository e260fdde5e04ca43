//! What there is of a gateway at one moment, counted from outside: what a leak would raise.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::gateway::Gateway;
use crate::common::traces;

/// One count.
#[derive(Clone, Debug)]
pub(crate) struct Census {
    /// Sandboxes: directories below the gateway's cgroups, or containers.
    pub(crate) sandboxes: usize,
    /// Processes below the gateway's.
    pub(crate) processes: usize,
    /// Directories below the gateway's cgroups, in all hierarchies.
    pub(crate) cgroups: usize,
    /// Mounts that can be seen from here and name its runtime directory.
    pub(crate) mounts: usize,
    /// Descriptors of the gateway and of what it keeps beside it.
    pub(crate) descriptors: usize,
    /// Files in its runtime directory.
    pub(crate) files: usize,
    /// Proportional set size of the gateway and of what it keeps beside it, in bytes.
    pub(crate) memory: u64,
    /// Threads of the gateway.
    pub(crate) threads: usize,
}

impl Census {
    /// Counts now.
    pub(crate) async fn of(gateway: &Gateway) -> Census {
        let pid = gateway.pid.as_raw_nonzero().get();
        let families = families();
        let children = families.get(&pid).cloned().unwrap_or_default();
        // The janitor stays; first processes of sandboxes are children of the gateway too.
        let kept = children.into_iter().filter(|child| is_janitor(*child));
        let own: Vec<i32> = std::iter::once(pid).chain(kept).collect();
        let runtime = gateway.runtime_dir();
        let roots = records(&runtime);
        // The same sandboxes in every hierarchy.
        let mut sandboxes = roots.first().map_or(0, |root| directories(root, 1));
        if gateway.backend.is_docker() {
            let engine = traces::engine();
            sandboxes = 0;
            for instance in instances(&runtime) {
                let label = format!("cellgate.instance={instance}");
                sandboxes += traces::containers(&engine, &label).await.len();
            }
        }
        Census {
            sandboxes,
            processes: count_below(pid, &families),
            cgroups: roots.iter().map(|root| directories(root, usize::MAX)).sum(),
            mounts: lines_with("/proc/self/mountinfo", &runtime.to_string_lossy()),
            descriptors: own.iter().map(|pid| entries(&format!("/proc/{pid}/fd"))).sum(),
            files: files(&runtime),
            memory: own.iter().map(|pid| pss(*pid)).sum(),
            threads: entries(&format!("/proc/{pid}/task")),
        }
    }

    /// Counts with their names; `true`: no more may be there afterwards. Threads of the runtime
    /// that blocked once stay for a while.
    pub(crate) fn counts(&self) -> [(&'static str, usize, bool); 7] {
        [
            ("sandboxes", self.sandboxes, true),
            ("processes", self.processes, true),
            ("cgroups", self.cgroups, true),
            ("mounts", self.mounts, true),
            ("descriptors", self.descriptors, true),
            ("files", self.files, true),
            ("threads", self.threads, false),
        ]
    }
}

/// Directories that a gateway recorded as those of its sandboxes.
fn records(runtime: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(runtime, &mut |path| {
        if path.extension().is_some_and(|extension| extension == "instance") {
            let record = fs::read_to_string(path).unwrap_or_default();
            found.extend(record.lines().filter_map(|l| l.strip_prefix("cgroup ")).map(Into::into));
        }
    });
    found.sort();
    found
}

/// Names of the gateway's instances, as in labels of containers.
fn instances(runtime: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(runtime, &mut |path| {
        if path.extension().is_some_and(|extension| extension == "lock") {
            found.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    });
    found
}

fn families() -> HashMap<i32, Vec<i32>> {
    let mut families: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let tail = stat.rsplit_once(") ").map_or("", |(_, tail)| tail);
        if let Some(parent) = tail.split(' ').nth(1).and_then(|parent| parent.parse().ok()) {
            families.entry(parent).or_default().push(pid);
        }
    }
    families
}

fn count_below(root: i32, families: &HashMap<i32, Vec<i32>>) -> usize {
    let children = families.get(&root).into_iter().flatten();
    children.map(|child| 1 + count_below(*child, families)).sum()
}

fn is_janitor(pid: i32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(b"janitor")
}

fn directories(root: &Path, depth: usize) -> usize {
    let Ok(entries) = fs::read_dir(root) else { return 0 };
    let below = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
    let deeper = depth.saturating_sub(1);
    below.map(|dir| 1 + if deeper > 0 { directories(&dir.path(), deeper) } else { 0 }).sum()
}

fn walk(directory: &Path, take: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), take);
        } else {
            take(&entry.path());
        }
    }
}

fn files(directory: &Path) -> usize {
    let mut count = 0;
    walk(directory, &mut |_| count += 1);
    count
}

fn entries(path: &str) -> usize {
    fs::read_dir(path).map_or(0, Iterator::count)
}

fn lines_with(path: &str, word: &str) -> usize {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| line.contains(word)).count()
}

fn pss(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10
}
