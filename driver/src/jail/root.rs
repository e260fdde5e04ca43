//! Builds the root directory of a sandbox and moves into it.
//!
//! ```text
//!   sources   parts of the host as detached trees, read-only before anybody sees them
//!   root      a small tmpfs over "/": paths still mean the host's until the move
//!   steps     directories, files, links, binds, scratch, proc, masks: all relative to the root's
//!             descriptor, so nothing on the host can redirect them
//!   move      pivot_root, then the old root is detached and the new one made read-only
//! ```
//! Sources are opened by the user who may: by root before it gives root up (an interpreter below
//! `/root` is then readable in the sandbox although the way to it is not), otherwise by the
//! sandbox's first process.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use cellgate_driver::spec::Step;

use super::sys;
use super::{At, Failure};

/// Size of the root tmpfs: a few small files below `/etc`.
const ROOT_BYTES: &str = "1m";

/// Inodes of the root tmpfs: one for every mount point, link and file.
const ROOT_INODES: &str = "512";

/// Terminals of a sandbox at most: those of all its programs, and some that user code makes. All of a machine are 4096
/// by default, /proc/sys/kernel/pty/max.
const MOST_TERMINALS: &str = "64";

/// The directory whose emptiness masks other directories; every root has it.
const EMPTY: &str = "sys";

/// The host's parts that the steps ask for, in their order; `None` where an optional one is not
/// there.
pub(super) fn open_sources(steps: &[Step]) -> Result<Vec<Option<OwnedFd>>, Failure> {
    let mut sources = Vec::new();
    for step in steps {
        if let Step::Bind { source, devices, optional, .. } = step {
            let tree = match sys::open_tree(None, source) {
                Ok(tree) => tree,
                Err(error) if *optional && absent(&error) => {
                    sources.push(None);
                    continue;
                }
                Err(error) => return Err(error).at(|| format!("open {source}")),
            };
            let kind = if *devices { sys::NOEXEC } else { sys::NODEV };
            sys::restrict_mounts(tree.as_fd(), sys::RDONLY | sys::NOSUID | kind)
                .at(|| format!("make {source} read-only"))?;
            sources.push(Some(tree));
        }
    }
    Ok(sources)
}

/// Builds the root and makes it ours. Afterwards no path leads to the host.
pub(super) fn build(steps: &[Step], sources: Vec<Option<OwnedFd>>) -> Result<(), Failure> {
    sys::make_all_private().at(|| "make all mounts private".into())?;
    let options = [(c"size", ROOT_BYTES), (c"nr_inodes", ROOT_INODES), (c"mode", "0755")];
    let root = sys::new_filesystem(c"tmpfs", &options, sys::NOSUID | sys::NODEV)
        .at(|| "make the root tmpfs".into())?;
    sys::attach_over_root(root.as_fd()).at(|| "mount the root tmpfs".into())?;

    let mut sources = sources.into_iter();
    for step in steps {
        if let Step::Bind { source, target, .. } = step {
            if let Some(tree) = sources.next().flatten() {
                bind(&root, &tree, target).at(|| format!("mount {source} at /{target}"))?;
            }
        } else {
            carry_out(&root, step).at(|| format!("carry out {step:?}"))?;
        }
    }

    sys::fchdir(root.as_fd()).at(|| "enter the new root".into())?;
    sys::pivot_root_here().at(|| "pivot to the new root".into())?;
    sys::detach_here().at(|| "detach the old root".into())?;
    sys::restrict_mount(root.as_fd(), sys::RDONLY | sys::NOSUID | sys::NODEV)
        .at(|| "make the new root read-only".into())
}

fn absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EACCES | libc::ENOTDIR))
}

