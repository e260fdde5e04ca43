//! What the sandbox uses: from its cgroup where there is one to read, else from /proc.
//!
//! Reading a file costs more than a short cell takes, so nothing here is called for a cell that
//! ends within its first milliseconds; see [`super::cell`].

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::process_table::{self, Process, Scope};
use super::shared_memory::{self, Device, OpenFiles};
use crate::sys;

/// The sandbox's cgroup directories, of version 1 or 2.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    /// Holds `memory.current` or `memory.usage_in_bytes`.
    pub(crate) memory: Option<OwnedFd>,
    /// Holds `cpu.stat` with `usage_usec`, or `cpuacct.usage`.
    pub(crate) cpu: Option<OwnedFd>,
    /// Holds `pids.current`.
    pub(crate) pids: Option<OwnedFd>,
}

impl Cgroups {
    /// These, or if none was given to PID 1 of a container, what it is shown of its own cgroup
    /// at the usual place. Outside a container the files there are of the whole machine.
    pub(crate) fn or_found(self) -> Cgroups {
        let given = self.memory.is_some() || self.cpu.is_some() || self.pids.is_some();
        match given || sys::own_pid() != 1 {
            true => self,
            false => Cgroups::find(),
        }
    }

    fn find() -> Cgroups {
        let open = |path: &str| File::open(Path::new("/sys/fs/cgroup").join(path)).ok();
        let directory =
            |paths: &[&str]| paths.iter().find_map(|path| open(path)).map(OwnedFd::from);
        if open("cgroup.controllers").is_some() {
            return Cgroups {
                memory: directory(&["."]),
                cpu: directory(&["."]),
                pids: directory(&["."]),
            };
        }
        Cgroups {
            memory: directory(&["memory"]),
            cpu: directory(&["cpuacct", "cpu,cpuacct"]),
            pids: directory(&["pids"]),
        }
    }
}

/// A file with a number in it, alone or behind a name.
struct Counter {
    file: File,
    name: &'static str,
}

impl Counter {
    const LONGEST: usize = 4 << 10; // 4 KiB: memory.stat of either version, as far as we read it

    /// The file of a directory, if it is there and holds the number.
    fn open(directory: BorrowedFd<'_>, file: &str, name: &'static str) -> Option<Counter> {
        let counter = Counter { file: sys::open_in(directory, file).ok()?, name };
        counter.read().map(|_| counter)
    }

    fn read(&self) -> Option<u64> {
        let mut buffer = [0; Counter::LONGEST];
        let length = self.file.read_at(&mut buffer, 0).ok()?;
        let text = std::str::from_utf8(&buffer[..length]).ok()?;
        if self.name.is_empty() {
            return text.trim_ascii().parse().ok();
        }
        let named = |line: &str| line.strip_prefix(self.name)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(named)
    }
}

/// What a sandbox uses at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// CPU time since the sandbox began, in microseconds.
    pub(crate) cpu_us: u64,
    /// Memory now, in bytes.
    pub(crate) memory_bytes: u64,
    /// Processes, the supervisor not counted; threads too where the cgroup counts.
    pub(crate) processes: u32,
}

/// A sandbox's meter.
pub(crate) struct Meter {
    scope: Scope,
    workdir: PathBuf,
    shared: Device,
    page: u64,
    tick: u64,
    memory: Option<Counter>,
    /// The highest value of `memory` since the sandbox began. It can be reset only by who may write
    /// to the cgroup.
    peak: Option<Counter>,
    /// What `peak` was when the last long cell ended.
    peak_before: u64,
    /// The runner's high water mark, where it could not be reset.
    high_water: u64,
    /// Memory of files read and not in use: charged to the cgroup, but no burden.
    idle_files: Option<Counter>,
    idle_file_bytes: u64,
    oom_kills: Option<Counter>,
    oom_kills_seen: u64,
    /// As of the look before: a process killed for memory takes a while to be dead, and a look may
    /// fall in between.
    oom_kills_before: u64,
    /// The counter, and by what it is divided to give microseconds.
    cpu: Option<(Counter, u64)>,
    pids: Option<Counter>,
    last_memory_bytes: u64,
}

