// The plain console: one editor, one output, nothing but what browsers bring along.

const byId = (id) => document.getElementById(id);
const code = byId("code");
const output = byId("output");
const KEEP_CHARACTERS = 200_000; // of output in the document; what is older leaves
const ACK_CHARACTERS = 32 << 10; // taken in before the gateway is told

let socket = null;
let ready = null;
let seq = 0;
let unacknowledged = 0;
let running = false;
let final = false;
let attempt = 0;
let style = [];
let replaceLine = false;

// --- the token leaves the address and stays in this tab ----------------------------------------

const address = new URL(location.href);
const given = new URLSearchParams(address.hash.slice(1)).get("token") ?? address.searchParams.get("token");
if (given) sessionStorage.setItem("cellgate.token", given);
address.searchParams.delete("token");
address.hash = "";
history.replaceState(null, "", address.href.replace(/#$/, ""));

function base64url(text) {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

// --- the connection ------------------------------------------------------------------------------

function connect() {
  const url = new URL("ws", address);
  url.search = url.hash = "";
  url.protocol = url.protocol.replace("http", "ws");
  const token = ready?.token ?? sessionStorage.getItem("cellgate.token");
  if (ready) {
    url.searchParams.set("session", ready.session);
    url.searchParams.set("after", seq);
  }
  final = false;
  socket = new WebSocket(url, ["cellgate.v1", ...(token ? [`cellgate.bearer.${base64url(token)}`] : [])]);
  socket.onmessage = (event) => receive(event.data);
  socket.onclose = (event) => closed(event.code, event.reason);
}

function closed(closeCode, reason) {
  enable(false);
  if (closeCode === 4401) {
    say("A token is needed");
    byId("signin").hidden = false;
    return byId("token").focus();
  }
  if ([1000, 4403, 4404, 4408, 4409].includes(closeCode)) {
    ready = null;
    seq = 0;
    running = false;
    say(`The session is over${reason ? `: ${reason}` : ""}`);
    byId("restart").disabled = false;
    byId("restart").textContent = "New session";
    final = true;
    return;
  }
  attempt += 1;
  const seconds = Math.min(15, 2 ** (attempt - 1));
  say(`Not connected; trying again in ${seconds} s`);
  setTimeout(connect, seconds * 1000);
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function say(text) {
  byId("state").textContent = text;
}

function enable(connected) {
  const may = connected && ready.role !== "viewer";
  byId("run").disabled = !may;
  byId("restart").disabled = !(may && ready.role === "owner");
  byId("stop").disabled = !may || !running;
}

// --- what the gateway says -------------------------------------------------------------------------

function receive(text) {
  const message = JSON.parse(text);
  take(message);
  // Every so often is enough: the window is larger than what comes in between.
  unacknowledged += text.length;
  if (unacknowledged < ACK_CHARACTERS && message.type !== "done") return;
  unacknowledged = 0;
  send({ type: "ack", seq });
}

function take(message) {
  if (message.seq !== undefined && message.type !== "ready") {
    if (message.seq <= seq) return;
    seq = message.seq;
  }
  switch (message.type) {
    case "ready":
      ready = message;
      attempt = 0;
      byId("signin").hidden = true;
      byId("restart").textContent = "Restart";
      become(message.state);
      return send({ type: "ack", seq });
    case "gap":
      seq = Math.max(seq, message.to);
      if (message.superseded) return;
      return note("Some output is missing: it is no longer kept.");
    case "status": return become(message.state);
    case "stdout": return write(message.text, "");
    case "stderr": return write(message.text, "err");
    case "result":
    case "display": return show(message.data);
    case "clear_output": return clear();
    case "input_request": return ask(message);
    case "error":
      style = [];
      return write(`${message.traceback.join("\n") || `${message.name}: ${message.value}`}\n`, "failed");
    case "truncated": return note(`${message.omitted_bytes} bytes of ${message.stream} were left out.`);
    case "done":
      style = [];
      for (const form of output.querySelectorAll("form")) form.remove();
      if (!["ok", "error"].includes(message.status)) {
        note(`${message.status.replace("_", " ")}${message.detail ? `: ${message.detail}` : ""}${message.state_kept ? "" : " (the variables are gone)"}`);
      }
      return;
    case "restarted": return note("Restarted: the variables are gone.");
    case "notice": return note(message.text);
    case "protocol_error": return note(message.message);
    case "ended": return note(message.detail || "The session has ended.");
  }
}

function become(state) {
  running = state === "busy";
  say({ starting: "Starting", idle: "Ready", busy: "Running", restarting: "Restarting", ended: "Ended" }[state] ?? state);
  enable(true);
}

// --- the output ------------------------------------------------------------------------------------

let kept = 0; // characters
let following = false; // a frame that scrolls to the end was asked for

function add(element) {
  if (!following && output.scrollHeight - output.scrollTop - output.clientHeight < 40) {
    // Once a frame: asking for the height lays everything out.
    following = true;
    setTimeout(() => {
      following = false;
      output.scrollTop = output.scrollHeight;
    }, 16);
  }
  output.append(element);
  kept += element.textContent.length;
  while (kept > KEEP_CHARACTERS && output.firstChild !== element) {
    kept -= output.firstChild.textContent.length;
    output.firstChild.remove();
  }
}

function clear() {
  kept = 0;
  output.replaceChildren();
}

/** Text with the basic ANSI colours; a carriage return begins the line again. */
function write(text, kind) {
  for (const part of text.split(/(\x1b\[[0-9;:?]*[A-Za-z]|\r\n|\r)/)) {
    const escape = /^\x1b\[([0-9;]*)m$/.exec(part);
    if (escape) colour(escape[1]);
    else if (part === "\r") replaceLine = true;
    else if (part === "\r\n") piece("\n", kind);
    else if (part && !part.startsWith("\x1b")) piece(part, kind);
  }
}

function piece(text, kind) {
  if (replaceLine && !text.startsWith("\n")) dropLine();
  replaceLine = false;
  const span = document.createElement("span");
  span.className = [kind, ...style].join(" ");
  span.textContent = text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, "");
  add(span);
}

/** Takes away what was written since the last line feed. */
function dropLine() {
  for (let last = output.lastChild; last?.tagName === "SPAN"; last = output.lastChild) {
    const feed = last.textContent.lastIndexOf("\n");
    kept -= last.textContent.length - Math.max(0, feed + 1);
    if (feed >= 0) {
      last.textContent = last.textContent.slice(0, feed + 1);
      return;
    }
    last.remove();
  }
}

function colour(parameters) {
  for (const number of parameters.split(";").map(Number)) {
    if (number === 0) style = [];
    else if (number === 1) style = [...style, "bold"];
    else if (number === 22) style = style.filter((name) => name !== "bold");
    else if (number === 39) style = style.filter((name) => name === "bold");
    else if (number >= 30 && number <= 37) style = [...style.filter((name) => name === "bold"), `f${number - 30}`];
    else if (number >= 90 && number <= 97) style = [...style.filter((name) => name === "bold"), `f${number - 82}`];
  }
}

function note(text) {
  const paragraph = document.createElement("p");
  paragraph.className = "note";
  paragraph.textContent = text;
  add(paragraph);
}

function show(data) {
  const type = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"].find((name) => data[name]);
  if (!type) return write(`${data["text/plain"] ?? Object.keys(data).join(", ")}\n`, "");
  const image = new Image();
  image.alt = data["text/plain"] ?? "Image output";
  image.src = type === "image/svg+xml"
    ? `data:image/svg+xml;charset=utf-8,${encodeURIComponent(data[type])}`
    : `data:${type};base64,${String(data[type]).replace(/\s/g, "")}`;
  add(image);
}

function ask({ id, prompt, password }) {
  const form = document.createElement("form");
  const field = document.createElement("input");
  field.type = password ? "password" : "text";
  field.setAttribute("aria-label", prompt || "Input for the cell");
  const button = document.createElement("button");
  button.textContent = "Enter";
  form.append(prompt, field, button);
  form.onsubmit = (event) => {
    event.preventDefault();
    form.remove();
    write(`${prompt}${password ? "••••" : field.value}\n`, "");
    send({ type: "input", id, text: field.value });
  };
  add(form);
  field.focus();
}

// --- the user --------------------------------------------------------------------------------------

function run() {
  if (byId("run").disabled || code.value.trim() === "") return;
  send({ type: "execute", code: code.value });
}

byId("run").onclick = run;
byId("stop").onclick = () => send({ type: "interrupt" });
byId("restart").onclick = () => {
  if (final) return connect();
  if (confirm("Restart the interpreter? Its variables will be gone, and what runs ends.")) send({ type: "restart" });
};
byId("clear").onclick = clear;
byId("signin").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("cellgate.token", byId("token").value.trim());
  connect();
};

let leaving = false; // Escape lets the next Tab leave the editor
code.onkeydown = (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
  } else if (event.key === "Tab" && !event.shiftKey && !leaving) {
    event.preventDefault();
    code.setRangeText("    ", code.selectionStart, code.selectionEnd, "end");
  }
  leaving = event.key === "Escape";
};
code.oninput = () => localStorage.setItem("cellgate.plain", code.value);
code.value = localStorage.getItem("cellgate.plain") ?? code.value;

connect();
