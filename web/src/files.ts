// The panel of files: a tree of the session's working directory, to put in, take out, look at, move and remove.

import { html, nothing, render } from "lit-html";
import type { TemplateResult } from "lit-html";
import type { DirectoryEntry, Session } from "../client/src/core.js";
import type { Console } from "./console.js";
import { ask, onChange } from "./dialog.js";
import { announce, download, h, icon, toast } from "./dom.js";
import { FileTree, parentOf, problemOfName, stepFrom, typedTo } from "./pure/filetree.js";
import type { Row } from "./pure/filetree.js";
import { bytes, count, moment, sentence } from "./pure/words.js";
import { preview } from "./preview.js";
import { openSide } from "./side.js";
import type { Side } from "./side.js";
import { Uploads } from "./uploads.js";
import type { Upload } from "./uploads.js";

const PAUSE_MS = 500; // between two looks: a slider that is moved makes the session idle many times a second
const TYPING_MS = 700; // within which letters belong to one name
const MOST_LOOKS = 30; // folders that are listed again when a cell has ended; the others when they are opened anew

/** What a page keeps of the files while the panel is closed: of one session. */
interface Kept { session: Session | null; tree: FileTree; uploads: Uploads; panel: FilesPanel | null }

const kept = new WeakMap<Console, Kept>();

export function showFiles(console: Console): void {
  const held = kept.get(console) ?? keep(console);
  kept.set(console, held);
  held.panel = new FilesPanel(console, held);
}

function keep(console: Console): Kept {
  const held: Kept = {
    session: null, tree: new FileTree(), panel: null,
    uploads: new Uploads({
      get session() { return console.link.session; },
      changed: () => held.panel?.draw(),
      taken: (upload, text) => {
        held.tree.expect(upload.path);
        if (held.panel) held.panel.taken(upload, text);
        else toast(text);
      },
      failed: (upload) => (held.panel ? announce(upload.problem) : toast(upload.problem)),
    }),
  };
  return held;
}

class FilesPanel {
  readonly #console: Console;
  readonly #held: Kept;
  readonly #side: Side;
  /** The path of the row that the keyboard is on. */
  #current = "";
  #selected: string | null = null;
  #renaming: string | null = null;
  /** The folder that a drop would go to; `null`: nothing is dragged over the panel. */
  #target: string | null = null;
  /** The file that is shown in the place of the tree, and what is shown of it. */
  #shown: { entry: DirectoryEntry; content: unknown; problem: string } | null = null;
  #listing = false;
  #problem = "";
  /** Why the working directory could not be listed. */
  #failure = "";
  #typed = "";
  #typedAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  /** A cell has ended while a name was typed. */
  #isOld = false;

