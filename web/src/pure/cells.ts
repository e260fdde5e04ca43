// How many cells of a terminal a text takes: East Asian characters and emoji two, marks on a letter none.

/** Whatever may take another number of cells than one for each UTF-16 unit. */
const ODD = /[^\x00-\u02ff\u0370-\u0482\u048a-\u0590\u1e00-\u200a\u2010-\u2027\u2030-\u205f\u2070-\u20cf\u2100-\u2319\u2400-\u25fc\u2800-\u28ff]/;
const NONE = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
const EMOJI = /^\p{Emoji_Presentation}$/u;

/** What `cellsOf` found for each code point up to the end of the emoji, plus one; 0: not looked at yet. */
const FOUND = new Uint8Array(0x20000);

/** Cells of one character. */
function cellsOf(character: string): number {
  const code = character.codePointAt(0)!;
  if (code >= FOUND.length) return measured(character);
  return (FOUND[code] ||= measured(character) + 1) - 1;
}

function measured(character: string): number {
  if (!ODD.test(character)) return 1;
  if (NONE.test(character)) return 0;
  const code = character.codePointAt(0)!;
  const wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf && code !== 0x303f) || (code >= 0xa960 && code <= 0xa97f)
    || (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f)
    || (code >= 0xff00 && code <= 0xff60) || (code >= 0xffe0 && code <= 0xffe6) || (code >= 0x20000 && code <= 0x3fffd);
  return wide || EMOJI.test(character) ? 2 : 1;
}

export function width(text: string): number {
  if (!ODD.test(text)) return text.length;
  let cells = 0;
  for (const character of text) cells += cellsOf(character);
  return cells;
}

/** What stands in the cells from `from` to `to`. Of a character that is cut in half a space is left, as on a terminal. */
export function sliceCells(text: string, from: number, to: number): string {
  if (!ODD.test(text)) return text.slice(from, to);
  let out = "";
  let at = 0;
  for (const character of text) {
    const cells = cellsOf(character);
    if (cells === 0) {
      // It belongs to the character before it.
      if ((at > from || at === 0) && at <= to) out += character;
    } else if (at >= from && at + cells <= to) out += character;
    else out += " ".repeat(Math.max(0, Math.min(to, at + cells) - Math.max(from, at)));
    at += cells;
    if (at > to) break;
  }
  return out;
}
