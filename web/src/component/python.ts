// Python as it is shown before it is edited: its indentation, and light colours.

/** Without the indentation that all lines have, and without blank lines around. */
export function dedent(text: string): string {
  const lines = text.replace(/\r\n?/g, "\n").replace(/^(?:[ \t]*\n)+/, "").trimEnd().split("\n");
  const depths = lines.filter((line) => line.trim() !== "").map((line) => /^[ \t]*/.exec(line)![0].length);
  const depth = depths.length > 0 ? Math.min(...depths) : 0;
  return lines.map((line) => line.slice(depth)).join("\n");
}

const TOKENS = new RegExp([
  /(#.*)/, // comment
  /((?:\b[rbfu]{1,2})?(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))/, // string
  /\b(False|None|True|and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield)\b/,
  /\b(\d[\w.]*)/, // number
].map(({ source }) => source).join("|"), "gi");
const CLASSES = ["comment", "string", "keyword", "number"];

/** The code as text and coloured parts. */
export function coloured(code: string): (string | HTMLElement)[] {
  const parts: (string | HTMLElement)[] = [];
  let at = 0;
  for (const found of code.matchAll(TOKENS)) {
    parts.push(code.slice(at, found.index));
    const part = document.createElement("span");
    part.className = CLASSES[found.slice(1).findIndex((group) => group !== undefined)]!;
    part.textContent = found[0];
    parts.push(part);
    at = found.index + found[0].length;
  }
  parts.push(code.slice(at));
  return parts;
}
