// A document: a list of cells. What is kept, opened, exported and put into links. Notebooks are read and written by
// `notebook.ts`.

import type { NotebookCell, NotebookMetadata } from "./notebook.js";

/** Code is executed; Markdown is rendered; raw text is neither, and is kept as it is. */
export type CellKind = "code" | "markdown" | "raw";

export interface CellSource {
  /** Twelve random characters; the first part of the ids its runs have on the wire. */
  id: string;
  kind: CellKind;
  /** The text, in whatever language its kind says. */
  code: string;
  /** What its code is written in; absent: the first language of whatever session it runs in. */
  language?: string;
  /** The id of the newest run, with which its output is found again after a reload. */
  run?: string;
  /** What was being written here when another participant ran other code in this cell. */
  draft?: string;
  /** The session in whose shared document it was last seen. */
  shared?: string;
  /** It was changed here while the shared document could not be reached. */
  unsent?: boolean;
  /** It is here because another participant ran it: nobody has written it on this page. */
  foreign?: boolean;
  /** The output is hidden. */
  collapsed?: boolean;
  /** What the cell showed when it last ended, kept beside the text (see `kept.ts`). */
  kept?: KeptRun;
  /** What a notebook says of the cell besides its text and its outputs. */
  notebook?: NotebookCell;
}

/** What a cell showed, as of when its run ended. */
export interface KeptRun {
  /** In the form of a Jupyter notebook's outputs. */
  outputs: NotebookOutput[];
  count: number | null;
  /** The code that ran; unknown for one that comes from a file, whose text it is taken to be. */
  code: string;
  /** When it ended, in Unix milliseconds; `null` for what comes from a file. */
  at: number | null;
  /** How it ended, as the gateway said: a status, in words, and how long it took. */
  status: string;
  text: string;
  ms: number;
  /** This browser ran it, so that its scripts may run without a question. */
  own: boolean;
  /** A part of the outputs was too large to be kept. */
  cut?: boolean;
  /** What stood above it when it ran (see `stale.ts`). */
  above?: number;
  /** The cell's language when it ran, as `CellSource.language` has it. */
  language?: string;
}

/** An output of a Jupyter notebook, format 4. */
export type NotebookOutput = { output_type: string } & Record<string, unknown>;

export interface Document { id: string; title: string; updated: number; cells: CellSource[]; notebook?: NotebookMetadata }

export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(6)), (b) => b.toString(16).padStart(2, "0")).join("");
}

/** A cell as it is written in a file or a link: its text alone, unless it is something else than code or has a language of its own. */
export type Written = string | { kind: CellKind; code: string; language?: string };

export function newCell(code = "", kind: CellKind = "code", language?: string): CellSource {
  return { id: newId(), kind, code, ...(kind === "code" && language !== undefined && { language }) };
}

/** `language`: of the code cells that name none. */
export function newDocument(cells: Written[] = [""], title = "", language?: string): Document {
  const sources = cells.map((cell) => (typeof cell === "string" ? newCell(cell, "code", language) : newCell(cell.code, cell.kind, cell.language ?? language)));
  return { id: newId(), title, updated: Date.now(), cells: sources };
}

/** A cell without its outputs, as links and Python files hold it. */
export function written({ kind, code, language }: CellSource): Written {
  if (kind !== "code") return { kind, code };
  return language === undefined ? code : { kind, code, language };
}

/** The cell that a run belongs to: run ids are `<cell>.<n>`. */
export function cellOfRun(run: string): string {
  const dot = run.lastIndexOf(".");
  return dot > 0 ? run.slice(0, dot) : run;
}

/** A name for the document: its title, or its first words. */
export function titleOf(document: { title: string; cells: readonly { code: string }[] }): string {
  if (document.title) return document.title;
  const first = document.cells.find((cell) => cell.code.trim() !== "");
  const line = first?.code.split("\n", 100).find((text) => text.trim() !== "");
  return line ? line.replace(/^#+\s*/, "").trim().slice(0, 60) : "Untitled";
}

/** Whether there is anything in it to lose. */
export function isBlank(document: Document): boolean {
  return document.cells.every((cell) => cell.code.trim() === "");
}

// --- Python files: cells are divided by `# %%`, as editors do -------------------------------------

/** Text and code in other languages become comments, as Jupytext writes them: `# %% [markdown]`, `# %% language="bash"`. */
export function toPython(document: Document): string {
  return document.cells.map(({ kind, code, language = PYTHON }) => {
    const ended = code.replace(/\n*$/, "\n");
    if (kind === "code" && language === PYTHON) return `# %%\n${ended}`;
    return `# %% ${kind === "code" ? `language="${language}"` : `[${kind}]`}\n${ended.replace(/^(?!$).*|^(?=\n)/gm, (line) => (line === "" ? "#" : `# ${line}`))}`;
  }).join("\n");
}

const PYTHON = "python";

export function fromPython(text: string): Written[] {
  const parts = text.replace(/\r\n?/g, "\n").split(/^(# ?%%.*)$\n?/m);
  const cells: Written[] = [];
  for (let at = 0; at < parts.length; at += 2) {
    const code = parts[at]!.replace(/^\n+|\s+$/g, "");
    if (at === 0 && code === "" && parts.length > 1) continue;
    const kind = /\[(markdown|md|raw)\]/.exec(parts[at - 1] ?? "")?.[1];
    const language = /\blanguage="([\w+-]+)"/.exec(parts[at - 1] ?? "")?.[1];
    const text = code.replace(/^# ?/gm, "");
    if (kind) cells.push({ kind: kind === "raw" ? "raw" : "markdown", code: text });
    else cells.push(language && language !== PYTHON ? { kind: "code", code: text, language } : code);
  }
  return cells;
}

// --- links: the code is in the fragment, which no server sees --------------------------------------

/** `v1.` and the deflated JSON list of cells, base64url. */
export async function toFragment(cells: Written[]): Promise<string> {
  const packed = await pipe(new TextEncoder().encode(JSON.stringify(cells)), new CompressionStream("deflate-raw"));
  let binary = "";
  for (const byte of packed) binary += String.fromCharCode(byte);
  return "v1." + btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** Throws if the fragment is none of ours. */
export async function fromFragment(fragment: string): Promise<Written[]> {
  if (!fragment.startsWith("v1.")) throw new Error("the link holds code in a form this page does not know");
  const binary = atob(fragment.slice(3).replace(/-/g, "+").replace(/_/g, "/"));
  const packed = Uint8Array.from(binary, (c) => c.charCodeAt(0));
  const cells: unknown = JSON.parse(new TextDecoder().decode(await pipe(packed, new DecompressionStream("deflate-raw"))));
  if (!Array.isArray(cells) || !cells.every(isWritten)) throw new Error("the link holds no code");
  return cells;
}

function isWritten(cell: unknown): cell is Written {
  if (typeof cell === "string") return true;
  const { kind, code, language } = (cell ?? {}) as { kind?: unknown; code?: unknown; language?: unknown };
  return (kind === "code" || kind === "markdown" || kind === "raw") && typeof code === "string" && (language === undefined || typeof language === "string");
}

async function pipe(bytes: Uint8Array<ArrayBuffer>, through: GenericTransformStream): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(through as ReadableWritablePair<Uint8Array, Uint8Array>);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
