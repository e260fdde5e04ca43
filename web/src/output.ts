// The output of one cell: text, values, errors and questions, in the order they came.

import type { InputRequest, SessionEvent } from "../client/src/protocol.js";
import { h } from "./dom.js";
import { errorItem } from "./erroritem.js";
import { InputItem } from "./inputitem.js";
import type { Item, OutputHost } from "./outputitem.js";
import type { NotebookOutput } from "./pure/document.js";
import { shownBy } from "./pure/notebookoutput.js";
import { bytes } from "./pure/words.js";
import { renderRich } from "./rich/rich.js";
import { TextView } from "./textview.js";

interface Display extends Item { displayId?: string }

export class Output {
  readonly element = h("div", { className: "output" });
  readonly #host: OutputHost;
  readonly #name: string;
  #items: Item[] = [];
  #text: TextView | null = null;
  #late: TextView | null = null;
  #input: InputItem | null = null;
  #clearNext = false;
  /** What callbacks of the cell's widgets have shown; they clear nothing else. */
  readonly #beside = new Set<Item>();
  #isBeside = false;
  #clearBesideNext = false;

  constructor(host: OutputHost, name: string) {
    this.#host = host;
    this.#name = name;
  }

  get empty(): boolean { return this.#items.length === 0; }

  /** Lines of text that were written, also those that are not shown. */
  get lineCount(): number { return this.#items.reduce((sum, item) => sum + (item.lines?.() ?? 0), 0); }

  /** Whether a question waits for its answer. */
  get asking(): boolean { return this.#input?.open ?? false; }

  clear(): void {
    this.#items = [];
    this.#text = this.#late = null;
    this.#input = null;
    this.#clearNext = this.#clearBesideNext = false;
    this.#beside.clear();
    this.element.replaceChildren();
  }

  /** Takes what a callback of one of the cell's widgets shows: below what the cell has shown. */
  takeBeside(event: SessionEvent): void {
    if (event.type === "done") return this.#endInput();
    if (event.type === "clear_output") {
      if (event.wait) this.#clearBesideNext = true;
      else this.#clearBeside();
      return;
    }
    if (this.#clearBesideNext) this.#clearBeside();
    this.#isBeside = true;
    this.take(event);
    this.#isBeside = false;
  }

  #clearBeside(): void {
    this.#clearBesideNext = false;
    for (const item of this.#beside) item.element.remove();
    this.#items = this.#items.filter((item) => !this.#beside.has(item));
    this.#beside.clear();
    this.#text = this.#late = null;
  }

  take(event: SessionEvent): void {
    switch (event.type) {
      case "stdout":
      case "stderr":
        if ("program" in event) return; // of a process, which is no cell's
        this.#beforeOutput();
        if (event.late) this.#lateText().write(event.text, event.type);
        else (this.#text ??= this.#newText()).write(event.text, event.type);
        return;
      case "result":
        this.#beforeOutput();
        this.#add(this.#value(event.id, event.data, event.metadata, "execute_result"));
        return;
      case "display":
        if (event.update && event.display_id !== undefined) {
          this.#host.updateDisplay(event.id, event.display_id, event.data, event.metadata);
          return;
        }
        this.#beforeOutput();
        this.#add(this.#value(event.id, event.data, event.metadata, "display_data", event.display_id));
        return;
      case "clear_output":
        if (event.wait) this.#clearNext = true;
        else this.clear();
        return;
      case "input_request":
        this.#beforeOutput();
        this.#ask(event);
        return;
      case "error":
        this.#beforeOutput();
        this.#add(errorItem(event, this.#host));
        return;
      case "truncated":
        this.#note(`${bytes(event.omitted_bytes)} of ${event.stream} left out: the limit for output was reached.`, {
          label: "Download all",
          act: () => this.#host.downloadOutput(event.id),
        });
        return;
      case "done":
        this.#endInput();
        this.#text = null;
        return;
    }
  }

  /** Shows the outputs of a notebook, under an id in the place of a run's. `cut`: there were more. */
  restore(run: string, outputs: NotebookOutput[], cut: boolean): void {
    this.clear();
    for (const output of outputs) {
      const shown = shownBy(output);
      if (!shown) continue;
      if ("text" in shown) (this.#text ??= this.#newText()).write(shown.text, shown.type);
      else if ("name" in shown) this.#add(errorItem({ ...shown, frames: [] }, this.#host));
      else this.#add(this.#value(run, withoutWidget(shown.data), shown.metadata, shown.type === "result" ? "execute_result" : "display_data", shown.displayId));
    }
    this.#text = null;
    if (cut) this.#note("More was shown than is kept: run the cell again to see all.");
  }

  /** Shows what another run, or this one, has put under a display id; says whether it was here. */
  update(run: string, displayId: string, data: Record<string, unknown>, metadata: Record<string, unknown>): boolean {
    let found = false;
    for (const [at, item] of this.#items.entries()) {
      if ((item as Display).displayId !== displayId) continue;
      const changed = this.#value(run, data, metadata, "display_data", displayId);
      item.element.replaceWith(changed.element);
      this.#items[at] = changed;
      found = true;
    }
    return found;
  }

  plain(): string {
    return this.#items.map((item) => item.plain()).filter((text) => text !== "").join("\n");
  }

  markdown(): string {
    return this.#items.map((item) => item.markdown()).filter((text) => text !== "").join("\n\n");
  }

  /** Lines that are in no notebook: the page does not keep them one by one. */
  get omitted(): number { return this.#items.reduce((sum, item) => sum + (item.omitted?.() ?? 0), 0); }

  notebook(): object[] {
    return this.#items.flatMap((item) => item.notebook());
  }

  #beforeOutput(): void {
    if (this.#clearNext) this.clear();
  }

  #add(item: Item): void {
    this.#text = null;
    this.#items.push(item);
    if (this.#isBeside) this.#beside.add(item);
    this.element.append(item.element);
  }

  /** A value that a run shows, which need not be the run of this cell. */
  #value(
    run: string, data: Record<string, unknown>, metadata: Record<string, unknown>, kind: "execute_result" | "display_data", displayId?: string,
  ): Display {
    const { element, plain, markdown } = this.#host.widget(run, data, metadata) ?? renderRich(data, metadata, this.#host.consent(run), this.#host.tablesOf(run));
    return {
      element,
      ...(displayId !== undefined && { displayId }),
      plain: () => plain,
      markdown: () => markdown,
      notebook: () => [{
        output_type: kind, data,
        metadata: displayId === undefined ? metadata : { ...metadata, cellgate: { display_id: displayId } },
        ...(kind === "execute_result" && { execution_count: null }),
      }],
    };
  }

  #newText(): TextView {
    const view = new TextView(this.#host.frames, this.#name);
    this.#add(textItem(view));
    return view;
  }

  #lateText(): TextView {
    if (this.#late) return this.#late;
    this.#note("Written after the cell had ended:");
    this.#late = new TextView(this.#host.frames, `${this.#name}-late`);
    this.#add(textItem(this.#late));
    return this.#late;
  }

  #note(text: string, offer?: { label: string; act: () => void }): void {
    const element = h("p", { className: "note", textContent: text });
    if (offer) element.append(" ", h("button", { type: "button", className: "link", textContent: offer.label, onclick: offer.act }));
    this.#add({ element, plain: () => `[${text}]`, markdown: () => `*${text}*`, notebook: () => [] });
  }

  #ask(request: InputRequest): void {
    this.#endInput();
    this.#input = new InputItem(request, this.#host);
    this.#add(this.#input);
    this.#input.focus();
  }

  #endInput(): void {
    this.#input?.end();
    this.#input = null;
  }
}

/** A widget lives in its session: of one from an earlier session its text is shown. */
function withoutWidget(data: Record<string, unknown>): Record<string, unknown> {
  const { "application/vnd.jupyter.widget-view+json": widget, ...rest } = data;
  if (widget === undefined) return data;
  return { ...rest, "text/plain": "A widget was shown here: run the cell again to use it." };
}

function textItem(view: TextView): Item {
  return {
    element: view.element,
    plain: () => view.plainText().replace(/\n$/, ""),
    markdown: () => `\`\`\`\n${view.plainText().replace(/\n$/, "")}\n\`\`\``,
    notebook: () => view.screen.streams().map((stream) => ({ output_type: "stream", ...stream })),
    omitted: () => view.screen.view().omitted,
    lines: () => view.screen.writtenLines,
  };
}
