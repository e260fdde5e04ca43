// HTML that becomes part of the page: what it may hold, and what of it asks nobody anything.

import DOMPurify from "dompurify";
import { h } from "../dom.js";

/** Attributes that may be left out without a loss: the page has its own look. */
const NEEDLESS = ["id", "name", "class", "border", "style"];
const CONFIG = {
  USE_PROFILES: { html: true },
  FORBID_TAGS: ["style", "form", "input", "button", "dialog", "video", "audio", "source", "track", "picture"],
  FORBID_ATTR: [...NEEDLESS, "srcset", "background", "poster"],
  RETURN_DOM_FRAGMENT: true as const,
};

/** Gives the tables within their look, and a place of their own to scroll in. */
export function frameTables(host: HTMLElement): void {
  for (const table of host.querySelectorAll("table")) {
    const scroller = h("div", { className: "scroller", tabIndex: 0 });
    scroller.setAttribute("role", "region");
    scroller.setAttribute("aria-label", "Table");
    table.replaceWith(scroller);
    scroller.append(table);
  }
}

/** The HTML as it may stand in the page, and whether anything was lost. */
export function clean(html: string): { fragment: DocumentFragment; lost: boolean } {
  const fragment = DOMPurify.sanitize(html, CONFIG);
  const lost = DOMPurify.removed.some((removed) => "element" in removed || !NEEDLESS.includes(removed.attribute?.name ?? ""));
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
  // Pictures from elsewhere would tell elsewhere who looks: the page loads none.
  for (const picture of fragment.querySelectorAll("img")) {
    if (/^(data|blob):/.test(picture.src)) continue;
    picture.replaceWith(h("a", { href: picture.src, target: "_blank", rel: "noopener noreferrer", textContent: picture.alt || picture.src }));
  }
  return { fragment, lost };
}
