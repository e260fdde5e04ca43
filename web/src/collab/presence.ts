// Who else is here: what each client says of its user, as avatars in the header and as marks at the cells; and
// following one of them.

import { html, nothing } from "lit-html";
import type { TemplateResult } from "lit-html";
import type { Awareness } from "y-protocols/awareness";
import type { CellView } from "../cellview.js";
import type { Console } from "../console.js";
import { announce, h, scrollToCell, toast } from "../dom.js";
import { initials } from "../pure/palette.js";
import type { Binding } from "./binding.js";
import type { Cursors } from "./cursors.js";
import { colourOf, inkOn, nameOf } from "./people.js";
import type { PersonState } from "./types.js";

const FACES = 5; // in the header; of more, how many
/** Who comes and goes is said at most so often to those who hear the page. */
const SAY_MS = 10_000;
/** After a connection is made, all who are here come one by one. */
const SETTLE_MS = 1500;

interface Person { client: number; name: string; color: string; cell: string | null }

export class Presence {
  binding: Binding | null = null;
  readonly #console: Console;
  readonly #awareness: Awareness;
  readonly #cursors: Cursors;
  readonly #marked = new Map<CellView, HTMLElement>();
  #followed: number | null = null;
  /** Who was here when it was last said. */
  #said: Map<string, string> | null = null;
  #saidAt = 0;
  #sayTimer: ReturnType<typeof setTimeout> | undefined;
  #pending = false;
  #connected = false;
  /** Who was where when it was last drawn. */
  #drawn = "";
  /** Most changes are a cursor that moves within its cell, of which nothing is shown here. */
  readonly #changed = () => {
    if (this.#followed !== null || JSON.stringify(this.#people) !== this.#drawn) this.draw();
  };
  readonly #leave = (event: Event) => this.#unfollowBy(event);

