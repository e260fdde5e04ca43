// Formulas: LaTeX to MathML, which browsers draw themselves, so that no fonts and no inline
// styles are needed.

import DOMPurify from "dompurify";
import temml from "temml";
import { h } from "../dom.js";

/** One formula as an element. What cannot be read stays as its source. */
export function formula(source: string, block: boolean): HTMLElement {
  try {
    // Temml's styles are few, and a strict CSP allows none of them as attributes.
    const mathml = temml.renderToString(source, { displayMode: block, throwOnError: true, trust: false }).replace(/ style="[^"]*"/g, "");
    const host = h(block ? "div" : "span", { className: "formula" });
    host.append(DOMPurify.sanitize(mathml, { USE_PROFILES: { mathMl: true }, RETURN_DOM_FRAGMENT: true }));
    return host;
  } catch {
    return h("code", { textContent: source });
  }
}

/** A formula within a text, in dollars, brackets or an environment. */
const FORMULA = /\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\]|(\\begin\{([a-z]+\*?)\}[\s\S]+?\\end\{\4\})|(?<!\\)\$((?:\\.|[^$\\])+?)\$|\\\(([\s\S]+?)\\\)/g;

type Part = { text: string } | { source: string; block: boolean };

/** The formulas of a text and what stands around them; a formula alone is one part. */
function partsOf(text: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const found of text.matchAll(FORMULA)) {
    if (found.index > at) parts.push({ text: text.slice(at, found.index) });
    const block = found[1] ?? found[2] ?? found[3];
    parts.push({ source: (block ?? found[5] ?? found[6])!, block: block !== undefined });
    at = found.index + found[0].length;
  }
  if (at < text.length) parts.push({ text: text.slice(at) });
  return parts;
}

/** Text with formulas in it: an empty line parts paragraphs. */
function showProse(host: HTMLElement, parts: Part[]): void {
  host.classList.add("prose");
  let paragraph: HTMLElement | null = null;
  const into = () => {
    if (!paragraph) host.append(paragraph = h("p"));
    return paragraph;
  };
  for (const part of parts) {
    if ("source" in part) {
      if (!part.block) into().append(formula(part.source, false));
      else {
        host.append(formula(part.source, true));
        paragraph = null;
      }
      continue;
    }
    for (const [at, piece] of part.text.split(/\n\s*\n/).entries()) {
      if (at > 0) paragraph = null;
      if (piece.trim() !== "") into().append(piece.replace(/\\([$%&#_])/g, "$1"));
      else if (piece !== "" && paragraph) into().append(" ");
    }
  }
}

/** A `text/latex` value: formulas in dollars or environments, and text around them. */
export function showMath(host: HTMLElement, text: string): void {
  const trimmed = text.trim();
  const parts = partsOf(trimmed);
  if (parts.length > 1) return showProse(host, parts);
  const block = /^\$\$([\s\S]+)\$\$$/.exec(trimmed) ?? /^\\\[([\s\S]+)\\\]$/.exec(trimmed);
  const inline = /^\$([\s\S]+)\$$/.exec(trimmed) ?? /^\\\(([\s\S]+)\\\)$/.exec(trimmed);
  const source = block?.[1] ?? inline?.[1] ?? trimmed;
  const display = block !== null || inline === null || source.startsWith("\\displaystyle");
  host.append(formula(source.replace(/^\\displaystyle\s*/, ""), display));
}
