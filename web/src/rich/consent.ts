// What stands in the place of another participant's scripts until the user lets them run.

import { announce, h } from "../dom.js";

/** Asks before scripts run; `null` where nobody needs to be asked. */
export interface Consent {
  run: string;
  /** Who ran the cell, by the name they gave; `null` for what comes from a file or an earlier session. */
  author: string | null;
  allow(): void;
  allowEveryone(): void;
}

/** Sent to each of the elements of `CLASS` whose scripts may run now. */
const ALLOWED = "cellgate-allowed";
const CLASS = "consent";

/** The run that was last told to those who hear the page: one that shows much is told once. */
let told = "";

/** What `make` makes, at once or when the user has allowed it. */
export function withConsent(consent: Consent | null, make: () => HTMLElement): HTMLElement {
  if (!consent) return make();
  const { run, author } = consent;
  const name = author === null ? "an earlier session" : author.trim() || "another participant";
  const once = h("button", { type: "button", textContent: "Run its scripts" });
  const always = h("button", { type: "button", className: "quiet", textContent: "Always in this session", title: "Run the scripts of everybody's output, as long as this tab is in this session" });
  const element = h("div", { className: `rich ${CLASS}` },
    author === null ? h("p", { textContent: "Run this output's scripts? It comes from an opened file or an earlier session." })
      : h("p", {}, "Run this output's scripts? It was made by a cell of ", h("strong", { textContent: name }), "."),
    h("div", { className: "actions" }, once, always));
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", `Output of ${name} that waits for you`);
  element.dataset.run = run;
  if (told !== run) announce(`Output of ${name} asks before it runs scripts.`);
  told = run;
  const show = () => {
    const focused = element.contains(document.activeElement);
    const shown = make();
    element.replaceWith(shown);
    if (!focused) return;
    // The button that had the focus is gone; the next Tab leads into the output.
    shown.tabIndex = -1;
    shown.focus({ preventScroll: true });
    announce("The output's scripts run.");
  };
  element.addEventListener(ALLOWED, show, { once: true });
  once.onclick = () => {
    consent.allow();
    release((waiting) => waiting.dataset.run === run);
  };
  always.onclick = () => {
    consent.allowEveryone();
    release(() => true);
  };
  return element;
}

function release(which: (waiting: HTMLElement) => boolean): void {
  for (const waiting of document.querySelectorAll<HTMLElement>(`.${CLASS}`)) {
    if (which(waiting)) waiting.dispatchEvent(new Event(ALLOWED));
  }
}
