// The list of cells: which there are, in which order, which one is selected.

import { CellView } from "./cellview.js";
import type { CellHost } from "./cellview.js";
import { byId, h, scrollToCell, toast } from "./dom.js";
import { Groups } from "./groups.js";
import { newCell } from "./pure/document.js";
import type { CellKind, CellSource } from "./pure/document.js";

/** Told what is done here with the list of cells, where others write the same document. */
export interface ListWatcher {
  inserted(cell: CellView): void;
  /** It is no longer in the list; its place may be another one's already. */
  removed(cell: CellView): void;
  moved(cell: CellView): void;
  /** Gives a cell another kind in its place. */
  convert(cell: CellView, kind: CellKind): CellView;
  selected(cell: CellView): void;
  /** A cell has another language. */
  languageChanged(cell: CellView): void;
  /** Does several things that others see as one. */
  together(change: () => void): void;
}

const KEPT = 20; // deleted cells, each with its output

export class Cells {
  readonly #elements = new Groups(byId("cells"));
  readonly #host: CellHost;
  readonly #changed: () => void;
  #list: CellView[] = [];
  #byId = new Map<string, CellView>();
  #selected: CellView | null = null;
  /** Deleted cells, oldest first; what they run goes on and is told to them. `byOthers`: not deleted here. */
  #removed: { cell: CellView; at: number; byOthers: boolean }[] = [];
  watcher: ListWatcher | null = null;

  constructor(host: CellHost, changed: () => void) {
    this.#host = host;
    this.#changed = changed;
  }

  /** Code that runs before the others, which is no cell of the document. */
  aside: CellView | null = null;

