// One session for several frames of a page, which name it by the same random word in their addresses.
//
//   first frame:  lock ─► makes the session ─► a share link's token into the tab's storage ─► unlock
//   the others:         lock ─► join by that token ─► unlock
//
// The tab's storage and its locks belong to the gateway's origin within the site of that page, so that neither the
// page itself nor another tab reads the token. Loaded by frames that share alone.

import type { ConnectionClosed, Session } from "../client/src/core.js";
import type { SessionKey } from "./credentials.js";
import type { Shared } from "./link.js";
import { sentence } from "./pure/words.js";

const PREFIX = "cellgate.page.";
/** How a session that is over refuses to be joined. */
const GONE: ReadonlySet<string> = new Set(["no_session", "unauthorised", "expired", "ended"]);

interface Entry extends SessionKey { members: number }

export class SharedSession implements Shared {
  readonly #name: string;
  #storage: Storage | null = null;
  /** The session that this frame counts as a member of. */
  #member: string | null = null;

  constructor(page: string) {
    this.#name = PREFIX + page;
    try {
      this.#storage = sessionStorage;
    } catch {
      // Said where it matters, in `open`.
    }
  }

  async open(connect: (key: SessionKey | null) => Promise<Session>): Promise<Session> {
    if (!this.#storage || !navigator.locks) {
      throw new Error("This browser gives the frames of this page no storage, so that its cells cannot share a session. Allow this site to keep data, and load the page again.");
    }
    return navigator.locks.request(this.#name, async () => {
      const session = await this.#joined(connect) ?? await this.#made(connect);
      const entry = this.#read();
      if (entry && this.#member !== entry.session) {
        this.#member = entry.session;
        this.#write({ ...entry, members: entry.members + 1 });
      }
      return session;
    });
  }

  /** This frame leaves; says whether it was the last one, whose session nothing of the page uses any more. */
  leave(): boolean {
    const entry = this.#read();
    if (!entry || this.#member !== entry.session) return false;
    this.#member = null;
    if (entry.members > 1) this.#write({ ...entry, members: entry.members - 1 });
    else this.#storage?.removeItem(this.#name);
    return entry.members <= 1;
  }

  async #joined(connect: (key: SessionKey) => Promise<Session>): Promise<Session | null> {
    const entry = this.#read();
    if (!entry) return null;
    try {
      return await connect(entry);
    } catch (error) {
      // Told by what they have: an import of their classes would divide the first script into more files.
      if (!GONE.has((error as ConnectionClosed).kind)) throw error;
      this.#storage?.removeItem(this.#name);
      return null;
    }
  }

  async #made(connect: (key: null) => Promise<Session>): Promise<Session> {
    const session = await connect(null);
    try {
      const { token } = await session.files.grant("owner");
      this.#write({ session: session.id, token, members: 0 });
      return session;
    } catch (error) {
      void session.end().catch(() => session.close());
      if ((error as Error).name !== "RequestFailed") throw error;
      throw new Error(`The cells of this page cannot share a session: ${sentence((error as Error).message)} Who runs the gateway can allow it with sharing = true in the settings of this page's key.`);
    }
  }

  #read(): Entry | null {
    try {
      const entry = JSON.parse(this.#storage?.getItem(this.#name) ?? "null") as Partial<Entry> | null;
      const { session, token, members } = entry ?? {};
      return typeof session === "string" && typeof token === "string" && typeof members === "number" ? { session, token, members } : null;
    } catch {
      return null;
    }
  }

  #write(entry: Entry): void {
    this.#storage?.setItem(this.#name, JSON.stringify(entry));
  }
}
