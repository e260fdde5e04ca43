//! The processes of the sandbox: who they are, what they hold, and their end.
//!
//! As PID 1 of a namespace the supervisor owns every process it can see. As an ordinary process
//! (in tests) it owns its descendants alone, and nothing here reaches further: a `kill(-1)`
//! outside a namespace of our own would end the whole machine.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::sys;

/// Whose processes are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All in this PID namespace.
    Namespace,
    /// Descendants of this process.
    Descendants,
}

/// What /proc/PID/stat says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id.
    pub(crate) pid: i32,
    /// Its parent's.
    parent: i32,
    /// Its process group.
    group: i32,
    /// The session that it is in: each program's interpreter begins one.
    session: i32,
    /// Whether it lives; a zombie does not.
    alive: bool,
    /// CPU time of it and of the children it waited for, in clock ticks.
    ticks: u64,
    /// Resident memory in pages, shared pages included.
    resident: u64,
}

impl Scope {
    /// The scope of this process.
    pub(crate) fn of_this_process() -> Scope {
        if sys::own_pid() == 1 { Scope::Namespace } else { Scope::Descendants }
    }

    /// Kills all of ours. New ones may appear until the last of them was waited for only with
    /// [`Scope::Descendants`]: in a namespace the kernel does it in one step.
    pub(crate) fn kill_all(self) {
        match self {
            // The scope is asked again where the harm would be done.
            Scope::Namespace if sys::own_pid() == 1 => {
                // ESRCH, the only error left, says that there is no such process.
                let _ = sys::kill(-1, libc::SIGKILL);
            }
            Scope::Namespace => {}
            Scope::Descendants => {
                for process in self.list().iter().filter(|process| process.alive) {
                    // It may have ended since it was listed.
                    let _ = sys::kill(process.pid, libc::SIGKILL);
                }
            }
        }
    }

    /// Kills what belongs to the program whose interpreter is `pid`.
    pub(crate) fn kill_program(self, pid: i32) {
        for process in of_program(&self.list(), pid).iter().filter(|process| process.alive) {
            // It may have ended since it was listed.
            let _ = sys::kill(process.pid, libc::SIGKILL);
        }
    }

    /// Ours, this process not among them. Empty where /proc cannot be read.
    pub(crate) fn list(self) -> Vec<Process> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let me = sys::own_pid();
        let mut all: Vec<Process> = pids.filter_map(Process::read).collect();
        if self == Scope::Descendants {
            let mut ours = vec![me];
            let mut known = 0;
            while known < ours.len() {
                let parent = ours[known];
                ours.extend(all.iter().filter(|p| p.parent == parent).map(|p| p.pid));
                known += 1;
            }
            all.retain(|process| ours.contains(&process.pid));
        }
        all.retain(|process| process.pid != me);
        all
    }
}

impl Process {
    fn read(pid: i32) -> Option<Process> {
        Process::parse(pid, &about(pid, "stat")?)
    }

    /// Reads a line of /proc/PID/stat, proc_pid_stat(5).
    fn parse(pid: i32, line: &str) -> Option<Process> {
        let (_, after_name) = line.rsplit_once(')')?; // the name may hold anything
        let mut fields = after_name.split_ascii_whitespace();
        let state = fields.next()?; // field 3
        let parent = fields.next()?.parse().ok()?;
        let mut number = |skip: usize| fields.nth(skip)?.parse::<u64>().ok();
        let group = number(0)? as i32; // field 5
        let session = number(0)? as i32; // field 6
        let ticks = number(7)? + number(0)? + number(0)? + number(0)?; // fields 14 to 17
        let resident = number(6)?; // field 24
        let alive = !matches!(state, "Z" | "X");
        Some(Process { pid, parent, group, session, alive, ticks, resident })
    }
}

/// Those that belong to the program whose interpreter is `pid`: it, its descendants, and what is in its session.
pub(crate) fn of_program(all: &[Process], pid: i32) -> Vec<Process> {
    let mut found: Vec<Process> = all
        .iter()
        .filter(|process| process.pid == pid || process.session == pid)
        .copied()
        .collect();
    let mut known = 0;
    while known < found.len() {
        let parent = found[known].pid;
        let children = all.iter().filter(|process| process.parent == parent);
        let more: Vec<Process> = children
            .filter(|child| found.iter().all(|one| one.pid != child.pid))
            .copied()
            .collect();
        found.extend(more);
        known += 1;
    }
    found
}

/// The process group that is most likely in the foreground of the terminal of the session that `leader` leads, where
/// the kernel does not tell: while the terminal is read line by line the newest that the shell has made, else the
/// shell's own, which then edits a line.
pub(crate) fn likely_foreground(all: &[Process], leader: i32, by_line: bool) -> i32 {
    let of_session = all.iter().filter(|process| process.alive && process.session == leader);
    let newest = of_session.map(|process| process.group).filter(|group| *group != leader).max();
    newest.filter(|_| by_line).unwrap_or(leader)
}

/// The processes that descend from `pid`.
pub(crate) fn descendants(pid: i32) -> Vec<i32> {
    let all = Scope::Namespace.list();
    let mut found = vec![pid];
    let mut known = 0;
    while known < found.len() {
        let parent = found[known];
        found.extend(
            all.iter().filter(|process| process.parent == parent).map(|process| process.pid),
        );
        known += 1;
    }
    found.split_off(1)
}

/// The most memory that a process had resident, and what it has now, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HighWater {
    pub(crate) most: u64,
    pub(crate) now: u64,
    /// Counted anew from here on (proc_pid_clear_refs(5)), which a read-only /proc does not allow.
    pub(crate) was_reset: bool,
}

