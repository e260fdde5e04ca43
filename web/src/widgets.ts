// Jupyter's widgets on the page: the store of their models, the frames that draw them, and what users do in them.
//
//   events ──► Comms (models) ──► WidgetFrame ──► the frame, which draws
//   session ◄── comm messages ◄── WidgetFrame ◄── the frame: a user has moved something
//
// A frame may run anything, so what it says is checked here: it may send to the models that it was given, in
// messages of a bounded size, and a few at a time. Where nothing may be sent, what the user did is undone.

import type { SendComm, ProtocolError, Session, SessionEvent } from "../client/src/core.js";
import type { CommReport, WidgetContent, WidgetStep } from "./frame/message.js";
import type { Drawable, Frames } from "./frames.js";
import { h } from "./dom.js";
import { commOfRun, Comms, CONTROL_TARGET, isComm, references, toBase64, VIEW } from "./pure/comms.js";
import type { Change } from "./pure/comms.js";
import { newId } from "./pure/document.js";
import { asText } from "./pure/mime.js";
import { withConsent } from "./rich/consent.js";
import type { Consent } from "./rich/consent.js";
import { frameFor } from "./rich/frame.js";
import type { Rich } from "./rich/rich.js";

const MESSAGE_SHARE = 0.9; // of the longest client message, for the data and buffers of a comm message
const AT_ONCE = 8; // messages that this page lets the interpreter have at a time: its queue is everybody's
const WAITING = 256; // messages of one frame that may wait behind them; more are dropped
const SHORT_MS = 500; // that a callback may run before the page says that something runs
const FIRST_MS = 3000; // in which a new frame brings together what its links join
const ANSWER_MS = 10_000; // that the interpreter has to tell all states once it is idle

export interface WidgetsHost {
  readonly session: Session | null;
  readonly frames: Frames;
  /** Whether this participant may send. */
  canSend(): boolean;
  /** Whether this tab sent the run. */
  isOwn(run: string): boolean;
  /** What to ask before scripts of what a run shows may run. */
  consent(run: string): Consent | null;
  /** Whether the log has been replayed: what the store does not know by now is not in it. */
  caughtUp(): boolean;
}

/** A message that this page sent and whose end has not come: whose it is, and what the frame calls it. */
interface Sent { frame: WidgetFrame | null; token: string; model: string; keys: string[]; started: boolean }

/** A view of a model that the store does not know. */
interface Unknown { model: string; place: HTMLElement; show(): void; giveUp(): void }

export class Widgets implements Drawable {
  readonly comms = new Comms();
  readonly #host: WidgetsHost;
  readonly #frames = new Set<WidgetFrame>();
  readonly #sent = new Map<string, Sent>();
  #waiting: { sent: Sent & { frame: WidgetFrame }; message: Pick<SendComm, "comm_id" | "data" | "buffers"> }[] = [];
  readonly #unknown = new Set<Unknown>();
  #asking: ReturnType<typeof setTimeout> | null = null;
  /** The message that is being handled, anybody's. */
  #running: { run: string; since: number } | null = null;

  constructor(host: WidgetsHost) {
    this.#host = host;
  }

