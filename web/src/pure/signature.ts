// The signature in what an interpreter tells of a function, with the argument that is typed.

export interface Signature {
  before: string;
  /** The parameter that the argument goes to; empty where there is none. */
  now: string;
  after: string;
  /** The first paragraph of its documentation. */
  about: string;
}

const HEAD = /^(?:Init signature|Signature|Call signature):[ \t]*([\s\S]*?)(?=\n[A-Z][A-Za-z ]*:|$(?![\s\S]))/m;

/** Reads it; `argument` counts from zero. Nothing if there is no signature. */
export function signatureOf(text: string, argument: number): Signature | null {
  const signature = HEAD.exec(text)?.[1]?.trim().replace(/\s*\n\s*/g, " ");
  if (!signature) return null;
  const open = signature.indexOf("(");
  const parameters = open < 0 ? [] : parametersOf(signature, open + 1);
  const about = /^(?:Docstring|Init docstring):[ \t]*\n?([\s\S]+?)(?:\n\s*\n|\n[A-Z][A-Za-z ]*:|$(?![\s\S]))/m.exec(text)?.[1]?.trim() ?? "";
  // What is behind a star takes all that is left.
  const given = parameters.filter(({ from, to }) => !/^\s*[/*]\s*$/.test(signature.slice(from, to)));
  const star = given.findIndex(({ from, to }) => /^\s*\*\w/.test(signature.slice(from, to)));
  const place = given[star >= 0 ? Math.min(argument, star) : argument];
  if (!place) return { before: signature, now: "", after: "", about };
  return { before: signature.slice(0, place.from), now: signature.slice(place.from, place.to), after: signature.slice(place.to), about };
}

/** Where the parameters stand, from the opening parenthesis on. */
function parametersOf(signature: string, from: number): { from: number; to: number }[] {
  const found = [];
  let depth = 0;
  let quote = "";
  let start = from;
  for (let at = from; at < signature.length; at += 1) {
    const character = signature[at]!;
    if (quote) {
      if (character === "\\") at += 1;
      else if (character === quote) quote = "";
    } else if (character === "'" || character === '"') quote = character;
    else if ("([{".includes(character)) depth += 1;
    else if (depth > 0 && ")]}".includes(character)) depth -= 1;
    else if (depth === 0 && (character === "," || character === ")")) {
      if (signature.slice(start, at).trim() !== "") found.push(trimmed(signature, start, at));
      start = at + 1;
      if (character === ")") break;
    }
  }
  return found;
}

function trimmed(text: string, from: number, to: number): { from: number; to: number } {
  const part = text.slice(from, to);
  return { from: from + part.length - part.trimStart().length, to: to - (part.length - part.trimEnd().length) };
}
