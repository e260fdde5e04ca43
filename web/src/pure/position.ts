// Positions of cells in a shared document: texts that are sorted as fractions are, so that a cell can be put between
// two others without a change to them. Digits are 0-9A-Za-z, compared by code units; a position never ends in "0", as
// a fraction does not, so that there is always room before it.

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE = DIGITS.length;
const PLACES = 4; // of positions that are made for many cells at once, or at the end
const SPAN = BASE ** PLACES;
/** Greatest step between a cell and one that is put behind all others. */
const STEP = 8;

/** Whether a text is a position; strangers may write anything. */
export function isPosition(text: unknown): text is string {
  return typeof text === "string" && /^[0-9A-Za-z]*[1-9A-Za-z]$/.test(text);
}

/**
 * A position between two others, of which `before` has to be the smaller one; "" is before all, `null` behind all. Two
 * who ask for the same place at once get different ones, most of the time.
 */
export function between(before: string, after: string | null): string {
  if (after !== null) return middle(before, after);
  const next = toNumber(before) + 1 + Math.floor(Math.random() * STEP);
  return next < SPAN ? toText(next) : middle(before, null);
}

/** Positions for so many cells, in order, with room before and behind them. */
export function spread(count: number): string[] {
  return Array.from({ length: count }, (_, at) => toText(Math.floor(SPAN / 8 + ((SPAN / 2) * at) / count)));
}

/** The first digits as a number. */
function toNumber(position: string): number {
  let number = 0;
  for (let place = 0; place < PLACES; place += 1) number = number * BASE + Math.max(0, DIGITS.indexOf(position[place] ?? "0"));
  return number;
}

function toText(number: number): string {
  // One that would end in "0" gives way to the next.
  let left = number % BASE === 0 ? number + 1 : number;
  let text = "";
  for (let place = 0; place < PLACES; place += 1) {
    text = DIGITS[left % BASE]! + text;
    left = Math.floor(left / BASE);
  }
  return text;
}

function middle(before: string, after: string | null): string {
  if (after !== null) {
    let same = 0;
    while (same < after.length && (before[same] ?? "0") === after[same]) same += 1;
    if (same > 0) return after.slice(0, same) + middle(before.slice(same), after.slice(same));
  }
  const low = before === "" ? 0 : DIGITS.indexOf(before[0]!);
  const high = after === null ? BASE : DIGITS.indexOf(after[0]!);
  // Any digit of the middle third, at random.
  const room = high - low - 1;
  const third = Math.floor(room / 3);
  if (room > 0) return DIGITS[low + 1 + third + Math.floor(Math.random() * (room - 2 * third))]!;
  if (after !== null && after.length > 1 && high > low) return after[0]!;
  return DIGITS[low]! + middle(before.slice(1), null);
}

/**
 * The order of cells: by position, equal ones as they stand in the list; one without a position stands directly
 * behind the one before it in the list.
 */
export function ordered<T>(list: readonly T[], positionOf: (one: T) => unknown): T[] {
  const groups: { position: string; members: T[] }[] = [];
  for (const one of list) {
    const position = positionOf(one);
    if (isPosition(position)) groups.push({ position, members: [one] });
    else if (groups.length > 0) groups.at(-1)!.members.push(one);
    else groups.push({ position: "", members: [one] });
  }
  const sorted = groups.sort((a, b) => (a.position < b.position ? -1 : a.position > b.position ? 1 : 0));
  return sorted.flatMap(({ members }) => members);
}
