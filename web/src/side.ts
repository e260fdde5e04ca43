// The panel beside the cells: one at a time, docked on wide screens, in front of everything on phones.

import { render } from "lit-html";
import { h, icon } from "./dom.js";

/** A panel that is open. */
export interface Side {
  /** What it shows; `title` is above it. */
  readonly content: HTMLElement;
  setTitle(title: string): void;
  close(): void;
}

const NARROW = "(max-width: 72rem)";

let current: Side | null = null;

/** Opens a panel in the place of the one that is open. `closed` is called when it is no more. The focus goes into it,
 *  and back to where it was. */
export function openSide(title: string, closed: () => void): Side {
  current?.close();
  const before = document.activeElement;
  const heading = h("h2", { id: "side-title", textContent: title, tabIndex: -1 });
  const leave = h("button", { type: "button", className: "bare", aria: { label: "Close the panel" }, onclick: () => side.close() });
  render(icon("close"), leave);
  const content = h("div", { className: "content" });
  const element = h("aside", { id: "side" }, h("div", { className: "bar" }, heading, leave), content);
  element.setAttribute("aria-labelledby", heading.id);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    event.preventDefault();
    side.close();
  });
  // In front of the page on a phone, what is behind it cannot be reached.
  const narrow = matchMedia(NARROW);
  const cover = () => { for (const behind of document.querySelectorAll<HTMLElement>("body > header, body > main, body > #terminal, body > .skip")) behind.inert = current === side && narrow.matches; };
  const side: Side = {
    content,
    setTitle: (text) => { heading.textContent = text; },
    close: () => {
      if (current !== side) return;
      current = null;
      narrow.removeEventListener("change", cover);
      cover();
      delete document.documentElement.dataset.side;
      const hadFocus = element.contains(document.activeElement);
      element.remove();
      closed();
      if (hadFocus && before instanceof HTMLElement) before.focus();
    },
  };
  current = side;
  narrow.addEventListener("change", cover);
  cover();
  document.documentElement.dataset.side = "";
  document.querySelector("main")!.after(element);
  heading.focus();
  return side;
}
