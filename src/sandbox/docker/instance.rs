//! This gateway's directory and lock, and which other gateways have ended.
//!
//! ```text
//! runtime_dir/
//!   runtime-dir-id        random; gateways that read the same id see the same locks
//!   directory.lock        held while an instance is made and while ended ones are removed
//!   INSTANCE.lock         locked by its gateway; the kernel releases it even after kill -9
//!   INSTANCE/driver       the driver's executable, bind-mounted into every sandbox
//!   INSTANCE/SECRET/      a link's socket, only while its sandbox starts
//! ```
//! An instance whose lock can be taken has ended for good: ids are random and never used twice. A
//! gateway with another runtime directory, perhaps on another machine or in another container, has
//! another `runtime-dir-id`: its locks cannot be tested, so what it made is removed only once it
//! has expired.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::container::HOSTS_NAME;
use crate::id::SessionId;
use crate::sandbox::SandboxError;
use crate::sandbox::common::lock::{self, Lock};
use crate::sandbox::common::{embedded, environment};

/// The directory and lock of one running gateway.
#[derive(Debug)]
pub(super) struct Instance {
    /// Names the gateway in labels and container names.
    pub(super) id: String,
    /// Id of the runtime directory: gateways that read the same one can test each other's locks.
    pub(super) directory_id: String,
    root: PathBuf,
    directory: PathBuf,
    /// Held, never read: the kernel releases it when this process ends, however it ends.
    _lock: File,
}

impl Instance {
    /// Makes an instance directory below `root` and writes the driver into it. With `traversable`,
    /// other users may open files in it whose path they know; an engine that maps users opens them
    /// as another user.
    pub(super) fn create(root: &Path, traversable: bool) -> Result<Instance, SandboxError> {
        let mode = if traversable { 0o711 } else { 0o700 };
        let step = |operation: String| {
            move |cause: io::Error| SandboxError::Step { operation, cause: cause.into() }
        };
        lock::own_directory(root, mode).map_err(|error| SandboxError::Setting {
            setting: "runtime_dir",
            what: format!(
                "cannot use the runtime directory {}: {error}; choose another with --runtime-dir",
                root.display()
            ),
        })?;
        // Engines and mounts need an absolute path without links.
        let root = fs::canonicalize(root)
            .map_err(step(format!("find the runtime directory {}", root.display())))?;
        let _lock_of_all =
            lock_directory(&root).map_err(step(format!("lock {}", root.display())))?;
        let directory_id = read_directory_id(&root)
            .map_err(step(format!("read {}/runtime-dir-id", root.display())))?;
        let id = random_name()?;
        let lock = lock::create(&root.join(format!("{id}.lock")))
            .and_then(|lock| lock.ok_or_else(|| io::ErrorKind::AlreadyExists.into()))
            .map_err(step(format!("lock instance {id} in {}", root.display())))?;
        let directory = root.join(&id);
        let made = DirBuilder::new().mode(mode).create(&directory).and_then(|()| {
            fs::set_permissions(&directory, Permissions::from_mode(mode))?;
            let driver = directory.join("driver");
            fs::write(&driver, embedded::DRIVER)?;
            fs::set_permissions(&driver, Permissions::from_mode(0o555))?;
            let hosts = directory.join(HOSTS_NAME);
            fs::write(&hosts, environment::hosts())?;
            fs::set_permissions(&hosts, Permissions::from_mode(0o444))
        });
        let instance = Instance { id, directory_id, root, directory, _lock: lock };
        made.map_err(step(format!("write the driver to {}", instance.directory.display())))?;
        Ok(instance)
    }

    /// The driver's executable.
    pub(super) fn driver(&self) -> PathBuf {
        self.directory.join("driver")
    }

