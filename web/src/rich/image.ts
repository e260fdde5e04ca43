// Images: click to enlarge, and to save.

import { render } from "lit-html";
import { byId, download, h, icon, removeDialog } from "../dom.js";

/** `value` is base64, or the text of an SVG. An SVG shown as an image runs no scripts. */
export function image(type: string, value: string, metadata: Record<string, unknown>, description: string): HTMLElement {
  const source = type === "image/svg+xml"
    ? `data:image/svg+xml;charset=utf-8,${encodeURIComponent(value)}`
    : `data:${type};base64,${value.replace(/\s/g, "")}`;
  const alt = typeof metadata.alt === "string" ? metadata.alt : /^<.*>$/s.test(description) || !description ? "Image output" : description;
  const picture = h("img", { src: source, alt, decoding: "async" });
  // As attributes they reserve the place before the image is decoded.
  for (const side of ["width", "height"] as const) {
    if (typeof metadata[side] === "number") picture.setAttribute(side, String(metadata[side]));
  }
  const button = h("button", { type: "button", className: "picture", title: "Enlarge", onclick: () => enlarge(source, alt, type) }, picture);
  button.setAttribute("aria-label", `Enlarge: ${alt}`);
  const figure = h("figure", { className: "rich image" }, button);
  figure.dataset.source = source;
  return figure;
}

function enlarge(source: string, alt: string, type: string): void {
  const save = h("button", { type: "button", className: "quiet", onclick: () => void saveImage(source, type) });
  const close = h("button", { type: "button", className: "quiet", onclick: () => dialog.close() });
  render([icon("save"), " Save"], save);
  render([icon("close"), " Close"], close);
  const dialog: HTMLDialogElement = h("dialog", { className: "viewer", aria: { label: alt } },
    h("div", { className: "bar" }, save, close), h("img", { src: source, alt }));
  dialog.addEventListener("close", () => removeDialog(dialog));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  byId("dialogs").append(dialog);
  dialog.showModal();
}

function saveImage(source: string, type: string): void {
  const comma = source.indexOf(",");
  const body = source.slice(comma + 1);
  const content = source.slice(0, comma).endsWith(";base64")
    ? Uint8Array.from(atob(body), (c) => c.charCodeAt(0))
    : decodeURIComponent(body);
  download(`image.${type.replace(/^image\//, "").replace("svg+xml", "svg").replace("jpeg", "jpg")}`, new Blob([content], { type }));
}
