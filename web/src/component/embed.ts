// The script `embed.js` that pages of other sites load: the element <cellgate-cell>, and what makes such cells of a
// page's code blocks. docs/embedding.md describes it.
//
//   code as text ─ Run, Edit or run() ─► frame, loading ─ its first message ─► frame in the place of the text
//        ▲                                     └─ none comes ─┐
//        └────────────── why, and what to do ◄────────────────┘

import { address } from "./address.js";
import { coloured, dedent, titleOf } from "./code.js";
import { SHEET } from "./sheet.js";

const HERE = new URL(".", import.meta.url).href;
const SILENT_MS = 10_000; // after it has loaded, a frame that says nothing is no page of the gateway
const LOAD_MS = 60_000;
const TALLEST = 100_000; // pixels
const ATTRIBUTES = ["key", "template", "language", "session", "setup", "gateway", "theme", "label", "readonly", "run"];

let sheet: CSSStyleSheet | undefined;
/** The random words of the sessions that cells of this page share. */
const pages = new Map<string, string>();

interface Waiting { done(status: string): void; failed(error: Error): void }

export class CellgateCell extends HTMLElement {
  #root = this.attachShadow({ mode: "open" });
  #text = document.createElement("pre");
  #status = document.createElement("p");
  #run = button("Run", "run");
  #edit = button("Edit", "edit");
  #box = document.createElement("div");
  #frame: HTMLIFrameElement | null = null;
  /** Settles when the frame has spoken. */
  #opening: Promise<void> | null = null;
  #spoke: (() => void) | null = null;
  #code: string | null = null;
  #waiting: Waiting[] = [];
  readonly #hear = (event: MessageEvent) => this.#take(event);

