// Shows a value in the richest of its forms. What is heavy is loaded when it is first needed; the
// element is there at once, so that the order of outputs never depends on loading.

import type { MimeBundle } from "../../client/src/protocol.js";
import { h } from "../dom.js";
import { asText, choose } from "../pure/mime.js";
import { readTable } from "../pure/table.js";
import { colouredLines } from "../textview.js";
import { withConsent } from "./consent.js";
import type { Consent } from "./consent.js";
import { frameFor } from "./frame.js";
import type { Kind } from "./frame.js";
import { image } from "./image.js";
import { jsonTree } from "./json.js";
import { tableView } from "./table.js";
import type { TableHost } from "./table.js";

/** How a value can be taken along. */
export interface Rich { element: HTMLElement; plain: string; markdown: string }

/** `consent`: what the user is asked for before scripts of it run. `tables`: whom tables ask for their other rows. */
export function renderRich(data: MimeBundle, metadata: Record<string, unknown>, consent: Consent | null, tables: TableHost | null): Rich {
  const framed = (kind: Kind, content: unknown, title: string) => withConsent(consent, () => frameFor(kind, content, title));
  if (Object.keys(data).some((kind) => /^application\/vnd\.bokehjs_(?:load|exec)\./.test(kind))) {
    const why = "Bokeh's notebook mode draws nothing here: each output has a frame of its own, and its library would be in another one. Show a figure with its library instead:";
    const how = "from IPython.display import HTML; from bokeh.embed import file_html; from bokeh.resources import INLINE; HTML(file_html(figure, INLINE))";
    return { element: h("p", { className: "note" }, `${why} `, h("code", { textContent: how })), plain: `${why} ${how}`, markdown: `${why} \`${how}\`` };
  }
  const type = choose(data);
  const plain = typeof data["text/plain"] === "string" || Array.isArray(data["text/plain"]) ? asText(data["text/plain"]) : "";
  const fenced = plain ? `\`\`\`\n${plain}\n\`\`\`` : "";
  const value = type === undefined ? undefined : data[type];
  const only = (element: HTMLElement, markdown = fenced): Rich => ({ element, plain, markdown });
  if (type === undefined) {
    const types = Object.keys(data).join(", ") || "nothing";
    return only(h("p", { className: "note", textContent: `This page cannot show ${types}.` }));
  }
  if (type === "application/vnd.dataresource+json") {
    const table = readTable(value, metadata[type] as Record<string, unknown> | undefined);
    if (table) {
      const view = tableView(table, tables);
      // Of a list of dicts the text is a form of its own.
      return data["text/html"] === undefined && /^\[/.test(plain) ? { ...view, element: withText(view.element, plain), plain } : view;
    }
  }
  if (type === "application/vnd.plotly.v1+json") return only(framed("plotly", value, "Interactive chart"));
  if (/^application\/vnd\.vega/.test(type)) {
    // The lines after the first one are Altair's, for pages that cannot draw it.
    const name = plain.split("\n")[0]!;
    return { element: framed("vega", value, "Chart"), plain: name, markdown: name };
  }
  if (type === "text/html") return only(later(async (host) => (await import("./html.js")).showHtml(host, asText(value), framed)));
  if (type === "text/markdown") {
    const text = asText(value);
    return { element: later(async (host) => (await import("./markdown.js")).showMarkdown(host, text)), plain: text, markdown: text };
  }
  if (type === "text/latex") {
    const text = asText(value);
    return { element: later(async (host) => (await import("./math.js")).showMath(host, text)), plain: text, markdown: text };
  }
  if (type === "application/javascript") return only(framed("script", asText(value), "Output of a script"));
  if (type.startsWith("image/")) {
    const element = image(type, asText(value), (metadata[type] ?? metadata) as Record<string, unknown>, plain);
    return only(element, `![${plain.replace(/[[\]\n]/g, " ") || "image"}](${element.dataset.source})`);
  }
  if (type.startsWith("video/") || type.startsWith("audio/")) {
    const src = `data:${type};base64,${asText(value).replace(/\s/g, "")}`;
    return only(type.startsWith("video/") ? h("video", { controls: true, src }) : h("audio", { controls: true, src }));
  }
  if (type === "application/json") {
    const text = JSON.stringify(value, null, 2);
    return { element: jsonTree(value, metadata), plain: plain || text, markdown: `\`\`\`json\n${text}\n\`\`\`` };
  }
  return only(h("div", { className: "text value" }, ...colouredLines(asText(value).split("\n"))));
}

/** A table, and below it, folded, the value as text. */
function withText(table: HTMLElement, plain: string): HTMLElement {
  const text = h("details", { className: "astext" }, h("summary", { textContent: "As text" }));
  text.addEventListener("toggle", () => {
    if (text.childElementCount === 1) text.append(h("div", { className: "text value" }, ...colouredLines(plain.split("\n"))));
  });
  table.append(text);
  return table;
}

/** An element whose content comes when its code is there. */
function later(show: (host: HTMLElement) => Promise<void> | void): HTMLElement {
  const host = h("div", { className: "rich" });
  Promise.resolve(show(host)).catch((error: unknown) => {
    host.replaceChildren(h("p", { className: "note", textContent: `This output cannot be shown: ${String(error)}` }));
  });
  return host;
}
