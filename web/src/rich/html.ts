// HTML: what is harmless as it stands becomes part of the page and looks like it; everything else
// is shown in a frame, where it may do as it likes.

import DOMPurify from "dompurify";
import { h } from "../dom.js";
import { frameFor } from "./frame.js";

/** Attributes that may be left out without a loss: the page has its own look. */
const NEEDLESS = ["id", "name", "class", "border", "style"];
const CONFIG = { FORBID_TAGS: ["style", "form", "input", "button", "dialog"], FORBID_ATTR: NEEDLESS, RETURN_DOM_FRAGMENT: true as const };

/** What pandas puts around every table and what says nothing. */
const PANDAS = /<style scoped>[\s\S]*?<\/style>|\sstyle="text-align: (?:right|left|center);"/g;

export function showHtml(host: HTMLElement, text: string): void {
  const plain = text.replace(PANDAS, "");
  const clean = /<style|\sstyle=|<script|<iframe|<link|<svg|<canvas|\son\w+=/i.test(plain) ? null : sanitised(plain);
  if (clean) {
    host.classList.add("prose");
    host.append(clean);
    for (const table of host.querySelectorAll("table")) {
      const scroller = h("div", { className: "scroller", tabIndex: 0 });
      scroller.setAttribute("role", "region");
      scroller.setAttribute("aria-label", "Table");
      table.replaceWith(scroller);
      scroller.append(table);
    }
  } else {
    host.append(frameFor("html", text, "HTML output"));
  }
}

/** The HTML as it would be in the page, or nothing if something had to be taken out. */
function sanitised(text: string): DocumentFragment | null {
  const clean = DOMPurify.sanitize(text, CONFIG);
  const lost = DOMPurify.removed.some((removed) => "element" in removed || !NEEDLESS.includes(removed.attribute?.name ?? ""));
  return lost ? null : clean;
}
