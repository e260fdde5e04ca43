// What a session offers over HTTP: files in its working directory, what cells wrote, and tokens to share it.

import { RequestFailed } from "./errors.js";
import type { Directory, Ready, Role } from "./protocol.js";

/** What is withheld from an editor: `run: false` to run no cells and change no files, `edit: false` to change nothing in the document. */
export interface Withheld { run?: boolean; edit?: boolean }

/** A token that opens a session, without its secret. Times are Unix milliseconds. */
export interface SessionToken extends Withheld {
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
export interface Grant extends Withheld { token: string; id: number; role: Role; expires: number | null }

/** What a file can be written from. */
export type FileBody = Blob | ArrayBuffer | Uint8Array<ArrayBuffer> | string;

export interface PutOptions {
  /** Called with how many bytes were sent, in browsers. */
  progress?: (sent: number) => void;
  /** Gives the file up. */
  signal?: AbortSignal;
}

/** Makes the error of a response that refuses. */
type Failure = (status: number, said: string, retryAfter: string | null) => RequestFailed;

export class Files {
  readonly #base: URL;
  readonly #ready: () => Pick<Ready, "session" | "token">;
  readonly #failure: Failure;

  /** `ready` answers the session and the token as they are now; `failure` makes the error of a refusal. */
  constructor(
    url: string | URL,
    ready: () => Pick<Ready, "session" | "token">,
    failure: Failure = (status, said) => new RequestFailed(status, said),
  ) {
    this.#base = new URL(url);
    this.#base.protocol = this.#base.protocol.replace(/^ws/, "http");
    this.#base.pathname = this.#base.pathname.replace(/\/?(ws)?$/, "/");
    this.#base.search = this.#base.hash = "";
    this.#ready = ready;
    this.#failure = failure;
  }

  /** Writes a file; `path` is relative to the working directory. Where it is given up by `signal`, nothing is left. */
  async put(path: string, body: FileBody, { progress, signal }: PutOptions = {}): Promise<void> {
    // Only an XMLHttpRequest tells how much was sent.
    if (progress && typeof XMLHttpRequest !== "undefined") return this.#send(path, body, progress, signal);
    await this.request(`files/${encodePath(path)}`, { method: "PUT", body, ...(signal && { signal }) });
  }

