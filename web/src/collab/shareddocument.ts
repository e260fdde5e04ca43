// The document that all participants of a session write together: a Yjs document that the gateway keeps. Loaded when
// somebody else is in the session, or when the session has a document already.
//
//   waiting ─► (POST: make the document, unless it is there) ─► connecting ─sync─► together ⇄ apart ─► over | full
//
// A page that holds the session's text makes the document at once. Another one waits until there is one, and makes
// it from what it shows if nobody has after some seconds. The console owns it and ends it with its session.

import { WebsocketProvider } from "y-websocket";
import { readAuthMessage } from "y-protocols/auth";
import * as Y from "yjs";
import type { CellView } from "../cellview.js";
import { CellView as View } from "../cellview.js";
import type { Console } from "../console.js";
import { keptSession } from "../credentials.js";
import { toast } from "../dom.js";
import type { Document } from "../pure/document.js";
import { sentence } from "../pure/words.js";
import { Binding } from "./binding.js";
import { Cursors } from "./cursors.js";
import { showDeleted } from "./deleted.js";
import { Notes } from "./notes.js";
import { Presence } from "./presence.js";
import { adoptLooks } from "./looks.js";
import { DocumentClose } from "./types.js";
import type { SeedCell } from "./types.js";

/** How long a page that does not hold the session's text waits for one that does. */
const WAIT_MS = 5000;
const RETRY_MS = 3000;
/** After these a connection is not made again: it would end the same way. */
const FINAL: ReadonlySet<number> = new Set(Object.values(DocumentClose));

export class SharedDocument {
  readonly #console: Console;
  readonly #session: string;
  readonly #notes: Notes;
  #provider: WebsocketProvider | null = null;
  #binding: Binding | null = null;
  #cursors: Cursors | null = null;
  presence: Presence | null = null;
  #seeded = new Map<string, string>();
  #there: () => void = () => {};
  readonly #exists = new Promise<void>((resolve) => { this.#there = resolve; });
  #ended = false;
  #denied = false;
  /** The gateway has taken what this page has written. */
  #synced = false;
  #full = false;

