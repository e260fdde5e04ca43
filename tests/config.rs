//! Settings from the outside: layers, sources, messages, what is printed, and the program's exit
//! code.

// A test that cannot set its stage has failed.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use cellgate::cli;
use cellgate::config::{self, BackendChoice, ConfigError, Environment, Flags, Loaded, LogFormat};
use cellgate::sandbox::docker::DataPath;
use tempfile::TempDir;

/// A directory to start in, variables and flags: all that settings depend on.
struct Stage {
    directory: TempDir,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<String>,
}

impl Stage {
    fn new() -> Stage {
        let directory = tempfile::tempdir().unwrap();
        Stage { directory, variables: Vec::new(), flags: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, parents included.
    fn file(self, name: &str, text: &str) -> Stage {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Writes the file that is found in the working directory.
    fn toml(self, text: &str) -> Stage {
        self.file("cellgate.toml", text)
    }

    fn variable(mut self, name: &str, value: &str) -> Stage {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn flags(mut self, flags: &[&str]) -> Stage {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        let environment = Environment {
            variables: self.variables.clone(),
            directory: self.directory.path().to_owned(),
            etc: self.path("etc"),
            user: 1000,
        };
        config::load(&flags_of(&self.flags), &environment)
    }

    fn good(&self) -> Loaded {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The messages, one for each thing wrong.
    fn wrong(&self) -> Vec<String> {
        match self.load() {
            Err(ConfigError::Wrong(problems)) => problems.iter().map(ToString::to_string).collect(),
            Err(other) => panic!("{other}"),
            Ok(loaded) => panic!("this was accepted:\n{}", config::show(&loaded)),
        }
    }
}

fn flags_of(flags: &[String]) -> Flags {
    let arguments = ["cellgate", "serve"].into_iter().chain(flags.iter().map(String::as_str));
    match cli::parse(arguments.map(OsString::from)) {
        Ok(cli::Command::Serve { flags }) => flags.0,
        other => panic!("{other:?}"),
    }
}

/// The settings without the comments on where they come from.
fn values(loaded: &Loaded) -> String {
    format!("{:?}", loaded.config)
}

#[test]
fn without_anything_the_defaults_hold() {
    let loaded = Stage::new().good();
    let config = &loaded.config;
    assert_eq!(config.listen.address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.sandbox.backend, BackendChoice::Auto);
    assert!(config.access.token.is_none() && !config.access.insecure_no_token);
    assert_eq!(config.sandbox.runtime_dir, Path::new("/tmp/cellgate-1000"));
    assert_eq!(config.templates.len(), 1);
    assert_eq!(config.template("python").unwrap().limits.memory_bytes, 512 << 20);
    assert_eq!(loaded.source("listen").to_string(), "default");
    assert_eq!(loaded.file, None);
}

#[test]
fn every_layer_overrides_those_below_it() {
    let file = "listen = '127.0.0.1:1'\n[limits]\nmemory = '64MiB'\ncpus = 0.5\nprocesses = 9\n";
    let loaded = Stage::new()
        .toml(file)
        .variable("CELLGATE_CPUS", "2")
        .variable("CELLGATE_PROCESSES", "10")
        .flags(&["--processes", "11"])
        .good();
    let limits = &loaded.config.template("python").unwrap().limits;
    assert_eq!((limits.memory_bytes, limits.cpu_millis, limits.processes), (64 << 20, 2000, 11));
    for (key, source) in [
        ("listen", "cellgate.toml:1"),
        ("limits.memory", "cellgate.toml:3"),
        ("limits.cpus", "environment CELLGATE_CPUS"),
        ("limits.processes", "flag --processes"),
        ("limits.timeout", "default"),
    ] {
        assert_eq!(loaded.source(key).to_string(), source, "{key}");
    }
}

#[test]
fn every_kind_of_value_arrives() {
    let loaded = Stage::new()
        .toml(
            "backend = 'docker'\nallow_host = ['Play.example.org', '[fd00::1]']\n\
             env = { A = '1', B = 'two words' }\nroot = 'tree'\n\
             [limits]\ntimeout = '90s'\noutput = 1_000_000\n\
             [session]\nidle_timeout = 'none'\n\
             [docker]\nhost = 'unix:///run/x.sock'\ndata_path = 'stdio'\n\
             [log]\nformat = 'json'\n",
        )
        .variable("CELLGATE_ALLOW_ORIGIN", "https://a.example, http://b.example:8080")
        .variable("CELLGATE_TOKEN", "from-the-environment")
        .flags(&["--docker-runtime", "runsc", "--python", "venv/bin/python", "--log", "debug"])
        .good();
    let config = &loaded.config;
    let template = config.template("python").unwrap();
    assert_eq!(config.sandbox.backend, BackendChoice::Docker);
    assert_eq!(config.access.names.hosts, ["play.example.org", "[fd00::1]"]);
    assert_eq!(config.access.names.origins, ["https://a.example", "http://b.example:8080"]);
    assert!(config.access.token.as_ref().unwrap().matches("from-the-environment"));
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(template.env, [variable("A", "1"), variable("B", "two words")]);
    assert_eq!(template.limits.timeout, Some(Duration::from_secs(90)));
    assert_eq!(template.limits.output_bytes, Some(1_000_000));
    assert_eq!(config.registry.session.idle_timeout, None);
    assert_eq!(config.docker.host.as_deref(), Some("unix:///run/x.sock"));
    assert_eq!(config.docker.runtime.as_deref(), Some("runsc"));
    assert_eq!(config.docker.data_path, DataPath::Stdio);
    assert_eq!((config.log.filter.as_str(), config.log.format), ("debug", LogFormat::Json));
}

#[test]
fn relative_paths_start_where_they_are_written() {
    let stage = Stage::new()
        .file("etc/x.toml", "root = 'tree'\n[templates.t]\npython = 'p'\n")
        .flags(&["--config", "etc/x.toml", "--python", "py"]);
    let loaded = stage.good();
    let python = loaded.config.template("python").unwrap();
    assert_eq!(python.root.as_deref(), Some(stage.path("etc/tree").as_path()));
    assert_eq!(python.interpreter(), Some(stage.path("py").as_path()));
    let other = loaded.config.template("t").unwrap();
    assert_eq!(other.interpreter(), Some(stage.path("etc/p").as_path()));
}

#[test]
fn the_first_usual_file_counts_and_a_named_one_before_it() {
    let queue = |loaded: Loaded| loaded.config.registry.session.queue;
    let mut stage = Stage::new().file("etc/cellgate/cellgate.toml", "session.queue = 1\n");
    assert_eq!(queue(stage.good()), 1);
    stage = stage.file("home/.config/cellgate/cellgate.toml", "session.queue = 2\n");
    let home = stage.path("home").display().to_string();
    stage = stage.variable("HOME", &home);
    assert_eq!(queue(stage.good()), 2);
    stage = stage.file("xdg/cellgate/cellgate.toml", "session.queue = 3\n");
    let xdg = stage.path("xdg").display().to_string();
    stage = stage.variable("XDG_CONFIG_HOME", &xdg);
    assert_eq!(queue(stage.good()), 3);
    stage = stage.toml("session.queue = 4\n");
    assert_eq!(queue(stage.good()), 4);
    stage = stage.file("a.toml", "session.queue = 5\n").variable("CELLGATE_CONFIG", "a.toml");
    assert_eq!(queue(stage.good()), 5);
    stage = stage.file("b.toml", "session.queue = 6\n").flags(&["--config", "b.toml"]);
    assert_eq!(queue(stage.good()), 6);
    fs::remove_file(stage.path("b.toml")).unwrap();
    let error = stage.load().unwrap_err();
    assert_eq!(error.to_string(), "cannot read the settings in b.toml");
}

#[test]
fn templates_take_from_the_default_one_what_they_do_not_say() {
    let loaded = Stage::new()
        .toml(
            "image = 'base:1'\nenv = { A = '1' }\n[limits]\ntimeout = '30s'\nmemory = '64MiB'\n\
             [templates.data]\nimage = 'data:1'\n[templates.data.limits]\ntimeout = 'none'\n\
             [templates.plain]\n",
        )
        .flags(&["--memory", "128MiB", "--image", "flag:1"])
        .good();
    let names: Vec<_> = loaded.config.templates.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["python", "data", "plain"]);
    let template = |name: &str| loaded.config.template(name).unwrap();
    assert_eq!(template("python").image, "flag:1");
    assert_eq!(template("data").image, "data:1");
    assert_eq!(template("plain").image, "flag:1");
    assert_eq!(template("data").limits.timeout, None);
    assert_eq!(template("plain").limits.timeout, Some(Duration::from_secs(30)));
    for name in names {
        assert_eq!(template(name).limits.memory_bytes, 128 << 20, "{name}");
        assert_eq!(template(name).env, [("A".to_owned(), "1".to_owned())], "{name}");
    }
    assert_eq!(loaded.source("templates.data.image").to_string(), "cellgate.toml:7");
}

#[test]
fn a_template_of_another_language_takes_that_languages_defaults() {
    let text = "image = 'mine'\nnode = '/n/node'\npython = '/p/python'\nlimits.memory = '1GiB'\nlimits.cpus = 2\n\
                [templates.plain]\nlanguage = 'javascript'\n\
                [templates.own]\nimage = 'own'\nlimits.memory = '2GiB'\nlanguage = 'javascript'\n\
                [templates.same]\nlanguage = 'python'\n";
    let loaded = Stage::new().toml(text).good();
    let template = |name: &str| loaded.config.template(name).unwrap();
    let plain = template("plain");
    assert_eq!(plain.language.name, "javascript");
    assert_eq!(plain.image, "cellgate-javascript");
    assert_eq!(plain.limits.memory_bytes, plain.language.memory_bytes);
    assert_eq!(plain.limits.cpu_millis, 2000); // no matter of the language
    assert_eq!(plain.interpreter(), Some(Path::new("/n/node")));
    let own = template("own");
    assert_eq!((own.image.as_str(), own.limits.memory_bytes), ("own", 2 << 30));
    let same = template("same");
    assert_eq!((same.image.as_str(), same.limits.memory_bytes), ("mine", 1 << 30));
    assert_eq!(same.interpreter(), Some(Path::new("/p/python")));
    let told = Stage::new().flags(&["--image", "x", "--language", "javascript"]).good();
    assert_eq!(told.config.template("python").unwrap().image, "x");
    assert_eq!(
        Stage::new().toml("language = 'cobol'\n").wrong().len(),
        1,
        "a language that there is no runner for"
    );
}

#[test]
fn a_wrong_file_is_named_with_line_column_and_key() {
    for (text, message) in [
        ("\n  lisen = 'x'\n", "2:3: lisen: unknown setting; did you mean listen?"),
        ("memory = '1GiB'", "1:1: memory: unknown setting; did you mean limits.memory?"),
        ("[limit]\n", "1:2: limit: unknown setting; did you mean limits?"),
        (
            "[limits]\nmemroy = 1",
            "2:1: limits.memroy: unknown setting; did you mean limits.memory?",
        ),
        ("qqqq = 1", "1:1: qqqq: unknown setting; `cellgate config` lists what there is"),
        ("limits = 5", "1:10: limits: this is a table: write [limits] above its settings"),
        ("templates = 5", "1:13: templates: this is a table: write [templates.NAME]"),
        ("templates.x = 5", "1:15: templates.x: this is a table: write [templates.x]"),
        ("[templates.x]\nlisten = ''", "2:1: templates.x.listen: this is a setting of the gateway"),
        ("[templates.x]\nimge = ''", "2:1: templates.x.imge: unknown setting; did you mean image?"),
        ("[templates.python]", "1:12: templates.python: the default template is described by"),
        ("[templates.'A b']", "1:12: templates.A b: the name of a template starts with"),
        ("[templates.x.limits]\ncpus = 'two'", "2:8: templates.x.limits.cpus: \"two\" is not a"),
        ("listen = 8080", "1:10: listen: 8080 is not an IP address with a port"),
        ("listen = 'localhost:8080'", "1:10: listen: \"localhost:8080\" is not an IP address"),
        ("listen = ''", "1:10: listen: \"\" is not an IP address"),
        ("token = 1_000", "1:9: token: a token is text"),
        ("token = 'a b'", "1:9: token: a token is one or more visible ASCII characters"),
        (
            "backend = 'podman'",
            "1:11: backend: \"podman\" is not one of \"auto\", \"docker\", \"local\"",
        ),
        ("sessions = 0", "1:12: sessions: 0 is too little: at least 1"),
        (
            "limits.memory = '512M'",
            "1:17: limits.memory: \"512M\" is not a size, because there is no",
        ),
        (
            "limits.memory = '1MiB'",
            "1:17: limits.memory: \"1MiB\" is too little: at least \"32MiB\"",
        ),
        (
            "limits.timeout = 30",
            "1:18: limits.timeout: 30 is not a duration, because it has no unit",
        ),
        ("limits.timeout = 2024-01-01", "1:18: limits.timeout: a date is not a duration"),
        ("limits.processes = 1e3", "1:20: limits.processes: 1e3 is not a whole number"),
        ("allow_host = 'a b'", "1:14: allow_host: \"a b\" is not a host"),
        ("allow_host = ['a', 5]", "1:20: allow_host: this is not text: write it in quotes"),
        (
            "allow_origin = ['https://a/b']",
            "1:16: allow_origin: \"https://a/b\" is not a web origin",
        ),
        ("allow_origin = ['null']", "1:16: allow_origin: \"null\" is not a web origin"),
        ("env = 5", "1:7: env: 5 is not a table of strings"),
        ("env.A = 5", "1:9: env: this is not text: write it in quotes"),
        ("env.'A-B' = ''", "1:1: env: \"A-B\" cannot name a variable"),
        ("image = 'a b'", "1:9: image: \"a b\" is not the name of an image"),
        (
            "docker.host = '/run/docker.sock'",
            "1:15: docker.host: \"/run/docker.sock\" is no address",
        ),
        ("log.filter = 'loud,=,'", "1:14: log.filter: \"loud,=,\" is not a filter"),
        ("insecure_no_token = 'yes'", "1:21: insecure_no_token: \"yes\" is neither true nor false"),
        ("é = 1", "1:1: this is not valid TOML: "),
        ("a = 'é' b", "1:9: this is not valid TOML: "),
        ("queue = 1\nqueue = 2", "2:1: this is not valid TOML: duplicate key"),
    ] {
        let wrong = Stage::new().toml(text).wrong();
        assert_eq!(wrong.len(), 1, "{text}: {wrong:#?}");
        let expected = format!("cellgate.toml:{message}");
        assert!(wrong[0].starts_with(&expected), "{text}:\n {}\n {expected}", wrong[0]);
    }
}

#[test]
fn a_wrong_variable_or_flag_is_named() {
    for (name, value, message) in [
        ("CELLGATE_MEMORY", "lots", "CELLGATE_MEMORY: \"lots\" is not a size: write bytes, or"),
        (
            "CELLGATE_MEMROY",
            "1GiB",
            "CELLGATE_MEMROY: is no variable of cellgate; did you mean CELLGATE_MEMORY?",
        ),
        ("CELLGATE_TOKEN", "", "CELLGATE_TOKEN: is set but empty: give it a value or unset it"),
        ("CELLGATE_CONFIG", "", "CELLGATE_CONFIG: is set but empty: name a file or unset it"),
        ("CELLGATE_PORT", "80", "CELLGATE_PORT: is no variable of cellgate"),
    ] {
        let wrong = Stage::new().variable(name, value).wrong();
        assert_eq!(wrong.len(), 1, "{wrong:#?}");
        assert!(wrong[0].starts_with(message), "{}", wrong[0]);
    }
    let wrong = Stage::new().flags(&["--timeout", "5"]).wrong();
    assert!(wrong[0].starts_with("--timeout: \"5\" is not a duration, because it has no unit"));
}

#[test]
fn variables_of_tests_and_of_others_are_left_alone() {
    Stage::new()
        .variable("CELLGATE_REQUIRE", "docker")
        .variable("CELLGATE_TEST_UPDATE", "1")
        .variable("CELLGATE_DRIVER_LOG", "1")
        .variable("CELLGATE_SERVICE_HOST", "10.0.0.1")
        .variable("CELLGATE_PORT_80_TCP", "tcp://10.0.0.1:80")
        .variable("MY_CELLGATE_MEMORY", "x")
        .good();
}

#[test]
fn everything_wrong_is_said_at_once_and_a_higher_layer_hides_nothing() {
    let wrong = Stage::new()
        .toml("[limits]\nmemory = 'x'\nmemroy = 1\n[log]\nfilter = 5\n")
        .variable("CELLGATE_MEMORY", "y")
        .flags(&["--memory", "1GiB", "--queue", "0"])
        .wrong();
    let places: Vec<_> = wrong.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "cellgate.toml:2:10",
            "cellgate.toml:3:1",
            "cellgate.toml:5:10",
            "CELLGATE_MEMORY",
            "--queue"
        ]
    );
}

#[test]
fn the_highest_way_of_access_replaces_the_lower_ones() {
    let file = Stage::new().toml("token = 'in-the-file'\n").file("secret", "from-a-file\nx\n");
    let stage = file.variable("CELLGATE_TOKEN_FILE", "secret");
    let loaded = stage.good();
    assert!(loaded.config.access.token.as_ref().unwrap().matches("from-a-file"));
    // Each line below is a token too.
    assert!(loaded.config.access.more_tokens.iter().all(|token| token.matches("x")));
    assert_eq!(loaded.config.access.more_tokens.len(), 1);
    assert_eq!(loaded.source("token").to_string(), "environment CELLGATE_TOKEN_FILE");
    let stage = stage.flags(&["--token", "flag"]);
    let loaded = stage.good();
    assert!(loaded.config.access.token.as_ref().unwrap().matches("flag"));
    assert_eq!(loaded.config.access.token_file, None);
    assert_eq!(loaded.source("token_file").to_string(), "default");

    let open = Stage::new().toml("token = 't'").flags(&["--insecure-no-token"]).good();
    assert!(open.config.access.token.is_none() && open.config.access.insecure_no_token);

    let wrong = Stage::new().flags(&["--token", "t", "--token-file", "secret"]).wrong();
    assert_eq!(wrong[0], "--token-file: token_file and token exclude each other: keep one of them");
}

#[test]
fn a_token_file_that_gives_no_token_is_fatal() {
    let stage = Stage::new().toml("token_file = 'secret'");
    let path = stage.path("secret");
    let cannot = format!("cellgate.toml:1:14: token_file: cannot read {}: ", path.display());
    assert!(stage.wrong()[0].starts_with(&cannot), "{:?}", stage.wrong());
    for (text, line) in [("", 1), ("\nsecond", 1), ("hush hush\n", 1), ("good\n\nhush hush", 3)] {
        let stage = Stage::new().file("secret", text).toml("token_file = 'secret'");
        let wrong = stage.wrong();
        let named = format!("line {line} of ");
        assert!(wrong[0].contains(&named) && !wrong[0].contains("hush"), "{wrong:?}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    for address in ["0.0.0.0:80", "192.0.2.1:80", "[::]:80", "[::ffff:192.0.2.1]:80"] {
        let wrong = Stage::new().flags(&["--insecure-no-token", "--listen", address]).wrong();
        let expected = format!("--insecure-no-token: others can reach {address}");
        assert!(wrong[0].starts_with(&expected), "{}", wrong[0]);
    }
    for address in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
        Stage::new().flags(&["--insecure-no-token", "--listen", address]).good();
    }
    for flag in ["--allow-origin", "--allow-host"] {
        let wrong = Stage::new().flags(&["--insecure-no-token", flag, "*"]).wrong();
        assert!(wrong[0].starts_with(&format!("{flag}: any page in a browser")), "{}", wrong[0]);
        Stage::new().flags(&["--token", "t", flag, "*"]).good();
    }
    let wrong = Stage::new().toml("session.event_log = '512KiB'").wrong();
    assert!(
        wrong[0].starts_with("cellgate.toml:1:21: session.event_log: session.window is 1048576"),
        "{}",
        wrong[0]
    );
    Stage::new().toml("session.event_log = '512KiB'").flags(&["--window", "512KiB"]).good();
}

#[test]
fn what_is_printed_is_a_file_that_gives_the_same() {
    let rich = Stage::new()
        .toml(
            "token_file = 'secret'\nallow_host = ['a', 'b']\nroot = 'x'\n\
             env = { A = 'with \"quotes\" # and more', B = \"lines\\nand\\ttabs\", C = '\u{e9}\\' }\n\
             [limits]\nmemory = '1.5GiB'\ncpus = 0.25\ntimeout = '90s'\noutput = 1025\n\
             [log]\nfilter = 'info,cellgate::session=debug'\n\
             [templates.a-b]\nimage = 'data:1'\nenv = {}\n\
             [templates.a-b.limits]\ntimeout = 'none'\n\
             [templates.empty]\n",
        )
        .file("secret", "hush-hush")
        .variable("CELLGATE_QUEUE", "7")
        .flags(&["--listen", "[::1]:0", "--log-format", "json"]);
    for stage in [Stage::new(), rich] {
        let first = stage.good();
        let printed = config::show(&first);
        assert!(!printed.contains("hush"), "{printed}");
        let again = Stage::new().toml(&printed).good();
        assert_eq!(values(&again), values(&first), "{printed}");
        for line in printed.lines().filter(|line| line.contains(" = ")) {
            assert!(line.contains("  # "), "a value without its source: {line}");
        }
    }
}

#[test]
fn a_token_given_as_text_is_printed_nowhere() {
    let stage = Stage::new().toml("token = 'hush-hush'\n");
    let loaded = stage.good();
    let printed = config::show(&loaded);
    assert!(printed.contains("# token: (hidden)") && printed.contains("# cellgate.toml:1"));
    let flags = flags_of(&["--token".into(), "hush-hush".into()]);
    for text in [&printed, &config::show_json(&loaded), &values(&loaded), &format!("{flags:?}")] {
        assert!(!text.contains("hush"), "{text}");
    }
    // The file goes without a token, rather than with a wrong one.
    assert!(Stage::new().toml(&printed).good().config.access.token.is_none());
}

#[test]
fn json_lists_every_key_with_value_and_source() {
    let loaded = Stage::new()
        .toml("[limits]\nmemory = '1GiB'\n[templates.t]\nimage = 'x'\n")
        .flags(&["--queue", "3"])
        .good();
    let json: serde_json::Value = serde_json::from_str(&config::show_json(&loaded)).unwrap();
    assert_eq!(json["file"], "cellgate.toml");
    let settings = json["settings"].as_array().unwrap();
    let entry = |key: &str| settings.iter().find(|entry| entry["key"] == key).unwrap();
    for (key, value, source) in [
        ("limits.memory", serde_json::json!("1GiB"), "cellgate.toml:2"),
        ("session.queue", serde_json::json!(3), "flag --queue"),
        ("limits.cpus", serde_json::json!(1), "default"),
        ("templates.t.image", serde_json::json!("x"), "cellgate.toml:4"),
        ("templates.t.limits.memory", serde_json::json!("1GiB"), "as python"),
    ] {
        assert_eq!(
            (&entry(key)["value"], &entry(key)["source"]),
            (&value, &source.into()),
            "{key}"
        );
    }
}

#[test]
fn the_documentation_of_settings_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let reference = config::reference();
    if std::env::var_os("CELLGATE_TEST_UPDATE").is_some() {
        fs::write(&path, &reference).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference,
        "docs/settings.md is not what the table says; \
         run CELLGATE_TEST_UPDATE=1 cargo test --test config"
    );
    let example = reference.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let loaded = Stage::new().toml(example).good();
    assert_eq!(loaded.config.template("data").unwrap().limits.memory_bytes, 2 << 30);
}

#[test]
fn commands_are_read_and_serving_is_the_default() {
    let parse = |line: &str| cli::parse(line.split(' ').map(OsString::from));
    for line in
        ["cellgate", "cellgate serve", "cellgate --listen 127.0.0.1:1", "cellgate serve --queue 5"]
    {
        assert!(matches!(parse(line), Ok(cli::Command::Serve { .. })), "{line}");
    }
    let Ok(cli::Command::Run(run)) = parse("cellgate run --template data --timeout 5s - --flag x")
    else {
        panic!("run is not read");
    };
    assert_eq!((run.file.as_path(), run.template.as_str()), (Path::new("-"), "data"));
    assert_eq!(run.arguments, ["--flag", "x"], "what follows the file is the program's");
    assert!(matches!(parse("cellgate doctor --json"), Ok(cli::Command::Doctor { json: true, .. })));
    for line in [
        "cellgate run",
        "cellgate run --listen 127.0.0.1:1 x", // has no meaning there
        "cellgate --listen 127.0.0.1:1 run x",
        "cellgate --backend podman",
        "cellgate --lisen x",
        "cellgate serve extra",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
    <cli::Cli as clap::CommandFactory>::command().debug_assert();
}

/// Runs the program itself, with nothing around it but what is given.
fn program(stage: &Stage, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cellgate"))
        .args(arguments)
        .env_clear()
        .envs(stage.variables.iter().cloned())
        .current_dir(stage.directory.path())
        .output()
        .unwrap()
}

#[test]
fn the_program_prints_its_settings() {
    let stage = Stage::new().variable("CELLGATE_QUEUE", "7");
    let output = program(&stage, &["config", "--sessions", "3"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(printed.contains("\nsessions = 3 ") && printed.contains("# flag --sessions\n"));
    assert!(printed.contains("\nqueue = 7 ") && printed.contains("# environment CELLGATE_QUEUE\n"));
}

#[test]
fn a_wrong_setting_ends_the_program_with_code_2() {
    let stage = Stage::new().toml("[limits]\nmemory = 'x'\n");
    for command in ["config", "serve", "doctor"] {
        let output = program(&stage, &[command]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{command}: {message}");
        assert!(message.contains("cellgate.toml:2:10: limits.memory: \"x\""), "{message}");
        assert!(output.stdout.is_empty(), "{command}");
    }
    let output = program(&Stage::new(), &["config", "--config", "missing.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains("cannot read the settings in missing.toml: No such file"),
        "{message}"
    );
}

const KEY: &str = "key = 'pk_0123456789abcdef'\norigins = ['https://a.example']\n";

#[test]
fn a_publishable_key_has_defaults_and_is_shown_as_it_is_read() {
    let file = format!(
        "[templates.lab]\n[keys.lesson]\n{KEY}[keys.open]\nkey = 'pk_abcdef0123456789'\n\
         origins = ['*', 'http://B.example:81']\ntemplates = ['lab', 'python']\nsessions = 7\n\
         sessions_per_address = 3\ncells = 9\ncells_per_address = 5\nlifetime = '1h'\n\
         idle_timeout = '10m'\nfiles = true\nsharing = true\n"
    );
    let loaded = Stage::new().toml(&file).good();
    let [lesson, open] = loaded.config.keys.as_slice() else { panic!("{:?}", loaded.config.keys) };
    assert_eq!((lesson.name.as_str(), lesson.key.as_str()), ("lesson", "pk_0123456789abcdef"));
    assert_eq!((&lesson.templates, lesson.sessions), (&vec!["python".to_owned()], 50));
    assert_eq!((lesson.sessions_per_address, lesson.cells, lesson.cells_per_address), (2, 20, 4));
    assert_eq!((lesson.lifetime.as_secs(), lesson.idle_timeout.as_secs()), (1800, 300));
    assert!(!lesson.files && !lesson.sharing && open.files && open.sharing);
    assert_eq!(open.origins, ["*", "http://b.example:81"]);
    assert_eq!((open.templates[0].as_str(), open.lifetime.as_secs()), ("lab", 3600));
    assert_eq!((open.sessions, open.cells_per_address), (7, 5));

    let shown = config::show(&loaded);
    assert!(shown.contains("[keys.lesson]") && shown.contains("pk_0123456789abcdef"), "{shown}");
    assert_eq!(values(&Stage::new().toml(&shown).good()), values(&loaded));
    let json: serde_json::Value = serde_json::from_str(&config::show_json(&loaded)).unwrap();
    let of = |key: &str| {
        let all = json["settings"].as_array().unwrap();
        all.iter().find(|one| one["key"] == key).unwrap().clone()
    };
    assert_eq!(of("keys.open.sessions")["value"], 7);
    assert!(of("keys.open.sessions")["source"].as_str().unwrap().ends_with("cellgate.toml:9"));
    assert_eq!(of("keys.lesson.sessions")["source"], "default");
}

#[test]
fn a_default_of_a_key_is_no_longer_than_the_gateway_allows() {
    let limits = "[session]\nlifetime = '10m'\nidle_timeout = '1m'\n";
    let loaded = Stage::new().toml(&format!("{limits}[keys.a]\n{KEY}")).good();
    let key = &loaded.config.keys[0];
    assert_eq!((key.lifetime.as_secs(), key.idle_timeout.as_secs()), (600, 60));
    let wrong = format!("{limits}[keys.a]\n{KEY}lifetime = '11m'\nidle_timeout = '61s'\n");
    let wrong = Stage::new().toml(&wrong).wrong();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].contains("keys.a.lifetime: is longer than session.lifetime"), "{wrong:?}");
    assert!(wrong[1].contains(":8:") && wrong[1].contains("keys.a.idle_timeout"), "{wrong:?}");
}

#[test]
fn a_publishable_key_that_is_wrong_is_told_by_its_place() {
    let token = "token = 'pk_0123456789abcdef'\n";
    for (file, expected) in [
        ("keys = 1", &["keys: this is a table: write [keys.NAME]"][..]),
        ("[keys]\na = 1", &["keys.a: this is a table: write [keys.a]"]),
        ("[keys.A]\nkey = 'x'", &["keys.A: the name of a publishable key starts with"]),
        ("[keys.a]", &["keys.a.key: is missing", "keys.a.origins: is missing"]),
        ("[keys.a]\nkey = 'pk_short'\n", &["keys.a.key: \"pk_short\" is no publishable key"]),
        (
            &format!("[keys.a]\n{KEY}cell = 1"),
            &["keys.a.cell: unknown setting; did you mean cells?"],
        ),
        (&format!("[keys.a]\n{KEY}cells = 0"), &["keys.a.cells: "]),
        (&format!("[keys.a]\n{KEY}files = 1"), &["keys.a.files: 1 is neither true nor false"]),
        (&format!("[keys.a]\n{KEY}lifetime = '0s'"), &["keys.a.lifetime: "]),
        (&format!("[keys.a]\n{KEY}templates = []"), &["keys.a.templates: is empty"]),
        (
            &format!("[keys.a]\n{KEY}templates = ['python', 'lab']"),
            &["keys.a.templates: there is no template \"lab\"; there are: python"],
        ),
        (
            "[keys.a]\nkey = 'pk_0123456789abcdef'\norigins = []",
            &["keys.a.origins: is missing or empty"],
        ),
        (
            "[keys.a]\nkey = 'pk_0123456789abcdef'\norigins = ['a.example']",
            &["keys.a.origins: \"a.example\" is not a web origin"],
        ),
        (&format!("[keys.a]\n{KEY}[keys.b]\n{KEY}"), &["keys.b.key: is the key of keys.a too"]),
        (&format!("{token}[keys.a]\n{KEY}"), &["keys.a.key: is a token of the gateway too"]),
    ] {
        let wrong = Stage::new().toml(file).wrong();
        assert_eq!(wrong.len(), expected.len(), "{file}: {wrong:?}");
        for (message, expected) in wrong.iter().zip(expected) {
            assert!(message.contains(expected), "{file}: {message}");
            assert!(message.contains("cellgate.toml:"), "no place: {message}");
        }
    }
    // The tokens of a file too.
    let wrong = Stage::new()
        .file("tokens", "first-token-0123456789\npk_0123456789abcdef\n")
        .toml(&format!("token_file = 'tokens'\n[keys.a]\n{KEY}"))
        .wrong();
    assert!(wrong.len() == 1 && wrong[0].contains("is a token of the gateway too"), "{wrong:?}");
    assert!(!wrong[0].contains("pk_"), "a token is not repeated");
}