  constructor(console: Console, held: Kept) {
    this.#console = console;
    this.#held = held;
    const stops = [
      console.tables.onIdle(() => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => void this.#lookAgain(), PAUSE_MS);
      }),
      onChange(() => this.#follow()),
    ];
    this.#side = openSide("Files", () => {
      this.#closed = true;
      clearTimeout(this.#timer);
      for (const stop of stops) stop();
      if (held.panel === this) held.panel = null;
    });
    const { content } = this.#side;
    content.addEventListener("dragover", (event) => this.#dragged(event));
    content.addEventListener("dragleave", (event) => { if (!content.contains(event.relatedTarget as Node | null)) this.#aim(null); });
    content.addEventListener("drop", (event) => void this.#dropped(event));
    this.draw();
    this.#follow();
    // What was listed before may have changed.
    if (this.#hindrance() === null) void this.#look();
  }

  get #tree(): FileTree { return this.#held.tree; }

  get #rows(): Row[] { return this.#tree.rows(); }

  // --- the session -------------------------------------------------------------------------------

  /** Why there is nothing to be done with files, as a sentence; nothing where there is. */
  #hindrance(): string | null {
    const { link, canFiles, ready } = this.#console.overview;
    if (link.kind === "over") return "The session has ended, and its files with it. “Start a new session” in the menu makes another one.";
    if (ready?.role === "viewer") return "Viewers see no files. Ask an owner for a link that lets you edit.";
    if (!canFiles) return "This session gives no files out.";
    if (link.kind !== "open") return "There is no connection. The files come back with it.";
    return null;
  }

  /** Lists the files of a session that is new to the panel. */
  #follow(): void {
    const { session } = this.#console.link;
    if (this.#hindrance() === null && session && session !== this.#held.session) {
      this.#held.session = session;
      this.#held.tree = new FileTree();
      this.#selected = this.#renaming = this.#shown = null;
      this.#problem = this.#failure = "";
      void this.#look();
    } else if (this.#hindrance() === null && !this.#tree.isListed && !this.#listing && this.#failure === "") void this.#look();
    this.draw();
  }

  /** Lists what is seen of the tree anew. */
  async #look(): Promise<void> {
    if (this.#listing) return;
    this.#listing = true;
    this.draw();
    for (const path of this.#tree.seenFolders.slice(0, MOST_LOOKS)) await this.#list(path);
    this.#listing = false;
    if (!this.#closed) this.draw();
  }

  async #lookAgain(): Promise<void> {
    if (this.#hindrance() !== null) return;
    // A row that is typed in stays where it is.
    if (this.#renaming !== null) this.#isOld = true;
    else await this.#look();
  }

  async #list(path: string): Promise<void> {
    const { session, tree } = this.#held;
    if (!session) return;
    try {
      const { entries, truncated } = await session.files.list(path);
      tree.take(path, entries, truncated);
      if (path === "") this.#failure = "";
    } catch (error) {
      const text = sentence((error as Error).message);
      if (path === "") this.#failure = `The files cannot be listed: ${text}`;
      else {
        // It is gone, or became something else: what is above it says so.
        tree.setOpen(path, false);
        if (tree.find(path)) this.#problem = `${path} cannot be listed: ${text}`;
      }
    }
  }

  // --- what is drawn -----------------------------------------------------------------------------

  draw(): void {
    if (this.#closed) return;
    const { content } = this.#side;
    const hadFocus = content.querySelector("[role=tree]")?.contains(document.activeElement) ?? false;
    const hindrance = this.#hindrance();
    if (this.#shown && !hindrance) {
      render(this.#preview(this.#shown), content);
      return;
    }
    const rows = this.#rows;
    if (!rows.some(({ entry }) => entry.path === this.#current)) this.#current = rows[0]?.entry.path ?? "";
    if (this.#selected !== null && !this.#tree.find(this.#selected)) this.#selected = null;
    const isOver = this.#console.overview.link.kind === "over";
    const said = this.#listing && rows.length === 0 ? "Reading the files …" : "";
    render(html`
      ${hindrance ? html`<p class=${isOver ? "empty" : "hint"} role="status">${hindrance}</p>` : this.#bar()}
      ${this.#failure && !hindrance ? html`<p class="problem" role="alert">${this.#failure}</p>
        <p><button type="button" @click=${() => void this.#look()}>Try again</button></p>` : nothing}
      ${this.#problem && !hindrance ? html`<p class="problem" role="alert">${this.#problem}</p>` : nothing}
      ${this.#uploads()}
      <p class="hint" role="status">${said}</p>
      ${rows.length === 0 || isOver ? nothing : html`
        <div class=${this.#target === "" ? "tree aimed" : "tree"} role="tree" aria-label="Files in the session" @keydown=${(event: KeyboardEvent) => this.#key(event)}
          @focusin=${(event: Event) => { this.#current = (event.target as HTMLElement).dataset.path ?? this.#current; }}>
          ${rows.map((row) => this.#row(row))}</div>`}
      ${rows.length === 0 && this.#tree.isListed && !hindrance && !this.#failure
        ? html`<p class="empty">Nothing here yet. Upload files, drop them onto this panel, or have code write some.</p>` : nothing}
      ${this.#tree.seenFolders.filter((path) => this.#tree.isTruncated(path)).map((path) => html`
        <p class="hint">${path || "The working directory"} has more than the 10,000 entries that are listed.</p>`)}
      ${hindrance || rows.length === 0 ? nothing : html`<p class="hint">Files dropped onto a folder go into it.</p>`}`, content);
    const input = content.querySelector<HTMLInputElement>("input.rename");
    if (input && document.activeElement !== input) this.#beginTyping(input);
    else if (hadFocus && !input) {
      // Where no row is left, the keyboard stays in the panel.
      if (content.querySelector("[role=tree]")) this.#focusCurrent();
      else document.getElementById("side-title")?.focus();
    }
  }

  #bar(): TemplateResult {
    const entry = this.#selected === null ? undefined : this.#tree.find(this.#selected);
    const folder = this.#folder();
    const isFile = entry?.kind === "file";
    // They are there before a file is chosen: the rows stay where they are for a second click.
    const button = (name: string, key: string, can: boolean, act: (entry: DirectoryEntry) => unknown) => html`
      <button type="button" ?disabled=${!can} title=${key ? `${name} (${key})` : name} @click=${() => { if (entry) void act(entry); }}>${name}</button>`;
    return html`<div class="filebar">
      <button type="button" @click=${() => this.#choose()} title=${`Put files into ${folder || "the working directory"}`}>${icon("up")}Upload</button>
      <button type="button" @click=${() => void this.#newFolder()} title=${`Make a folder in ${folder || "the working directory"}`}>${icon("add")}New folder</button>
      <button type="button" class="bare" aria-label="List the files again" title="List the files again" @click=${() => void this.#look()}>${icon("restart")}</button></div>
      <div class="filebar" role="group" aria-label=${entry ? `Actions for ${entry.name}` : "Actions for the file that is chosen"}>
        ${button("Open", "Enter", isFile, (one) => this.#open(one))}
        ${button("Download", "", isFile, (one) => this.#download(one))}
        ${button("Rename", "F2", entry !== undefined, (one) => this.#rename(one.path))}
        ${button("Delete", "Del", entry !== undefined, (one) => this.#remove(one))}</div>`;
  }

  #row(row: Row): TemplateResult {
    const { entry, level, place, of, open, mark, more } = row;
    const { path, name, kind } = entry;
    const focusable = path === this.#current ? "0" : "-1";
    if (more > 0) {
      return html`<div role="treeitem" class="row more" aria-level=${level} aria-posinset=${place} aria-setsize=${of} aria-selected="false" tabindex=${focusable} data-path=${path} .style=${indent(level)}
        @click=${() => { this.#tree.showMore(path.slice(0, -1)); this.draw(); }}>Show more of ${count(more, "entry", "entries")}</div>`;
    }
    const about = [kind === "file" ? bytes(entry.size) : kind === "directory" ? "" : kind, entry.modified > 0 ? `changed ${moment(entry.modified)}` : ""].filter(Boolean).join(", ");
    return html`<div role="treeitem" class=${this.#target !== null && this.#target !== "" && this.#target === path ? "row aimed" : "row"}
        aria-level=${level} aria-posinset=${place} aria-setsize=${of} aria-selected=${path === this.#selected ? "true" : "false"}
        aria-expanded=${open === null ? nothing : String(open)} tabindex=${focusable} data-path=${path} .style=${indent(level)} title=${about}
        @click=${(event: MouseEvent) => this.#clicked(event, row)} @dblclick=${() => { if (kind === "file") void this.#open(entry); }}>
      <span class="twist" aria-hidden="true">${open === null ? "" : "›"}</span>${icon(kind === "directory" ? "folder" : "file")}
      ${path === this.#renaming
        ? html`<input class="rename" aria-label=${`New name of ${name}`} maxlength="255" value=${name} @keydown=${(event: KeyboardEvent) => this.#typing(event)} @blur=${(event: Event) => void this.#renamed(event.target as HTMLInputElement)} @click=${(event: Event) => event.stopPropagation()}>`
        : html`<span class="name">${name}</span>`}
      ${mark ? html`<span class="mark-new">${mark}</span>` : nothing}
      <span class="size">${kind === "file" ? bytes(entry.size) : kind === "directory" ? "" : kind}</span></div>`;
  }

  #uploads(): TemplateResult | typeof nothing {
    const { uploads } = this.#held;
    if (uploads.all.length === 0) return nothing;
    return html`<ul class="uploads" aria-label="Uploads">${uploads.all.map((upload) => html`<li>
      ${upload.state === "failed" ? html`<span class="problem" role="alert">${upload.problem}</span>` : html`
        <span class="name">${upload.path}</span>
        <progress aria-label=${`Upload of ${upload.file.name}`} max=${Math.max(1, upload.file.size)} .value=${upload.sent}></progress>
        <span class="size">${upload.state === "waits" ? "waits" : `${Math.floor(100 * upload.sent / Math.max(1, upload.file.size))} %`}</span>`}
      <button type="button" class="bare" aria-label=${upload.state === "failed" ? `Take ${upload.file.name} off the list` : `Cancel the upload of ${upload.file.name}`}
        @click=${() => uploads.drop(upload)}>${icon("close")}</button></li>`)}</ul>`;
  }

  #preview({ entry, content, problem }: { entry: DirectoryEntry; content: unknown; problem: string }): TemplateResult {
    return html`<p><button type="button" class="back" @click=${() => this.#back()}>All files</button></p>
      <p class="hint">${entry.path} · ${bytes(entry.size)}${entry.modified > 0 ? ` · changed ${moment(entry.modified)}` : ""}</p>
      <div class="filebar"><button type="button" @click=${() => void this.#download(entry)}>${icon("save")}Download</button></div>
      ${problem ? html`<p class="problem" role="alert">${problem}</p>` : content ?? html`<p class="hint" role="status">Reading the file …</p>`}`;
  }

  // --- the keyboard and the pointer ----------------------------------------------------------------

  #focusCurrent(): void {
    this.#side.content.querySelector<HTMLElement>(`[role=treeitem][tabindex="0"]`)?.focus({ preventScroll: false });
  }

  /** Goes to a row; it was then looked at. */
  #go(path: string): void {
    this.#current = path;
    this.#selected = this.#tree.find(path) ? path : null;
    this.#tree.seen(path);
    this.draw();
    this.#focusCurrent();
  }

  #clicked(event: MouseEvent, { entry, open }: Row): void {
    if (entry.path === this.#renaming) return;
    // The second click of a double one opens a file, and does not close a folder again.
    if (open !== null && event.detail < 2) void this.#toggle(entry.path, !open);
    this.#go(entry.path);
  }

  async #toggle(path: string, open: boolean): Promise<void> {
    this.#tree.setOpen(path, open);
    this.draw();
    if (!open) return;
    await this.#list(path);
    this.draw();
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || this.#renaming !== null) return;
    const rows = this.#rows;
    const at = rows.findIndex(({ entry }) => entry.path === this.#current);
    const row = rows[at];
    if (!row) return;
    const { entry } = row;
    const step = stepFrom(rows, at, event.key);
    if (step) {
      if ("to" in step) this.#go(rows[step.to]!.entry.path);
      else void this.#toggle("open" in step ? step.open : step.close, "open" in step);
    } else if (event.key === "Enter" || event.key === " ") {
      if (row.more > 0) { this.#tree.showMore(entry.path.slice(0, -1)); this.draw(); }
      else if (row.open !== null) void this.#toggle(entry.path, !row.open);
      else if (entry.kind === "file" && event.key === "Enter") void this.#open(entry);
      else this.#go(entry.path);
    } else if (event.key === "F2" && row.more === 0) this.#rename(entry.path);
    else if (event.key === "Delete" && row.more === 0) void this.#remove(entry);
    else if ([...event.key].length === 1) {
      const now = Date.now();
      this.#typed = now - this.#typedAt < TYPING_MS ? this.#typed + event.key : event.key;
      this.#typedAt = now;
      this.#go(rows[typedTo(rows, at, this.#typed)]!.entry.path);
    } else return;
    event.preventDefault();
  }

  /** The folder of a file that is dragged over a row; "" beside the rows. */
  #folderAt(target: EventTarget | null): string {
    const path = (target as HTMLElement | null)?.closest<HTMLElement>("[role=treeitem]")?.dataset.path;
    if (path === undefined) return "";
    return this.#tree.find(path)?.kind === "directory" ? path : parentOf(path);
  }

  #dragged(event: DragEvent): void {
    if (!event.dataTransfer?.types.includes("Files")) return;
    // What the page says of a drop is about the whole page.
    event.preventDefault();
    event.stopPropagation();
    delete document.documentElement.dataset.drop;
    if (this.#shown || this.#hindrance() !== null) return;
    this.#aim(this.#folderAt(event.target));
  }

  #aim(folder: string | null): void {
    if (this.#target === folder) return;
    this.#target = folder;
    this.draw();
  }

  async #dropped(event: DragEvent): Promise<void> {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    delete document.documentElement.dataset.drop;
    const folder = this.#folderAt(event.target);
    this.#aim(null);
    if (this.#hindrance() !== null) return;
    const items = [...event.dataTransfer.items].filter(({ kind }) => kind === "file");
    const isFolder = (item: DataTransferItem) => item.webkitGetAsEntry?.()?.isDirectory ?? false;
    const folders = items.filter(isFolder).length;
    const files = items.filter((item) => !isFolder(item)).map((item) => item.getAsFile()).filter((file) => file !== null);
    this.#problem = folders > 0 ? "Folders cannot be dropped. Make a folder here, and drop the files that are in yours onto it." : "";
    await this.#put(files, folder);
  }

  // --- what is done --------------------------------------------------------------------------------

  /** The folder that new things go into: the selected one, or that of the selected file. */
  #folder(): string {
    const entry = this.#selected === null ? undefined : this.#tree.find(this.#selected);
    return entry ? (entry.kind === "directory" ? entry.path : parentOf(entry.path)) : "";
  }

  #choose(): void {
    const folder = this.#folder();
    const input = h("input", { type: "file", multiple: true });
    input.addEventListener("change", () => void this.#put([...input.files ?? []], folder));
    input.click();
  }

  async #put(files: File[], folder: string): Promise<void> {
    this.draw();
    if (files.length === 0) return;
    // A folder that was never opened may hold what would be replaced.
    await this.#list(folder);
    const names = this.#tree.names(folder);
    const there = files.filter(({ name }) => names.has(name));
    if (there.length > 0) {
      const what = there.length === 1 ? `${there[0]!.name} is there already.` : `${count(there.length, "file")} of these are there already.`;
      if (!await ask("Replace?", `${what} What is there is lost.`, "Replace")) return this.draw();
    }
    if (folder !== "") this.#tree.setOpen(folder, true);
    this.#held.uploads.add(files, folder);
  }

  /** A file is in its place. */
  taken(upload: Upload, text: string): void {
    announce(text);
    void this.#list(parentOf(upload.path)).then(() => this.draw());
  }

  /** Does something with a file, and lists the folder that it is in anew. Answers whether it was done. */
  async #change(what: string, folder: string, change: (session: Session) => Promise<unknown>): Promise<boolean> {
    const { session } = this.#held;
    if (!session) return false;
    this.#problem = "";
    try {
      await change(session);
      return true;
    } catch (error) {
      this.#problem = `${what}: ${sentence((error as Error).message)}`;
      return false;
    } finally {
      await this.#list(folder);
      this.draw();
    }
  }

  async #newFolder(): Promise<void> {
    const folder = this.#folder();
    if (folder !== "" && !this.#tree.isOpen(folder)) await this.#toggle(folder, true);
    const names = this.#tree.names(folder);
    let name = "New folder";
    for (let number = 2; names.has(name); number += 1) name = `New folder ${number}`;
    const path = folder ? `${folder}/${name}` : name;
    this.#tree.expect(path);
    if (await this.#change("The folder was not made", folder, (session) => session.files.makeDirectory(path))) this.#rename(path);
  }

  #rename(path: string): void {
    if (!this.#tree.find(path)) return;
    this.#current = this.#selected = path;
    this.#renaming = path;
    this.draw();
  }

  /** Selects the name without what follows its last dot. */
  #beginTyping(input: HTMLInputElement): void {
    input.value = input.defaultValue;
    input.focus();
    const dot = input.value.lastIndexOf(".");
    input.setSelectionRange(0, dot > 0 ? dot : input.value.length);
  }

  #typing(event: KeyboardEvent): void {
    event.stopPropagation();
    const input = event.target as HTMLInputElement;
    if (event.key === "Escape") {
      // Of the panel, Escape leaves the typing alone.
      event.preventDefault();
      this.#endTyping();
    } else if (event.key === "Enter") {
      event.preventDefault();
      void this.#renamed(input);
    }
  }

  #endTyping(): void {
    this.#renaming = null;
    this.draw();
    this.#focusCurrent();
    if (this.#isOld) void this.#look();
    this.#isOld = false;
  }

  async #renamed(input: HTMLInputElement): Promise<void> {
    const path = this.#renaming;
    if (path === null) return;
    const folder = parentOf(path);
    const name = input.value;
    const to = folder ? `${folder}/${name}` : name;
    const problem = name === input.defaultValue ? null : problemOfName(name);
    this.#problem = problem ?? "";
    this.#endTyping();
    if (problem !== null || to === path) return;
    this.#tree.expect(to);
    const wasOpen = this.#tree.isOpen(path);
    if (!await this.#change(`${input.defaultValue} was not renamed`, folder, (session) => session.files.move(path, to))) return;
    this.#go(to);
    if (wasOpen) await this.#toggle(to, true);
  }

  async #remove({ path, name, kind }: DirectoryEntry): Promise<void> {
    const isFolder = kind === "directory";
    const text = isFolder ? "The folder goes with everything in it. This cannot be taken back." : "This cannot be taken back.";
    const agreed = await ask(`Delete ${name}?`, text, "Delete");
    if (agreed) {
      const rows = this.#rows;
      const at = rows.findIndex(({ entry }) => entry.path === path);
      const level = rows[at]?.level ?? 1;
      const next = rows.slice(at + 1).find((row) => row.level <= level) ?? rows[at - 1];
      if (await this.#change(`${name} was not deleted`, parentOf(path), (session) => session.files.remove(path, { recursive: isFolder }))) {
        this.#tree.forget(path);
        this.#current = next?.entry.path ?? "";
        announce(`${name} is deleted.`);
        this.draw();
      }
    }
    this.#focusCurrent();
  }

  async #download({ path, name }: DirectoryEntry): Promise<void> {
    const { session } = this.#held;
    try {
      if (session) download(name, await session.files.get(path));
    } catch (error) {
      const text = `${name} cannot be read: ${sentence((error as Error).message)}`;
      if (this.#shown) this.#shown.problem = text;
      else this.#problem = text;
      this.draw();
    }
  }

  async #open(entry: DirectoryEntry): Promise<void> {
    const { session } = this.#held;
    if (!session) return;
    this.#go(entry.path);
    const shown: { entry: DirectoryEntry; content: unknown; problem: string } = { entry, content: undefined, problem: "" };
    this.#shown = shown;
    this.#side.setTitle(entry.name);
    this.draw();
    this.#side.content.querySelector<HTMLElement>(".back")?.focus();
    try {
      shown.content = await preview(this.#console, session, entry);
    } catch (error) {
      shown.problem = `${entry.name} cannot be read: ${sentence((error as Error).message)}`;
    }
    if (this.#shown === shown) this.draw();
  }

  #back(): void {
    this.#shown = null;
    this.#side.setTitle("Files");
    this.draw();
    this.#focusCurrent();
  }
}

/** Deeper folders than twelve stay in the panel. The policy of the page allows this as a property alone. */
function indent(level: number): string { return `padding-left: ${(0.5 + 1.1 * (Math.min(level, 12) - 1)).toFixed(1)}rem`; }