  #send(path: string, body: FileBody, progress: (sent: number) => void, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const { url, authorization } = this.#address(`files/${encodePath(path)}`);
      signal?.throwIfAborted();
      const request = new XMLHttpRequest();
      const abort = () => request.abort();
      signal?.addEventListener("abort", abort, { once: true });
      request.upload.onprogress = ({ loaded }) => progress(loaded);
      request.onload = () => {
        if (request.status < 300) return resolve();
        const fallback = `${request.status} ${request.statusText}`.trim();
        reject(this.#failure(request.status, sentenceOf(request.responseText, fallback), request.getResponseHeader("retry-after")));
      };
      request.onerror = () => reject(new TypeError("the connection broke while the file was sent"));
      request.onabort = () => reject(signal?.reason ?? new DOMException("given up", "AbortError"));
      request.onloadend = () => signal?.removeEventListener("abort", abort);
      request.open("PUT", url);
      request.setRequestHeader("authorization", authorization);
      request.send(body);
    });
  }

  /** Reads the first bytes of a file, `most` of them; `size` is how long the file is. */
  async beginning(path: string, most: number): Promise<{ content: Uint8Array<ArrayBuffer>; size: number }> {
    const given = new AbortController();
    const response = await this.request(`files/${encodePath(path)}`, { signal: given.signal });
    const size = Number(response.headers.get("content-length") ?? 0);
    const content = new Uint8Array(most);
    let length = 0;
    const reader = response.body?.getReader();
    while (reader && length < most) {
      const { done, value } = await reader.read();
      if (done) break;
      const part = value.subarray(0, most - length);
      content.set(part, length);
      length += part.length;
    }
    // What is left is not wanted.
    if (length === most) given.abort();
    return { content: content.subarray(0, length), size: Math.max(size, length) };
  }

  /** Reads a file. */
  async get(path: string): Promise<Blob> {
    return (await this.request(`files/${encodePath(path)}`, {})).blob();
  }

  /** Lists a directory, and directories in it down to `depth`. */
  async list(path = "", depth = 1): Promise<Directory> {
    return (await (await this.request(`files?path=${encodeURIComponent(path)}&depth=${depth}`, {})).json()) as Directory;
  }

  /** Removes a file, a link itself or an empty directory; with `recursive` a directory with all in it. */
  async remove(path: string, { recursive = false } = {}): Promise<void> {
    await this.request(`files/${encodePath(path)}${recursive ? "?recursive=true" : ""}`, { method: "DELETE" });
  }

  /** Renames or moves a file or a directory to a path where nothing is, in a directory that is there. */
  async move(path: string, to: string): Promise<void> {
    await this.request(`files/${encodePath(path)}?move_to=${encodeURIComponent(to)}`, { method: "POST" });
  }

  /** Makes a directory, and those on its way; answers whether it is new. */
  async makeDirectory(path: string): Promise<boolean> {
    return (await this.request(`directories/${encodePath(path)}`, { method: "POST" })).status === 201;
  }

  /** Everything that a cell wrote which has ended, where `truncated` told that not all of it was shown. */
  async output(cell: string): Promise<Blob> {
    return (await this.request(`cells/${encodeURIComponent(cell)}/output`, {})).blob();
  }

  /** Makes a token for this session with that role. */
  async share(role: Role): Promise<string> {
    return (await this.grant(role)).token;
  }

  /** Makes a token for this session with that role, of which an editor's may be less; answers its number too. */
  async grant(role: Role, { run, edit }: Withheld = {}): Promise<Grant> {
    const response = await this.request("tokens", json("POST", { role, run, edit }));
    return (await response.json()) as Grant;
  }

  /** Lists the tokens that open this session. For owners. */
  async tokens(): Promise<SessionToken[]> {
    return ((await (await this.request("tokens", {})).json()) as { tokens: SessionToken[] }).tokens;
  }

  /** Revokes a token with all that was made with it: who is in by them has to leave. For owners. */
  async revoke(token: number): Promise<void> {
    await this.request(`tokens/${token}`, { method: "DELETE" });
  }

  /** Changes what a participant may do, from its next message on; what is left out stays as it is. For owners. */
  async changeRights(participant: number, change: { role?: Role } & Withheld): Promise<void> {
    await this.request(`participants/${participant}`, json("PATCH", change));
  }

  /** Shows a participant out; the link it came by stays valid. For owners. */
  async showOut(participant: number): Promise<void> {
    await this.request(`participants/${participant}`, { method: "DELETE" });
  }

  #address(tail: string): { url: URL; authorization: string } {
    const { session, token } = this.#ready();
    return { url: new URL(`v1/sessions/${session}/${tail}`, this.#base), authorization: `Bearer ${token}` };
  }

  /** Sends a request below the session's address, and throws if it is refused. */
  protected async request(tail: string, init: RequestInit): Promise<Response> {
    const { url, authorization } = this.#address(tail);
    const response = await fetch(url, {
      ...init,
      headers: { ...(init.headers as Record<string, string>), authorization },
    });
    if (!response.ok) throw this.#failure(response.status, await problem(response), response.headers.get("retry-after"));
    return response;
  }
}

function json(method: string, body: object): RequestInit {
  return { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

/** A path of the working directory as a part of an address. */
export function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** What a refusal says, or the status line. */
async function problem(response: Response): Promise<string> {
  const fallback = `${response.status} ${response.statusText}`.trim();
  try {
    return sentenceOf(await response.text(), fallback);
  } catch {
    return fallback;
  }
}

/** The sentence of an RFC 9457 problem document, or `fallback`. */
export function sentenceOf(text: string, fallback: string): string {
  try {
    const body = JSON.parse(text) as { detail?: string; title?: string };
    return body.detail ?? body.title ?? fallback;
  } catch {
    return fallback;
  }
}
