// A menu below a button. Arrow keys move in it, Escape leaves it, a click elsewhere closes it.

import { html, nothing, render } from "lit-html";
import type { TemplateResult } from "lit-html";
import { h } from "./dom.js";

let open: { button: HTMLElement; close: () => void } | null = null;

/** Makes an entry; one that is not `shown` is left out. `keys` says how to do the same by keyboard. */
export type Entry = (name: string, run: () => unknown, more?: { shown?: boolean; keys?: string; checked?: boolean }) => TemplateResult | typeof nothing;

/**
 * Opens the menu of a button, or closes it. `draw` makes its content from entries; it is put at the end of `host`,
 * which decides where it stands.
 */
export function popup(host: HTMLElement, button: HTMLElement, label: string, draw: (entry: Entry) => TemplateResult): void {
  const same = open?.button === button;
  open?.close();
  if (same) return;
  const root = h("div", { className: "menu", role: "menu", aria: { label } });
  const close = () => {
    root.remove();
    open = null;
    removeEventListener("pointerdown", outside, true);
  };
  const outside = (event: PointerEvent) => {
    if (!root.contains(event.target as Node) && !button.contains(event.target as Node)) close();
  };
  const entry: Entry = (name, run, { shown = true, keys = "", checked } = {}) => (shown ? html`
    <button type="button" role=${checked === undefined ? "menuitem" : "menuitemcheckbox"} aria-checked=${checked === undefined ? nothing : String(checked)} tabindex="-1"
      @click=${() => { close(); button.focus(); void run(); }}>${name}${keys ? html`<kbd aria-hidden="true">${keys}</kbd>` : nothing}</button>` : nothing);
  render(draw(entry), root);
  const items = () => [...root.querySelectorAll<HTMLElement>("[role^=menuitem]")];
  root.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      all.at(to % all.length)?.focus();
    } else if (event.key === "Escape" || event.key === "Tab") {
      event.preventDefault();
      close();
      button.focus();
    }
    event.stopPropagation();
  });
  host.append(root);
  addEventListener("pointerdown", outside, true);
  open = { button, close };
  items()[0]?.focus();
}

/** Closes the menu that is open, if one is. */
export function closePopup(): void {
  open?.close();
}
