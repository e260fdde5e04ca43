// What a session offers over HTTP: files in its working directory, what cells wrote, and tokens to share it.

import { RequestFailed } from "./errors.js";
import type { Directory, Ready, Role } from "./protocol.js";

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

  /** Everything that a cell wrote which has ended, where `truncated` told that not all of it was shown. */
  async output(cell: string): Promise<Blob> {
    return (await this.#fetch(`cells/${encodeURIComponent(cell)}/output`, {})).blob();
  }

  /** Makes a token for this session with that role. */
  async share(role: Role): Promise<string> {
    const response = await this.#fetch("tokens", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ role }),
    });
    return ((await response.json()) as { token: string }).token;
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
