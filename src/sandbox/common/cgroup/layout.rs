//! Where this machine mounts its cgroups, and which of them the gateway is in.
//!
//! Sources: `/proc/self/mountinfo` (proc_pid_mountinfo(5)) and `/proc/self/cgroup` (cgroups(7)),
//! handed in as text.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Controllers, named};

/// The hierarchies that have a controller we use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// In the order of the mount table.
    pub hierarchies: Vec<Hierarchy>,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Whether it is version 2.
    pub unified: bool,
    /// What it can limit. `cpuacct` is worth a directory too, for it counts, but limits nothing.
    pub controllers: Controllers,
    /// Directories below which ours could be, best first.
    pub bases: Vec<PathBuf>,
}

impl Layout {
    /// Reads the layout of the running process.
    pub fn of_this_process() -> io::Result<Layout> {
        let read = |path: &str| named("read", Path::new(path), fs::read_to_string(path));
        Ok(Layout::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?))
    }

    /// Makes a layout of the two files' text.
    pub fn parse(mountinfo: &str, own: &str) -> Layout {
        let mut layout = Layout::default();
        for mount in mountinfo.lines().filter_map(Mount::parse) {
            let hierarchy = match mount.kind {
                "cgroup2" => unified(&mount, own),
                "cgroup" => version_1(&mount, own),
                _ => None,
            };
            // The same hierarchy mounted twice counts once.
            if let Some(hierarchy) = hierarchy
                && !layout.hierarchies.iter().any(|known| known.bases == hierarchy.bases)
            {
                layout.hierarchies.push(hierarchy);
            }
        }
        layout
    }

    /// Where all of version 1's memory hierarchy is mounted, if it is.
    pub fn version_1_memory(mountinfo: &str) -> Option<PathBuf> {
        let whole = |mount: &Mount<'_>| {
            let has_memory = mount.options.split(',').any(|option| option == "memory");
            mount.kind == "cgroup" && mount.root == "/" && has_memory
        };
        mountinfo.lines().filter_map(Mount::parse).find(whole).map(|m| PathBuf::from(m.point))
    }

    /// Every candidate base, with its hierarchy.
    pub fn bases(&self) -> impl Iterator<Item = (&Hierarchy, &Path)> {
        self.hierarchies.iter().flat_map(|hierarchy| {
            hierarchy.bases.iter().map(move |base| (hierarchy, base.as_path()))
        })
    }
}

/// What matters of one line of mountinfo.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// `36 35 98:0 /root /point options optional… - type source super-options`.
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        Some(Mount { root, point, kind, options })
    }

    /// Where `path` of the hierarchy is in the file system, if this mount shows it.
    fn place(&self, path: &str) -> Option<PathBuf> {
        let below = match self.root {
            "/" => path,
            root => {
                path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))?
            }
        };
        Some(Path::new(self.point).join(below.trim_start_matches('/')))
    }
}

fn unified(mount: &Mount<'_>, own: &str) -> Option<Hierarchy> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut bases: Vec<PathBuf> = Vec::new();
    bases.extend(mount.place(path).filter(|_| path != "/"));
    bases.push(PathBuf::from(mount.point));
    let there = fs::read_to_string(Path::new(mount.point).join("cgroup.controllers")).ok()?;
    let controllers = parse_controllers(there.split_whitespace());
    (controllers != Controllers::default()).then_some(Hierarchy {
        unified: true,
        controllers,
        bases,
    })
}

fn version_1(mount: &Mount<'_>, own: &str) -> Option<Hierarchy> {
    const USED: [&str; 4] = ["memory", "cpu", "cpuacct", "pids"];
    let controllers = mount.options.split(',').filter(|option| USED.contains(option));
    let first = controllers.clone().next()?;
    let path = own.lines().find_map(|line| {
        let (names, path) = line.split_once(':')?.1.split_once(':')?;
        names.split(',').any(|name| name == first).then_some(path)
    })?;
    let mut bases: Vec<PathBuf> = mount.place(path).into_iter().collect();
    // In a container whose own path its mount does not show, the mount's root is what we may use.
    if bases.is_empty() {
        bases.push(PathBuf::from(mount.point));
    }
    Some(Hierarchy { unified: false, controllers: parse_controllers(controllers), bases })
}

/// Which of the names are controllers we use.
pub(super) fn parse_controllers<'a>(names: impl Iterator<Item = &'a str>) -> Controllers {
    names.fold(Controllers::default(), |mut all, name| {
        match name.trim() {
            "memory" => all.memory = true,
            "cpu" => all.cpu = true,
            "pids" => all.pids = true,
            _ => {}
        }
        all
    })
}

/// Lets the children of a version 2 cgroup have controllers. Succeeds if at least one can be had.
///
/// A cgroup with processes cannot have such children. If the only process is this one (a service
/// or scope of its own, with delegation), it moves into a leaf.
pub(super) fn enable(dir: &Path) -> io::Result<()> {
    let control = dir.join("cgroup.subtree_control");
    let available = named("read", dir, fs::read_to_string(dir.join("cgroup.controllers")))?;
    let mut last = Err(io::Error::other(format!("{} has no controllers", dir.display())));
    for controller in available.split_whitespace() {
        if !matches!(controller, "memory" | "cpu" | "pids") {
            continue;
        }
        let write = || fs::write(&control, format!("+{controller}"));
        let mut result = write();
        if result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::ResourceBusy) {
            result = step_aside(dir).and_then(|()| write());
        }
        match named("enable controllers in", &control, result) {
            Ok(()) => last = Ok(()),
            Err(error) if last.is_err() => last = Err(error),
            Err(_) => {} // one of several; what is enabled is read back by the caller
        }
    }
    last
}

/// Moves this process, if it is alone in `dir`, into a child of it.
fn step_aside(dir: &Path) -> io::Result<()> {
    let processes = fs::read_to_string(dir.join("cgroup.procs"))?;
    let own = std::process::id().to_string();
    if !processes.lines().all(|pid| pid == own) {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "other processes are in the same cgroup; start the gateway in one of its own, as with \
             `systemd-run --scope --property=Delegate=yes`",
        ));
    }
    let leaf = dir.join("cellgate-gateway");
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::write(leaf.join("cgroup.procs"), own)
}
