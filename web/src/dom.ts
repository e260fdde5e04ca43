// Small helpers around the document.

import { svg } from "lit-html";
import type { SVGTemplateResult, TemplateResult } from "lit-html";
import { html } from "lit-html";

/** Makes an element with properties and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<Omit<HTMLElementTagNameMap[K], "style" | "dataset">> & { aria?: Record<string, string> } = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  const { aria, ...rest } = properties;
  Object.assign(element, rest);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

/**
 * Scrolls to a cell, or to something in one. Cells around it that were far from the window are laid out first (see
 * `groups.ts`): what they turn out to be higher or lower than expected would move it away again.
 */
export function scrollToCell(element: Element, options: ScrollIntoViewOptions): void {
  const group = element.closest(".group");
  const groups = new Set<Element>();
  let [before, after] = [group, group];
  for (let n = 0; n <= AROUND; n += 1) {
    for (const one of [before, after]) if (one) groups.add(one);
    [before, after] = [before?.previousElementSibling ?? null, after?.nextElementSibling ?? null];
  }
  for (const one of groups) one.setAttribute("data-shown", "");
  element.scrollIntoView(options);
  // By then those near the window are known to be.
  setTimeout(() => { for (const one of groups) one.removeAttribute("data-shown"); }, SHOWN_MS);
}

const AROUND = 2; // groups on either side
const SHOWN_MS = 1000;

export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found;
}

/** Where notes are seen, and heard: of what is behind an open dialog browsers do neither. */
function notesInFront(): void {
  const host = [...document.querySelectorAll<HTMLDialogElement>("dialog:modal")].at(-1) ?? document.body;
  for (const id of NOTES) if (byId(id).parentElement !== host) host.append(byId(id));
}

const NOTES = ["toasts", "live"];

/** Takes a dialog out of the page, but not the notes in it. */
export function removeDialog(dialog: HTMLDialogElement): void {
  for (const id of NOTES) if (dialog.contains(byId(id))) document.body.append(byId(id));
  dialog.remove();
}

/** Says something to screen readers. Summaries only: never output. */
export function announce(text: string): void {
  notesInFront();
  const live = byId("live");
  // The same words twice are announced twice.
  live.textContent = live.textContent === text ? `${text}\u00a0` : text;
}

/** A note that leaves by itself, with at most one action. */
export function toast(text: string, action?: { label: string; run(): void }): void {
  const element = h("div", { className: "toast" }, h("span", {}, text));
  const leave = () => element.remove();
  if (action) {
    element.append(h("button", { type: "button", className: "quiet", textContent: action.label, onclick: () => { leave(); action.run(); } }));
  }
  notesInFront();
  byId("toasts").append(element);
  announce(text);
  setTimeout(leave, action ? 10_000 : 5_000);
}

/** Hands a file to the user. */
export function download(name: string, content: Blob | string, type = "text/plain"): void {
  const url = URL.createObjectURL(typeof content === "string" ? new Blob([content], { type }) : content);
  const link = h("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied.`);
  } catch {
    toast("The browser did not allow copying.");
  }
}

const PATHS = {
  run: "M5 3.500v9l7-4.500z",
  stop: "M4 4h8v8H4z",
  restart: "M13 8a5 5 0 1 1-1.600-3.660M13 2v3h-3",
  runAll: "M3 3.500v9l5-4.500zM9 3.500v9l5-4.500z",
  add: "M8 3v10M3 8h10",
  up: "M8 13V3M4 7l4-4 4 4",
  down: "M8 3v10M4 9l4 4 4-4",
  remove: "M3 4.500h10M6.500 4.500V3h3v1.500M4.500 4.500l.5 9h6l.5-9M7 7v4M9 7v4",
  markdown: "M2 11.500V4.500l3 3.500 3-3.500v7M12 4.500v7M9.700 9.200l2.300 2.300 2.300-2.300",
  copy: "M5.500 5.500v-3h8v8h-3M2.500 5.500h8v8h-8z",
  more: "M2.200 8a1.300 1.300 0 1 0 2.600 0a1.300 1.300 0 1 0-2.600 0M6.700 8a1.300 1.300 0 1 0 2.600 0a1.300 1.300 0 1 0-2.600 0M11.200 8a1.300 1.300 0 1 0 2.600 0a1.300 1.300 0 1 0-2.600 0",
  share: "M8 10V2M5 4.500 8 2l3 2.500M3 8v5.500h10V8",
  people: "M6 7.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM1.500 13.500c0-5 9-5 9 0M10.500 7.500a2 2 0 1 0 0-4M12 9.500c1.700.5 2.500 2 2.500 4",
  terminal: "M2 3h12v10H2zM4.500 6l2 2-2 2M8 10.500h3.500",
  open: "M9 2.500h4.500V7M13.500 2.500 7.500 8.500M11 9.500v4H2.500V5h4",
  close: "M4 4l8 8M12 4l-8 8",
  folder: "M2 12.500v-9h4l1.500 2H14v7z",
  file: "M4 2h5l3 3v9H4zM9 2v3h3",
  save: "M8 2v8M5 7.500 8 10.500l3-3M3 13.500h10",
} as const;

export type IconName = keyof typeof PATHS;

const FILLED: ReadonlySet<IconName> = new Set(["run", "stop", "runAll", "more"]);

/** A drawing of 16 by 16 that is not read out: its button has a name. */
export function icon(name: IconName): TemplateResult {
  const path: SVGTemplateResult = svg`<path d=${PATHS[name]}></path>`;
  return html`<svg class=${FILLED.has(name) ? "icon filled" : "icon"} viewBox="0 0 16 16" aria-hidden="true">${path}</svg>`;
}
