//! What the gateway tells `cellgate-driver jail`: the sandbox to build, step by step.
//!
//! The gateway decides (it knows the host and the template), the jail carries out (it has the
//! namespaces). Gateway and driver are one file and never differ, so the encoding is private to
//! this module: fields `tag u8 · length u32 · bytes` in order, and inside a field texts
//! `length u32 · bytes` and little-endian integers.
//!
//! The way back is the jail's stderr: lines of [`Report`], then end-of-file once the sandbox
//! stands (or never will).

/// A sandbox to build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// User and group outside that are [`INSIDE_ID`] inside. `None`: the caller's own.
    pub outer_id: Option<u32>,
    /// Host name inside.
    pub hostname: String,
    /// Cgroups the sandbox lives in, made and limited by the gateway.
    pub cgroups: Vec<Cgroup>,
    /// How the root is built, in this order.
    pub steps: Vec<Step>,
    /// What Landlock leaves writable, beside what it leaves readable; everything else is neither.
    pub access: Vec<Access>,
    /// Build everything, report, and end instead of starting the supervisor.
    pub probe: bool,
}

/// User and group in every sandbox.
pub const INSIDE_ID: u32 = 1000;

/// One cgroup directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Absolute path on the host.
    pub path: String,
    /// Whether it is of the unified hierarchy (v2).
    pub unified: bool,
}

/// One step of building the root. Targets are paths inside, without the leading slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A directory, and its parents where they are missing.
    Dir(String),
    /// A file with this content.
    File(String, Vec<u8>),
    /// A symbolic link at the first path that points to the second.
    Symlink(String, String),
    /// A part of the host, submounts included, read-only.
    Bind {
        /// Absolute path on the host.
        source: String,
        /// Where it appears.
        target: String,
        /// Whether device nodes in it work.
        devices: bool,
        /// Whether it may be missing on the host.
        optional: bool,
    },
    /// One tmpfs with a size and a number of inodes, shown at several places.
    Scratch {
        /// Bytes of all places together.
        bytes: u64,
        /// Files and directories of all places together.
        inodes: u64,
        /// Where its directories appear; the caller may write there.
        targets: Vec<String>,
    },
    /// The process file system of the sandbox's own processes.
    Proc(String),
    /// The terminals of the sandbox's own processes, with the `ptmx` that makes them.
    Terminals(String),
    /// What exists of this becomes read-only.
    ReadOnly(String),
    /// What exists of this becomes empty: a directory without entries, a file without bytes.
    Mask(String),
}

/// One rule for Landlock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Absolute path inside; skipped where it does not exist.
    pub path: String,
    /// Whether files may be changed and made there, rather than read and executed only.
    pub write: bool,
}

/// One line of the jail's report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The sandbox's first process, numbered as its maker sees it.
    Pid(i32),
    /// The Landlock version in force; 0 for none.
    Landlock(u32),
    /// A step failed and there is no sandbox: errno, and what was tried.
    Failed(i32, String),
}

impl Report {
    /// The line, with its newline.
    pub fn line(&self) -> String {
        match self {
            Report::Pid(pid) => format!("pid {pid}\n"),
            Report::Landlock(abi) => format!("landlock {abi}\n"),
            Report::Failed(errno, what) => format!("failed {errno} {what}\n"),
        }
    }

    /// Reads a line without its newline; `None` for what no jail writes.
    pub fn parse(line: &str) -> Option<Report> {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "pid" => rest.parse().ok().map(Report::Pid),
            "landlock" => rest.parse().ok().map(Report::Landlock),
            "failed" => {
                let (errno, what) = rest.split_once(' ')?;
                Some(Report::Failed(errno.parse().ok()?, what.to_owned()))
            }
            _ => None,
        }
    }
}

mod tag {
    pub(super) const OUTER_ID: u8 = 1;
    pub(super) const HOSTNAME: u8 = 2;
    pub(super) const CGROUP: u8 = 3;
    pub(super) const ACCESS: u8 = 4;
    pub(super) const PROBE: u8 = 5;
    pub(super) const DIR: u8 = 16;
    pub(super) const FILE: u8 = 17;
    pub(super) const SYMLINK: u8 = 18;
    pub(super) const BIND: u8 = 19;
    pub(super) const SCRATCH: u8 = 20;
    pub(super) const PROC: u8 = 21;
    pub(super) const READ_ONLY: u8 = 22;
    pub(super) const MASK: u8 = 23;
    pub(super) const TERMINALS: u8 = 24;
}

/// A spec that is none: a bug, or the driver was not started by a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASpec;

impl std::fmt::Display for NotASpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "standard input is not a jail's spec of this version")
    }
}

impl std::error::Error for NotASpec {}

impl Spec {
    /// The spec as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        if let Some(id) = self.outer_id {
            field(&mut out, tag::OUTER_ID, |out| out.extend_from_slice(&id.to_le_bytes()));
        }
        field(&mut out, tag::HOSTNAME, |out| text(out, &self.hostname));
        for cgroup in &self.cgroups {
            field(&mut out, tag::CGROUP, |out| {
                out.push(cgroup.unified as u8);
                text(out, &cgroup.path);
            });
        }
        for step in &self.steps {
            step.encode(&mut out);
        }
        for access in &self.access {
            field(&mut out, tag::ACCESS, |out| {
                out.push(access.write as u8);
                text(out, &access.path);
            });
        }
        field(&mut out, tag::PROBE, |out| out.push(self.probe as u8));
        out
    }

    /// Reads what [`Spec::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Spec, NotASpec> {
        let mut spec = Spec::default();
        let mut rest = Reader(bytes);
        while !rest.0.is_empty() {
            let tag = rest.byte()?;
            let mut of = Reader(rest.bytes()?);
            match tag {
                tag::OUTER_ID => spec.outer_id = Some(of.u32()?),
                tag::HOSTNAME => spec.hostname = of.text()?,
                tag::CGROUP => {
                    let unified = of.byte()? == 1;
                    spec.cgroups.push(Cgroup { unified, path: of.text()? });
                }
                tag::ACCESS => {
                    let write = of.byte()? == 1;
                    spec.access.push(Access { write, path: of.text()? });
                }
                tag::PROBE => spec.probe = of.byte()? == 1,
                _ => spec.steps.push(Step::decode(tag, &mut of)?),
            }
            if !of.0.is_empty() {
                return Err(NotASpec);
            }
        }
        Ok(spec)
    }
}

