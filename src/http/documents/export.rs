//! A document with the outputs that the session's log holds, as a Jupyter notebook or a Python file.
//!
//! Pure: takes events in, gives a text out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::document::{CellKind, Contents, DocumentCell};
use crate::memory::{Account, Charge, Exhausted};
use crate::protocol::event::{Event, MimeBundle, Output};
use crate::session::About;

/// What a cell shows, in the form of a notebook's outputs.
#[derive(Debug, Serialize)]
#[serde(tag = "output_type", rename_all = "snake_case")]
enum Shown {
    Stream {
        name: &'static str,
        text: String,
    },
    DisplayData {
        data: MimeBundle,
        metadata: Box<RawValue>,
        #[serde(skip)]
        display_id: Option<String>,
    },
    ExecuteResult {
        execution_count: Option<u32>,
        data: MimeBundle,
        metadata: Box<RawValue>,
    },
    Error {
        ename: String,
        evalue: String,
        traceback: Vec<String>,
    },
}

/// The newest run of a cell.
#[derive(Debug, Default)]
struct Run {
    execution_count: Option<u32>,
    outputs: Vec<Shown>,
    /// The next output takes the place of those before.
    clears: bool,
}

/// Collects what cells show from a session's events.
#[derive(Debug)]
pub(super) struct Outputs {
    /// By the run's id; of each cell the newest run alone.
    runs: HashMap<Arc<str>, Run>,
    /// The id of the newest run, by the cell's id.
    newest: HashMap<Arc<str>, Arc<str>>,
    bytes: usize,
    charge: Charge,
}

impl Outputs {
    /// Nothing yet; what is kept is charged to `memory`.
    pub(super) fn new(memory: &Account) -> Outputs {
        let charge = memory.request();
        Outputs { runs: HashMap::new(), newest: HashMap::new(), bytes: 0, charge }
    }

    /// Takes an event in, whose encoding has `length` bytes.
    pub(super) fn take(&mut self, event: Event, length: usize) -> Result<(), Exhausted> {
        if let Event::Queued { id, cell, .. } = event {
            // The console's runs have the cell's id before a dot.
            let cell = cell.unwrap_or_else(|| {
                let end = id.rfind('.').unwrap_or(id.len());
                Arc::from(&id[..end])
            });
            if let Some(earlier) = self.newest.insert(cell, Arc::clone(&id)) {
                self.runs.remove(&earlier);
            }
            self.runs.insert(id, Run::default());
            return Ok(());
        }
        let (id, output) = match event {
            Event::Started { id, execution_count, .. } => {
                if let Some(run) = self.runs.get_mut(&id) {
                    run.execution_count = execution_count;
                }
                return Ok(());
            }
            Event::ClearOutput { id, wait } => {
                if let Some(run) = self.runs.get_mut(&id) {
                    run.clears = wait;
                    if !wait {
                        run.outputs.clear();
                    }
                }
                return Ok(());
            }
            Event::Display { data, metadata, display_id, update: true, .. } => {
                self.update(&data, &metadata, display_id.as_deref());
                return Ok(());
            }
            Event::Stdout(Output { id, text, .. }) => {
                (id, Shown::Stream { name: "stdout", text: text.to_string() })
            }
            Event::Stderr(Output { id, text, .. }) => {
                (id, Shown::Stream { name: "stderr", text: text.to_string() })
            }
            Event::Display { id, data, metadata, display_id, .. } => {
                (id, Shown::DisplayData { data, metadata, display_id })
            }
            Event::Result { id, execution_count, data, metadata } => {
                (id, Shown::ExecuteResult { execution_count, data, metadata })
            }
            Event::Error { id, name, value, traceback, .. } => {
                (id, Shown::Error { ename: name, evalue: value, traceback })
            }
            _ => return Ok(()),
        };
        let Some(run) = self.runs.get_mut(&id) else { return Ok(()) };
        self.bytes += length;
        self.charge.try_set(self.bytes)?;
        if std::mem::take(&mut run.clears) {
            run.outputs.clear();
        }
        match (run.outputs.last_mut(), output) {
            (Some(Shown::Stream { name: last, text: before }), Shown::Stream { name, text })
                if *last == name =>
            {
                before.push_str(&text)
            }
            (_, output) => run.outputs.push(output),
        }
        Ok(())
    }

