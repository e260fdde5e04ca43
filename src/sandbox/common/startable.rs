//! What a sandbox can start beside its first interpreter: further interpreters, and processes.

use cellgate_driver::wire::Setup;

use super::setup::{Found, setup};
use crate::language::Language;
use crate::protocol::reply::LanguageInfo;
use crate::template::Template;

/// Variables of cells, which have no terminal and whose output is shown in colours. A process has what programs expect:
/// colours and a pager if it has a terminal, else none.
const COLOURS: [&str; 2] = ["FORCE_COLOR=", "CLICOLOR_FORCE="];
const PAGERS: [&str; 2] = ["PAGER=", "GIT_PAGER="];

/// What a sandbox can start beside its first interpreter.
#[derive(Clone, Debug, Default)]
pub struct Startable {
    languages: Vec<(LanguageInfo, Setup)>,
}

impl Startable {
    /// What sandboxes of `template` can start: interpreters of these languages, the template's own first, each with its
    /// path and its version as far as they are known. `found` answers what a backend finds out for an interpreter.
    pub(in crate::sandbox) fn new(
        template: &Template,
        languages: impl Iterator<Item = (&'static Language, String, String)>,
        found: impl Fn(&str) -> Found,
    ) -> Startable {
        let languages = languages.map(|(language, interpreter, version)| {
            let template = Template { language, ..template.clone() };
            let Setup { language, interpreter, env, workdir, .. } =
                setup(&template, Found { interpreter: interpreter.clone(), ..found(&interpreter) });
            let info = LanguageInfo { name: language.clone(), version, shell: None };
            // What concerns the sandbox was said in its SETUP.
            (info, Setup { language, interpreter, env, workdir, ..Setup::default() })
        });
        Startable { languages: languages.collect() }
    }

    /// Interpreters of these languages, for the tests of other modules.
    #[cfg(test)]
    pub(crate) fn for_tests(template: &Template, languages: &[&'static Language]) -> Startable {
        let languages = languages.iter().map(|of| (*of, of.image_command.into(), String::new()));
        Startable::new(template, languages, |_| Found {
            interpreter: String::new(),
            variables: vec![("PATH".into(), "/bin".into())],
            seccomp: vec![0; 8],
            memory_is_limited: true,
        })
    }

    /// What cells may be written in, the language of the session's first interpreter before all others.
    pub fn languages(&self) -> impl Iterator<Item = &LanguageInfo> {
        self.languages.iter().map(|(info, _)| info)
    }

    /// How an interpreter of this language is started.
    pub fn interpreter(&self, language: &str) -> Option<&Setup> {
        self.languages.iter().find(|(info, _)| info.name == language).map(|(_, setup)| setup)
    }

    /// How a process is started, which the caller adds.
    pub fn process(&self, terminal: bool) -> Setup {
        let Some((_, first)) = self.languages.first() else { return Setup::default() };
        let unfit = |variable: &[u8]| {
            let named = |name: &&str| variable.starts_with(name.as_bytes());
            COLOURS.iter().any(named) || (terminal && PAGERS.iter().any(named))
        };
        let env = first.env.iter().filter(|variable| !unfit(variable)).cloned().collect();
        Setup { env, workdir: first.workdir.clone(), ..Setup::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{DEFAULT, JAVASCRIPT};

    #[test]
    fn each_language_has_its_interpreter_and_processes_have_no_colours_without_a_terminal() {
        let template = Template::new("t", DEFAULT);
        let startable = Startable::for_tests(&template, &[DEFAULT, JAVASCRIPT]);
        let names: Vec<_> = startable.languages().map(|info| &*info.name).collect();
        assert_eq!(names, ["python", "javascript"]);
        let node = startable.interpreter("javascript").unwrap();
        assert_eq!((&*node.interpreter, &*node.language), ("node", "javascript"));
        assert!(node.seccomp.is_empty() && startable.interpreter("cobol").is_none());
        let has = |setup: &Setup, name: &str| {
            setup.env.iter().any(|one| one.starts_with(name.as_bytes()))
        };
        assert!(has(node, "FORCE_COLOR=") && has(node, "PATH=/bin"));
        let (piped, terminal) = (startable.process(false), startable.process(true));
        assert!(!has(&piped, "FORCE_COLOR=") && has(&piped, "PAGER=") && has(&piped, "PATH="));
        assert!(
            !has(&terminal, "CLICOLOR_FORCE=")
                && !has(&terminal, "PAGER=")
                && has(&terminal, "TERM=")
        );
    }
}
