// `CellView`: one piece of code of an answer, and beside it what it prints and shows while it runs.

import { element, markdown } from "./markdown.js";

const CONTROL_SEQUENCE = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])/g;

const ENDS = {
  ok: "Done", error: "Raised an error", interrupted: "Stopped", timeout: "Reached its time limit", oom: "Ran out of memory", output_limit: "Wrote too much",
  exited: "The interpreter has ended", killed: "Stopped by force", cancelled: "Did not run", lost: "Lost",
};

export class CellView {
  #code = element("code");
  #output = element("div", [], { className: "output", tabIndex: 0 });
  #state = element("span", ["Writing …"], { className: "state" });
  #stop = element("button", ["Stop"], { type: "button", className: "stop", hidden: true });
  #texts = new WeakMap(); // what a block of output has been sent
  #changed = new Set(); // blocks to be drawn with the next frame
  #clearing = false;

  /** `stop()` stops this cell; `htmlAddress(number)` is where the HTML of an event is. */
  constructor(number, { stop, htmlAddress }) {
    this.htmlAddress = htmlAddress;
    this.#stop.onclick = () => { this.#stop.disabled = true; stop().catch(() => { this.#stop.disabled = false; }); };
    this.#stop.setAttribute("aria-label", `Stop code ${number}`);
    const code = element("pre", [this.#code], { className: "code", tabIndex: 0 });
    for (const [one, name] of [[code, `Code ${number}`], [this.#output, `Output ${number}`]]) {
      one.setAttribute("role", "region");
      one.setAttribute("aria-label", name);
    }
    const bar = element("div", [element("span", [`Code ${number}`], { className: "name" }), this.#state, this.#stop], { className: "bar" });
    this.element = element("div", [bar, code, this.#output], { className: "cell" });
    this.element.dataset.status = "writing";
  }

  /** Takes an event of this cell; `number` is the event's. */
  take(event, number) {
    switch (event.type) {
      case "code":
        this.#code.append(event.text);
        this.#followCode();
        break;
      case "run":
        this.#say("running", "Running …");
        this.#code.parentElement.scrollTop = 0;
        this.#stop.hidden = false;
        break;
      case "stdout":
      case "stderr":
        this.#write(event.type, event.text);
        break;
      case "error":
        this.#write("error", event.traceback);
        break;
      case "display":
        this.#display(event, number);
        break;
      case "clear":
        this.#clearing = event.wait;
        if (!event.wait) this.#output.replaceChildren();
        break;
      case "done":
        this.#finish(event);
        break;
    }
  }

  /** The answer has ended; what was still being written does not run any more. */
  end() {
    if (this.element.dataset.status === "writing") this.#say("cancelled", "Did not run");
  }

  #finish({ status, seconds, detail }) {
    const time = seconds >= 0.05 ? ` · ${seconds.toFixed(1)} s` : "";
    this.#say(status, (ENDS[status] ?? status) + time);
    if (this.#stop === document.activeElement) this.#output.focus();
    this.#stop.hidden = true;
    if (detail && status !== "interrupted") this.#write("error", detail);
    if (this.#output.childElementCount === 0) this.#output.append(element("p", [status === "ok" ? "No output" : ENDS[status] ?? status], { className: "quiet" }));
  }

  /** Keeps the end of the code in view while it is written, unless its reader has scrolled up. */
  #followCode() {
    const box = this.#code.parentElement;
    if (box.scrollHeight - box.scrollTop - box.clientHeight < 64) requestAnimationFrame(() => {
      if (this.element.dataset.status === "writing") box.scrollTop = box.scrollHeight;
    });
  }

  #say(status, text) {
    this.element.dataset.status = status;
    this.#state.textContent = text;
  }

  #clearIfDue() {
    if (this.#clearing) this.#output.replaceChildren();
    this.#clearing = false;
  }

  #write(kind, text) {
    this.#clearIfDue();
    let block = this.#output.lastElementChild;
    if (!block?.classList.contains(kind)) {
      block = element("pre", [], { className: kind });
      this.#texts.set(block, "");
      this.#output.append(block);
    }
    this.#texts.set(block, this.#texts.get(block) + text);
    if (this.#changed.size === 0) requestAnimationFrame(() => this.#draw());
    this.#changed.add(block);
  }

  /** Draws the blocks that have changed, and keeps the end of the output in view while its reader does. */
  #draw() {
    const output = this.#output;
    const wasAtEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 24;
    for (const block of this.#changed) block.textContent = asTerminal(this.#texts.get(block));
    this.#changed.clear();
    if (wasAtEnd) output.scrollTop = output.scrollHeight;
  }

  #display({ data, id, update }, number) {
    this.#clearIfDue();
    const shown = this.#shown(data, number);
    if (id !== undefined) shown.dataset.display = id;
    const old = update && id !== undefined ? [...this.#output.children].find((one) => one.dataset.display === id) : undefined;
    if (old) old.replaceWith(shown);
    else this.#output.append(shown);
  }

  #shown({ type, value }, number) {
    if (type === "image/svg+xml") return picture(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(value)}`);
    if (type.startsWith("image/")) return picture(`data:${type};base64,${value.replace(/\s/g, "")}`);
    if (type === "text/html") return this.#frame(number);
    if (type === "text/markdown") return element("div", markdown(value), { className: "prose" });
    return element("pre", [asTerminal(value)], { className: "value" });
  }

  /** HTML of user code: in a frame without scripts, without an origin and, by its policy, without network. */
  #frame(number) {
    const frame = element("iframe", [], { title: "What the code shows as HTML", loading: "lazy" });
    frame.setAttribute("sandbox", "");
    frame.src = this.htmlAddress(number);
    return frame;
  }
}

const picture = (src) => element("img", [], { src, alt: "A picture that the code has drawn" });

/** Text as it stands in a terminal: without colours, and with what a carriage return writes over. */
function asTerminal(text) {
  const lines = text.replace(CONTROL_SEQUENCE, "").replaceAll("\r\n", "\n").split("\n");
  return lines.map((line) => line.replace(/\r+$/, "")).map((line) => line.slice(line.lastIndexOf("\r") + 1)).join("\n");
}