  /** Whether a widget's message is what runs, and has not run for long. */
  get runsShortly(): boolean { return this.#running !== null && performance.now() - this.#running.since < SHORT_MS; }

  // --- what the session says -------------------------------------------------------------------

  /** Another session, or the same one anew. */
  reset(): void {
    this.#gone();
    for (const unknown of this.#unknown) unknown.giveUp();
    this.#unknown.clear();
  }

  /** Takes in what concerns widgets alone; says whether the event was that. */
  take(event: SessionEvent): boolean {
    if (isComm(event)) {
      for (const change of this.comms.take(event)) this.#tell(change);
      this.#found();
      return true;
    }
    const opened = commOfRun(event);
    if (opened !== null && event.type === "started") {
      this.comms.began(event.id, opened);
      this.#running = { run: event.id, since: performance.now() };
      const sent = this.#sent.get(event.id);
      if (sent) sent.started = true;
      return true;
    }
    if (event.type === "done" && event.id === this.#running?.run) this.#running = null;
    if (event.type === "done" && this.comms.isCommRun(event.id)) {
      this.#ended(event.id);
      return true;
    }
    if (event.type === "restarted") this.#gone();
    if (event.type === "status" && event.state === "idle") {
      this.#running = null;
      // What was started has ended; its end may be in a gap.
      for (const [run, { started }] of [...this.#sent]) if (started) this.#lost(run);
    }
    const captured = this.comms.capture("id" in event && this.#host.consent(this.comms.cellRun(event.id)) ? withoutScripts(event) : event);
    if (captured) this.#tell(captured);
    return captured !== null;
  }

  updateDisplay(displayId: string, data: Record<string, unknown>, metadata: Record<string, unknown>): void {
    for (const change of this.comms.updateDisplay(displayId, data, metadata)) this.#tell(change);
  }

  /** A message was refused; says whether it was one of a widget. */
  refused(error: ProtocolError): boolean {
    if (error.id === undefined || !this.#sent.has(error.id)) return false;
    this.#lost(error.id);
    return true;
  }

  /** The connection is lost: what was not handled may never be. */
  disconnected(): void {
    for (const { sent } of this.#waiting.splice(0)) sent.frame.undo(sent);
    for (const run of [...this.#sent.keys()]) this.#lost(run);
  }

  /** Events are missing: what the frames show may be old. */
  missed(): void {
    // The start of what was sent may be among them; it has ended when the session is idle.
    for (const sent of this.#sent.values()) sent.started = true;
    if (this.#frames.size > 0) this.#ask();
  }

  /** The log was replayed. */
  caughtUp(): void {
    if (this.#unknown.size > 0) this.#ask();
  }

  #gone(): void {
    this.comms.clear();
    this.#running = null;
    this.#sent.clear();
    this.#waiting = [];
    for (const frame of this.#frames) frame.disconnect();
    this.#frames.clear();
  }

  #ended(run: string): void {
    const sent = this.#sent.get(run);
    this.#sent.delete(run);
    sent?.frame?.handled(sent.token);
    this.#pump();
  }

  /** A message was not handled, or it is not known whether it was. */
  #lost(run: string): void {
    const sent = this.#sent.get(run);
    this.#sent.delete(run);
    sent?.frame?.undo(sent);
    this.#pump();
  }

  #tell(change: Change): void {
    const sent = change.kind === "update" ? this.#sent.get(change.run) : undefined;
    for (const frame of this.#frames) frame.tell(change, sent?.frame === frame ? sent.token : undefined);
    this.#host.frames.request(this);
  }

  /** Called once a frame of the screen, by `Frames`. */
  draw(): void {
    for (const frame of this.#frames) {
      // Taken out of the page; should it come back, it begins anew.
      if (!frame.element?.isConnected) this.#frames.delete(frame);
      else frame.flush();
    }
  }

  // --- views -----------------------------------------------------------------------------------

  /** A view of a widget, if that is what a run shows; else nothing. */
  view(run: string, data: Record<string, unknown>): Rich | null {
    const model = (data[VIEW] as { model_id?: unknown } | null | undefined)?.model_id;
    if (typeof model !== "string") return null;
    const plain = asText(data["text/plain"] ?? "A widget");
    const rich = (element: HTMLElement): Rich => ({ element, plain, markdown: `\`\`\`\n${plain}\n\`\`\`` });
    const frame = () => withConsent(this.#host.consent(this.comms.cellRun(run)), () => this.#frame(run, model, plain));
    if (this.comms.get(model)) return rich(frame());
    // Python has closed it, which takes it away, as a bar that is not to stay.
    if (this.comms.isClosed(model)) return rich(h("div", { hidden: true }));
    const place = h("div", { className: "rich" }, note("Waiting for the state of a widget …", plain));
    this.#unknown.add({
      model,
      place,
      show: () => place.replaceChildren(frame()),
      giveUp: () => place.replaceChildren(note("The state of this widget is no longer known: run the cell again to use it.", plain)),
    });
    if (this.#host.caughtUp()) this.#ask();
    return rich(place);
  }

  #frame(run: string, model: string, plain: string): HTMLElement {
    let begun = 0;
    const frame = new WidgetFrame(model, this.comms, {
      opened: () => {
        this.#frames.add(frame);
        begun = performance.now();
      },
      send: (report) => {
        const first = this.#host.isOwn(run) && performance.now() - begun < FIRST_MS;
        this.#send(frame, { ...report, touched: report.touched || first });
      },
      request: () => this.#host.frames.request(this),
    });
    frame.element = frameFor("widget", null, plain.split("\n")[0]!.slice(0, 100) || "Widget", frame);
    return frame.element;
  }

  /** Shows the views whose models are known by now. */
  #found(): void {
    for (const unknown of this.#unknown) {
      const known = this.comms.get(unknown.model) !== undefined;
      if (known || !unknown.place.isConnected) this.#unknown.delete(unknown);
      if (known) unknown.show();
    }
  }

  /** Asks the interpreter for all states, which comes as an event. Viewers may not ask, and get a note. */
  #ask(): void {
    if (this.#asking !== null) return;
    const giveUp = () => {
      this.#asking = null;
      // Should the answer come after all, they are shown.
      for (const unknown of this.#unknown) unknown.giveUp();
    };
    const { session } = this.#host;
    if (!session || !this.#host.canSend()) return giveUp();
    const comm_id = newId();
    try {
      session.sendComm({ type: "comm_open", comm_id, target_name: CONTROL_TARGET, data: {}, metadata: { version: "1.0.0" }, id: this.#newRun(null) });
      session.sendComm({ type: "comm_msg", comm_id, data: { method: "request_states" }, id: this.#newRun(null) });
      session.sendComm({ type: "comm_close", comm_id, data: {}, id: this.#newRun(null) });
    } catch {
      return giveUp();
    }
    const wait = () => {
      // While something runs, the question waits.
      if (session.state === "busy") this.#asking = setTimeout(wait, ANSWER_MS);
      else giveUp();
    };
    this.#asking = setTimeout(wait, ANSWER_MS);
  }

  #newRun(sent: Sent | null): string {
    const run = `comm-${newId()}`;
    this.#sent.set(run, sent ?? { frame: null, token: "", model: "", keys: [], started: false });
    return run;
  }

  // --- what users do ---------------------------------------------------------------------------

  #send(frame: WidgetFrame, report: CommReport): void {
    const { session } = this.#host;
    const data = report.data as Record<string, unknown>;
    const sent = { frame, token: report.token, model: report.id, keys: Object.keys((data.state ?? {}) as object), started: false };
    const buffers = report.buffers.map(toBase64);
    const size = JSON.stringify(data).length + buffers.reduce((sum, one) => sum + one.length, 0);
    const waiting = this.#waiting.filter((one) => one.sent.frame === frame).length;
    // Links and the like act in the frame of every participant: one whose user did nothing leaves it to the others, and a new
    // one to the tab that ran the cell.
    const own = report.touched || data.method !== "update" || !String(this.comms.get(report.id)?.state._model_module).startsWith("@jupyter-widgets/");
    if (!session || !this.#host.canSend() || !own || size > session.ready.limits.message_bytes * MESSAGE_SHARE || waiting >= WAITING) {
      return frame.undo(sent);
    }
    this.#waiting.push({ sent, message: { comm_id: report.id, data, ...(buffers.length > 0 && { buffers }) } });
    this.#pump();
  }

  #pump(): void {
    while (this.#sent.size < AT_ONCE) {
      const next = this.#waiting.shift();
      if (!next) return;
      const { sent, message } = next;
      const run = this.#newRun(sent);
      try {
        this.#host.session!.sendComm({ type: "comm_msg", ...message, id: run });
      } catch {
        // Not connected.
        this.#sent.delete(run);
        sent.frame.undo(sent);
      }
    }
  }
}

/** What a view needs of the page. */
interface FrameHost {
  /** The frame is there and has its content. */
  opened(): void;
  /** Sends a message that was checked. */
  send(report: CommReport): void;
  request(): void;
}

/** One view of a widget: which models its frame has, and what it is to be told of them. */
class WidgetFrame {
  element: HTMLElement | null = null;
  readonly #root: string;
  readonly #comms: Comms;
  readonly #host: FrameHost;
  #models = new Set<string>();
  #steps: WidgetStep[] = [];
  /** By the model: the waiting update into which a further one may go. */
  readonly #open = new Map<string, Extract<WidgetStep, { update: string }>>();
  #tell: ((steps: WidgetStep[]) => void) | null = null;

  constructor(root: string, comms: Comms, host: FrameHost) {
    this.#root = root;
    this.#comms = comms;
    this.#host = host;
  }

  begin(tell: (steps: WidgetStep[]) => void): WidgetContent {
    this.#tell = tell;
    this.#steps = [];
    this.#open.clear();
    this.#models = this.#comms.modelsFor(this.#root);
    // Meanwhile Python may have closed it, or the interpreter is gone.
    if (this.#comms.isClosed(this.#root)) this.#hide();
    else if (!this.#comms.get(this.#root)) this.disconnect();
    else this.#host.opened();
    return { root: this.#root, models: [...this.#models].flatMap((id) => this.#comms.get(id) ?? []).map(({ id, state }) => ({ id, state })) };
  }

  /** Checks what the frame wants to send; what it may not is dropped. */
  take(report: CommReport): void {
    const { id, token, data, buffers } = report as { [Key in keyof CommReport]?: unknown };
    if (typeof id !== "string" || typeof token !== "string" || token.length > 20 || !this.#models.has(id) || !this.#comms.get(id)) return;
    if (!Array.isArray(buffers) || !buffers.every((one) => one instanceof ArrayBuffer)) return;
    const { method, state, content, buffer_paths } = (data ?? {}) as Record<string, unknown>;
    let checked: Record<string, unknown>;
    if (method === "custom") checked = { method, content };
    else if (method === "update" && typeof state === "object" && state !== null && Array.isArray(buffer_paths)) checked = { method, state, buffer_paths };
    else return;
    this.#host.send({ cellgate: "comm", id, token, data: checked, buffers, touched: report.touched === true });
  }

  tell(change: Change, token?: string): void {
    if (!this.#tell) return;
    if (change.kind === "open") {
      // A link concerns every frame that has one of its widgets.
      const { model } = change;
      if (this.#comms.isLink(model) && references(model.state).some((id) => this.#models.has(id))) this.#give([model.id]);
      return;
    }
    if (!this.#models.has(change.id)) return;
    switch (change.kind) {
      case "update": {
        this.#give(references(change.state));
        const open = token === undefined ? this.#open.get(change.id) : undefined;
        if (open && open.echo === change.echo) open.state = { ...open.state, ...change.state };
        else {
          const step = { update: change.id, state: { ...change.state }, echo: change.echo, ...(token !== undefined && { token }) };
          this.#steps.push(step);
          if (token === undefined) this.#open.set(change.id, step);
          else this.#open.delete(change.id);
        }
        return;
      }
      case "custom":
        this.#ordered({ custom: change.id, content: change.content, buffers: change.buffers });
        return;
      case "close":
        this.#models.delete(change.id);
        this.#ordered({ close: change.id });
        if (change.id === this.#root) this.#hide();
        return;
    }
  }

  /** The interpreter is through with a message of this frame. */
  handled(token: string): void {
    this.#ordered({ handled: token });
    this.#host.request();
  }

  /** A message could not be sent: the frame shows again what is. */
  undo(sent: Sent): void {
    const state = this.#comms.get(sent.model)?.state ?? {};
    const present = Object.fromEntries(sent.keys.filter((key) => Object.hasOwn(state, key)).map((key) => [key, state[key]]));
    // As an echo of it: the model waits for one before it follows others.
    if (sent.keys.length > 0) this.#ordered({ update: sent.model, state: present, echo: true, token: sent.token });
    this.#ordered({ handled: sent.token });
    this.#host.request();
  }

  flush(): void {
    if (this.#steps.length === 0) return;
    const steps = this.#steps;
    this.#steps = [];
    this.#open.clear();
    this.#tell?.(steps);
  }

  disconnect(): void {
    this.#ordered({ disconnected: true });
    this.flush();
    this.#models.clear();
    this.#tell = null;
    const { element } = this;
    if (element && !element.querySelector(".note")) element.append(h("p", { className: "note", textContent: "No longer connected: the interpreter that made this widget is gone. Run the cell again." }));
  }

  /** A closed widget leaves nothing behind, as a bar that is not to stay. */
  #hide(): void {
    if (this.element) this.element.hidden = true;
  }

  /** Later updates do not pass this step. */
  #ordered(step: WidgetStep): void {
    this.#open.clear();
    this.#steps.push(step);
  }

  /** Gives the frame models, with all that they refer to. */
  #give(ids: string[]): void {
    const fresh = [...this.#comms.closure(ids)].filter((id) => !this.#models.has(id));
    for (const id of fresh) {
      this.#models.add(id);
      this.#ordered({ open: id, state: { ...this.#comms.get(id)!.state } });
    }
  }
}

function note(text: string, plain: string): HTMLElement {
  return h("div", {}, h("div", { className: "text value", textContent: plain }), h("p", { className: "note", textContent: text }));
}

/** A value of another participant without the forms that run scripts: an Output widget shows it without asking. */
function withoutScripts(event: SessionEvent): SessionEvent {
  if (event.type !== "display" && event.type !== "result") return event;
  const { "text/html": html, "application/javascript": script, ...data } = event.data;
  return html === undefined && script === undefined ? event : { ...event, data };
}