impl Step {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Step::Dir(path) => field(out, tag::DIR, |out| text(out, path)),
            Step::File(path, content) => field(out, tag::FILE, |out| {
                text(out, path);
                blob(out, content);
            }),
            Step::Symlink(path, to) => field(out, tag::SYMLINK, |out| {
                text(out, path);
                text(out, to);
            }),
            Step::Bind { source, target, devices, optional } => field(out, tag::BIND, |out| {
                text(out, source);
                text(out, target);
                out.extend_from_slice(&[*devices as u8, *optional as u8]);
            }),
            Step::Scratch { bytes, inodes, targets } => field(out, tag::SCRATCH, |out| {
                out.extend_from_slice(&bytes.to_le_bytes());
                out.extend_from_slice(&inodes.to_le_bytes());
                for target in targets {
                    text(out, target);
                }
            }),
            Step::Proc(path) => field(out, tag::PROC, |out| text(out, path)),
            Step::Terminals(path) => field(out, tag::TERMINALS, |out| text(out, path)),
            Step::ReadOnly(path) => field(out, tag::READ_ONLY, |out| text(out, path)),
            Step::Mask(path) => field(out, tag::MASK, |out| text(out, path)),
        }
    }

    fn decode(tag: u8, of: &mut Reader<'_>) -> Result<Step, NotASpec> {
        Ok(match tag {
            tag::DIR => Step::Dir(of.text()?),
            tag::FILE => Step::File(of.text()?, of.bytes()?.to_vec()),
            tag::SYMLINK => Step::Symlink(of.text()?, of.text()?),
            tag::BIND => Step::Bind {
                source: of.text()?,
                target: of.text()?,
                devices: of.byte()? == 1,
                optional: of.byte()? == 1,
            },
            tag::SCRATCH => {
                let (bytes, inodes) = (of.u64()?, of.u64()?);
                let mut targets = Vec::new();
                while !of.0.is_empty() {
                    targets.push(of.text()?);
                }
                Step::Scratch { bytes, inodes, targets }
            }
            tag::PROC => Step::Proc(of.text()?),
            tag::TERMINALS => Step::Terminals(of.text()?),
            tag::READ_ONLY => Step::ReadOnly(of.text()?),
            tag::MASK => Step::Mask(of.text()?),
            _ => return Err(NotASpec),
        })
    }
}

fn field(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn text(out: &mut Vec<u8>, text: &str) {
    blob(out, text.as_bytes());
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], NotASpec> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(NotASpec)?;
        self.0 = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, NotASpec> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Result<u32, NotASpec> {
        let mut word = [0; 4];
        word.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(word))
    }

    fn u64(&mut self) -> Result<u64, NotASpec> {
        let mut word = [0; 8];
        word.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(word))
    }

    fn bytes(&mut self) -> Result<&'a [u8], NotASpec> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, NotASpec> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| NotASpec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Spec {
        Spec {
            outer_id: Some(1_900_000_007),
            hostname: "sandbox".into(),
            cgroups: vec![Cgroup { path: "/sys/fs/cgroup/x".into(), unified: true }],
            steps: vec![
                Step::Dir("dev".into()),
                Step::File("etc/passwd".into(), b"root:\n\0".to_vec()),
                Step::Symlink("lib".into(), "usr/lib".into()),
                Step::Bind {
                    source: "/usr".into(),
                    target: "usr".into(),
                    devices: false,
                    optional: true,
                },
                Step::Scratch { bytes: 1 << 20, inodes: 64, targets: vec!["work".into()] },
                Step::Proc("proc".into()),
                Step::Terminals("dev/pts".into()),
                Step::ReadOnly("proc/sys".into()),
                Step::Mask("proc/kcore".into()),
            ],
            access: vec![Access { path: "/work".into(), write: true }],
            probe: true,
        }
    }

    #[test]
    fn a_spec_survives_its_encoding() {
        assert_eq!(Spec::decode(&full().encode()), Ok(full()));
        assert_eq!(Spec::decode(&Spec::default().encode()), Ok(Spec::default()));
    }

    #[test]
    fn a_spec_cut_anywhere_inside_a_field_is_refused() {
        let bytes = full().encode();
        let mut whole = 0;
        for end in 1..bytes.len() {
            match Spec::decode(&bytes[..end]) {
                // Cut between two fields: shorter, and still a spec.
                Ok(spec) => assert_ne!(spec, full()),
                Err(NotASpec) => whole += 1,
            }
        }
        assert!(whole > bytes.len() / 2);
        assert_eq!(Spec::decode(&[99, 0, 0, 0, 0]), Err(NotASpec));
    }

    #[test]
    fn a_report_survives_its_line() {
        for report in
            [Report::Pid(7), Report::Landlock(6), Report::Failed(1, "mount /proc of it".into())]
        {
            let line = report.line();
            assert_eq!(Report::parse(line.trim_end()), Some(report));
        }
        assert_eq!(Report::parse("Segmentation fault"), None);
    }
}
