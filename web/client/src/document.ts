// The session's document: the text of its cells, which its participants edit together.

import type { Http } from "./http.js";

export interface DocumentCell { id: string; kind?: "code" | "markdown" | "raw"; language?: string; source: string }

export interface DocumentText { title: string; cells: DocumentCell[] }

/** Reads and fills the document over HTTP. To edit it live, attach any Yjs client; see docs/document.md. */
export class SharedDocument {
  readonly #http: () => Http;
  readonly #session: () => string;

  constructor(http: () => Http, session: () => string) {
    this.#http = http;
    this.#session = session;
  }

  /** Its title, and its cells in their order. */
  read(): Promise<DocumentText> {
    return this.#http().json("GET", `sessions/${this.#session()}/document`);
  }

  /** Fills a document that has no cells; answers whether it had none. */
  async fill(cells: DocumentCell[], title?: string): Promise<boolean> {
    // Sent twice it fills the document once.
    const order = { json: { title, cells }, again: true };
    return (await this.#http().json<{ seeded: boolean }>("POST", `sessions/${this.#session()}/document`, order)).seeded;
  }

  /** As a notebook with outputs (`ipynb`), or as a Python file (`py`). */
  async export(form: "ipynb" | "py" = "ipynb"): Promise<Blob> {
    return (await this.#http().send("GET", `sessions/${this.#session()}/document.${form}`)).blob();
  }
}
