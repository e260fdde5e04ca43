//! The socket on which a sandbox and its gateway meet, once.
//!
//! The directory is bind-mounted into the sandbox, where its user connects to the socket in it.
//! Outside, its name is known to nobody; whoever connects all the same is asked who he is. One
//! connection is taken; then socket and directory are removed, while the sandbox runs on with a
//! mount of nothing. A gateway that is killed later has nothing left to leave behind.

use std::fs::{self, Permissions};
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use super::container::SOCKET_NAME;
use crate::sandbox::SandboxError;

/// Pause after a failed accept (no descriptor left), so that waiting does not become spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// An open socket nobody has connected to yet.
#[derive(Debug)]
pub(super) struct Rendezvous {
    directory: PathBuf,
    listener: UnixListener,
}

impl Rendezvous {
    /// Opens the socket in `directory`, which is removed with it.
    pub(super) fn open(directory: PathBuf) -> Result<Rendezvous, SandboxError> {
        let path = directory.join(SOCKET_NAME);
        let opened = UnixListener::bind(&path).and_then(|listener| {
            // The sandbox's user is another than ours, and which one it is out here only an
            // engine that maps users knows.
            fs::set_permissions(&path, Permissions::from_mode(0o666)).map(|()| listener)
        });
        match opened {
            Ok(listener) => Ok(Rendezvous { directory, listener }),
            Err(cause) => {
                let _ = fs::remove_dir_all(&directory); // the error below says more
                Err(SandboxError::Step {
                    operation: format!("listen on {}", path.display()),
                    cause: cause.into(),
                })
            }
        }
    }

    /// The directory to mount.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits for the sandbox. `is_ours` is asked about every peer's process id, `None` if that is
    /// outside of what this process can see.
    pub(super) async fn accept<F>(self, is_ours: impl Fn(Option<i32>) -> F) -> UnixStream
    where
        F: Future<Output = bool>,
    {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
                    if is_ours(pid.filter(|pid| *pid > 0)).await {
                        return stream;
                    }
                    tracing::warn!(?pid, "a stranger connected to a sandbox's link: refused");
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a sandbox's link yet");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        // Two entries of a directory of ours: quick, and the sweep finds what stays.
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::debug!(%error, directory = %self.directory.display(), "a link's directory stays");
        }
    }
}

/// Whether the name of the process's cgroup says that it is in the container `id`. That it does
/// not say so means nothing.
pub(super) fn cgroup_names(pid: i32, id: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stranger_is_refused_and_the_next_one_taken() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("secret");
        fs::create_dir(&directory).unwrap();
        let rendezvous = Rendezvous::open(directory.clone()).unwrap();
        let path = directory.join(SOCKET_NAME);
        let _stranger = UnixStream::connect(&path).await.unwrap();
        let friend = UnixStream::connect(&path).await.unwrap();
        let asked = std::cell::Cell::new(0);
        let taken = rendezvous.accept(|pid| {
            assert_eq!(pid, i32::try_from(std::process::id()).ok());
            asked.set(asked.get() + 1);
            std::future::ready(asked.get() == 2)
        });
        let taken = taken.await;
        friend.try_write(b"x").unwrap();
        taken.readable().await.unwrap();
        assert_eq!(taken.try_read(&mut [0; 4]).unwrap(), 1);
        assert!(!directory.exists());
    }
}
