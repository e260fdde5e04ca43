//! What one call of the kernel does to a name of the working directory: it is removed, moved, made.
//!
//! The path is walked as for reading. What stands under its last name is not opened: of a link, the
//! link itself is removed or moved, and of a pipe the name.

use std::io;
use std::os::fd::AsFd;

use cellgate_driver::wire::files::Refusal;

use super::{DIRECTORY_MODE, Refused, enter, walk, while_trying};
use crate::sys::files as sys;

/// Removes what has the name at a path, unless it is a directory with something in it.
pub(super) fn remove(workdir: &str, path: &[u8]) -> Result<(), Refused> {
    let (parent, name) = walk(workdir, path, false)?;
    let about = sys::about_name(parent.as_fd(), &name).map_err(while_trying("find the file"))?;
    let removed = match about.kind() {
        libc::S_IFDIR => sys::remove_directory(parent.as_fd(), &name),
        _ => sys::remove_file(parent.as_fd(), &name),
    };
    removed.map_err(|error| match error.raw_os_error() {
        // Some file systems say the one, some the other.
        Some(libc::ENOTEMPTY | libc::EEXIST) => Refused::new(
            Refusal::NotEmpty,
            "directory not empty; `recursive=true` removes it with all in it",
        ),
        _ => while_trying("remove it")(error),
    })
}

/// Gives what has the name at a path another path. The directories of that path have to be there, and
/// nothing may have its last name.
pub(super) fn move_to(workdir: &str, from: &[u8], to: &[u8]) -> Result<(), Refused> {
    let (source, name) = walk(workdir, from, false)?;
    let (target, new_name) = walk(workdir, to, false).map_err(|refused| match refused.why {
        Refusal::NotFound => Refused::new(
            Refusal::NotFound,
            "the directory that it is to be moved into is not there; make it first",
        ),
        _ => refused,
    })?;
    let about = sys::about_name(source.as_fd(), &name).map_err(while_trying("find the file"))?;
    if about.kind() == libc::S_IFDIR
        && to.strip_prefix(from).is_some_and(|rest| rest.starts_with(b"/"))
    {
        return Err(Refused::new(Refusal::Exists, "a directory cannot be moved into itself"));
    }
    let moved = sys::rename_to_free((source.as_fd(), &name), (target.as_fd(), &new_name));
    moved.map_err(|error| match error.raw_os_error() {
        Some(libc::EEXIST | libc::ENOTEMPTY) => Refused::new(
            Refusal::Exists,
            "something has the name that it is to get; remove that first, or choose another name",
        ),
        _ => while_trying("move it")(error),
    })
}

/// Makes a directory, and those on its way that are missing; says whether it was there.
pub(super) fn make_directory(workdir: &str, path: &[u8]) -> Result<bool, Refused> {
    let (parent, name) = walk(workdir, path, true)?;
    let existed = match sys::make_directory(parent.as_fd(), &name, DIRECTORY_MODE) {
        Ok(()) => false,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
        Err(error) => return Err(while_trying("make the directory")(error)),
    };
    // What is there may be something else.
    match enter(&parent, &name, false) {
        Ok(_) => Ok(existed),
        Err(Refused { why: Refusal::NotADirectory, .. }) => {
            Err(Refused::new(Refusal::Exists, "what has this name is not a directory"))
        }
        Err(refused) => Err(refused),
    }
}
