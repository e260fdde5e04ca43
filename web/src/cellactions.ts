// What the user does with a cell, by its menu, its buttons or a key.

import type { CellAction, CellView } from "./cellview.js";
import type { Console } from "./console.js";
import { copy, toast } from "./dom.js";
import { newCell } from "./pure/document.js";
import type { CellKind } from "./pure/document.js";
import { ofBrowser } from "./storage.js";

/** The cell that was cut or copied last, for all tabs. */
const CLIPBOARD = "cellgate.clipboard";

/** Does it; `edited` is called when the document has changed otherwise than by its list of cells. */
export function act(console: Console, cell: CellView, action: CellAction, edited: () => void): void {
  const { cells, runs } = console;
  switch (action) {
    case "run": return cell.kind === "code" ? runs.run(cell) : cell.render();
    case "stop": return stop(console, cell);
    case "run-above": return runs.runAbove(cell);
    case "run-below": return runs.runFrom(cell);
    case "restore": cell.restoreDraft(); cell.editor.focus(); return edited();
    case "discard": cell.discardDraft(); cell.element.focus(); return edited();
    case "edit": return console.canEdit() ? cell.edit() : undefined;
    case "insert-above": return cells.insertNear(cell, "above").editor.focus();
    case "insert": return cells.insertNear(cell, "below").editor.focus();
    case "up": return cells.move(cell, -1);
    case "down": return cells.move(cell, 1);
    case "remove": return cells.remove(cell);
    case "cut": take(cell); return cells.remove(cell);
    case "copy": take(cell); return toast("Cell copied.");
    case "paste": return paste(console, cell);
    case "split": return cells.split(cell, cell.editor.cursor);
    case "join": return cells.join(cell);
    case "to-markdown": return void cells.convert(cell, "markdown");
    case "to-code": return void cells.convert(cell, "code");
    case "collapse": cell.setCollapsed(!cell.collapsed); return edited();
    case "copy-text": return void copy(cell.output.plain(), "Output");
    case "copy-markdown": return void copy(cell.output.markdown(), "Output");
  }
}

function stop(console: Console, cell: CellView): void {
  const { runs } = console;
  const session = console.link.session;
  if (cell.planned) runs.skip(cell);
  if (cell.next) runs.ask(() => session?.interrupt(cell.next!.run));
  if (cell.phase.phase === "running") runs.interrupt(cell);
  else if (cell.active && cell.run) runs.ask(() => session?.interrupt(cell.run));
}

function take(cell: CellView): void {
  try {
    ofBrowser.setItem(CLIPBOARD, JSON.stringify({ kind: cell.kind, code: cell.editor.code, language: cell.language }));
  } catch {
    toast("The browser's storage is full: the cell is not copied.");
  }
}

function paste(console: Console, cell: CellView): void {
  const taken = copied();
  if (!taken) return toast("No cell was cut or copied yet.");
  console.cells.show(console.cells.insertNear(cell, "below", newCell(taken.code, taken.kind, taken.language)));
}

function copied(): { kind: CellKind; code: string; language?: string } | null {
  try {
    const read = JSON.parse(ofBrowser.getItem(CLIPBOARD) ?? "null") as ReturnType<typeof copied>;
    return typeof read?.code === "string" ? read : null;
  } catch {
    return null; // written by something else
  }
}
