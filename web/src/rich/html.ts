// HTML: what is harmless as it stands becomes part of the page and looks like it; everything else
// is shown in a frame, where it may do as it likes.

import { clean, frameTables } from "./clean.js";
import type { Kind } from "./frame.js";

/** What pandas puts around every table and what says nothing. */
const PANDAS = /<style scoped>[\s\S]*?<\/style>|\sstyle="text-align: (?:right|left|center);"/g;

/** `framed` makes the frame, or what asks before there is one. */
export function showHtml(host: HTMLElement, text: string, framed: (kind: Kind, content: unknown, title: string) => HTMLElement): void {
  const plain = text.replace(PANDAS, "");
  const cleaned = /<style|\sstyle=|<script|<iframe|<link|<svg|<canvas|\son\w+=/i.test(plain) ? null : clean(plain);
  if (cleaned && !cleaned.lost) {
    host.classList.add("prose");
    host.append(cleaned.fragment);
    frameTables(host);
  } else {
    host.append(framed("html", text, "HTML output"));
  }
}
