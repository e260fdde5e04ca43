// Says that somebody has deleted the cell that was being written in, in the place where it was, and brings it back.

import type { CellView } from "../cellview.js";
import type { Console } from "../console.js";
import { announce, h } from "../dom.js";

export function showDeleted(console: Console, cell: CellView, who: string | null): void {
  if (cell.editor.code.trim() === "") return;
  const said = `${who ?? "Somebody"} deleted the cell you were writing in.`;
  const note = h("div", { className: "deleted", tabIndex: -1, role: "group", aria: { label: said } },
    h("p", {}, said),
    h("button", { type: "button", className: "primary", textContent: "Bring it back", onclick: () => { note.remove(); console.cells.bringBack(cell); cell.editor.focus(); } }),
    h("button", { type: "button", textContent: "Let it go", onclick: () => { note.remove(); console.cells.selected?.element.focus(); } }));
  const behind = console.cells.all[Math.max(0, cell.number - 1)];
  if (behind) behind.element.before(note);
  else console.cells.all.at(-1)?.element.after(note);
  announce(said);
  // What is typed on goes nowhere; who wants it back reaches the buttons with Tab.
  note.focus({ preventScroll: true });
}
