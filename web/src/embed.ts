// The console as a part of another page: what is embedded, and what the two tell each other.
//
//   the page around ── run, reset, code ──► Embed ──► Console
//                   ◄ height, state, running, ran, code ┘
//
// The page around is of another origin: it learns how tall the content is, how the session stands, how runs ended and
// what the code is, and asks for no more than a reader could do with the buttons. docs/embedding.md lists the messages.
// Loaded by embedded pages alone.

import { html, nothing, render } from "lit-html";
import type { CellView } from "./cellview.js";
import type { Console } from "./console.js";
import { h, byId } from "./dom.js";
import type { headline } from "./header.js";
import { newCell, newDocument, toFragment, written } from "./pure/document.js";
import type { CellSource, Document, Written } from "./pure/document.js";
import { SharedSession } from "./shared.js";

/** Longest code that the page around may put into a cell, in UTF-16 units: that of a message to the gateway. */
const CODE_UNITS = 1 << 20;

/** What the page has loaded at first, and hands over: an import from here would divide its script into more files. */
export interface Parts { makeCell(source: CellSource): CellView; headline: typeof headline }

export class Embed {
  readonly #console: Console;
  readonly #headline: Parts["headline"];
  /** The cells as they were published. */
  readonly #published: Written[];
  readonly #setup: CellView | null;
  readonly #shared: SharedSession | null;
  #setupShown = false;
  /** A run was asked for that has to wait until the session is there. */
  #wanted = false;
  #busy = false;
  #said = { height: 0, state: "", text: "", code: "" };

