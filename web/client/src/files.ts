// What a session offers over HTTP: files in its working directory, what cells wrote, and tokens to share it.

import { RequestFailed } from "./errors.js";
import type { Directory, Ready, Role } from "./protocol.js";

/** A token that opens a session, without its secret. Times are Unix milliseconds. */
export interface SessionToken {
  id: number;
  role: Role;
  created: number;
  /** `null`: with the session. */
  expires: number | null;
  /** The token it was made with and ends with. */
  parent: number | null;
  /** Whether it is a share link, which lets in anybody; else it is a participant's own. */
  link: boolean;
  /** The attached participant whose own it is. */
  participant: number | null;
}

/** A new share link's token, and the number it is listed and revoked by. */
export interface Grant { token: string; id: number; role: Role; expires: number | null }

export class Files {
  readonly #base: URL;
  readonly #ready: () => Ready;

  constructor(url: string | URL, ready: () => Ready) {
    this.#base = new URL(url);
    this.#base.protocol = this.#base.protocol.replace(/^ws/, "http");
    this.#base.pathname = this.#base.pathname.replace(/\/?(ws)?$/, "/");
    this.#base.search = this.#base.hash = "";
    this.#ready = ready;
  }

  /** Writes a file; `path` is relative to the working directory. */
  async put(path: string, body: Blob | ArrayBuffer | Uint8Array<ArrayBuffer> | string): Promise<void> {
    await this.#fetch(`files/${encodePath(path)}`, { method: "PUT", body });
  }

  /** Reads a file. */
  async get(path: string): Promise<Blob> {
    return (await this.#fetch(`files/${encodePath(path)}`, {})).blob();
  }

  /** Lists a directory. */
  async list(path = ""): Promise<Directory> {
    return (await (await this.#fetch(`files?path=${encodeURIComponent(path)}`, {})).json()) as Directory;
  }

  /** Removes a file, a link itself or an empty directory; with `recursive` a directory with all in it. */
  async remove(path: string, { recursive = false } = {}): Promise<void> {
    await this.#fetch(`files/${encodePath(path)}${recursive ? "?recursive=true" : ""}`, { method: "DELETE" });
  }

  /** Renames or moves a file or a directory to a path where nothing is, in a directory that is there. */
  async move(path: string, to: string): Promise<void> {
    await this.#fetch(`files/${encodePath(path)}?move_to=${encodeURIComponent(to)}`, { method: "POST" });
  }

  /** Makes a directory, and those on its way; answers whether it is new. */
  async makeDirectory(path: string): Promise<boolean> {
    return (await this.#fetch(`directories/${encodePath(path)}`, { method: "POST" })).status === 201;
  }

  /** Everything that a cell wrote which has ended, where `truncated` told that not all of it was shown. */
  async output(cell: string): Promise<Blob> {
    return (await this.#fetch(`cells/${encodeURIComponent(cell)}/output`, {})).blob();
  }

  /** Makes a token for this session with that role. */
  async share(role: Role): Promise<string> {
    return (await this.grant(role)).token;
  }

  /** Makes a token for this session with that role; answers its number too. */
  async grant(role: Role): Promise<Grant> {
    const response = await this.#fetch("tokens", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ role }),
    });
    return (await response.json()) as Grant;
  }

  /** Lists the tokens that open this session. For owners. */
  async tokens(): Promise<SessionToken[]> {
    return ((await (await this.#fetch("tokens", {})).json()) as { tokens: SessionToken[] }).tokens;
  }

  /** Revokes a token with all that was made with it: who is in by them has to leave. For owners. */
  async revoke(token: number): Promise<void> {
    await this.#fetch(`tokens/${token}`, { method: "DELETE" });
  }

  /** Shows a participant out; the link it came by stays valid. For owners. */
  async showOut(participant: number): Promise<void> {
    await this.#fetch(`participants/${participant}`, { method: "DELETE" });
  }

  async #fetch(tail: string, init: RequestInit): Promise<Response> {
    const { session, token } = this.#ready();
    const response = await fetch(new URL(`v1/sessions/${session}/${tail}`, this.#base), {
      ...init,
      headers: { ...(init.headers as Record<string, string>), authorization: `Bearer ${token}` },
    });
    if (!response.ok) throw new RequestFailed(response.status, await problem(response));
    return response;
  }
}

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** The sentence of an RFC 9457 problem document, or the status line. */
async function problem(response: Response): Promise<string> {
  const fallback = `${response.status} ${response.statusText}`.trim();
  try {
    const body = (await response.json()) as { detail?: string; title?: string };
    return body.detail ?? body.title ?? fallback;
  } catch {
    return fallback;
  }
}
