//! This gateway's place on disk, and whose places are abandoned.
//!
//! ```text
//! runtime_dir/
//!   realm                 who can judge whom: gateways that read the same id see the same locks
//!   judge.lock            held while an instance is made and while the dead are told
//!   INSTANCE.lock         locked by its gateway as long as that lives, kill -9 included
//!   INSTANCE/driver       the driver's executable, bind-mounted into every sandbox
//!   INSTANCE/SECRET/      a link's socket, only while its sandbox starts
//! ```
//! An instance whose lock can be taken is dead and stays so: ids are random and never used twice.
//! A gateway with another runtime directory, be it on another machine or in another container, has
//! another realm; what it made is judged by its expiry alone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::container::HOSTS_NAME;
use crate::id::SessionId;
use crate::sandbox::{SandboxError, embedded, environment};

/// The place of one living gateway.
#[derive(Debug)]
pub(super) struct Instance {
    /// Names the gateway in labels and container names.
    pub(super) id: String,
    /// Who can see this gateway's lock.
    pub(super) realm: String,
    root: PathBuf,
    directory: PathBuf,
    /// Held, never read: the kernel gives it back when this process ends, however it ends.
    _lock: File,
}

impl Instance {
    /// Makes a place below `root` and writes the driver into it. With `traversable`, other users
    /// may pass through to what they are told of: an engine that maps users opens our files as one.
    pub(super) fn create(root: &Path, traversable: bool) -> Result<Instance, SandboxError> {
        let mode = if traversable { 0o711 } else { 0o700 };
        let step = |operation: String| {
            move |cause: io::Error| SandboxError::Step { operation, cause: cause.into() }
        };
        prepare(root, mode)?;
        // Engines and mounts want a path that means the same from everywhere.
        let root = fs::canonicalize(root)
            .map_err(step(format!("find the runtime directory {}", root.display())))?;
        let _judge = judge(&root).map_err(step(format!("lock {}", root.display())))?;
        let realm = read_realm(&root).map_err(step(format!("read {}/realm", root.display())))?;
        let id = random_name()?;
        let lock = open_lock(&root.join(format!("{id}.lock")))
            .and_then(|lock| lock.lock().map(|()| lock))
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
        let instance = Instance { id, realm, root, directory, _lock: lock };
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

    /// Whether the gateway `id` of this realm lives. One without a lock file does not.
    pub(super) fn lives(&self, id: &str) -> bool {
        if id == self.id {
            return true;
        }
        // A label is only text until it looks like an id of ours.
        if SessionId::parse(id).is_none() {
            return false;
        }
        match File::open(self.root.join(format!("{id}.lock"))) {
            Ok(lock) => matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Removes the places of gateways that no longer live.
    pub(super) fn clear_dead(&self) -> io::Result<()> {
        let _judge = judge(&self.root)?;
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            if SessionId::parse(id).is_none() || self.lives(id) {
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
        // Whatever stays is found by the next sweep: the lock is free from here on.
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_file(self.root.join(format!("{}.lock", self.id)));
    }
}

/// Makes `root` if it is missing, and refuses one that others could have prepared for us.
fn prepare(root: &Path, mode: u32) -> Result<(), SandboxError> {
    let unusable = |what: String| SandboxError::Setting { setting: "runtime_dir", what };
    let step = |cause: io::Error| {
        unusable(format!(
            "cannot make the runtime directory {}: {cause}; choose another with --runtime-dir",
            root.display()
        ))
    };
    let mut parents = DirBuilder::new();
    parents.recursive(true).mode(mode).create(root).map_err(step)?;
    let metadata = fs::symlink_metadata(root).map_err(step)?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || !ours || metadata.mode() & 0o022 != 0 {
        return Err(unusable(format!(
            "the runtime directory {} is not safe: it must be a directory that belongs to this \
             user and that nobody else may write; remove it or choose another with \
             --runtime-dir",
            root.display()
        )));
    }
    if metadata.mode() & mode == mode {
        return Ok(()); // wide enough; another gateway may need what is more than ours
    }
    fs::set_permissions(root, Permissions::from_mode(mode)).map_err(step)
}

/// Keeps others from judging or being made while the file lives. Never held across a call of the
/// engine.
fn judge(root: &Path) -> io::Result<File> {
    let lock = open_lock(&root.join("judge.lock"))?;
    lock.lock()?;
    Ok(lock)
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The realm's id; the first gateway of a directory makes it.
fn read_realm(root: &Path) -> io::Result<String> {
    let path = root.join("realm");
    match fs::read_to_string(&path) {
        Ok(text) if SessionId::parse(text.trim()).is_some() => Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => {
            let realm = SessionId::random().map_err(io::Error::other)?;
            fs::write(&path, realm.as_str())?;
            Ok(realm.as_str().to_owned())
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
    use super::*;

    #[test]
    fn the_living_are_left_alone_and_the_dead_leave_nothing() {
        let root = tempfile::tempdir().unwrap();
        let first = Instance::create(root.path(), false).unwrap();
        let second = Instance::create(root.path(), false).unwrap();
        assert_eq!(first.realm, second.realm);
        assert!(first.lives(&second.id) && second.lives(&first.id));

        // What kill -9 leaves: the files, and a lock nobody holds.
        let dead = random_name().unwrap();
        fs::create_dir(root.path().join(&dead)).unwrap();
        fs::write(root.path().join(format!("{dead}.lock")), "").unwrap();
        assert!(!first.lives(&dead));
        first.clear_dead().unwrap();
        assert!(!root.path().join(&dead).exists());
        assert!(!root.path().join(format!("{dead}.lock")).exists());
        assert!(second.driver().exists() && first.driver().exists());

        let gone = second.directory.clone();
        drop(second);
        assert!(!gone.exists());
    }

    #[test]
    fn only_names_of_ours_are_looked_up() {
        let root = tempfile::tempdir().unwrap();
        let instance = Instance::create(root.path(), false).unwrap();
        for odd in ["", "../judge", "judge", "/etc/passwd"] {
            assert!(!instance.lives(odd), "{odd}");
        }
    }

    #[test]
    fn a_directory_others_may_write_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o777)).unwrap();
        let error = Instance::create(root.path(), false).unwrap_err();
        assert!(error.to_string().contains("not safe"), "{error}");
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
