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

/** A `text/latex` value: formulas in dollars or environments, and text around them. */
export function showMath(host: HTMLElement, text: string): void {
  const trimmed = text.trim();
  const block = /^\$\$([\s\S]+)\$\$$/.exec(trimmed) ?? /^\\\[([\s\S]+)\\\]$/.exec(trimmed);
  const inline = /^\$([\s\S]+)\$$/.exec(trimmed) ?? /^\\\(([\s\S]+)\\\)$/.exec(trimmed);
  const source = block?.[1] ?? inline?.[1] ?? trimmed;
  const display = block !== null || inline === null || source.startsWith("\\displaystyle");
  host.append(formula(source.replace(/^\\displaystyle\s*/, ""), display));
}
