// The menu of the page, and what leaves the page: notebooks, Python files, Markdown.

import { html } from "lit-html";
import type { TemplateResult } from "lit-html";
import type { Console } from "./console.js";
import { copyCodeLink, showExamples, showKeys, showRename } from "./dialogs.js";
import { byId, download, toast } from "./dom.js";
import { showFiles } from "./files.js";
import { showFind } from "./find.js";
import { showHome } from "./home.js";
import { openFile } from "./openfile.js";
import { showOutline } from "./outline.js";
import { closePopup, popup } from "./popup.js";
import type { Entry } from "./popup.js";
import { references } from "./pure/comms.js";
import { newDocument, titleOf, toPython } from "./pure/document.js";
import type { Document } from "./pure/document.js";
import { languageOf } from "./pure/languages.js";
import { toNotebook } from "./pure/notebook.js";
import { bytes, count } from "./pure/words.js";
import { showProcesses } from "./processes.js";
import { chooseTheme, chosenTheme } from "./theme.js";
import type { Theme } from "./theme.js";
import { showVariables } from "./variables.js";

/** Shows the menu of the page under its button. */
export function showMenu(console: Console, button: HTMLElement): void {
  popup(byId("header"), button, "Menu", (item) => content(console, button, item));
}

function content(console: Console, button: HTMLElement, item: Entry): TemplateResult {
  const theme = (value: Theme, name: string) => html`
    <button type="button" role="menuitemradio" tabindex="-1" aria-checked=${chosenTheme() === value ? "true" : "false"}
      @click=${() => { chooseTheme(value); closePopup(); button.focus(); }}>${name}</button>`;
  const { canFiles, link } = console.overview;
  const online = link.kind === "open" && console.canRun();
  const stale = console.cells.all.filter((cell) => cell.stale !== null).length;
  const { title, usage } = console.overview;
  return html`
    <p class="about">${title}${usage ? html`<span>${bytes(usage.memory_bytes)} of ${bytes(usage.memory_limit_bytes)} memory</span>` : ""}</p>
    ${item("Rename …", () => showRename(console))}
    <hr role="separator">
    ${item("Restart the interpreter", () => console.restart(), { shown: online && console.rights.role === "owner", keys: "0 0" })}
    ${item("Restart and run all", () => console.restart(true), { shown: online && console.rights.role === "owner" })}
    ${item(`Run ${count(stale, "stale cell")}`, () => console.runs.runStale(), { shown: online && stale > 0 })}
    ${item("Clear all outputs", () => console.clearAll())}
    ${item("Copy all outputs as Markdown", () => copyAll(console))}
    <hr role="separator">
    ${item("New document", () => console.open(newDocument([""], "", console.newLanguage())))}
    ${item("Open a file …", () => openFile(console))}
    ${item("Home: documents and sessions …", () => showHome(console))}
    ${item("Examples …", () => showExamples(console))}
    ${item("Variables …", () => showVariables(console), { shown: online })}
    ${item("Processes …", () => showProcesses(console), { shown: link.kind === "open" })}
    ${item("Terminal", () => console.toggleTerminal(), { keys: "T" })}
    ${item("Files in the session …", () => showFiles(console), { shown: canFiles && online })}
    <hr role="separator">
    ${item("Save as notebook (.ipynb)", () => saveNotebook(console))}
    ${item("Save as Python (.py)", () => download(`${fileName(console)}.py`, toPython(withLanguages(console)), "text/x-python"))}
    ${item("Copy a link with the code", () => copyCodeLink(console))}
    <hr role="separator">
    ${item("Contents …", () => showOutline(console))}
    ${item("Find in all cells …", () => showFind(console), { keys: "F" })}
    ${item("Line numbers", () => console.toggleLineNumbers(), { checked: console.lineNumbers(), keys: "L" })}
    <div role="group" aria-label="Theme" class="themes">${theme("system", "Auto")}${theme("light", "Light")}${theme("dark", "Dark")}</div>
    ${item("Keys …", showKeys, { keys: "?" })}
    <hr role="separator">
    ${item("Start a new session", () => console.link.startNew())}
    ${item("End the session", () => { if (confirm("End this session for everybody? Its variables will be gone.")) void console.link.session?.end(); }, { shown: online && console.rights.role === "owner" })}`;
}

/** The document, of whose code cells each says its language: files do not know which one is the session's first. */
function withLanguages(console: Console): Document {
  const { document } = console;
  const offered = console.languages();
  return { ...document, cells: document.cells.map((cell) => (cell.kind === "code" ? { ...cell, language: languageOf(cell.language, offered) } : cell)) };
}

function fileName(console: Console): string {
  return titleOf(console.document).replace(/[^\p{L}\p{N}_-]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 60) || "cells";
}

function saveNotebook(console: Console): void {
  const language = console.overview.ready?.language ?? { name: "python", version: "3" };
  const { comms } = console.widgets;
  const shown = references(console.cells.all.map((cell) => cell.output.notebook()));
  const widgets = comms.notebookState(new Set(shown.flatMap((id) => [...comms.modelsFor(id)])));
  const text = toNotebook(console.document, (source) => console.cells.get(source.id)?.shown() ?? { execution_count: null, outputs: [] }, language, widgets);
  download(`${fileName(console)}.ipynb`, text, "application/x-ipynb+json");
  const omitted = console.cells.all.reduce((sum, cell) => sum + cell.output.omitted, 0);
  if (omitted > 0) toast(`The notebook has the first and the last lines of long output; ${count(omitted, "line")} between them are left out.`);
}

function copyAll(console: Console): void {
  const text = console.cells.all.filter((cell) => cell.editor.code.trim() !== "").map((cell) => {
    if (cell.kind !== "code") return cell.editor.code;
    const output = cell.output.markdown();
    return `\`\`\`${languageOf(cell.language, console.languages())}\n${cell.editor.code}\n\`\`\`${output ? `\n\n${output}` : ""}`;
  }).join("\n\n");
  navigator.clipboard.writeText(text).then(() => toast("Code and outputs copied as Markdown."), () => toast("The browser did not allow copying."));
}