  /** Call it before the console connects. */
  constructor(console: Console, published: Document, parts: Parts) {
    this.#headline = parts.headline;
    this.#console = console;
    this.#published = published.cells.map(written);
    const { arrival, link, cells, runs } = console;
    this.#shared = arrival.page ? new SharedSession(arrival.page) : null;
    link.shared = this.#shared;
    this.#setup = arrival.setup ? parts.makeCell({ ...newCell(arrival.setup, "code", arrival.language ?? undefined), id: `setup-${digest(arrival.setup)}` }) : null;
    if (this.#setup) {
      this.#setup.editor.setReadOnly(true);
      this.#setup.element.classList.add("setup");
      this.#setup.element.setAttribute("aria-label", "Set-up code");
      this.#setup.editor.setLabel("Set-up code");
      cells.aside = this.#setup;
      byId("cells").before(h("div", { id: "setup" }), this.#setup.element);
    }
    runs.before = (cell) => this.#prepare(cell);
    this.#wanted = arrival.run;
    addEventListener("message", (event) => this.#hear(event));
    addEventListener("pagehide", (event) => { if (!event.persisted) this.#leave(); });
    new ResizeObserver(() => this.#measure()).observe(document.body);
    this.look();
  }

  /** Something has changed. */
  look(): void {
    const { cells, link, caughtUp } = this.#console;
    if (this.#wanted && caughtUp && link.session) {
      this.#wanted = false;
      this.#console.runs.runAll();
    }
    const busy = cells.all.some((cell) => cell.busy || cell.planned);
    if (!this.#busy && busy) this.#tell({ cellgate: "running" });
    if (this.#busy && !busy) this.#tell({ cellgate: "ran", status: this.#status() });
    this.#busy = busy;
    const { kind: state, text } = this.#headline(this.#console.overview);
    const kind = link.state.kind === "refused" ? "refused" : state;
    const why = "why" in link.state ? link.state.why : link.state.kind === "refused" ? "the gateway does not accept the key of this page" : "";
    if (kind !== this.#said.state || why !== this.#said.text) {
      Object.assign(this.#said, { state: kind, text: why });
      this.#tell({ cellgate: "state", state: kind, text: why || text });
    }
    const code = cells.all.map((cell) => cell.editor.code).join("\n\n");
    if (code !== this.#said.code) {
      this.#said.code = code;
      this.#tell({ cellgate: "code", code });
    }
    this.#drawSetup();
    this.#measure();
  }

  /** The code as it was published, without output, in a fresh interpreter. */
  async reset(): Promise<void> {
    this.#wanted = false;
    const { link, runs } = this.#console;
    if (link.session && link.state.kind === "open") runs.restart();
    this.#setup?.clear();
    await this.#console.open(newDocument(this.#published));
    this.look();
  }

  /** Opens the cells, as they are now, in a console of its own. */
  async openWhole(): Promise<void> {
    // Made at once: a browser opens no window for what comes later than the click.
    const opened = open("about:blank", "_blank");
    const url = new URL(".", location.href);
    const { key, template } = this.#console.arrival;
    for (const [name, value] of Object.entries({ key, template })) if (value) url.searchParams.set(name, value);
    const cells: Written[] = this.#console.document.cells.map(written);
    url.hash = `code=${await toFragment(this.#setup ? [written(this.#setup.source), ...cells] : cells)}`;
    if (!opened) return void open(url.href, "_blank", "noopener");
    opened.opener = null;
    opened.location.replace(url.href);
  }

  /** Sends the set-up code ahead of a cell, once for each interpreter. What follows it runs only if it succeeds. */
  #prepare(cell: CellView): void {
    const setup = this.#setup;
    if (!setup || cell === setup || setup.busy) return;
    const { phase, order } = setup;
    if (phase.phase === "ended" && phase.status === "ok" && order !== undefined) return;
    this.#console.runs.run(setup, { silent: true, stopOnError: true });
  }

  /** How the runs that were asked for ended: the first that did not end well, else `ok`. */
  #status(): string {
    const ends = [this.#setup, ...this.#console.cells.all].map((cell) => cell?.phase);
    const bad = ends.find((phase) => phase?.phase === "ended" && phase.status !== "ok");
    return bad?.phase === "ended" ? bad.status : "ok";
  }

  #hear(event: MessageEvent): void {
    if (event.source !== parent || parent === window) return;
    const { cellgate, code } = (typeof event.data === "object" && event.data !== null ? event.data : {}) as { cellgate?: unknown; code?: unknown };
    switch (cellgate) {
      case "run": {
        const { link } = this.#console;
        this.#wanted = true;
        this.#said.state = ""; // one that cannot be run is told so again
        if (link.state.kind === "over") link.startNew();
        return this.look();
      }
      case "reset":
        return void this.reset();
      case "code": {
        const [first, ...others] = this.#console.cells.all;
        if (typeof code === "string" && code.length <= CODE_UNITS && first && others.length === 0) first.editor.setCode(code);
        return;
      }
    }
  }

  /** Sends a message to the page around, of whatever origin: it chose what is shown here. */
  #tell(message: Record<string, unknown>): void {
    if (parent !== window) parent.postMessage(message, "*");
  }

  #measure(): void {
    const height = Math.ceil(document.body.getBoundingClientRect().height);
    if (height === this.#said.height) return;
    this.#said.height = height;
    this.#tell({ cellgate: "height", height });
  }

  #drawSetup(): void {
    const setup = this.#setup;
    if (!setup) return;
    const { phase } = setup;
    const failed = phase.phase === "ended" && phase.status !== "ok" && phase.status !== "cancelled";
    const shown = this.#setupShown || failed;
    setup.element.hidden = !shown;
    render(html`${failed ? html`<p class="problem" role="alert">The set-up code failed, so that the cell did not run.</p>`
      : html`<button type="button" class="link" aria-expanded=${shown ? "true" : "false"}
          @click=${() => { this.#setupShown = !shown; this.look(); }}>${shown ? "Hide" : "Show"} the set-up code</button>`}${
      shown && !failed ? html`<span class="hint">It runs before the first cell.</span>` : nothing}`, byId("setup"));
  }

  /** A reader who leaves needs the session no more, and the key's bounds count it as long as it lives. */
  #leave(): void {
    const { session } = this.#console.link;
    if (this.#shared ? !this.#shared.leave() : !session) return;
    if (session?.role === "owner") {
      void fetch(new URL(`v1/sessions/${session.id}`, location.href.replace(/[?#].*/, "")), {
        method: "DELETE", keepalive: true, headers: { authorization: `Bearer ${session.token}` },
      }).catch(() => {}); // the page is gone; the session ends by its detach timeout
    }
  }
}

/** Names the set-up code, so that frames that share a session know each other's. FNV-1a, 32 bits. */
function digest(text: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
