// What the address of the page says, and what this tab may do.
//
//   /#token=…              a gateway token: makes sessions         (also /?token=…)
//   /?embed=1&key=pk_…     a publishable key, which makes sessions too and is no secret: it stays in the address
//   /#session=…&token=…    a link somebody shared: one session, one role
//   /#code=…               code to begin with
//
// Tokens are taken out of the address at once and kept for this tab alone.

import { ofBrowser, ofTab } from "./storage.js";

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

export interface Arrival { code: string | null; shared: boolean; layout: "list" | "single"; embed: boolean; /** It comes back to the session of a tab that was closed, which may be over. */ again?: boolean }

/** Reads the address, keeps what is secret and cleans it up. */
export function arrive(): Arrival {
  const url = new URL(location.href);
  const fragment = new URLSearchParams(url.hash.slice(1));
  const session = fragment.get("session");
  const token = fragment.get("token") ?? url.searchParams.get("token") ?? (session === null ? url.searchParams.get("key") : null);
  if (token && session) keepSession({ session, token, link: token });
  else if (token) {
    // A new token is a new beginning: the session of another one could not be made again.
    if (token !== gatewayToken()) forgetSession();
    keepToken(token);
  }
  url.searchParams.delete("token");
  url.hash = "";
  const code = fragment.get("code");
  history.replaceState(null, "", url.href.replace(/#$/, ""));
  return {
    code,
    shared: token !== null && session !== null,
    layout: url.searchParams.get("layout") === "single" || url.searchParams.get("embed") === "1" ? "single" : "list",
    embed: url.searchParams.get("embed") === "1",
  };
}

export function gatewayToken(): string | undefined {
  return ofTab.getItem(TOKEN) ?? undefined;
}

export function keepToken(token: string): void {
  ofTab.setItem(TOKEN, token);
}

export function keptSession(): SessionKey | null {
  try {
    return JSON.parse(ofTab.getItem(SESSION) ?? "null") as SessionKey | null;
  } catch {
    return null;
  }
}

export function keepSession(key: SessionKey): void {
  ofTab.setItem(SESSION, JSON.stringify(key));
}

export function forgetSession(): void {
  ofTab.removeItem(SESSION);
}

export function ownName(): string {
  return ofBrowser.getItem(NAME) ?? "";
}

export function keepName(name: string): void {
  ofBrowser.setItem(NAME, name);
}
