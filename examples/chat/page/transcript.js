// `Transcript`: draws the events of a chat's log. Each message of a person is followed by an answer, whose texts and cells
// stand in the order in which the model has begun them.

import { CellView } from "./cell.js";
import { element, markdown } from "./markdown.js";

export class Transcript {
  #host;
  #address; // of the chat
  #stopCell;
  #sayAgain;
  #announce;
  #answer; // { question, element, cells, text, source } of the newest message
  #cells = 0; // of all answers
  #isLive = false;
  #drawing = false;

  /** `stopCell(cell)` stops one; `sayAgain(text)` sends a message; `announce(text)` tells those who hear the page what has happened. */
  constructor(host, address, { stopCell, sayAgain, announce }) {
    this.#host = host;
    this.#address = address;
    this.#stopCell = stopCell;
    this.#sayAgain = sayAgain;
    this.#announce = announce;
    host.replaceChildren();
  }

  /** All that had happened before is drawn: what comes now is new. */
  goLive() { this.#isLive = true; }

  take(event, number) {
    switch (event.type) {
      case "message":
        return this.#begin(event.text);
      case "text":
        return this.#say(event.text);
      case "notice":
        return this.#note(event.text);
      case "end":
        return this.#end(event);
      case "closed":
        return this.#note(event.text);
      default:
        return this.#cell(event, number);
    }
  }

  #begin(text) {
    this.#answer?.again?.remove();
    const words = element("div", quoted(text), { className: "words" });
    this.#host.append(article("message", "You", words));
    const made = article("answer", "Answer");
    made.setAttribute("aria-busy", "true");
    this.#answer = { question: text, element: made, cells: new Map() };
    this.#host.append(made);
    this.#tell("Answering");
  }

  #say(text) {
    const answer = this.#answer;
    if (!answer.text) {
      answer.text = element("div", [], { className: "prose" });
      answer.source = "";
      answer.element.append(answer.text);
    }
    answer.source += text;
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#drawing = false;
    const { text, source } = this.#answer;
    text?.replaceChildren(...markdown(source));
  }

  #cell(event, number) {
    const { cells } = this.#answer;
    let view = cells.get(event.cell);
    if (!view) {
      this.#endText();
      view = new CellView(this.#cells += 1, {
        stop: () => this.#stopCell(event.cell),
        htmlAddress: (shown) => `${this.#address}/html/${shown}`,
      });
      cells.set(event.cell, view);
      this.#answer.element.append(view.element);
    }
    view.take(event, number);
    if (event.type === "run") this.#tell("Code is running");
    if (event.type === "done") this.#tell(event.status === "ok" ? "The code has ended" : `The code has ended: ${event.status}`);
  }

  /** What the model says next stands below what comes now. */
  #endText() {
    if (this.#answer.text) this.#draw();
    this.#answer.text = undefined;
  }

  #end({ status, problem }) {
    this.#endText();
    const { element: answer, cells } = this.#answer;
    for (const view of cells.values()) view.end();
    answer.removeAttribute("aria-busy");
    answer.dataset.status = status;
    if (status === "stopped") answer.append(element("p", ["You have stopped the answer."], { className: "note" }));
    if (problem) {
      const { question } = this.#answer;
      this.#answer.again = element("button", ["Send again"], { type: "button", onclick: () => void this.#sayAgain(question) });
      answer.append(element("p", [problem], { className: "note problem" }), this.#answer.again);
    }
    this.#tell(problem ?? (status === "stopped" ? "The answer was stopped" : "The answer is complete"));
  }

  #note(text) {
    const note = element("p", [text], { className: "note" });
    if (this.#answer?.element.hasAttribute("aria-busy")) {
      this.#endText();
      this.#answer.element.append(note);
    } else this.#host.append(note);
    this.#tell(text);
  }

  #tell(text) { if (this.#isLive) this.#announce(text); }
}

function article(className, name, ...children) {
  return element("article", [element("h2", [name], { className: "unseen" }), ...children], { className });
}

/** A person's text as it is, with the code between fences set apart. */
function quoted(text) {
  return text.split(/```[^\n`]*\n([\s\S]*?)```/g).map((part, at) => (at % 2 === 1
    ? element("pre", [part.replace(/\n$/, "")], { tabIndex: 0 })
    : element("p", [part.trim()]))).filter((one) => one.textContent !== "");
}