    /// Changes what was displayed under an id.
    fn update(&mut self, new: &MimeBundle, new_metadata: &RawValue, id: Option<&str>) {
        for output in self.runs.values_mut().flat_map(|run| &mut run.outputs) {
            if let Shown::DisplayData { data, metadata, display_id } = output
                && display_id.is_some()
                && display_id.as_deref() == id
            {
                data.clone_from(new);
                *metadata = new_metadata.to_owned();
            }
        }
    }

    /// The document as a notebook of format 4.5.
    pub(super) fn notebook(
        mut self,
        contents: Contents,
        about: &About,
    ) -> Result<String, serde_json::Error> {
        let mut ids = HashSet::new();
        let cells = contents.cells.into_iter().map(|cell| {
            let run = self.newest.get(cell.id.as_str()).and_then(|run| self.runs.remove(run));
            NotebookCell::of(cell, run.unwrap_or_default(), &mut ids)
        });
        let notebook = Notebook {
            cells: cells.collect(),
            metadata: NotebookMetadata {
                kernelspec: KernelSpec {
                    display_name: about.language.name.clone(),
                    language: about.language.name.clone(),
                    name: "python3",
                },
                language_info: LanguageInfo {
                    name: about.language.name.clone(),
                    version: about.language.version.clone(),
                },
                title: contents.title,
            },
            nbformat: 4,
            nbformat_minor: 5,
        };
        let mut text = serde_json::to_string_pretty(&notebook)?;
        text.push('\n');
        Ok(text)
    }
}

#[derive(Serialize)]
struct Notebook {
    cells: Vec<NotebookCell>,
    metadata: NotebookMetadata,
    nbformat: u32,
    nbformat_minor: u32,
}

#[derive(Serialize)]
struct NotebookMetadata {
    kernelspec: KernelSpec,
    language_info: LanguageInfo,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
}

#[derive(Serialize)]
struct KernelSpec {
    display_name: String,
    language: String,
    name: &'static str,
}

#[derive(Serialize)]
struct LanguageInfo {
    name: String,
    version: String,
}

#[derive(Serialize)]
struct NotebookCell {
    cell_type: &'static str,
    id: String,
    metadata: BTreeMap<&'static str, String>,
    source: String,
    #[serde(flatten)]
    code: Option<CodeCell>,
}

#[derive(Serialize)]
struct CodeCell {
    execution_count: Option<u32>,
    outputs: Vec<Shown>,
}

impl NotebookCell {
    fn of(cell: DocumentCell, run: Run, ids: &mut HashSet<String>) -> NotebookCell {
        let Run { execution_count, outputs, .. } = run;
        let code = (cell.kind == CellKind::Code).then_some(CodeCell { execution_count, outputs });
        NotebookCell {
            cell_type: cell.kind.name(),
            id: notebook_id(&cell.id, ids),
            metadata: cell.language.map(|language| ("language", language)).into_iter().collect(),
            source: cell.source,
            code,
        }
    }
}

/// A cell's id as the format has it: 1 to 64 letters, digits, `-` and `_`, and no other cell's.
fn notebook_id(id: &str, ids: &mut HashSet<String>) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    let id: String = id.chars().take(56).map(allowed).collect();
    let mut own = if id.is_empty() { "cell".to_owned() } else { id.clone() };
    let mut number = 1;
    while !ids.insert(own.clone()) {
        number += 1;
        own = format!("{id}-{number}");
    }
    own
}

