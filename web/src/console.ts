// The console: brings together the document, the session and what the user does.
//
//   keys, buttons ─► Console ─► Link ─► gateway
//                      │  ▲                │
//        Cells, Header ◄┘  └── events ─────┘
//
// Events are the only source of truth about runs: a run of this tab, of another participant and of
// the time before a reload take the same way to their cell.

import type { TemplateResult } from "lit-html";
import { CellgateError, RequestFailed } from "../client/src/core.js";
import type { Done, Gap, Participant, ProtocolError, Ready, Role, Session, SessionEvent, SessionToken, Usage, Withheld } from "../client/src/core.js";
import { Banner } from "./banner.js";
import { Cells } from "./cells.js";
import { act } from "./cellactions.js";
import type { CellAction, CellHost, CellView } from "./cellview.js";
import type { SharedDocument } from "./collab/shareddocument.js";
import { keepSession, keptSession, ownName } from "./credentials.js";
import type { Arrival, SessionKey } from "./credentials.js";
import { announce, download, scrollToCell, toast } from "./dom.js";
import { ask } from "./dialog.js";
import type { EditorHost } from "./editor.js";
import { Follow } from "./follow.js";
import { Frames } from "./frames.js";
import { Link } from "./link.js";
import type { LinkState } from "./link.js";
import { asText } from "./pure/mime.js";
import { isComm } from "./pure/comms.js";
import type { CellEvent } from "./pure/comms.js";
import { cellOfRun, newCell, titleOf } from "./pure/document.js";
import type { Document } from "./pure/document.js";
import { staleness, textsAbove } from "./pure/stale.js";
import type { Place } from "./pure/traceback.js";
import { bytes, outcome, restarted, sentence } from "./pure/words.js";
import { Programs, TERMINAL_SHOWN } from "./pure/programs.js";
import { interpreterFor, languageTitle } from "./pure/languages.js";
import type { Offered } from "./pure/languages.js";
import { Runs } from "./runs.js";
import type { Stopping } from "./runs.js";
import type { Consent } from "./rich/consent.js";
import type { Rich } from "./rich/rich.js";
import type { TableHost } from "./rich/table.js";
import { documentOf, forgetRecent, rememberSession } from "./recent.js";
import { ofBrowser, ofTab } from "./storage.js";
import { Store } from "./store.js";
import { Tables } from "./tables.js";
import { askTabs } from "./tabs.js";
import { Trust } from "./trust.js";
import { Widgets } from "./widgets.js";

/** What the header shows. */
export interface Overview {
  link: LinkState;
  ready: Ready | null;
  state: string;
  /** What runs: since when, and whether it waits for an answer. */
  running: { since: number; asking: boolean } | null;
  queued: number;
  usage: Usage | null;
  latency: number | null;
  participants: readonly Participant[];
  stopping: Stopping;
  title: string;
  canFiles: boolean;
  /** Those who write in the shared document. */
  faces: TemplateResult | null;
}

/** What a link lets somebody do. */
export interface Offer extends Withheld { role: Role }

/** A link to share; `id` is `null` where it was not made here. */
export interface ShareLink { href: string; id: number | null; session: string }

const LINE_NUMBERS = "cellgate.lineNumbers";
/** How long a page that comes back to a session waits for its events before it shows what was kept of them. */
const REPLAY_MS = 1500;

