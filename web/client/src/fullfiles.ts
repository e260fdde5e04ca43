// `Files` with all that the library has. What the console uses of it is in `files.ts`.

import { ConnectionClosed } from "./errors.js";
import { encodePath, Files as BasicFiles } from "./files.js";
import type { DirectoryEntry, WatchEvent } from "./protocol.js";
import { eventsOf, StreamBroke } from "./sse.js";

/** What happened to a file: `written` and the like, with `path` and `kind`, or an `overflow`, after which files are to be listed anew. */
export type FileEvent = Exclude<WatchEvent, { type: "ready" }>;

export interface WatchOptions {
  /** Whether what happens in directories of it is told too, those that appear included. */
  recursive?: boolean;
  /** Ends the watch: the loop over it throws the signal's reason. Leaving the loop ends it too. */
  signal?: AbortSignal;
}

export class Files extends BasicFiles {
  /** Tells what has the name at a path, as a listing of its directory would; of a link, the link itself. */
  async stat(path: string): Promise<DirectoryEntry> {
    return (await (await this.request(`stat/${encodePath(path)}`, {})).json()) as DirectoryEntry;
  }

  /**
   * Watches a directory, by default the working directory: `for await (const event of await files.watch())`. What happens
   * from when the promise is fulfilled is told. Ends with the directory or the session, and throws where the connection
   * breaks: then files are to be listed anew.
   */
  async watch(path = "", { recursive = false, signal }: WatchOptions = {}): Promise<AsyncGenerator<FileEvent, void>> {
    const tail = `watch${path && `/${encodePath(path)}`}${recursive ? "?recursive=true" : ""}`;
    const told = eventsOf<WatchEvent>(await this.request(tail, signal ? { signal } : {}));
    await told.next(); // `ready`
    return fileEvents(told, signal);
  }
}

async function* fileEvents(told: AsyncGenerator<WatchEvent>, signal?: AbortSignal): AsyncGenerator<FileEvent, void> {
  try {
    for await (const event of told) if (event.type !== "ready") yield event;
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof StreamBroke ? new ConnectionClosed(1006, error.message) : error;
  }
}
