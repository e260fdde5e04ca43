// The panel of variables: what the code has defined, and tables among it opened as tables.

import { html, nothing, render } from "lit-html";
import type { TemplateResult } from "lit-html";
import type { TableReply, Variable } from "../client/src/core.js";
import type { Console } from "./console.js";
import { readTable } from "./pure/table.js";
import { languageOf, languageTitle } from "./pure/languages.js";
import { bytes, count, sentence } from "./pure/words.js";
import { tableView } from "./rich/table.js";
import type { TableHost } from "./rich/table.js";
import { openSide } from "./side.js";
import type { Side } from "./side.js";

const PAUSE_MS = 500; // between two looks: a slider that is moved makes the session idle many times a second

export function showVariables(console: Console): void {
  new VariablesPanel(console);
}

class VariablesPanel {
  readonly #console: Console;
  readonly #side: Side;
  #variables: Variable[] | null = null;
  #more = false;
  #wanted = "";
  /** The interpreter that is asked; `undefined`: the session's first. */
  #interpreter: string | undefined;
  #note = "Asking the interpreter …";
  /** The variable that is open as a table. */
  #opened: string | null = null;
  #looks = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(console: Console) {
    this.#console = console;
    this.#interpreter = this.#interpreters.find((one) => one === console.cells.selected?.interpreter);
    const stop = console.tables.onIdle(() => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => void this.#look(), this.#looks === 0 ? 0 : PAUSE_MS);
    });
    this.#side = openSide("Variables", () => {
      stop();
      clearTimeout(this.#timer);
      this.#looks = -1;
    });
    this.#draw();
    void this.#look();
  }

  /** The interpreters that are open, the session's first as `undefined`. */
  get #interpreters(): (string | undefined)[] { return [undefined, ...this.#console.programs.interpreters]; }

  /** Asks anew. What is open as a table stays: it asks for itself. */
  async #look(): Promise<void> {
    const look = ++this.#looks;
    try {
      const reply = await this.#console.tables.variables(this.#interpreter);
      if (look !== this.#looks) return;
      if (reply.busy) this.#note = "Waiting for the cell that runs.";
      else if (reply.error !== undefined) this.#note = reply.error;
      else {
        this.#variables = reply.variables;
        this.#more = reply.more ?? false;
        this.#note = "";
      }
    } catch (error) {
      if (look !== this.#looks) return;
      this.#note = sentence((error as Error).message);
    }
    if (this.#opened === null) this.#draw();
  }

  #draw(): void {
    const all = this.#variables ?? [];
    const wanted = this.#wanted.toLowerCase();
    const shown = all.filter(({ name }) => name.toLowerCase().includes(wanted));
    const said = this.#note || (all.length === 0 ? "Nothing is defined yet."
      : shown.length === 0 ? "No name has that in it."
      : `${count(shown.length, "variable")}${this.#more ? "; there are more" : ""}.`);
    const interpreters = this.#interpreters;
    const first = languageOf(undefined, this.#console.languages());
    render(html`${interpreters.length < 2 ? nothing : html`
      <label class="field">Language <select @change=${(event: Event) => this.#choose(interpreters[(event.target as HTMLSelectElement).selectedIndex])}>${interpreters.map((one) => html`
        <option .selected=${one === this.#interpreter}>${languageTitle(this.#console.programs.info(one ?? "")?.language ?? one ?? first)}</option>`)}</select></label>`}
      <label class="field">Filter by name <input type="search" maxlength="100" .value=${this.#wanted}
        @input=${(event: Event) => { this.#wanted = (event.target as HTMLInputElement).value; this.#draw(); }}></label>
      <p class="hint" role="status">${said}</p>
      ${shown.length === 0 ? nothing : html`<ul class="variables" aria-label="Variables">${shown.map((one) => this.#entry(one))}</ul>`}`, this.#side.content);
  }

  #choose(interpreter: string | undefined): void {
    this.#interpreter = interpreter;
    this.#variables = null;
    this.#note = "Asking the interpreter …";
    this.#draw();
    void this.#look();
  }

  #entry(one: Variable): TemplateResult {
    const size = [one.shape?.map((length) => length.toLocaleString("en")).join(" × "), one.bytes !== undefined && bytes(one.bytes)].filter(Boolean).join(" · ");
    return html`<li>
      <div class="name">${one.table
        ? html`<button type="button" class="link" title="Open as a table" @click=${() => void this.#open(one.name)}>${one.name}</button>`
        : html`<strong>${one.name}</strong>`}
        <span class="type" title=${one.type}>${one.type.split(".").at(-1)}</span><span class="size">${size}</span></div>
      ${one.preview ? html`<div class="preview">${one.preview}</div>` : nothing}</li>`;
  }

  async #open(name: string): Promise<void> {
    this.#opened = name;
    const back = () => {
      this.#opened = null;
      this.#side.setTitle("Variables");
      this.#draw();
      this.#side.content.querySelector<HTMLElement>("input")?.focus();
    };
    const show = (content: unknown) => {
      render(html`<p><button type="button" class="back" @click=${back}>All variables</button></p>${content}`, this.#side.content);
    };
    this.#side.setTitle(name);
    show(html`<p class="hint" role="status">Asking the interpreter …</p>`);
    this.#side.content.querySelector<HTMLElement>(".back")?.focus();
    const { tables } = this.#console;
    const host = this.#interpreter === undefined ? tables : tables.of(this.#interpreter);
    let shown: unknown;
    try {
      const reply = await host.table({ variable: name, count: 200 });
      if (this.#opened !== name) return;
      if (reply.busy) {
        shown = html`<p class="hint" role="status">Waiting for the cell that runs.</p>`;
        tables.whenIdle(() => { if (this.#opened === name && this.#looks >= 0) void this.#open(name); });
      } else {
        shown = this.#tableOf(name, reply, host);
      }
    } catch (error) {
      if (this.#opened !== name) return;
      shown = html`<p class="problem" role="alert">${sentence((error as Error).message)}</p>`;
    }
    show(shown);
  }

  #tableOf(name: string, reply: TableReply, host: TableHost): HTMLElement {
    const { fields, keys, rows, table: id, ...told } = reply;
    const table = rows && readTable({ schema: { fields, primaryKey: keys ?? [] }, data: rows }, { ...told, table: id });
    if (!table) throw new Error(reply.error ?? "there was no answer");
    return tableView(table, host, name).element;
  }
}
