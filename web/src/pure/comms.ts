// The widgets of a session as the events tell of them: each model with its present state.
//
//   comm_open ─► model ─ update, echo_update ─► model ─ comm_close ─► closed
//                  └─ output of a run that an Output widget captures ─► its `outputs`
//
// Every page computes the same from the same events, so that a page that was loaded anew and a participant
// who came late see the present state. Python's side of an Output widget is not told of what was captured.

import type { CommEvent, SessionEvent } from "../../client/src/protocol.js";
import { asText } from "./mime.js";

export const WIDGET_TARGET = "jupyter.widget";
export const CONTROL_TARGET = "jupyter.widget.control";
/** The MIME type of a view of a widget. */
export const VIEW = "application/vnd.jupyter.widget-view+json";
const OUTPUT_MODEL = "OutputModel";
const REFERENCE = /^(?:IPY_MODEL_|anywidget:)(.+)$/;
/** Links between two widgets: nothing refers to them, they refer to others. */
const LINKS = new Set(["LinkModel", "DirectionalLinkModel"]);

const MODELS = 10_000; // kept of one session; of more the oldest are forgotten
const CLOSED = 10_000; // ids of closed models that are remembered
const RUNS = 1000; // runs of comm messages that are remembered: output may come after their end
const OUTPUTS = 500; // outputs that one Output widget keeps, the newest
const STREAM_CHARACTERS = 256 << 10; // of one stream in an Output widget, the newest

type State = Record<string, unknown>;
type Path = (string | number)[];

/** What happens to a cell, or to a run of a comm's message. */
export type CellEvent = Extract<Exclude<SessionEvent, CommEvent>, { id: string }>;

/** Whether an event is a message of a comm. */
export function isComm(event: SessionEvent): event is CommEvent {
  return event.type === "comm_open" || event.type === "comm_msg" || event.type === "comm_close";
}

/** The comm whose message a run is, if it is one. */
export function commOfRun(event: SessionEvent): string | null {
  return (event.type === "started" && event.comm_id) || null;
}

/** One widget model. Bytes in its state are `DataView`s, as in Jupyter. */
export interface Model {
  id: string;
  state: State;
  /** The run that opened it; empty if it is not known. */
  opener: string;
}

/** What a model has to be told, by whoever draws it. */
export type Change =
  | { kind: "open"; model: Model }
  /** `run` made the change; `echo`: a client's own change comes back. */
  | { kind: "update"; id: string; state: State; run: string; echo: boolean }
  | { kind: "custom"; id: string; content: unknown; buffers: ArrayBuffer[] }
  | { kind: "close"; id: string };

interface Captured {
  /** The newest `outputs` that Python has told. */
  told: unknown[];
  clearNext: boolean;
}

export class Comms {
  #models = new Map<string, Model>();
  #closed = new Set<string>();
  #captured = new Map<string, Captured>();
  /** By the run: the Output widgets that capture it, the innermost last. */
  #capturing = new Map<string, string[]>();
  /** The comm whose message a run is. */
  #runs = new Map<string, string>();

