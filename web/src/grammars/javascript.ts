// JavaScript: the parser alone, as what is completed comes from the session.

import { javascriptLanguage } from "@codemirror/lang-javascript";
import { LanguageSupport } from "@codemirror/language";

export const grammar = new LanguageSupport(javascriptLanguage);
