// The menu, and taking documents in and out.

import { html, nothing, render } from "lit-html";
import type { Console } from "./console.js";
import { copyCodeLink, showDocuments, showExamples, showKeys } from "./dialogs.js";
import { byId, download, h, toast } from "./dom.js";
import { showFiles } from "./files.js";
import { references } from "./pure/comms.js";
import { fromNotebook, fromPython, newDocument, titleOf, toNotebook, toPython } from "./pure/document.js";
import { count } from "./pure/words.js";
import { chooseTheme, chosenTheme } from "./theme.js";
import type { Theme } from "./theme.js";

let open: (() => void) | null = null;

/** Shows the menu under a button. Arrow keys move in it, Escape leaves it. */
export function showMenu(console: Console, button: HTMLElement): void {
  if (open) return open();
  const root = h("div", { className: "menu", role: "menu" });
  root.setAttribute("aria-label", "Menu");
  const close = () => {
    root.remove();
    open = null;
    removeEventListener("pointerdown", outside, true);
  };
  const outside = (event: PointerEvent) => {
    if (!root.contains(event.target as Node) && !button.contains(event.target as Node)) close();
  };
  const item = (name: string, run: () => unknown, shown = true) => (shown ? html`
    <button type="button" role="menuitem" tabindex="-1" @click=${() => { close(); button.focus(); void run(); }}>${name}</button>` : nothing);
  const theme = (value: Theme, name: string) => html`
    <button type="button" role="menuitemradio" tabindex="-1" aria-checked=${chosenTheme() === value ? "true" : "false"}
      @click=${() => { chooseTheme(value); close(); button.focus(); }}>${name}</button>`;
  const { canFiles, ready, link } = console.overview;
  const online = link.kind === "open" && console.canRun();
  render(html`
    ${item("Restart the interpreter", () => console.restart(), online && ready?.role === "owner")}
    ${item("Restart and run all", () => console.restart(true), online && ready?.role === "owner")}
    ${item("Clear all outputs", () => console.clearAll())}
    ${item("Copy all outputs as Markdown", () => copyAll(console))}
    <hr role="separator">
    ${item("New document", () => console.open(newDocument([""])))}
    ${item("Open a file …", () => openFile(console))}
    ${item("Documents …", () => showDocuments(console))}
    ${item("Examples …", () => showExamples(console))}
    ${item("Variables …", async () => (await import("./variables.js")).showVariables(console), online)}
    ${item("Files in the session …", () => showFiles(console), canFiles && online)}
    <hr role="separator">
    ${item("Save as notebook (.ipynb)", () => saveNotebook(console))}
    ${item("Save as Python (.py)", () => download(`${fileName(console)}.py`, toPython(console.document), "text/x-python"))}
    ${item("Copy a link with the code", () => copyCodeLink(console))}
    <hr role="separator">
    <div role="group" aria-label="Theme" class="themes">${theme("system", "Auto")}${theme("light", "Light")}${theme("dark", "Dark")}</div>
    ${item("Keys …", showKeys)}
    <hr role="separator">
    ${item("Start a new session", () => console.link.startNew())}
    ${item("End the session", () => { if (confirm("End this session for everybody? Its variables will be gone.")) void console.link.session?.end(); }, online && ready?.role === "owner")}`, root);
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
  // In the header: it belongs to the button there.
  byId("header").append(root);
  addEventListener("pointerdown", outside, true);
  open = close;
  items()[0]?.focus();
}

function fileName(console: Console): string {
  return titleOf(console.document).replace(/[^\p{L}\p{N}_-]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 60) || "cells";
}

function saveNotebook(console: Console): void {
  const language = console.overview.ready?.language ?? { name: "python", version: "3" };
  const { comms } = console.widgets;
  const shown = references(console.cells.all.map((cell) => cell.output.notebook()));
  const widgets = comms.notebookState(new Set(shown.flatMap((id) => [...comms.modelsFor(id)])));
  const text = toNotebook(console.document, (source) => {
    const cell = console.cells.get(source.id);
    const count = cell?.count ?? null;
    const outputs = (cell?.output.notebook() ?? []).map((output) => ("execution_count" in output ? { ...output, execution_count: count } : output));
    return { execution_count: count, outputs };
  }, language, widgets);
  download(`${fileName(console)}.ipynb`, text, "application/x-ipynb+json");
  const omitted = console.cells.all.reduce((sum, cell) => sum + cell.output.omitted, 0);
  if (omitted > 0) toast(`The notebook has the first and the last lines of long output; ${count(omitted, "line")} between them are left out.`);
}

function copyAll(console: Console): void {
  const text = console.cells.all.filter((cell) => cell.editor.code.trim() !== "").map((cell) => {
    const output = cell.output.markdown();
    return `\`\`\`python\n${cell.editor.code}\n\`\`\`${output ? `\n\n${output}` : ""}`;
  }).join("\n\n");
  navigator.clipboard.writeText(text).then(() => toast("Code and outputs copied as Markdown."), () => toast("The browser did not allow copying."));
}

function openFile(console: Console): void {
  const input = h("input", { type: "file", accept: ".py,.ipynb" });
  input.addEventListener("change", () => { if (input.files?.[0]) void importFile(console, input.files[0]); });
  input.click();
}

/** Opens a Python file or a notebook as a new document. */
export async function importFile(console: Console, file: File): Promise<void> {
  try {
    const text = await file.text();
    const codes = file.name.endsWith(".ipynb") ? fromNotebook(text) : fromPython(text);
    await console.open(newDocument(codes.length > 0 ? codes : [""], file.name.replace(/\.(ipynb|py)$/, "")));
  } catch (error) {
    toast(`${file.name} cannot be opened: ${(error as Error).message}`);
  }
}
