//! The tools as clients are told of them. What they promise is made from the limits in force, so that a
//! model plans with what is so.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use rmcp::schemars::JsonSchema;
use serde_json::{Value, json};

use super::Offer;
use super::control::{Interrupt, Nothing, OneSession, SessionList};
use super::files::{FileList, INLINE_BYTES, ListFiles, ReadFile, WriteFile};
use super::result::CellResult;
use super::run::{LONGEST_WAIT, RunCode, WAIT, WaitForCell};
use crate::sandbox::Protection;
use crate::template::{Limits, Template};

pub(super) const RUN_CODE: &str = "run_code";
pub(super) const WAIT_FOR_CELL: &str = "wait_for_cell";
pub(super) const INTERRUPT: &str = "interrupt";
pub(super) const RESTART: &str = "restart";
pub(super) const LIST_FILES: &str = "list_files";
pub(super) const READ_FILE: &str = "read_file";
pub(super) const WRITE_FILE: &str = "write_file";
pub(super) const LIST_SESSIONS: &str = "list_sessions";
pub(super) const END_SESSION: &str = "end_session";

/// Every tool, in the order in which clients are told of them.
pub(super) fn all(offer: &Offer) -> Vec<Tool> {
    let mut tools = define(offer);
    for tool in &mut tools {
        let schemas = [Some(&mut tool.input_schema), tool.output_schema.as_mut()];
        for schema in schemas.into_iter().flatten() {
            Arc::make_mut(schema).values_mut().for_each(forget_formats);
        }
    }
    tools
}

/// Takes the names of Rust's numbers out of a schema. They are no formats of JSON Schema, and validators of
/// clients warn of each.
fn forget_formats(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| name != "format" || !value.is_string());
            fields.values_mut().for_each(forget_formats);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_formats),
        _ => {}
    }
}

fn define(offer: &Offer) -> Vec<Tool> {
    let reads = || ToolAnnotations::new().read_only(true).open_world(false);
    let adds = || ToolAnnotations::new().read_only(false).destructive(false).open_world(false);
    let changes = || ToolAnnotations::new().read_only(false).destructive(true).open_world(false);
    // Code can do in its sandbox whatever it likes, and elsewhere as much as the sandbox lets it.
    let runs = changes().open_world(!offer.holds(Protection::NoNetwork));
    vec![
        tool::<RunCode>(RUN_CODE, "Run code", run_code(offer), runs)
            .with_input(|schema| describe_input(schema, offer))
            .with_output_schema::<CellResult>(),
        tool::<WaitForCell>(
            WAIT_FOR_CELL,
            "Wait for a cell",
            "Waits for code that run_code answered as `running`, and answers all that it has shown.",
            reads(),
        )
        .with_input(bound_wait)
        .with_output_schema::<CellResult>(),
        tool::<Interrupt>(
            INTERRUPT,
            "Interrupt",
            "Stops the code that runs in a session. Variables stay.",
            adds(),
        ),
        tool::<OneSession>(
            RESTART,
            "Restart the interpreter",
            "Gives a session a fresh interpreter: variables and what waits to run are gone, files stay.",
            changes(),
        ),
        tool::<ListFiles>(
            LIST_FILES,
            "List files",
            "Lists a directory of a session's working directory.",
            reads(),
        )
        .with_output_schema::<FileList>(),
        tool::<ReadFile>(
            READ_FILE,
            "Read a file",
            format!(
                "Reads a file of a session's working directory, of at most {}: text as text, PNG, JPEG, \
                 WebP and GIF as images.",
                bytes(INLINE_BYTES)
            ),
            reads(),
        ),
        tool::<WriteFile>(
            WRITE_FILE,
            "Write a file",
            format!(
                "Writes a file into a session's working directory, of at most {}. What was there is \
                 replaced.",
                bytes(INLINE_BYTES)
            ),
            changes().idempotent(true),
        ),
        tool::<Nothing>(
            LIST_SESSIONS,
            "List sessions",
            "Lists the sessions that live, with what they do now.",
            reads(),
        )
        .with_output_schema::<SessionList>(),
        tool::<OneSession>(
            END_SESSION,
            "End a session",
            "Ends a session that is not needed any more. Its variables and files are gone.",
            changes(),
        ),
    ]
}

