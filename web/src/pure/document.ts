// A document: a list of cells with code. What is kept, opened, exported and put into links.

export interface CellSource {
  /** Twelve random characters; the first part of the ids its runs have on the wire. */
  id: string;
  code: string;
  /** The id of the newest run, with which its output is found again after a reload. */
  run?: string;
  /** What was being written here when somebody else ran other code in this cell. */
  draft?: string;
}

export interface Document { id: string; title: string; updated: number; cells: CellSource[] }

export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(6)), (b) => b.toString(16).padStart(2, "0")).join("");
}

export function newDocument(codes: string[] = [""], title = ""): Document {
  return { id: newId(), title, updated: Date.now(), cells: codes.map((code) => ({ id: newId(), code })) };
}

/** The cell that a run belongs to: run ids are `<cell>.<n>`. */
export function cellOfRun(run: string): string {
  const dot = run.lastIndexOf(".");
  return dot > 0 ? run.slice(0, dot) : run;
}

/** A name for the document: its title, or its first words. */
export function titleOf(document: Document): string {
  if (document.title) return document.title;
  const line = document.cells.flatMap((cell) => cell.code.split("\n")).find((text) => text.trim() !== "");
  return line ? line.replace(/^#+\s*/, "").trim().slice(0, 60) : "Untitled";
}

/** Whether there is anything in it to lose. */
export function isBlank(document: Document): boolean {
  return document.cells.every((cell) => cell.code.trim() === "");
}

// --- Python files: cells are divided by `# %%`, as editors do -------------------------------------

export function toPython(document: Document): string {
  return document.cells.map((cell) => `# %%\n${cell.code.replace(/\n*$/, "\n")}`).join("\n");
}

export function fromPython(text: string): string[] {
  const parts = text.replace(/\r\n?/g, "\n").split(/^# ?%%.*$\n?/m);
  if (parts.length > 1 && parts[0]!.trim() === "") parts.shift();
  return parts.map((part) => part.replace(/^\n+|\s+$/g, ""));
}

// --- Jupyter notebooks, format 4.5 -----------------------------------------------------------------

/** What a notebook holds of a cell besides its code. */
export interface NotebookOutput { execution_count: number | null; outputs: unknown[] }

export function toNotebook(document: Document, outputOf: (cell: CellSource) => NotebookOutput, language: { name: string; version: string }, widgets: object = {}): string {
  const lines = (text: string) => text.split(/(?<=\n)/);
  return JSON.stringify({
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {
      kernelspec: { name: "python3", display_name: "Python 3", language: language.name },
      language_info: { name: language.name, version: language.version },
      ...(document.title && { title: document.title }),
      // As Jupyter keeps the state of widgets, so that the notebook shows them without a kernel.
      ...(Object.keys(widgets).length > 0 && { widgets: { "application/vnd.jupyter.widget-state+json": { version_major: 2, version_minor: 0, state: widgets } } }),
    },
    cells: document.cells.map((cell) => ({
      cell_type: "code", id: cell.id, metadata: {}, source: lines(cell.code), ...outputOf(cell),
    })),
  }, null, 1) + "\n";
}

/** The code cells of a notebook; prose becomes comments. Throws if it is not a notebook. */
export function fromNotebook(text: string): string[] {
  const notebook = JSON.parse(text) as { cells?: { cell_type?: string; source?: string | string[] }[] };
  if (!Array.isArray(notebook.cells)) throw new Error("this is not a Jupyter notebook of format 4");
  return notebook.cells.map((cell) => {
    const source = Array.isArray(cell.source) ? cell.source.join("") : cell.source ?? "";
    if (cell.cell_type === "code") return source;
    return source.split("\n").map((line) => `# ${line}`.trimEnd()).join("\n");
  });
}

// --- links: the code is in the fragment, which no server sees --------------------------------------

/** `v1.` and the deflated JSON list of codes, base64url. */
export async function toFragment(codes: string[]): Promise<string> {
  const packed = await pipe(new TextEncoder().encode(JSON.stringify(codes)), new CompressionStream("deflate-raw"));
  let binary = "";
  for (const byte of packed) binary += String.fromCharCode(byte);
  return "v1." + btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** Throws if the fragment is none of ours. */
export async function fromFragment(fragment: string): Promise<string[]> {
  if (!fragment.startsWith("v1.")) throw new Error("the link holds code in a form this page does not know");
  const binary = atob(fragment.slice(3).replace(/-/g, "+").replace(/_/g, "/"));
  const packed = Uint8Array.from(binary, (c) => c.charCodeAt(0));
  const codes: unknown = JSON.parse(new TextDecoder().decode(await pipe(packed, new DecompressionStream("deflate-raw"))));
  if (!Array.isArray(codes) || codes.some((code) => typeof code !== "string")) throw new Error("the link holds no code");
  return codes as string[];
}

async function pipe(bytes: Uint8Array<ArrayBuffer>, through: GenericTransformStream): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(through as ReadableWritablePair<Uint8Array, Uint8Array>);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
