// bash: a reader of tokens, as CodeMirror has no parser of it.

import { LanguageSupport, StreamLanguage } from "@codemirror/language";
import { shell } from "@codemirror/legacy-modes/mode/shell";

export const grammar = new LanguageSupport(StreamLanguage.define(shell));
