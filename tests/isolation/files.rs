//! The machine's files: not seen, or not to be changed.

use std::os::unix::fs::PermissionsExt;

use crate::common::suite::{Stage, cases};
use crate::probe::probe;

cases![
    the_machines_private_files_are_not_there,
    files_of_the_gateway_are_not_there,
    the_system_cannot_be_changed,
    only_its_own_places_are_writable,
    kernel_settings_cannot_be_changed,
    kernel_secrets_cannot_be_read,
];

async fn the_machines_private_files_are_not_there(stage: &Stage) {
    // Files that everybody on the machine may read, so that only the sandbox keeps them away.
    let mut secrets = Vec::new();
    for directory in ["/tmp", "/var/tmp", "/dev/shm"] {
        let file = tempfile::Builder::new().prefix("cellgate-secret-").tempfile_in(directory);
        let file = file.unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o644)).unwrap();
        secrets.push(file);
    }
    let paths: Vec<_> = secrets.iter().map(|file| file.path().to_str().unwrap()).collect();
    let mut client = stage.session().await;
    let code = format!(
        r#"
for path in {paths:?}:
    attempt(path, lambda: read(path))
for path in ('/etc/shadow', '/etc/gshadow', '/etc/sudoers', '/root/.bashrc', '/root/.profile',
             '/var/lib/docker', '/var/lib/dpkg/lock-private', '/var/log/wtmp', '/boot', '/home/user',
             '/etc/ssh/ssh_host_rsa_key', '/proc/1/root/etc/shadow', '/proc/1/cwd/'):
    attempt(path, lambda: read(path))
for path in ('/root', '/home', '/var/run/docker.sock', '/var/lib/docker', '/var/lib/cellgate-engine',
             '/mnt', '/media', '/srv'):
    def entries():
        names = os.listdir(path)
        if not names: raise OSError(errno.ENOENT, 'nothing in it')
        return names
    attempt('list ' + path, entries)
"#
    );
    probe(&mut client, &code).await.all_refused(&[]);
    client.end().await;
}

async fn files_of_the_gateway_are_not_there(stage: &Stage) {
    let mut client = stage.session().await;
    let runtime = stage.gateway().runtime_dir();
    let program = env!("CARGO_BIN_EXE_cellgate");
    let log = runtime.with_file_name("log");
    let settings = runtime.with_file_name("cellgate.toml");
    let paths = [runtime.as_path(), log.as_path(), settings.as_path(), program.as_ref()];
    let code = format!(
        "for path in {paths:?}:\n    attempt(path, lambda: os.stat(path))\n    \
         attempt('of one: ' + path, lambda: os.stat('/proc/1/root' + path))"
    );
    probe(&mut client, &code).await.all_refused(&[]);
    client.end().await;
}

async fn the_system_cannot_be_changed(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
for directory in ('/', '/bin', '/etc', '/lib', '/opt', '/sbin', '/usr', '/usr/bin', '/usr/lib', '/var',
                  '/proc', '/sys', '/run', '/home', '/root', '/dev', '/usr/local/bin', '/var/tmp', '/run/cellgate'):
    attempt('make in ' + directory, lambda: write(directory + '/cellgate-probe'))
for path in ('/bin/sh', '/usr/bin/env', '/etc/passwd', '/etc/hosts', '/etc/resolv.conf', '/etc/ld.so.cache',
             sys.executable, os.path.realpath(sys.executable), os.__file__):
    attempt('change ' + path, lambda: write(path, flags=os.O_WRONLY | os.O_APPEND))
    attempt('remove ' + path, lambda: os.unlink(path))
    attempt('mode of ' + path, lambda: os.chmod(path, 0o777))
    attempt('rename ' + path, lambda: os.rename(path, path + '.old'))
    attempt('link ' + path, lambda: os.link(path, '/work/linked'))
"#;
    probe(&mut client, code).await.all_refused(&[]);
    client.end().await;
}

