// Keeps what cells showed, and what notebooks hold besides text, in the browser's database: outputs are too large for
// the storage that the text is in. A record for each cell, written soon after its run has ended.
//
//   cell ended ─► save ─ 150 ms ─► IndexedDB ─► read, when the document is opened again

import { toast } from "./dom.js";
import type { CellSource, Document, KeptRun } from "./pure/document.js";
import type { NotebookCell, NotebookMetadata } from "./pure/notebook.js";

const DATABASE = "cellgate";
const TABLE = "cells"; // by [document, cell]; the document's own record has the cell ""
const SAVE_MS = 150;
/** Longest record, as JSON text: of a cell that shows more, what comes after it is not kept. */
const CELL_CHARACTERS = 8 << 20;

interface CellRecord { run?: KeptRun; notebook?: NotebookCell }
interface DocumentRecord { notebook?: NotebookMetadata }

export class Kept {
  #database: Promise<IDBDatabase | null> | undefined;
  readonly #pending = new Map<string, { document: string; cell: string; read: () => CellRecord }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #complained = false;

  constructor() {
    addEventListener("pagehide", () => void this.flush());
    document.addEventListener("visibilitychange", () => { if (document.hidden) void this.flush(); });
  }

  /** Fills in what is kept of a document's cells, and forgets what is kept of cells that it no longer has. */
  async fill(kept: Document): Promise<Document> {
    const database = await this.#open();
    if (!database) return kept;
    try {
      const table = database.transaction(TABLE, "readwrite").objectStore(TABLE);
      const range = IDBKeyRange.bound([kept.id], [kept.id, []]);
      const [keys, records] = await Promise.all([answer(table.getAllKeys(range)), answer(table.getAll(range))]);
      const byCell = new Map(keys.map((key, at) => [(key as string[])[1]!, records[at] as CellRecord & DocumentRecord]));
      const ids = new Set(["", ...kept.cells.map((cell) => cell.id)]);
      for (const [cell] of byCell) if (!ids.has(cell)) table.delete([kept.id, cell]);
      const notebook = byCell.get("")?.notebook as NotebookMetadata | undefined;
      return {
        ...kept,
        ...(notebook && { notebook }),
        cells: kept.cells.map((cell): CellSource => {
          const record = byCell.get(cell.id);
          return record ? { ...cell, ...(record.run && { kept: record.run }), ...(record.notebook && { notebook: record.notebook }) } : cell;
        }),
      };
    } catch {
      return kept;
    }
  }

  /** Writes all that a document from a file brings along. */
  adopt(made: Document): void {
    if (made.notebook) this.#later(made.id, "", () => ({ notebook: made.notebook! } as CellRecord));
    for (const cell of made.cells) if (cell.kept || cell.notebook) this.save(made.id, cell.id, () => cell);
  }

  /** Writes a cell soon; `read` is asked for it then. */
  save(document: string, cell: string, read: () => CellSource): void {
    this.#later(document, cell, () => {
      const { kept, notebook } = read();
      return { ...(kept && { run: bounded(kept) }), ...(notebook && { notebook }) };
    });
  }

  /** Forgets a document. */
  async remove(document: string): Promise<void> {
    const database = await this.#open();
    database?.transaction(TABLE, "readwrite").objectStore(TABLE).delete(IDBKeyRange.bound([document], [document, []]));
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const pending = [...this.#pending.values()].map((one) => ({ ...one, record: one.read() }));
    this.#pending.clear();
    if (pending.length === 0) return;
    const database = await this.#open();
    if (!database) return;
    try {
      const transaction = database.transaction(TABLE, "readwrite");
      for (const { document, cell, record } of pending) transaction.objectStore(TABLE).put(record, [document, cell]);
      await new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = transaction.onerror = () => reject(transaction.error);
      });
    } catch {
      this.#complain("The browser's storage is full: what cells showed is not kept. Save the notebook from the menu.");
    }
  }

  #later(document: string, cell: string, read: () => CellRecord): void {
    this.#pending.set(`${document} ${cell}`, { document, cell, read });
    this.#timer ??= setTimeout(() => void this.flush(), SAVE_MS);
  }

  #complain(text: string): void {
    if (!this.#complained) toast(text);
    this.#complained = true;
  }

  /** The database; `null` where the browser has none for this page, as in some frames and private windows. */
  #open(): Promise<IDBDatabase | null> {
    return this.#database ??= new Promise((resolve) => {
      try {
        const request = indexedDB.open(DATABASE, 1);
        request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
        request.onsuccess = () => resolve(request.result);
        request.onerror = request.onblocked = () => resolve(null);
      } catch {
        resolve(null);
      }
    });
  }
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** The first outputs of a run, as many as may be kept. */
function bounded(run: KeptRun): KeptRun {
  let left = CELL_CHARACTERS;
  const outputs = [];
  for (const output of run.outputs) {
    left -= JSON.stringify(output).length;
    if (left < 0) return { ...run, outputs, cut: true };
    outputs.push(output);
  }
  return run;
}