export class Console implements CellHost {
  /** The programs that are open in the session, and what its terminals show. */
  readonly programs = new Programs(() => this.frames.request());
  readonly frames = new Frames(() => {
    this.#link.session?.acknowledge(this.programs.shownUpTo(this.#seq));
    this.#follow.look();
    if (this.#staleUnknown) this.#drawStale();
  });
  readonly cells: Cells;
  readonly store: Store;
  readonly runs: Runs;
  readonly widgets: Widgets;
  readonly tables: Tables;
  readonly #trust = new Trust();
  /** The links this page has made. */
  readonly #links = new Map<string, ShareLink>();
  readonly #link: Link;
  readonly #banner: Banner;
  readonly #follow = new Follow(() => this.cells.selected?.element);
  readonly #changed: () => void;
  #document: Document;
  #ready: Ready | null = null;
  #seq = 0;
  #usage: Usage | null = null;
  #latency: number | null = null;
  #participants: readonly Participant[] = [];
  #loading = false;
  /** The document that all participants write, once somebody else is here. */
  #shared: SharedDocument | null = null;
  #sharing = false; // its code is loaded, or is being loaded
  #hasDocument = false; // at the gateway
  /** Whether what this page shows is the session's text: it made the session, or has come back to it with its document. */
  #holdsText = false;
  /** The cells of runs whose ids do not name them. */
  readonly #cellsOfRuns = new Map<string, string>();
  /** Whether something has run that the interpreter may remember. */
  #ran = false;
  #lossSaid = false; // that the variables are gone
  /** Events up to this one were there before the page was. */
  #replayedTo = 0;
  /** Until the gateway has said otherwise. */
  #canFiles = true;
  /** Something has changed that decides which outputs are stale. */
  #staleUnknown = false;
  /** Counts the runs that began, to tell which was first. */
  #clock = 0;

  constructor(document: Document, store: Store, readonly arrival: Arrival, changed: () => void) {
    this.#document = document;
    this.store = store;
    this.#changed = changed;
    this.cells = new Cells(this, () => this.#edited());
    this.#link = new Link({
      linkChanged: (state) => this.#linkChanged(state),
      ready: (ready, resumed) => this.#onReady(ready, resumed),
      event: (event) => this.#onEvent(event),
      gap: (gap) => this.#onGap(gap),
      participants: (list, document) => this.#onParticipants(list, document),
      refused: (error) => this.#onRefused(error),
      lostEarlier: () => arrival.again ? undefined : toast("The earlier session has ended. This is a new one: run the cells again."),
    });
    this.#banner = new Banner(this.#link, arrival.key);
    const link = this.#link;
    this.tables = new Tables(this);
    const { cells } = this;
    const console = this;
    this.runs = new Runs({
      get session() { return link.session; },
      get role() { return console.rights.role; },
      get all() { return cells.all; },
      get beside() { return console.programs.interpreters; },
      changed,
      sent: () => this.#edited(),
    }, this.#trust);
    const { frames } = this;
    this.widgets = new Widgets({
      get session() { return link.session; },
      frames,
      canSend: () => this.canRun() && link.state.kind === "open",
      isOwn: (run) => this.runs.isOwn(run),
      consent: (run) => this.consent(run),
      caughtUp: () => link.state.kind === "open" && this.#seq >= this.#replayedTo,
    });
    this.#load(document);
  }

  connect(): void {
    void this.#link.start();
  }

  get link(): Link { return this.#link; }

  get document(): Document { return { ...this.#document, cells: this.cells.all.map((cell) => cell.source) }; }

  /** The document's title, or its first words. */
  get title(): string { return titleOf({ title: this.#document.title, cells: this.cells.all.map((cell) => cell.editor) }); }

  /** What this participant may do now: an owner may have changed it since it came. */
  get rights(): Offer {
    const { role = "owner", run, edit, participant } = this.#ready ?? {};
    const own = this.#participants.find((one) => one.id === participant);
    return own ?? { role, ...(run !== undefined && { run }), ...(edit !== undefined && { edit }) };
  }

  get overview(): Overview {
    const running = this.cells.all.find((cell) => cell.phase.phase === "running");
    const state = this.#link.session?.state ?? this.#ready?.state ?? "starting";
    return {
      link: this.#link.state,
      ready: this.#ready,
      // A slider that is moved runs something each time, which nobody has to see unless it takes long.
      state: state === "idle" && this.runs.runsAll ? "busy" : state === "busy" && !running && this.widgets.runsShortly ? "idle" : state,
      running: running?.phase.phase === "running" ? { since: running.phase.since, asking: running.output.asking } : null,
      queued: this.cells.all.filter((cell) => cell.planned || cell.phase.phase === "waiting" || cell.phase.phase === "sent").length,
      usage: this.#usage,
      latency: this.#latency,
      participants: this.#participants,
      stopping: this.runs.stopping,
      title: this.title,
      canFiles: this.#canFiles,
      faces: this.#shared?.presence?.faces() ?? null,
    };
  }

  // --- documents -------------------------------------------------------------------------------

  /** Leaves the session for another one. */
  join(key: SessionKey): void {
    this.#endShared();
    keepSession(key);
    void this.#link.start();
  }

  /** Opens another document; the one before is kept. */
  async open(document: Document): Promise<void> {
    if (await this.#shared?.take(document)) return;
    this.store.flush();
    await this.store.kept.flush();
    await this.store.adopt(document);
    this.#load(document);
    this.#remember();
    this.#edited();
  }

  /** Notes that the document is worked on in this session, to come back to it when the tab was closed. */
  #remember(): void {
    const key = keptSession();
    if (key && !this.arrival.embed && !this.arrival.shared) rememberSession(this.#document.id, key);
  }

  setTitle(title: string): void {
    this.#shared?.setTitle(title);
    this.takeTitle(title);
  }

  /** Others have given the document a title. */
  takeTitle(title: string): void {
    if (title === this.#document.title) return;
    this.#document = { ...this.#document, title };
    this.#edited();
  }

  #load(document: Document): void {
    this.#loading = true;
    this.#document = document;
    const single = this.arrival.layout === "single";
    const codes = document.cells.filter((cell) => cell.kind === "code");
    const [first, ...others] = codes;
    // A playground has one editor.
    const one = first && others.length === 0 ? first : { ...(first ?? newCell("", "code", this.newLanguage())), code: codes.map((cell) => cell.code).join("\n\n") };
    this.cells.load(single ? [one] : document.cells);
    for (const cell of this.cells.all) cell.editor.setReadOnly(!this.canEdit());
    this.#loading = false;
    this.#staleUnknown = true;
    // What a session still has comes from there, with more than is kept: until its end is known, nothing is shown twice.
    const comes = keptSession() !== null && (this.#link.state.kind === "connecting" || this.#seq < this.#replayedTo);
    if (!comes) return this.#showKept();
    setTimeout(() => this.#showKept(), REPLAY_MS);
  }

  /** Shows what cells showed in an earlier session or in the file they come from. */
  #showKept(): void {
    for (const cell of this.cells.all) cell.showKept();
    this.#staleUnknown = true;
    this.frames.request();
  }

  /** Keeps what a cell shows, soon. */
  #keep(cell: CellView): void {
    if (this.arrival.embed) return;
    this.store.kept.save(this.#document.id, cell.id, () => {
      const kept = cell.keep(cell.run !== undefined && this.runs.isOwn(cell.run));
      return { ...cell.source, ...(kept && { kept }) };
    });
  }

  #drawStale(): void {
    this.#staleUnknown = false;
    const stale = staleness(this.cells.all.map((cell) => cell.step));
    for (const [at, cell] of this.cells.all.entries()) cell.setStale(stale[at]!);
  }

  lineNumbers(): boolean { return ofBrowser.getItem(LINE_NUMBERS) === "yes"; }

  toggleLineNumbers(): void {
    const shown = !this.lineNumbers();
    ofBrowser.setItem(LINE_NUMBERS, shown ? "yes" : "no");
    for (const cell of this.cells.known) cell.editor.setLineNumbers(shown);
  }

  #edited(): void {
    this.#changed();
    this.#staleUnknown = true;
    this.frames.request();
    if (this.#loading || this.arrival.embed) return;
    this.#document = { ...this.#document, updated: Date.now() };
    this.store.save(() => this.document);
  }

  canRun(): boolean { return this.rights.role !== "viewer" && this.rights.run !== false; }

  canEdit(): boolean { return this.rights.role !== "viewer" && this.rights.edit !== false && !this.arrival.readOnly; }

  /** Whether what the session did before this page was there is known. */
  get caughtUp(): boolean { return this.#link.state.kind === "open" && this.#seq >= this.#replayedTo; }

  clearAll(): void {
    for (const cell of this.cells.all) {
      if (cell.busy) continue;
      cell.clear();
      this.#keep(cell);
    }
    this.#edited();
  }

  // --- what the session says -------------------------------------------------------------------

  #linkChanged(state: LinkState): void {
    if (state.kind === "waiting" || state.kind === "unavailable") this.widgets.disconnected();
    if (state.kind === "over" || state.kind === "connecting") {
      this.widgets.reset();
      this.programs.over();
      for (const cell of this.cells.known) cell.forget(state.kind === "over" ? "The session ended before this cell did." : "");
      this.#usage = null;
      this.#endShared();
      this.#participants = [];
      this.runs.stopped();
    }
    if (state.kind === "over" && this.#ready) forgetRecent(this.#ready.session);
    // Another tab of this browser may have the token.
    if (state.kind === "refused" && !state.wrong) void askTabs().then((token) => { if (token && this.#link.state === state) this.#link.signIn(token); });
    if (state.kind === "open") void this.#probe();
    this.#banner.show(state);
    this.#changed();
  }

  #onReady(ready: Ready, resumed: boolean): void {
    if (!resumed) this.#holdsText = this.#link.made || documentOf(ready.session) === this.#document.id;
    this.#ready = ready;
    this.programs.begin(ready, resumed);
    for (const cell of this.cells.known) cell.languagesChanged();
    if (!resumed) this.#sayMissing(ready);
    if (!resumed && !this.arrival.embed && ofTab.getItem(TERMINAL_SHOWN) !== null) {
      import("./terminal/terminal.js").then(({ reopenTerminal }) => reopenTerminal(this), () => {}); // its button tries again
    }
    this.#trust.enter(ready.session);
    this.#remember();
    this.#rightsChanged();
    this.#shared?.refresh();
    // A new session counts anew: what ran in another one is not among what it ran.
    for (const cell of this.cells.known) {
      if (resumed) cell.draw();
      else cell.outlived();
    }
    if (!resumed && ready.seq === 0) this.#showKept();
    if (!resumed) {
      this.#seq = 0;
      this.#ran = false;
      this.#replayedTo = ready.seq;
    } else announce("Reconnected.");
    this.#changed();
  }

  /** Says that the session has no interpreter for the language that the address of the page asks for. */
  #sayMissing({ languages, template }: Ready): void {
    const { language } = this.arrival;
    if (language === null || languages.some(({ name }) => name === language)) return;
    toast(`Sessions of the template ${template} run no ${languageTitle(language)}; they run ${languages.map(({ name }) => languageTitle(name)).join(", ")}.`);
  }

  languages(): readonly Offered[] { return this.#ready?.languages ?? []; }

  newLanguage(): string | undefined { return this.arrival.language ?? undefined; }

  changeLanguage(cell: CellView, language: string): void { this.cells.setLanguage(cell, language); }

  #onParticipants(list: readonly Participant[], hasDocument: boolean): void {
    const before = JSON.stringify(this.rights);
    this.#participants = list;
    this.#hasDocument = hasDocument;
    if (JSON.stringify(this.rights) !== before) {
      this.#rightsChanged();
      for (const cell of this.cells.all) cell.draw();
      void this.#probe();
    }
    if ((list.length > 1 || hasDocument) && !this.arrival.embed && this.arrival.layout === "list") void this.#share(hasDocument);
    this.#changed();
  }

  /** Shows on the page what may be done. */
  #rightsChanged(): void {
    const { dataset } = document.documentElement;
    dataset.role = this.rights.role;
    dataset.run = this.canRun() ? "" : "no";
    dataset.edit = this.canEdit() ? "" : "no";
    for (const cell of this.cells.all) cell.editor.setReadOnly(!this.canEdit());
    this.#shared?.refresh();
  }

  /** From now on the document is one for all participants. */
  async #share(exists: boolean): Promise<void> {
    const session = this.#ready?.session;
    if (!this.#sharing && session) {
      this.#sharing = true;
      try {
        const { SharedDocument } = await import("./collab/shareddocument.js");
        // The session may be another one by now.
        if (this.#sharing && this.#ready?.session === session) this.#shared = new SharedDocument(this, session);
      } catch {
        this.#sharing = false; // tried again with the next list
      }
    }
    // Another list may have said it meanwhile.
    if (exists || this.#hasDocument) this.#shared?.exists();
  }

  #endShared(): void {
    this.#sharing = false;
    this.#shared?.end();
    this.#shared = null;
  }

  /** This participant's number. */
  get participant(): number | undefined { return this.#ready?.participant; }

  get holdsText(): boolean { return this.#holdsText; }

  /** The name by which the others know this participant. */
  get ownName(): string {
    return ownName() || (this.#participants.find((one) => one.id === this.#ready?.participant)?.name ?? "");
  }

  /** The user has given a name. */
  renamed(): void { this.#shared?.presence?.rename(); }

  /** Others have changed which cells there are. */
  arranged(): void { this.#edited(); }

  redraw(): void { this.#changed(); }

  showPeople(): void { void import("./more.js").then(({ showPeople }) => showPeople(this)); }

  #onGap(gap: Gap): void {
    this.#seq = Math.max(this.#seq, gap.to);
    if (gap.superseded) return; // what follows shows what those events led to
    this.#ran = true;
    this.widgets.missed();
    if (this.runs.stopping !== "no") toast("Stopped at once: output that was still on its way is not shown.");
    else if (gap.from <= 1) toast("The beginning of this session's output is no longer kept.");
    else toast("Some output is missing: it was skipped, or is no longer kept.");
    this.frames.request();
  }

  #onRefused(error: ProtocolError): void {
    if (error.id !== undefined) this.programs.refused(error.id);
    if (this.widgets.refused(error) || error.code === "not_running") return; // what was to be stopped had ended already
    toast(sentence(error.message));
  }

  #onEvent(event: SessionEvent): void {
    this.#seq = event.seq;
    this.frames.request();
    this.#take(event);
    if (this.#seq === this.#replayedTo) {
      this.widgets.caughtUp();
      this.#showKept(); // of cells that the session does not know
    }
    if (event.type === "status" && event.state === "idle" && this.#seq >= this.#replayedTo) this.tables.idle();
  }

  #take(event: SessionEvent): void {
    if (this.programs.take(event)) {
      // An interpreter that ended takes its variables along.
      if (event.type === "exited") this.#outlived(event.id);
      return this.#changed();
    }
    if (this.widgets.take(event)) {
      if (event.type === "done") this.#commEnded(event);
      return;
    }
    if ("id" in event && !isComm(event)) {
      if (this.widgets.comms.isCommRun(event.id)) this.#besideWidget(event);
      else this.#toCell(event);
      return;
    }
    switch (event.type) {
      case "usage":
        this.#usage = event;
        this.tick();
        break;
      case "restarted":
        this.runs.stopped(event.interpreter);
        if (event.interpreter === undefined) this.#ran = false;
        this.#outlived(event.interpreter);
        // Beside a cell that took its interpreter along, it is said already.
        // One beside the first restarts together with it, or because its cell was stopped by force, if somebody asked.
        if (!this.#lossSaid && (event.interpreter === undefined || event.requested_by === undefined)) toast(restarted(event.requested_by, this.#titleOf(event.interpreter)));
        this.#lossSaid = false;
        break;
      case "notice":
        if (event.text) toast(sentence(event.text));
        break;
    }
    this.#changed();
  }

  /** What cells of that interpreter show is of an earlier one. */
  #outlived(interpreter: string | undefined): void {
    for (const cell of this.cells.known) if (!cell.busy && cell.interpreter === interpreter) cell.outlived();
  }

  /** The language of an interpreter beside the first, for people. */
  #titleOf(interpreter: string | undefined): string | undefined {
    return interpreter === undefined ? undefined : languageTitle(this.#languageOf(interpreter)!);
  }

  /** The language that an interpreter executes; `undefined`: the session's first. */
  #languageOf(interpreter: string | undefined): string | undefined {
    return interpreter === undefined ? undefined : this.programs.info(interpreter)?.language ?? interpreter;
  }

  /** A message of a widget was handled. */
  #commEnded(done: Done): void {
    for (const cell of this.cells.all) cell.advance();
    this.runs.stopped();
    this.#cellOf(done.id)?.output.takeBeside(done);
    // No cell says that it took the interpreter along.
    if (!done.state_kept) this.#lossSaid = false;
    this.#changed();
  }

  /** Output of a widget's callbacks that no Output widget takes: below the cell that made the widget. */
  #besideWidget(event: CellEvent): void {
    const cell = this.#cellOf(event.id);
    if (!cell) {
      if (event.type === "error") toast(`A widget failed: ${event.name}: ${event.value}`);
      return;
    }
    cell.output.takeBeside(event);
    cell.draw();
  }

  /** The cell that made the widget whose message a run is. */
  #cellOf(commRun: string): CellView | undefined { return this.cells.find(this.#cellNamed(this.widgets.comms.cellRun(commRun))); }

  #toCell(event: CellEvent): void {
    let cell = this.cells.find(this.#cellOfRun(event));
    if (cell && event.type === "started" && !cell.element.isConnected && !this.runs.isOwn(event.id)) {
      // Deleted here, and somebody else has run it since.
      this.cells.forget(cell);
      cell = undefined;
    }
    // What other frames of a page run in the session that they share is theirs to show.
    if (!cell && event.type === "started" && !this.arrival.embed) {
      cell = this.#arrived(event.id, event.code, this.#languageOf(event.interpreter));
    }
    if (!cell) return;
    const own = this.runs.isOwn(event.id);
    if (event.type === "queued" && cell.active && cell.run !== event.id) {
      // What runs keeps its output; the new run takes its place when it starts.
      cell.setNext({ run: event.id, position: event.position, code: cell.next?.run === event.id ? cell.next.code : undefined });
      return this.#changed();
    }
    if (event.type === "done" && cell.next?.run === event.id) {
      cell.setNext(null);
      toast(`The new code of cell ${cell.number} did not run: it was taken out of the queue.`);
      return this.#changed();
    }
    // Somebody else runs this cell, the log is replayed, or the run that waited starts.
    if (event.type === "queued" ? cell.run !== event.id || !own : event.type === "started" && cell.run !== event.id) cell.begin(event.id);
    else if (cell.run !== event.id) return;
    if (event.type === "started") {
      this.#ran = true;
      // Somebody else may have run it in another language.
      const language = this.#languageOf(event.interpreter);
      if (!own && !this.#shared?.open && interpreterFor(language, this.languages()) !== cell.interpreter) cell.setLanguage(language);
      this.#began(cell, event.id, event.code, event.seq);
      this.#showCode(cell, event.id, event.code, event.seq, own);
    }
    cell.take(event);
    if (event.type === "started" && this.runs.isOwn(event.id)) this.#follow.begin();
    if (event.type === "done") this.#cellEnded(cell, event);
    else if (!cell.active) this.#keep(cell);
    if (event.type === "queued" || event.type === "started" || event.type === "done" || event.type === "input_request") this.#changed();
    if (event.type === "input_request") announce(`Cell ${cell.number} asks: ${event.prompt.trim() || "for input"}`);
  }

  /** The id of the cell that an event is about. */
  #cellOfRun(event: CellEvent & { cell?: string }): string {
    if (event.cell !== undefined && event.cell !== cellOfRun(event.id)) this.#cellsOfRuns.set(event.id, event.cell);
    return this.#cellNamed(event.id);
  }

  #cellNamed(run: string): string { return this.#cellsOfRuns.get(run) ?? cellOfRun(run); }

  /** Notes what decides later whether the output of a run is stale. */
  #began(cell: CellView, run: string, code: string, seq: number): void {
    cell.order = this.#clock += 1;
    if (cell.changed === undefined || cell.ranCode !== code) cell.changed = cell.order;
    const replayed = seq <= this.#replayedTo;
    cell.above = replayed ? cell.keptAbove(run) : textsAbove(this.cells.all.map((one) => one.step))[cell.number - 1];
    this.#staleUnknown = true;
  }

  /** Shows the code above an output that is of it. One's own text stays, and is said to be edited. */
  #showCode(cell: CellView, run: string, code: string, seq: number, own: boolean): void {
    if (this.#shared?.open) return; // what stands there is what everybody sees
    if (!this.canEdit()) return cell.editor.setCode(code);
    const newer = seq <= this.#replayedTo && cell.isNewerThan(run);
    if (!own && !newer) cell.showCode(code);
  }

  /** A cell that is not in this document: somebody else wrote it. */
  #arrived(run: string, code: string, language: string | undefined): CellView {
    const only = this.cells.all[0];
    // An untouched page shows what it was sent instead of an empty cell above it.
    if (this.cells.all.length === 1 && only && only.editor.code === "" && only.run === undefined) this.#loading = true;
    const cell = this.cells.showForeign({ id: this.#cellNamed(run), kind: "code", code, run, ...(language !== undefined && { language }) });
    if (this.#loading && only) {
      this.cells.remove(only);
      this.#loading = false;
    }
    cell.editor.setReadOnly(!this.canEdit());
    return cell;
  }

  #cellEnded(cell: CellView, done: Done): void {
    for (const other of this.cells.all) other.advance();
    this.#keep(cell);
    this.#staleUnknown = true;
    this.#lossSaid = !done.state_kept && done.status !== "interrupted" && done.status !== "cancelled";
    this.runs.ended(done.id, done.status === "ok", cell.interpreter);
    if (cell !== this.cells.aside) announce(`Cell ${cell.number} ${outcome(done, cell.output.lineCount)}`);
    if (this.runs.isOwn(done.id)) this.#follow.end();
  }

  /** Measures the latency, and finds out whether files are offered. */
  async #probe(): Promise<void> {
    const session = this.#link.session;
    if (!session) return;
    this.measure();
    if (this.rights.role === "viewer" || session.ready.allowed?.files === false) {
      this.#canFiles = false;
      return this.#changed();
    }
    try {
      await session.files.list();
      this.#canFiles = true;
    } catch (error) {
      // 404 and the like: this gateway offers none.
      this.#canFiles = !(error instanceof RequestFailed);
    }
    this.#changed();
  }

  /** Restarts the interpreter, and asks first where that would lose something. */
  async restart(runAll = false): Promise<void> {
    const lost = this.#ran || this.cells.all.some((cell) => cell.busy);
    const others = this.programs.interpreters.map((id) => this.#titleOf(id)!);
    const what = others.length === 0 ? "Its variables" : `The variables of all its languages, ${others.join(" and ")} too,`;
    if (this.runs.canRestart && lost && !await ask("Restart the interpreter?", `${what} will be gone, and what runs or waits ends. Code, output and files stay.`, "Restart")) return;
    return runAll ? this.runs.restartAndRunAll() : this.runs.restart();
  }

  measure(): void {
    const session = this.#link.session;
    if (this.#link.state.kind !== "open" || !session) return;
    session.ping().then((ms) => {
      this.#latency = ms;
      this.#changed();
    }, () => {
      // A lost connection shows itself.
      this.#latency = null;
    });
  }

  /** Opens the panel of the terminal, or closes it. */
  toggleTerminal(): void {
    if (this.arrival.embed) return;
    import("./terminal/terminal.js").then(({ toggleTerminal }) => toggleTerminal(this), () => toast("The terminal could not be loaded. Try again once the gateway can be reached."));
  }

  /** Once a second: what shows seconds is drawn again. */
  tick(): void {
    for (const cell of this.cells.all) if (cell.phase.phase === "running") cell.draw();
    this.#banner.show(this.#link.state);
    this.#changed();
  }

  // --- what cells ask for ----------------------------------------------------------------------

  act(cell: CellView, action: CellAction): void {
    act(this, cell, action, () => this.#edited());
  }

  menu(cell: CellView, button: HTMLElement): void { void import("./more.js").then(({ showCellMenu }) => showCellMenu(this, cell, button, this.arrival.layout === "single")); }

  allowScripts(run: string): void { this.#trust.allow(run); }

  editorHost(cell: CellView): EditorHost {
    // The view is made before the editor asks anything of it.
    return {
      changed: (typed) => {
        cell.textChanged();
        if (typed) this.#shared ? this.#shared.typed(cell) : (cell.foreign = false);
        this.#edited();
      },
      run: (then) => {
        if (cell.kind === "code") this.runs.run(cell);
        else cell.render();
        if (cell.kind !== "code" && then === "stay") return this.cells.show(cell);
        if (this.arrival.layout === "single" || then === "stay") return;
        if (!this.canEdit() && (then === "insert" || this.cells.all.at(-1) === cell)) return;
        const next = then === "advance" ? this.cells.following(cell) : this.cells.insertNear(cell, "below");
        // Text that is rendered is gone through, not opened.
        if (next.kind === "code") next.editor.focus();
        else this.cells.show(next);
        scrollToCell(next.element, { block: "nearest" });
      },
      find: () => {
        if (this.arrival.embed) return false;
        void import("./more.js").then(({ showFind }) => showFind(this, cell.editor.selected));
        return true;
      },
      split: () => { if (this.arrival.layout !== "single" && this.canEdit()) this.cells.split(cell, cell.editor.cursor); },
      leave: () => {
        cell.render();
        this.cells.show(cell);
      },
      step: (direction) => {
        const next = this.cells.step(cell, direction);
        if (next && next.kind !== "code") this.cells.show(next);
        else next?.editor.focus(direction > 0 ? "start" : "end");
        return next !== null;
      },
      focused: () => this.cells.select(cell),
      complete: async (code, cursor) => {
        const session = this.#link.session;
        if (!session || this.#link.state.kind !== "open") return null;
        return session.complete(code, cursor, cell.interpreter).catch(() => null);
      },
      inspect: async (code, cursor) => {
        const session = this.#link.session;
        if (!session || this.#link.state.kind !== "open") return null;
        const reply = await session.inspect(code, cursor, cell.interpreter).catch(() => null);
        return reply?.found ? asText(reply.data["text/plain"] ?? "") : null;
      },
    };
  }

  select(cell: CellView): void { this.cells.select(cell); }

  memoryLimit(): number | undefined { return this.#ready?.limits.memory_bytes; }

  runBy(participant: string): string | null {
    return this.#participants.length < 2 || !participant ? null : participant;
  }

  canAnswer(): boolean { return this.canRun(); }

  async downloadOutput(id: string): Promise<void> {
    try {
      const output = await this.#link.session?.files.output(id);
      if (output) download("output.txt", output);
    } catch (error) {
      toast(`The output cannot be downloaded: ${(error as Error).message}`);
    }
  }

  answer(id: string, text: string | null): void {
    this.runs.ask(() => this.#link.session?.answer(id, text));
    this.cells.get(this.#cellNamed(id))?.draw();
    this.#changed();
  }

  placeName(place: Place): string | null {
    const cell = this.cells.get(this.#cellNamed(place.cell));
    // The number beside the cell, which tracebacks use too.
    return cell ? `cell ${cell.count ?? cell.number}, line ${place.line}` : null;
  }

  goTo(place: Place): void {
    const cell = this.cells.get(this.#cellNamed(place.cell));
    if (!cell) return toast("That cell is no longer here.");
    this.cells.select(cell);
    cell.editor.goToLine(place.line);
    scrollToCell(cell.element, { block: "nearest" });
  }

  widget(run: string, data: Record<string, unknown>): Rich | null { return this.widgets.view(run, data); }

  updateDisplay(run: string, displayId: string, data: Record<string, unknown>, metadata: Record<string, unknown>): void {
    this.widgets.updateDisplay(displayId, data, metadata);
    for (const cell of this.cells.all) cell.output.update(run, displayId, data, metadata);
  }

  tablesOf(run: string): TableHost {
    const interpreter = this.cells.find(this.#cellNamed(run))?.interpreter;
    return interpreter === undefined ? this.tables : this.tables.of(interpreter);
  }

  consent(shown: string): Consent | null {
    // A widget's callbacks are the code of the cell that made it, whoever pressed the button.
    const run = this.widgets.comms.cellRun(shown);
    if (this.#trust.mayRunScripts(run)) return null;
    return {
      run,
      author: run.startsWith("kept-") ? null : this.cells.get(this.#cellNamed(run))?.author ?? "",
      allow: () => this.#trust.allow(run),
      allowEveryone: () => this.#trust.allowEveryone(),
    };
  }

  // --- together --------------------------------------------------------------------------------

  /**
   * A link that opens this session with that role, and the number of its token. One that this page has made is
   * given again: each is a token that has to be looked after.
   */
  async shareLink(offer: Offer): Promise<ShareLink> {
    const session = this.#session();
    if (this.rights.role === "owner") {
      const key = JSON.stringify(offer);
      const made = this.#links.get(key);
      if (made?.session === session.id) return made;
      const { role, ...withheld } = offer;
      const { token, id, run, edit } = await session.files.grant(role, withheld);
      if (run !== withheld.run || edit !== withheld.edit) {
        await session.files.revoke(id);
        throw new CellgateError("this gateway makes no links that let somebody only run or only edit");
      }
      const link = { href: this.#linkWith(session.id, token), id, session: session.id };
      this.#links.set(key, link);
      return link;
    }
    // The own token is this participant's alone: who came by a link passes on the link.
    const token = keptSession()?.link;
    if (token === undefined) throw new CellgateError("only an owner of this session can make a link");
    return { href: this.#linkWith(session.id, token), id: null, session: session.id };
  }

  /** The share links that open this session, newest first. For owners. */
  async shareLinks(): Promise<SessionToken[]> {
    const links = (await this.#session().files.tokens()).filter(({ link }) => link).reverse();
    // One that has expired, or that somebody else has revoked, is not given again.
    for (const [key, { id }] of this.#links) if (!links.some((link) => link.id === id)) this.#links.delete(key);
    return links;
  }

  /** Revokes a share link; who came by it has to leave. For owners. */
  revokeLink(id: number): Promise<void> { return this.#session().files.revoke(id); }

  /** Shows a participant out. For owners. */
  showOut(participant: number): Promise<void> { return this.#session().files.showOut(participant); }

  /** Changes what a participant may do. For owners. */
  permit(participant: number, change: Offer): Promise<void> { return this.#session().files.changeRights(participant, change); }

  #session(): Session {
    const session = this.#link.session;
    if (!session) throw new CellgateError("there is no session");
    return session;
  }

  #linkWith(session: string, token: string): string {
    const url = new URL(location.href);
    url.search = "";
    url.hash = new URLSearchParams({ session, token }).toString();
    return url.href;
  }

  /** Puts files into the working directory, and says of each what came of it. */
  async upload(files: File[]): Promise<void> {
    const session = this.#link.session;
    if (!session) return toast("There is no session to put files into.");
    for (const file of files) {
      try {
        await session.files.put(file.name, file);
        toast(`${file.name} is in the working directory (${bytes(file.size)}).`);
      } catch (error) {
        toast(`${file.name} was not taken: ${sentence((error as Error).message)}`);
      }
    }
  }
}