  constructor() {
    super();
    if (!sheet) (sheet = new CSSStyleSheet()).replaceSync(SHEET);
    this.#root.adoptedStyleSheets = [sheet];
    this.#text.tabIndex = 0;
    this.#text.setAttribute("role", "group");
    this.#status.setAttribute("role", "status");
    const bar = document.createElement("div");
    bar.className = "bar";
    bar.append(this.#run, this.#edit, this.#status);
    this.#box.className = "box";
    this.#box.append(this.#text, bar);
    this.#root.append(this.#box);
    this.#run.onclick = () => void this.run().catch(() => {}); // the failure is shown
    const edit = () => void this.#open(true).catch(() => {});
    this.#edit.onclick = edit;
    this.#text.onclick = () => { if (!this.readOnly && !getSelection()?.toString()) edit(); };
  }

  connectedCallback(): void {
    addEventListener("message", this.#hear);
    // While the page is parsed, what is in the element may not be there yet.
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", () => this.#begin(), { once: true });
    else this.#begin();
  }

  disconnectedCallback(): void {
    removeEventListener("message", this.#hear);
    this.#close();
    this.#fail(new Error("the cell was taken out of the page"));
  }

  /** The code as it is now. */
  get code(): string { return this.#code ?? this.#written(); }

  set code(code: string) {
    this.#code = String(code);
    this.#draw();
    if (this.#frame) this.#say({ cellgate: "code", code: this.#code });
  }

  get readOnly(): boolean { return this.hasAttribute("readonly"); }

  /** Runs the cell; answers how it ended: `ok`, `error`, `timeout` … Rejects if the gateway is not there. */
  async run(): Promise<string> {
    await this.#open(true);
    return new Promise((done, failed) => {
      this.#waiting.push({ done, failed });
      this.#say({ cellgate: "run" });
    });
  }

  /** The code as it was published, without output, in a fresh interpreter. */
  reset(): void {
    if (this.#frame) return this.#say({ cellgate: "reset" });
    this.#code = null;
    this.#draw();
  }

  #written(): string {
    const inner = this.querySelector("script[type='text/python'], script[type='text/plain'], pre");
    return dedent((inner ?? this).textContent ?? "");
  }

  #begin(): void {
    if (!this.isConnected) return;
    this.#draw();
    if (!this.hasAttribute("run")) return;
    const near = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      near.disconnect();
      void this.run().catch(() => {});
    });
    near.observe(this);
  }

  #draw(): void {
    const label = this.getAttribute("label") ?? `${titleOf(this.#language)} code`;
    this.#text.setAttribute("aria-label", label);
    this.#text.replaceChildren(...coloured(this.code, this.#language));
    this.#edit.hidden = this.readOnly;
  }

  /** Puts the embedded page in the place of the text. */
  #open(focus: boolean): Promise<void> {
    return this.#opening ??= this.#load(focus).catch((error: Error) => {
      this.#close();
      this.#show(error.message, true);
      this.#fail(error);
      throw error;
    });
  }

  async #load(focus: boolean): Promise<void> {
    const key = this.getAttribute("key");
    if (!key) throw new Error("This cell has no attribute key: give it a publishable key of the gateway.");
    const gateway = this.#gateway;
    const held = this.#root.activeElement !== null; // a button that is disabled loses it
    this.#run.disabled = this.#edit.disabled = true;
    this.#show("Starting …");
    const frame = document.createElement("iframe");
    frame.title = this.getAttribute("label") ?? `${titleOf(this.#language)} cell`;
    frame.allow = "clipboard-write";
    frame.className = "loading";
    frame.src = await address({
      gateway, key, readOnly: this.readOnly, code: this.#written(), setup: this.#setup(),
      template: this.getAttribute("template"), language: this.getAttribute("language"), theme: this.getAttribute("theme"), page: this.#page(gateway, key),
    });
    const spoke = new Promise<boolean>((resolve) => {
      this.#spoke = () => resolve(true);
      setTimeout(() => resolve(false), LOAD_MS);
      frame.onload = () => setTimeout(() => resolve(false), SILENT_MS);
    });
    this.#frame = frame;
    this.#root.append(frame);
    if (!await spoke) throw new Error(await this.#why(gateway, key));
    frame.className = "";
    this.#box.hidden = true;
    if (this.#code !== null && this.#code !== this.#written()) this.#say({ cellgate: "code", code: this.#code });
    if (focus && held) frame.focus();
  }

  /** Why the gateway's page does not show here. A browser tells no page why a frame stays empty. */
  async #why(gateway: string, key: string): Promise<string> {
    const there = await fetch(new URL("embed.js", gateway), { credentials: "omit" }).then(({ ok }) => ok, () => false);
    return there
      ? `The gateway does not let this page use the key ${key}. Its settings have to name ${location.origin} among the origins of that key.`
      : `The gateway at ${new URL(gateway).host} cannot be reached. Look at the network connection, then press Run again.`;
  }

  #close(): void {
    this.#frame?.remove();
    this.#frame = this.#opening = this.#spoke = null;
    this.#box.hidden = this.#run.disabled = this.#edit.disabled = false;
    this.#show("");
  }

  #setup(): string | null {
    const selector = this.getAttribute("setup");
    if (!selector) return null;
    const found = document.querySelector(selector);
    if (!found) throw new Error(`There is no element ${selector}, which the attribute setup names.`);
    return dedent(found.textContent ?? "");
  }

  #page(gateway: string, key: string): string | null {
    const session = this.getAttribute("session");
    if (session === null) return null;
    const name = JSON.stringify([gateway, key, this.getAttribute("template"), session]);
    const random = pages.get(name) ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    pages.set(name, random);
    return random;
  }

  get #language(): string { return this.getAttribute("language") ?? "python"; }

  get #gateway(): string { return new URL(this.getAttribute("gateway") ?? HERE, location.href).href.replace(/\/?$/, "/"); }

  #say(message: object): void {
    this.#frame?.contentWindow?.postMessage(message, new URL(this.#gateway).origin);
  }

  #take(event: MessageEvent): void {
    if (!this.#frame || event.source !== this.#frame.contentWindow || event.origin !== new URL(this.#gateway).origin) return;
    const { cellgate, height, status, code, state, text } = event.data ?? {};
    switch (cellgate) {
      case "height":
        // The frame has a border of a pixel on each side.
        if (height > 0 && height <= TALLEST) this.#frame.style.height = `${height + 2}px`;
        return this.#spoke?.();
      case "code":
        this.#code = String(code);
        return;
      case "running":
        return void this.dispatchEvent(new CustomEvent("cellgate-run", { bubbles: true, detail: { code: this.code } }));
      case "ran": {
        for (const { done } of this.#waiting.splice(0)) done(String(status));
        return void this.dispatchEvent(new CustomEvent("cellgate-done", { bubbles: true, detail: { status: String(status), code: this.code } }));
      }
      case "state":
        if (state === "ended" || state === "refused") this.#fail(new Error(String(text)));
    }
  }

  #fail(error: Error): void {
    for (const { failed } of this.#waiting.splice(0)) failed(error);
  }

  #show(text: string, bad = false): void {
    this.#status.textContent = text;
    this.#status.className = bad ? "bad" : "";
  }
}

function button(text: string, className: string): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.className = className;
  return made;
}

/** Turns every code block that the selector finds into a cell with these attributes; answers the cells. */
export function upgrade(selector: string, attributes: Record<string, string | boolean>): CellgateCell[] {
  return [...document.querySelectorAll(selector)].filter((found) => !found.closest("cellgate-cell")).map((found) => {
    const cell = document.createElement("cellgate-cell") as CellgateCell;
    for (const [name, value] of Object.entries(attributes)) if (value !== false) cell.setAttribute(name, value === true ? "" : value);
    cell.textContent = found.textContent;
    (found.closest("pre") ?? found).replaceWith(cell);
    return cell;
  });
}

if (!customElements.get("cellgate-cell")) customElements.define("cellgate-cell", CellgateCell);
(globalThis as { cellgate?: object }).cellgate ??= { upgrade };

/** `<script data-cellgate-upgrade="SELECTOR" data-key="pk_…">` upgrades without a script of the page's own. */
const tag = [...document.querySelectorAll<HTMLScriptElement>("script[data-cellgate-upgrade]")].find(({ src }) => src === import.meta.url);
if (tag) {
  const begin = () => void upgrade(tag.dataset.cellgateUpgrade || "pre > code.language-python",
    Object.fromEntries(ATTRIBUTES.filter((name) => name in tag.dataset).map((name) => [name, tag.dataset[name]!])));
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin, { once: true });
  else begin();
}
