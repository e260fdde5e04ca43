// `EventLog`: what happened in one chat, numbered from 1. Readers get what is there and then what comes, each event once
// and in order, whenever they come and wherever they left off. Nothing is ever changed or taken out, so a reader that
// comes back with the number of its last event misses nothing.

export class EventLog {
  #events = [];
  #waiting = new Set();
  #closed = false;
  /** Characters of all events, as they are sent. */
  size = 0;
  /** Readers that are there now. */
  readers = 0;

  /** Adds an event; answers its number. */
  append(event) {
    const text = JSON.stringify(event);
    this.#events.push(text);
    this.size += text.length;
    this.#wake();
    return this.#events.length;
  }

  /** The event with this number, if there is one. */
  at(number) {
    const text = this.#events[number - 1];
    return text === undefined ? undefined : JSON.parse(text);
  }

  get length() { return this.#events.length; }

  /** No more will come: readers end when they have read what is there. */
  close() {
    this.#closed = true;
    this.#wake();
  }

  /** `[number, JSON]` of each event after this number; `undefined` when the reader has all and has to wait. */
  async *after(number, signal) {
    this.readers += 1;
    const wake = () => this.#wake();
    signal.addEventListener("abort", wake, { once: true });
    try {
      while (!signal.aborted) {
        while (number < this.#events.length && !signal.aborted) yield [number += 1, this.#events[number - 1]];
        if (this.#closed || signal.aborted) return;
        yield undefined;
        if (number < this.#events.length || this.#closed || signal.aborted) continue;
        await new Promise((resolve) => { this.#waiting.add(resolve); });
      }
    } finally {
      signal.removeEventListener("abort", wake);
      this.readers -= 1;
    }
  }

  #wake() {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}
