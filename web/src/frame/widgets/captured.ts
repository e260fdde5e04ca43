// What an Output widget has captured: text, errors, HTML, images and further widgets.

import { DOMWidgetView } from "@jupyter-widgets/base";
import { Widget } from "@lumino/widgets";
import { marked } from "marked";
import { VIEW } from "../../pure/comms.js";
import { asText } from "../../pure/mime.js";
import { Screen } from "../../pure/screen.js";
import { span } from "../../textview.js";
import { typeset } from "./formula.js";
import type { Manager } from "./manager.js";

interface Output {
  output_type?: string;
  name?: string;
  text?: unknown;
  data?: Record<string, unknown>;
  metadata?: Record<string, unknown>;
  ename?: string;
  evalue?: string;
  traceback?: string[];
}

const IMAGE = /^image\/(?:png|jpeg|gif|webp|avif|bmp|svg\+xml)$/;

export class CapturedView extends DOMWidgetView {
  /** What is shown, each with the output that it is of: what has not changed stays. */
  #shown: { key: string; element: HTMLElement }[] = [];

  override render(): void {
    super.render();
    this.el.classList.add("jupyter-widgets", "captured");
    this.listenTo(this.model, "change:outputs", () => this.#draw());
    this.#draw();
  }

  #draw(): void {
    const outputs = this.model.get("outputs") as unknown;
    const before = this.#shown;
    this.#shown = (Array.isArray(outputs) ? outputs as Output[] : []).map((output, at) => {
      const key = JSON.stringify(output);
      return before[at]?.key === key ? before[at] : { key, element: this.#element(output) };
    });
    this.el.replaceChildren(...this.#shown.map(({ element }) => element));
  }

  #element(output: Output): HTMLElement {
    if (output.output_type === "stream") return terminal(asText(output.text), output.name === "stderr" ? "stderr" : "stdout");
    if (output.output_type === "error") {
      const element = document.createElement("div");
      element.className = "failure";
      const head = document.createElement("p");
      head.textContent = output.evalue ? `${output.ename}: ${output.evalue}` : String(output.ename);
      element.append(head, terminal((output.traceback ?? []).join("\n"), "stdout"));
      return element;
    }
    return this.#value(output.data ?? {}, output.metadata ?? {});
  }

  #value(data: Record<string, unknown>, metadata: Record<string, unknown>): HTMLElement {
    const host = document.createElement("div");
    const { tools } = this.model.widget_manager as unknown as Manager;
    const image = Object.keys(data).find((type) => IMAGE.test(type));
    if (VIEW in data) void this.#widget(host, (data[VIEW] as { model_id?: unknown }).model_id);
    else if ("text/html" in data) tools.html(host, asText(data["text/html"]));
    else if (image !== undefined) {
      const picture = document.createElement("img");
      const text = asText(data[image]);
      picture.src = image === "image/svg+xml" ? `data:${image},${encodeURIComponent(text)}` : `data:${image};base64,${text.replace(/\s/g, "")}`;
      picture.alt = asText(data["text/plain"] ?? "");
      const { width, height } = (metadata[image] ?? metadata) as { width?: unknown; height?: unknown };
      if (typeof width === "number") picture.width = width;
      if (typeof height === "number") picture.height = height;
      host.append(picture);
    } else if ("text/markdown" in data) {
      tools.html(host, marked.parse(asText(data["text/markdown"]), { async: false, gfm: true }));
      typeset(host);
    } else if ("text/latex" in data) {
      host.textContent = asText(data["text/latex"]);
      typeset(host);
    } else if ("application/javascript" in data) tools.script(host, asText(data["application/javascript"]));
    else if ("text/plain" in data) return terminal(asText(data["text/plain"]), "stdout");
    else host.textContent = `This page cannot show ${Object.keys(data).join(", ") || "nothing"} within a widget.`;
    return host;
  }

  async #widget(host: HTMLElement, id: unknown): Promise<void> {
    try {
      const view = await this.create_child_view(await this.model.widget_manager.get_model(String(id)) as never);
      Widget.attach((view as DOMWidgetView).luminoWidget, host);
    } catch {
      host.textContent = "A widget that is no longer there.";
      host.className = "note";
    }
  }
}

/** Text as a terminal would leave it. */
function terminal(text: string, stream: "stdout" | "stderr"): HTMLElement {
  const screen = new Screen();
  screen.write(text.replace(/\n$/, ""), stream);
  const { head, omitted, tail } = screen.view();
  const element = document.createElement("div");
  element.className = "terminal";
  const lines = (all: typeof head) => all.map((line) => {
    const drawn = document.createElement("div");
    if (stream === "stderr") drawn.className = "err";
    drawn.append(...line.runs.map((run) => span(run.text, run.style)));
    return drawn;
  });
  element.append(...lines(head));
  if (omitted > 0) element.append(`… ${omitted} lines omitted …`);
  element.append(...lines(tail));
  return element;
}
