// Tables: in pages, sorted by their headings, filtered, copied and saved.
//
// A table of which all rows were sent is sorted here. Of a larger one the interpreter is asked for each page, in the
// order and with the filter that are wanted. Where it cannot be asked, the rows that were sent are all there is.

import type { TableQuestion, TableReply } from "../../client/src/core.js";
import { copy, download, h } from "../dom.js";
import { asCsv, asMarkdown, asText, cellText, filtered, isNumeric, missing, partOf, readRows, rowsAsText, sizeOf, sorted } from "../pure/table.js";
import type { Direction, Row, Table } from "../pure/table.js";
import { count, sentence } from "../pure/words.js";

const PAGE = 50; // rows
const FILTER_FROM = 10; // rows: smaller tables are read faster than a filter is typed
const SLOW_MS = 300; // that an answer may take before the foot says that it is waited for
const TYPING_MS = 300; // of a pause after which a filter is asked for
const MOST_CSV = 512 << 20; // characters that are put together for a file
const CUT_TEXT = 1000; // characters from which on texts are cut when a table is shown

/** Whom a table asks for its other rows. */
export interface TableHost {
  problem(): string | null;
  table(question: TableQuestion): Promise<TableReply>;
  whenIdle(again: () => void): void;
}

/** What is wanted of a table. */
interface View { order: { column: number; direction: Direction } | null; filter: string; at: number }

/** `name`: the variable that holds the table, where that is what is shown. */
export function tableView(table: Table, host: TableHost | null = null, name = ""): { element: HTMLElement; plain: string; markdown: string } {
  const view = new TableView(table, host, name);
  return { element: view.element, plain: asText(table), markdown: asMarkdown(table) };
}

class TableView {
  readonly element: HTMLElement;
  readonly #table: Table;
  readonly #host: TableHost | null;
  readonly #body = h("tbody");
  readonly #headings: HTMLElement[];
  readonly #foot = h("p", { className: "foot" });
  readonly #place = h("span", { className: "place" });
  readonly #pages: HTMLElement;
  readonly #buttons: Record<"first" | "previous" | "next" | "last", HTMLButtonElement>;
  readonly #save = h("button", { type: "button", className: "link", textContent: "Save as CSV", onclick: () => void this.#saveAsCsv() });
  readonly #names: string[];
  #view: View = { order: null, filter: "", at: 0 };
  /** The rows that are shown, and how many match the filter. */
  #rows: Row[] = [];
  #matching: number;
  /** What is said in the foot besides the size. */
  #note = "";
  /** Whether what is shown is of the rows that were sent alone. */
  #partly = false;
  #turn = 0;
  #saving = false;

