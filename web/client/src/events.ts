// Events as an async iterable that remembers how far its reader has come.

import type { Gap, SessionEvent } from "./protocol.js";

type Event = SessionEvent | Gap;

export class EventStream implements AsyncIterable<Event>, AsyncIterator<Event> {
  #waiting: { event: Event; seq: number }[] = [];
  #reader: ((step: IteratorResult<Event>) => void) | null = null;
  #finished = false;
  readonly #keep: (event: Event) => boolean;
  readonly #onConsumed: () => void;
  readonly #onEnd: () => void;

  constructor(keep: (event: Event) => boolean, onConsumed: () => void, onEnd: () => void) {
    this.#keep = keep;
    this.#onConsumed = onConsumed;
    this.#onEnd = onEnd;
  }

  [Symbol.asyncIterator](): AsyncIterator<Event> { return this; }

  /** The newest seq the reader no longer holds up, given that `newest` was delivered. */
  consumed(newest: number): number {
    const oldest = this.#waiting[0];
    return oldest ? oldest.seq - 1 : newest;
  }

  push(event: Event, seq: number): void {
    if (this.#finished || !this.#keep(event)) return;
    if (this.#reader) {
      const reader = this.#reader;
      this.#reader = null;
      reader({ value: event, done: false });
    } else {
      this.#waiting.push({ event, seq });
    }
  }

  next(): Promise<IteratorResult<Event>> {
    const first = this.#waiting.shift();
    if (first) {
      this.#onConsumed();
      return Promise.resolve({ value: first.event, done: false });
    }
    if (this.#finished) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => { this.#reader = resolve; });
  }

  /** What `break` in a `for await` calls. */
  return(): Promise<IteratorResult<Event>> {
    this.leave();
    return Promise.resolve({ value: undefined, done: true });
  }

  /** Reads no more; answers what waits. */
  leave(): Event[] {
    const unread = this.#waiting.map(({ event }) => event);
    this.#waiting = [];
    this.finish();
    return unread;
  }

  /** No more will come; what waits can still be read. */
  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#reader?.({ value: undefined, done: true });
    this.#reader = null;
    this.#onEnd();
  }
}
