// TypeScript: the parser alone, as what is completed comes from the session.

import { typescriptLanguage } from "@codemirror/lang-javascript";
import { LanguageSupport } from "@codemirror/language";

export const grammar = new LanguageSupport(typescriptLanguage);
