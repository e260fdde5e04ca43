// The tree of files in the working directory: what of it was listed, what is open, and what has changed.

import type { DirectoryEntry } from "../../client/src/protocol.js";

/** What has become of a file while the panel was open, until it is looked at. */
export type Mark = "new" | "changed";

/** A row that is seen. */
export interface Row {
  entry: DirectoryEntry;
  /** 1 for what is in the working directory itself. */
  level: number;
  /** Its place among the rows of its folder, from 1, and how many those are. */
  place: number;
  of: number;
  /** Whether a folder is open; `null` for what is none. */
  open: boolean | null;
  mark: Mark | null;
  /** How many entries the last row of a long folder stands for; 0 for all other rows. */
  more: number;
}

interface Folder { entries: DirectoryEntry[]; truncated: boolean; limit: number }

/** Rows of a folder that are shown at first, and with each wish for more. */
export const ROWS = 500;

const ORDER = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** Folders first, then by name as people count: `a2` before `a10`. */
export function ordered(entries: readonly DirectoryEntry[]): DirectoryEntry[] {
  const rank = ({ kind }: DirectoryEntry) => (kind === "directory" ? 0 : 1);
  return [...entries].sort((a, b) => rank(a) - rank(b) || ORDER.compare(a.name, b.name) || (a.name < b.name ? -1 : 1));
}

/** The folder that something is in; "" is the working directory. */
export function parentOf(path: string): string {
  return path.split("/").slice(0, -1).join("/");
}

/** What a name cannot be, as a sentence; nothing if it can be a file's. */
export function problemOfName(name: string): string | null {
  if (name.trim() === "") return "A name is needed.";
  if (name.includes("/")) return "A name has no “/” in it.";
  if (name === "." || name === "..") return "“.” and “..” are no names.";
  if (new TextEncoder().encode(name).length > 255) return "The name is too long.";
  return null;
}

export class FileTree {
  readonly #folders = new Map<string, Folder>();
  readonly #open = new Set<string>();
  readonly #marks = new Map<string, Mark>();
  /** What this page has done itself, which is not marked. */
  readonly #own = new Set<string>();

