// What all dialogs have: a title, a button to close, and the focus.

import { html, render } from "lit-html";
import type { TemplateResult } from "lit-html";
import { byId, h, icon, removeDialog } from "./dom.js";

const live = new Set<() => void>();

/** Draws the open dialogs again that show how the session stands. */
export function redrawDialogs(): void {
  for (const redraw of live) redraw();
}

/** Calls `redraw` whenever the session has changed, until the answer is called. */
export function onChange(redraw: () => void): () => void {
  live.add(redraw);
  return () => live.delete(redraw);
}

/** Opens a dialog; `draw` is called again by `redraw`, and with `follows` whenever the session has changed. An element with `autofocus` has the focus first. */
export function openDialog(title: string, draw: (redraw: () => void, close: () => void) => TemplateResult, follows = false, closed = () => {}): void {
  const body = h("div", { className: "content" });
  const heading = h("h2", { id: `dialog-${title.replace(/\W+/g, "-")}`, textContent: title });
  const close = h("button", { type: "button", className: "bare", aria: { label: "Close" }, onclick: () => dialog.close() });
  render(icon("close"), close);
  const dialog: HTMLDialogElement = h("dialog", { className: "dialog" }, h("div", { className: "bar" }, heading, close), body);
  dialog.setAttribute("aria-labelledby", heading.id);
  const redraw = () => render(draw(redraw, () => dialog.close()), body);
  dialog.addEventListener("close", () => { removeDialog(dialog); live.delete(redraw); closed(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  if (follows) live.add(redraw);
  redraw();
  byId("dialogs").append(dialog);
  dialog.showModal();
}

/** Asks before something is lost. A dialog of the page: in the frame of another page the browser shows none of its own. */
export function ask(title: string, text: string, action: string): Promise<boolean> {
  return new Promise((resolve) => {
    let agreed = false;
    openDialog(title, (_, close) => html`<p>${text}</p>
      <p class="actions"><button type="button" class="danger" autofocus @click=${() => { agreed = true; close(); }}>${action}</button>
        <button type="button" @click=${close}>Cancel</button></p>`, false, () => resolve(agreed));
  });
}
