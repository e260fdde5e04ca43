//! What a sandbox sees: the steps that build its root, from the host or from a tree of its own.
//!
//! ```text
//!   /usr /bin /sbin /lib…   the host's, read-only; links where the host has links
//!   /etc                    a few files of ours and a few of the host's; never the whole
//!   PREFIX                  the interpreter's, where it is not below /usr
//!   WORKDIR /tmp /dev/shm   one tmpfs: the only places that can be written
//!   /proc                   of the sandbox's own processes, to be read, masked as Docker does
//!   /dev                    null zero full random urandom, and links into /proc
//!   /sys                    empty
//! ```
//! Nothing else of the host is visible inside: not /home, /root, /var, /run, /srv, /mnt, /opt.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cellgate_driver::spec::{Access, INSIDE_ID, Spec, Step};

use super::interpreter::Interpreter;
use crate::language::{self, Language};
use crate::sandbox::common::environment::{self, HOSTNAME};
use crate::sandbox::common::masked::{PROC_MASKED, PROC_READ_ONLY};
use crate::template::Template;

/// Where user code can write, besides the working directory.
const SCRATCH: [&str; 2] = ["tmp", "dev/shm"];

const SYSTEM: [&str; 8] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"];

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Where the sandbox's terminals are.
const TERMINALS: &str = "dev/pts";

/// Files of /etc that programs read and that hold nothing private of this host or its users: the
/// linker's cache, alternatives, public certificates, time zone, fonts.
const ETC: [&str; 21] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "debian_version",
    "fonts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "locale.alias",
    "magic",
    "mime.types",
    "os-release",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
];

