// An error: what happened, and a traceback whose lines lead to the cells.

import type { ErrorEvent } from "../client/src/protocol.js";
import { h } from "./dom.js";
import type { Item, OutputHost } from "./outputitem.js";
import { stripEscapes } from "./pure/screen.js";
import { culprit, places, tracebackLines } from "./pure/traceback.js";
import { colouredLines } from "./textview.js";

export function errorItem(error: ErrorEvent, host: OutputHost): Item {
  const lines = tracebackLines(error.traceback);
  const found = places(lines, error.frames);
  const drawn = colouredLines(lines);
  for (const [at, place] of found.entries()) {
    const name = place && host.placeName(place);
    if (!name) continue;
    const link = h("button", { type: "button", className: "link place", textContent: name, onclick: () => host.goTo(place) });
    drawn[at]?.append("  ", link);
  }
  const summary = error.value ? `${error.name}: ${error.value}` : error.name;
  const element = h("div", { className: "error" });
  const head = h("p", { className: "summary" }, h("strong", { textContent: error.name }), error.value ? `: ${error.value}` : "");
  const where = culprit(error.frames);
  const name = where && host.placeName(where);
  if (where && name) {
    head.append(h("button", { type: "button", className: "link place", textContent: name, onclick: () => host.goTo(where) }));
  }
  element.append(head);
  // A traceback of the last line alone says nothing that the summary does not.
  if (drawn.length > 1) {
    const text = h("div", { className: "text trace", tabIndex: 0 }, ...drawn);
    text.setAttribute("role", "region");
    text.setAttribute("aria-label", "Traceback");
    // Whoever stopped a cell knows why it ended.
    const details = h("details", { open: error.name !== "KeyboardInterrupt" }, h("summary", { textContent: "Traceback" }), text);
    element.append(details);
  }
  const plain = stripEscapes(lines.join("\n")) || summary;
  return {
    element,
    plain: () => plain,
    markdown: () => `\`\`\`pytb\n${plain}\n\`\`\``,
    notebook: () => [{ output_type: "error", ename: error.name, evalue: error.value, traceback: error.traceback }],
  };
}
