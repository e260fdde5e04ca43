//! Lock files that tell which gateways are running: a gateway holds the lock of its own file, and
//! the kernel releases it when the gateway ends, even after kill -9. Directories for such files.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What a lock file says about its owner.
#[derive(Debug)]
pub(in crate::sandbox) enum Lock {
    /// A running process holds it.
    Held,
    /// The owner has ended. The file is locked by the caller as long as this is open.
    Free(File),
    /// There is no such file (any more).
    Gone,
}

/// Creates `path`, open for appending, and locks it. `None`: another process has created it, or has
/// removed it before it was locked.
pub(in crate::sandbox) fn create(path: &Path) -> io::Result<Option<File>> {
    let options = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).clone();
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok((file.try_lock().is_ok() && is_at(&file, path)).then_some(file))
}

/// Tries to take the lock of `path`, without waiting.
pub(in crate::sandbox) fn try_take(path: &Path) -> io::Result<Lock> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::Gone),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        // Its owner may have removed it between the two calls.
        Ok(()) if is_at(&file, path) => Ok(Lock::Free(file)),
        Ok(()) => Ok(Lock::Gone),
        Err(TryLockError::WouldBlock) => Ok(Lock::Held),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether an open file is still the one that its path names.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Makes the directory with this mode if it is missing.
///
/// # Errors
/// If `path` is a link or a file, or belongs to another user, or another user may write in it.
pub(in crate::sandbox) fn own_directory(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    let metadata = fs::symlink_metadata(path)?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || !ours || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other(
            "it must be a directory that belongs to this user and that no other user may write",
        ));
    }
    if metadata.mode() & mode == mode {
        return Ok(()); // another gateway may need permissions beyond `mode`
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_as_long_as_its_file_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.lock");
        assert!(matches!(try_take(&path).unwrap(), Lock::Gone));
        let owner = create(&path).unwrap().unwrap();
        assert!(create(&path).unwrap().is_none());
        assert!(matches!(try_take(&path).unwrap(), Lock::Held));
        drop(owner);
        let Lock::Free(taken) = try_take(&path).unwrap() else { panic!("not free") };
        assert!(matches!(try_take(&path).unwrap(), Lock::Held));
        drop(taken);
    }

    #[test]
    fn a_file_that_was_replaced_is_no_longer_at_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.lock");
        let old = create(&path).unwrap().unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&old, &path));
        let new = create(&path).unwrap().unwrap();
        assert!(is_at(&new, &path) && !is_at(&old, &path));
    }

    #[test]
    fn only_a_directory_of_ones_own_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        own_directory(&path, 0o700).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        own_directory(&path, 0o711).unwrap();
        own_directory(&path, 0o700).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o711, "never narrowed");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(own_directory(&link, 0o700).is_err());
        fs::set_permissions(&path, Permissions::from_mode(0o770)).unwrap();
        assert!(own_directory(&path, 0o700).is_err());
    }
}
