// Dialogs: keys, sharing, documents, examples, renaming.

import { html, nothing, render } from "lit-html";
import type { TemplateResult } from "lit-html";
import type { Role } from "../client/src/index.js";
import type { Console } from "./console.js";
import { keepName, ownName } from "./credentials.js";
import { byId, copy, h, icon } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { HELP } from "./keys.js";
import { newDocument, toFragment } from "./pure/document.js";
import { ROLE_WORDS } from "./pure/words.js";

/** Opens a dialog; `draw` is called again by `redraw`. */
export function openDialog(title: string, draw: (redraw: () => void, close: () => void) => TemplateResult): void {
  const body = h("div", { className: "content" });
  const heading = h("h2", { id: `dialog-${title.replace(/\W+/g, "-")}`, textContent: title });
  const close = h("button", { type: "button", className: "bare", aria: { label: "Close" }, onclick: () => dialog.close() });
  render(icon("close"), close);
  const dialog: HTMLDialogElement = h("dialog", { className: "dialog" }, h("div", { className: "bar" }, heading, close), body);
  dialog.setAttribute("aria-labelledby", heading.id);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  const redraw = () => render(draw(redraw, () => dialog.close()), body);
  redraw();
  byId("dialogs").append(dialog);
  dialog.showModal();
}

export function showKeys(): void {
  openDialog("Keys", () => html`<div class="keys">${HELP.map((group) => html`
    <section><h3>${group.title}</h3><dl>${group.keys.map(({ keys, does }) => html`
      <div><dt>${keys.split(" ").map((key) => (key === "/" ? " / " : html`<kbd>${key}</kbd>`))}</dt><dd>${does}</dd></div>`)}</dl></section>`)}</div>`);
}

export function showShare(console: Console): void {
  let role: Role = "viewer";
  let link: string | null = null;
  let failure = "";
  const make = async (redraw: () => void) => {
    try {
      link = await console.shareLink(role);
      failure = "";
    } catch (error) {
      link = null;
      failure = `No link could be made: ${(error as Error).message}`;
    }
    redraw();
  };
  const roles: [Role, string, string][] = [
    ["viewer", "Watch", "sees the code and the output"],
    ["editor", "Work along", "may run, stop and answer too"],
    ["owner", "Own", "may do everything: restart and end the session too"],
  ];
  const own = console.overview.ready?.role ?? "viewer";
  const offered = roles.filter(([value]) => own === "owner" || value === own);
  role = offered[0]![0];
  let begun = false;
  openDialog("Share", (redraw) => {
    if (!begun) { begun = true; void make(redraw); }
    return html`
      <fieldset><legend>Whoever has the link can</legend>${offered.map(([value, name, does]) => html`
        <label class="choice"><input type="radio" name="role" .checked=${role === value} @change=${() => { role = value; void make(redraw); }}>
          <span><strong>${name}</strong> ${does}</span></label>`)}</fieldset>
      <label class="field">Link to this live session
        <span class="row"><input readonly .value=${link ?? ""} @focus=${(event: Event) => (event.target as HTMLInputElement).select()}>
        <button type="button" class="primary" ?disabled=${!link} @click=${() => void copy(link!, "Link")}>Copy</button></span></label>
      ${failure ? html`<p class="problem" role="alert">${failure}</p>` : nothing}
      <p class="hint">The link holds a key to this session and works until an owner revokes it or the session ends.</p>
      <label class="field">Your name for the others
        <input maxlength="40" .value=${ownName()} @change=${(event: Event) => keepName((event.target as HTMLInputElement).value.trim())}></label>
      <p class="hint">It is told when you connect the next time.</p>
      <p><button type="button" @click=${() => void copyCodeLink(console)}>Copy a link with the code alone</button></p>`;
  });
}

export function showPeople(console: Console): void {
  openDialog("Who is here", () => {
    const { participants, ready } = console.overview;
    return html`<ul class="list">${participants.map(({ id, name, role }) => html`<li class="person">
      <strong>${name}${id === ready?.participant ? " (you)" : ""}</strong><span>${ROLE_WORDS[role]}</span></li>`)}</ul>`;
  });
}

export async function copyCodeLink(console: Console): Promise<void> {
  const url = new URL(location.href);
  url.search = "";
  url.hash = `code=${await toFragment(console.document.cells.map((cell) => cell.code))}`;
  await copy(url.href, "Link with the code");
}

export function showDocuments(console: Console): void {
  openDialog("Documents", (redraw, close) => {
    const list = console.store.list();
    const current = console.document.id;
    return html`<p class="hint">Kept in this browser.</p>
      <ul class="list">${list.map(({ id, title, updated }) => html`<li>
        <button type="button" class="item" ?disabled=${id === current} @click=${async () => {
          const found = await console.store.open(id);
          if (found) { await console.open(found); close(); }
        }}><strong>${title}</strong><span>${id === current ? "open here" : new Date(updated).toLocaleString()}</span></button>
        <button type="button" class="bare" ?disabled=${id === current} aria-label=${`Delete ${title}`}
          @click=${() => { if (confirm(`Delete “${title}” for good?`)) { console.store.remove(id); redraw(); } }}>${icon("remove")}</button></li>`)}</ul>
      ${list.length === 0 ? html`<p class="empty">Nothing yet: a document is kept as soon as it is changed.</p>` : nothing}`;
  });
}

export function showExamples(console: Console): void {
  openDialog("Examples", (_, close) => html`<ul class="list">${EXAMPLES.map(({ title, about, codes }) => html`<li>
    <button type="button" class="item" @click=${() => { void console.open(newDocument(codes, title)); close(); }}>
      <strong>${title}</strong><span>${about}</span></button></li>`)}</ul>
    <p class="hint">They open as a new document; what you have now is kept.</p>`);
}

export function showRename(console: Console): void {
  openDialog("Rename", (_, close) => html`<form @submit=${(event: SubmitEvent) => {
    event.preventDefault();
    console.setTitle(((event.target as HTMLFormElement).elements.namedItem("title") as HTMLInputElement).value.trim());
    close();
  }}><label class="field">Title <input name="title" maxlength="80" .value=${console.overview.title}></label>
    <p><button type="submit" class="primary">Rename</button></p></form>`);
}
