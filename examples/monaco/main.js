// Shares one cell of a session's document, in the Monaco editor, and runs it.
//
//   #gateway=http://127.0.0.1:8080&token=TOKEN          opens a session
//   …&session=ID                                         joins one; shows its first cell of code
//   …&session=ID&cell=CELL                               shows that cell
//   …&name=Ada                                           what the others see
//
// /ws says who this participant is, runs the cell and brings its output; /v1/documents brings the text.

import * as monaco from "monaco-editor/editor/editor.api.js";
import "monaco-editor/features/register.all.js";
import "monaco-editor/languages/definitions/python/register.js";
import { MonacoBinding } from "y-monaco";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

const FINAL = [4401, 4403, 4404, 4431]; // after these it would end in the same way again
const [runButton, state, output] = ["run", "state", "output"].map((id) => document.getElementById(id));
const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const address = (path) => new URL(path, (given.gateway ?? "http://127.0.0.1:8080").replace(/^http/, "ws"));
globalThis.MonacoEnvironment = { getWorker: () => new Worker(new URL("worker.js", import.meta.url), { type: "module" }) };

const doc = new Y.Doc();
const cells = doc.getArray("cells");
const joined = { ...given, isNew: !given.session };
const runs = new Map(); // the newest run of each cell of the document
let socket, provider, editor, cell, connection = "", seen = 0;

/** Says how the connection and the newest run of the cell are. */
function say() {
  const run = runs.get(cell?.get("id"));
  state.value = [connection, run?.status].filter(Boolean).join(" · ");
  output.textContent = run?.text ?? "";
}

function connect() {
  const url = address("/ws");
  for (const name of ["session", "token", "name"]) if (joined[name]) url.searchParams.set(name, joined[name]);
  if (seen) url.searchParams.set("after", seen);
  socket = new WebSocket(url);
  socket.onmessage = ({ data }) => receive(JSON.parse(data));
  socket.onclose = ({ code, reason }) => {
    const isFinal = FINAL.includes(code) || code === 1000 || code === 4408 || code === 4409;
    connection = isFinal ? `Disconnected: ${reason || code}` : "Connecting again …";
    runButton.disabled = true;
    say();
    if (!isFinal) setTimeout(connect, 1000);
  };
}

function receive(event) {
  if (event.seq && event.type !== "ready") seen = event.seq;
  if (event.type === "ready") {
    // From now on as this participant: the document's connection too.
    Object.assign(joined, { session: event.session, token: event.token, participant: event.participant });
    obey(event);
    share();
  } else if (event.type === "participants") obey(event.list.find(({ id }) => id === joined.participant));
  else if (event.type === "started" && event.cell) runs.set(event.cell, { id: event.id, text: "", status: "running" });
  else take([...runs.values()].find(({ id }) => id === event.id), event);
  say();
}

/** What a run shows, as text. */
function take(run, event) {
  if (!run) return;
  if (event.type === "stdout" || event.type === "stderr") run.text += event.text;
  else if (event.type === "result" || event.type === "display") run.text += `${event.data["text/plain"] ?? ""}\n`;
  else if (event.type === "error") run.text += `${event.traceback.join("\n").replace(/\x1b\[[0-9;]*m/g, "")}\n`;
  else if (event.type === "done") run.status = event.status;
}

/** Takes over what this participant may do. */
function obey(rights) {
  if (!rights) return;
  joined.mayEdit = rights.role !== "viewer" && rights.edit !== false;
  joined.mayRun = rights.role !== "viewer" && rights.run !== false;
  editor?.updateOptions({ readOnly: !joined.mayEdit });
  runButton.disabled = !cell || !joined.mayRun;
}

