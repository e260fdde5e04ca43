//! What came of a cell as the result of a tool: a text and images for the model, an object for programs.

use rmcp::model::{CallToolResult, ContentBlock, Resource};
use rmcp::schemars::JsonSchema;
use serde::Serialize;

use super::collect::{Collected, Ended, Raised};
use super::resources;
use crate::protocol::event::CellStatus;
use crate::protocol::wire_name;

/// What came of a cell, for programs.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct CellResult {
    /// The session; give it to the next call to go on with its variables and files.
    session_id: String,
    /// The cell, for `wait_for_cell` and `interrupt`.
    cell: String,
    /// `ok`, `error`, `interrupted`, `timeout`, `oom`, `output_limit`, `exited`, `killed`, `cancelled` or
    /// `lost`; `running` if it has not ended.
    status: String,
    /// The number of the cell in its interpreter, once it has begun.
    execution_count: Option<u32>,
    /// How long it ran, in milliseconds; `null` if it has not ended.
    duration_ms: Option<f64>,
    /// What it wrote to stdout. Of much, the beginning and the end.
    stdout: String,
    /// The same of stderr.
    stderr: String,
    /// The value of its last expression, as text.
    result: Option<String>,
    /// What it raised.
    error: Option<Raised>,
    /// A sentence about its end, where there is something to say.
    detail: Option<String>,
    /// Whether variables of earlier cells are still there; `null` if it has not ended.
    state_kept: Option<bool>,
    /// Whether something that it wrote or showed is not in this result.
    truncated: bool,
    /// Files at the top of the working directory that were written while it ran.
    files_changed: Vec<String>,
}

impl Collected {
    /// The result of the tool that ran the cell, or waited for it.
    pub(super) fn into_result(self, session: &str, files_changed: Vec<String>) -> CallToolResult {
        let Collected { cell, ended, .. } = self;
        let status = ended.as_ref().map_or_else(|| "running".to_owned(), |e| wire_name(&e.status));
        let is_ok = ended.as_ref().is_none_or(|ended| ended.status == CellStatus::Ok);
        let is_cut = self.everything.omitted_bytes() > 0;
        let mut text = self.everything.text();
        let mut add = |line: String| {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&line);
        };
        if is_cut {
            add(format!("[All that the cell wrote: {}]", resources::output(session, &cell)));
        }
        match &ended {
            None => add(format!(
                "[The cell runs on. wait_for_cell with session_id {session:?} and cell {cell:?} waits for \
                 its end; interrupt stops it.]"
            )),
            Some(Ended { status: CellStatus::Ok, .. }) => {}
            // The traceback says it.
            Some(Ended { status: CellStatus::Error, state_kept: true, detail: None, .. }) => {}
            Some(Ended { detail, state_kept, .. }) => {
                let detail = detail.as_deref().unwrap_or("the code did not run to its end");
                let kept = match state_kept {
                    true => "variables of earlier cells are still there",
                    false => "the interpreter is a fresh one: all variables are gone, files stay",
                };
                add(format!("[{status}: {detail}; {kept}]"));
            }
        }
        if !files_changed.is_empty() {
            add(format!("[Files written: {}]", files_changed.join(", ")));
        }
        add(format!("[session_id: {session}]"));
        let mut content = vec![ContentBlock::text(text)];
        let left_out = self.images.iter().any(|image| image.data.is_none());
        let images = self.images.len();
        for image in self.images {
            content.push(match image.data {
                Some(data) => ContentBlock::image(data, image.mime),
                None => ContentBlock::resource_link(
                    Resource::new(
                        resources::image(session, &cell, image.number),
                        format!("image {}", image.number + 1),
                    )
                    .with_mime_type(image.mime)
                    .with_description("An image that does not fit into this result"),
                ),
            });
        }
        if is_cut {
            let link = Resource::new(resources::output(session, &cell), "output.txt");
            content.push(ContentBlock::resource_link(
                link.with_mime_type("text/plain").with_description("All that the cell wrote"),
            ));
        }
        let structured = CellResult {
            session_id: session.to_owned(),
            cell,
            status,
            execution_count: self.execution_count,
            duration_ms: ended.as_ref().map(|ended| ended.duration_ms),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            result: self.result,
            error: self.error,
            state_kept: ended.as_ref().map(|ended| ended.state_kept),
            detail: ended.and_then(|ended| ended.detail),
            truncated: is_cut || left_out || images < self.shown,
            files_changed,
        };
        let mut result = CallToolResult::success(content);
        // Texts, numbers and lists of them are always JSON.
        result.structured_content = serde_json::to_value(&structured).ok();
        result.is_error = Some(!is_ok);
        result
    }
}