async fn only_its_own_places_are_writable(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
for directory in ('/work', '/tmp'):
    attempt(directory, lambda: write(directory + '/probe'))
# Whatever else is mounted so that it can be written is no file system with the machine's files.
harmless = ('tmpfs', 'proc', 'devpts', 'mqueue', 'sysfs', 'ramfs', 'devtmpfs')
writable = []
for line in open('/proc/self/mountinfo'):
    before, after = line.split(' - ')
    place, options, kind = before.split()[4], before.split()[5].split(','), after.split()[0]
    if 'rw' in options and kind not in harmless:
        writable.append((place, kind))
found['mounted'] = repr(writable)
anywhere = []
for directory, names, files in os.walk('/'):
    names[:] = [n for n in names if directory != '/' or n not in ('proc', 'sys')]
    if os.access(directory, os.W_OK):
        anywhere.append(directory)
        names[:] = []
found['anywhere'] = ' '.join(sorted(anywhere))
"#;
    let findings = probe(&mut client, code).await;
    assert_eq!((findings.of("/work"), findings.of("/tmp")), ("allowed", "allowed"));
    let mounted = findings.of("mounted");
    // gVisor's root is an overlay of its own, in memory, which the container may only read.
    assert!(mounted == "[]" || stage.backend.is_gvisor(), "{mounted}");
    for place in findings.of("anywhere").split(' ') {
        let known = ["/work", "/tmp", "/dev/shm", "/dev/mqueue", "/var/tmp"];
        assert!(known.contains(&place), "{place} is writable");
    }
    client.end().await;
}

async fn kernel_settings_cannot_be_changed(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
for path in ('/proc/sys/kernel/hostname', '/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe',
             '/proc/sys/vm/overcommit_memory', '/proc/sys/net/ipv4/ip_forward', '/proc/sys/fs/file-max',
             '/proc/sys/kernel/randomize_va_space', '/proc/sys/user/max_user_namespaces',
             '/proc/sysrq-trigger', '/proc/irq/default_smp_affinity', '/proc/1/oom_score_adj',
             '/proc/1/mem', '/proc/1/uid_map', '/proc/1/attr/current', '/proc/1/setgroups',
             '/sys/kernel/profiling', '/sys/kernel/uevent_helper', '/sys/power/state', '/sys/kernel/mm/ksm/run',
             '/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/memory.max',
             '/sys/fs/cgroup/cgroup.procs', '/sys/fs/cgroup/memory/cgroup.procs', '/sys/fs/cgroup/release_agent',
             '/sys/fs/cgroup/memory/release_agent'):
    attempt(path, lambda: write(path, b'0', os.O_WRONLY))
for directory in ('/sys/fs/cgroup', '/sys/fs/cgroup/memory', '/sys/kernel/debug', '/sys/kernel/tracing'):
    attempt('make in ' + directory, lambda: os.mkdir(directory + '/cellgate-probe'))
"#;
    probe(&mut client, code).await.all_refused(&[]);
    client.end().await;
}

async fn kernel_secrets_cannot_be_read(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
def hidden(path):
    data = open(path, 'rb').read(4096)
    if not data.strip(b'\0'): raise OSError(errno.ENODATA, 'empty')
    return data[:40]
for path in ('/proc/kcore', '/proc/kmsg', '/proc/keys', '/proc/timer_list', '/proc/sched_debug', '/proc/slabinfo',
             '/proc/vmallocinfo', '/proc/1/environ', '/proc/1/mem', '/proc/1/maps', '/proc/1/auxv', '/proc/1/stack',
             '/proc/1/syscall', '/proc/1/io', '/proc/latency_stats', '/proc/acpi/wakeup',
             '/sys/firmware/acpi/tables/DSDT', '/sys/kernel/debug/sched', '/sys/kernel/security/lsm',
             '/sys/module/kernel/sections/.text', '/dev/mem', '/dev/kmsg', '/dev/port'):
    attempt(path, lambda: hidden(path))
for path in ('/proc/1/root', '/proc/1/cwd', '/proc/1/exe', '/proc/1/ns/pid', '/proc/1/fd', '/proc/1/map_files',
             '/proc/1/task/1/fd'):
    attempt(path, lambda: os.readlink(path) if path.count('fd') + path.count('files') == 0 else os.listdir(path)[0])
# Addresses of the kernel are zeros, if they can be seen at all.
def addresses():
    lines = open('/proc/kallsyms').read(1 << 16).splitlines()
    if all(set(line.split()[0]) == {'0'} for line in lines): raise OSError(errno.ENODATA, 'zeros')
    return lines[:2]
attempt('/proc/kallsyms', addresses)
"#;
    // gVisor's /proc does not know of processes that are not dumpable and shows what belongs to
    // the same user. The supervisor has no secrets: its environment is the image's.
    let shown = [
        "/proc/1/environ",
        "/proc/1/maps",
        "/proc/1/auxv",
        "/proc/1/io",
        "/proc/1/exe",
        "/proc/1/cwd",
        "/proc/1/root",
        "/proc/1/ns/pid",
        "/proc/1/fd",
        "/proc/1/task/1/fd",
    ];
    let except = if stage.backend.is_gvisor() { &shown[..] } else { &[] };
    probe(&mut client, code).await.all_refused(except);
    client.end().await;
}
