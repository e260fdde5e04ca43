//! Files of /proc that sandboxes cannot read or write, by their names below /proc.

/// Read-only, as with Docker. (Docker mounts these read-only by itself.)
pub(in crate::sandbox) const PROC_READ_ONLY: [&str; 5] =
    ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// Hidden: those that Docker 28 hides, and those that describe the machine and are of no use to
/// code, such as its kernel's parameters and addresses, its disks and its hardware.
pub(in crate::sandbox) const PROC_MASKED: [&str; 15] = [
    "acpi",
    "asound",
    "cmdline",
    "config.gz",
    "diskstats",
    "interrupts",
    "kallsyms",
    "kcore",
    "keys",
    "latency_stats",
    "partitions",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];
