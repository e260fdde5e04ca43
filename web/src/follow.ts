// Keeps in view what somebody is at while output pushes it down: from the start of a run until it
// ends, or until they scroll themselves.

import { scrollToCell } from "./dom.js";

const BAR = 80; // pixels: the header, and some air

export class Follow {
  readonly #at: () => HTMLElement | undefined;
  #scrolled: number | null = null; // where we left the page; nothing: not following

  /** `at` answers the cell somebody is at. */
  constructor(at: () => HTMLElement | undefined) {
    this.#at = at;
    // The page moves a moment after the wheel does; by then `look` could have moved it back.
    for (const kind of ["wheel", "touchmove"]) {
      addEventListener(kind, () => (this.#scrolled = null), { passive: true });
    }
  }

  /** A run of theirs begins. Who looks elsewhere is left there. */
  begin(): void {
    const box = this.#at()?.getBoundingClientRect();
    this.#scrolled = box && box.bottom > 0 && box.top < innerHeight ? scrollY : null;
  }

  /** Output was drawn. */
  look(): void {
    if (this.#scrolled === null) return;
    if (scrollY !== this.#scrolled) {
      this.#scrolled = null;
      return;
    }
    const cell = this.#at();
    const box = cell?.getBoundingClientRect();
    // What is taller than the window has no end to be shown with its beginning.
    if (cell && box && box.bottom > innerHeight && box.height < innerHeight - BAR) scrollToCell(cell, { block: "nearest" });
    this.#scrolled = scrollY;
  }

  /** It ended; the last of its output is drawn with the next frame. */
  end(): void {
    requestAnimationFrame(() => {
      this.look();
      this.#scrolled = null;
    });
  }
}
