// A session as the gateway would keep it, with a script in the place of the interpreter.

import { randomBytes } from "node:crypto";
import { FakeDocument } from "./document.mjs";

const PYTHON = { name: "python", version: "3.11.2" };
const USAGE = { cpu_ms: 3, peak_memory_bytes: 24 << 20, output_bytes: 0 };

/** Thrown into a script when its cell is interrupted. */
export class Interrupted extends Error {}

/** The document's cell that an `execute` names, as its events repeat it. */
function documentCell({ cell }) {
  return cell === undefined ? {} : { cell };
}

/** Of an editor's rights those that are told: the ones that are withheld. */
function withheldFrom({ run, edit }) {
  return { ...(run === false && { run }), ...(edit === false && { edit }) };
}

export class FakeSession {
  constructor(gateway) {
    this.gateway = gateway;
    /** What the publishable key that it was made with allows. */
    this.key = null;
    this.id = Array.from(randomBytes(12), (b) => "abcdefghijklmnopqrstuvwxyz234567"[b & 31]).join("");
    /** What lets in, as what; of a participant's own token it says so. */
    this.tokens = new Map();
    this.own = new Set();
    /** What is told of each token, by the token. */
    this.listed = new Map();
    this.lastToken = 0;
    this.created = Date.now();
    this.log = [];
    this.seq = 0;
    this.queue = [];
    this.running = null;
    this.ids = new Set();
    this.sockets = new Set();
    this.state = "idle";
    this.executions = 0;
    this.files = new Map();
    /** Directories, and when each path was last changed. */
    this.folders = new Set();
    this.modified = new Map();
    this.memory = { python: {} };
    /** The shared document, and whether there is one yet. */
    this.document = new FakeDocument(this);
    this.hasDocument = false;
    /** The tables that questions know, by the variable that holds them: what they are called, their schema, and their rows. */
    this.values = new Map();
  }

  /** A share link's token, or one that is a participant's own; `withheld` has `run` or `edit` as `false`, for an editor. */
  tokenFor(role, own = false, parent = null, withheld = {}) {
    const token = randomBytes(16).toString("hex");
    this.tokens.set(token, role);
    this.listed.set(token, { id: ++this.lastToken, role, ...withheldFrom(withheld), created: Date.now(), expires: null, parent, link: !own, participant: null });
    if (own) this.own.add(token);
    return token;
  }

  /** What a token lets somebody do: its role, and what is withheld of it. */
  rightsOf(token) {
    const { role = "owner", run, edit } = this.listed.get(token) ?? {};
    return { role, ...(run === false && { run }), ...(edit === false && { edit }) };
  }

  mayEdit(token) {
    const { role, edit } = this.rightsOf(token);
    return role !== "viewer" && edit !== false;
  }

  /** The document was made. */
  madeDocument() {
    this.hasDocument = true;
    this.tellParticipants();
  }

  /** Writes a file as code of the session does. */
  write(path, content) {
    const parts = path.split("/").slice(0, -1);
    parts.forEach((_, at) => this.folders.add(parts.slice(0, at + 1).join("/")));
    this.files.set(path, Buffer.from(content));
    this.modified.set(path, Date.now());
  }

  /** What stands in a directory; nothing if it is none. */
  list(folder) {
    if (folder && !this.folders.has(folder)) return null;
    const entry = (path, kind, size) => ({ name: path.split("/").at(-1), path, size, modified: this.modified.get(path) ?? 1_700_000_000_000, kind, mode: kind === "directory" ? 0o755 : 0o644 });
    const all = [...[...this.folders].map((path) => entry(path, "directory", 0)), ...[...this.files].map(([path, content]) => entry(path, "file", content.length))];
    return all.filter(({ path }) => path.split("/").slice(0, -1).join("/") === folder);
  }

  /** Removes a path, or answers why not. */
  remove(path, recursive) {
    const within = [...this.files.keys(), ...this.folders].filter((one) => one.startsWith(`${path}/`));
    if (!this.files.has(path) && !this.folders.has(path)) return [404, "cannot find the file"];
    if (within.length > 0 && !recursive) return [409, "directory not empty"];
    for (const one of [path, ...within]) { this.files.delete(one); this.folders.delete(one); }
    return null;
  }

