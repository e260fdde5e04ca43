// One cell on the page: its editor, its tools, how it stands, and its output.
//
//   fresh ─run─► sent ─queued─► waiting ─started─► running ─done─► ended
//                                  └──────────── done ───────────────┘
//
// The view keeps what the events say; who runs what is the console's business.

import { html, nothing, render } from "lit-html";
import type { Done, DoneStatus, SessionEvent } from "../client/src/protocol.js";
import { h, icon } from "./dom.js";
import { Editor } from "./editor.js";
import type { EditorHost } from "./editor.js";
import { Output } from "./output.js";
import type { OutputHost } from "./outputitem.js";
import type { CellSource } from "./pure/document.js";
import { culprit } from "./pure/traceback.js";
import { duration, elapsed, ending } from "./pure/words.js";

const ROOM_MS = 600; // that a new run has to fill the room of the last one's output

export type Phase =
  | { phase: "fresh" }
  | { phase: "sent" }
  | { phase: "waiting"; position: number }
  | { phase: "running"; since: number }
  /** `detail` is what the gateway said, word for word. */
  | { phase: "ended"; status: DoneStatus; ms: number; text: string; detail: string };

/** A run of the cell that waits while an earlier one runs. */
export interface Next { run: string; position: number; code: string | undefined }

export type CellAction = "restore" | "discard" | "run" | "stop" | "up" | "down" | "remove" | "copy-text" | "copy-markdown" | "insert";

export interface CellHost extends OutputHost {
  act(cell: CellView, action: CellAction): void;
  editorHost(cell: CellView): EditorHost;
  memoryLimit(): number | undefined;
  /** Whether this participant may run cells. */
  canRun(): boolean;
  /** Somebody else's name, if the run was not ours. */
  runBy(participant: string): string | null;
  select(cell: CellView): void;
}

export class CellView {
  readonly id: string;
  readonly element: HTMLElement;
  readonly editor: Editor;
  readonly output: Output;
  run: string | undefined;
  count: number | undefined;
  phase: Phase = { phase: "fresh" };
  /** The code of the newest run: what the output and marks in tracebacks are about. */
  ranCode: string | undefined;
  /** What was being written here when somebody else's code took its place. */
  draft: string | undefined;
  /** The run that takes the place of this one when its turn comes. */
  next: Next | null = null;
  /** The newest run that the document knows of, until its events come: what is replayed before is older than the text. */
  #known: string | undefined;
  /** "Run all" has not come to it yet. */
  #planned = false;
  #drawnEdited = false;
  readonly #host: CellHost;
  readonly #side = h("div", { className: "side" });
  readonly #tools = h("div", { className: "tools" });
  readonly #foot = h("div", { className: "foot" });
  #number = 0;
  #by: string | null = null;
  /** Who sent the newest run, by the name they gave. */
  author = "";
  #room: ReturnType<typeof setTimeout> | undefined;