  /** Whether the working directory was listed. */
  get isListed(): boolean { return this.#folders.has(""); }

  /** The folders whose entries are seen, outermost first. */
  get seenFolders(): string[] {
    const seen = [...this.#open].filter((path) => this.#isSeen(path));
    return ["", ...seen.sort((a, b) => a.split("/").length - b.split("/").length)];
  }

  #isSeen(path: string): boolean {
    for (let above = parentOf(path); above !== ""; above = parentOf(above)) if (!this.#open.has(above)) return false;
    return this.find(path)?.kind === "directory";
  }

  /** Takes in what a folder has in it now, and marks what is new or has changed since it was listed before. */
  take(path: string, entries: readonly DirectoryEntry[], truncated: boolean): void {
    const before = this.#folders.get(path);
    const known = new Map(before?.entries.map((entry) => [entry.path, entry]));
    for (const entry of before ? entries : []) {
      const old = known.get(entry.path);
      // Beyond the end of a listing nothing is known.
      const isNew = !old && !before!.truncated;
      const isChanged = old !== undefined && (old.modified !== entry.modified || old.size !== entry.size || old.kind !== entry.kind);
      if (this.#own.delete(entry.path) || (!isNew && !isChanged)) continue;
      // What has changed in an open folder is marked itself.
      if (isChanged && this.#open.has(entry.path)) continue;
      if (isNew || this.#marks.get(entry.path) !== "new") this.#marks.set(entry.path, isNew ? "new" : "changed");
    }
    const now = new Set(entries.map((entry) => entry.path));
    if (!truncated) for (const gone of known.keys()) if (!now.has(gone)) this.forget(gone);
    this.#folders.set(path, { entries: ordered(entries), truncated, limit: before?.limit ?? ROWS });
  }

  /** Notes that this page makes or changes this itself. */
  expect(path: string): void { this.#own.add(path); }

  /** Notes that it was looked at. Answers whether it was marked. */
  seen(path: string): boolean { return this.#marks.delete(path); }

  /** Forgets something with all that is in it. */
  forget(path: string): void {
    const isIn = (one: string) => one === path || one.startsWith(`${path}/`);
    for (const held of [this.#folders, this.#open, this.#marks, this.#own]) for (const one of [...held.keys()]) if (isIn(one)) held.delete(one);
  }

  isOpen(path: string): boolean { return this.#open.has(path); }

  setOpen(path: string, open: boolean): void {
    if (open) this.#open.add(path);
    else this.#open.delete(path);
  }

  /** Shows more rows of a folder. */
  showMore(path: string): void {
    const folder = this.#folders.get(path);
    if (folder) folder.limit += ROWS;
  }

  /** What has this path, if its folder was listed. */
  find(path: string): DirectoryEntry | undefined {
    return this.#folders.get(parentOf(path))?.entries.find((entry) => entry.path === path);
  }

  /** The names in a folder that was listed. */
  names(path: string): Set<string> { return new Set(this.#folders.get(path)?.entries.map(({ name }) => name)); }

  /** Whether a folder that was listed has more than a listing holds. */
  isTruncated(path: string): boolean { return this.#folders.get(path)?.truncated ?? false; }

  /** The rows that are seen, from top to bottom. */
  rows(path = "", level = 1): Row[] {
    const folder = this.#folders.get(path);
    if (!folder) return [];
    const shown = folder.entries.slice(0, folder.limit);
    const more = folder.entries.length - shown.length;
    const of = shown.length + (more > 0 ? 1 : 0);
    const rows = shown.flatMap((entry, at): Row[] => {
      const open = entry.kind === "directory" ? this.#open.has(entry.path) : null;
      const row = { entry, level, place: at + 1, of, open, mark: this.#marks.get(entry.path) ?? null, more: 0 };
      return open ? [row, ...this.rows(entry.path, level + 1)] : [row];
    });
    if (more > 0) {
      // No file has an empty name.
      const entry: DirectoryEntry = { name: "", path: `${path}/`, kind: "other", size: 0, modified: 0, mode: 0 };
      rows.push({ entry, level, place: of, of, open: null, mark: null, more });
    }
    return rows;
  }
}

/** The row that the keyboard goes to from one of these; `null` where the key means nothing. A folder that has to be
 *  opened or closed for it is named instead. */
export function stepFrom(rows: readonly Row[], at: number, key: string): { to: number } | { open: string } | { close: string } | null {
  const row = rows[at];
  if (!row) return null;
  const last = rows.length - 1;
  switch (key) {
    case "ArrowDown": return { to: Math.min(last, at + 1) };
    case "ArrowUp": return { to: Math.max(0, at - 1) };
    case "Home": return { to: 0 };
    case "End": return { to: last };
    case "ArrowRight":
      if (row.open === false) return { open: row.entry.path };
      return row.open && rows[at + 1] && rows[at + 1]!.level > row.level ? { to: at + 1 } : { to: at };
    case "ArrowLeft": {
      if (row.open) return { close: row.entry.path };
      const above = rows.slice(0, at).findLastIndex((one) => one.level < row.level);
      return { to: above < 0 ? at : above };
    }
    default: return null;
  }
}

/** The next row whose name begins with what was typed, from the one at `at` on; the same letter again goes on. */
export function typedTo(rows: readonly Row[], at: number, typed: string): number {
  const lower = typed.toLowerCase();
  const isOneLetter = new Set(lower).size === 1;
  const wanted = isOneLetter ? lower[0]! : lower;
  const from = isOneLetter ? at + 1 : at;
  for (let step = 0; step < rows.length; step += 1) {
    const place = (from + step) % rows.length;
    if (rows[place]!.entry.name.toLowerCase().startsWith(wanted)) return place;
  }
  return at;
}
