// What the address of the page says, and what this tab may do.
//
//   /#token=…              a gateway token: makes sessions         (also /?token=…)
//   /?embed=1&key=pk_…     a publishable key, which makes sessions too and is no secret: it stays in the address
//   /#session=…&token=…    a link somebody shared: one session, one role
//   /?language=javascript  new cells are JavaScript
//   /#code=…               code to begin with
//   /?embed=1&…            a part of another page, which docs/embedding.md describes
//
// Tokens are taken out of the address at once and kept for this tab alone.

import { ofBrowser, ofPage, ofTab } from "./storage.js";
import type { Kept } from "./storage.js";

const TOKEN = "cellgate.token";
const SESSION = "cellgate.session";
const NAME = "cellgate.name"; // in localStorage: people have one name

export interface SessionKey {
  session: string;
  /** What opens it: the token of the link at first, then the participant's own, which brings it back as who it was. */
  token: string;
  /** The token of the share link by which this tab came, which lets in others as well. */
  link?: string;
}

export interface Arrival {
  code: string | null;
  shared: boolean;
  layout: "list" | "single";
  embed: boolean;
  /** The publishable key in the address. */
  key: string | null;
  /** What a new session is made from; nothing: what the token's first template is. */
  template: string | null;
  /** What new cells are written in, and the code that comes with the address; nothing: the session's first language. */
  language: string | null;
  /** Of an embedded page: code that runs before the first cell, out of sight. */
  setup: string | null;
  /** The cells can be run and not changed. */
  readOnly: boolean;
  /** The cells run as soon as they can. */
  run: boolean;
  /** Names what the frames of one page share that have one session. */
  page: string | null;
  theme: string | null;
  /** It comes back to the session of a tab that was closed, which may be over. */
  again?: boolean;
  /** The page around keeps the frame as tall as its content. */
  fit: boolean;
}

/** Where this page keeps what opens its session. An embedded one keeps it to itself: several frames of one tab share the tab's storage. */
let kept: Kept = ofTab;

/** Reads the address, keeps what is secret and cleans it up. */
export function arrive(): Arrival {
  const url = new URL(location.href);
  const fragment = new URLSearchParams(url.hash.slice(1));
  const { searchParams: query } = url;
  const embed = query.get("embed") === "1";
  if (embed) kept = ofPage();
  const key = query.get("key");
  const session = fragment.get("session");
  const token = fragment.get("token") ?? query.get("token") ?? (session === null ? key : null);
  if (token && session) keepSession({ session, token, link: token });
  else if (token) {
    // A new token is a new beginning: the session of another one could not be made again.
    if (token !== gatewayToken()) forgetSession();
    keepToken(token);
  }
  query.delete("token");
  const [code, setup] = [fragment.get("code"), fragment.get("setup")];
  // A browser that goes back to a page loads its frames from what their addresses are then.
  for (const name of embed ? ["session", "token"] : [...fragment.keys()]) fragment.delete(name);
  url.hash = fragment.toString();
  history.replaceState(null, "", url.href.replace(/#$/, ""));
  return {
    code,
    shared: token !== null && session !== null,
    layout: query.get("layout") === "single" || (embed && query.get("cells") !== "all") ? "single" : "list",
    embed,
    key,
    template: query.get("template"),
    language: query.get("language"),
    setup: embed ? setup : null,
    readOnly: embed && query.get("readonly") === "1",
    // A link is not to run something with a token that lies in this tab.
    run: embed && key !== null && query.get("run") === "1",
    page: embed ? fragment.get("page") : null,
    theme: embed ? query.get("theme") : null,
    fit: embed && query.get("fit") === "1",
  };
}

export function gatewayToken(): string | undefined {
  return kept.getItem(TOKEN) ?? undefined;
}

export function keepToken(token: string): void {
  kept.setItem(TOKEN, token);
}

export function keptSession(): SessionKey | null {
  try {
    return JSON.parse(kept.getItem(SESSION) ?? "null") as SessionKey | null;
  } catch {
    return null;
  }
}

export function keepSession(key: SessionKey): void {
  kept.setItem(SESSION, JSON.stringify(key));
}

export function forgetSession(): void {
  kept.removeItem(SESSION);
}

export function ownName(): string {
  return ofBrowser.getItem(NAME) ?? "";
}

export function keepName(name: string): void {
  ofBrowser.setItem(NAME, name);
}
