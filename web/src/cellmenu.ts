// What can be done with one cell.

import { html, nothing } from "lit-html";
import type { CellAction, CellHost, CellView } from "./cellview.js";
import { popup } from "./popup.js";

/** Shows the menu of a cell below its button. */
export function showCellMenu(host: CellHost, cell: CellView, button: HTMLElement, single: boolean): void {
  popup(button.parentElement!, button, `Actions for cell ${cell.number}`, (entry) => {
    const act = (name: string, action: CellAction, keys = "", shown = true) => entry(name, () => host.act(cell, action), { keys, shown });
    const shows = !cell.output.empty;
    const canRun = host.canRun();
    const code = cell.kind === "code";
    const outputs = html`
      ${act(cell.collapsed ? "Show the output" : "Hide the output", "collapse", "O", shows)}
      ${act("Copy output as text", "copy-text", "", shows)}
      ${act("Copy output as Markdown", "copy-markdown", "", shows)}`;
    const canEdit = host.canEdit();
    if (!canRun && !canEdit) return shows ? outputs : html`${entry("There is nothing to copy yet", () => {})}`;
    return html`
      ${code && canRun ? html`
        ${act("Run cells above", "run-above")}
        ${act("Run this cell and those below", "run-below")}
        <hr role="separator">` : nothing}
      ${outputs}
      ${shows && canEdit ? html`<hr role="separator">` : nothing}
      ${single || !canEdit ? nothing : html`
        ${act("Insert a cell above", "insert-above", "A")}
        ${act("Insert a cell below", "insert", "B")}
        ${act("Move up", "up", "Shift+K")}
        ${act("Move down", "down", "Shift+J")}
        <hr role="separator">
        ${act("Cut", "cut", "X")}
        ${act("Copy", "copy", "C")}
        ${act("Paste below", "paste", "V")}
        ${act("Split at the cursor", "split", "Ctrl+Shift+-")}
        ${act("Join with the next cell", "join", "Shift+M")}
        ${act("Turn into Markdown", "to-markdown", "M", cell.kind !== "markdown")}
        ${act("Turn into code", "to-code", "Y", !code)}
        <hr role="separator">
        ${act("Delete", "remove", "D D")}`}`;
  });
}
