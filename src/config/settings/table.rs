//! The table of settings.

use std::time::Duration;

use cellgate_driver::wire::MOST_PROGRAMS;

use crate::config::check;
use crate::config::codec::{
    Address, Choice, Codec, Count, Cpus, Form, List, Location, Maybe, Secret, Several, Size,
    Switch, Text, Time, Variables, Word,
};
use crate::config::model::{BackendChoice, Config, LogFormat};
use crate::keys::KeyConfig;
use crate::language::{self, Language};
use crate::sandbox::docker::DataPath;
use crate::session::DetachedOutput;
use crate::template::Template;

use super::{Access, Scope, Section, Setting};

/// The type behind [`Scope::Gateway`], by the name the rows use.
type Gateway = Config;

/// The type behind [`Scope::Key`].
type Key = KeyConfig;

/// A codec's form; the field only tells the compiler which number type the codec is for.
fn form_of<T, C: Codec>(codec: C, _field: fn(&T) -> &C::Value) -> Form {
    codec.form()
}

/// A row: key, flag, scope and path of the value, codec, meaning.
macro_rules! setting {
    ($key:literal, $flag:expr, $scope:ident . $($field:ident).+, $codec:expr, $doc:literal) => {
        Setting {
            key: $key,
            flag: $flag,
            doc: $doc,
            form: || form_of::<$scope, _>($codec, |target| &target.$($field).+),
            scope: Scope::$scope(Access {
                set: |target, raw, base| {
                    target.$($field).+ = $codec.read(raw, base)?;
                    Ok(())
                },
                get: |target| $codec.show(&target.$($field).+),
            }),
        }
    };
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A time-out: shorter than 100 ms fails by chance, longer than a day is a mistake in the unit.
const TIMEOUT: Time = Time { min: Duration::from_millis(100), max: DAY };

/// A span of life: up to a year.
const LIFE: Time = Time { min: SECOND, max: Duration::from_secs(365 * 24 * 60 * 60) };

/// The key of the setting that says what a template's cells are written in. It is applied before a template's others.
pub(crate) const LANGUAGE: &str = "language";

/// One of the languages.
const WHICH_LANGUAGE: Choice<&'static Language, { language::LANGUAGES.len() }> =
    Choice { words: language::NAMES, values: *language::LANGUAGES };

/// Every setting there is.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        title: "Server",
        table: "",
        sandbox: false,
        settings: &[
            setting!(
                "listen",
                Some("listen"),
                Gateway.listen.address,
                Address,
                "Where HTTP and WebSockets are served; port 0 lets the kernel choose"
            ),
            setting!(
                "sessions",
                Some("sessions"),
                Gateway.registry.sessions,
                Count { min: 1, max: 100_000 },
                "Most sessions at one time; what the pool has parked comes on top"
            ),
            setting!(
                "waiting",
                Some("waiting"),
                Gateway.registry.waiting,
                Count { min: 0, max: 100_000 },
                "Most newcomers that wait in line while all sessions are taken"
            ),
            setting!(
                "waiting_timeout",
                Some("waiting-timeout"),
                Gateway.registry.waiting_timeout,
                Time { min: Duration::ZERO, max: DAY },
                "How long a newcomer waits for a session to become free before it is told to try \
                 again later; 0s does not let anybody wait"
            ),
            setting!(
                "memory_budget",
                Some("memory-budget"),
                Gateway.sandbox.memory_budget_bytes,
                Size { min: 16 << 20, max: 1 << 50 },
                "Most that the gateway holds in memory for its clients and sandboxes: cells that \
                 wait, events kept for replay, output on its way, messages that are not whole. Near \
                 it cells wait in `write` and logs go to disk; beyond it cells, questions and large \
                 results are refused"
            ),
            setting!(
                "upload_size",
                Some("upload-size"),
                Gateway.listen.upload_bytes,
                Size { min: 1 << 10, max: 1 << 50 },
                "Longest file that may be put into a session's working directory"
            ),
            setting!(
                "drain_timeout",
                Some("drain-timeout"),
                Gateway.listen.drain_timeout,
                Time { min: Duration::ZERO, max: DAY },
                "How long running cells may go on once the gateway is told to stop"
            ),
            setting!(
                "connections",
                Some("connections"),
                Gateway.server.connections,
                Count { min: 1, max: 1_000_000 },
                "Most connections at one time, WebSockets included; who comes then waits to be accepted"
            ),
            setting!(
                "header_timeout",
                Some("header-timeout"),
                Gateway.server.header_timeout,
                TIMEOUT,
                "How long a client may take to send the head of a request, and with it its token, \
                 before it is disconnected"
            ),
        ],
    },
    Section {
        title: "Access",
        table: "",
        sandbox: false,
        settings: &[
            setting!(
                "token",
                Some("token"),
                Gateway.access.token,
                Secret,
                "The token that lets one create sessions; unless set, a random one is made at each \
                 start and printed. Other users of the machine can see flags: prefer the file"
            ),
            setting!(
                "token_file",
                Some("token-file"),
                Gateway.access.token_file,
                Maybe { word: "none", some: Location { metavar: "FILE" } },
                "File that holds the token on its first line; each further line is another token, which \
                 makes sessions as the first does, and lists and opens its own alone"
            ),
            setting!(
                "insecure_no_token",
                Some("insecure-no-token"),
                Gateway.access.insecure_no_token,
                Switch,
                "Let everybody on this machine create sessions; refused unless the gateway listens \
                 on a loopback address"
            ),
            setting!(
                "metrics_public",
                Some("metrics-public"),
                Gateway.access.metrics_public,
                Switch,
                "Show /metrics to whoever asks, not just to holders of the token"
            ),
            setting!(
                "allow_origin",
                Some("allow-origin"),
                Gateway.access.names.origins,
                List { metavar: "ORIGIN", check: check::origin },
                "Web origin whose pages may connect beside the gateway's own, such as \
                 https://play.example.org; * for any"
            ),
            setting!(
                "allow_embed",
                Some("allow-embed"),
                Gateway.access.allow_embed,
                List { metavar: "ORIGIN", check: check::origin },
                "Web origin whose pages may show the console in a frame (`?embed=1`), such as \
                 https://blog.example.org; * for any. Only the gateway's own may unless listed"
            ),
            setting!(
                "allow_host",
                Some("allow-host"),
                Gateway.access.names.hosts,
                List { metavar: "HOST", check: check::host },
                "Name under which clients may reach the gateway beside localhost and bare \
                 addresses, such as play.example.org; * for any"
            ),
        ],
    },
    Section {
        title: "Sandboxes",
        table: "",
        sandbox: true,
        settings: &[
            setting!(
                "backend",
                Some("backend"),
                Gateway.sandbox.backend,
                Choice {
                    words: &["auto", "docker", "local"],
                    values: [BackendChoice::Auto, BackendChoice::Docker, BackendChoice::Local],
                },
                "What makes sandboxes; auto takes Docker where an engine answers and Linux \
                 namespaces elsewhere"
            ),
            setting!(
                "allow_weak_limits",
                Some("allow-weak-limits"),
                Gateway.sandbox.allow_weak_limits,
                Switch,
                "Serve although the machine lets the gateway limit no memory or no processors, so that \
                 one session can take all of it. Not needed while the gateway listens on a loopback \
                 address with the random token of its start, nor by `cellgate run` and `cellgate mcp`: what runs there \
                 is one's own"
            ),
            setting!(
                "create_timeout",
                Some("create-timeout"),
                Gateway.registry.pool.create_timeout,
                TIMEOUT,
                "How long making a sandbox and starting its interpreter may take"
            ),
            setting!(
                "runtime_dir",
                Some("runtime-dir"),
                Gateway.sandbox.runtime_dir,
                Location { metavar: "DIR" },
                "Directory for sockets and the marks of this instance; unless set, \
                 $XDG_RUNTIME_DIR/cellgate, else /run/cellgate for root and /tmp/cellgate-UID for others"
            ),
            setting!(
                "image",
                Some("image"),
                Template.image,
                Text { metavar: "NAME", check: check::image },
                "Docker backend: the image sandboxes are made from"
            ),
            Setting {
                key: LANGUAGE,
                flag: Some("language"),
                doc: "What cells are written in. A template of another language than the default one's takes that \
                      language's image and memory unless it sets its own",
                form: || WHICH_LANGUAGE.form(),
                scope: Scope::Template(Access {
                    set: |template, raw, base| {
                        template.set_language(WHICH_LANGUAGE.read(raw, base)?);
                        Ok(())
                    },
                    get: |template| WHICH_LANGUAGE.show(&template.language),
                }),
            },
            setting!(
                "other_languages",
                Some("other-language"),
                Template.other_languages,
                Maybe { word: "auto", some: Several { each: WHICH_LANGUAGE } },
                "Languages of which sessions may open further interpreters, beside the one of `language`, such as \
                 [\"javascript\", \"bash\"]. One that is named has to be there; auto offers those that the machine \
                 has below /usr, or that the project's own image has"
            ),
            setting!(
                "python",
                Some("python"),
                Template.interpreters.python,
                Maybe { word: "auto", some: Location { metavar: "PATH" } },
                "Local backend: the interpreter of Python cells, a virtual environment's too, and of the bridge to kernels of \
                 Jupyter; auto finds one"
            ),
            setting!(
                "node",
                Some("node"),
                Template.interpreters.node,
                Maybe { word: "auto", some: Location { metavar: "PATH" } },
                "Local backend: the Node of JavaScript cells, version 20 or newer; auto finds one"
            ),
            setting!(
                "bash",
                Some("bash"),
                Template.interpreters.bash,
                Maybe { word: "auto", some: Location { metavar: "PATH" } },
                "Local backend: the bash of cells in bash, version 4.4 or newer; auto finds one"
            ),
            setting!(
                "root",
                Some("root"),
                Template.root,
                Maybe { word: "host", some: Location { metavar: "DIR" } },
                "Local backend: a directory tree to use instead of the host's system directories"
            ),
            setting!(
                "workdir",
                Some("workdir"),
                Template.workdir,
                Text { metavar: "PATH", check: check::workdir },
                "The working directory of sessions, and their home"
            ),
            setting!(
                "shell",
                Some("shell"),
                Template.shell,
                Word { words: language::DEFAULT.shells },
                "What executes cells: IPython, with its magics, or the runner's plain Python; auto takes \
                 IPython where the interpreter has it"
            ),
            setting!(
                "kernel",
                Some("kernel"),
                Template.kernel,
                Maybe { word: "none", some: Text { metavar: "NAME", check: check::kernel } },
                "The kernel of Jupyter that executes the cells of a template in the language jupyter: the name of its \
                 directory in share/jupyter/kernels, such as ir"
            ),
            setting!(
                "env",
                None,
                Template.env,
                Variables,
                "Variables added to the environment of the code, a table of strings"
            ),
        ],
    },
    Section {
        title: "Limits of one session",
        table: "limits",
        sandbox: true,
        settings: &[
            setting!(
                "limits.memory",
                Some("memory"),
                Template.limits.memory_bytes,
                Size { min: 32 << 20, max: 1 << 50 }, // below 32 MiB no interpreter starts
                "Memory of everything in the sandbox, files in its working directory included"
            ),
            setting!(
                "limits.cpus",
                Some("cpus"),
                Template.limits.cpu_millis,
                Cpus { min: 10, max: 1_024_000 },
                "Cores the sandbox may keep busy"
            ),
            setting!(
                "limits.processes",
                Some("processes"),
                Template.limits.processes,
                Count { min: 4, max: 1 << 22 }, // 2^22: the kernel's own limit of process ids
                "Processes and threads, the supervisor included"
            ),
            setting!(
                "limits.programs",
                Some("programs"),
                Template.limits.programs,
                Count { min: 1, max: MOST_PROGRAMS },
                "Programs that may be open: interpreters, the first included, and processes that clients start"
            ),
            setting!(
                "limits.open_files",
                Some("open-files"),
                Template.limits.open_files,
                Count { min: 64, max: 1 << 20 }, // 2^20: the kernel's default fs.nr_open
                "Open files of one process"
            ),
            setting!(
                "limits.disk",
                Some("disk"),
                Template.limits.disk_bytes,
                Size { min: 64 << 10, max: 1 << 50 },
                "Size of the working directory, which counts as memory"
            ),
            setting!(
                "limits.disk_files",
                Some("disk-files"),
                Template.limits.disk_inodes,
                Count { min: 16, max: 1 << 32 },
                "Files and directories in the working directory"
            ),
            setting!(
                "limits.timeout",
                Some("timeout"),
                Template.limits.timeout,
                Maybe { word: "none", some: TIMEOUT },
                "Wall clock of one cell"
            ),
            setting!(
                "limits.output",
                Some("output"),
                Template.limits.output_bytes,
                Maybe { word: "none", some: Size { min: 1 << 10, max: 1 << 50 } },
                "Bytes that are shown of what a cell writes: its head as it comes, its last 64 KiB (at \
                 most half) at its end"
            ),
            setting!(
                "limits.output_kept",
                Some("output-kept"),
                Template.limits.output_kept_bytes,
                Size { min: 0, max: 1 << 50 },
                "Bytes kept on disk of what cells wrote where not all of it is shown, to be \
                 downloaded; a cell that writes more is stopped"
            ),
            setting!(
                "limits.interrupt_grace",
                Some("interrupt-grace"),
                Template.limits.interrupt_grace,
                Time { min: Duration::ZERO, max: Duration::from_secs(60) },
                "How long a cell may ignore an interrupt before it is killed"
            ),
        ],
    },
    Section {
        title: "Warm pool",
        table: "pool",
        sandbox: false,
        settings: &[
            setting!(
                "pool.min",
                Some("pool-min"),
                Template.pool.min,
                Count { min: 0, max: 1_000 },
                "Sandboxes that are parked, ready for a visitor each, even if nobody comes; never more \
                 than pool.max"
            ),
            setting!(
                "pool.max",
                Some("pool-max"),
                Template.pool.max,
                Count { min: 0, max: 1_000 },
                "Most sandboxes that are parked when many visitors come; 0 parks none. An idle \
                 Python takes about 10 MiB"
            ),
            setting!(
                "pool.creations",
                Some("pool-creations"),
                Gateway.registry.pool.creations,
                Count { min: 1, max: 1_000 },
                "Most sandboxes being made at one time, for visitors and for the pool together"
            ),
        ],
    },
    Section {
        title: "Sessions",
        table: "session",
        sandbox: false,
        settings: &[
            setting!(
                "session.queue",
                Some("queue"),
                Gateway.registry.session.queue,
                Count { min: 1, max: 10_000 },
                "Most cells waiting behind the running one"
            ),
            setting!(
                "session.window",
                Some("window"),
                Gateway.registry.session.window_bytes,
                Size { min: 64 << 10, max: 1 << 30 }, // below one frame of the link nothing moves
                "Most output a participant may have unsent or unacknowledged"
            ),
            setting!(
                "session.event_log",
                Some("event-log"),
                Gateway.registry.session.log_bytes,
                Size { min: 64 << 10, max: 1 << 40 },
                "Most events kept in memory for replay, times `sessions` in the worst case"
            ),
            setting!(
                "session.log_disk",
                Some("log-disk"),
                Gateway.registry.session.log_disk_bytes,
                Size { min: 0, max: 1 << 50 },
                "Most older events kept in a file for replay, times `sessions` in the worst case; \
                 0 keeps none. A disk that is full costs what memory cannot hold, and no cell"
            ),
            setting!(
                "session.log_directory",
                Some("log-directory"),
                Gateway.registry.session.log_directory,
                Location { metavar: "DIR" },
                "Where those files are, which have no names and end with their sessions; better a \
                 disk than memory"
            ),
            setting!(
                "session.log_disk_reserve",
                Some("log-disk-reserve"),
                Gateway.registry.session.log_disk_reserve_bytes,
                Size { min: 0, max: 1 << 50 },
                "What stays free on that disk: where less would be left, nothing more is written"
            ),
            setting!(
                "session.participants",
                Some("participants"),
                Gateway.registry.session.participants,
                Count { min: 1, max: 10_000 },
                "Most participants attached to one session; a quarter of the seats is kept from viewers, and \
                 one for an owner"
            ),
            setting!(
                "session.idle_timeout",
                Some("idle-timeout"),
                Gateway.registry.session.idle_timeout,
                Maybe { word: "none", some: LIFE },
                "How long a session may do nothing, no cell and no message, before it ends"
            ),
            setting!(
                "session.detach_timeout",
                Some("detach-timeout"),
                Gateway.registry.session.detach_timeout,
                Time { min: Duration::ZERO, ..LIFE },
                "How long a session lives on without participants; a cell that runs goes on meanwhile"
            ),
            setting!(
                "session.silence_timeout",
                Some("silence-timeout"),
                Gateway.registry.session.silence_timeout,
                Time { min: Duration::from_secs(1), max: Duration::from_secs(3_600) },
                "How long a sandbox may say nothing while a cell runs or a question is open, pings \
                 unanswered, before it is given up and the cell is lost"
            ),
            setting!(
                "session.detached_output",
                Some("detached-output"),
                Gateway.registry.session.detached_output,
                Choice {
                    words: &["hold", "drop"],
                    values: [DetachedOutput::Hold, DetachedOutput::Drop],
                },
                "What becomes of output while no owner or editor is attached: hold keeps it up to \
                 the log's bound and then the cell waits; drop forgets the oldest, named by a gap"
            ),
            setting!(
                "session.lifetime",
                Some("lifetime"),
                Gateway.registry.session.lifetime,
                Maybe { word: "none", some: LIFE },
                "How long a session may live at all"
            ),
        ],
    },
    Section {
        title: "WebSockets",
        table: "socket",
        sandbox: false,
        settings: &[
            setting!(
                "socket.message_size",
                Some("message-size"),
                Gateway.socket.message_bytes,
                Size { min: 1 << 10, max: 64 << 20 },
                "Longest message accepted from a client"
            ),
            setting!(
                "socket.ping_interval",
                Some("ping-interval"),
                Gateway.socket.ping_interval,
                TIMEOUT,
                "How often a silent connection is sent a ping"
            ),
            setting!(
                "socket.ping_timeout",
                Some("ping-timeout"),
                Gateway.socket.ping_timeout,
                TIMEOUT,
                "How long the pong may take before the connection counts as dead"
            ),
            setting!(
                "socket.write_timeout",
                Some("write-timeout"),
                Gateway.socket.write_timeout,
                TIMEOUT,
                "How long a write may make no progress before the participant counts as too slow"
            ),
        ],
    },
    Section {
        title: "Limits of one client",
        table: "clients",
        sandbox: false,
        settings: &[
            setting!(
                "clients.sessions",
                Some("client-sessions"),
                Gateway.registry.sessions_per_address,
                Maybe { word: "none", some: Count { min: 1, max: 100_000 } },
                "Most sessions made from one address; an IPv6 network of 64 bits counts as one"
            ),
            setting!(
                "clients.token_sessions",
                Some("client-token-sessions"),
                Gateway.registry.sessions_per_token,
                Maybe { word: "none", some: Count { min: 1, max: 100_000 } },
                "Most sessions made with one token of the gateway's, of which token_file may hold many"
            ),
            setting!(
                "clients.connections",
                Some("client-connections"),
                Gateway.clients.connections,
                Maybe { word: "none", some: Count { min: 1, max: 1_000_000 } },
                "Most connections open from one address, trusted proxies excepted"
            ),
            setting!(
                "clients.requests",
                Some("client-requests"),
                Gateway.clients.requests,
                Maybe { word: "none", some: Count { min: 1, max: 1_000_000 } },
                "HTTP requests and WebSockets a second from one address; ten times as many may \
                 come in one moment"
            ),
            setting!(
                "clients.messages",
                Some("client-messages"),
                Gateway.socket.messages_per_second,
                Maybe { word: "none", some: Count { min: 1, max: 1_000_000 } },
                "Messages a second on one WebSocket; ten times as many may come in one moment. \
                 What goes beyond is refused as rate_limited. Who is refused as often in one \
                 moment, or a tenth as often for ever, for whatever reason, is disconnected"
            ),
            setting!(
                "clients.trusted_proxies",
                Some("trusted-proxy"),
                Gateway.clients.trusted_proxies,
                List { metavar: "NETWORK", check: check::network },
                "Address or network of a proxy, such as 10.0.0.0/8, whose X-Forwarded-For says who \
                 the client is; nobody else's is believed"
            ),
        ],
    },
    Section {
        title: "Docker",
        table: "docker",
        sandbox: true,
        settings: &[
            setting!(
                "docker.host",
                Some("docker-host"),
                Gateway.docker.host,
                Maybe { word: "auto", some: Text { metavar: "URL", check: check::docker_host } },
                "Where the engine listens, such as unix:///run/docker.sock or tcp://10.0.0.5:2375; \
                 auto takes DOCKER_HOST and then the usual socket"
            ),
            setting!(
                "docker.runtime",
                Some("docker-runtime"),
                Gateway.docker.runtime,
                Maybe { word: "default", some: Text { metavar: "NAME", check: check::runtime } },
                "OCI runtime of the containers, such as runsc; default leaves it to the engine"
            ),
            setting!(
                "docker.data_path",
                Some("docker-data-path"),
                Gateway.docker.data_path,
                Choice {
                    words: &["auto", "socket", "stdio"],
                    values: [DataPath::Auto, DataPath::Socket, DataPath::Stdio],
                },
                "How gateway and driver are connected; auto takes a Unix socket where they share a \
                 kernel and the attached stdio elsewhere"
            ),
        ],
    },
    Section {
        title: "Log",
        table: "log",
        sandbox: true,
        settings: &[
            setting!(
                "log.filter",
                Some("log"),
                Gateway.log.filter,
                Text { metavar: "FILTER", check: check::log_filter },
                "What is logged to stderr: off, error, warn, info, debug, trace, or directives such \
                 as info,cellgate::session=debug"
            ),
            setting!(
                "log.format",
                Some("log-format"),
                Gateway.log.format,
                Choice { words: &["text", "json"], values: [LogFormat::Text, LogFormat::Json] },
                "How log lines are written"
            ),
        ],
    },
];

