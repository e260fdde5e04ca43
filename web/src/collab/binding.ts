// Holds the page's list of cells and the cells of the shared document together, both ways.
//
//   what the user does ─► Cells ─► (ListWatcher) ─► Y.Array of Y.Map ─► the others
//   what others do ─► Y.Array of Y.Map ─► reconcile ─► Cells.arrange
//
// A cell's text goes between CodeMirror and its Y.Text by y-codemirror.next, once there is a CodeMirror for it.

import { EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { yCollab, yUndoManagerKeymap } from "y-codemirror.next";
import * as Y from "yjs";
import type { Cells, ListWatcher } from "../cells.js";
import { CellView } from "../cellview.js";
import type { SharedText } from "../editor.js";
import { newCell, newId } from "../pure/document.js";
import type { CellKind, CellSource } from "../pure/document.js";
import { difference, fateOf } from "../pure/merge.js";
import { between, isPosition, ordered, spread } from "../pure/position.js";
import type { Cursors } from "./cursors.js";

export type SharedCell = Y.Map<unknown>;

const KINDS: ReadonlySet<unknown> = new Set<CellKind>(["code", "markdown", "raw"]);

export interface BindingHost {
  readonly cells: Cells;
  readonly session: string;
  canEdit(): boolean;
  /** Whether the document is as the gateway has it. */
  synced(): boolean;
  makeCell(source: CellSource): CellView;
  /** Others have changed which cells there are, or their order. */
  arranged(): void;
  /** Somebody else has deleted this cell. */
  deleted(cell: CellView): void;
  selected(cell: CellView): void;
}

/** The text of a shared cell, or nothing if another client has put something else there. */
export function textOf(cell: SharedCell): Y.Text | null {
  const source = cell.get("source");
  return source instanceof Y.Text ? source : null;
}

/** The language of a shared cell; nothing where it is the session's first, or another client has put something else there. */
function languageOf(cell: SharedCell): string | undefined {
  const language = cell.get("language");
  return typeof language === "string" && language ? language : undefined;
}

export class Binding implements ListWatcher {
  readonly #doc: Y.Doc;
  readonly #list: Y.Array<SharedCell>;
  readonly #host: BindingHost;
  readonly #cursors: Cursors;
  /** The maps whose texts the editors show, by the ids of their cells. */
  readonly #bound = new Map<string, SharedCell>();
  /** What this page changes. */
  readonly #origin = this;
  #arranging = false;
  readonly #observer = (events: Y.YEvent<Y.AbstractType<unknown>>[]) => this.#observe(events);

  constructor(doc: Y.Doc, host: BindingHost, cursors: Cursors) {
    this.#doc = doc;
    this.#list = doc.getArray<SharedCell>("cells");
    this.#host = host;
    this.#cursors = cursors;
  }

  /** The cells as the document has them now, in their order, each id once. */
  get entries(): { id: string; map: SharedCell }[] {
    const seen = new Set<string>();
    return ordered(this.#list.toArray().filter((map) => map instanceof Y.Map), (map) => map.get("position")).flatMap((map) => {
      const id = map.get("id");
      if (typeof id !== "string" || seen.has(id) || !textOf(map)) return [];
      seen.add(id);
      return [{ id, map }];
    });
  }

  get empty(): boolean { return this.#list.length === 0; }

  mapOf(id: string): SharedCell | undefined { return this.#bound.get(id); }

  /** The id of the cell whose text it is. */
  idOf(text: Y.Text): string | null {
    const id = (text.parent as SharedCell | null)?.get("id");
    return typeof id === "string" ? id : null;
  }

  /** Merges what this page has written into the document, and shows the document from then on. `seeded`: the texts by which this page has just made it. */
  begin(seeded: ReadonlyMap<string, string>): void {
    const { cells, session } = this.#host;
    const there = new Map(this.entries.map(({ id, map }) => [id, map]));
    const canEdit = this.#host.canEdit();
    this.together(() => {
      for (const cell of cells.all) {
        const text = there.get(cell.id) && textOf(there.get(cell.id)!);
        const own = { id: cell.id, code: cell.editor.code, shared: cell.shared, unsent: cell.unsent, foreign: cell.foreign, begun: cell.begun };
        const fate = fateOf(own, session, text?.toString(), seeded.get(cell.id));
        if (fate === "keep both") cell.draft = own.code;
        if (!canEdit) continue;
        if (fate === "add") this.#add(cell, this.#list.length, this.#lastPosition());
        else if (fate === "write" && text) change(text, own.code);
      }
    });
    this.#repairIds();
    this.reconcile();
    this.#list.observeDeep(this.#observer);
    cells.watcher = this;
  }

  /** The page's cells are its own again, with the texts that they have. */
  end(): void {
    this.#list.unobserveDeep(this.#observer);
    const { cells } = this.#host;
    if (cells.watcher === this) cells.watcher = null;
    for (const cell of cells.known) cell.editor.share(null);
    this.#bound.clear();
  }

  /** All that was changed here is at the gateway now. */
  allSent(): void {
    for (const cell of this.#host.cells.all) cell.unsent = false;
  }

  // --- what is done here -------------------------------------------------------------------------

  inserted(cell: CellView): void {
    if (!this.#host.canEdit()) return;
    this.together(() => this.#put(cell));
    this.#bind(cell, this.#list.toArray().find((map) => map.get("id") === cell.id)!);
    this.#noteUnsent(cell);
  }

  removed(cell: CellView): void {
    const map = this.#bound.get(cell.id);
    this.#bound.delete(cell.id);
    cell.editor.share(null);
    if (!map || !this.#host.canEdit()) return;
    this.together(() => {
      const at = this.#indexOf(map);
      if (at >= 0) this.#list.delete(at);
    });
  }

  moved(cell: CellView): void {
    if (!this.#host.canEdit()) return;
    const map = this.#bound.get(cell.id);
    if (!map) return;
    this.together(() => map.set("position", this.#positionFor(cell)));
  }

  convert(cell: CellView, kind: CellKind): CellView {
    const map = this.#bound.get(cell.id);
    if (map && this.#host.canEdit()) {
      this.together(() => map.set("kind", kind));
      this.reconcile();
    }
    return this.#host.cells.get(cell.id) ?? cell;
  }

  selected(cell: CellView): void { this.#host.selected(cell); }

  languageChanged(cell: CellView): void {
    const map = this.#bound.get(cell.id);
    if (!map || !this.#host.canEdit()) return;
    this.together(() => (cell.language === undefined ? map.delete("language") : map.set("language", cell.language)));
  }

  together(change: () => void): void { this.#doc.transact(change, this.#origin); }

  /** The user has written in a cell. One that was only shown becomes one of the document. */
  typed(cell: CellView): void {
    if (cell.foreign && this.#host.canEdit()) {
      cell.foreign = false;
      if (!this.#bound.has(cell.id)) this.inserted(cell);
    }
    this.#noteUnsent(cell);
  }

  /** Puts cells of a file behind the others, or in their place. */
  take(sources: readonly CellSource[], replace: boolean): void {
    this.together(() => {
      if (replace) this.#list.delete(0, this.#list.length);
      const last = replace ? "" : this.#lastPosition();
      let position = last;
      const positions = last === "" ? spread(sources.length) : sources.map(() => (position = between(position, null)));
      this.#list.push(sources.map((source, at) => made({ ...source, id: newId() }, positions[at]!)));
    });
    this.reconcile();
  }

  #noteUnsent(cell: CellView): void {
    if (!this.#host.synced()) cell.unsent = true;
  }

  #lastPosition(): string { return this.#positionOf(this.entries.at(-1)?.map); }

  #add(cell: CellView, at: number, after: string): void {
    cell.foreign = false;
    this.#list.insert(at, [made(cell.source, between(after, null))]);
  }

  /** Puts a cell of the page's list into the document, between its neighbours. */
  #put(cell: CellView): void {
    const next = this.#neighbour(cell, 1);
    const position = this.#positionFor(cell);
    const at = next ? this.#indexOf(next) : -1;
    cell.foreign = false;
    this.#list.insert(at < 0 ? this.#list.length : at, [made(cell.source, position)]);
  }

  /** The map of the nearest cell in that direction that is in the document. */
  #neighbour(cell: CellView, direction: -1 | 1): SharedCell | undefined {
    const { all } = this.#host.cells;
    for (let at = all.indexOf(cell) + direction; at >= 0 && at < all.length; at += direction) {
      const map = this.#bound.get(all[at]!.id);
      if (map) return map;
    }
    return undefined;
  }

  #positionFor(cell: CellView): string {
    const [before, after] = [this.#neighbour(cell, -1), this.#neighbour(cell, 1)];
    const low = this.#positionOf(before);
    const high = after?.get("position");
    if (!after) return between(low, null);
    if (isPosition(high) && high > low) return between(low, high);
    // Without room: the cells behind get new positions, up to the first one that stands further on.
    const rest = this.entries.map(({ map }) => map).filter((map) => map !== this.#bound.get(cell.id));
    let at = low;
    const begin = rest.indexOf(after);
    const end = rest.findIndex((map, index) => index > begin && isPosition(map.get("position")) && (map.get("position") as string) > low);
    const limit = end < 0 ? null : rest[end]!.get("position") as string;
    const own = (at = between(at, limit));
    for (const map of rest.slice(begin, end < 0 ? undefined : end)) map.set("position", at = between(at, limit));
    return own;
  }

  /** Where a cell stands; of one without a position, where the one before it stands. */
  #positionOf(map: SharedCell | undefined): string {
    if (!map) return "";
    const list = this.#list.toArray();
    for (let at = list.indexOf(map); at >= 0; at -= 1) {
      const position = list[at]!.get("position");
      if (isPosition(position)) return position;
    }
    return "";
  }

  #indexOf(map: SharedCell): number { return this.#list.toArray().indexOf(map); }

  // --- what others do ----------------------------------------------------------------------------

  #observe(events: Y.YEvent<Y.AbstractType<unknown>>[]): void {
    let list = false;
    for (const event of events) {
      if (event.target instanceof Y.Text) this.#textChanged(event.target, event.transaction.local);
      else list = true;
    }
    if (!list) return;
    this.#repairIds();
    // What is done here stands in the list already.
    if (events[0]!.transaction.origin !== this.#origin) this.reconcile();
  }

  #textChanged(text: Y.Text, local: boolean): void {
    const id = this.idOf(text);
    const cell = id === null ? undefined : this.#host.cells.get(id);
    if (!cell || !id || textOf(this.#bound.get(id)!) !== text) return;
    cell.editor.sharedChanged();
    if (local) return this.#noteUnsent(cell);
    // Markdown that is being read is rendered anew.
    if (cell.prose && cell.element.dataset.editing === "no") cell.render();
    this.#cursors.textChanged(text);
  }

  /** Of two cells with one id, which two who brought the same one back have made, the later one gets an id of its own. */
  #repairIds(): void {
    if (!this.#host.canEdit() || !this.#host.synced()) return;
    const seen = new Set<unknown>();
    for (const map of this.#list.toArray()) {
      const id = map.get("id");
      if (seen.has(id)) this.together(() => map.set("id", newId()));
      else seen.add(id);
    }
  }

  /** Makes the page's list the document's. */
  reconcile(): void {
    if (this.#arranging) return;
    this.#arranging = true;
    const { cells } = this.#host;
    const entries = this.entries;
    const wanted = entries.map(({ id, map }) => {
      const kind = KINDS.has(map.get("kind")) ? map.get("kind") as CellKind : "code";
      const there = cells.get(id);
      if (there?.kind === kind) return there;
      // A deleted cell that comes back comes with its output.
      const before = there ? undefined : cells.find(id);
      if (before?.kind === kind) return before;
      const language = languageOf(map);
      return this.#host.makeCell({ id, kind, code: textOf(map)!.toString(), ...(language !== undefined && { language }) });
    });
    const known = new Set(wanted.map((cell) => cell.id));
    const foreign = cells.all.filter((cell) => cell.foreign && !known.has(cell.id));
    if (wanted.length + foreign.length === 0) foreign.push(this.#host.makeCell({ ...newCell(), foreign: true }));
    const stay = new Set([...wanted, ...foreign]);
    const gone = cells.all.filter((cell) => !stay.has(cell));
    const writing = gone.filter((cell) => cell.editor.hasFocus && this.#bound.has(cell.id) && !known.has(cell.id));
    for (const cell of gone) {
      cell.editor.share(null);
      this.#bound.delete(cell.id);
    }
    cells.arrange([...wanted, ...foreign]);
    for (const [at, { map }] of entries.entries()) {
      const cell = wanted[at]!;
      const language = languageOf(map);
      if (cell.kind === "code" && cell.language !== language) cell.setLanguage(language);
      this.#bind(cell, map);
    }
    this.#arranging = false;
    for (const cell of writing) this.#host.deleted(cell);
    this.#host.arranged();
  }

  #bind(cell: CellView, map: SharedCell): void {
    cell.foreign = false;
    if (this.#host.synced()) cell.shared = this.#host.session;
    if (this.#bound.get(cell.id) === map) return;
    this.#bound.set(cell.id, map);
    cell.editor.share(null);
    cell.editor.share(this.#sharedText(textOf(map)!));
    if (cell.prose && cell.element.dataset.editing === "no") cell.render();
  }

  #sharedText(text: Y.Text): SharedText {
    // Made with the first CodeMirror of the text: each one looks at every change of the whole document.
    let undoManager: Y.UndoManager | undefined;
    return {
      read: () => text.toString(),
      replace: (from, to, insert) => this.together(() => {
        if (to > from) text.delete(from, to - from);
        if (insert) text.insert(from, insert);
      }),
      extension: () => [
        // Lines end as in the document, of which every unit counts.
        EditorState.lineSeparator.of("\n"),
        EditorView.clipboardInputFilter.of((pasted) => pasted.replace(/\r\n?/g, "\n")),
        keymap.of(yUndoManagerKeymap),
        yCollab(text, null, { undoManager: undoManager ??= new Y.UndoManager(text, { trackedOrigins: new Set([this.#origin]) }) }),
        this.#cursors.extension(text),
      ],
    };
  }
}

function change(text: Y.Text, to: string): void {
  const found = difference(text.toString(), to);
  if (!found) return;
  if (found.to > found.from) text.delete(found.from, found.to - found.from);
  if (found.insert) text.insert(found.from, found.insert);
}

function made({ id, kind, code, language }: CellSource, position: string): SharedCell {
  const map: SharedCell = new Y.Map();
  map.set("id", id);
  map.set("kind", kind);
  if (language !== undefined) map.set("language", language);
  map.set("source", new Y.Text(code.replace(/\r\n?/g, "\n")));
  map.set("position", position);
  return map;
}