/// What a model is told of the server as a whole.
pub(super) fn instructions(offer: &Offer) -> String {
    format!(
        "Runs code in sandboxes. run_code without session_id makes a session and answers its session_id; \
         give it to each further call: variables, imports and files of a session stay between calls, and \
         two sessions share nothing. {}",
        life(offer)
    )
}

fn run_code(offer: &Offer) -> String {
    let mut text = String::from(
        "Runs code in a session and answers what it printed, its last expression's value, its plots as \
         images, and its exception. Without session_id a new session is made; with the session_id of an \
         earlier result, its variables, imports and files are there. ",
    );
    match &offer.templates[..] {
        [only] => text.push_str(&format!("The code is {}. ", of_template(only, offer))),
        several => {
            text.push_str("What a new session may be made from, as `template`: ");
            let each =
                several.iter().map(|one| format!("{}: {}", one.name, of_template(one, offer)));
            text.push_str(&format!("{}. ", each.collect::<Vec<_>>().join("; ")));
        }
    }
    if offer.holds(Protection::NoNetwork) {
        text.push_str(
            "There is no network, so that nothing can be downloaded or installed; what is installed can be \
             imported. ",
        );
    }
    text.push_str(
        "Files are in the working directory, which paths are relative to; the rest of the system is for \
         reading. Code cannot ask for input. ",
    );
    text.push_str(&life(offer));
    text
}

/// What a template's code is, and those of its limits that are enforced.
fn of_template(template: &Template, offer: &Offer) -> String {
    let Limits { memory_bytes, disk_bytes, cpu_millis, timeout, .. } = &template.limits;
    let mut limits = Vec::new();
    if offer.holds(Protection::MemoryLimit) {
        limits.push(format!("{} of memory", bytes(*memory_bytes)));
    }
    if offer.holds(Protection::DiskLimit) {
        limits.push(format!("{} of files", bytes(*disk_bytes)));
    }
    if offer.holds(Protection::CpuLimit) {
        limits.push(match cpu_millis % 1000 {
            0 if *cpu_millis == 1000 => "1 processor".to_owned(),
            0 => format!("{} processors", cpu_millis / 1000),
            _ => format!("{:.2} processors", f64::from(*cpu_millis) / 1000.0),
        });
    }
    limits.push(match timeout {
        Some(timeout) => format!("at most {} for one call's code", seconds(*timeout)),
        None => "no limit of time".to_owned(),
    });
    format!("{} with {}", template.language.title, limits.join(", "))
}

/// How long a session stays.
fn life(offer: &Offer) -> String {
    match offer.idle_timeout {
        Some(idle) => format!("A session in which nothing happens for {} ends.", seconds(idle)),
        None => "A session stays until end_session.".to_owned(),
    }
}

/// Makes the arguments of `run_code` say what may be chosen.
fn describe_input(schema: &mut JsonObject, offer: &Offer) {
    bound_wait(schema);
    let Some(fields) = schema.get_mut("properties").and_then(|fields| fields.as_object_mut())
    else {
        return;
    };
    let names: Vec<&str> = offer.templates.iter().map(|template| &*template.name).collect();
    match names[..] {
        // There is nothing to be chosen.
        [_] => drop(fields.remove("template")),
        [first, ..] => {
            let description = format!("What a new session is made from; {first} if not given.");
            let choice = json!({"type": "string", "enum": names, "description": description});
            fields.insert("template".to_owned(), choice);
        }
        [] => {}
    }
}

