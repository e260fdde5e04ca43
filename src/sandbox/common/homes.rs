//! Home directories of people: no sandbox may see one, not even because an interpreter lies in it.

use std::path::{Path, PathBuf};

/// Every directory in here counts as a home, whether or not this machine's list of users names it.
const HOMES: &str = "/home";

/// User ids of people, by Debian's and Fedora's `login.defs`; 0 is root's.
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=60_000;

/// Homes of the machine's people, of root, and of the gateway's user.
pub fn of_people() -> Vec<PathBuf> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let own = std::env::var_os("HOME").map(PathBuf::from);
    let others = std::fs::read_dir(HOMES).into_iter().flatten().flatten().map(|entry| entry.path());
    list(&users, own, others.collect())
}

fn list(users: &str, own: Option<PathBuf>, others: Vec<PathBuf>) -> Vec<PathBuf> {
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let (id, home) = (fields.get(2)?.parse::<u32>().ok()?, fields.get(5)?);
        (id == 0 || PEOPLE.contains(&id)).then(|| PathBuf::from(home))
    };
    let mut homes: Vec<PathBuf> =
        users.lines().filter_map(of_line).chain(own).chain(others).collect();
    // Accounts of services may have "/" or a system directory for a home, which is no person's.
    let system = ["/usr", "/bin", "/sbin", "/lib", "/dev", "/proc", "/nonexistent"];
    homes.retain(|home| {
        let named = home.is_absolute() && home.parent().is_some();
        named && !system.iter().any(|directory| home.starts_with(directory))
    });
    homes.sort();
    homes.dedup();
    homes
}

/// The home that `directory` is, or that lies below it.
pub(in crate::sandbox) fn shown_by<'a>(directory: &Path, homes: &'a [PathBuf]) -> Option<&'a Path> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let places = [directory.to_owned(), real(directory)];
    let shows = |home: &&PathBuf| {
        let homes = [(*home).clone(), real(home)];
        homes.iter().any(|home| places.iter().any(|place| home.starts_with(place)))
    };
    homes.iter().find(shows).map(PathBuf::as_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_those_of_people() {
        let users = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/bin/false\n\
                     ada:x:1000:1000:Ada:/srv/people/ada:/bin/sh\nbroken\nodd:x:1001:1:::\n\
                     nobody:x:65534:65534::/nonexistent:/bin/false\npostgres:x:105:1::/var/lib/pg:/bin/sh\n\
                     bare:x:1002:1::/:/bin/sh\n";
        let homes = list(users, Some("/tmp/own".into()), vec!["/home/bob".into()]);
        let expected = ["/home/bob", "/root", "/srv/people/ada", "/tmp/own"];
        assert_eq!(homes, expected.map(PathBuf::from));
    }

    #[test]
    fn a_directory_shows_a_home_that_it_is_or_contains() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home/ada");
        std::fs::create_dir_all(home.join("venv")).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&home, &link).unwrap();
        let homes = [home.clone()];
        for shown in
            [&home, &link, &directory.path().join("home"), directory.path(), Path::new("/")]
        {
            assert_eq!(shown_by(shown, &homes), Some(home.as_path()), "{}", shown.display());
        }
        for fine in [home.join("venv"), link.join("venv"), directory.path().join("opt")] {
            assert_eq!(shown_by(&fine, &homes), None, "{}", fine.display());
        }
    }
}
