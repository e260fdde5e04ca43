// The list of cells: which there are, in which order, which one is selected.

import { CellView } from "./cellview.js";
import type { CellHost } from "./cellview.js";
import { byId, h, toast } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import type { Example } from "./examples.js";
import { newId } from "./pure/document.js";
import type { CellSource } from "./pure/document.js";

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

  get all(): readonly CellView[] { return this.#list; }

  get selected(): CellView | null { return this.#selected; }

  get(id: string): CellView | undefined { return this.#byId.get(id); }

  /** All cells, the deleted ones that could come back too. */
  get known(): CellView[] { return [...this.#list, ...this.#removed.map(({ cell }) => cell)]; }

  /** A cell that is there, or a deleted one that could come back. */
  find(id: string): CellView | undefined { return this.get(id) ?? this.#removed.find(({ cell }) => cell.id === id)?.cell; }

  /** A deleted cell will not come back: another one takes its place. */
  forget(cell: CellView): void { this.#removed = this.#removed.filter((removed) => removed.cell !== cell); }

  load(sources: CellSource[]): void {
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

  insertNear(cell: CellView, where: "above" | "below"): CellView {
    const at = this.#list.indexOf(cell) + (where === "below" ? 1 : 0);
    const made = this.insert({ id: newId(), code: "" }, at);
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
    this.#removed.push({ cell, at });
    if (this.#removed.length > KEPT) this.#removed.shift();
    if (this.#list.length === 0) this.insert({ id: newId(), code: "" }, 0);
    this.#renumber();
    const next = this.#list[Math.min(at, this.#list.length - 1)]!;
    this.select(next);
    if (hadFocus) next.element.focus();
    if (cell.source.code.trim() !== "") toast("Cell deleted.", { label: "Undo", run: () => this.undoRemove() });
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
export function beginnings(open: (example: Example) => void): HTMLElement {
  return h("div", { className: "beginnings" },
    h("p", {},
      h("span", { className: "keys-hint", textContent: "Ctrl+Enter runs the cell; outside of the text, ? lists all keys." }),
      h("span", { className: "touch", textContent: "The arrow beside a cell runs it." }), " Or begin with an example:"),
    h("ul", {}, ...EXAMPLES.map((example) => h("li", {},
      h("button", { type: "button", textContent: example.title, title: example.about, onclick: () => open(example) })))));
}

/** The row behind the last cell. */
export function addRow(add: () => void): HTMLElement {
  return h("button", { type: "button", className: "add", textContent: "+ Cell", onclick: add, title: "Add a cell at the end" });
}