/// What is set for each publishable key, in `[keys.NAME]` of the file.
pub(crate) const KEYS: &Section = &Section {
    title: "Publishable keys",
    table: "keys.NAME",
    sandbox: false,
    settings: &[
        setting!(
            "key",
            None,
            Key.key,
            Text { metavar: "KEY", check: check::publishable_key },
            "Required: what clients send in a token's place, `pk_` and then 16 to 100 letters, digits, \
             underscores and hyphens. It is no secret"
        ),
        setting!(
            "templates",
            None,
            Key.templates,
            List { metavar: "NAME", check: check::template },
            "Templates that its sessions may be made from; the first is that of a client that names \
             none"
        ),
        setting!(
            "origins",
            None,
            Key.origins,
            List { metavar: "ORIGIN", check: check::origin },
            "Required: web origins whose pages may use the key and show the console in a frame with it, \
             beside the gateway's own; * for any page, and for programs that name none"
        ),
        setting!(
            "sessions",
            None,
            Key.sessions,
            Count { min: 1, max: 100_000 },
            "Most sessions at one time, of all holders"
        ),
        setting!(
            "sessions_per_address",
            None,
            Key.sessions_per_address,
            Count { min: 1, max: 100_000 },
            "Those of them that were made from one address; an IPv6 network of 64 bits counts as one"
        ),
        setting!(
            "cells",
            None,
            Key.cells,
            Count { min: 1, max: 1_000_000 },
            "Most cells that wait or run at one time, in all of its sessions; a change of a widget is a \
             cell too"
        ),
        setting!(
            "cells_per_address",
            None,
            Key.cells_per_address,
            Count { min: 1, max: 1_000_000 },
            "Those of them in sessions that were made from one address"
        ),
        setting!(
            "lifetime",
            None,
            Key.lifetime,
            LIFE,
            "How long a session may live; at most session.lifetime"
        ),
        setting!(
            "idle_timeout",
            None,
            Key.idle_timeout,
            LIFE,
            "How long a session may do nothing before it ends; at most session.idle_timeout"
        ),
        setting!(
            "files",
            None,
            Key.files,
            Switch,
            "Whether files may be read and written over HTTP in its sessions"
        ),
        setting!(
            "sharing",
            None,
            Key.sharing,
            Switch,
            "Whether share links may be made to its sessions"
        ),
    ],
};
