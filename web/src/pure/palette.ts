// The colours of people. White text on each has a contrast of 4.5 to 1, and each has 3 to 1 on the grounds of both
// themes, which test/unit/collab.test.mjs computes.

export const PALETTE = ["#2563eb", "#b45309", "#15803d", "#9333ea", "#d03030", "#0f7a72", "#c81e78", "#6d5bd0"];

/** How bright a colour of the form #rrggbb is, from 0 to 1, as WCAG counts it. */
export function luminance(color: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

/** The contrast of two colours, from 1 to 21. */
export function contrast(one: string, other: string): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high! + 0.05) / (low! + 0.05);
}

/** The colour of a participant. */
export function paletteColour(number: number): string { return PALETTE[Math.abs(Math.trunc(number)) % PALETTE.length]!; }

/** What can be read on a colour. */
export function inkOn(color: string): string { return contrast(color, "#ffffff") >= contrast(color, "#000000") ? "#ffffff" : "#000000"; }

/** One or two letters for a name. */
export function initials(name: string): string {
  const words = name.trim().split(/[\s_-]+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0]!, words.at(-1)!].map((word) => Array.from(word)[0]) : Array.from(words[0] ?? "?").slice(0, 1);
  return letters.join("").toUpperCase();
}