    /// A fresh directory whose name cannot be guessed; the caller removes it.
    pub(super) fn secret_directory(&self) -> Result<PathBuf, SandboxError> {
        let path = self.directory.join(random_name()?);
        let made = DirBuilder::new().mode(0o711).create(&path);
        // The sandbox's user passes through it, whatever our umask says.
        made.and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o711))).map_err(
            |cause| SandboxError::Step {
                operation: format!("make the directory {}", path.display()),
                cause: cause.into(),
            },
        )?;
        Ok(path)
    }

    /// Whether the gateway `id` of this runtime directory is running. One without a lock file is
    /// not.
    pub(super) fn is_alive(&self, id: &str) -> bool {
        if id == self.id {
            return true;
        }
        // Labels are text from the engine, and the id becomes part of a path.
        if SessionId::parse(id).is_none() {
            return false;
        }
        // An error says nothing about the gateway, so it counts as running.
        !matches!(
            lock::try_take(&self.root.join(format!("{id}.lock"))),
            Ok(Lock::Free(_) | Lock::Gone)
        )
    }

    /// Removes directories and locks of gateways that have ended.
    pub(super) fn remove_dead(&self) -> io::Result<()> {
        let _lock_of_all = lock_directory(&self.root)?;
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            if SessionId::parse(id).is_none() || self.is_alive(id) {
                continue;
            }
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else if path.extension().is_some_and(|extension| extension == "lock") {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The next sweep removes what stays, because the lock is released with this value.
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_file(self.root.join(format!("{}.lock", self.id)));
    }
}

/// Locks the runtime directory: while the file is open, no other gateway makes or removes instances
/// in it. Never held across a call of the engine.
fn lock_directory(root: &Path) -> io::Result<File> {
    let path = root.join("directory.lock");
    let lock =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    lock.lock()?;
    Ok(lock)
}

/// Reads the runtime directory's id; the first gateway of the directory makes it.
fn read_directory_id(root: &Path) -> io::Result<String> {
    let path = root.join("runtime-dir-id");
    match fs::read_to_string(&path) {
        Ok(text) if SessionId::parse(text.trim()).is_some() => Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => {
            let directory_id = SessionId::random().map_err(io::Error::other)?;
            fs::write(&path, directory_id.as_str())?;
            Ok(directory_id.as_str().to_owned())
        }
    }
}

/// Sixty random bits in a name.
pub(super) fn random_name() -> Result<String, SandboxError> {
    match SessionId::random() {
        Ok(id) => Ok(id.as_str().to_owned()),
        Err(error) => Err(SandboxError::Step {
            operation: "get random bytes from the kernel".into(),
            cause: Box::new(io::Error::other(error)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn running_gateways_are_left_alone_and_ended_ones_removed() {
        let root = tempfile::tempdir().unwrap();
        let first = Instance::create(root.path(), false).unwrap();
        let second = Instance::create(root.path(), false).unwrap();
        assert_eq!(first.directory_id, second.directory_id);
        assert!(first.is_alive(&second.id) && second.is_alive(&first.id));

        // What kill -9 leaves: the files, and a lock that no process holds.
        let dead = random_name().unwrap();
        fs::create_dir(root.path().join(&dead)).unwrap();
        fs::write(root.path().join(format!("{dead}.lock")), "").unwrap();
        assert!(!first.is_alive(&dead));
        first.remove_dead().unwrap();
        assert!(!root.path().join(&dead).exists());
        assert!(!root.path().join(format!("{dead}.lock")).exists());
        assert!(second.driver().exists() && first.driver().exists());

        let gone = second.directory.clone();
        drop(second);
        assert!(!gone.exists());
    }

    #[test]
    fn only_names_that_are_ids_are_looked_up() {
        let root = tempfile::tempdir().unwrap();
        let instance = Instance::create(root.path(), false).unwrap();
        for odd in ["", "../directory", "directory", "/etc/passwd"] {
            assert!(!instance.is_alive(odd), "{odd}");
        }
    }

    #[test]
    fn a_directory_others_may_write_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o777)).unwrap();
        let error = Instance::create(root.path(), false).unwrap_err();
        assert!(error.to_string().contains("no other user may write"), "{error}");
    }

    #[test]
    fn the_driver_can_be_run_and_a_secret_directory_only_passed() {
        let root = tempfile::tempdir().unwrap();
        let instance = Instance::create(root.path(), true).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&instance.driver()), 0o555);
        assert_eq!(mode(&instance.directory), 0o711);
        let secret = instance.secret_directory().unwrap();
        assert_eq!(mode(&secret), 0o711);
        assert_ne!(secret, instance.secret_directory().unwrap());
    }
}
