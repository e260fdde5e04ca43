//! Devices: the few that every program needs, and no way to make others.

use crate::common::suite::{Stage, cases};
use crate::probe::probe;

cases![only_harmless_devices_are_there, devices_cannot_be_made, the_usual_ones_work];

async fn only_harmless_devices_are_there(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
import stat
known = {'null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx', 'console'}
strange = []
for directory, names, files in os.walk('/'):
    names[:] = [n for n in names if directory != '/' or n not in ('proc', 'sys')]
    for name in files:
        try:
            mode = os.lstat(os.path.join(directory, name)).st_mode
        except OSError:
            continue
        usual = directory == '/dev' and name in known or directory == '/dev/pts'
        if stat.S_ISBLK(mode) or stat.S_ISCHR(mode) and not usual:
            strange.append(os.path.join(directory, name))
found['strange'] = ' '.join(sorted(strange))
"#;
    // gVisor has these two always; they lead to its own kernel, and there want privileges.
    let expected = if stage.backend.is_gvisor() { "/dev/fuse /dev/net/tun" } else { "" };
    assert_eq!(probe(&mut client, code).await.of("strange"), expected);
    let code = r#"
import fcntl
def tunnel():
    fd = os.open('/dev/net/tun', os.O_RDWR)
    TUNSETIFF = 0x400454ca
    return fcntl.ioctl(fd, TUNSETIFF, struct.pack('16sH22s', b'tun0', 1, b''))
attempt('a tunnel', tunnel)
"#;
    probe(&mut client, code).await.all_refused(&[]);
    client.end().await;
}

async fn devices_cannot_be_made(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
import stat
for place in ('/work', '/tmp', '/dev/shm'):
    attempt(place + ' disk', lambda: os.mknod(place + '/disk', 0o666 | stat.S_IFBLK, os.makedev(8, 0)))
    attempt(place + ' memory', lambda: os.mknod(place + '/mem', 0o666 | stat.S_IFCHR, os.makedev(1, 1)))
    attempt(place + ' null', lambda: os.mknod(place + '/null', 0o666 | stat.S_IFCHR, os.makedev(1, 3)))
"#;
    let findings = probe(&mut client, code).await;
    if !stage.backend.is_gvisor() {
        findings.all_refused(&[]);
    }
    // gVisor lets its nodes be made, for there is no device behind any of them.
    let code = r#"
for place in ('/work', '/tmp', '/dev/shm'):
    for name in ('/disk', '/mem'):
        attempt(place + name, lambda: open(place + name, 'rb').read(1))
"#;
    probe(&mut client, code).await.all_refused(&[]);
    client.end().await;
}

async fn the_usual_ones_work(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
assert len(open('/dev/urandom', 'rb').read(8)) == 8
assert open('/dev/zero', 'rb').read(4) == bytes(4)
assert open('/dev/null', 'rb').read() == b''
open('/dev/null', 'wb').write(b'x')
os.mkfifo('/work/pipe')
print('work')
"#;
    assert_eq!(client.print(&format!("import os\n{code}")).await, "work\n");
    client.end().await;
}
