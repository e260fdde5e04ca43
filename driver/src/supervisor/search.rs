//! Finding the file of a program by its name.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The file to execute: `name` itself if it is a path, else the first of that name which can be executed in the PATH
/// of `env`. An error says where it was looked for; its kind is `PermissionDenied` if one was found that cannot be
/// executed.
pub(super) fn find(name: &[u8], env: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    if name.contains(&b'/') {
        return Ok(name.to_vec());
    }
    let path = env.iter().find_map(|entry| entry.strip_prefix(b"PATH=")).unwrap_or_default();
    let mut number = libc::ENOENT;
    for directory in path.split(|byte| *byte == b':').filter(|path| path.starts_with(b"/")) {
        let file = [directory, b"/", name].concat();
        let about = std::fs::metadata(Path::new(OsStr::from_bytes(&file)));
        match about.map(|about| (about.is_file(), about.permissions().mode() & 0o111 != 0)) {
            Ok((true, true)) => return Ok(file),
            Ok((true, false)) => number = libc::EACCES,
            _ => {}
        }
    }
    let cause = io::Error::from_raw_os_error(number);
    let text = format!("{cause} in PATH {}", String::from_utf8_lossy(path));
    Err(io::Error::new(cause.kind(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_and_a_path_is_not() {
        let env = |path: &str| vec![b"A=1".to_vec(), format!("PATH={path}").into_bytes()];
        assert_eq!(find(b"./x", &[]).unwrap(), b"./x");
        assert_eq!(find(b"sh", &env("relative:/none:/bin")).unwrap(), b"/bin/sh");
        let missing = find(b"no-such-program", &env("/bin")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(missing.to_string().ends_with("in PATH /bin"), "{missing}");
        let denied = find(b"passwd", &env("/etc")).unwrap_err();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
    }
}
