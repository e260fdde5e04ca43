// The list of cells: which there are, in which order, which one is selected.

import { CellView } from "./cellview.js";
import type { CellHost } from "./cellview.js";
import { byId, h, toast } from "./dom.js";
import { newCell } from "./pure/document.js";
import type { CellKind, CellSource } from "./pure/document.js";

const KEPT = 20; // deleted cells, each with its output

export class Cells {
  readonly #root = byId("cells");
  readonly #host: CellHost;
  readonly #changed: () => void;
  #list: CellView[] = [];
  #byId = new Map<string, CellView>();
  #selected: CellView | null = null;
  /** Deleted cells, oldest first; what they run goes on and is told to them. */
  #removed: { cell: CellView; at: number }[] = [];

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
    this.#root.replaceChildren();
    for (const source of sources) this.insert(source, this.#list.length);
    if (this.#list[0]) this.select(this.#list[0]);
  }

  insert(source: CellSource, at: number): CellView {
    return this.#put(new CellView(source, this.#host), at);
  }

  #put(cell: CellView, at: number): CellView {
    this.#list.splice(at, 0, cell);
    this.#byId.set(cell.id, cell);
    this.#root.insertBefore(cell.element, this.#list[at + 1]?.element ?? null);
    this.#renumber();
    return cell;
  }

  insertNear(cell: CellView, where: "above" | "below", source = newCell()): CellView {
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
    cell.element.remove();
    this.#keepRemoved(cell, at);
    if (this.#list.length === 0) this.insert(newCell(), 0);
    this.#renumber();
    const next = this.#list[Math.min(at, this.#list.length - 1)]!;
    this.select(next);
    if (hadFocus) next.element.focus();
    if (cell.source.code.trim() !== "") toast("Cell deleted.", { label: "Undo", run: () => this.undoRemove() });
  }

  /** Puts a cell of another kind, with the same text, in the place of one. It begins without an output. */
  convert(cell: CellView, kind: CellKind): CellView {
    if (cell.kind === kind) return cell;
    const at = this.#list.indexOf(cell);
    const made = this.insert(newCell(cell.editor.code, kind), at);
    this.#dismiss(cell);
    this.select(made);
    made.element.focus();
    return made;
  }

  /** Divides a cell at an offset of its text: the first part keeps the output. */
  split(cell: CellView, offset: number): void {
    const { code } = cell.editor;
    const rest = code.slice(offset).replace(/^\n/, "");
    cell.editor.setCode(code.slice(0, offset).replace(/\n$/, ""));
    cell.render();
    const made = this.insertNear(cell, "below", newCell(rest, cell.kind));
    made.edit();
  }

  /** Puts the text of the next cell at the end of this one, whose output stays. */
  join(cell: CellView): void {
    const next = this.#list[this.#list.indexOf(cell) + 1];
    if (!next) return toast("There is no cell below to join.");
    if (next.kind !== cell.kind) return toast("Only cells of one kind can be joined.");
    cell.editor.setCode([cell.editor.code, next.editor.code].filter((text) => text !== "").join("\n"));
    cell.render();
    this.#dismiss(next);
    this.select(cell);
    cell.element.focus();
  }

  /** Takes a cell away whose text is in another one; it can be brought back. */
  #dismiss(cell: CellView): void {
    const at = this.#list.indexOf(cell);
    this.#list.splice(at, 1);
    this.#byId.delete(cell.id);
    cell.element.remove();
    this.#keepRemoved(cell, at);
    this.#renumber();
  }

  #keepRemoved(cell: CellView, at: number): void {
    this.#removed.push({ cell, at });
    if (this.#removed.length > KEPT) this.#removed.shift()!.cell.editor.forget();
  }

  undoRemove(): void {
    const last = this.#removed.pop();
    if (!last) return;
    const cell = this.#put(last.cell, Math.min(last.at, this.#list.length));
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
    this.#root.insertBefore(cell.element, this.#list[to + 1]?.element ?? null);
    this.#renumber();
    // Moving an element in the document takes its focus away.
    if (hadFocus instanceof HTMLElement && cell.element.contains(hadFocus)) hadFocus.focus();
    cell.element.scrollIntoView({ block: "nearest" });
  }

  select(cell: CellView): void {
    if (this.#selected === cell) return;
    this.#selected?.setSelected(false);
    this.#selected = cell;
    cell.setSelected(true);
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
    cell.element.scrollIntoView({ block: "nearest" });
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
      h("span", { className: "keys-hint", textContent: "Write Python above and press Ctrl+Enter. Outside of the text, ? lists all keys." }),
      h("span", { className: "touch", textContent: "Write Python above; the arrow beside it runs it." })),
    h("div", { className: "offers" }, offer("Try an example", actions.examples), offer("Open a notebook", actions.file), offer("Earlier documents", actions.documents)));
}

/** The row behind the last cell. */
export function addRow(add: (kind: CellKind) => void): HTMLElement {
  const button = (className: string, text: string, kind: CellKind, title: string) => h("button", { type: "button", className, textContent: text, title, onclick: () => add(kind) });
  return h("div", { className: "adds" }, button("add", "+ Cell", "code", "Add a cell at the end"), button("add-text", "+ Text", "markdown", "Add text at the end, as Markdown"));
}
