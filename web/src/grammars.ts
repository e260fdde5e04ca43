// How code in languages other than Python is coloured and indented. Each language is a file of its own, loaded when a
// cell of it is edited.

import type { Extension } from "@codemirror/state";

const LOADERS: Record<string, () => Promise<{ grammar: Extension }>> = {
  javascript: () => import("./grammars/javascript.js"),
  typescript: () => import("./grammars/typescript.js"),
  bash: () => import("./grammars/bash.js"),
};

/** The grammar of a language; nothing for one that this page does not know. */
export async function loadGrammar(language: string): Promise<Extension> {
  return (await LOADERS[language]?.())?.grammar ?? [];
}