  get all(): readonly CellView[] { return this.#list; }

  get selected(): CellView | null { return this.#selected; }

  get(id: string): CellView | undefined { return this.#byId.get(id) ?? (this.aside?.id === id ? this.aside : undefined); }

  /** All cells, the deleted ones that could come back too. */
  get known(): CellView[] { return [...this.#list, ...(this.aside ? [this.aside] : []), ...this.#removed.map(({ cell }) => cell)]; }

  /** A cell that is there, or a deleted one that could come back. */
  find(id: string): CellView | undefined { return this.get(id) ?? this.#removed.find(({ cell }) => cell.id === id)?.cell; }

  /** A deleted cell will not come back: another one takes its place. */
  forget(cell: CellView): void { this.#removed = this.#removed.filter((removed) => removed.cell !== cell); }

  load(sources: CellSource[]): void {
    for (const cell of this.known) cell.editor.forget();
    this.#list = [];
    this.#byId.clear();
    this.#selected = null;
    this.#removed = [];
    this.#elements.clear();
    for (const source of sources) this.#put(new CellView(source, this.#host), this.#list.length);
    if (this.#list[0]) this.select(this.#list[0]);
  }

  /** Makes a cell because the user wants one. */
  insert(source: CellSource, at: number): CellView {
    const cell = new CellView(source, this.#host);
    cell.begun = true;
    return this.#put(cell, at);
  }

  /** Shows a cell behind the others that is not in the document they share. */
  showForeign(source: CellSource): CellView {
    return this.#put(new CellView({ ...source, foreign: true }, this.#host), this.#list.length, false);
  }

  #put(cell: CellView, at: number, tell = true): CellView {
    this.#list.splice(at, 0, cell);
    this.#byId.set(cell.id, cell);
    this.#place(cell, at);
    if (tell) this.watcher?.inserted(cell);
    this.#renumber();
    return cell;
  }

  #place(cell: CellView, at: number): void {
    this.#elements.place(cell.element, this.#list[at + 1]?.element ?? null, cell.editor.likelyHeight);
  }

  /** Makes the list what others have made of it. Answers the cells that are gone. */
  arrange(wanted: CellView[]): CellView[] {
    const keep = new Set(wanted);
    const gone = this.#list.filter((cell) => !keep.has(cell));
    for (const cell of gone) {
      this.#keepRemoved(cell, this.#list.indexOf(cell), true);
      this.#elements.remove(cell.element);
    }
    this.#removed = this.#removed.filter(({ cell }) => !keep.has(cell));
    this.#list = wanted;
    this.#byId = new Map(wanted.map((cell) => [cell.id, cell]));
    // As few elements move as can be: one that moves may lose what is typed into it.
    let next = this.#elements.first;
    for (const { element, editor } of wanted) {
      if (next && element !== next && element === this.#elements.behind(next)) next = element;
      if (element === next) next = this.#elements.behind(element);
      else this.#elements.place(element, next, editor.likelyHeight);
    }
    if (gone.includes(this.#selected!) || !this.#selected) {
      this.#selected = null;
      const near = wanted[0];
      if (near) this.select(near);
    }
    this.#renumber();
    return gone;
  }

  #together(change: () => void): void {
    if (this.watcher) this.watcher.together(change);
    else change();
  }

  /** A new cell for a place in the list: code has the language of the nearest code above it. */
  blank(at: number, kind: CellKind = "code", code = ""): CellSource {
    const above = this.#list.slice(0, at).findLast((cell) => cell.kind === "code");
    return newCell(code, kind, above ? above.language : this.#host.newLanguage());
  }

  /** Gives a cell another language. */
  setLanguage(cell: CellView, language: string): void {
    cell.setLanguage(language);
    this.watcher?.languageChanged(cell);
    this.#changed();
  }

  insertNear(cell: CellView, where: "above" | "below", source = this.blank(this.#list.indexOf(cell) + (where === "below" ? 1 : 0))): CellView {
    const at = this.#list.indexOf(cell) + (where === "below" ? 1 : 0);
    const made = this.insert(source, at);
    this.select(made);
    return made;
  }

  remove(cell: CellView): void {
    const at = this.#list.indexOf(cell);
    if (at < 0) return;
    const hadFocus = cell.element.contains(document.activeElement);
    this.#list.splice(at, 1);
    this.#byId.delete(cell.id);
    this.#elements.remove(cell.element);
    this.#keepRemoved(cell, at);
    this.#together(() => {
      this.watcher?.removed(cell);
      if (this.#list.length === 0) this.insert(this.blank(0), 0);
    });
    this.#renumber();
    const next = this.#list[Math.min(at, this.#list.length - 1)]!;
    this.select(next);
    if (hadFocus) next.element.focus();
    if (cell.source.code.trim() !== "") toast("Cell deleted.", { label: "Undo", run: () => this.undoRemove() });
  }

  /** Puts a cell of another kind, with the same text, in the place of one. It begins without an output. */
  convert(cell: CellView, kind: CellKind): CellView {
    if (cell.kind === kind) return cell;
    if (this.watcher) {
      const made = this.watcher.convert(cell, kind);
      this.show(made);
      return made;
    }
    const at = this.#list.indexOf(cell);
    const made = this.insert(this.blank(at, kind, cell.editor.code), at);
    this.#dismiss(cell);
    this.select(made);
    made.element.focus();
    return made;
  }

  /** Divides a cell at an offset of its text: the first part keeps the output. */
  split(cell: CellView, offset: number): void {
    const { code } = cell.editor;
    const rest = code.slice(offset).replace(/^\n/, "");
    const made = newCell(rest, cell.kind, cell.language);
    this.#together(() => {
      cell.editor.setCode(code.slice(0, offset).replace(/\n$/, ""));
      this.insertNear(cell, "below", made);
    });
    cell.render();
    this.get(made.id)?.edit();
  }

  /** Puts the text of the next cell at the end of this one, whose output stays. */
  join(cell: CellView): void {
    const next = this.#list[this.#list.indexOf(cell) + 1];
    if (!next) return toast("There is no cell below to join.");
    if (next.kind !== cell.kind) return toast("Only cells of one kind can be joined.");
    if (next.interpreter !== cell.interpreter) return toast("Only cells of one language can be joined.");
    this.#together(() => {
      cell.editor.setCode([cell.editor.code, next.editor.code].filter((text) => text !== "").join("\n"));
      this.#dismiss(next);
    });
    cell.render();
    this.select(cell);
    cell.element.focus();
  }

  /** Takes a cell away whose text is in another one; it can be brought back. */
  #dismiss(cell: CellView): void {
    const at = this.#list.indexOf(cell);
    this.#list.splice(at, 1);
    this.#byId.delete(cell.id);
    this.#elements.remove(cell.element);
    this.#keepRemoved(cell, at);
    this.watcher?.removed(cell);
    this.#renumber();
  }

  #keepRemoved(cell: CellView, at: number, byOthers = false): void {
    this.#removed.push({ cell, at, byOthers });
    if (this.#removed.length > KEPT) this.#removed.shift()!.cell.editor.forget();
  }

  undoRemove(): void {
    const last = this.#removed.findLast(({ byOthers }) => !byOthers);
    if (last) this.bringBack(last.cell);
  }

  /** Puts a deleted cell where it was. */
  bringBack(deleted: CellView): void {
    const found = this.#removed.find((one) => one.cell === deleted);
    if (!found) return;
    this.forget(deleted);
    const cell = this.#put(deleted, Math.min(found.at, this.#list.length));
    this.select(cell);
    cell.element.focus();
  }

  move(cell: CellView, direction: -1 | 1): void {
    const at = this.#list.indexOf(cell);
    const to = at + direction;
    if (to < 0 || to >= this.#list.length) return;
    const hadFocus = document.activeElement;
    this.#list.splice(at, 1);
    this.#list.splice(to, 0, cell);
    this.#place(cell, to);
    this.watcher?.moved(cell);
    this.#renumber();
    // Moving an element in the document takes its focus away.
    if (hadFocus instanceof HTMLElement && cell.element.contains(hadFocus)) hadFocus.focus();
    scrollToCell(cell.element, { block: "nearest" });
  }

  select(cell: CellView): void {
    if (this.#selected === cell) return;
    this.#selected?.setSelected(false);
    this.#selected = cell;
    cell.setSelected(true);
    this.watcher?.selected(cell);
  }

  /** Selects a neighbour; says whether there was one. */
  step(from: CellView, direction: -1 | 1): CellView | null {
    const next = this.#list[this.#list.indexOf(from) + direction];
    if (!next) return null;
    this.select(next);
    return next;
  }

  /** The cell after this one, made if there is none. */
  following(cell: CellView): CellView {
    return this.step(cell, 1) ?? this.insertNear(cell, "below");
  }

  /** Shows a cell and gives it the focus. */
  show(cell: CellView): void {
    this.select(cell);
    cell.element.focus({ preventScroll: true });
    scrollToCell(cell.element, { block: "nearest" });
  }

  #renumber(): void {
    for (const [at, cell] of this.#list.entries()) cell.setNumber(at + 1);
    this.#changed();
  }
}

/** What an untouched page offers: shown until a cell runs or there are several. */
export function beginnings(actions: Record<"examples" | "file" | "documents", () => unknown>): HTMLElement {
  const offer = (text: string, run: () => unknown) => h("button", { type: "button", textContent: text, onclick: () => void run() });
  return h("div", { className: "beginnings" },
    h("p", {},
      h("span", { className: "keys-hint", textContent: "Write code above and press Ctrl+Enter. Outside of the text, ? lists all keys." }),
      h("span", { className: "touch", textContent: "Write code above; the arrow beside it runs it." })),
    h("div", { className: "offers" }, offer("Try an example", actions.examples), offer("Open a notebook", actions.file), offer("Earlier documents", actions.documents)));
}

/** The row behind the last cell. */
export function addRow(add: (kind: CellKind) => void): HTMLElement {
  const button = (className: string, text: string, kind: CellKind, title: string) => h("button", { type: "button", className, textContent: text, title, onclick: () => add(kind) });
  return h("div", { className: "adds" }, button("add", "+ Cell", "code", "Add a cell at the end"), button("add-text", "+ Text", "markdown", "Add text at the end, as Markdown"));
}
