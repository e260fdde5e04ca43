// Files that become documents: notebooks and Python files.

import type { Console } from "./console.js";
import { h, toast } from "./dom.js";
import { fromPython, newDocument } from "./pure/document.js";
import { fromNotebook } from "./pure/notebook.js";

/** Lets the user choose a file to open. */
export function openFile(console: Console): void {
  const input = h("input", { type: "file", accept: ".py,.ipynb" });
  input.addEventListener("change", () => { if (input.files?.[0]) void importFile(console, input.files[0]); });
  input.click();
}

/** Opens a Python file or a notebook as a new document. */
export async function importFile(console: Console, file: File): Promise<void> {
  try {
    const text = await file.text();
    const title = file.name.replace(/\.(ipynb|py)$/, "");
    if (file.name.endsWith(".ipynb")) return await console.open(fromNotebook(text, title));
    const cells = fromPython(text);
    await console.open(newDocument(cells.length > 0 ? cells : [""], title));
  } catch (error) {
    toast(`${file.name} cannot be opened: ${(error as Error).message}`);
  }
}
