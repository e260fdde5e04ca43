// Which outputs no longer follow from the code: a cell was edited after its run, or ran before something above it changed.

/** What of a cell decides about those below it. */
export interface Step {
  /** Its text; empty for a cell that is not executed. */
  code: string;
  /** The hash of that text (`textHash`). */
  hash: number;
  /** The interpreter that executes it: cells of others leave what it knows as it is. Absent: the session's first. */
  interpreter?: string | undefined;
  /** It has another language now than when it ran. */
  otherLanguage?: boolean;
  /** Whether the run that it shows has ended in a way that its output can be about. */
  ran: boolean;
  /** The code that ran. */
  ranCode: string | undefined;
  /** When its run began, as a number that grows with each run; `undefined` for one from before this session. */
  order: number | undefined;
  /** When a run of it first began with the code that it ran last. */
  changed: number | undefined;
  /** The texts above it when its run began (`textsAbove`). */
  above: number | undefined;
}

/** `edited`: its text, or its language, is not what ran. `above`: what stands above it is not what it was, or ran later. */
export type Staleness = "edited" | "above" | null;

const EMPTY = 0x811c9dc5;
const BLANK = 0; // the hash of a text without a word

/** One step of FNV-1a. */
function mix(hash: number, value: number): number { return Math.imul(hash ^ value, 0x01000193); }

/**
 * FNV-1a over UTF-16 units: cheap, and the same after a reload. Not for anything that must not be forged. Blanks around
 * the text do not count. Takes a time that grows with the text: callers keep the result while the text stays.
 */
export function textHash(code: string): number {
  const text = code.trim();
  if (text === "") return BLANK;
  let hash = EMPTY;
  for (let at = 0; at < text.length; at += 1) hash = mix(hash, text.charCodeAt(at));
  return (mix(hash, text.length) >>> 0) || 1;
}

/** For each cell a number that stands for the texts of the cells above it, of the same interpreter, that are not blank. */
export function textsAbove(steps: readonly Pick<Step, "hash" | "interpreter">[]): number[] {
  const above = new Map<string | undefined, number>();
  return steps.map(({ hash, interpreter }) => {
    const before = above.get(interpreter) ?? EMPTY;
    if (hash !== BLANK) above.set(interpreter, mix(before, hash) >>> 0);
    return before;
  });
}

/** What each cell's output is to be told of, from the first to the last. */
export function staleness(steps: readonly Step[]): Staleness[] {
  const above = textsAbove(steps);
  const latest = new Map<string | undefined, number>(); // when something above last began to be something else, by interpreter
  return steps.map((step, at) => {
    const before = latest.get(step.interpreter) ?? -1;
    if (step.changed !== undefined) latest.set(step.interpreter, Math.max(before, step.changed));
    if (!step.ran || step.ranCode === undefined) return null;
    if (step.ranCode !== step.code || step.otherLanguage) return "edited";
    if (step.above !== undefined && step.above !== above[at]) return "above";
    return step.order !== undefined && before > step.order ? "above" : null;
  });
}
