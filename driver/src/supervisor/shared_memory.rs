//! Shared memory that no file name leads to: memory files (memfd_create(2)), which live as long as
//! a descriptor or a mapping, and System V IPC. The meter asks where no cgroup counts them.
//!
//! Not seen: a memory file whose only descriptors are on their way through a socket, pages of one
//! that is mapped alone and not touched since they were given back (MADV_DONTNEED), and what
//! belongs to a process whose descriptors may not be looked at (PR_SET_DUMPABLE).

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;

use super::process_table::Process;
use crate::sys;

/// Bytes of a block in `st_blocks` (stat(2)).
const BLOCK: u64 = 512;

/// Memory files that processes have open.
#[derive(Default)]
pub(crate) struct OpenFiles {
    /// What they hold, in bytes, each counted once.
    pub(crate) bytes: u64,
    inodes: HashSet<u64>,
}

/// The kernel's own tmpfs, on which memory files and shared anonymous mappings are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device(Option<u64>);

impl Device {
    /// Finds it by a memory file of our own.
    pub(crate) fn find() -> Device {
        let own = sys::memory().and_then(|file| File::from(file).metadata());
        Device(own.ok().map(|found| found.dev()))
    }

    /// The memory files that these processes have open.
    pub(crate) fn open_files(self, processes: &[Process]) -> OpenFiles {
        let mut found = OpenFiles::default();
        for process in processes {
            // Gone, or not to be looked at.
            let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else { continue };
            // The entry is a link, and what counts is the file behind it.
            for file in entries.flatten().filter_map(|entry| fs::metadata(entry.path()).ok()) {
                if Some(file.dev()) == self.0 && found.inodes.insert(file.ino()) {
                    found.bytes += file.blocks() * BLOCK;
                }
            }
        }
        found
    }

    /// Shared memory that a process has mapped and none has `open`, in bytes. Walks its page
    /// tables.
    pub(crate) fn mapped_alone(self, process: &Process, open: &OpenFiles) -> u64 {
        let Some(device) = self.0 else { return 0 };
        let Ok(file) = File::open(format!("/proc/{}/smaps", process.pid)) else { return 0 };
        sum_mappings(BufReader::new(file), device, &open.inodes)
    }
}

/// Sums what mappings of `device` hold whose inodes are not `known`; reads /proc/PID/smaps, see
/// proc_pid_smaps(5). System V segments are counted by themselves.
fn sum_mappings(text: impl BufRead, device: u64, known: &HashSet<u64>) -> u64 {
    let device = format!("{:02x}:{:02x}", libc::major(device), libc::minor(device));
    let (mut counts, mut kib) = (false, 0u64);
    for line in text.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        let value = |mut words: std::str::SplitAsciiWhitespace<'_>| {
            words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
        };
        match first {
            "Pss:" if counts => kib += value(words),
            // Pages of a private mapping that were written to are not the file's any more.
            "Anonymous:" if counts => kib = kib.saturating_sub(value(words)),
            _ if first.ends_with(':') => {}
            _ => {
                let mut fields = words.skip(2); // permissions, offset
                let is_ours = fields.next() == Some(&device);
                let inode = fields.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                let system_v = fields.next().is_some_and(|path| path.starts_with("/SYSV"));
                counts = is_ours && !system_v && !known.contains(&inode);
            }
        }
    }
    kib << 10
}

/// What the IPC namespace holds in System V shared memory and messages, in bytes.
pub(crate) fn system_v_bytes() -> u64 {
    let sum = |file: &str, columns: &[&str]| {
        fs::read_to_string(format!("/proc/sysvipc/{file}"))
            .map_or(0, |text| columns_of(&text, columns))
    };
    sum("shm", &["rss", "swap"]) + sum("msg", &["cbytes"])
}

/// Removes what System V IPC of the namespace is left: it outlives the process that made it, and is
/// for no one where no process lives.
pub(crate) fn remove_system_v() {
    let ids = |file: &str, column: &str| {
        let text = fs::read_to_string(format!("/proc/sysvipc/{file}")).unwrap_or_default();
        let mut lines = text.lines();
        let names = lines.next().unwrap_or_default();
        let place = names.split_ascii_whitespace().position(|name| name == column);
        let id = |line: &str| line.split_ascii_whitespace().nth(place?)?.parse::<i32>().ok();
        lines.filter_map(id).collect::<Vec<_>>()
    };
    // What cannot be removed is not ours, which in a namespace of our own nothing is.
    ids("shm", "shmid").into_iter().for_each(|id| drop(sys::remove_segment(id)));
    ids("msg", "msqid").into_iter().for_each(|id| drop(sys::remove_queue(id)));
}

/// Sums columns of a table whose first line names them.
fn columns_of(text: &str, columns: &[&str]) -> u64 {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    let of_line = |line: &str| {
        let fields = names.iter().zip(line.split_ascii_whitespace());
        let wanted = fields.filter(|(name, _)| columns.contains(name));
        wanted.filter_map(|(_, field)| field.parse::<u64>().ok()).sum::<u64>()
    };
    lines.map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_that_nobody_has_open_are_summed() {
        let text = "\
7f00-7f01 rw-s 00000000 00:01 10                  /dev/zero (deleted)
Size:               4096 kB
Pss:                4000 kB
Pss_Dirty:          4000 kB
Anonymous:             0 kB
7f01-7f02 rw-s 00000000 00:01 11                  /memfd:open (deleted)
Pss:                 100 kB
7f02-7f03 rw-s 00000000 00:01 3                   /SYSV00000000 (deleted)
Pss:                 200 kB
7f03-7f04 rw-p 00000000 00:01 12                  /memfd:x y (deleted)
Pss:                 300 kB
Anonymous:           200 kB
VmFlags: rd wr
7f04-7f05 rw-s 00000000 00:2a 10                  /work/file
Pss:                 400 kB
7f05-7f06 rw-p 00000000 00:00 0
Pss:                 500 kB
";
        let device = libc::makedev(0, 1);
        assert_eq!(sum_mappings(text.as_bytes(), device, &HashSet::from([11])), 4100 << 10);
    }

    #[test]
    fn tables_are_read_by_the_names_of_their_columns() {
        let text = "       key      shmid perms                  size       rss      swap\n\
                    \u{20}        0          3   600              10000      8192      4096\n\
                    \u{20}        0          4   600              10000      4096         0\n";
        assert_eq!(columns_of(text, &["rss", "swap"]), 16384);
        assert_eq!(columns_of("", &["rss"]), 0);
    }
}
