// The files dialog: what is in the working directory, to take out and to put in.

import { html, nothing } from "lit-html";
import type { Directory, DirectoryEntry } from "../client/src/index.js";
import type { Console } from "./console.js";
import { openDialog } from "./dialog.js";
import { download, icon } from "./dom.js";
import { bytes } from "./pure/words.js";

export function showFiles(console: Console): void {
  let directory: Directory | null = null;
  let failure = "";
  let taken = "";
  let refused: string[] = [];
  const session = console.link.session;
  if (!session) return;

  openDialog("Files", (redraw) => {
    const load = async (path: string) => {
      try {
        directory = await session.files.list(path);
        failure = "";
      } catch (error) {
        failure = `The files cannot be listed: ${(error as Error).message}`;
      }
      redraw();
    };
    const take = async (entry: DirectoryEntry) => {
      try {
        download(entry.name, await session.files.get(entry.path));
      } catch (error) {
        failure = `${entry.path} cannot be read: ${(error as Error).message}`;
        redraw();
      }
    };
    const put = async (event: Event) => {
      const input = event.target as HTMLInputElement;
      taken = "";
      refused = [];
      await console.upload([...input.files ?? []], directory?.path, (text, failed) => {
        if (failed) refused.push(text);
        else taken = text;
      });
      input.value = "";
      void load(directory?.path ?? "");
    };
    const entry = (entry: DirectoryEntry) => html`<li>
      <button type="button" class="item" ?disabled=${entry.kind !== "file" && entry.kind !== "directory"}
        @click=${() => void (entry.kind === "directory" ? load(entry.path) : take(entry))}>
        <strong>${entry.name}</strong><span>${entry.kind === "file" ? bytes(entry.size) : entry.kind}</span></button></li>`;
    if (!directory && !failure) void load("");
    return html`<p class="hint">The working directory of this session. Files dropped onto the page land here too.</p>
      <label class="field">Add files <input type="file" multiple @change=${put}></label>
      ${refused.map((text) => html`<p class="problem" role="alert">${text}</p>`)}
      <p class="hint" role="status">${taken}</p>
      ${failure ? html`<p class="problem" role="alert">${failure}</p>` : nothing}
      ${directory?.path ? html`<p class="path"><button type="button" class="bare" aria-label="Up to the directory above"
        @click=${() => void load(directory!.path.split("/").slice(0, -1).join("/"))}>${icon("up")}</button> ${directory.path}</p>` : nothing}
      <ul class="list">${directory?.entries.map(entry)}</ul>
      ${directory?.entries.length === 0 ? html`<p class="empty">Nothing here yet.</p>` : nothing}
      ${directory?.truncated ? html`<p class="hint">There is more than this list shows.</p>` : nothing}`;
  });
}