  constructor(console: Console, session: string) {
    this.#console = console;
    this.#session = session;
    this.#notes = new Notes(console, {
      rename: () => this.presence?.rename(),
      retry: () => { this.#full = false; this.#provider?.connect(); this.#draw(); },
    });
    adoptLooks();
    void this.#begin();
  }

  /** The gateway says that there is one. */
  exists(): void { this.#there(); }

  /** Whether the page shows the shared document by now. */
  get open(): boolean { return this.#binding !== null; }

  /** The user has written in a cell. */
  typed(cell: CellView): void { this.#binding?.typed(cell); }

  setTitle(title: string): void {
    if (this.#console.canEdit()) this.#binding && this.#provider!.doc.getMap("meta").set("title", title);
  }

  /** What this participant may do has changed, or what it is called, or its token. */
  refresh(): void {
    const token = keptSession()?.token;
    if (this.#provider && token) this.#provider.params = { token };
    this.presence?.tellWho();
  }

  /** Takes a file's cells in, once the user has said how; says whether it did. */
  async take(document: Document): Promise<boolean> {
    if (!this.#binding || !this.#console.canEdit()) return false;
    const where = await this.#notes.askWhere(document);
    if (where === "nowhere" || !this.#binding) return true;
    this.#binding.take(document.cells, where === "instead");
    if (where === "instead" && document.title) this.setTitle(document.title);
    return true;
  }

  /** The session is over, or left: the cells are this page's alone. */
  end(): void {
    this.#ended = true;
    this.#there();
    this.#detach();
    this.#notes.clear();
  }

  async #begin(): Promise<void> {
    let holds = this.#console.holdsText;
    while (!this.#ended) {
      if (!holds) await Promise.race([this.#exists, new Promise((resolve) => setTimeout(resolve, WAIT_MS))]);
      if (this.#ended) return;
      const made = this.#console.canEdit() ? await this.#seed() : "wait";
      if (this.#ended || made === "never") return;
      if (made === "there") break;
      if (made === "wait") {
        await this.#exists;
        break;
      }
      holds = false;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    if (!this.#ended) this.#attach();
  }

  /** Asks the gateway to make the document of what this page shows, unless it has cells. */
  async #seed(): Promise<"there" | "wait" | "again" | "never"> {
    const cells = this.#console.cells.all.filter((cell) => cell !== this.#console.cells.aside);
    const seeds = cells.map((cell): SeedCell => ({ id: cell.id, kind: cell.kind, ...(cell.language !== undefined && { language: cell.language }), source: cell.editor.code.replace(/\r\n?/g, "\n") }));
    const { title } = this.#console.document;
    try {
      const response = await fetch(new URL(`v1/sessions/${this.#session}/document`, document.baseURI), {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${keptSession()?.token ?? ""}` },
        body: JSON.stringify({ ...(title && { title }), cells: seeds }),
      });
      if (response.status === 404 || response.status === 405) return "never"; // a gateway without shared documents
      if (response.status === 403) return "wait";
      if (!response.ok) {
        const { detail } = await response.json().catch(() => ({})) as { detail?: string };
        if (response.status === 429 || response.status >= 500) return "again";
        toast(`The document cannot be shared: ${sentence(detail ?? `the gateway answered ${response.status}`)}`);
        return "never";
      }
      const { seeded } = await response.json() as { seeded: boolean };
      if (seeded) this.#seeded = new Map(seeds.map(({ id, source }) => [id, source]));
      return "there";
    } catch {
      return "again"; // the gateway cannot be reached now
    }
  }

  #attach(): void {
    const doc = new Y.Doc();
    const address = new URL("v1/documents", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const provider = new WebsocketProvider(address.href, this.#session, doc, {
      params: { token: keptSession()?.token ?? "" },
      disableBc: true, // tabs of one browser may have different rights
      shouldReconnect: (event) => !FINAL.has(event.code),
      connect: false,
    });
    this.#provider = provider;
    provider.messageHandlers[2] = (_encoder, decoder) => readAuthMessage(decoder, doc, (_doc, reason) => this.#onDenied(reason));
    const { awareness } = provider;
    this.#cursors = new Cursors(awareness);
    this.presence = new Presence(this.#console, awareness, this.#cursors);
    this.#binding = null;
    doc.getMap("meta").observe(() => this.#readTitle());
    provider.on("sync", (synced) => this.#onSync(synced));
    provider.on("status", ({ status }) => { if (status === "disconnected") this.#onApart(); });
    provider.on("closed", ({ code }) => this.#onClosed(code));
    provider.connect();
  }

  #detach(): void {
    this.#binding?.end();
    this.#binding = null;
    this.presence?.end();
    this.presence = null;
    this.#cursors?.end();
    this.#cursors = null;
    this.#provider?.destroy();
    this.#provider?.doc.destroy();
    this.#provider = null;
    this.#synced = false;
    this.#draw();
  }

  #onSync(synced: boolean): void {
    this.#synced = synced;
    if (!synced || !this.#provider || this.#ended) return this.#draw();
    if (!this.#binding) this.#bind();
    else {
      this.#binding.allSent();
      this.#binding.reconcile();
    }
    this.presence?.connected();
    this.#draw();
  }

  /** The document is here for the first time. */
  #bind(): void {
    const { cells } = this.#console;
    const console = this.#console;
    const synced = () => this.#synced;
    const binding = new Binding(this.#provider!.doc, {
      cells, session: this.#session, synced,
      canEdit: () => console.canEdit(),
      makeCell: (source) => {
        const cell = new View(source, console);
        cell.editor.setReadOnly(!console.canEdit());
        return cell;
      },
      arranged: () => { this.presence?.draw(); console.arranged(); },
      deleted: (cell) => showDeleted(console, cell, this.presence?.whoDeleted(cell.id) ?? null),
      selected: (cell) => this.presence?.select(cell.id),
    }, this.#cursors!);
    this.#binding = binding;
    this.presence!.binding = binding;
    binding.begin(this.#seeded);
    this.#seeded.clear();
    this.#readTitle();
    if (cells.selected) this.presence!.select(cells.selected.id);
    this.#notes.askName();
    for (const cell of cells.all) cell.draw();
  }

  #readTitle(): void {
    const title = this.#provider?.doc.getMap("meta").get("title");
    if (this.#binding && typeof title === "string") this.#console.takeTitle(title);
  }

  #onApart(): void {
    this.#synced = false;
    this.presence?.apart();
    this.#draw();
  }

  #onClosed(code: number): void {
    if (code === DocumentClose.DocumentFull) this.#full = true;
    // The session's own connection says why; the cells stay.
    else this.#detach();
    this.#draw();
  }

  /** The gateway has dropped a change of this page: what the page shows is not what the others have. */
  #onDenied(reason: string): void {
    if (!this.#denied) toast(`Your change was not taken: ${sentence(reason || "you may not edit this document")}`);
    this.#denied = true;
    queueMicrotask(() => {
      if (this.#ended || !this.#provider) return;
      for (const cell of this.#console.cells.all) cell.unsent = false;
      this.#detach();
      this.#attach();
    });
  }

  #draw(): void {
    this.#notes.show({ apart: this.#binding !== null && !this.#synced && !this.#full, full: this.#full });
    this.#console.redraw();
  }
}

