// JSON as a tree that opens level by level; children are made when they are first seen.

import { h } from "../dom.js";

const PAGE = 100; // entries shown at once of one list or object

export function jsonTree(value: unknown, metadata: Record<string, unknown>): HTMLElement {
  const options = (metadata["application/json"] ?? metadata) as { expanded?: unknown; root?: unknown };
  const root = typeof options.root === "string" ? options.root : null;
  return h("div", { className: "rich json" }, node(root, value, options.expanded !== false));
}

function node(name: string | null, value: unknown, open: boolean): HTMLElement {
  const label = name === null ? [] : [h("span", { className: "key", textContent: name }), ": "];
  if (typeof value !== "object" || value === null) {
    const kind = value === null ? "null" : typeof value;
    return h("div", { className: "leaf" }, ...label, h("span", { className: kind, textContent: JSON.stringify(value) }));
  }
  const entries = Object.entries(value);
  const isList = Array.isArray(value);
  const size = isList ? `[${entries.length}]` : `{${entries.length}}`;
  if (entries.length === 0) return h("div", { className: "leaf" }, ...label, isList ? "[]" : "{}");
  const details = h("details", {}, h("summary", {}, ...label, h("span", { className: "size", textContent: size })));
  let shown = 0;
  const more = () => {
    const next = entries.slice(shown, shown + PAGE).map(([key, child]) => node(key, child, false));
    shown += next.length;
    details.append(...next);
    if (shown < entries.length) {
      const button = h("button", {
        type: "button", className: "link", textContent: `${entries.length - shown} more`,
        onclick: () => { button.remove(); more(); },
      });
      details.append(button);
    }
  };
  details.addEventListener("toggle", () => { if (details.open && shown === 0) more(); });
  if (open) {
    more();
    details.open = true;
  }
  return details;
}
