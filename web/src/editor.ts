// The editor of one cell: CodeMirror with the colours of its language, completion and documentation from the session.
//
// It lives in a shadow root: there CodeMirror puts its styles into constructed style sheets, which
// a strict Content-Security-Policy allows, where it would make a <style> element in a document.
//
// An editor far from the window is its text alone (`Still`): CodeMirror is made for it when it comes near, when it gets
// the focus, or when a line is to be shown. So a document of hundreds of cells opens as fast as one of a few.

import type { CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentLess, indentMore } from "@codemirror/commands";
import { pythonLanguage } from "@codemirror/lang-python";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, LanguageSupport, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, Prec, StateEffect, StateField, Text, Transaction } from "@codemirror/state";
import type { Extension } from "@codemirror/state";
import { Decoration, drawSelection, EditorView, hoverTooltip, keymap, lineNumbers, placeholder } from "@codemirror/view";
import type { DecorationSet, Tooltip } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Completions } from "../client/src/core.js";
import { h } from "./dom.js";
import type { Extras } from "./editorextras.js";
import { closeDocs, docs, docsOpen, help, showDocs } from "./editordocs.js";
import { languageTitle } from "./pure/languages.js";
import { difference } from "./pure/merge.js";
import { stripEscapes } from "./pure/screen.js";

/** What the editor asks of the page. */
export interface EditorHost {
  /** The text has changed; `typed`: by the user of this page, in this editor. */
  changed(typed: boolean): void;
  run(then: "stay" | "advance" | "insert"): void;
  /** Searches all cells; says whether the page does that. */
  find(): boolean;
  /** Divides the cell where the cursor is. */
  split(): void;
  /** Leaves the text for the list of cells. */
  leave(): void;
  /** The cursor goes beyond the first or last line. */
  step(direction: -1 | 1): boolean;
  focused(): void;
  complete(code: string, cursor: number): Promise<Completions | null>;
  /** Documentation as plain text. */
  inspect(code: string, cursor: number): Promise<string | null>;
}

/** A text that others write as well. */
export interface SharedText {
  read(): string;
  /** Changes it from outside of CodeMirror, which hears of it. */
  replace(from: number, to: number, insert: string): void;
  /** What CodeMirror has in the place of an undo of its own. */
  extension(): Extension;
}

const OWN_UNDO: Extension = [history(), keymap.of(historyKeymap)];

const markLine = StateEffect.define<number | null>();
const markedLine = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    // The mark is about the code that ran: it goes when the code changes.
    let next = transaction.docChanged ? Decoration.none : marks;
    for (const effect of transaction.effects) {
      if (!effect.is(markLine)) continue;
      if (effect.value === null || effect.value > transaction.state.doc.lines) next = Decoration.none;
      else next = Decoration.set(Decoration.line({ class: "cm-culprit" }).range(transaction.state.doc.line(effect.value).from));
    }
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** Where a search has found something in the text, and which of these places is looked at. */
export interface Found { ranges: readonly { from: number; to: number }[]; now: number | null }

const setFound = StateEffect.define<Found>();
const found = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    let next = marks.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (!effect.is(setFound)) continue;
      next = Decoration.set(effect.value.ranges.map(({ from, to }, at) => Decoration.mark({ class: at === effect.value.now ? "cm-found-now" : "cm-found" }).range(from, to)));
    }
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** What editors get a moment after the page has come: it is not needed to write and run. */
let extras: Extras | null = null;
const extra = new Compartment();
const awake = new Set<Editor>();

/** Loads it, for the editors there are and those to come. */
export async function loadExtras(): Promise<void> {
  extras = (await import("./editorextras.js")).EXTRAS;
  for (const editor of awake) editor.takeExtras();
}

const highlighting = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword, tags.definitionKeyword, tags.moduleKeyword], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: [tags.comment], color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.function(tags.definition(tags.variableName))], color: "var(--code-function)" },
  { tag: [tags.className, tags.definition(tags.className), tags.typeName], color: "var(--code-class)" },
  { tag: [tags.self, tags.meta], color: "var(--code-meta)" },
  { tag: tags.escape, color: "var(--code-number)" },
  { tag: tags.invalid, color: "var(--bad)" },
]);

