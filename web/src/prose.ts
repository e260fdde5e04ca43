// A Markdown cell as it is read: rendered, with formulas, tables and the pictures that the notebook holds.

import { h } from "./dom.js";
import { asText } from "./pure/mime.js";
import type { Attachments } from "./pure/notebook.js";

export interface Heading { level: number; text: string; element: HTMLElement }

export class Prose {
  readonly element = h("div", { className: "prose", title: "Double-click to edit" });
  readonly #attachments: Attachments | undefined;
  #shown: string | undefined;

  /** `edit` is called when the reader wants to change the text. */
  constructor(text: string, attachments: Attachments | undefined, edit: () => void) {
    this.#attachments = attachments;
    this.element.addEventListener("dblclick", edit);
    this.show(text);
  }

  /** The headings, in their order. */
  get headings(): Heading[] {
    return [...this.element.querySelectorAll<HTMLElement>("h1, h2, h3, h4")].map((element) => ({
      level: Number(element.tagName[1]), text: element.textContent.trim(), element,
    }));
  }

  show(text: string): void {
    if (text === this.#shown) return;
    this.#shown = text;
    // The text itself stands there until the code that renders it has come.
    if (!this.element.hasChildNodes()) this.element.append(h("pre", { textContent: text }));
    void import("./rich/markdown.js").then(async ({ showMarkdown }) => {
      const made = h("div");
      await showMarkdown(made, this.#withPictures(text));
      if (this.#shown === text) this.element.replaceChildren(...made.childNodes);
    }).catch(() => {
      // The code that renders it cannot be had: the text can be read as it is.
      this.element.replaceChildren(h("pre", { textContent: text }));
    });
  }

  /** The text with the notebook's own pictures (`attachment:NAME`) in the place of their names. */
  #withPictures(text: string): string {
    const attachments = this.#attachments;
    if (!attachments) return text;
    return text.replace(/attachment:([^\s)"'>]+)/g, (whole, name: string) => {
      const forms = attachments[name] ?? attachments[decoded(name)];
      const [type, content] = Object.entries(forms ?? {}).find(([kind]) => kind.startsWith("image/")) ?? [];
      if (!type || content === undefined) return whole;
      const value = asText(content);
      return type === "image/svg+xml" ? `data:${type},${encodeURIComponent(value)}` : `data:${type};base64,${value.replace(/\s/g, "")}`;
    });
  }
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