  constructor(table: Table, host: TableHost | null, name: string) {
    this.#table = table;
    this.#host = host;
    this.#names = table.columns.map((column) => column.name);
    this.#matching = table.total.rows;
    const size = sizeOf(table);
    this.#headings = table.columns.map((column, at) => {
      const button = h("button", { type: "button", textContent: column.name || "\u00a0", onclick: () => this.#sortBy(at) });
      const heading = h("th", { scope: "col" }, button);
      if (!column.name) button.setAttribute("aria-label", "Column without a name");
      if (isNumeric(column)) heading.className = "number";
      return heading;
    });
    const caption = h("caption", { className: "unseen", textContent: `Table of ${size}. The headings sort.` });
    const scroller = h("div", { className: "scroller", tabIndex: 0 },
      h("table", {}, caption, h("thead", {}, h("tr", {}, ...this.#headings)), this.#body));
    scroller.setAttribute("role", "region");
    scroller.setAttribute("aria-label", name ? `${name}: table of ${size}` : `Table of ${size}`);
    const step = (name: string, sign: string, to: () => number) => {
      const button = h("button", { type: "button", className: "bare", textContent: sign, title: name, aria: { label: name } });
      // Not `disabled`: a button at the end would lose the focus it has.
      button.addEventListener("click", () => { if (button.ariaDisabled !== "true") this.#show({ at: to() }); });
      return button;
    };
    this.#buttons = {
      first: step("First rows", "«", () => 0),
      previous: step("Previous rows", "‹", () => Math.max(0, this.#view.at - PAGE)),
      next: step("Next rows", "›", () => this.#view.at + PAGE),
      last: step("Last rows", "»", () => Math.max(0, Math.floor((this.#matching - 1) / PAGE) * PAGE)),
    };
    const { first, previous, next, last } = this.#buttons;
    this.#place.setAttribute("role", "status");
    this.#pages = h("div", { className: "pages" }, first, previous, this.#place, next, last);
    this.#pages.setAttribute("role", "group");
    this.#pages.setAttribute("aria-label", "Pages of the table");
    const tools = h("div", { className: "controls" }, this.#pages);
    if (table.total.rows > FILTER_FROM) tools.append(this.#filterField());
    this.element = h("div", { className: "rich table" }, scroller, tools, this.#foot);
    this.#show({});
  }

  #filterField(): HTMLElement {
    const field = h("input", { type: "search", placeholder: "Filter", maxLength: 200, aria: { label: "Filter the rows" } });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const take = () => { clearTimeout(timer); if (field.value.trim() !== this.#view.filter) this.#show({ filter: field.value.trim(), at: 0 }); };
    field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(take, TYPING_MS); });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") take();
      // Keys of the page are not meant while a text is typed.
      event.stopPropagation();
    });
    return field;
  }

  #sortBy(column: number): void {
    const { order } = this.#view;
    const direction: Direction = order?.column === column && order.direction === "ascending" ? "descending" : "ascending";
    this.#show({ order: { column, direction }, at: 0 });
  }

  get #isWhole(): boolean { return this.#table.rows.length >= this.#table.total.rows; }

  /** Shows other rows: those that were sent if that is enough, else those that the interpreter answers with. */
  #show(change: Partial<View>): void {
    const turn = ++this.#turn;
    this.#view = { ...this.#view, ...change };
    const { order, filter, at } = this.#view;
    const { rows, id } = this.#table;
    if (this.#isWhole) return this.#showSent("");
    const problem = id === null || !this.#host ? "" : this.#host.problem();
    if (id === null || !this.#host || problem !== null) return this.#showSent(problem ?? "");
    if (order === null && filter === "" && at + PAGE <= rows.length) {
      this.#partly = false;
      return this.#draw(rows.slice(at, at + PAGE), this.#table.total.rows, "");
    }
    void this.#ask(turn, id, this.#host);
  }

  async #ask(turn: number, id: string, host: TableHost): Promise<void> {
    const slow = setTimeout(() => { if (turn === this.#turn) this.#say("asking the interpreter …"); }, SLOW_MS);
    try {
      const rows: Row[] = [];
      let matching = Infinity;
      // An answer with long texts has fewer rows than a page.
      while (rows.length < PAGE && this.#view.at + rows.length < matching) {
        const from = this.#view.at + rows.length;
        const reply = await host.table({ table: id, from, count: PAGE - rows.length, ...this.#wanted() });
        if (turn !== this.#turn) return;
        if (reply.busy) {
          host.whenIdle(() => { if (turn === this.#turn) this.#show({}); });
          return this.#say("waiting for the cell that runs");
        }
        if (reply.error !== undefined || !reply.rows) throw new Error(reply.error ?? "there was no answer");
        matching = reply.matching_rows ?? 0;
        this.#table.total.rows = reply.total_rows ?? this.#table.total.rows;
        if (reply.rows.length === 0) break;
        rows.push(...readRows(this.#names, reply.rows, from, reply.text));
      }
      if (rows.length === 0 && this.#view.at > 0) return this.#show({ at: 0 }); // there are fewer rows than there were
      this.#partly = false;
      this.#draw(rows, matching, "");
    } catch (error) {
      if (turn === this.#turn) this.#showSent((error as Error).message);
    } finally {
      clearTimeout(slow);
    }
  }

  #wanted(): Pick<TableQuestion, "sort" | "filter"> {
    const { order, filter } = this.#view;
    return { ...(order && { sort: [{ column: order.column, descending: order.direction === "descending" }] }), ...(filter && { filter }) };
  }

  /** The rows that were sent, in the order and with the filter that are wanted. */
  get #sent(): Row[] {
    const { order, filter } = this.#view;
    const ordered = order ? sorted(this.#table, this.#names[order.column]!, order.direction) : this.#table.rows;
    return filter ? filtered(this.#table, ordered, filter) : ordered;
  }

  #showSent(why: string): void {
    const rows = this.#sent;
    const at = this.#view.at < rows.length ? this.#view.at : Math.max(0, Math.floor((rows.length - 1) / PAGE) * PAGE);
    this.#view = { ...this.#view, at };
    this.#partly = !this.#isWhole;
    this.#draw(rows.slice(at, at + PAGE), rows.length, why);
  }

  #draw(rows: Row[], matching: number, note: string): void {
    this.#rows = rows;
    this.#matching = matching;
    const { columns } = this.#table;
    const { order, filter, at } = this.#view;
    for (const [place, column] of columns.entries()) {
      column.learn(rows.map((row) => row.values[column.name]));
      const sort = order?.column === place ? order.direction : null;
      if (sort) this.#headings[place]!.setAttribute("aria-sort", sort);
      else this.#headings[place]!.removeAttribute("aria-sort");
    }
    this.#body.replaceChildren(...rows.map((row) => h("tr", {}, ...columns.map((column) => {
      const value = row.values[column.name];
      const cell = column.index ? h("th", { scope: "row" }) : h("td");
      const text = missing(value) ? "–" : column.text(value, row.texts?.[column.name]);
      cell.textContent = text;
      // All digits, where the column shows fewer.
      if (typeof value === "number" && text !== cellText(value)) cell.title = cellText(value);
      const kinds = [isNumeric(column) && "number", missing(value) && "missing"].filter(Boolean);
      cell.className = kinds.join(" ");
      return cell;
    }))));
    const number = (value: number) => value.toLocaleString("en");
    this.#place.textContent = rows.length === 0 ? `No ${filter ? "matching " : ""}rows` : `Rows ${number(at + 1)}–${number(at + rows.length)} of ${number(matching)}${filter ? " matching" : ""}`;
    this.#pages.hidden = matching <= PAGE && filter === "" && at === 0;
    const { first, previous, next, last } = this.#buttons;
    first.ariaDisabled = previous.ariaDisabled = String(at === 0);
    next.ariaDisabled = last.ariaDisabled = String(at + rows.length >= matching);
    this.#say(note);
  }

  #say(note: string): void {
    this.#note = note;
    const part = partOf(this.#table);
    const { order, filter } = this.#view;
    const wide = this.#table.columns.filter((column) => !column.index).length < this.#table.total.columns;
    const within = [order && "sorted", filter && "filtered"].filter(Boolean).join(" and ");
    const here = this.#partly && part ? (within ? `${within} within ${part}` : `here are ${part}`)
      : wide ? `the first ${this.#table.columns.filter((column) => !column.index).length} columns are shown` : "";
    this.#foot.replaceChildren([sizeOf(this.#table), here, this.#note && sentence(this.#note)].filter(Boolean).join(" · "), " · ",
      h("button", { type: "button", className: "link", textContent: "Copy", title: "Copy the rows that are shown, tab-separated", onclick: () => void copy(rowsAsText(this.#table, this.#rows), "Rows") }),
      " · ", this.#save);
  }

  /** Saves all rows that match, in the order that is shown. */
  async #saveAsCsv(): Promise<void> {
    if (this.#saving) return;
    this.#saving = true;
    try {
      const { id, rows } = this.#table;
      const host = this.#host;
      const isCut = rows.some((row) => Object.values(row.values).some((value) => typeof value === "string" && value.length > CUT_TEXT));
      if ((this.#isWhole && !isCut) || id === null || !host || host.problem() !== null) {
        download("table.csv", asCsv(this.#table, this.#sent), "text/csv");
        if (!this.#isWhole) this.#say(`saved are ${partOf(this.#table)}`);
        return;
      }
      const parts: string[] = [];
      let size = 0;
      for (let from: number | undefined = 0; from !== undefined;) {
        const reply: TableReply = await host.table({ table: id, from, format: "csv", ...this.#wanted() });
        if (reply.busy) {
          this.#say("saving: waiting for the cell that runs");
          await new Promise<void>((resolve) => host.whenIdle(resolve));
          continue;
        }
        if (reply.error !== undefined || reply.csv === undefined) throw new Error(reply.error ?? "there was no answer");
        parts.push(reply.csv);
        size += reply.csv.length;
        if (size > MOST_CSV) throw new Error("the table is too large to save here: write it to a file in a cell");
        if (reply.next !== undefined && reply.next <= from) throw new Error("the interpreter's answers do not go on");
        from = reply.next;
        if (from !== undefined) this.#say(`saving: ${from.toLocaleString("en")} of ${count(reply.matching_rows ?? 0, "row")}`);
      }
      download("table.csv", new Blob(parts, { type: "text/csv" }));
      this.#say("");
    } catch (error) {
      this.#say(`not saved: ${(error as Error).message}`);
    } finally {
      this.#saving = false;
    }
  }
}