const theme = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "transparent", fontSize: "13.5px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", overflow: "auto", maxHeight: "var(--editor-height)" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--muted)", border: "0", paddingLeft: "4px" },
  ".cm-gutters + .cm-content .cm-line": { paddingLeft: "6px" },
  ".cm-content": { padding: "10px 0", caretColor: "var(--accent)" },
  ".cm-line": { padding: "0 14px" },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selection)" },
  ".cm-selectionMatch": { backgroundColor: "var(--match)" },
  ".cm-found": { backgroundColor: "var(--match)", outline: "1px solid var(--line-strong)" },
  ".cm-found *, .cm-found-now *": { color: "var(--ink)" },
  ".cm-found-now": { backgroundColor: "var(--selection)", outline: "2px solid var(--accent)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--match)", outline: "none" },
  "&.cm-focused .cm-nonmatchingBracket": { color: "var(--bad)", backgroundColor: "transparent" },
  ".cm-culprit": { backgroundColor: "var(--bad-soft)", boxShadow: "inset 3px 0 var(--bad)" },
  ".cm-placeholder": { color: "var(--muted)" },
  ".cm-tooltip": {
    backgroundColor: "var(--raised)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "8px",
    boxShadow: "var(--shadow)", overflow: "hidden", zIndex: "20",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "13px", maxHeight: "var(--completions-height)", padding: "4px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "2px 8px", borderRadius: "5px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionDetail": { fontFamily: "var(--sans)", fontStyle: "normal", fontSize: "11.5px", color: "var(--muted)", marginLeft: "1.5em" },
  "li[aria-selected] .cm-completionDetail": { color: "inherit" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".docs .now": { fontWeight: "700", textDecoration: "underline", textUnderlineOffset: "3px" },
  ".docs": { fontFamily: "var(--mono)", fontSize: "12.5px", lineHeight: "1.5", whiteSpace: "pre-wrap", maxWidth: "44rem", maxHeight: "var(--docs-height)", overflow: "auto", padding: "8px 12px", margin: "0" },
});

const PROSE: Record<string, string> = { markdown: "Markdown", text: "Text" };
const INDENT: Record<string, string> = { python: "    " };

/** What an empty text of that language shows. */
const nameOf = (language: string) => PROSE[language] ?? languageTitle(language);

/** The grammars of languages other than Python, as far as they are loaded. */
const grammars = new Map<string, Extension>();

/** How a language is coloured and indented; nothing for one whose grammar has yet to be loaded. */
function grammarOf(language: string): Extension {
  // The parser alone: word lists of the language would hide what the session knows.
  const grammar = language === "python" ? new LanguageSupport(pythonLanguage) : grammars.get(language) ?? [];
  return [grammar, indentUnit.of(INDENT[language] ?? "  "), placeholder(nameOf(language))];
}
const NEAR = "1000px"; // to the window, above and below: about a screen
const STILL_SHEET = new CSSStyleSheet();
STILL_SHEET.replaceSync(`.still { padding: 10px 14px; min-height: 1lh; font: 13.5px/1.55 var(--mono); white-space: break-spaces; overflow-wrap: anywhere; overflow: hidden; max-height: var(--editor-height); color: var(--ink); }
.still:empty::before { content: attr(data-placeholder); color: var(--muted); }`);

/** Makes the editors of cells that come near the window. */
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) waiting.get(target)?.wake();
}, { rootMargin: `${NEAR} 0px` });
const waiting = new WeakMap<Element, Editor>();

/** Whether the editors in an element are made once they come near the window: one far away has no need to be asked. */
export function watchEditors(root: Element, watched: boolean): void {
  for (const element of root.querySelectorAll(".editor")) {
    if (watched && waiting.get(element)?.isStill) near.observe(element);
    else near.unobserve(element);
  }
}

const LINE_HEIGHT = 21; // pixels
const LONGEST_LINES = 24; // of an editor; longer ones scroll
const AROUND = 40; // pixels: what a cell without an output has above and below its text

