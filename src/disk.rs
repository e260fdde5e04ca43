//! Room on a disk.

use std::fs::File;
use std::io;

/// Fails unless `bytes` more can be written where `file` is and `reserve` bytes stay free: the disk
/// is not the gateway's alone, and what shares it should not fail because of what sessions keep.
pub fn check_room(file: &File, bytes: u64, reserve: u64) -> io::Result<()> {
    let status = rustix::fs::fstatvfs(file)?;
    let free = status.f_bavail.saturating_mul(status.f_frsize);
    if free.saturating_sub(bytes) < reserve {
        return Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!(
                "less than {} MiB would be left free on the disk of session.log_directory (setting \
                 session.log_disk_reserve)",
                reserve >> 20
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_leave_less_than_the_reserve_is_refused() {
        let file = tempfile::tempfile().unwrap();
        assert!(check_room(&file, 1, 0).is_ok());
        let error = check_room(&file, 1, u64::MAX >> 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(check_room(&file, u64::MAX, 1).is_err());
    }
}
