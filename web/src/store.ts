// Keeps documents in the browser, so that code is never lost: written soon after every change and
// when the page is left. A document is open in one tab at a time. What cells showed is in `kept.ts`.

import { isBlank, newDocument, titleOf } from "./pure/document.js";
import type { Document } from "./pure/document.js";
import { toast } from "./dom.js";
import { Kept } from "./kept.js";
import { ofBrowser, ofTab } from "./storage.js";

const PREFIX = "cellgate.document.";
const CURRENT = "cellgate.current"; // in sessionStorage: what this tab has open
const SAVE_MS = 400;
/** Of a large document, writing takes at most this share of the time, but no change waits longer than `LONGEST_MS`. */
const SHARE = 1 / 25;
const LONGEST_MS = 5000;

export class Store {
  readonly kept = new Kept();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pending: (() => Document) | null = null;
  /** How long the last writing took, in milliseconds. */
  #took = 0;
  #release: (() => void) | null = null;
  #complained = false;

  constructor() {
    addEventListener("pagehide", () => this.flush());
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.flush(); });
  }

  /** What this tab had open, else the newest that `fits` and that no other tab has open, else a new one. */
  async openCurrent(fresh: () => Document, fits: (document: Document) => boolean): Promise<Document> {
    const current = ofTab.getItem(CURRENT);
    const candidates = [...(current ? [current] : []), ...this.list().map((kept) => kept.id)];
    for (const id of candidates) {
      const kept = this.read(id);
      if (kept && (id === current || fits(kept)) && await this.#claim(id)) return this.kept.fill(kept);
    }
    return this.adopt(fresh());
  }

  /** Makes a document the one of this tab. */
  async adopt(made: Document): Promise<Document> {
    await this.#claim(made.id);
    this.kept.adopt(made);
    return made;
  }

  /** Opens a document; nothing if it is gone or open in another tab. */
  async open(id: string): Promise<Document | null> {
    const kept = this.read(id);
    return kept && await this.#claim(id) ? this.kept.fill(kept) : null;
  }

  read(id: string): Document | null {
    try {
      const kept = JSON.parse(ofBrowser.getItem(PREFIX + id) ?? "null") as Document | null;
      if (!kept || !Array.isArray(kept.cells) || kept.cells.length === 0) return null;
      // Documents of an earlier page have code alone.
      return { ...kept, cells: kept.cells.map((cell) => ({ ...cell, kind: cell.kind ?? "code" })) };
    } catch {
      return null;
    }
  }

  /** What is kept, newest first. */
  list(): { id: string; title: string; updated: number }[] {
    const found = [];
    for (let at = 0; at < ofBrowser.length; at += 1) {
      const key = ofBrowser.key(at)!;
      const kept = key.startsWith(PREFIX) ? this.read(key.slice(PREFIX.length)) : null;
      if (kept) found.push({ id: kept.id, title: titleOf(kept), updated: kept.updated });
    }
    return found.sort((a, b) => b.updated - a.updated);
  }

  /** The title of a document, if it is kept. */
  titleOf(id: string | null): string | null {
    const kept = id === null ? null : this.read(id);
    return kept && titleOf(kept);
  }

  remove(id: string): void {
    ofBrowser.removeItem(PREFIX + id);
    void this.kept.remove(id);
  }

  /** Writes soon; `read` is asked for the document then. */
  save(read: () => Document): void {
    this.#pending = read;
    this.#timer ??= setTimeout(() => this.flush(), Math.min(Math.max(SAVE_MS, this.#took / SHARE), LONGEST_MS));
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const began = performance.now();
    const pending = this.#pending?.();
    this.#pending = null;
    if (!pending) return;
    try {
      // A page that was opened and left leaves nothing behind.
      if (isBlank(pending) && !ofBrowser.getItem(PREFIX + pending.id)) return;
      ofBrowser.setItem(PREFIX + pending.id, JSON.stringify(slim(pending)));
    } catch {
      if (!this.#complained) toast("The browser's storage is full: this code is not kept. Export it from the menu.");
      this.#complained = true;
    }
    this.#took = performance.now() - began;
  }

  /** Holds the document for this tab; says whether nobody else has it. */
  async #claim(id: string): Promise<boolean> {
    let release!: () => void;
    const held = new Promise<void>((resolve) => { release = resolve; });
    const granted = await new Promise<boolean>((resolve) => {
      if (!navigator.locks) return resolve(true);
      navigator.locks.request(PREFIX + id, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock ? held : undefined;
      }).catch(() => resolve(true));
    });
    if (!granted) return false;
    this.#release?.();
    this.#release = release;
    ofTab.setItem(CURRENT, id);
    return true;
  }
}

/** The texts alone: what else there is, is kept elsewhere. */
function slim({ notebook: _, ...document }: Document): Document {
  return { ...document, cells: document.cells.map(({ kept: _kept, notebook: _notebook, ...cell }) => cell) };
}

export function blankDocument(): Document {
  return newDocument([""]);
}