/// Says how long a call waits, and how long it may.
fn bound_wait(schema: &mut JsonObject) {
    let field = schema.get_mut("properties").and_then(|fields| fields.get_mut("timeout_ms"));
    if let Some(field) = field.and_then(|field| field.as_object_mut()) {
        let description = format!(
            "How long to wait for the code to end, in milliseconds; {} if not given. It runs on after \
             that, and wait_for_cell waits again.",
            WAIT.as_millis()
        );
        field.insert("description".to_owned(), json!(description));
        field.insert("maximum".to_owned(), json!(LONGEST_WAIT.as_millis() as u64));
    }
}

fn tool<Input: JsonSchema + 'static>(
    name: &'static str,
    title: &str,
    description: impl Into<String>,
    annotations: ToolAnnotations,
) -> Tool {
    Tool::new(name, description.into(), JsonObject::new())
        .with_input_schema::<Input>()
        .with_title(title)
        .with_annotations(annotations)
}

/// Changes what a tool says of its arguments.
trait WithInput {
    fn with_input(self, change: impl FnOnce(&mut JsonObject)) -> Self;
}

impl WithInput for Tool {
    fn with_input(mut self, change: impl FnOnce(&mut JsonObject)) -> Tool {
        let mut schema = JsonObject::clone(&self.input_schema);
        change(&mut schema);
        self.input_schema = Arc::new(schema);
        self
    }
}

fn bytes(count: u64) -> String {
    match count {
        _ if count >= 1 << 30 && count.is_multiple_of(1 << 30) => format!("{} GiB", count >> 30),
        _ if count >= 1 << 20 => format!("{} MiB", count >> 20),
        _ => format!("{} KiB", count >> 10),
    }
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        many if many >= 120 && many.is_multiple_of(60) => format!("{} minutes", many / 60),
        many => format!("{many} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language;

    fn offer(templates: Vec<Template>, enforced: &[Protection]) -> Offer {
        let (idle_timeout, enforced) = (Some(Duration::from_secs(3600)), enforced.to_vec());
        Offer { templates, enforced, idle_timeout, code_bytes: 1 << 20 }
    }

    fn text(tools: &[Tool], name: &str) -> String {
        let tool = tools.iter().find(|tool| tool.name == name).unwrap();
        tool.description.clone().unwrap().into_owned()
    }

    #[test]
    fn the_limits_in_force_are_told() {
        let mut template = Template::new("python", language::DEFAULT);
        template.limits.memory_bytes = 512 << 20;
        template.limits.timeout = Some(Duration::from_secs(30));
        let tools = all(&offer(vec![template], Protection::ALL));
        let told = text(&tools, RUN_CODE);
        for part in
            ["Python with 512 MiB of memory", "at most 30 seconds", "no network", "60 minutes"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
        let fields = &tools[0].input_schema["properties"];
        assert!(fields.get("template").is_none(), "there is but one: {fields}");
        assert_eq!(fields["timeout_ms"]["maximum"], 600_000);
        assert_eq!(tools[0].input_schema["required"], json!(["code"]));
    }

    #[test]
    fn what_is_not_so_is_not_promised() {
        let templates = ["python", "large"].map(|name| Template::new(name, language::DEFAULT));
        let tools = all(&offer(templates.to_vec(), &[]));
        let told = text(&tools, RUN_CODE);
        assert!(told.contains("python: Python with no limit of time"), "{told}");
        assert!(!told.contains("network") && !told.contains("memory"), "{told}");
        let choice = &tools[0].input_schema["properties"]["template"];
        assert_eq!(choice["enum"], json!(["python", "large"]));
        assert_eq!(tools[0].annotations.as_ref().unwrap().open_world_hint, Some(true));
    }

    #[test]
    fn each_tool_has_a_name_a_title_and_annotations() {
        let tools = all(&offer(vec![Template::new("p", language::DEFAULT)], &[]));
        let mut names: Vec<_> = tools.iter().map(|tool| tool.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 9);
        for tool in tools {
            assert!(tool.title.is_some() && tool.annotations.is_some(), "{}", tool.name);
            assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
            let schemas = serde_json::to_string(&(tool.input_schema, tool.output_schema)).unwrap();
            assert!(!schemas.contains("\"format\""), "{schemas}");
        }
    }
}