fn carry_out(root: &OwnedFd, step: &Step) -> io::Result<()> {
    match step {
        Step::Dir(path) => make_dirs(root, path),
        Step::File(path, content) => {
            make_dirs(root, parent(path))?;
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
            let file = sys::open_at(Some(root.as_fd()), &sys::c(path)?, flags)?;
            std::fs::File::from(file).write_all(content)
        }
        Step::Symlink(path, to) => {
            make_dirs(root, parent(path))?;
            sys::symlink_at(to, root.as_fd(), path)
        }
        Step::Bind { .. } => Ok(()), // has a source; the caller does it
        Step::Scratch { bytes, inodes, targets } => scratch(root, *bytes, *inodes, targets),
        Step::Proc(path) => {
            make_dirs(root, path)?;
            // What can be written in it are settings of the sandbox's own processes, among them the
            // score by which the kernel chooses whom to kill when memory runs out.
            let attributes = sys::RDONLY | sys::NOSUID | sys::NODEV | sys::NOEXEC;
            let proc = sys::new_filesystem(c"proc", &[], attributes)?;
            sys::attach(proc.as_fd(), root.as_fd(), path)
        }
        Step::Terminals(path) => {
            make_dirs(root, path)?;
            // Each mount is an instance of its own, devpts(5). Its `ptmx` is for all, as the one in /dev is elsewhere.
            let options = [(c"ptmxmode", "0666"), (c"mode", "0620"), (c"max", MOST_TERMINALS)];
            let attributes = sys::NOSUID | sys::NOEXEC;
            let terminals = sys::new_filesystem(c"devpts", &options, attributes)?;
            sys::attach(terminals.as_fd(), root.as_fd(), path)
        }
        Step::ReadOnly(path) => match sys::open_tree(Some(root.as_fd()), path) {
            Ok(tree) => cover(root, &tree, path, sys::NODEV),
            Err(error) if absent(&error) => Ok(()),
            Err(error) => Err(error),
        },
        Step::Mask(path) => match sys::is_directory(root.as_fd(), &sys::c(path)?) {
            Ok(true) => cover(root, &sys::open_tree(Some(root.as_fd()), EMPTY)?, path, sys::NODEV),
            Ok(false) => cover(root, &sys::open_tree(None, "/dev/null")?, path, 0),
            Err(error) if absent(&error) => Ok(()),
            Err(error) => Err(error),
        },
    }
}

/// Mounts `tree` over what is at `path`, read-only.
fn cover(root: &OwnedFd, tree: &OwnedFd, path: &str, attributes: u64) -> io::Result<()> {
    let attributes = attributes | sys::RDONLY | sys::NOSUID | sys::NOEXEC;
    sys::restrict_mounts(tree.as_fd(), attributes)?;
    sys::attach(tree.as_fd(), root.as_fd(), path)
}

fn bind(root: &OwnedFd, tree: &OwnedFd, target: &str) -> io::Result<()> {
    if sys::is_directory(tree.as_fd(), c"")? {
        make_dirs(root, target)?;
    } else {
        make_dirs(root, parent(target))?;
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
        sys::open_at(Some(root.as_fd()), &sys::c(target)?, flags)?;
    }
    sys::attach(tree.as_fd(), root.as_fd(), target)
}

/// One tmpfs, a directory of it at each target: so the limit holds for all of them together. The
/// tmpfs itself stays mounted below the first of them, where no path reaches it.
fn scratch(root: &OwnedFd, bytes: u64, inodes: u64, targets: &[String]) -> io::Result<()> {
    let (Some(first), own) = (targets.first(), 1 + targets.len() as u64) else {
        return Ok(());
    };
    for target in targets {
        make_dirs(root, target)?;
    }
    let (size, inodes) = (bytes.to_string(), (inodes + own).to_string());
    let options = [(c"size", size.as_str()), (c"nr_inodes", inodes.as_str()), (c"mode", "0755")];
    let tmpfs = sys::new_filesystem(c"tmpfs", &options, sys::NOSUID | sys::NODEV)?;
    sys::attach(tmpfs.as_fd(), root.as_fd(), first)?;
    let mut trees = Vec::new();
    for index in 0..targets.len() {
        let name = index.to_string();
        sys::mkdir_at(tmpfs.as_fd(), &name, 0o755)?;
        trees.push(sys::open_tree(Some(tmpfs.as_fd()), &name)?);
    }
    for (tree, target) in trees.iter().zip(targets) {
        sys::attach(tree.as_fd(), root.as_fd(), target)?;
    }
    Ok(())
}

/// Makes a directory and its missing parents.
fn make_dirs(root: &OwnedFd, path: &str) -> io::Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    match sys::mkdir_at(root.as_fd(), path, 0o755) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dirs(root, parent(path))?;
            sys::mkdir_at(root.as_fd(), path, 0o755)
        }
        Err(error) => Err(error),
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
