// The panel of contents: the headings of a document's text, each leading to its place. Loaded when it is first opened.

import { html, render } from "lit-html";
import type { Console } from "./console.js";
import { scrollToCell } from "./dom.js";
import { openSide } from "./side.js";

const PAUSE_MS = 300; // after a change, until the headings are looked for again

export function showOutline(console: Console): void {
  const side = openSide("Contents", () => watch.disconnect());
  let timer: ReturnType<typeof setTimeout> | undefined;
  const draw = () => {
    const headings = console.cells.all.flatMap((cell) => (cell.prose?.headings ?? []).map((heading) => ({ ...heading, cell })));
    const top = Math.min(...headings.map(({ level }) => level));
    render(headings.length === 0 ? html`<p class="empty">No headings yet. A text cell with a line like “# Title” makes one.</p>` : html`
      <nav aria-label="Contents"><ul class="outline">${headings.map(({ level, text, element, cell }) => html`
        <li data-depth=${level - top}><button type="button" class="link" @click=${() => {
          console.cells.select(cell);
          cell.element.focus({ preventScroll: true });
          scrollToCell(element, { block: "start" });
        }}>${text || "Untitled"}</button></li>`)}</ul></nav>`, side.content);
  };
  const watch = new MutationObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(draw, PAUSE_MS);
  });
  watch.observe(document.getElementById("cells")!, { childList: true, subtree: true });
  draw();
}