/// The document as a Python file in which `# %%` begins a cell, as editors and Jupytext write it.
pub(super) fn python(contents: &Contents) -> String {
    let cells = contents.cells.iter().map(|cell| {
        let ended = format!("{}\n", cell.source.trim_end_matches('\n'));
        match cell.kind {
            CellKind::Code => format!("# %%\n{ended}"),
            CellKind::Markdown | CellKind::Raw => {
                let lines = ended.lines().map(|line| match line {
                    "" => "#\n".to_owned(),
                    line => format!("# {line}\n"),
                });
                format!("# %% [{}]\n{}", cell.kind.name(), lines.collect::<String>())
            }
        }
    });
    cells.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::memory::Budget;
    use crate::protocol::event::Sequenced;
    use crate::protocol::reply::LanguageInfo;

    fn event(value: &Value) -> Event {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn display(run: &str, text: &str, update: bool) -> Event {
        let text = serde_json::value::to_raw_value(text).unwrap();
        Event::Display {
            id: run.into(),
            data: MimeBundle::from([("text/plain".to_owned(), text)]),
            metadata: serde_json::value::to_raw_value(&json!({})).unwrap(),
            display_id: Some("d".into()),
            update,
            late: false,
        }
    }

    fn about() -> About {
        let language =
            LanguageInfo { name: "python".into(), version: "3.11.2".into(), shell: None };
        About {
            template: "python".into(),
            backend: "local",
            created: std::time::SystemTime::UNIX_EPOCH,
            language,
        }
    }

    fn contents(cells: Value) -> Contents {
        serde_json::from_value(json!({"title": "T", "cells": cells})).unwrap()
    }

    #[test]
    fn each_cell_has_the_outputs_of_its_newest_run() {
        let mut outputs = Outputs::new(&Budget::new(1 << 20).account());
        let before = [
            json!({"type": "queued", "id": "a.1", "position": 0, "by": "x"}),
            json!({"type": "stdout", "id": "a.1", "text": "old"}),
            json!({"type": "queued", "id": "run", "cell": "b", "position": 0, "by": "x"}),
            json!({"type": "queued", "id": "a.2", "position": 0, "by": "x"}),
            json!({"type": "started", "id": "a.2", "code": "", "execution_count": 3, "by": "x"}),
            json!({"type": "stdout", "id": "a.2", "text": "one"}),
            json!({"type": "stdout", "id": "a.2", "text": "two"}),
            json!({"type": "stdout", "id": "a.1", "text": "late", "late": true}),
            json!({"type": "stdout", "id": "run", "text": "cleared"}),
            json!({"type": "clear_output", "id": "run", "wait": true}),
        ];
        let error = json!({
            "type": "error", "id": "run", "name": "E", "value": "v", "traceback": ["t"], "frames": [],
        });
        let shown = [display("a.2", "old", false), display("run", "new", true), event(&error)];
        for event in before.iter().map(event).chain(shown) {
            outputs.take(event, 10).unwrap();
        }
        let cells = json!([
            {"id": "a", "source": "1"}, {"id": "m", "kind": "markdown", "source": "# x"},
            {"id": "b", "source": "2"}, {"id": "a", "source": "copy"},
        ]);
        let text = outputs.notebook(contents(cells), &about()).unwrap();
        let notebook: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            notebook["cells"],
            json!([
                {"cell_type": "code", "id": "a", "metadata": {}, "source": "1", "execution_count": 3, "outputs": [
                    {"output_type": "stream", "name": "stdout", "text": "onetwo"},
                    {"output_type": "display_data", "data": {"text/plain": "new"}, "metadata": {}},
                ]},
                {"cell_type": "markdown", "id": "m", "metadata": {}, "source": "# x"},
                {"cell_type": "code", "id": "b", "metadata": {}, "source": "2", "execution_count": null, "outputs": [
                    {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]},
                ]},
                {"cell_type": "code", "id": "a-2", "metadata": {}, "source": "copy", "execution_count": null, "outputs": []},
            ])
        );
        assert_eq!(notebook["metadata"]["title"], "T");
    }

    #[test]
    fn outputs_beyond_the_memory_are_refused() {
        let mut outputs = Outputs::new(&Budget::new(1 << 20).account());
        outputs
            .take(event(&json!({"type": "queued", "id": "a.1", "position": 0, "by": "x"})), 10)
            .unwrap();
        let text = event(&json!({"type": "stdout", "id": "a.1", "text": "x"}));
        let sequenced = Sequenced::encode(&text, 1, 0).unwrap();
        assert!(outputs.take(text, sequenced.json.len() + (2 << 20)).is_err());
    }

    #[test]
    fn a_python_file_divides_cells_and_comments_texts() {
        let cells = json!([
            {"id": "a", "source": "x = 1\n"}, {"id": "b", "kind": "markdown", "source": "# T\n\ntext"},
        ]);
        assert_eq!(python(&contents(cells)), "# %%\nx = 1\n\n# %% [markdown]\n# # T\n#\n# text\n");
    }
}