/** Joins the document, once. */
function share() {
  if (provider) return void (provider.params = { token: joined.token });
  // Without the broadcast to other tabs: they may have other rights.
  provider = new WebsocketProvider(address("/v1/documents").href, joined.session, doc, {
    params: { token: joined.token }, disableBc: true, shouldReconnect: ({ code }) => !FINAL.includes(code),
  });
  provider.awareness.setLocalStateField("user", { name: given.name ?? "Monaco", color: "#2f7d4f", participant: joined.participant });
  provider.on("status", ({ status }) => {
    connection = { connected: "Connected", connecting: "Connecting …", disconnected: "Offline: your changes are sent when the connection is back" }[status];
    say();
  });
  provider.on("closed", ({ reason }) => { connection = `Disconnected: ${reason}`; say(); });
  provider.on("sync", (isSynced) => { if (isSynced) { provideCell(); show(); } });
  cells.observeDeep(show);
}

/** A session that this page has opened has no cells; those of others are filled by who has their text. */
function provideCell() {
  if (!joined.isNew || cells.length > 0) return;
  cells.push([new Y.Map(Object.entries({ id: given.cell ?? "first", kind: "code", position: "V", source: new Y.Text("print(6 * 7)\n") }))]);
}

/** The cells in their order: one without a position stands behind the one before it. */
function ordered() {
  let last = "";
  const placed = cells.toArray().filter((one) => one instanceof Y.Map && one.get("source") instanceof Y.Text).map((one) => ({ one, at: (last = one.get("position") ?? last) }));
  return placed.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).map(({ one }) => one);
}

/** Opens the cell in the editor, as soon as it is there. */
function show() {
  if (cell) return;
  cell = ordered().find((one) => (given.cell ? one.get("id") === given.cell : one.get("kind") === "code"));
  if (!cell) return;
  const model = monaco.editor.createModel("", cell.get("language") ?? "python");
  model.setEOL(monaco.editor.EndOfLineSequence.LF);
  editor = monaco.editor.create(document.getElementById("editor"), { model, automaticLayout: true, minimap: { enabled: false }, theme: matchMedia("(prefers-color-scheme: dark)").matches ? "vs-dark" : "vs", ariaLabel: "Code of the cell" });
  new MonacoBinding(cell.get("source"), model, new Set([editor]), cursorsFor(provider.awareness));
  provider.awareness.setLocalStateField("cell", cell.get("id"));
  obey({ role: joined.mayEdit || joined.mayRun ? "editor" : "viewer", edit: joined.mayEdit, run: joined.mayRun });
  say();
  editor.addCommand(monaco.KeyMod.CtrlCmd | monaco.KeyCode.Enter, run);
}

/** What y-monaco calls `selection` stands in `cursor` in the document, where y-codemirror.next has it. */
function cursorsFor(awareness) {
  const looks = new CSSStyleSheet();
  document.adoptedStyleSheets.push(looks);
  awareness.on("change", () => looks.replaceSync([...awareness.getStates()].map(([client, { user }]) => {
    const color = /^#[0-9a-f]{6}$/i.test(user?.color) ? user.color : "#8a4b08";
    return `.yRemoteSelection-${client}, .yRemoteSelectionHead-${client} { --who: ${color} } .yRemoteSelectionHead-${client}::after { content: ${JSON.stringify(String(user?.name ?? "Somebody"))} }`;
  }).join("\n")));
  return {
    getStates: () => new Map([...awareness.getStates()].map(([client, { cursor }]) => [client, { selection: places(cursor) }])),
    setLocalStateField: (_, selection) => awareness.setLocalStateField("cursor", selection),
    on: (...listener) => awareness.on(...listener), off: (...listener) => awareness.off(...listener),
  };
}

/** What strangers write need not be a place. */
function places(cursor) {
  try {
    return { anchor: Y.createRelativePositionFromJSON(cursor.anchor), head: Y.createRelativePositionFromJSON(cursor.head) };
  } catch {
    return null;
  }
}

function run() {
  if (!runButton.disabled) socket.send(JSON.stringify({ type: "execute", code: cell.get("source").toString(), cell: cell.get("id") }));
}

runButton.onclick = run;
connect();
