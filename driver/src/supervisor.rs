//! Stand-in for the supervisor: speaks just enough of the wire to run one program a cell.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use cellgate_driver::wire::{
    self, CellUsage, Done, ExitCause, Exited, Header, Outcome, Setup, kind,
};

use crate::jail::CgroupDirs;

fn read_frame(link: &mut File) -> Option<(Header, Vec<u8>)> {
    let mut head = [0; wire::HEADER_BYTES];
    link.read_exact(&mut head).ok()?;
    let header = Header::decode(&head).ok()?;
    let mut payload = vec![0; header.length as usize];
    link.read_exact(&mut payload).ok()?;
    Some((header, payload))
}

fn send(link: &mut File, kind: u8, cell: u32, payload: &[u8]) {
    let mut out = Vec::new();
    wire::append_message(&mut out, kind, 0, cell, payload);
    let _ = link.write_all(&out);
}

pub(crate) fn supervise(link: OwnedFd, _cgroups: CgroupDirs) -> i32 {
    let mut link = File::from(link);
    send(&mut link, kind::HELLO, 0, &wire::VERSION.to_le_bytes());
    let mut setup = Setup::default();
    let mut pending = Vec::new();
    while let Some((header, payload)) = read_frame(&mut link) {
        pending.extend_from_slice(&payload);
        if header.flags & wire::flag::MORE != 0 {
            continue;
        }
        let payload = std::mem::take(&mut pending);
        match header.kind {
            kind::SETUP => {
                setup = Setup::decode(&payload).expect("setup");
                send(
                    &mut link,
                    kind::READY,
                    0,
                    b"{\"language\":{\"name\":\"python\",\"version\":\"0\"}}",
                );
            }
            kind::EXECUTE => {
                const RUN: &str = "import sys,json\nexec(json.loads(sys.argv[1])['code'],{'__name__':'__main__'})";
                let mut command = Command::new(&setup.interpreter);
                command.args(["-c", RUN]).arg(String::from_utf8_lossy(&payload).as_ref());
                command.env_clear().current_dir(&setup.workdir);
                for entry in &setup.env {
                    let text = String::from_utf8_lossy(entry).into_owned();
                    let (name, value) = text.split_once('=').expect("env");
                    command.env(name, value);
                }
                let inner = setup.clone();
                unsafe {
                    command.pre_exec(move || {
                        for limit in &inner.rlimits {
                            let value =
                                libc::rlimit { rlim_cur: limit.value, rlim_max: limit.value };
                            if libc::setrlimit(limit.resource as _, &value) != 0 {
                                return Err(std::io::Error::last_os_error());
                            }
                        }
                        if !inner.seccomp.is_empty() {
                            let program = libc::sock_fprog {
                                len: (inner.seccomp.len() / 8) as u16,
                                filter: inner.seccomp.as_ptr() as *mut _,
                            };
                            if libc::prctl(libc::PR_SET_SECCOMP, 2, &program) != 0 {
                                return Err(std::io::Error::last_os_error());
                            }
                        }
                        Ok(())
                    });
                }
                let started = std::time::Instant::now();
                let output = match command.stdin(Stdio::null()).output() {
                    Ok(output) => output,
                    Err(error) => {
                        send(&mut link, kind::LOG, 0, error.to_string().as_bytes());
                        return 1;
                    }
                };
                send(&mut link, kind::OUTPUT, header.cell, &output.stdout);
                send(&mut link, kind::OUTPUT, header.cell, &output.stderr);
                let usage = CellUsage {
                    duration_us: started.elapsed().as_micros() as u64,
                    ..CellUsage::default()
                };
                if let Some(signal) = output.status.signal() {
                    let exited = Exited {
                        cause: ExitCause::Own,
                        signalled: true,
                        status: signal,
                        memory_limit_bytes: 0,
                        usage,
                        detail: String::new(),
                    };
                    send(&mut link, kind::EXITED, header.cell, &exited.encode());
                } else {
                    let outcome =
                        if output.status.success() { Outcome::Ok } else { Outcome::Error };
                    send(&mut link, kind::DONE, header.cell, &Done { outcome, usage }.encode());
                }
            }
            _ => {}
        }
    }
    0
}
