// The cursors and selections of others in the editors. y-codemirror.next has some too, whose style attributes this
// page's policy forbids.

import { RangeSet, StateEffect, StateField } from "@codemirror/state";
import type { Extension, Range } from "@codemirror/state";
import { Decoration, EditorView, ViewPlugin, WidgetType } from "@codemirror/view";
import type { DecorationSet, ViewUpdate } from "@codemirror/view";
import type { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { colourOf, inkOn, nameOf } from "./people.js";
import type { PersonState } from "./types.js";

/** How often at most it is told where the own cursor is, in milliseconds. */
const TELL_MS = 80;

const setCursors = StateEffect.define<DecorationSet>();
const shown = StateField.define<DecorationSet>({
  create: () => RangeSet.empty,
  update(before, transaction) {
    let next = before.map(transaction.changes);
    for (const effect of transaction.effects) if (effect.is(setCursors)) next = effect.value;
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

class Caret extends WidgetType {
  constructor(readonly name: string, readonly color: string, readonly moved: number) { super(); }

  override eq(other: Caret): boolean { return other.name === this.name && other.color === this.color && other.moved === this.moved; }

  override toDOM(): HTMLElement {
    const caret = document.createElement("span");
    caret.className = "cm-person";
    caret.setAttribute("aria-hidden", "true");
    caret.style.setProperty("--who", this.color);
    caret.style.setProperty("--who-ink", inkOn(this.color));
    caret.dataset.name = this.name; // shown by the theme: it is no text of the document
    return caret;
  }

  override ignoreEvent(): boolean { return true; }
}

const looks = EditorView.theme({
  ".cm-person": { position: "relative", display: "inline-block", width: "0", height: "1.2em", verticalAlign: "text-bottom", borderLeft: "2px solid var(--who)", marginLeft: "-1px", marginRight: "-1px", pointerEvents: "none" },
  ".cm-person::after": {
    content: "attr(data-name)",
    position: "absolute", left: "-2px", bottom: "100%", padding: "0 5px", borderRadius: "4px 4px 4px 0", fontFamily: "var(--sans)", fontSize: "10.5px", lineHeight: "14px", fontWeight: "600",
    whiteSpace: "nowrap", color: "var(--who-ink)", backgroundColor: "var(--who)", zIndex: "2", animation: "cm-person-leaves 0.4s 2.5s forwards",
  },
  // Above the first line there is no room.
  ".cm-line:first-child .cm-person::after": { bottom: "auto", top: "100%", borderRadius: "0 4px 4px 4px" },
  ".cm-person:hover::after": { animation: "none" },
});
const LEAVES = new CSSStyleSheet();
LEAVES.replaceSync("@keyframes cm-person-leaves { to { opacity: 0; visibility: hidden; } }");

export class Cursors {
  readonly #awareness: Awareness;
  readonly #views = new Map<Y.Text, Set<EditorView>>();
  /** Where each of the others was last. */
  readonly #places = new Map<number, Y.Text>();
  /** Counts the moves of each of the others: their name is seen for a moment after each. */
  readonly #moves = new Map<number, { at: string; count: number }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #own: { text: Y.Text; view: EditorView } | null = null;
  readonly #listener = ({ added, updated, removed }: { added: number[]; updated: number[]; removed: number[] }) => this.#changed([...added, ...updated, ...removed]);

  constructor(awareness: Awareness) {
    this.#awareness = awareness;
    awareness.on("change", this.#listener);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#awareness.off("change", this.#listener);
  }

  /** Shows the others in the editor of a text, and tells them where the user is in it. */
  extension(text: Y.Text): Extension {
    const cursors = this;
    return [shown, looks, ViewPlugin.fromClass(class {
      constructor(readonly view: EditorView) {
        let views = cursors.#views.get(text);
        if (!views) cursors.#views.set(text, views = new Set());
        views.add(view);
        const { root } = view;
        if (root instanceof ShadowRoot && !root.adoptedStyleSheets.includes(LEAVES)) root.adoptedStyleSheets.push(LEAVES);
        queueMicrotask(() => cursors.#draw(text));
      }

      update(update: ViewUpdate): void {
        if (!update.view.hasFocus || !(update.selectionSet || update.focusChanged || update.docChanged)) return;
        cursors.#own = { text, view: update.view };
        cursors.#timer ??= setTimeout(() => cursors.#tell(), TELL_MS);
      }

      destroy(): void {
        const views = cursors.#views.get(text);
        views?.delete(this.view);
        if (views?.size === 0) cursors.#views.delete(text);
        if (cursors.#own?.view === this.view) cursors.#own = null;
      }
    })];
  }

  /** Others have changed a text: places in it are found that were not there before. */
  textChanged(text: Y.Text): void {
    if (this.#views.has(text)) queueMicrotask(() => this.#draw(text));
  }

  /** The text that somebody's cursor is in. */
  placeOf(client: number): Y.Text | undefined { return this.#places.get(client); }

  /** The user is in no text any more. */
  leave(): void {
    this.#own = null;
    if ((this.#awareness.getLocalState() as PersonState | null)?.cursor) this.#awareness.setLocalStateField("cursor", null);
  }

  #tell(): void {
    this.#timer = undefined;
    const own = this.#own;
    if (!own || !this.#awareness.getLocalState()) return;
    const { anchor, head } = own.view.state.selection.main;
    const at = (position: number) => Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(own.text, position));
    this.#awareness.setLocalStateField("cursor", { anchor: at(anchor), head: at(head) });
  }

  #changed(clients: number[]): void {
    const touched = new Set<Y.Text>();
    for (const client of clients) {
      if (client === this.#awareness.clientID) continue;
      const before = this.#places.get(client);
      if (before) touched.add(before);
      const state = this.#awareness.getStates().get(client) as PersonState | undefined;
      const now = state && this.#resolve(state)?.text;
      const at = JSON.stringify(state?.cursor ?? null);
      const moves = this.#moves.get(client);
      if (!state) this.#moves.delete(client);
      else if (moves?.at !== at) this.#moves.set(client, { at, count: (moves?.count ?? 0) + 1 });
      if (now) {
        this.#places.set(client, now);
        touched.add(now);
      } else this.#places.delete(client);
    }
    for (const text of touched) this.#draw(text);
  }

  /** Where a cursor is in the document as it is now. What strangers write need not be anywhere. */
  #resolve({ cursor }: PersonState): { text: Y.Text; anchor: number; head: number } | null {
    if (!cursor || !cursor.anchor || !cursor.head) return null;
    try {
      const [anchor, head] = [cursor.anchor, cursor.head].map((at) => Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(at), this.#awareness.doc));
      if (!anchor || !head || anchor.type !== head.type || !(anchor.type instanceof Y.Text)) return null;
      return { text: anchor.type, anchor: anchor.index, head: head.index };
    } catch {
      return null;
    }
  }

  #draw(text: Y.Text): void {
    for (const view of this.#views.get(text) ?? []) {
      const { length } = view.state.doc;
      const marks: Range<Decoration>[] = [];
      for (const [client, state] of this.#awareness.getStates() as Map<number, PersonState>) {
        if (client === this.#awareness.clientID) continue;
        const found = this.#resolve(state);
        if (!found) continue;
        this.#places.set(client, found.text);
        if (found.text !== text) continue;
        const [anchor, head] = [Math.min(found.anchor, length), Math.min(found.head, length)];
        const color = colourOf(state, client);
        if (anchor !== head) marks.push(Decoration.mark({ class: "cm-person-selection", attributes: { style: `background-color: ${color}40` } }).range(Math.min(anchor, head), Math.max(anchor, head)));
        marks.push(Decoration.widget({ widget: new Caret(nameOf(state), color, this.#moves.get(client)?.count ?? 0), side: head > anchor ? -1 : 1 }).range(head));
      }
      const now = Decoration.set(marks, true);
      // Where a text changed, the cursors in it have moved along already.
      if (!RangeSet.eq([view.state.field(shown)], [now])) view.dispatch({ effects: setCursors.of(now) });
    }
  }
}
