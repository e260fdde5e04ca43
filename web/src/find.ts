// Finds text in all cells, and replaces it. Loaded when it is first opened.

import { html, render } from "lit-html";
import type { CellView } from "./cellview.js";
import type { Console } from "./console.js";
import { byId, h, icon } from "./dom.js";
import { pattern, placesIn } from "./pure/find.js";
import { count } from "./pure/words.js";

interface Place { cell: CellView; from: number; to: number }

let open: Find | null = null;

/** Opens the bar, or goes back to it. `text` is what to look for, if something is selected. */
export function showFind(console: Console, text = ""): void {
  open ??= new Find(console, () => { open = null; });
  open.begin(text);
}

class Find {
  readonly #console: Console;
  readonly #closed: () => void;
  readonly #bar = h("form", { className: "find", role: "search", aria: { label: "Find in all cells" } });
  readonly #back = document.activeElement;
  #text = "";
  #replacement = "";
  #caseMatters = false;
  #expression = false;
  #places: Place[] = [];
  #now = -1;
  #problem = "";

  constructor(console: Console, closed: () => void) {
    this.#console = console;
    this.#closed = closed;
    this.#bar.addEventListener("submit", (event) => event.preventDefault());
    this.#bar.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#close();
      else if (event.key === "Enter" && event.target === this.#field) this.#go(event.shiftKey ? -1 : 1);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    byId("header").append(this.#bar);
  }

  get #field(): HTMLInputElement | null { return this.#bar.querySelector("[name=find]"); }

  begin(text: string): void {
    if (text) this.#text = text;
    this.#search();
    this.#draw();
    this.#field?.focus();
    this.#field?.select();
  }

  #close(): void {
    for (const cell of this.#console.cells.all) cell.editor.showFound({ ranges: [], now: null });
    this.#bar.remove();
    this.#closed();
    const place = this.#places[this.#now];
    if (place) place.cell.editor.select(place.from, place.to);
    else if (this.#back instanceof HTMLElement) this.#back.focus();
  }

  #search(): void {
    this.#problem = "";
    this.#places = [];
    try {
      const wanted = pattern(this.#text, this.#caseMatters, this.#expression);
      if (wanted) for (const cell of this.#console.cells.all) for (const place of placesIn(cell.editor.code, wanted)) this.#places.push({ cell, ...place });
    } catch (error) {
      this.#problem = (error as Error).message.replace(/^Invalid regular expression: /, "");
    }
    this.#now = Math.min(this.#now, this.#places.length - 1);
    this.#mark();
  }

  #mark(): void {
    const now = this.#places[this.#now];
    for (const cell of this.#console.cells.all) {
      const own = this.#places.filter((place) => place.cell === cell);
      cell.editor.showFound({ ranges: own, now: now ? own.indexOf(now) : null });
    }
  }

  #go(direction: 1 | -1): void {
    // Texts may have changed since; of what is found now, the one after the place looked at comes.
    this.#search();
    if (this.#places.length === 0) return this.#draw();
    this.#now = (this.#now + direction + this.#places.length) % this.#places.length;
    this.#mark();
    const { cell, from } = this.#places[this.#now]!;
    if (cell.prose) cell.element.dataset.editing = "";
    this.#console.cells.select(cell);
    cell.editor.reveal(from);
    this.#draw();
  }

  #replace(): void {
    const place = this.#places[this.#now];
    if (!place) return this.#go(1);
    place.cell.editor.replace(place.from, place.to, this.#replacement);
    this.#now -= 1;
    this.#go(1);
  }

  #replaceAll(): void {
    this.#search();
    // From the end, so that the places before stay where they are.
    for (const { cell, from, to } of this.#places.toReversed()) {
      cell.editor.replace(from, to, this.#replacement);
      cell.render();
    }
    const replaced = this.#places.length;
    this.#search();
    this.#draw(`${count(replaced, "place")} replaced.`);
    this.#field?.focus(); // the button may be one that can no longer be pressed
  }

  #draw(said = ""): void {
    const { length } = this.#places;
    const where = said || this.#problem || (this.#text === "" ? "" : length === 0 ? "Not found" : this.#now < 0 ? count(length, "place") : `${this.#now + 1} of ${length}`);
    const typed = (take: (value: string) => void) => (event: Event) => { take((event.target as HTMLInputElement).value); this.#now = -1; this.#search(); this.#draw(); };
    const toggle = (label: string, text: string, on: boolean, set: () => void) => html`
      <button type="button" class="bare" aria-pressed=${on ? "true" : "false"} aria-label=${label} title=${label} @click=${() => { set(); this.#search(); this.#draw(); }}>${text}</button>`;
    const canEdit = this.#console.canEdit();
    render(html`
      <input name="find" type="search" placeholder="Find in all cells" aria-label="Find" .value=${this.#text} @input=${typed((value) => { this.#text = value; })}>
      ${toggle("Match case", "Aa", this.#caseMatters, () => { this.#caseMatters = !this.#caseMatters; })}
      ${toggle("Regular expression", ".*", this.#expression, () => { this.#expression = !this.#expression; })}
      <button type="button" class="bare" aria-label="Previous place" title="Previous (Shift+Enter)" ?disabled=${length === 0} @click=${() => this.#go(-1)}>${icon("up")}</button>
      <button type="button" class="bare" aria-label="Next place" title="Next (Enter)" ?disabled=${length === 0} @click=${() => this.#go(1)}>${icon("down")}</button>
      <output role="status">${where}</output>
      ${canEdit ? html`<span class="replace"><input name="replace" placeholder="Replace with" aria-label="Replace with" .value=${this.#replacement} @input=${(event: Event) => { this.#replacement = (event.target as HTMLInputElement).value; }}>
        <button type="button" ?disabled=${length === 0} @click=${() => this.#replace()}>Replace</button>
        <button type="button" ?disabled=${length === 0} @click=${() => this.#replaceAll()}>Replace all</button></span>` : ""}
      <button type="button" class="bare" aria-label="Close the search" title="Close (Escape)" @click=${() => this.#close()}>${icon("close")}</button>`, this.#bar);
  }
}