  constructor(console: Console, awareness: Awareness, cursors: Cursors) {
    this.#console = console;
    this.#awareness = awareness;
    this.#cursors = cursors;
    this.tellWho();
    awareness.on("change", this.#changed);
    for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"]) addEventListener(kind, this.#leave, { passive: true, capture: true });
  }

  end(): void {
    clearTimeout(this.#sayTimer);
    this.#awareness.off("change", this.#changed);
    for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"]) removeEventListener(kind, this.#leave, { capture: true });
    for (const [cell, mark] of this.#marked) unmark(cell, mark);
    this.#marked.clear();
  }

  /** Says who the user of this page is. */
  tellWho(): void {
    const participant = this.#console.participant;
    const user = { name: this.#console.ownName, color: colourOf({ user: { ...(participant !== undefined && { participant }) } }, this.#awareness.clientID), ...(participant !== undefined && { participant }) };
    const state = this.#awareness.getLocalState() as PersonState | null;
    if (JSON.stringify(state?.user) !== JSON.stringify(user)) this.#awareness.setLocalState({ ...state, user });
  }

  /** The user has given a name. */
  rename(): void {
    this.tellWho();
    this.#console.redraw();
  }

  /** The document is here, with all who are in it. */
  connected(): void {
    this.#connected = true;
    this.draw();
  }

  /** The others are not seen for a while. */
  apart(): void { this.#connected = false; }

  /** The user is in this cell now. */
  select(cell: string): void {
    const state = this.#awareness.getLocalState() as PersonState | null;
    if (!state || state.cell === cell) return;
    this.#cursors.leave();
    this.#awareness.setLocalStateField("cell", cell);
  }

  /** Who seems to have deleted a cell: the one who was in it, or the only other person. */
  whoDeleted(cell: string): string | null {
    const people = this.#people;
    const there = people.filter((one) => one.cell === cell);
    const suspects = there.length > 0 ? there : people;
    return suspects.length === 1 ? suspects[0]!.name : null;
  }

  /** The others, each once. A participant that has come anew may still be in the list as who it was. */
  get #people(): Person[] {
    const found = new Map<string, Person>();
    const own = this.#console.participant;
    for (const [client, state] of this.#awareness.getStates() as Map<number, PersonState>) {
      const participant = state.user?.participant;
      if (client === this.#awareness.clientID || !state.user || (typeof participant === "number" && participant === own)) continue;
      const text = this.#cursors.placeOf(client);
      const cell = typeof state.cell === "string" ? state.cell : text ? this.binding?.idOf(text) ?? null : null;
      found.set(typeof participant === "number" ? `participant ${participant}` : `client ${client}`, { client, name: nameOf(state), color: colourOf(state, client), cell });
    }
    return [...found.values()];
  }

  draw(): void {
    if (this.#pending) return;
    this.#pending = true;
    requestAnimationFrame(() => {
      this.#pending = false;
      if (!this.#awareness.getLocalState()) return;
      this.#drawn = JSON.stringify(this.#people);
      this.#mark();
      this.#follow();
      this.#say();
      this.#console.redraw();
    });
  }

  /** The avatars, for the header. */
  faces(): TemplateResult {
    const people = this.#people;
    const shown = people.length > FACES ? people.slice(0, FACES - 1) : people;
    return html`<span class="faces" role="group" aria-label="Others in this document">${shown.map((one) => {
      const number = this.#cellOf(one)?.number;
      const where = `${one.name}${number ? `, in cell ${number}` : ""}${one.client === this.#followed ? ", followed" : ""}`;
      return html`<button type="button" class=${one.client === this.#followed ? "followed" : ""} title=${where} aria-label=${`Go to ${where}`}
        .style=${`--who: ${one.color}; --who-ink: ${inkOn(one.color)}`} @click=${() => this.#goTo(one)}>${initials(one.name)}</button>`;
    })}${people.length > shown.length ? html`<button type="button" class="further" title=${people.slice(shown.length).map(({ name }) => name).join("\n")}
      aria-label=${`${people.length - shown.length} more`} @click=${() => this.#console.showPeople()}>+${people.length - shown.length}</button>` : nothing}</span>`;
  }

  #cellOf(person: Person): CellView | undefined { return person.cell === null ? undefined : this.#console.cells.get(person.cell); }

  #goTo(person: Person): void {
    const cell = this.#cellOf(person);
    if (!cell) return toast(`${person.name} is in no cell.`);
    scrollToCell(cell.element, { block: "center" });
    toast(`${person.name} is in cell ${cell.number}.`, { label: `Follow ${person.name}`, run: () => this.follow(person.client) });
  }

  /** Keeps in view where somebody is, until the user scrolls, types, or presses Escape. */
  follow(client: number): void {
    this.#followed = client;
    const name = this.#people.find((one) => one.client === client)?.name;
    announce(`Following ${name ?? "them"}. Escape stops.`);
    this.draw();
  }

  #follow(): void {
    if (this.#followed === null) return;
    const person = this.#people.find((one) => one.client === this.#followed);
    if (!person) {
      this.#followed = null;
      return;
    }
    const box = this.#cellOf(person)?.element.getBoundingClientRect();
    if (box && (box.top < 60 || box.bottom > innerHeight)) scrollToCell(this.#cellOf(person)!.element, { block: box.height > innerHeight / 2 ? "start" : "center" });
  }

  #unfollowBy(event: Event): void {
    if (this.#followed === null) return;
    const target = event.target instanceof Element ? event.target : null;
    if (event.type === "pointerdown" && !target?.closest("#cells")) return;
    if (event.type === "keydown" && target?.closest("#header, #toasts") && (event as KeyboardEvent).key !== "Escape") return;
    this.#followed = null;
    this.draw();
  }

  /** Shows at the edge of each cell who is in it. */
  #mark(): void {
    const there = new Map<CellView, Person[]>();
    for (const person of this.#people) {
      const cell = this.#cellOf(person);
      if (cell) there.set(cell, [...(there.get(cell) ?? []), person]);
    }
    for (const [cell, mark] of this.#marked) {
      if (there.has(cell)) continue;
      unmark(cell, mark);
      this.#marked.delete(cell);
    }
    for (const [cell, people] of there) {
      let mark = this.#marked.get(cell);
      if (!mark) {
        mark = h("div", { className: "persons" });
        cell.element.querySelector(".box")?.append(mark);
        cell.element.classList.add("visited");
        this.#marked.set(cell, mark);
      }
      const key = JSON.stringify(people.map(({ name, color }) => [name, color]));
      if (mark.dataset.people === key) continue;
      mark.dataset.people = key;
      cell.element.style.setProperty("--visitor", people[0]!.color);
      mark.replaceChildren(...people.map(({ name, color }) => {
        const tag = h("span", { textContent: name });
        tag.style.setProperty("--who", color);
        tag.style.setProperty("--who-ink", inkOn(color));
        return tag;
      }));
    }
  }

  /** Says to those who hear the page who has come and gone since it was last said. */
  #say(): void {
    if (this.#connected) this.#sayTimer ??= setTimeout(() => this.#sayNow(), this.#said ? SAY_MS - Math.min(SAY_MS - SETTLE_MS, Date.now() - this.#saidAt) : SETTLE_MS);
  }

  #sayNow(): void {
    this.#sayTimer = undefined;
    if (!this.#connected) return;
    const now = new Map(this.#people.map(({ client, name }) => [String(client), name]));
    const before = this.#said;
    if (!before) {
      this.#said = now;
      return;
    }
    const names = (of: Map<string, string>, without: Map<string, string>) => [...of].filter(([client, name]) => !without.has(client) && ![...without.values()].includes(name)).map(([, name]) => name);
    const [came, left] = [names(now, before), names(before, now)];
    this.#said = now;
    if (came.length + left.length === 0) return;
    this.#saidAt = Date.now();
    announce([came.length > 0 ? `${list(came)} joined.` : "", left.length > 0 ? `${list(left)} left.` : ""].filter(Boolean).join(" "));
  }
}

function unmark(cell: CellView, mark: HTMLElement): void {
  mark.remove();
  cell.element.classList.remove("visited");
}

/** Names as they are said: "Ada, Grace and 3 others". */
function list(names: string[]): string {
  if (names.length > 3) return `${names.slice(0, 2).join(", ")} and ${names.length - 2} others`;
  return names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0] ?? "";
}
