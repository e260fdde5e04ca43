// Where a text stands in others.

const MOST = 10_000; // places in one text; more are of no use to a reader

/** What to look for; nothing if it is empty. Throws where a regular expression is none. */
export function pattern(text: string, caseMatters: boolean, expression: boolean): RegExp | null {
  if (text === "") return null;
  return new RegExp(expression ? text : text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), caseMatters ? "gmu" : "gimu");
}

/** The places of it, from the first to the last; what is empty is nowhere. */
export function placesIn(text: string, wanted: RegExp): { from: number; to: number }[] {
  const places = [];
  for (const match of text.matchAll(wanted)) {
    if (match[0] === "") continue;
    places.push({ from: match.index, to: match.index + match[0].length });
    if (places.length === MOST) break;
  }
  return places;
}
