// A question of a cell, answered in place: one line, hidden if it is a password.

import type { InputRequest } from "../client/src/protocol.js";
import { h } from "./dom.js";
import type { Item, OutputHost } from "./outputitem.js";

export class InputItem implements Item {
  readonly element: HTMLElement;
  readonly #field: HTMLInputElement;
  readonly #request: InputRequest;
  #answer: string | null = null;

  constructor(request: InputRequest, host: OutputHost) {
    this.#request = request;
    const prompt = request.prompt.trim();
    this.#field = h("input", {
      type: request.password ? "password" : "text", autocomplete: "off", spellcheck: false, disabled: !host.canAnswer(),
    });
    this.#field.setAttribute("aria-label", prompt || (request.password ? "Password for the cell" : "Input for the cell"));
    const form = h("form", { className: "input" },
      ...(prompt ? [h("span", { className: "prompt", textContent: request.prompt, aria: { hidden: "true" } })] : []),
      this.#field,
      h("button", { type: "submit", className: "quiet", textContent: "Enter", disabled: !host.canAnswer() }),
      h("button", {
        type: "button", className: "quiet", textContent: "End of input", title: "Answers with the end of the input (Ctrl+D)",
        disabled: !host.canAnswer(), onclick: () => send(null),
      }));
    const send = (text: string | null) => {
      this.#answer = text;
      this.end();
      host.answer(request.id, text);
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(this.#field.value);
    });
    this.#field.addEventListener("keydown", (event) => {
      // The keys of the cell list mean letters here.
      event.stopPropagation();
      if (event.ctrlKey && event.key === "d") {
        event.preventDefault();
        send(null);
      }
    });
    this.element = h("div", { className: "question" }, form);
  }

  focus(): void {
    // Only when the reader is not busy elsewhere.
    const active = document.activeElement;
    if (!this.#field.disabled && (!active || active === document.body || active.closest(".cell")?.contains(this.element))) this.#field.focus();
  }

  /** Whether it waits for its answer. */
  get open(): boolean { return this.element.firstElementChild?.matches("form") ?? false; }

  /** It was answered, here or by somebody else, or the cell ended. */
  end(): void {
    if (!this.open) return;
    const focused = this.element.contains(document.activeElement);
    this.element.replaceChildren(h("div", { className: "text" }, h("div", { className: "line", textContent: this.plain() })));
    // The field that had the focus is gone: the cell has it, and its keys work.
    if (focused) this.element.closest<HTMLElement>(".cell")?.focus({ preventScroll: true });
  }

  plain(): string {
    const shown = this.#answer === null ? "" : this.#request.password ? "••••••" : this.#answer;
    return this.#request.prompt + shown;
  }

  markdown(): string { return `\`\`\`\n${this.plain()}\n\`\`\``; }

  notebook(): object[] { return [{ output_type: "stream", name: "stdout", text: `${this.plain()}\n` }]; }
}