impl Meter {
    /// A meter for the processes of `scope` and the given cgroup.
    pub(crate) fn new(scope: Scope, cgroups: &Cgroups, workdir: &str) -> Meter {
        let either = |directory: &Option<OwnedFd>, v2: [&'static str; 2], v1: [&'static str; 2]| {
            let directory = directory.as_ref()?.as_fd();
            Counter::open(directory, v2[0], v2[1])
                .or_else(|| Counter::open(directory, v1[0], v1[1]))
        };
        let memory = &cgroups.memory;
        let cpu = |file, name, divisor| {
            Some((Counter::open(cgroups.cpu.as_ref()?.as_fd(), file, name)?, divisor))
        };
        let (page, tick) = sys::page_and_tick();
        let oom_kills =
            either(memory, ["memory.events", "oom_kill"], ["memory.oom_control", "oom_kill"]);
        // Version 1 has both names, and only the longer one counts what is below the directory.
        let whole = ["memory.stat", "total_inactive_file"];
        let mut meter = Meter {
            scope,
            workdir: PathBuf::from(workdir),
            shared: Device::find(),
            page,
            tick,
            memory: either(memory, ["memory.current", ""], ["memory.usage_in_bytes", ""]),
            peak: either(memory, ["memory.peak", ""], ["memory.max_usage_in_bytes", ""]),
            peak_before: 0,
            high_water: 0,
            idle_files: either(memory, whole, ["memory.stat", "inactive_file"]),
            idle_file_bytes: 0,
            oom_kills_seen: 0,
            oom_kills_before: 0,
            oom_kills,
            cpu: cpu("cpu.stat", "usage_usec", 1).or_else(|| cpu("cpuacct.usage", "", 1000)),
            pids: either(&cgroups.pids, ["pids.current", ""], ["pids.current", ""]),
            last_memory_bytes: 0,
        };
        meter.oom_killed();
        meter.settle();
        meter
    }

    /// Looks at the sandbox: at its cgroup's counters, and for those there are not, once at its
    /// processes.
    pub(crate) fn sample(&mut self) -> Sample {
        let cpu = self.cpu.as_ref().and_then(|(counter, divisor)| Some(counter.read()? / divisor));
        let memory = self.memory.as_ref().and_then(Counter::read);
        let pids = self.pids.as_ref().and_then(Counter::read);
        let whole = cpu.is_some() && memory.is_some() && pids.is_some();
        let processes = if whole { Vec::new() } else { self.scope.list() };
        let sample = Sample {
            cpu_us: cpu.unwrap_or_else(|| {
                process_table::ticks(&processes) * 1_000_000 / self.tick + sys::children_cpu_us()
            }),
            memory_bytes: match memory {
                Some(bytes) => bytes.saturating_sub(self.idle_file_bytes),
                None => {
                    let files = self.files(&processes);
                    process_table::private_bytes(&processes, self.page) + files.bytes()
                }
            },
            processes: match pids {
                Some(count) => count.saturating_sub(1).min(u64::from(u32::MAX)) as u32,
                None => process_table::alive(&processes),
            },
        };
        self.last_memory_bytes = sample.memory_bytes;
        sample
    }

