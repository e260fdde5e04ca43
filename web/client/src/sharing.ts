// Who may open a session: share links, tokens, and the participants' rights. For owners.

import { shareLink } from "./address.js";
import type { SessionToken, Withheld } from "./files.js";
import type { Http } from "./http.js";
import type { Role } from "./protocol.js";

/** A new token that opens a session, and the address at which the console opens it. Both are secrets. */
export interface ShareLink extends Withheld { id: number; role: Role; token: string; url: string; expires: number | null }

/** What a new link gives. */
export interface LinkOptions extends Withheld {
  /** `viewer` by default. */
  role?: Role;
  /** How long it is valid, in milliseconds; as long as the session by default. */
  expiresInMs?: number;
}

/** Share links, tokens and rights of one session. */
export class Sharing {
  readonly #http: () => Http;
  readonly #session: () => string;

  constructor(http: () => Http, session: () => string) {
    this.#http = http;
    this.#session = session;
  }

  /** Makes a link. Of an editor's rights one may be withheld: `run: false` runs no cells, `edit: false` changes nothing in the document. */
  async createLink({ role = "viewer", run, edit, expiresInMs }: LinkOptions = {}): Promise<ShareLink> {
    const http = this.#http();
    const json = { role, run, edit, expires_in_ms: expiresInMs };
    const made = await http.json<Omit<ShareLink, "url">>("POST", this.#path("tokens"), { json });
    return { ...made, url: shareLink(http.base, this.#session(), made.token) };
  }

  /** Lists the tokens that open the session. */
  async tokens(): Promise<SessionToken[]> {
    return (await this.#http().json<{ tokens: SessionToken[] }>("GET", this.#path("tokens"))).tokens;
  }

  /** Revokes a token with all that was made with it; participants who joined with them are disconnected. */
  async revoke(token: number): Promise<void> {
    await this.#http().send("DELETE", this.#path(`tokens/${token}`));
  }

  /** Changes what an attached participant may do, from its next message on. What is left out stays as it is. */
  async changeRights(participant: number, change: { role?: Role } & Withheld): Promise<void> {
    await this.#http().send("PATCH", this.#path(`participants/${participant}`), { json: change });
  }

  /** Disconnects a participant. The link by which it came stays valid; `revoke` ends that. */
  async removeParticipant(participant: number): Promise<void> {
    await this.#http().send("DELETE", this.#path(`participants/${participant}`));
  }

  #path(tail: string): string { return `sessions/${this.#session()}/${tail}`; }
}
