//! The environment of user code: one table for every backend.

use crate::language::{self, KERNEL_VARIABLE, SHELL_VARIABLE};
use crate::template::Template;

/// The host name in a sandbox.
pub(in crate::sandbox) const HOSTNAME: &str = "sandbox";

/// `/etc/hosts`: programs look up `localhost`, and a sandbox has no name server.
pub(in crate::sandbox) fn hosts() -> String {
    format!("127.0.0.1 localhost {HOSTNAME}\n::1 localhost\n")
}

/// Variables from which libraries read how many threads to start. Without them they count the
/// machine's processors, of which a sandbox may have only a part, and surplus threads only wait for
/// each other.
const THREAD_COUNTS: [&str; 8] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "GOMAXPROCS",
    "LOKY_MAX_CPU_COUNT",
];

/// The variables that every sandbox has: those of a login, and those that tell programs about the
/// sandbox.
fn of_user_code(template: &Template) -> Vec<(&'static str, String)> {
    let language = template.language;
    let cores = template.limits.cpu_millis.div_ceil(1000).max(1).to_string();
    let fixed = [
        ("HOME", template.workdir.as_str()),
        ("USER", "sandbox"),
        ("LANG", "C.UTF-8"),
        ("TMPDIR", "/tmp"),
        // As in notebooks: colours can be shown, although there is no terminal.
        ("TERM", "xterm-256color"),
        ("FORCE_COLOR", "1"),
        ("CLICOLOR_FORCE", "1"),
        // A pager would wait for a key.
        ("PAGER", "cat"),
        ("GIT_PAGER", "cat"),
    ];
    let fixed = fixed.iter().chain(language.variables);
    let fixed = fixed.map(|(name, value)| (*name, (*value).to_owned()));
    let counts = THREAD_COUNTS.iter().chain(language.processor_counts);
    fixed.chain(counts.map(|name| (*name, cores.clone()))).collect()
}

/// `NAME=VALUE` of all variables of user code: those that a backend found, those that every sandbox
/// has, the template's, and those that tell the runner which shell and which kernel the template has,
/// each replacing those of the same name before it.
pub(in crate::sandbox) fn variables(
    found: &[(String, String)],
    template: &Template,
) -> Vec<Vec<u8>> {
    let ours = of_user_code(template);
    let ours = ours.iter().map(|(name, value)| (*name, value.as_str()));
    let given = template.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let shell = template.shell.filter(|shell| template.language.shells.contains(shell));
    let shell = shell.map(|shell| (SHELL_VARIABLE, shell));
    let kernel = template.kernel.as_deref().filter(|_| template.language == language::JUPYTER);
    let kernel = kernel.map(|kernel| (KERNEL_VARIABLE, kernel));
    let found = found.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    encode(found.chain(ours).chain(given).chain(shell).chain(kernel))
}

/// `NAME=VALUE` for each name, with its last value.
fn encode<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Vec<u8>> {
    let mut last: Vec<(&str, &str)> = Vec::new();
    for (name, value) in variables {
        match last.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => last.push((name, value)),
        }
    }
    last.into_iter().map(|(name, value)| format!("{name}={value}").into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language;

    #[test]
    fn threads_are_as_many_as_there_are_processors() {
        for (cpu_millis, threads) in [(100, "1"), (1000, "1"), (1001, "2"), (4000, "4")] {
            let mut template = Template::new("t", language::DEFAULT);
            template.limits.cpu_millis = cpu_millis;
            let found = of_user_code(&template);
            for name in THREAD_COUNTS.iter().chain(&["PYTHON_CPU_COUNT"]) {
                let value = found.iter().find(|(known, _)| known == name);
                assert_eq!(value.map(|(_, value)| value.as_str()), Some(threads), "{name}");
            }
        }
    }

    #[test]
    fn the_shell_is_the_setting_whatever_the_environment_says() {
        let mut template = Template::new("t", language::DEFAULT);
        template.env = vec![(SHELL_VARIABLE.into(), "mine".into())];
        let told = |template: &Template| {
            let all = variables(&[], template);
            let mut all = all.into_iter().filter(|one| one.starts_with(b"CELLGATE_SHELL="));
            (all.next().map(|one| String::from_utf8(one).unwrap()), all.next())
        };
        assert_eq!(told(&template), (Some("CELLGATE_SHELL=auto".into()), None));
        template.shell = Some("plain");
        assert_eq!(told(&template), (Some("CELLGATE_SHELL=plain".into()), None));
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let env = encode([("A", "1"), ("B", "2"), ("A", "3=4")].into_iter());
        assert_eq!(env, [b"A=3=4".to_vec(), b"B=2".to_vec()]);
    }
}
