// Draws once a frame: output comes in by the thousand events a second, a screen shows sixty.
//
// A hidden tab gets no frames; a timer draws in their place, so that flow control, which waits for
// what was drawn, never stops a cell because nobody looks.

const HIDDEN_MS = 250;

export interface Drawable { draw(): void }

export class Frames {
  #dirty = new Set<Drawable>();
  #pending = false;
  readonly #afterwards: () => void;

  /** `afterwards` is called when everything has been drawn. */
  constructor(afterwards: () => void) {
    this.#afterwards = afterwards;
  }

  /** Asks for `what` to be drawn with the next frame. */
  request(what?: Drawable): void {
    if (what) this.#dirty.add(what);
    if (this.#pending) return;
    this.#pending = true;
    if (document.hidden) {
      setTimeout(() => this.#draw(), HIDDEN_MS);
    } else {
      // Whichever comes first: a frame that was asked for may never come once the tab is hidden.
      let drawn = false;
      const once = () => {
        if (drawn) return;
        drawn = true;
        clearTimeout(timer);
        this.#draw();
      };
      const timer = setTimeout(once, HIDDEN_MS);
      requestAnimationFrame(once);
    }
  }

  #draw(): void {
    this.#pending = false;
    const dirty = this.#dirty;
    this.#dirty = new Set();
    for (const drawable of dirty) drawable.draw();
    this.#afterwards();
  }
}