/// The part of a spec that is the same for every session of a template.
pub(super) fn plan(
    template: &Template,
    languages: &[(&'static Language, Interpreter)],
) -> io::Result<Spec> {
    let mut steps = match &template.root {
        Some(root) => tree(root, &template.workdir)?,
        None => host(template, languages)?,
    };
    // An empty /sys, which also serves as the mount over masked directories of /proc.
    steps.push(Step::Dir("sys".into()));
    let limits = &template.limits;
    steps.push(Step::Scratch {
        bytes: limits.disk_bytes,
        inodes: limits.disk_inodes,
        targets: scratch(template).collect(),
    });
    // After the scratch places: an environment below /tmp or /work stays visible in them.
    let directories: BTreeSet<&PathBuf> =
        languages.iter().flat_map(|(_, interpreter)| &interpreter.directories).collect();
    steps.extend(directories.into_iter().map(|path| bind(path, false)));
    steps.push(Step::Proc("proc".into()));
    steps.extend(PROC_READ_ONLY.map(|name| Step::ReadOnly(format!("proc/{name}"))));
    steps.extend(PROC_MASKED.map(|name| Step::Mask(format!("proc/{name}"))));
    steps.extend(DEVICES.map(|name| Step::Bind {
        source: format!("/dev/{name}"),
        target: format!("dev/{name}"),
        devices: true,
        optional: false,
    }));
    for (name, to) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        steps.push(Step::Symlink(format!("dev/{name}"), format!("/proc/self/{to}")));
    }
    steps.push(Step::Terminals(TERMINALS.into()));
    steps.push(Step::Symlink("dev/ptmx".into(), "pts/ptmx".into()));
    Ok(Spec {
        outer_id: None,
        hostname: HOSTNAME.into(),
        cgroups: Vec::new(),
        steps,
        access: access(template),
        probe: false,
    })
}

/// A plan of the host without an interpreter, to try whether sandboxes can be made at all.
pub(super) fn probe() -> io::Result<Spec> {
    let template = Template::new("probe", language::DEFAULT);
    Ok(Spec { probe: true, ..plan(&template, &[])? })
}

/// What Landlock allows: to read all the root shows, to write scratch, devices and terminals.
fn access(template: &Template) -> Vec<Access> {
    let rule = |path: String, write| Access { path, write };
    let mut rules = vec![rule("/".into(), false)];
    rules.extend(scratch(template).map(|path| rule(format!("/{path}"), true)));
    rules.extend(DEVICES.map(|name| rule(format!("/dev/{name}"), true)));
    rules.push(rule(format!("/{TERMINALS}"), true));
    rules
}

/// The places that user code can write to, below the root.
fn scratch(template: &Template) -> impl Iterator<Item = String> {
    let workdir = template.workdir.trim_start_matches('/').to_owned();
    std::iter::once(workdir).chain(SCRATCH.map(str::to_owned))
}

fn host(
    template: &Template,
    languages: &[(&'static Language, Interpreter)],
) -> io::Result<Vec<Step>> {
    let workdir = &template.workdir;
    let of_languages = || languages.iter().map(|(language, _)| &language.host);
    let mut steps = Vec::new();
    for name in SYSTEM {
        steps.extend(entry(Path::new("/"), name)?);
    }
    let ours = [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/nonexistent:/bin/false\nsandbox:x:{INSIDE_ID}:{INSIDE_ID}:sandbox:{workdir}:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
            ),
        ),
        ("group", format!("root:x:0:\nsandbox:x:{INSIDE_ID}:\nnogroup:x:65534:\n")),
        ("hosts", environment::hosts()),
        ("hostname", format!("{HOSTNAME}\n")),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n".to_owned()),
    ];
    steps.extend(ours.map(|(name, text)| Step::File(format!("etc/{name}"), text.into_bytes())));
    let of_etc: BTreeSet<&str> =
        ETC.iter().chain(of_languages().flat_map(|host| host.etc)).copied().collect();
    for name in of_etc {
        steps.extend(entry(Path::new("/"), &format!("etc/{name}"))?);
    }
    let of_language = |name: &str| {
        let mut prefixes = of_languages().flat_map(|host| host.etc_prefixes);
        prefixes.any(|prefix| name.starts_with(prefix))
    };
    for found in fs::read_dir("/etc")?.flatten() {
        let name = found.file_name();
        if let Some(name) = name.to_str().filter(|name| of_language(name)) {
            steps.extend(entry(Path::new("/"), &format!("etc/{name}"))?);
        }
    }
    Ok(steps)
}

/// The steps for a directory tree used instead of the host: every entry at its top, except those
/// that each sandbox has of its own.
fn tree(root: &Path, workdir: &str) -> io::Result<Vec<Step>> {
    const OWN: [&str; 5] = ["dev", "proc", "sys", "tmp", "run"];
    let mut names: Vec<String> = fs::read_dir(root)?
        .flatten()
        .filter_map(|found| found.file_name().into_string().ok())
        .collect();
    names.retain(|name| !OWN.contains(&name.as_str()) && workdir.strip_prefix('/') != Some(name));
    names.sort();
    let mut steps = Vec::new();
    for name in names {
        steps.extend(entry(root, &name)?);
    }
    Ok(steps)
}

/// Shows `name` of `root` as it is there: a link as a link, anything else read-only.
fn entry(root: &Path, name: &str) -> io::Result<Option<Step>> {
    let path = root.join(name);
    let kind = match path.symlink_metadata() {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !kind.is_symlink() {
        let (source, target) = (path.to_string_lossy().into_owned(), name.to_owned());
        return Ok(Some(Step::Bind { source, target, devices: false, optional: true }));
    }
    let to: PathBuf = fs::read_link(&path)?;
    Ok(Some(Step::Symlink(name.to_owned(), to.to_string_lossy().into_owned())))
}

fn bind(path: &Path, optional: bool) -> Step {
    let source = path.to_string_lossy().into_owned();
    let target = source.trim_start_matches('/').to_owned();
    Step::Bind { source, target, devices: false, optional }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(directories: Vec<PathBuf>) -> Interpreter {
        Interpreter { path: "/usr/bin/python3".into(), directories, version: "3.11".into() }
    }

    fn bound(spec: &Spec) -> Vec<&str> {
        let mut sources = Vec::new();
        for step in &spec.steps {
            if let Step::Bind { source, .. } = step {
                sources.push(source.as_str());
            }
        }
        sources
    }

    #[test]
    fn the_host_shows_its_system_and_nothing_private() {
        let python = python(Vec::new());
        let spec =
            plan(&crate::sandbox::local::test_template(), &[(language::DEFAULT, python)]).unwrap();
        let bound = bound(&spec);
        assert!(bound.contains(&"/usr"));
        for private in ["/", "/etc", "/home", "/root", "/var", "/run", "/opt", "/etc/shadow"] {
            assert!(!bound.contains(&private), "{private}");
        }
        assert!(spec.encode().len() < 64 << 10, "a spec fits into a pipe");
    }

    #[test]
    fn a_root_of_its_own_replaces_all_of_the_host_but_devices() {
        let root = tempfile::tempdir().unwrap();
        for name in ["usr", "etc", "opt", "tmp", "proc"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", root.path().join("bin")).unwrap();
        let python = python(Vec::new());
        let template =
            Template { root: Some(root.path().into()), ..crate::sandbox::local::test_template() };
        let spec = plan(&template, &[(language::DEFAULT, python)]).unwrap();
        let own = root.path().to_str().unwrap();
        for source in bound(&spec) {
            assert!(source.starts_with(own) || source.starts_with("/dev/"), "{source}");
        }
        assert!(spec.steps.contains(&Step::Symlink("bin".into(), "usr/bin".into())));
        assert!(!bound(&spec).contains(&root.path().join("tmp").to_str().unwrap()));
    }

    #[test]
    fn an_interpreters_prefix_comes_after_the_scratch_places() {
        let python =
            Interpreter { path: "/tmp/venv/bin/python".into(), ..python(vec!["/tmp/venv".into()]) };
        let spec =
            plan(&crate::sandbox::local::test_template(), &[(language::DEFAULT, python)]).unwrap();
        let at = |wanted: fn(&Step) -> bool| spec.steps.iter().position(wanted).unwrap();
        let scratch = at(|step| matches!(step, Step::Scratch { .. }));
        let prefix = at(|step| matches!(step, Step::Bind { target, .. } if target == "tmp/venv"));
        assert!(scratch < prefix);
    }
}