  /** Moves a path with all below it, or answers why not. */
  move(from, to) {
    if (!this.files.has(from) && !this.folders.has(from)) return [404, "cannot find the file"];
    if (this.files.has(to) || this.folders.has(to)) return [409, "something has the name that it is to get; remove that first, or choose another name"];
    for (const held of [this.files, this.folders, this.modified]) {
      for (const one of [...held.keys()].filter((path) => path === from || path.startsWith(`${from}/`))) {
        const place = to + one.slice(from.length);
        if (held instanceof Set) held.add(place);
        else held.set(place, held.get(one));
        held.delete(one);
      }
    }
    return null;
  }

  emit(type, fields) {
    const event = { type, seq: ++this.seq, ts: Date.now(), ...fields };
    this.log.push(event);
    while (this.log.length > this.gateway.options.logEvents) this.log.shift();
    for (const socket of this.sockets) socket.push(event);
    return event;
  }

  attach(socket, after, offered) {
    // Whoever comes with its own token takes the place of its older connection.
    socket.token = this.own.has(offered) ? offered : this.tokenFor(socket.role, true, this.listed.get(offered)?.id ?? null, this.rightsOf(offered));
    this.listed.get(socket.token).participant = socket.id;
    for (const older of this.sockets) {
      if (older.token !== socket.token) continue;
      this.sockets.delete(older);
      older.close(4409, "a newer connection of the same participant took over");
    }
    socket.reply({
      type: "ready", protocol: 1, session: this.id, token: socket.token, participant: socket.id, ...this.rightsOf(socket.token),
      template: "python", language: PYTHON, languages: [PYTHON], programs: [{ id: "main", kind: "interpreter", language: "python" }], state: this.state, seq: this.seq,
      limits: {
        message_bytes: 1 << 20, queue: 64, output_bytes: null, timeout_ms: null, memory_bytes: 256 << 20,
        window_bytes: this.gateway.options.windowBytes,
      },
      backend: "local",
      ...(this.gateway.options.allowed && { allowed: this.gateway.options.allowed }),
      ...(this.key && { allowed: { files: false, sharing: this.key.sharing !== false } }),
    });
    const first = this.log[0]?.seq ?? this.seq + 1;
    if (after + 1 < first) socket.reply({ type: "gap", from: after + 1, to: first - 1 });
    this.sockets.add(socket);
    this.tellParticipants();
    for (const event of this.log) if (event.seq > after) socket.push(event);
  }

  detach(socket) {
    if (!this.sockets.delete(socket)) return;
    const own = this.listed.get(socket.token);
    if (own) own.participant = null;
    this.tellParticipants();
  }

  /** Changes what the participant with this token may do; answers why not, if not. */
  changeRights(token, { role, run, edit }) {
    const info = this.listed.get(token);
    const owners = [...this.sockets].filter((one) => one.role === "owner" && one.token !== token);
    const after = role ?? info.role;
    if (info.role === "owner" && after !== "owner" && !owners.length) return [409, "no other owner is here for as long as this one; make another participant an owner first"];
    const flags = after === "editor" ? { run: run ?? info.run, edit: edit ?? info.edit } : {};
    if (flags.run === false && flags.edit === false) return [400, "an editor has at least one of `run` and `edit`; make it a viewer to withhold both"];
    Object.assign(info, { role: after, run: undefined, edit: undefined }, withheldFrom(flags));
    this.tokens.set(token, after);
    for (const socket of this.sockets) if (socket.token === token) socket.role = after;
    this.tellParticipants();
    return null;
  }

  /** Takes back tokens with all that was made with them, and shows out who is in by them. */
  revoke(token, why) {
    const { id } = this.listed.get(token);
    for (const [child, { parent }] of this.listed) if (parent === id) this.revoke(child, why);
    this.tokens.delete(token);
    this.own.delete(token);
    this.listed.delete(token);
    for (const socket of [...this.sockets]) if (socket.token === token) socket.close(4401, why);
    this.document.dismiss(token);
  }

  tellParticipants() {
    const list = [...this.sockets].map((s) => ({ id: s.id, name: s.name, ...this.rightsOf(s.token) }));
    for (const socket of this.sockets) socket.reply({ type: "participants", list, ...(this.hasDocument && { document: true }) });
  }