    /// The highest memory since the last call, in bytes, of which `now` is in use now: from the
    /// cgroup, if it has never been higher, else what the runner `pid` itself had at most. Of
    /// children that had more and are gone, the looks alone tell.
    pub(crate) fn peak_bytes(&mut self, pid: i32, now: u64) -> u64 {
        let runner = match process_table::take_high_water(pid) {
            // Where it cannot be reset, only a mark above all earlier ones is this cell's.
            Some(mark) if mark.most > self.high_water => {
                self.high_water = if mark.was_reset { 0 } else { mark.most };
                now.saturating_add(mark.most.saturating_sub(mark.now))
            }
            _ => now,
        };
        let Some(peak) = self.peak.as_ref().and_then(Counter::read) else { return runner };
        let before = std::mem::replace(&mut self.peak_before, peak);
        // Files that were read and are not in use fill a cgroup up to its limit, and are no burden.
        let group = if peak > before { peak.saturating_sub(self.idle_file_bytes) } else { 0 };
        runner.min(peak).max(group)
    }

    /// A fresh runner has no mark yet.
    pub(crate) fn forget_high_water(&mut self) {
        self.high_water = 0;
    }

    /// Processes that the kernel has ended at the memory limit so far.
    pub(crate) fn memory_kills(&self) -> u64 {
        self.oom_kills.as_ref().and_then(Counter::read).unwrap_or(0)
    }

    /// The memory seen last, in bytes.
    pub(crate) fn last_memory_bytes(&self) -> u64 {
        self.last_memory_bytes
    }

    /// Takes note of what changes slowly: memory of idle files, and kills by the kernel that
    /// were not the runner's.
    pub(crate) fn settle(&mut self) {
        self.idle_file_bytes = self.idle_files.as_ref().and_then(Counter::read).unwrap_or(0);
        self.oom_kills_before = self.oom_kills_seen;
        self.oom_kills_seen = self.oom_kills.as_ref().and_then(Counter::read).unwrap_or(0);
    }

    /// Whether the kernel killed a process of the sandbox for memory since the look before the
    /// last.
    pub(crate) fn oom_killed(&mut self) -> bool {
        let now = self.oom_kills.as_ref().and_then(Counter::read).unwrap_or(0);
        let more = now > self.oom_kills_before;
        (self.oom_kills_before, self.oom_kills_seen) = (now, now);
        more
    }

    /// Memory in bytes if it is above `limit`, measured without a cgroup. Cheap while far below.
    pub(crate) fn above(&mut self, limit: u64) -> Option<u64> {
        let processes = self.scope.list();
        let files = self.files(&processes);
        let at_most = process_table::resident_pages(&processes) * self.page + files.bytes();
        self.last_memory_bytes = if at_most > limit {
            // What is mapped of a file is counted with the file.
            let of = |process: &Process| {
                let held = process.proportional(self.page);
                let alone = match held.shared {
                    0 => 0,
                    _ => self.shared.mapped_alone(process, &files.open),
                };
                held.own + alone
            };
            processes.iter().map(of).sum::<u64>() + files.bytes()
        } else {
            at_most
        };
        (self.last_memory_bytes > limit).then_some(self.last_memory_bytes)
    }

    fn files(&self, processes: &[Process]) -> Files {
        let open = self.shared.open_files(processes);
        let named = match self.scope {
            Scope::Namespace => {
                process_table::tmpfs_bytes(&self.workdir) + shared_memory::system_v_bytes()
            }
            Scope::Descendants => 0, // they are the machine's
        };
        Files { named, open }
    }
}

/// Memory that is no process's.
struct Files {
    /// Of files on the sandbox's tmpfs mounts and of System V IPC, in bytes.
    named: u64,
    /// Memory files.
    open: OpenFiles,
}

impl Files {
    fn bytes(&self) -> u64 {
        self.named + self.open.bytes
    }
}

