// Jupyter notebooks, format 4: what is read is written again, but for the ids of cells.

import type { CellKind, CellSource, Document, KeptRun, NotebookOutput } from "./document.js";
import { newId } from "./document.js";
import { languageTitle } from "./languages.js";
import { isRecord, joined } from "./notebookoutput.js";

/** What a notebook says of a cell besides its text and its outputs; written again as it was read. */
export interface NotebookCell { metadata?: Record<string, unknown>; attachments?: Attachments }

/** Files within a Markdown cell: by name, each in one or more forms (base64 or text by MIME type). */
export type Attachments = Record<string, Record<string, string | string[]>>;

/** What a notebook says of itself. */
export interface NotebookMetadata { metadata: Record<string, unknown> }

/** A cell's outputs at the time of an export. */
export interface CellOutputs { execution_count: number | null; outputs: object[] }

const KINDS: ReadonlySet<string> = new Set<CellKind>(["code", "markdown", "raw"]);

/** Texts of notebooks are lists of lines, each with its line feed. */
const lines = (text: string) => (text === "" ? [] : text.split(/(?<=\n)/));

/**
 * Writes format 4.5, the oldest in which cells have ids. `outputOf` answers what a code cell shows now. `widgets`: the
 * state of the widgets shown, by model, as Jupyter keeps it.
 */
export function toNotebook(document: Document, outputOf: (cell: CellSource) => CellOutputs, language: { name: string; version: string }, widgets: object = {}): string {
  const kept = document.notebook?.metadata ?? {
    kernelspec: language.name === "python" ? { name: "python3", display_name: "Python 3", language: "python" }
      : { name: language.name, display_name: languageTitle(language.name), language: language.name },
    language_info: { name: language.name, version: language.version },
  };
  const metadata = {
    ...kept,
    ...(document.title && (!document.notebook || "title" in kept) && { title: document.title }),
    ...(Object.keys(widgets).length > 0 && { widgets: { "application/vnd.jupyter.widget-state+json": { version_major: 2, version_minor: 0, state: widgets } } }),
  };
  const own = languageOf(kept);
  const cells = document.cells.map((cell) => {
    const metadata = { ...cell.notebook?.metadata };
    // Where Jupyter keeps that a cell's output is hidden.
    if (cell.collapsed || "collapsed" in metadata) metadata.collapsed = cell.collapsed ?? false;
    if (cell.kind === "code") {
      if (cell.language !== undefined && cell.language !== own) metadata.language = cell.language;
      else delete metadata.language;
    }
    return {
      cell_type: cell.kind,
      id: cell.id,
      metadata,
      source: lines(cell.code),
      ...(cell.notebook?.attachments && cell.kind !== "code" && { attachments: cell.notebook.attachments }),
      ...(cell.kind === "code" && outputOf(cell)),
    };
  });
  return JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata, cells }, null, 1) + "\n";
}

/** Reads a notebook of format 4 with all it shows. Throws with the reason where it is not one. */
export function fromNotebook(text: string, title: string): Document {
  let notebook: unknown;
  try {
    notebook = JSON.parse(text);
  } catch {
    throw new Error("it is not a Jupyter notebook: its text is not JSON");
  }
  if (!isRecord(notebook)) throw new Error("it is not a Jupyter notebook");
  const { nbformat, cells } = notebook;
  if (typeof nbformat === "number" && nbformat !== 4) {
    throw new Error(`it is a notebook of format ${nbformat}, and this page reads format 4: convert it with "jupyter nbconvert --to notebook"`);
  }
  if (!Array.isArray(cells)) throw new Error("it is not a Jupyter notebook of format 4: it has no list of cells");
  const metadata = isRecord(notebook.metadata) ? notebook.metadata : {};
  return {
    id: newId(),
    title: typeof metadata.title === "string" && metadata.title ? metadata.title : title,
    updated: Date.now(),
    cells: cells.length > 0 ? cells.map((cell, at) => readCell(cell, at, languageOf(metadata))) : [{ id: newId(), kind: "code", code: "" }],
    notebook: { metadata },
  };
}

/** The language of a notebook's cells, if it says it. */
function languageOf({ language_info: info, kernelspec }: Record<string, unknown>): string | undefined {
  const name = isRecord(info) && typeof info.name === "string" ? info.name : isRecord(kernelspec) ? kernelspec.language : undefined;
  return typeof name === "string" && name ? name.toLowerCase() : undefined;
}

function readCell(cell: unknown, at: number, ofNotebook?: string): CellSource {
  if (!isRecord(cell)) throw new Error(`cell ${at + 1} of the notebook is not an object`);
  const kind = (KINDS.has(cell.cell_type as string) ? cell.cell_type : "raw") as CellKind;
  const metadata = isRecord(cell.metadata) ? cell.metadata : {};
  const attachments = isRecord(cell.attachments) ? cell.attachments as Attachments : undefined;
  const source: CellSource = { id: newId(), kind, code: joined(cell.source), notebook: { metadata, ...(attachments && { attachments }) } };
  if (kind !== "code") return source;
  const language = typeof metadata.language === "string" && metadata.language ? metadata.language : ofNotebook;
  if (language !== undefined) source.language = language;
  if (typeof metadata.collapsed === "boolean") source.collapsed = metadata.collapsed;
  const outputs = (Array.isArray(cell.outputs) ? cell.outputs : []).filter((output): output is NotebookOutput => isRecord(output) && typeof output.output_type === "string");
  const count = typeof cell.execution_count === "number" ? cell.execution_count : null;
  if (outputs.length > 0 || count !== null) source.kept = fromFile(outputs, count, source.code);
  return source;
}

function fromFile(outputs: NotebookOutput[], count: number | null, code: string): KeptRun {
  const failed = outputs.some((output) => output.output_type === "error");
  return { outputs, count, code, at: null, status: failed ? "error" : "ok", text: "", ms: 0, own: false };
}
