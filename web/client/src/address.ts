// Where a gateway is, read from any of the addresses that it and its console print.

import { CellgateError } from "./errors.js";

/** A gateway, and what opens it. */
export interface Address {
  /** Its HTTP address without a slash at the end. */
  base: string;
  token?: string;
  session?: string;
}

/** What a program says of a gateway. In Node, $CELLGATE_URL and $CELLGATE_TOKEN stand in for what is missing. */
export interface Where { url?: string | URL; token?: string; session?: string }

/** Reads `http://HOST`, `ws://HOST/ws`, the address printed at start (`…#token=…`) or a share link (`…#session=…`). */
export function parseAddress(url: string | URL): Address {
  const text = String(url);
  let parts: URL | null = null;
  try {
    parts = new URL(text.includes("://") ? text : `http://${text}`);
  } catch {
    // Told below, as for what is an address of something else.
  }
  const protocol = parts && ({ "http:": "http:", "ws:": "http:", "https:": "https:", "wss:": "https:" } as Record<string, string>)[parts.protocol];
  if (!parts || !protocol) {
    throw new CellgateError(`"${text}" is not the address of a gateway; give one such as http://127.0.0.1:8080`);
  }
  const said = (name: string) => new URLSearchParams(parts.hash.slice(1)).get(name) ?? parts.searchParams.get(name) ?? undefined;
  const [token, session] = [said("token"), said("session")];
  return {
    base: `${protocol}//${parts.host}${parts.pathname.replace(/\/(ws)?$/, "")}`,
    ...(token !== undefined && { token }),
    ...(session !== undefined && { session }),
  };
}

/** The address of a gateway as given; what is given beside a URL outweighs what is in it. */
export function addressOf({ url, token, session }: Where): Address {
  const { CELLGATE_URL, CELLGATE_TOKEN } = environment();
  const address = parseAddress(url ?? CELLGATE_URL ?? "http://127.0.0.1:8080");
  const [opens, id] = [token ?? address.token ?? CELLGATE_TOKEN, session ?? address.session];
  return { base: address.base, ...(opens && { token: opens }), ...(id && { session: id }) };
}

/** The address at which the console opens a session with this token. */
export function shareLink(base: string, session: string, token: string): string {
  return `${base}/#${new URLSearchParams({ session, token })}`;
}

function environment(): Record<string, string | undefined> {
  return (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env ?? {};
}
