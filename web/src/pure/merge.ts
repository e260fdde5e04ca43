// How what a page has written meets the text of a shared document: the smallest change between two texts, and what
// becomes of a page's own cells when it attaches.

/** The part of a text that another one differs in, and what stands there. */
export interface Change { from: number; to: number; insert: string }

/** The smallest single change that makes one text of another; nothing if they are the same. */
export function difference(before: string, after: string): Change | null {
  if (before === after) return null;
  const shorter = Math.min(before.length, after.length);
  let from = 0;
  while (from < shorter && before[from] === after[from]) from += 1;
  let end = 0;
  while (end < shorter - from && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  // A character of two units is not cut in half: half of one is no text.
  if (from > 0 && isHigh(before, from - 1)) from -= 1;
  if (end > 0 && isLow(before, before.length - end)) end -= 1;
  return { from, to: before.length - end, insert: after.slice(from, after.length - end) };
}

const isHigh = (text: string, at: number) => (text.charCodeAt(at) & 0xfc00) === 0xd800;
const isLow = (text: string, at: number) => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

/** What a page knows of one of its cells when it attaches to a document. */
export interface OwnCell {
  id: string;
  code: string;
  /** The session in whose document it was seen. */
  shared: string | undefined;
  /** It was changed here while there was no connection. */
  unsent: boolean;
  /** It is shown because somebody ran it; it was not written here. */
  foreign: boolean;
  /** The user made it on this page or went into it, and may be about to write in it. */
  begun: boolean;
}

/** What becomes of it: it is added to the document, it takes the document's text, its own text changes the document's, or both are kept. */
export type Fate = "add" | "leave" | "take" | "write" | "keep both";

/**
 * Decides what becomes of a page's cell. `text`: what the document has under its id. `seeded`: the text with which this
 * page has just put it there.
 */
export function fateOf(cell: OwnCell, session: string, text: string | undefined, seeded: string | undefined): Fate {
  const written = cell.code.trim() !== "";
  if (text === undefined) return (written || cell.begun) && !cell.foreign && (cell.shared !== session || cell.unsent) ? "add" : "leave";
  if (text === cell.code) return "take";
  if (seeded !== undefined && text === seeded) return "write";
  const own = seeded === undefined ? cell.unsent || cell.shared !== session : cell.code !== seeded;
  return own && written && !cell.foreign ? "keep both" : "take";
}