/// Takes a process's high water mark. `None`: it is gone, or the kernel does not tell.
pub(crate) fn take_high_water(pid: libc::pid_t) -> Option<HighWater> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
    };
    let (most, now) = (field("VmHWM:")?, field("VmRSS:")?);
    let was_reset = fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok();
    Some(HighWater { most, now, was_reset })
}

/// A file of /proc/PID, in one read: the kernel makes its text anew for each.
fn about(pid: i32, file: &str) -> Option<String> {
    let mut text = [0; 2 << 10]; // 2 KiB: the longest of them, smaps_rollup, has half of that
    let length = fs::File::open(format!("/proc/{pid}/{file}")).ok()?.read(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text[..length]).into_owned())
}

/// Sum of the CPU time, in clock ticks.
pub(crate) fn ticks(processes: &[Process]) -> u64 {
    processes.iter().map(|process| process.ticks).sum()
}

/// How many live.
pub(crate) fn alive(processes: &[Process]) -> u32 {
    processes.iter().filter(|process| process.alive).count() as u32
}

/// Sum of resident memory in pages. What processes share is counted for each, so this is never
/// too low.
pub(crate) fn resident_pages(processes: &[Process]) -> u64 {
    processes.iter().map(|process| process.resident).sum()
}

/// Memory in bytes that is each process's own: cheap, and blind to what they share.
pub(crate) fn private_bytes(processes: &[Process], page: u64) -> u64 {
    processes.iter().filter_map(|process| private(process.pid, page)).sum()
}

/// What a process holds with what it shares divided among those who share it. Dearer than the
/// others by the walk of every page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proportional {
    /// Its own memory and that of program files, in bytes.
    pub(crate) own: u64,
    /// Mapped files of tmpfs, memory files and shared anonymous memory, in bytes.
    pub(crate) shared: u64,
}

impl Process {
    /// What it holds.
    pub(crate) fn proportional(&self, page: u64) -> Proportional {
        let rollup = about(self.pid, "smaps_rollup");
        rollup.and_then(|text| Proportional::parse(&text)).unwrap_or_else(|| Proportional {
            own: private(self.pid, page).unwrap_or(0),
            shared: 0,
        })
    }
}

impl Proportional {
    /// Reads /proc/PID/smaps_rollup.
    fn parse(text: &str) -> Option<Proportional> {
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
            Some(kib << 10)
        };
        let (all, shared) = (bytes("Pss")?, bytes("Pss_Shmem").unwrap_or(0));
        Some(Proportional { own: all.saturating_sub(shared), shared })
    }
}

/// For a process whose page tables we may not walk: resident minus file-backed and shared.
fn private(pid: i32, page: u64) -> Option<u64> {
    let text = about(pid, "statm")?;
    let mut fields = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared) * page)
}

/// Memory of files on the sandbox's tmpfs mounts, in bytes. One that is mounted at several places
/// counts once.
pub(crate) fn tmpfs_bytes(workdir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut devices = Vec::new();
    let mut bytes = 0;
    for place in [workdir, Path::new("/tmp"), Path::new("/dev/shm")] {
        let Ok(device) = place.metadata().map(|found| found.dev()) else { continue };
        if !devices.contains(&device) {
            devices.push(device);
            bytes += sys::tmpfs_bytes(place);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_process_calls_itself() {
        let line = "42 (a) b) R 7 41 40 0 -1 4194304 1 0 0 0 100 20 3 4 20 0 1 0 5 1000 250 18446";
        let expected = Process {
            pid: 42,
            parent: 7,
            group: 41,
            session: 40,
            alive: true,
            ticks: 127,
            resident: 250,
        };
        assert_eq!(Process::parse(42, line), Some(expected));
        let zombie = line.replace(") R 7", ") Z 7");
        assert!(!Process::parse(42, &zombie).unwrap().alive);
        assert_eq!(Process::parse(42, "42 (sh"), None);
    }

    #[test]
    fn the_newest_job_of_a_shell_is_likely_in_the_foreground() {
        let process = |pid, group, session, alive| Process {
            pid,
            parent: 1,
            group,
            session,
            alive,
            ticks: 0,
            resident: 0,
        };
        let mut all = vec![process(3, 3, 3, true), process(9, 9, 9, true)];
        assert_eq!(likely_foreground(&all, 3, true), 3);
        all.extend([process(4, 4, 3, true), process(6, 5, 3, true), process(7, 7, 3, false)]);
        assert_eq!(likely_foreground(&all, 3, true), 5);
        assert_eq!(likely_foreground(&all, 3, false), 3, "the shell edits a line");
    }

    #[test]
    fn what_is_shared_is_told_apart() {
        let text = "0-1 ---p 00000000 00:00 0 [rollup]\nRss: 90 kB\nPss:   50 kB\nPss_Anon: 20 kB\n\
                    Pss_Shmem:  10 kB\n";
        let expected = Proportional { own: 40 << 10, shared: 10 << 10 };
        assert_eq!(Proportional::parse(text), Some(expected));
        assert_eq!(Proportional::parse("Rss: 1 kB"), None);
    }

    #[test]
    fn outside_a_namespace_only_descendants_are_ours() {
        assert_eq!(Scope::of_this_process(), Scope::Descendants);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let ours = Scope::Descendants.list();
        assert!(ours.iter().any(|process| process.pid == child.id() as i32));
        assert!(ours.iter().all(|process| process.pid != 1));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
