// Divides the elements of the list of cells into groups, so that a document of thousands of cells is as quick as one
// of a few: the browser neither lays out nor paints a group far from the window (`content-visibility`), nor asks where
// the cells in it are. A group near the window, or with the focus in it, is like any other element. What is in a group
// far away is there for a search, for screen readers and for printing.
//
//   #cells ─► .group ─► .cell and notes between cells

import { watchEditors } from "./editor.js";
import { h } from "./dom.js";

const SIZE = 20; // cells in a group
const NEAR = "1500px"; // to the window, above and below: more than editors are made from (`editor.ts`)

export class Groups {
  readonly #root: HTMLElement;
  /** How high each group may be until it is first laid out, in pixels. */
  readonly #heights = new WeakMap<Element, number>();
  readonly #near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      target.toggleAttribute("data-near", isIntersecting);
      watchEditors(target, isIntersecting);
    }
  }, { rootMargin: `${NEAR} 0px` });

  constructor(root: HTMLElement) { this.#root = root; }

  clear(): void {
    this.#near.disconnect();
    this.#root.replaceChildren();
  }

  /** The first cell. */
  get first(): Element | null { return firstCell(this.#root.firstElementChild); }

  /** The cell behind an element; notes between cells are none. */
  behind(element: Element): Element | null {
    return nextCell(element.nextElementSibling) ?? firstCell(element.parentElement!.nextElementSibling);
  }

  /**
   * Puts a cell before another one, or behind all. One that is in the page already keeps its focus, where the browser
   * can do that. `height`: about how high it is, in pixels.
   */
  place(cell: Element, next: Element | null, height: number): void {
    const before = cell.parentElement;
    const group = next ? this.#roomBefore(next) : this.#roomAtEnd();
    moveBefore(group, cell, next?.parentElement === group ? next : null);
    if (before && before !== group) this.#tidy(before);
    const sum = (this.#heights.get(group) ?? 0) + height;
    this.#heights.set(group, sum);
    group.style.containIntrinsicBlockSize = `auto ${sum}px`;
    watchEditors(cell, group.hasAttribute("data-near"));
  }

  remove(cell: Element): void {
    const group = cell.parentElement;
    cell.remove();
    if (group) this.#tidy(group);
  }

  #roomAtEnd(): HTMLElement {
    const last = this.#root.lastElementChild as HTMLElement | null;
    return last && last.childElementCount < SIZE ? last : this.#make(null);
  }

  /** The group that a cell before `next` belongs into. One that is full is divided there. */
  #roomBefore(next: Element): HTMLElement {
    const group = next.parentElement as HTMLElement;
    if (group.childElementCount < SIZE) return group;
    const previous = group.previousElementSibling as HTMLElement | null;
    if (next === group.firstElementChild) return previous && previous.childElementCount < SIZE ? previous : this.#make(group);
    // The smaller part moves, but not what has the focus: a browser may take the focus away, or scroll to it.
    const all = [...group.children];
    const at = all.indexOf(next);
    const focused = all.findIndex((element) => element.contains(document.activeElement));
    const head = focused < 0 ? at < all.length / 2 : focused >= at;
    const other = this.#make(head ? group : group.nextElementSibling);
    for (const element of head ? all.slice(0, at) : all.slice(at)) moveBefore(other, element, null);
    const share = (this.#heights.get(group) ?? 0) / all.length;
    for (const part of [group, other]) {
      this.#heights.set(part, share * part.childElementCount);
      part.style.containIntrinsicBlockSize = `auto ${share * part.childElementCount}px`;
    }
    other.toggleAttribute("data-near", group.hasAttribute("data-near"));
    return other;
  }

  #make(next: Element | null): HTMLElement {
    const group = h("div", { className: "group" });
    this.#root.insertBefore(group, next);
    this.#near.observe(group);
    return group;
  }

  #tidy(group: Element): void {
    if (group.childElementCount > 0 || group.parentElement !== this.#root) return;
    this.#near.unobserve(group);
    group.remove();
  }
}

/** The first cell among an element and those behind it. */
function nextCell(element: Element | null): Element | null {
  let at = element;
  while (at && !at.classList.contains("cell")) at = at.nextElementSibling;
  return at;
}

/** The first cell in a group and those behind it. */
function firstCell(group: Element | null): Element | null {
  for (let at = group; at; at = at.nextElementSibling) {
    const found = nextCell(at.firstElementChild);
    if (found) return found;
  }
  return null;
}

function moveBefore(group: HTMLElement, element: Element, next: Element | null): void {
  const able = group as HTMLElement & { moveBefore?(node: Node, next: Node | null): void };
  if (element.isConnected && group.isConnected && able.moveBefore) able.moveBefore(element, next);
  else group.insertBefore(element, next);
}
