// What a language model reads of a cell that has ended.

import type { Outcome, Shown } from "./outcome.js";

/** Colours and other control sequences of terminals (ECMA-48). */
const CONTROL_SEQUENCE = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])/g;

export function outcomeForModel(outcome: Outcome, limit: number): string {
  const parts = [outcome.stdout, outcome.stderr, ...outcome.results.map(value)];
  const { error, status, detail } = outcome;
  if (error) parts.push(error.traceback.join("\n") || `${error.name}: ${error.value}`);
  if ((status !== "ok" && status !== "error") || (detail && !outcome.ok)) {
    parts.push(`[the cell ended as ${status}${detail ? `: ${detail}` : ""}]`);
  }
  if (!outcome.stateKept) {
    parts.push("[the interpreter was started anew: variables are gone, files are still there]");
  }
  if (outcome.truncated.length > 0) parts.push("[there was more output than the gateway shows]");
  const text = parts.filter((part) => part !== "").map((part) => part.replace(/\n+$/, "")).join("\n");
  return shortened(text.replace(CONTROL_SEQUENCE, ""), limit) || "[no output]";
}

function value(shown: Shown): string {
  const types = Object.keys(shown.data);
  const pictures = types.filter((type) => type.startsWith("image/"));
  if (pictures.length > 0) return `[a picture: ${pictures.join(", ")}]`;
  return shown.text ?? shown.markdown ?? shown.html ?? `[a value of the types ${types.join(", ")}]`;
}

function shortened(text: string, limit: number): string {
  const characters = [...text]; // so that no character is cut in two
  if (characters.length <= limit) return text;
  const half = Math.floor(limit / 2);
  const missing = characters.length - 2 * half;
  const [head, tail] = [characters.slice(0, half), characters.slice(characters.length - half)];
  return `${head.join("")}\n[… ${missing} characters are left out …]\n${tail.join("")}`;
}
