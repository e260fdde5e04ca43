// What an editor has besides writing: completion, brackets that close, matches of what is selected. Loaded once the page
// stands.

import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, closeCompletion, completionStatus, startCompletion } from "@codemirror/autocomplete";
import type { CompletionSource } from "@codemirror/autocomplete";
import { highlightSelectionMatches, selectNextOccurrence } from "@codemirror/search";
import { Prec } from "@codemirror/state";
import type { EditorState, Extension } from "@codemirror/state";
import { keymap } from "@codemirror/view";
import type { EditorView } from "@codemirror/view";

/** What `EXTRAS` is: the page takes its type alone before it is loaded. */
export interface Extras {
  /** Of every editor. */
  readonly all: Extension;
  /** Of editors of code. */
  code(complete: CompletionSource): Extension;
  /** Whether completions are shown or asked for. */
  completes(state: EditorState): boolean;
}

export const EXTRAS: Extras = {
  all: [highlightSelectionMatches(), keymap.of([{ key: "Mod-d", run: selectNextOccurrence, preventDefault: true }])],
  code: (complete) => [
    // Before the keys of `autocompletion`, by which Escape would stop there.
    Prec.highest(keymap.of([{ key: "Escape", run: closeShown }])),
    closeBrackets(),
    autocompletion({ override: [complete], icons: false, maxRenderedOptions: 60, activateOnTypingDelay: 150 }),
    keymap.of([{ key: "Tab", run: acceptCompletion }, { key: "Tab", run: completeAfterWord }, ...closeBracketsKeymap]),
  ],
  completes: (state) => completionStatus(state) !== null,
};

/** Closes completions; of those that were still being asked for, Escape goes on to leave the text. */
function closeShown(view: EditorView): boolean {
  const shown = completionStatus(view.state) === "active";
  closeCompletion(view);
  return shown;
}

/** Tab completes after a word or a dot, and indents elsewhere. */
function completeAfterWord(view: EditorView): boolean {
  const { main } = view.state.selection;
  if (!main.empty || view.state.readOnly) return false;
  const line = view.state.doc.lineAt(main.head);
  return /[\w.$]$/.test(line.text.slice(0, main.head - line.from)) && startCompletion(view);
}
