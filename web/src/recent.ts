// The sessions that tabs of this browser had: a document that is opened again comes back to its session, as long as
// that lives. A session is remembered with the document that was last worked on in it.

import type { SessionKey } from "./credentials.js";
import { ofBrowser } from "./storage.js";

const KEY = "cellgate.sessions";
const KEPT = 20; // newest; sessions end with their timeouts

interface Recent extends SessionKey { document: string; at: number }

function read(): Recent[] {
  try {
    const kept = JSON.parse(ofBrowser.getItem(KEY) ?? "[]") as Recent[];
    return Array.isArray(kept) ? kept.filter((one) => typeof one?.session === "string" && typeof one.token === "string") : [];
  } catch {
    return [];
  }
}

function write(all: Recent[]): void {
  try {
    ofBrowser.setItem(KEY, JSON.stringify(all.slice(0, KEPT)));
  } catch {
    // The storage is full: a closed tab's session is not found again.
  }
}

/** The document is worked on in that session now. */
export function rememberSession(document: string, key: SessionKey): void {
  write([{ ...key, document, at: Date.now() }, ...read().filter((one) => one.session !== key.session && one.document !== document)]);
}

/** The session that the document was last worked on in, which may be over. */
export function sessionOf(document: string): SessionKey | null {
  const found = read().find((one) => one.document === document);
  return found ? { session: found.session, token: found.token, ...(found.link && { link: found.link }) } : null;
}

/** The document that was last worked on in a session. */
export function documentOf(session: string): string | null {
  return read().find((one) => one.session === session)?.document ?? null;
}

/** The session is over. */
export function forgetRecent(session: string): void {
  write(read().filter((one) => one.session !== session));
}