  constructor(source: CellSource, host: CellHost) {
    this.id = source.id;
    this.run = this.#known = source.run;
    this.draft = source.draft;
    this.#host = host;
    this.output = new Output(host, `output-${source.id}`);
    this.editor = new Editor(source.code, "Code", host.editorHost(this));
    this.element = h("section", { className: "cell", tabIndex: -1 },
      this.#side,
      h("div", { className: "body" }, h("div", { className: "box" }, this.editor.element, this.#tools), this.#foot, this.output.element));
    this.element.dataset.cell = source.id;
    this.element.addEventListener("pointerdown", () => host.select(this));
    // Whoever left the text by Escape gets past it with Tab, until the cell is left.
    this.element.addEventListener("focus", () => this.editor.setTabStop(false));
    this.element.addEventListener("focusout", (event) => {
      if (!this.element.contains(event.relatedTarget as Node | null)) this.editor.setTabStop(true);
    });
    this.draw();
  }

  get source(): CellSource {
    const run = this.next?.run ?? this.run;
    return { id: this.id, code: this.editor.code, ...(run !== undefined && { run }), ...(this.draft !== undefined && { draft: this.draft }) };
  }

  /** Whether a run of it waits or runs. */
  get busy(): boolean { return this.active || this.next !== null; }

  /** Whether the run that it shows waits or runs. */
  get active(): boolean {
    return this.phase.phase === "sent" || this.phase.phase === "waiting" || this.phase.phase === "running";
  }

  /** The code of its newest run that waits or runs, as far as it is known. */
  get sentCode(): string | undefined { return this.next ? this.next.code : this.active ? this.ranCode : undefined; }

  get planned(): boolean { return this.#planned; }

  setPlanned(planned: boolean): void {
    if (planned === this.#planned) return;
    this.#planned = planned;
    this.draw();
  }

  /** Whether the text is not the code that the output is of. */
  get edited(): boolean {
    const { phase } = this;
    const ran = phase.phase === "running" || (phase.phase === "ended" && phase.status !== "cancelled");
    const { code } = this.editor;
    // Of a new code that waits already it is said that it waits.
    return ran && this.ranCode !== undefined && this.ranCode !== code && this.next?.code !== code;
  }

  /** Whether the text is newer than a run that is replayed: the document knows that run, or one after it. */
  isNewerThan(run: string): boolean {
    const known = this.#known;
    if (run === known) this.#known = undefined;
    return known !== undefined;
  }

  /** Shows the code that somebody else ran. What was being written in its place is kept aside. */
  showCode(code: string): void {
    const { code: before } = this.editor;
    if (before === code) return;
    const written = before.trim() !== "" && before !== this.ranCode;
    if (written) this.draft = before;
    this.editor.setCode(code);
    if (written) this.draw();
  }

  /** The draft is the text again. */
  restoreDraft(): void {
    const { draft } = this;
    if (draft === undefined) return;
    this.draft = undefined;
    this.editor.setCode(draft);
    this.draw();
  }

  /** Nobody wants the draft back. */
  discardDraft(): void {
    this.draft = undefined;
    this.draw();
  }

  /** The text has changed. */
  textChanged(): void {
    if (this.edited !== this.#drawnEdited) this.draw();
  }

  /** Its place in the list, counted from one. */
  get number(): number { return this.#number; }

  setNumber(number: number): void {
    if (number === this.#number) return;
    this.#number = number;
    this.element.setAttribute("aria-label", `Cell ${number}`);
    this.editor.setLabel(`Code of cell ${number}`);
    this.draw();
  }

  setSelected(selected: boolean): void {
    this.element.classList.toggle("selected", selected);
    // One stop for Tab in the whole list.
    this.element.tabIndex = selected ? 0 : -1;
  }

  /** A run begins: what the last one left is gone. Of somebody else's the code comes when it starts. */
  begin(run: string, code?: string): void {
    this.run = run;
    if (this.next?.run === run) this.next = null;
    if (code !== undefined) this.ranCode = code;
    this.#keepRoom();
    this.output.clear();
    this.editor.mark(null);
    this.count = undefined;
    this.#by = null;
    this.#become({ phase: "sent" });
  }

  /** What a refusal says, in the place of an ending. */
  refuse(text: string): void {
    this.#become({ phase: "ended", status: "cancelled", ms: 0, text, detail: "" });
  }

  /** Nothing is known of a run any more. */
  forget(text = ""): void {
    this.next = null;
    if (!this.active) return this.draw();
    this.#become(text ? { phase: "ended", status: "lost", ms: 0, text, detail: "" } : { phase: "fresh" });
  }

  take(event: SessionEvent): void {
    switch (event.type) {
      case "queued":
        this.author = event.by;
        this.#become({ phase: "waiting", position: event.position });
        break;
      case "started":
        this.ranCode = event.code;
        this.count = event.execution_count;
        this.author = event.by;
        this.#by = this.#host.runBy(event.by);
        this.#become({ phase: "running", since: event.ts });
        break;
      case "error": {
        const where = culprit(event.frames);
        if (where && where.cell === this.run && this.ranCode === this.editor.code) this.editor.mark(where.line);
        break;
      }
      case "done":
        this.#ended(event);
        break;
    }
    this.output.take(event);
    if (event.type === "input_request") this.draw();
  }

  /** A run of it waits while an earlier one runs; `null`: none does any more. */
  setNext(next: Next | null): void {
    this.next = next;
    this.draw();
  }

  /** A cell ahead of this one ended. */
  advance(): void {
    if (this.next && this.next.position > 0) this.setNext({ ...this.next, position: this.next.position - 1 });
    if (this.phase.phase === "waiting" && this.phase.position > 0) {
      this.#become({ phase: "waiting", position: this.phase.position - 1 });
    }
  }

  draw(): void {
    const { phase } = this;
    const label = phase.phase === "running" ? "*" : this.count ?? "";
    const stop = this.busy || this.#planned;
    const canRun = this.#host.canRun();
    render(html`
      <button type="button" class="go" ?disabled=${!canRun}
        aria-label=${stop ? `Stop cell ${this.#number}` : `Run cell ${this.#number}`}
        title=${stop ? "Stop (I I)" : "Run (Ctrl+Enter)"}
        @click=${() => this.#host.act(this, stop ? "stop" : "run")}>${icon(stop ? "stop" : "run")}</button>
      <span class="count" aria-hidden="true">${label}</span>`, this.#side);
    this.element.dataset.phase = phase.phase === "ended" ? phase.status : phase.phase;
    this.#drawFoot();
    const tool = (action: CellAction, name: string, picture: Parameters<typeof icon>[0], hint = "") => html`
      <button type="button" aria-label=${`${name} (cell ${this.#number})`} title=${name + hint}
        @click=${() => this.#host.act(this, action)}>${icon(picture)}</button>`;
    render(html`
      ${this.output.empty ? nothing : html`${tool("copy-text", "Copy output as text", "copy")}${tool("copy-markdown", "Copy output as Markdown", "markdown")}`}
      ${canRun ? html`
        ${tool("insert", "Insert a cell below", "add", " (B)")}
        ${tool("up", "Move up", "up", " (Shift+K)")}
        ${tool("down", "Move down", "down", " (Shift+J)")}
        ${tool("remove", "Delete", "remove", " (D D)")}` : nothing}`, this.#tools);
    this.#tools.hidden = !canRun && this.output.empty;
  }

  /** The line under the code; called every second while the cell runs. */
  #drawFoot(): void {
    const { phase } = this;
    const by = this.#by ? html`<span class="by">${this.#by}</span>` : nothing;
    const text =
      this.#planned ? "Queued"
      : phase.phase === "sent" ? "Sending …"
      : phase.phase === "waiting" ? (phase.position === 0 ? "Next in the queue" : `Queued behind ${phase.position}`)
      : phase.phase === "running" ? (this.output.asking ? "Waiting for input" : `Running · ${elapsed(Date.now() - phase.since)}`)
      : phase.phase === "ended" ? phase.text : "";
    const time = phase.phase === "ended" && phase.status !== "cancelled" && phase.status !== "lost" ? html`<span class="time">${duration(phase.ms)}</span>` : nothing;
    const passing = this.busy || this.#planned;
    const { draft, edited, next } = this;
    this.#drawnEdited = edited;
    this.#foot.classList.toggle("passing", passing);
    this.#foot.classList.toggle("tag", draft === undefined && (passing || text === ""));
    const again = next === null ? "" : next.position === 0 ? "New code next in the queue" : `New code queued behind ${next.position}`;
    const act = (action: CellAction) => () => this.#host.act(this, action);
    render(html`${by}<span class="how" title=${phase.phase === "ended" ? phase.detail : ""}>${text}</span>
      ${again ? html`<span>${again}</span>` : nothing}${edited ? html`<span class="edited">Edited since it ran</span>` : nothing}${time}
      ${draft === undefined ? nothing : html`<span class="draft">This is the code that ran. What you were writing is kept.
        <button type="button" class="link" @click=${act("restore")}>Bring my text back</button>
        <button type="button" class="link" @click=${act("discard")}>Discard it</button></span>`}`, this.#foot);
  }

  #ended(done: Done): void {
    this.count = done.execution_count ?? this.count;
    const text = ending(done, this.#host.memoryLimit());
    this.#become({ phase: "ended", status: done.status, ms: done.duration_ms, text, detail: done.detail ?? "" });
  }

  /** Keeps the room of the output for a moment, so that what is below does not jump up and back. */
  #keepRoom(): void {
    const { element } = this.output;
    const { offsetHeight } = element;
    if (offsetHeight === 0) return;
    element.style.minHeight = `${offsetHeight}px`;
    element.classList.add("held");
    clearTimeout(this.#room);
    this.#room = setTimeout(() => this.#giveRoom(), ROOM_MS);
  }

  #giveRoom(): void {
    this.output.element.style.minHeight = "";
    this.output.element.classList.remove("held");
  }

  #become(phase: Phase): void {
    this.phase = phase;
    // The last output is drawn with the next frame.
    if (phase.phase === "ended") requestAnimationFrame(() => requestAnimationFrame(() => { if (!this.busy) this.#giveRoom(); }));
    this.draw();
  }
}
