// The look of a piece of text: what ANSI escape sequences select (ECMA-48, SGR).

/** A palette index (0 to 15) or `#rrggbb`. */
export type Colour = number | string;

export interface Style {
  readonly fg: Colour | null;
  readonly bg: Colour | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly strike: boolean;
  readonly inverse: boolean;
  /** Written to stderr. */
  readonly stderr: boolean;
  /** Where an OSC 8 hyperlink leads, http and https only. */
  readonly link: string | null;
}

export const PLAIN: Style = {
  fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, strike: false, inverse: false,
  stderr: false, link: null,
};

export const PLAIN_STDERR: Style = { ...PLAIN, stderr: true };

/** The style after `SGR parameters` (the text between `ESC [` and `m`). */
export function select(style: Style, parameters: string): Style {
  // Colons separate the parts of one colour in newer programs; they mean the same here.
  const codes = parameters === "" ? [0] : parameters.split(/[;:]/).map((p) => (p === "" ? 0 : Number(p)));
  let next: Style = style;
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at]!;
    if (code === 38 || code === 48) {
      const [colour, used] = extended(codes, at + 1);
      at += used;
      if (colour !== null) next = { ...next, [code === 38 ? "fg" : "bg"]: colour };
    } else {
      next = one(next, code);
    }
  }
  return next;
}

function one(style: Style, code: number): Style {
  if (code >= 30 && code <= 37) return { ...style, fg: code - 30 };
  if (code >= 90 && code <= 97) return { ...style, fg: code - 90 + 8 };
  if (code >= 40 && code <= 47) return { ...style, bg: code - 40 };
  if (code >= 100 && code <= 107) return { ...style, bg: code - 100 + 8 };
  switch (code) {
    case 0: return { ...(style.stderr ? PLAIN_STDERR : PLAIN), link: style.link };
    case 1: return { ...style, bold: true };
    case 2: return { ...style, dim: true };
    case 3: return { ...style, italic: true };
    case 4: return { ...style, underline: true };
    case 7: return { ...style, inverse: true };
    case 9: return { ...style, strike: true };
    case 22: return { ...style, bold: false, dim: false };
    case 23: return { ...style, italic: false };
    case 24: return { ...style, underline: false };
    case 27: return { ...style, inverse: false };
    case 29: return { ...style, strike: false };
    case 39: return { ...style, fg: null };
    case 49: return { ...style, bg: null };
    default: return style;
  }
}

/** The colour after 38 or 48, and how many codes it took. */
function extended(codes: number[], at: number): [Colour | null, number] {
  if (codes[at] === 5) return [indexed(codes[at + 1] ?? 0), 2];
  if (codes[at] === 2) {
    const [r = 0, g = 0, b = 0] = codes.slice(at + 1, at + 4);
    return [hex(r, g, b), 4];
  }
  return [null, 0];
}

/** xterm's 256 colours: 16 of the palette, a cube of 6 × 6 × 6, 24 greys. */
function indexed(n: number): Colour {
  if (n < 16) return n;
  if (n >= 232) {
    const grey = 8 + (n - 232) * 10;
    return hex(grey, grey, grey);
  }
  const level = (v: number) => (v === 0 ? 0 : 55 + v * 40);
  return hex(level(Math.floor((n - 16) / 36)), level(Math.floor((n - 16) / 6) % 6), level((n - 16) % 6));
}

function hex(...rgb: number[]): string {
  return "#" + rgb.map((v) => Math.max(0, Math.min(255, v | 0)).toString(16).padStart(2, "0")).join("");
}
