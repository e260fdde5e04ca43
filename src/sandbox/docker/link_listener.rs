//! The Unix socket to which the driver of one sandbox connects, once.
//!
//! The socket's directory is bind-mounted into the sandbox, where the driver connects to it. On the
//! host its name is random and secret, and the process id of every peer is checked nevertheless.
//! One connection is accepted; then socket and directory are removed, while the sandbox keeps an
//! empty mount. A gateway that is killed later leaves no file of it behind.

use std::fs::{self, Permissions};
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use super::container::SOCKET_NAME;
use crate::sandbox::SandboxError;

/// Pause after a failed accept (no descriptor left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// An open socket to which the driver has not connected yet.
#[derive(Debug)]
pub(super) struct LinkListener {
    directory: PathBuf,
    listener: UnixListener,
}

impl LinkListener {
    /// Opens the socket in `directory`, which is removed with it.
    pub(super) fn open(directory: PathBuf) -> Result<LinkListener, SandboxError> {
        let path = directory.join(SOCKET_NAME);
        let opened = UnixListener::bind(&path).and_then(|listener| {
            // The sandbox's user is not the gateway's, and only an engine that maps users knows
            // which user of the host it is.
            fs::set_permissions(&path, Permissions::from_mode(0o666)).map(|()| listener)
        });
        match opened {
            Ok(listener) => Ok(LinkListener { directory, listener }),
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

    /// Waits for the driver. `is_ours` decides by a peer's process id, which is `None` if the peer
    /// is in a process namespace that this process cannot see.
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
                    tracing::warn!(
                        ?pid,
                        "an unknown process connected to a sandbox's link: refused"
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a sandbox's link yet");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for LinkListener {
    fn drop(&mut self) {
        // Two directory entries are removed quickly; a later sweep removes what stays.
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::debug!(%error, directory = %self.directory.display(), "a link's directory stays");
        }
    }
}

/// Whether the cgroup path of the process names the container `id`. If it does not, the process may
/// be in the container all the same.
pub(super) fn cgroup_names(pid: i32, id: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_peer_is_refused_and_the_next_one_accepted() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("secret");
        fs::create_dir(&directory).unwrap();
        let listener = LinkListener::open(directory.clone()).unwrap();
        let path = directory.join(SOCKET_NAME);
        let _unknown = UnixStream::connect(&path).await.unwrap();
        let expected = UnixStream::connect(&path).await.unwrap();
        let asked = std::cell::Cell::new(0);
        let taken = listener.accept(|pid| {
            assert_eq!(pid, i32::try_from(std::process::id()).ok());
            asked.set(asked.get() + 1);
            std::future::ready(asked.get() == 2)
        });
        let taken = taken.await;
        expected.try_write(b"x").unwrap();
        taken.readable().await.unwrap();
        assert_eq!(taken.try_read(&mut [0; 4]).unwrap(), 1);
        assert!(!directory.exists());
    }
}
