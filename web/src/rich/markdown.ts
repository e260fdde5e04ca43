// Markdown, with formulas between dollars.

import { marked } from "marked";
import { clean, frameTables } from "./clean.js";

const FORMULA = /\$\$([\s\S]+?)\$\$|(?<![\\$\w])\$(?!\s)((?:\\.|[^$\\\n])+?)(?<!\s)\$(?![\d$])/g;
const CODE = /(```[\s\S]*?```|~~~[\s\S]*?~~~|`[^`\n]*`)/;

export async function showMarkdown(host: HTMLElement, text: string): Promise<void> {
  host.classList.add("prose");
  const formulas: { source: string; block: boolean }[] = [];
  // Formulas are put aside first: Markdown would take their underscores for emphasis.
  const marked_ = text.split(CODE).map((part, at) => (at % 2 === 1 ? part : part.replace(FORMULA, (_, block?: string, inline?: string) => {
    formulas.push({ source: (block ?? inline)!, block: block !== undefined });
    return `<span data-formula="${formulas.length - 1}"></span>`;
  }))).join("");
  const html = await marked.parse(marked_, { gfm: true });
  host.append(clean(html).fragment);
  frameTables(host);
  if (formulas.length === 0) return;
  const { formula } = await import("./math.js");
  for (const place of host.querySelectorAll<HTMLElement>("[data-formula]")) {
    const found = formulas[Number(place.dataset.formula)];
    if (found) place.replaceWith(formula(found.source, found.block));
  }
}