/// Opens an inherited descriptor of a cgroup directory.
pub(crate) fn inherited(number: i32) -> io::Result<OwnedFd> {
    let inherited = sys::adopt(number)?;
    sys::duplicate_high(inherited.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[(&str, &str)]) -> (PathBuf, OwnedFd) {
        let path = std::env::temp_dir().join(format!(
            "cellgate-meter-{}-{}",
            std::process::id(),
            files[0].0
        ));
        std::fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            std::fs::write(path.join(name), text).unwrap();
        }
        let fd = File::open(&path).unwrap().into();
        (path, fd)
    }

    #[test]
    fn both_versions_of_cgroups_are_read() {
        let version_2 = [
            ("memory.current", "5000\n"),
            ("memory.stat", "anon 1\ninactive_file 1000\n"),
            ("memory.events", "oom 9\noom_kill 2\n"),
            ("cpu.stat", "usage_usec 77\nuser_usec 1\n"),
            ("pids.current", "4\n"),
        ];
        let version_1 = [
            ("memory.usage_in_bytes", "5000\n"),
            ("memory.stat", "inactive_file 1\ntotal_inactive_file 1000\n"),
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            ("cpuacct.usage", "77999\n"),
            ("pids.current", "4\n"),
        ];
        for (files, oom) in [(version_2, "memory.events"), (version_1, "memory.oom_control")] {
            let (path, fd) = directory(&files);
            let copy = || Some(fd.try_clone().unwrap());
            let cgroups = Cgroups { memory: copy(), cpu: copy(), pids: copy() };
            let mut meter = Meter::new(Scope::Descendants, &cgroups, "/");
            let expected = Sample { cpu_us: 77, memory_bytes: 4000, processes: 3 };
            assert_eq!(meter.sample(), expected);
            assert!(!meter.oom_killed());
            std::fs::write(path.join(oom), "oom_kill 3\n").unwrap();
            assert!(meter.oom_killed() && !meter.oom_killed());
            std::fs::write(path.join(oom), "oom_kill 4\n").unwrap();
            meter.settle();
            assert!(meter.oom_killed(), "a look between the kill and the death hides nothing");
            std::fs::remove_dir_all(path).unwrap();
        }
    }

    #[test]
    fn a_peak_is_told_once() {
        let (path, fd) =
            directory(&[("memory.peak", "900000000000\n"), ("memory.current", "5000\n")]);
        let cgroups = Cgroups { memory: Some(fd), cpu: None, pids: None };
        let mut meter = Meter::new(Scope::Descendants, &cgroups, "/");
        let own = std::process::id().cast_signed();
        assert_eq!(meter.peak_bytes(own, 5000), 900_000_000_000);
        // After it, what this process itself had at most since the last look.
        assert!(meter.peak_bytes(own, 5000) < 1 << 30);
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        drop(block);
        let peak = meter.peak_bytes(own, 5000);
        assert!((60 << 20..1 << 30).contains(&peak), "{peak}");
        assert!(meter.peak_bytes(own, 5000) < 60 << 20, "and that is over");
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn memory_files_count_once_wherever_they_are_open_or_mapped() {
        const BYTES: u64 = 16 << 20; // 16 MiB: far above what anything else here holds
        let file = File::from(crate::sys::memory().unwrap());
        file.write_all_at(&vec![1; BYTES as usize], 0).unwrap();
        let copy = || std::process::Stdio::from(file.try_clone().unwrap());
        let mut command = std::process::Command::new("sleep");
        let mut children =
            [0; 2].map(|_| command.arg("60").stdin(copy()).stdout(copy()).spawn().unwrap());
        let mut meter = Meter::new(Scope::Descendants, &Cgroups::default(), "/");
        let once = BYTES..2 * BYTES;
        let sampled = meter.sample().memory_bytes;
        assert!(once.contains(&sampled), "{sampled}");
        let above = meter.above(BYTES - 1).unwrap();
        assert!(once.contains(&above), "{above}");
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn without_a_cgroup_the_processes_are_asked() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut meter = Meter::new(Scope::Descendants, &Cgroups::default(), "/");
        let sample = meter.sample();
        assert!(sample.processes >= 1 && sample.memory_bytes > 0, "{sample:?}");
        assert!(meter.above(1).is_some());
        assert_eq!(meter.above(u64::MAX), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
