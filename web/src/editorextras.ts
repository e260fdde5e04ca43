// What an editor has besides writing: loaded a moment after the page.

import { highlightSelectionMatches, selectNextOccurrence } from "@codemirror/search";
import { keymap } from "@codemirror/view";

export const extras = [highlightSelectionMatches(), keymap.of([{ key: "Mod-d", run: selectNextOccurrence, preventDefault: true }])];