  receive(socket, text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return socket.reply({ type: "protocol_error", code: "bad_json", message: "the message is not JSON" });
    }
    const type = message.type ?? ("code" in message ? "execute" : "");
    this.gateway.received.push({ ...message, type });
    const refuse = (code, why) => socket.reply({ type: "protocol_error", code, message: why, id: message.id });
    if (socket.role === "viewer" && !["ack", "ping", "complete", "inspect", "is_complete"].includes(type)) {
      return refuse("forbidden", "a viewer only watches");
    }
    if (socket.role === "editor" && ["restart", "end"].includes(type)) {
      return refuse("forbidden", "this needs the role owner, and yours is editor");
    }
    if (this.rightsOf(socket.token).run === false && !["ack", "ping", "complete", "inspect", "is_complete", "table", "variables"].includes(type)) {
      return refuse("forbidden", "you may edit the document but not run cells; ask an owner for the right to run");
    }
    switch (type) {
      case "execute": {
        const id = message.id ?? randomBytes(4).toString("hex");
        if (this.ids.has(id)) return refuse("duplicate_id", `cell ${id} was already sent`);
        this.ids.add(id);
        const cell = { ...message, id, by: socket.name };
        this.queue.push(cell);
        this.emit("queued", { id, position: this.queue.length - 1 + (this.running ? 1 : 0), by: socket.name, ...documentCell(message) });
        if (!this.running) void this.next();
        return;
      }
      case "comm_open":
      case "comm_msg":
      case "comm_close": {
        const id = message.id ?? randomBytes(4).toString("hex");
        if (this.ids.has(id)) return refuse("duplicate_id", `cell ${id} was already sent`);
        this.ids.add(id);
        this.queue.push({ id, code: "", silent: true, by: socket.name, comm: { ...message, type } });
        if (!this.running) void this.next();
        return;
      }
      case "interrupt": {
        const waiting = this.queue.findIndex((cell) => cell.id === message.id);
        if (waiting >= 0) {
          const [cell] = this.queue.splice(waiting, 1);
          this.done(cell, "cancelled");
        } else if (this.running && (message.id === undefined || message.id === this.running.cell.id)) {
          this.running.interrupt();
        }
        return;
      }
      case "input":
        this.running?.answer?.(message.eof ? null : message.text);
        return;
      case "restart":
        this.restart("requested", socket.name);
        return;
      case "complete": {
        const word = /[\w.]*$/.exec(Array.from(message.code).slice(0, message.cursor).join(""))[0].split(".").pop();
        const matches = ["print", "property", "range", "return", "enumerate"].filter((m) => m.startsWith(word));
        return socket.reply({
          type: "complete_reply", id: message.id, matches, types: matches.map((one) => (one === "return" ? "keyword" : one === "property" || one === "range" || one === "enumerate" ? "class" : "function")), start: message.cursor - word.length, end: message.cursor,
        });
      }
      case "inspect":
        return socket.reply({
          type: "inspect_reply", id: message.id, found: true,
          data: { "text/plain": "Signature: print(*args, sep=' ', end='\\n', file=None, flush=False)\nType:      builtin_function_or_method\nDocstring:\nPrints the values to a stream, or to sys.stdout by default." },
        });
      case "is_complete":
        return socket.reply(message.code.trimEnd().endsWith(":")
          ? { type: "is_complete_reply", id: message.id, status: "incomplete", indent: "    " }
          : { type: "is_complete_reply", id: message.id, status: "complete" });
      case "table":
      case "variables": {
        const reply = { type: `${type}_reply`, id: message.id, ...(type === "variables" && { variables: [] }) };
        if (!this.gateway.options.answersValues) return refuse("unknown_type", `there is no message ${type}`);
        if (this.state !== "idle") return socket.reply({ ...reply, busy: true });
        return socket.reply({ ...reply, ...(type === "table" ? answerTable(this.values, message) : { variables: [...this.values].map(describe) }) });
      }
      case "ack":
        return socket.acknowledge(message.seq);
      case "ping":
        return socket.reply({ ...message, type: "pong" });
      case "end":
        return this.end("requested", "ended by request", 1000);
      default:
        return refuse("unknown_type", `there is no message ${type}`);
    }
  }

  async next() {
    const cell = this.queue.shift();
    if (!cell) {
      this.running = null;
      return this.become("idle");
    }
    if (this.state !== "busy") this.become("busy");
    let interrupt;
    const interrupted = new Promise((_, reject) => { interrupt = () => reject(new Interrupted()); });
    interrupted.catch(() => {});
    const running = { cell, interrupt, dead: false };
    this.running = running;
    const count = cell.silent ? undefined : ++this.executions;
    this.emit("started", { id: cell.id, code: cell.code, by: cell.by, ...(count && { execution_count: count }), ...(cell.comm && { comm_id: cell.comm.comm_id }), ...documentCell(cell) });
    const began = Date.now();
    const emit = (type, fields) => { if (!running.dead) this.emit(type, { id: cell.id, ...fields }); };
    const context = {
      emit,
      id: cell.id,
      count,
      session: this,
      python: this.memory.python,
      out: (text) => emit("stdout", { text }),
      err: (text) => emit("stderr", { text }),
      result: (data, metadata = {}) => emit("result", { execution_count: count, data, metadata }),
      display: (data, more = {}) => emit("display", { data, metadata: {}, ...more }),
      interrupted,
      ignoreInterrupts: () => { running.interrupt = () => {}; },
      usage: (bytes) => this.emit("usage", { memory_bytes: bytes, memory_limit_bytes: 256 << 20, cpu_percent: 97.2, processes: 2 }),
      sleep: (ms) => Promise.race([new Promise((resolve) => setTimeout(resolve, ms)), interrupted]),
      input: (prompt, password = false) => {
        emit("input_request", { prompt, password });
        return Promise.race([new Promise((resolve) => { running.answer = resolve; }), interrupted]);
      },
      until: (promise) => Promise.race([promise, interrupted]),
    };
    let end = {};
    try {
      const { script, comm } = this.gateway.options;
      end = (await (cell.comm ? comm(cell.comm, context) : script(cell.code, context))) ?? {};
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      emit("error", {
        name: "KeyboardInterrupt", value: "", frames: [],
        traceback: ["Traceback (most recent call last):", `  File "<${cell.id}>", line 1, in <module>`, "KeyboardInterrupt"],
      });
      end = { status: "interrupted" };
    }
    if (running.dead) return;
    this.done(cell, end.status ?? "ok", { duration_ms: Date.now() - began, execution_count: count, ...end });
    if (end.state_kept === false) {
      this.emit("restarted", { reason: end.status });
      this.memory.python = {};
      this.executions = 0;
    }
    if (cell.stop_on_error && end.status && end.status !== "ok") this.cancelQueue();
    void this.next();
  }

  restart(reason, by) {
    if (this.running) {
      this.running.dead = true;
      this.done(this.running.cell, "killed", { state_kept: false, detail: "the interpreter was restarted" });
      this.running = null;
    }
    this.cancelQueue();
    this.become("restarting");
    this.memory.python = {};
    this.executions = 0;
    this.emit("restarted", { reason, requested_by: by });
    this.become("idle");
  }

  cancelQueue() {
    for (const cell of this.queue.splice(0)) this.done(cell, "cancelled");
  }

  done(cell, status, more = {}) {
    const { execution_count, ...rest } = more;
    this.emit("done", {
      id: cell.id, status, duration_ms: 0, state_kept: true, usage: USAGE, ...rest,
      ...(execution_count && { execution_count }), ...documentCell(cell),
    });
  }

  become(state) {
    this.state = state;
    this.emit("status", { state });
  }

  end(reason, detail, code) {
    this.emit("ended", { reason, detail });
    this.gateway.sessions.delete(this.id);
    for (const socket of [...this.sockets]) socket.close(code, detail);
  }
}

