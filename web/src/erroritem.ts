// An error: what happened, and a traceback whose lines lead to the cells.

import type { ErrorEvent } from "../client/src/protocol.js";
import { h } from "./dom.js";
import type { Item, OutputHost } from "./outputitem.js";
import { stripEscapes } from "./pure/screen.js";
import { culprit, places, tracebackLines } from "./pure/traceback.js";
import { colouredLines } from "./textview.js";

export function errorItem(error: Pick<ErrorEvent, "name" | "value" | "traceback" | "frames">, host: OutputHost): Item {
  const lines = tracebackLines(error.traceback);
  const summary = error.value ? `${error.name}: ${error.value}` : error.name;
  const above = withoutSummary(lines, summary);
  const found = places(lines, error.frames);
  const drawn = colouredLines(above);
  for (const [at, place] of found.entries()) {
    const name = place && host.placeName(place);
    if (!name) continue;
    const link = h("button", { type: "button", className: "link place", textContent: name, onclick: () => host.goTo(place) });
    drawn[at]?.append("  ", link);
  }
  const element = h("div", { className: "error" });
  const head = h("p", { className: "summary" }, h("strong", { textContent: error.name }), error.value ? `: ${shortened(error.value)}` : "");
  const where = culprit(error.frames);
  const name = where && host.placeName(where);
  if (where && name) {
    head.append(h("button", { type: "button", className: "link place", textContent: name, onclick: () => host.goTo(where) }));
  }
  element.append(head);
  if (above.length > 0) {
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

const SUMMARY = 2000; // characters of a message that are shown above the traceback; all of a longer one stands in it

function shortened(text: string): string {
  return text.length > SUMMARY ? `${text.slice(0, SUMMARY)} …` : text;
}

/** The lines of a traceback without the last ones, where these say what the summary above them says. */
function withoutSummary(lines: string[], summary: string): string[] {
  if (summary.length > SUMMARY) return lines;
  const said = summary.trimEnd().split("\n");
  const end = lines.findLastIndex((line) => stripEscapes(line).trim() !== "") + 1;
  const from = end - said.length;
  if (from < 0 || said.some((text, at) => stripEscapes(lines[from + at]!).trimEnd() !== text.trimEnd())) return lines;
  return lines.slice(0, from);
}
