// What is said above the cells about the shared document: that the page is apart from it, that it is full; and the
// question for a name, which is asked once.

import { html, nothing, render } from "lit-html";
import type { Console } from "../console.js";
import { keepName, ownName } from "../credentials.js";
import { openDialog } from "../dialog.js";
import { byId, download, h } from "../dom.js";
import { titleOf, toPython } from "../pure/document.js";
import type { Document } from "../pure/document.js";
import { count } from "../pure/words.js";
import { ofBrowser } from "../storage.js";

const ASKED = "cellgate.nameAsked"; // in localStorage
/** A connection that is made again at once is not worth a word. */
const PATIENCE_MS = 1500;

export type Where = "behind" | "instead" | "nowhere";

export class Notes {
  readonly #root = h("div", { id: "document-notes" });
  readonly #console: Console;
  readonly #act: { rename(): void; retry(): void };
  #state = { apart: false, full: false };
  #asksName = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(console: Console, act: { rename(): void; retry(): void }) {
    this.#console = console;
    this.#act = act;
    byId("banner").after(this.#root);
  }

  show(state: { apart: boolean; full: boolean }): void {
    clearTimeout(this.#timer);
    if (state.apart && !this.#state.apart) {
      this.#timer = setTimeout(() => { this.#state = state; this.#draw(); }, PATIENCE_MS);
      return;
    }
    this.#state = state;
    this.#draw();
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#root.remove();
  }

  /** Asks for a name, unless one is known or it was asked before. */
  askName(): void {
    this.#asksName = ownName() === "" && ofBrowser.getItem(ASKED) === null;
    this.#draw();
  }

  /** Asks where a file's cells are to go. */
  askWhere(opened: Document): Promise<Where> {
    return new Promise((resolve) => {
      let where: Where = "nowhere";
      const choose = (value: Where, close: () => void) => () => { where = value; close(); };
      openDialog("Into the shared document?", (_, close) => html`
        <p>“${titleOf(opened)}” has ${count(opened.cells.length, "cell")}. Everybody in this session gets what you choose.</p>
        <p class="actions"><button type="button" class="primary" autofocus @click=${choose("behind", close)}>Add behind the last cell</button>
          <button type="button" class="danger" @click=${choose("instead", close)}>Replace all cells</button>
          <button type="button" @click=${close}>Cancel</button></p>`, false, () => resolve(where));
    });
  }

  #draw(): void {
    const { apart, full } = this.#state;
    render(html`
      <p class="apart" role="status">${apart ? "Editing offline; changes merge when the connection is back." : nothing}</p>
      ${full ? html`<div class="banner warn" role="alert"><p>The shared document is full (4 MiB). Your newest changes are not shared: delete something long, then try again.</p>
        <button type="button" @click=${() => this.#download()}>Download this page's text</button>
        <button type="button" @click=${() => this.#act.retry()}>Try again</button></div>` : nothing}
      ${this.#asksName ? html`<form class="banner" aria-label="Your name" @submit=${(event: SubmitEvent) => this.#name(event)}>
        <p>You are writing together now. What is your name?</p>
        <label>Your name <input name="name" maxlength="40" autocomplete="nickname" .value=${this.#console.ownName}></label>
        <button type="submit" class="primary">Use this name</button>
        <button type="button" @click=${() => this.#answered()}>Not now</button></form>` : nothing}`, this.#root);
  }

  #name(event: SubmitEvent): void {
    event.preventDefault();
    const name = ((event.target as HTMLFormElement).elements.namedItem("name") as HTMLInputElement).value.trim();
    if (name) keepName(name);
    this.#act.rename();
    this.#answered();
  }

  #answered(): void {
    ofBrowser.setItem(ASKED, "yes");
    this.#asksName = false;
    this.#draw();
  }

  #download(): void {
    download("document.py", toPython(this.#console.document), "text/x-python");
  }
}
