// Files on their way into the session: one after the other, each with its progress, each may be given up.

import type { Session } from "../client/src/core.js";
import { bytes, sentence } from "./pure/words.js";

/** A file that is sent, or was. */
export interface Upload {
  readonly file: File;
  /** Where it goes to. */
  readonly path: string;
  sent: number;
  state: "waits" | "sends" | "failed";
  /** Why it failed, as a sentence. */
  problem: string;
}

export interface UploadsHost {
  readonly session: Session | null;
  /** Something has changed. */
  changed(): void;
  /** A file is in the working directory. */
  taken(upload: Upload, text: string): void;
  failed(upload: Upload): void;
}

export class Uploads {
  readonly #host: UploadsHost;
  #all: Upload[] = [];
  #current: { upload: Upload; given: AbortController } | null = null;

  constructor(host: UploadsHost) {
    this.#host = host;
  }

  /** Those that wait, are sent or have failed. */
  get all(): readonly Upload[] { return this.#all; }

  add(files: readonly File[], folder: string): void {
    for (const file of files) this.#all.push({ file, path: folder ? `${folder}/${file.name}` : file.name, sent: 0, state: "waits", problem: "" });
    this.#host.changed();
    if (!this.#current) void this.#next();
  }

  /** Gives up one that waits or is sent, or takes a failed one off the list. */
  drop(upload: Upload): void {
    this.#all = this.#all.filter((one) => one !== upload);
    if (this.#current?.upload === upload) this.#current.given.abort();
    this.#host.changed();
  }

  async #next(): Promise<void> {
    for (;;) {
      const upload = this.#all.find(({ state }) => state === "waits");
      if (!upload) break;
      await this.#send(upload);
      this.#host.changed();
    }
  }

  async #send(upload: Upload): Promise<void> {
    const given = new AbortController();
    this.#current = { upload, given };
    upload.state = "sends";
    this.#host.changed();
    try {
      const { session } = this.#host;
      if (!session) throw new Error("there is no session to put it into");
      const progress = (sent: number) => {
        upload.sent = Math.min(sent, upload.file.size);
        this.#host.changed();
      };
      await session.files.put(upload.path, upload.file, { progress, signal: given.signal });
      this.#all = this.#all.filter((one) => one !== upload);
      this.#host.taken(upload, `${upload.file.name} is in the working directory (${bytes(upload.file.size)}).`);
    } catch (error) {
      if (!given.signal.aborted) {
        upload.state = "failed";
        upload.problem = `${upload.file.name} was not taken: ${sentence((error as Error).message)}`;
        this.#host.failed(upload);
      }
    }
    this.#current = null;
  }
}