  get(id: string): Model | undefined { return this.#models.get(id); }

  isClosed(id: string): boolean { return this.#closed.has(id); }

  get size(): number { return this.#models.size; }

  /** The interpreter is gone, and its comms with it. */
  clear(): void {
    this.#models.clear();
    this.#closed.clear();
    this.#captured.clear();
    this.#capturing.clear();
    this.#runs.clear();
  }

  /** Takes in a message of a comm; answers what has changed. */
  take(event: CommEvent): Change[] {
    const { comm_id: id } = event;
    const data = asRecord(event.data);
    switch (event.type) {
      case "comm_open": {
        if (event.target_name !== WIDGET_TARGET) return [];
        return [this.#open(id, withBuffers(asRecord(data.state), data.buffer_paths, event.buffers), event.id ?? "")];
      }
      case "comm_msg":
        if (data.method === "update_states") return this.#all(data, event.buffers);
        return this.#message(id, data, event);
      case "comm_close":
        if (!this.#models.delete(id)) return [];
        this.#captured.delete(id);
        this.#capture(id, "");
        remember(this.#closed, id, CLOSED);
        return [{ kind: "close", id }];
    }
  }

  #open(id: string, state: State, opener: string): Change {
    const model: Model = { id, state, opener };
    this.#models.set(id, model);
    this.#closed.delete(id);
    if (this.#models.size > MODELS) for (const oldest of this.#models.keys()) { this.#models.delete(oldest); break; }
    if (state._model_name === OUTPUT_MODEL) {
      this.#captured.set(id, { told: asList(state.outputs), clearNext: false });
      this.#capture(id, asId(state.msg_id));
    }
    return { kind: "open", model };
  }

  #message(id: string, data: State, event: CommEvent): Change[] {
    const model = this.#models.get(id);
    if (!model) return [];
    if (data.method === "custom") {
      return [{ kind: "custom", id, content: data.content, buffers: (event.buffers ?? []).map(fromBase64) }];
    }
    if (data.method !== "update" && data.method !== "echo_update") return [];
    const echo = data.method === "echo_update";
    const state = withBuffers(asRecord(data.state), data.buffer_paths, event.buffers);
    if (model.state._model_name === OUTPUT_MODEL) this.#outputTold(model, state);
    assign(model.state, state);
    return [{ kind: "update", id, state, run: event.id ?? "", echo }];
  }

  /** The answer to a question for all states. */
  #all(data: State, buffers: string[] | undefined): Change[] {
    const states = withBuffers(asRecord(data.states), data.buffer_paths, buffers);
    return Object.entries(states).flatMap(([id, value]): Change[] => {
      const { state: told, model_name, model_module, model_module_version } = asRecord(value);
      const state = asRecord(told);
      const known = this.#models.get(id);
      if (known === undefined) {
        const name = { _model_name: model_name, _model_module: model_module, _model_module_version: model_module_version };
        return [this.#open(id, { ...name, ...state }, "")];
      }
      // What was captured here is known to no interpreter.
      if (known.state._model_name === OUTPUT_MODEL) delete state.outputs;
      assign(known.state, state);
      return [{ kind: "update", id, state, run: "", echo: false }];
    });
  }

  // --- runs and their output -------------------------------------------------------------------

  /** A run began that is the message of a comm. */
  began(run: string, comm: string): void {
    this.#runs.set(run, comm);
    if (this.#runs.size > RUNS) for (const oldest of this.#runs.keys()) { this.#runs.delete(oldest); break; }
  }

  isCommRun(run: string): boolean { return this.#runs.has(run); }

  /** The run of a cell from which a run comes: itself, or the one that opened the comm. Empty if it is not known. */
  cellRun(run: string): string {
    const seen = new Set<string>();
    for (let at = run; ; ) {
      const comm = this.#runs.get(at);
      if (comm === undefined) return at;
      if (seen.has(at)) return "";
      seen.add(at);
      at = this.#models.get(comm)?.opener ?? "";
    }
  }

  /** Output of a run that an Output widget captures; answers the changed model, or `null`: nothing captures it. */
  capture(event: SessionEvent): Change | null {
    if (!("id" in event) || isComm(event)) return null;
    const model = this.#models.get(this.#capturing.get(event.id)?.at(-1) ?? "");
    const captured = model && this.#captured.get(model.id);
    if (!model || !captured) return null;
    if (event.type === "clear_output") {
      captured.clearNext = event.wait;
      if (!event.wait) model.state.outputs = [];
      return this.#outputsChanged(model);
    }
    if (event.type === "display" && event.update) return null;
    const output = asOutput(event);
    if (!output) return null;
    const outputs = captured.clearNext ? [] : asList(model.state.outputs);
    captured.clearNext = false;
    model.state.outputs = bounded(joined(outputs, output));
    return this.#outputsChanged(model);
  }

  /** Whatever Output widgets show under that display id is this now. */
  updateDisplay(displayId: string, data: Record<string, unknown>, metadata: Record<string, unknown>): Change[] {
    const changes: Change[] = [];
    for (const id of this.#captured.keys()) {
      const model = this.#models.get(id);
      if (!model) continue;
      let found = false;
      const outputs = asList(model.state.outputs).map((output) => {
        if (asRecord(output).display_id !== displayId) return output;
        found = true;
        return { ...asRecord(output), data, metadata };
      });
      if (!found) continue;
      model.state.outputs = outputs;
      changes.push(this.#outputsChanged(model));
    }
    return changes;
  }

  #outputsChanged(model: Model): Change {
    return { kind: "update", id: model.id, state: { outputs: model.state.outputs }, run: "", echo: false };
  }

  /** Python changes an Output widget: it knows nothing of what was captured, so what it appends is appended here. */
  #outputTold(model: Model, state: State): void {
    if ("msg_id" in state) this.#capture(model.id, asId(state.msg_id));
    const captured = this.#captured.get(model.id);
    if (!captured || !("outputs" in state)) return;
    const told = asList(state.outputs);
    const before = captured.told;
    const appends = before.length < told.length && before.every((output, at) => JSON.stringify(output) === JSON.stringify(told[at]));
    captured.told = told;
    if (appends) state.outputs = bounded([...asList(model.state.outputs), ...told.slice(before.length)]);
  }

  /** The Output widget captures that run from now on; none, if it is empty. */
  #capture(id: string, run: string): void {
    for (const [other, ids] of this.#capturing) {
      const left = ids.filter((one) => one !== id);
      if (left.length > 0) this.#capturing.set(other, left);
      else this.#capturing.delete(other);
    }
    if (run !== "") this.#capturing.set(run, [...this.#capturing.get(run) ?? [], id]);
  }

  // --- what belongs together -------------------------------------------------------------------

  /** The models that these refer to, directly or not, themselves included. */
  closure(roots: Iterable<string>): Set<string> {
    const found = new Set<string>();
    const waiting = [...roots];
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
      const model = this.#models.get(id);
      if (!model || found.has(id)) continue;
      found.add(id);
      waiting.push(...references(model.state));
    }
    return found;
  }

  /** The models for a view of `root`: what it refers to, and the links between widgets of which one is among them. */
  modelsFor(root: string): Set<string> {
    let found = this.closure([root]);
    for (const model of this.#models.values()) {
      if (this.isLink(model) && references(model.state).some((id) => found.has(id))) found = new Set([...found, ...this.closure([model.id])]);
    }
    return found;
  }

  isLink(model: Model): boolean { return LINKS.has(String(model.state._model_name)); }

  /** In the form of a notebook's `application/vnd.jupyter.widget-state+json`: these models. */
  notebookState(ids: Iterable<string>): Record<string, unknown> {
    return Object.fromEntries([...ids].flatMap((id) => {
      const model = this.#models.get(id);
      if (!model) return [];
      const buffers: { path: Path; data: string; encoding: "base64" }[] = [];
      const state = withoutBuffers(model.state, [], (path, data) => buffers.push({ path, data, encoding: "base64" }));
      const { _model_name: model_name, _model_module: model_module, _model_module_version: model_module_version } = model.state;
      return [[id, { model_name, model_module, model_module_version, state, ...(buffers.length > 0 && { buffers }) }]];
    }));
  }
}

/** The models that a state names. */
export function references(value: unknown): string[] {
  const found: string[] = [];
  const look = (part: unknown): void => {
    if (typeof part === "string") {
      const id = REFERENCE.exec(part)?.[1];
      if (id !== undefined) found.push(id);
    } else if (Array.isArray(part)) {
      for (const one of part) look(one);
    } else if (typeof part === "object" && part !== null && !ArrayBuffer.isView(part)) {
      for (const [key, one] of Object.entries(part)) {
        const id = key === VIEW ? asRecord(one).model_id : undefined;
        if (typeof id === "string") found.push(id);
        else look(one);
      }
    }
  };
  look(value);
  return found;
}

// --- bytes -------------------------------------------------------------------------------------

/** Puts the buffers into the state, where their paths say. */
export function withBuffers(state: State, paths: unknown, buffers: string[] | undefined): State {
  for (const [at, path] of asList(paths).entries()) {
    const buffer = buffers?.[at];
    if (buffer === undefined || !Array.isArray(path) || path.length === 0) continue;
    let place: unknown = state;
    for (const step of path.slice(0, -1)) place = typeof place === "object" && place !== null && Object.hasOwn(place, step) ? (place as State)[step] : undefined;
    const last = String(path.at(-1));
    if (typeof place === "object" && place !== null && last !== "__proto__") (place as State)[last] = new DataView(fromBase64(buffer));
  }
  return state;
}

/** A copy of a state without its bytes, each of which is told with its path. */
export function withoutBuffers(state: State, path: Path, told: (path: Path, base64: string) => void): State {
  const copy = (value: unknown, at: Path): unknown => {
    if (Array.isArray(value)) return value.map((one, index) => (isBytes(one) ? (told([...at, index], toBase64(one)), null) : copy(one, [...at, index])));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).flatMap(([key, one]) => {
      if (!isBytes(one)) return [[key, copy(one, [...at, key])]];
      told([...at, key], toBase64(one));
      return [];
    }));
  };
  return copy(state, path) as State;
}

function isBytes(value: unknown): value is ArrayBuffer | ArrayBufferView {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

export function fromBase64(text: string): ArrayBuffer {
  try {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  } catch {
    return new ArrayBuffer(0);
  }
}

export function toBase64(bytes: ArrayBuffer | ArrayBufferView): string {
  const view = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = "";
  for (let at = 0; at < view.length; at += 0x8000) text += String.fromCharCode(...view.subarray(at, at + 0x8000));
  return btoa(text);
}

// --- small things ------------------------------------------------------------------------------

function asRecord(value: unknown): State {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as State : {};
}

function asList(value: unknown): unknown[] { return Array.isArray(value) ? value : []; }

function asId(value: unknown): string { return typeof value === "string" ? value : ""; }

function assign(state: State, changes: State): void {
  for (const [key, value] of Object.entries(changes)) if (key !== "__proto__") state[key] = value;
}

function remember(set: Set<string>, id: string, most: number): void {
  set.add(id);
  if (set.size > most) for (const oldest of set) { set.delete(oldest); break; }
}

/** An event in the form of a notebook's outputs; `null` if it is not output. */
function asOutput(event: SessionEvent): State | null {
  switch (event.type) {
    case "stdout":
    case "stderr": return { output_type: "stream", name: event.type, text: event.text };
    case "result": return { output_type: "execute_result", data: event.data, metadata: event.metadata, execution_count: event.execution_count ?? null };
    case "display": return {
      output_type: "display_data", data: event.data, metadata: event.metadata, ...(event.display_id !== undefined && { display_id: event.display_id }),
    };
    case "error": return { output_type: "error", ename: event.name, evalue: event.value, traceback: event.traceback };
    default: return null;
  }
}

/** The outputs with one more; text of the same stream is continued. */
function joined(outputs: unknown[], output: State): unknown[] {
  const last = asRecord(outputs.at(-1));
  if (output.output_type !== "stream" || last.output_type !== "stream" || last.name !== output.name) return [...outputs, output];
  const text = (asText(last.text) + asText(output.text)).slice(-STREAM_CHARACTERS);
  return [...outputs.slice(0, -1), { ...last, text }];
}

function bounded(outputs: unknown[]): unknown[] { return outputs.length > OUTPUTS ? outputs.slice(-OUTPUTS) : outputs; }
