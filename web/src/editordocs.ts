// Documentation beside the cursor: asked for by Shift+Tab, and the signature of a call while its arguments are typed.

import { syntaxTree } from "@codemirror/language";
import { StateEffect, StateField } from "@codemirror/state";
import type { EditorState } from "@codemirror/state";
import { EditorView, showTooltip } from "@codemirror/view";
import type { Tooltip } from "@codemirror/view";
import { announce, h } from "./dom.js";
import { stripEscapes } from "./pure/screen.js";
import { signatureOf } from "./pure/signature.js";

/** Asks for documentation at a place in the code, as plain text; nothing if there is none. */
export type Inspect = (code: string, cursor: number) => Promise<string | null>;

interface Shown { tooltip: Tooltip; /** The arguments it is about: it goes when the cursor leaves them. */ within: { from: number; to: number } | null }

const show = StateEffect.define<Shown | null>();
const shown = StateField.define<Shown | null>({
  create: () => null,
  update(value, transaction) {
    for (const effect of transaction.effects) if (effect.is(show)) return effect.value;
    if (!value) return null;
    if (!value.within) return transaction.docChanged || transaction.selection ? null : value;
    const from = transaction.changes.mapPos(value.within.from, -1);
    const to = transaction.changes.mapPos(value.within.to, 1);
    const { head } = transaction.state.selection.main;
    const inside = head > from && head <= to;
    return inside ? { tooltip: { ...value.tooltip, pos: transaction.changes.mapPos(value.tooltip.pos) }, within: { from, to } } : null;
  },
  provide: (field) => showTooltip.from(field, (value) => value?.tooltip ?? null),
});

export const docs = shown;

export function docsOpen(state: EditorState): boolean { return Boolean(state.field(shown, false)); }

export function closeDocs(view: EditorView): boolean {
  view.dispatch({ effects: show.of(null) });
  return true;
}

/** Shows all that is known of what stands before `position`. */
export async function showDocs(view: EditorView, position: number, inspect: Inspect): Promise<void> {
  const { doc } = view.state;
  const text = await inspect(doc.toString(), position);
  // What was typed meanwhile may have led elsewhere.
  if (view.state.doc !== doc) return;
  if (!text) return announce("There is no documentation here.");
  const plain = stripEscapes(text).trim();
  view.dispatch({ effects: show.of({
    tooltip: { pos: position, above: true, create: () => ({ dom: h("pre", { className: "docs", textContent: plain, tabIndex: 0 }) }) },
    within: null,
  }) });
  announce(plain.slice(0, 500));
}

/** The innermost call whose arguments the cursor stands in. */
function callAt(state: EditorState): { callee: number; from: number; to: number; argument: number } | null {
  const { head } = state.selection.main;
  for (let node = syntaxTree(state).resolveInner(head, -1); node.parent; node = node.parent) {
    if (node.name !== "ArgList" || node.from >= head || node.parent.name !== "CallExpression") continue;
    const closed = state.sliceDoc(node.to - 1, node.to) === ")";
    if (closed && head >= node.to) continue;
    let argument = 0;
    for (let child = node.firstChild; child && child.to <= head; child = child.nextSibling) if (child.name === ",") argument += 1;
    return { callee: node.from, from: node.from, to: closed ? node.to - 1 : node.to, argument };
  }
  return null;
}

/** Shows the signature of a call when its parenthesis or a comma is typed. */
export function help(inspect: Inspect) {
  return EditorView.updateListener.of((update) => {
    if (!update.docChanged || !update.transactions.some((one) => one.isUserEvent("input.type"))) return;
    const { head } = update.state.selection.main;
    if (!/[(,]$/.test(update.state.sliceDoc(Math.max(0, head - 2), head).trimEnd())) return;
    const call = callAt(update.state);
    if (!call) return;
    void inspect(update.state.doc.toString(), call.callee).then((text) => {
      const known = text && signatureOf(stripEscapes(text), call.argument);
      // Only where the cursor is still in that call.
      const now = callAt(update.view.state);
      if (!known || now?.from !== call.from) return;
      const dom = h("div", { className: "docs" }, known.before, h("span", { className: "now", textContent: known.now }), known.after, known.about ? `\n\n${known.about}` : "");
      update.view.dispatch({ effects: show.of({ tooltip: { pos: call.callee, above: true, create: () => ({ dom }) }, within: { from: call.from, to: Math.max(call.to, head) } }) });
    });
  });
}
