// Tracebacks: which of their lines lead to a line of a cell.

import type { Frame } from "../../client/src/protocol.js";
import { stripEscapes } from "./screen.js";

export interface Place { cell: string; line: number; function: string }

/**
 * For each line of the traceback the place it names, if that is in a cell. A line that says
 * `File "<file>", line N` belongs to the first frame of that file and line not yet used.
 */
export function places(traceback: string[], frames: Frame[]): (Place | null)[] {
  const left = frames.filter((frame) => frame.cell !== undefined);
  return traceback.map((text) => {
    const match = /File "?(.+?)"?, line (\d+)/.exec(stripEscapes(text)) ?? /\b(?:Cell|Input) .*?line (\d+)/i.exec(stripEscapes(text));
    if (!match) return null;
    const line = Number(match[match.length - 1]);
    const file = match.length > 2 ? match[1] : null;
    const at = left.findIndex((frame) => frame.line === line && (file === null || frame.file === file));
    if (at < 0) return null;
    const [frame] = left.splice(at, 1);
    return { cell: frame!.cell!, line, function: frame!.function };
  });
}

/** The innermost line in a cell: where the reader wants to go. */
export function culprit(frames: Frame[]): Place | null {
  const frame = frames.findLast((f) => f.cell !== undefined);
  return frame ? { cell: frame.cell!, line: frame.line, function: frame.function } : null;
}

/**
 * Splits elements that hold several lines: languages differ in how they cut a traceback. IPython's rule and heading
 * are left out, as the page has its own.
 */
export function tracebackLines(traceback: string[]): string[] {
  const lines = traceback.join("\n").replace(/\n\n+/g, "\n").replace(/\n$/, "").split("\n");
  const plain = lines.slice(0, 2).map(stripEscapes);
  return /^-{20,}$/.test(plain[0] ?? "") && /Traceback \(most recent call last\)$/.test(plain[1] ?? "") ? lines.slice(2) : lines;
}