/** What an interpreter answers to `table`. */
function answerTable(values, { table, variable, from = 0, count = 100, sort = [], filter = "", format = "rows" }) {
  const [, found] = [...values].find(([name, value]) => (variable === undefined ? value.table === table : name === variable)) ?? [];
  if (!found) return { error: variable === undefined ? "This table is not kept any more: run the cell again." : `There is no variable ${variable}.` };
  const compare = (a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
  const matching = found.rows.filter((row) => row.some((value) => String(value).toLowerCase().includes(filter.toLowerCase())));
  for (const { column, descending } of [...sort].reverse()) matching.sort((a, b) => (descending ? -1 : 1) * compare(a[column], b[column]));
  const told = { from, total_rows: found.rows.length, matching_rows: matching.length };
  if (variable !== undefined) Object.assign(told, { table: found.table, fields: found.fields, keys: found.keys, total_columns: found.fields.length - found.keys.length });
  if (format === "rows") return { ...told, rows: matching.slice(from, from + count) };
  const part = matching.slice(from, from + 40_000);
  const lines = [...(from === 0 ? [found.fields.map(({ name }) => name)] : []), ...part].map((row) => `${row.join(",")}\r\n`);
  const next = from + part.length;
  return { ...told, csv: lines.join(""), ...(next < matching.length && { next }) };
}

/** What an interpreter says of a variable. */
function describe([name, { rows, fields, keys }]) {
  return { name, type: "pandas.core.frame.DataFrame", shape: [rows.length, fields.length - keys.length], bytes: rows.length * 8, preview: fields.map((field) => field.name).join(", "), table: true };
}
