// Code as it is shown before it is edited: its indentation, and light colours.

/** Without the indentation that all lines have, and without blank lines around. */
export function dedent(text: string): string {
  const lines = text.replace(/\r\n?/g, "\n").replace(/^(?:[ \t]*\n)+/, "").trimEnd().split("\n");
  const depths = lines.filter((line) => line.trim() !== "").map((line) => /^[ \t]*/.exec(line)![0].length);
  const depth = depths.length > 0 ? Math.min(...depths) : 0;
  return lines.map((line) => line.slice(depth)).join("\n");
}

const TITLES: Record<string, string> = { python: "Python", javascript: "JavaScript", typescript: "TypeScript" };

/** The language's name for people. */
export function titleOf(language: string): string { return TITLES[language] ?? language; }

const QUOTED = `"(?:\\\\.|[^"\\\\\\n])*"?|'(?:\\\\.|[^'\\\\\\n])*'?`;

const PYTHON = [
  /(#.*)/, // comment
  /((?:\b[rbfu]{1,2})?(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))/, // string
  /\b(False|None|True|and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield)\b/,
];
const JAVASCRIPT = [
  /(\/\/.*|\/\*[^]*?(?:\*\/|$))/,
  new RegExp(`(${QUOTED}|\`(?:\\\\.|[^\`\\\\])*\`?)`),
  /\b(async|await|break|case|catch|class|const|continue|default|delete|do|else|export|extends|false|finally|for|from|function|if|import|in|instanceof|let|new|null|of|return|static|super|switch|this|throw|true|try|typeof|undefined|var|void|while|yield)\b/,
];
const SHELL = [
  /((?<![^\s;])#.*)/,
  new RegExp(`(${QUOTED})`),
  /\b(case|cd|declare|do|done|echo|elif|else|esac|exit|export|fi|for|function|if|in|local|printf|read|return|set|then|until|while)\b/,
];
const NUMBER = /\b(\d[\w.]*)/;
const LANGUAGES: Record<string, RegExp[]> = { python: PYTHON, javascript: JAVASCRIPT, typescript: JAVASCRIPT, bash: SHELL };
const CLASSES = ["comment", "string", "keyword", "number"];

/** The code as text and coloured parts; of a language that is not known here as text alone. */
export function coloured(code: string, language: string): (string | HTMLElement)[] {
  const known = LANGUAGES[language];
  if (!known) return [code];
  const tokens = new RegExp([...known, NUMBER].map(({ source }) => source).join("|"), language === "python" ? "gi" : "g");
  const parts: (string | HTMLElement)[] = [];
  let at = 0;
  for (const found of code.matchAll(tokens)) {
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
