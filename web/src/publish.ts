// The part of the dialog "Share" that writes what puts the document's code on a web page.

import { html, nothing } from "lit-html";
import type { TemplateResult } from "lit-html";
import type { Console } from "./console.js";
import { gatewayToken } from "./credentials.js";
import { copy } from "./dom.js";
import { newId, titleOf, toFragment } from "./pure/document.js";
import { interpreterFor } from "./pure/languages.js";
import { snippetOfCells, snippetOfFrame } from "./pure/snippet.js";

interface Key { name: string; key: string; templates: string[]; origins: string[]; sharing: boolean }

/** `draw` makes the section; `redraw` is called when what it shows has changed. */
export class Publish {
  readonly #console: Console;
  readonly #redraw: () => void;
  #keys: Key[] | null = null;
  /** Why there is no list of keys. */
  #problem = "";
  #chosen: Key | null = null;
  #form: "cells" | "frame" = "cells";
  #snippet = "";

  constructor(console: Console, redraw: () => void) {
    this.#console = console;
    this.#redraw = redraw;
    void this.#load();
  }

  draw(): TemplateResult {
    return html`<section class="links publish" aria-label="Put it on a web page"><h3>Put it on a web page</h3>${this.#content()}</section>`;
  }

  #content(): TemplateResult {
    if (this.#problem) return html`<p class="hint">${this.#problem}</p>`;
    if (!this.#keys) return html`<p class="hint">Asking which keys there are …</p>`;
    if (!this.#chosen) return this.#howToMakeOne();
    const { origins } = this.#chosen;
    const form = (value: "cells" | "frame", name: string, about: string) => html`
      <label class="choice"><input type="radio" name="form" .checked=${this.#form === value} @change=${() => { this.#form = value; void this.#write(); }}>
        <span><strong>${name}</strong> ${about}</span></label>`;
    return html`
      ${this.#keys.length < 2 ? nothing : html`<label class="field">Key <select @change=${(event: Event) => {
        this.#chosen = this.#keys![(event.target as HTMLSelectElement).selectedIndex]!;
        void this.#write();
      }}>${this.#keys.map(({ name }) => html`<option>${name}</option>`)}</select></label>`}
      <fieldset><legend class="unseen">Form</legend>
        ${form("cells", "Cells", "among the text of the page, which loads a small script")}
        ${form("frame", "A frame", "where a page allows no scripts")}</fieldset>
      <label class="field">HTML for the page
        <textarea class="snippet" readonly rows="6" spellcheck="false" .value=${this.#snippet} @focus=${(event: Event) => (event.target as HTMLTextAreaElement).select()}></textarea></label>
      <p><button type="button" class="primary" ?disabled=${!this.#snippet} @click=${() => void copy(this.#snippet, "HTML")}>Copy the HTML</button></p>
      ${origins.length === 0 ? nothing : html`<p class="hint">${origins.includes("*") ? "Pages of every site may use this key." : `It works on pages of ${origins.join(", ")}.`}</p>`}
      ${this.#misfit()}`;
  }

  /** What the key does not give the code. */
  #misfit(): TemplateResult | typeof nothing {
    const { templates } = this.#chosen!;
    const template = this.#console.overview.ready?.template;
    if (!template || templates.length === 0 || templates.includes(template)) return nothing;
    return html`<p class="problem">This session is of the template ${template}; the key makes sessions of ${templates.join(", ")} alone.</p>`;
  }

  #howToMakeOne(): TemplateResult {
    const sample = `[keys.lesson]\nkey = "pk_${newId()}${newId()}"\norigins = ["https://your-site.example"]`;
    return html`<p class="hint">A page needs a publishable key, and this gateway has none. Put one into its file of settings, with the address
      of your site, and start the gateway again. docs/embedding.md says what a key allows.</p>
      <label class="field">For the file of settings
        <textarea class="snippet" readonly rows="3" spellcheck="false" .value=${sample}></textarea></label>
      <p><button type="button" @click=${() => void copy(sample, "Settings")}>Copy the settings</button></p>`;
  }

  async #load(): Promise<void> {
    const { arrival, overview } = this.#console;
    if (arrival.key) {
      this.#keys = [{ name: "", key: arrival.key, templates: [], origins: [], sharing: overview.ready?.allowed?.sharing !== false }];
    } else {
      const token = gatewayToken();
      try {
        const answer = await fetch(new URL("v1/keys", location.href.replace(/[?#].*/, "")), token ? { headers: { authorization: `Bearer ${token}` } } : {});
        if (answer.ok) this.#keys = ((await answer.json()) as { keys: Key[] }).keys;
        else this.#problem = "A page needs a publishable key, and only who has the gateway's token sees which there are.";
      } catch {
        this.#problem = "The gateway does not say which publishable keys there are: it cannot be reached. Open this again once it can.";
      }
    }
    this.#chosen = this.#keys?.[0] ?? null;
    if (this.#chosen) await this.#write();
    this.#redraw();
  }

  async #write(): Promise<void> {
    const { key, templates, sharing } = this.#chosen!;
    const { document, overview } = this.#console;
    const template = overview.ready?.template;
    const codes = document.cells.filter(({ kind, code }) => kind === "code" && code.trim() !== "").map(({ code, language }) => {
      const interpreter = interpreterFor(language, this.#console.languages());
      return { code, ...(interpreter !== undefined && { language: interpreter }) };
    });
    const what = {
      gateway: location.href.replace(/[^/]*([?#].*)?$/, ""), key, title: titleOf(document),
      // The first is the key's default.
      template: template && templates.indexOf(template) > 0 ? template : null,
    };
    this.#snippet = this.#form === "cells" ? snippetOfCells(codes, what, sharing) : snippetOfFrame(await toFragment(codes.map(({ code, language }) => (language === undefined ? code : { kind: "code", code, language }))), codes.length, what);
    this.#redraw();
  }
}
