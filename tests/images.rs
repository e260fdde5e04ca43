//! The Dockerfile and what is said about it, read as text: CI builds the stages that a machine can
//! build, these rules hold for all of them.

#![allow(clippy::unwrap_used)] // helpers of tests are not tests in clippy's eyes

use std::collections::BTreeMap;
use std::path::Path;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// A stage: what it begins with, and its instructions in order.
#[derive(Debug, Default)]
struct Stage {
    name: String,
    base: String,
    instructions: Vec<(String, String)>,
}

/// Stages of a Dockerfile, and the names of its arguments before the first.
fn stages(text: &str) -> (Vec<Stage>, Vec<String>) {
    let joined = text.replace("\\\n", " ");
    let (mut stages, mut arguments) = (Vec::<Stage>::new(), Vec::new());
    for line in joined.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (instruction, rest) = line.split_once(' ').unwrap();
        match (instruction, stages.last_mut()) {
            ("ARG", None) => arguments.push(rest.split('=').next().unwrap().to_owned()),
            ("FROM", _) => {
                let words: Vec<_> = rest.split_whitespace().collect();
                let name = words.get(2).copied().unwrap_or_default().to_owned();
                stages.push(Stage { name, base: words[0].to_owned(), ..Stage::default() });
            }
            (_, Some(stage)) => stage.instructions.push((instruction.into(), rest.into())),
            (_, None) => panic!("{line} before the first stage"),
        }
    }
    (stages, arguments)
}

/// The value of each `NAME VALUE` in a text, such as of `--target gateway`.
fn values<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let after = text.split(name).skip(1);
    after.filter_map(|rest| rest.split_whitespace().next()).collect()
}

#[test]
fn what_the_documents_and_compose_build_are_stages() {
    let (stages, _) = stages(&read("Dockerfile"));
    let names: Vec<_> = stages.iter().map(|stage| stage.name.as_str()).collect();
    let (document, compose) = (read("docs/deployment.md"), read("compose.yaml"));
    let mut wanted = values(&document, "--target ");
    wanted.extend(values(&compose, "target: "));
    assert!(wanted.len() >= 4, "{wanted:?}");
    for target in wanted {
        assert!(names.contains(&target), "no stage {target} in {names:?}");
    }
}

/// The classic builder makes all stages above its target, in a fresh clone too.
#[test]
fn no_stage_wants_what_a_fresh_clone_lacks() {
    let (stages, arguments) = stages(&read("Dockerfile"));
    let ignore = read(".dockerignore");
    for (at, stage) in stages.iter().enumerate() {
        let argument = stage.base.trim_start_matches("${").trim_end_matches('}');
        let above = stages[..at].iter().any(|other| other.name == stage.base);
        assert!(above || arguments.iter().any(|name| name == argument), "{stage:?}");
        for (_, rest) in stage.instructions.iter().filter(|(name, _)| name == "COPY") {
            let mut words: Vec<_> = rest.split_whitespace().collect();
            if let Some(from) = words[0].strip_prefix("--from=") {
                assert!(stages[..at].iter().any(|other| other.name == from), "{rest}");
                continue;
            }
            words.pop(); // where to
            for word in words.into_iter().filter(|word| *word != ".") {
                assert!(!word.starts_with("target"), "{word} is there only after a build");
                if word.contains('*') {
                    continue; // what it may stand for need not be there
                }
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(word).exists(), "{word}");
                let let_through = |line: &str| {
                    line.strip_prefix('!').is_some_and(|prefix| word.starts_with(prefix))
                };
                assert!(ignore.lines().any(let_through), "{word} is kept from the engine");
            }
        }
    }
}

#[test]
fn what_runs_is_nobody_in_particular() {
    let (stages, _) = stages(&read("Dockerfile"));
    let mut users: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for stage in &stages {
        let inherited = users.get(stage.base.as_str()).copied().flatten();
        let own = stage.instructions.iter().rev().find(|(name, _)| name == "USER");
        users.insert(&stage.name, own.map(|(_, user)| user.as_str()).or(inherited));
    }
    for name in ["python", "javascript", "gateway"] {
        let user = users[name].unwrap_or_else(|| panic!("{name} runs as root"));
        let (uid, gid) = user.split_once(':').unwrap();
        assert!(uid.parse::<u32>().unwrap() > 0 && gid.parse::<u32>().unwrap() > 0, "{user}");
    }
}

/// Everything that the sources include at compile time goes along to the engine, and all targets of
/// the manifest, without which cargo does not read it.
#[test]
fn the_context_has_what_the_build_reads() {
    let ignore = read(".dockerignore");
    for wanted in [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        "build",
        "driver",
        "src",
        "web",
        "tests",
        "benches",
    ] {
        assert!(ignore.lines().any(|line| line == format!("!{wanted}")), "{wanted}");
    }
}