export class Editor {
  readonly element = h("div", { className: "editor" });
  readonly #root = this.element.attachShadow({ mode: "open" });
  readonly #host: EditorHost;
  /** Of code its language, else `markdown` or `text`: it decides how the text is coloured, and what is completed. */
  #language: string;
  readonly #grammar = new Compartment();
  readonly #editable = new Compartment();
  readonly #numbers = new Compartment();
  readonly #undo = new Compartment();
  #shared: SharedText | null = null;
  #view: EditorView | null = null;
  #still: HTMLElement;
  #code: string;
  /** The lines that `#code` was joined from. */
  #joined: Text | null = null;
  #label: string;
  #readOnly = false;
  #numbered = false;
  #tabStop = true;

  constructor(code: string, label: string, host: EditorHost, language: string) {
    this.#host = host;
    this.#code = code;
    this.#label = label;
    this.#language = language;
    this.#root.adoptedStyleSheets = [STILL_SHEET];
    this.#still = h("div", { className: "still", tabIndex: 0, role: "textbox", textContent: code, aria: { multiline: "true", label } });
    this.#still.dataset.placeholder = nameOf(language);
    this.#still.addEventListener("focus", () => this.focus());
    this.#still.addEventListener("pointerdown", (event) => {
      const { view } = this;
      const at = view.posAtCoords({ x: event.clientX, y: event.clientY });
      if (at !== null) view.dispatch({ selection: { anchor: at } });
      event.preventDefault();
      view.focus();
    });
    this.#root.append(this.#still);
    waiting.set(this.element, this);
    near.observe(this.element);
  }

  /** CodeMirror, made if it is not yet. */
  get view(): EditorView {
    this.wake();
    return this.#view!;
  }

  /** Makes CodeMirror in the place of the text alone. */
  wake(): void {
    if (this.#view) return;
    near.unobserve(this.element);
    this.#view = new EditorView({
      root: this.#root,
      parent: this.#root,
      state: EditorState.create({ doc: Text.of(this.#code.split(this.#shared ? "\n" : /\r\n?|\n/)), extensions: this.#extensions(this.#label) }),
    });
    this.#still.remove();
    awake.add(this);
    this.#view.contentDOM.tabIndex = this.#tabStop ? 0 : -1;
    this.#loadGrammar();
  }

  /** Of code: gives it another language. */
  setLanguage(language: string): void {
    if (language === this.#language) return;
    this.#language = language;
    this.#still.dataset.placeholder = nameOf(language);
    this.#view?.dispatch({ effects: this.#grammar.reconfigure(grammarOf(language)) });
    this.#loadGrammar();
  }

  /** Loads the grammar of a language, when it is the first text of it that is edited. */
  #loadGrammar(): void {
    const language = this.#language;
    if (!this.#view || !this.#isCode || language === "python" || grammars.has(language)) return;
    import("./grammars.js").then(({ loadGrammar }) => loadGrammar(language)).then((grammar) => {
      grammars.set(language, grammar);
      if (this.#language === language) this.#view?.dispatch({ effects: this.#grammar.reconfigure(grammarOf(language)) });
    }, () => {}); // without its colours it can be written all the same
  }

  get #isCode(): boolean { return !(this.#language in PROSE); }

  /** Whether it is its text alone. */
  get isStill(): boolean { return this.#view === null; }

  /** About how high a cell with this text is, in pixels. */
  get likelyHeight(): number { return AROUND + LINE_HEIGHT * Math.min(this.code.split("\n", LONGEST_LINES).length, LONGEST_LINES); }

  /** The text. It is joined from its lines once after each change. */
  get code(): string {
    const doc = this.#view?.state.doc;
    if (doc && doc !== this.#joined) {
      this.#joined = doc;
      this.#code = doc.toString();
    }
    return this.#code;
  }

  /** Replaces the text, if it differs. */
  setCode(code: string): void {
    if (code === this.code) return;
    const change = difference(this.code, code)!;
    if (this.#shared) return this.#shared.replace(change.from, change.to, change.insert);
    if (this.#view) return this.#view.dispatch({ changes: { ...change, insert: Text.of(change.insert.split("\n")) } });
    this.#showStill(code);
  }

  #showStill(code: string): void {
    this.#still.textContent = this.#code = code;
    this.#host.changed(false);
  }

  /** Shows a text that others write as well, from now on; `null`: the text is this page's alone again. */
  share(shared: SharedText | null): void {
    if (shared === this.#shared) return;
    this.#view?.dispatch({ effects: this.#undo.reconfigure(OWN_UNDO) });
    this.#shared = null;
    if (!shared) return;
    this.setCode(shared.read());
    this.#shared = shared;
    this.#view?.dispatch({ effects: this.#undo.reconfigure(shared.extension()) });
  }

  /** The shared text has changed: it is shown, where there is no CodeMirror that sees it. */
  sharedChanged(): void {
    if (this.#shared && !this.#view) this.#showStill(this.#shared.read());
  }

  setReadOnly(readOnly: boolean): void {
    this.#readOnly = readOnly;
    this.#view?.dispatch({ effects: this.#editable.reconfigure(EditorState.readOnly.of(readOnly)) });
  }

  setLineNumbers(shown: boolean): void {
    this.#numbered = shown;
    this.#view?.dispatch({ effects: this.#numbers.reconfigure(shown ? lineNumbers() : []) });
  }

  setLabel(label: string): void {
    this.#label = label;
    (this.#view?.contentDOM ?? this.#still).setAttribute("aria-label", label);
  }

  focus(at: "start" | "end" | "as it was" = "as it was"): void {
    this.view.focus();
    if (at === "as it was") return;
    this.view.dispatch({ selection: { anchor: at === "start" ? 0 : this.view.state.doc.length }, scrollIntoView: true });
  }

  get hasFocus(): boolean { return this.#view?.hasFocus ?? false; }

  /** Where the cursor is, in UTF-16 units from the start. */
  get cursor(): number { return this.#view?.state.selection.main.head ?? 0; }

  /** Whether Tab stops at the text, where it means something else. */
  setTabStop(stop: boolean): void {
    this.#tabStop = stop;
    (this.#view?.contentDOM ?? this.#still).tabIndex = stop ? 0 : -1;
  }

  /** Marks the line where an error came from, counted from one. */
  mark(line: number | null): void {
    if (line === null && !this.#view) return;
    this.view.dispatch({ effects: markLine.of(line) });
  }

  /** Marks what a search has found. */
  showFound(places: Found): void {
    if (places.ranges.length === 0 && !this.#view) return;
    this.view.dispatch({ effects: setFound.of(places) });
  }

  /** What is loaded after the page is there. */
  takeExtras(): void { this.#view?.dispatch({ effects: extra.reconfigure(this.#extras()) }); }

  #extras(): Extension {
    if (!extras) return [];
    return this.#isCode ? [extras.all, extras.code((context) => this.#complete(context))] : extras.all;
  }

  /** The cell is gone. */
  forget(): void {
    awake.delete(this);
  }

  /** Shows a place of the text; the focus stays where it is. */
  reveal(at: number): void {
    const position = Math.min(at, this.view.state.doc.length);
    this.view.dispatch({ effects: EditorView.scrollIntoView(position, { y: "center" }) });
  }

  /** What is selected, if it is within one line. */
  get selected(): string {
    if (!this.#view) return "";
    const { main } = this.#view.state.selection;
    const text = this.#view.state.sliceDoc(main.from, main.to);
    return text.includes("\n") ? "" : text;
  }

  /** Replaces a part of the text. */
  replace(from: number, to: number, insert: string): void {
    this.view.dispatch({ changes: { from, to, insert }, userEvent: "input.replace" });
  }

  goToLine(number: number): void {
    const line = this.view.state.doc.line(Math.min(Math.max(1, number), this.view.state.doc.lines));
    this.select(line.from, line.to);
  }

  /** Selects a part of the text, shows it and gives it the focus. */
  select(from: number, to: number): void {
    const { length } = this.view.state.doc;
    this.view.dispatch({ selection: { anchor: Math.min(from, length), head: Math.min(to, length) }, scrollIntoView: true });
    this.view.focus();
  }

  #extensions(label: string) {
    const host = this.#host;
    const run = (then: "stay" | "advance" | "insert") => () => { host.run(then); return true; };
    const split = () => { host.split(); return true; };
    const step = (direction: -1 | 1) => (view: EditorView) => {
      const { main } = view.state.selection;
      const line = view.state.doc.lineAt(main.head);
      const outside = direction < 0 ? line.number === 1 : line.number === view.state.doc.lines;
      return main.empty && outside && host.step(direction);
    };
    return [
      // First, as its keys go before those of the same name.
      extra.of(this.#extras()),
      Prec.highest(keymap.of([
        { key: "Mod-Enter", run: run("stay") },
        { key: "Ctrl-Enter", run: run("stay") },
        { key: "Shift-Enter", run: run("advance") },
        { key: "Alt-Enter", run: run("insert") },
        { key: "Ctrl-Shift--", run: split },
        { key: "Ctrl-Shift-_", run: split },
        // Escape closes what is open in the editor first, and leaves it only then.
        { key: "Escape", run: (view) => {
          if (docsOpen(view.state)) return closeDocs(view);
          host.leave();
          return true;
        } },
      ])),
      keymap.of([
        { key: "Tab", run: indentMore, shift: (view) => this.#showDocs(view) || indentLess(view) },
        { key: "Mod-f", run: () => host.find() },
        { key: "ArrowUp", run: step(-1) },
        { key: "ArrowDown", run: step(1) },
        ...defaultKeymap,
      ]),
      this.#undo.of(this.#shared?.extension() ?? OWN_UNDO),
      drawSelection(),
      EditorState.tabSize.of(4),
      found,
      this.#grammar.of(grammarOf(this.#language)),
      ...(this.#isCode ? this.#codeExtensions() : []),
      markedLine,
      theme,
      EditorView.lineWrapping,
      this.#editable.of(EditorState.readOnly.of(this.#readOnly)),
      this.#numbers.of(this.#numbered ? lineNumbers() : []),
      EditorView.contentAttributes.of({ "aria-label": label, "aria-description": "Escape, then Tab, leaves the editor" }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) host.changed(update.transactions.some((one) => one.annotation(Transaction.userEvent) !== undefined));
        if (update.focusChanged && update.view.hasFocus) host.focused();
      }),
    ];
  }

  /** What only code has: colours and documentation. */
  #codeExtensions() {
    return [
      indentOnInput(),
      bracketMatching(),
      syntaxHighlighting(highlighting),
      hoverTooltip((view, position) => this.#inspect(view, position), { hoverTime: 500 }),
      docs,
      help((code, cursor) => this.#host.inspect(code, cursor)),
    ];
  }

  /** Shows what is known of the name before the cursor; says whether there is a name. At the start of a line Shift+Tab moves the text to the left. */
  #showDocs(view: EditorView): boolean {
    const { main } = view.state.selection;
    const line = view.state.doc.lineAt(main.head);
    if (!this.#isCode || !main.empty || line.text.slice(0, main.head - line.from).trim() === "") return false;
    void showDocs(view, main.head, (code, cursor) => this.#host.inspect(code, cursor));
    return true;
  }

  async #complete(context: CompletionContext): Promise<CompletionResult | null> {
    const before = context.matchBefore(/[\w.$]+$/);
    if (!context.explicit && !before) return null;
    if (!context.explicit && before && /^\d/.test(before.text)) return null;
    const reply = await this.#host.complete(context.state.doc.toString(), context.pos);
    if (!reply || reply.matches.length === 0 || context.aborted) return null;
    return {
      from: reply.start,
      to: reply.end,
      options: reply.matches.map((label, at) => ({ label, ...(reply.types?.[at] && { detail: reply.types[at] }) })),
      validFor: /^[\w$]*$/,
    };
  }

  async #inspect(view: EditorView, position: number): Promise<Tooltip | null> {
    const word = view.state.wordAt(position);
    if (!word || extras?.completes(view.state)) return null;
    const text = await this.#host.inspect(view.state.doc.toString(), word.to);
    if (!text) return null;
    return {
      pos: word.from,
      end: word.to,
      above: true,
      create: () => ({ dom: h("pre", { className: "docs", textContent: stripEscapes(text).trim() }) }),
    };
  }
}
