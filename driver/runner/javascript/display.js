// `display` and its relatives: rich values on their way to the client.

const { randomUUID } = require('crypto');

const wire = load('wire');
const link = load('link');
const mime = load('mime');
const output = load('output');
const { current } = load('cell');

const MAX_EVENT = 16 << 20; // bytes of one event: a value beyond this is told of, not sent
const MAX_ID = 1024; // characters of a display_id

function install() {
  Object.defineProperty(display, 'name', { value: 'display' });
  const forms = {
    html: (text) => ({ 'text/html': text, 'text/plain': String(text) }),
    markdown: (text) => ({ 'text/markdown': text, 'text/plain': String(text) }),
    svg: (text) => ({ 'image/svg+xml': text, 'text/plain': '<image/svg+xml>' }),
    png: (bytes) => ({ 'image/png': bytes, 'text/plain': '<image/png>' }),
    jpeg: (bytes) => ({ 'image/jpeg': bytes, 'text/plain': '<image/jpeg>' }),
    json: (value) => ({ 'application/json': value, 'text/plain': mime.plainText(value) }),
    vega: (spec) => ({ [mime.vegaType('vega', '5')]: spec, 'text/plain': '<a Vega chart>' }),
    vegaLite: (spec) => ({ [mime.vegaType('vega-lite', '5')]: spec, 'text/plain': '<a Vega-Lite chart>' }),
    plotly: (figure) => ({ [mime.PLOTLY]: figure, 'text/plain': '<a Plotly chart>' }),
  };
  for (const [name, form] of Object.entries(forms)) {
    display[name] = (value, options) => show(mime.portable(form(value)), options);
  }
  display.raw = (data, options) => show(mime.portable(data), options);
  display.clear = (wait = false) => publish(current(), { type: 'clear_output', wait: Boolean(wait) });
  Object.defineProperty(globalThis, 'display', { value: display, writable: true, configurable: true });
}

/** Shows a value in its richest form. `options.id` is a name under which it can be shown anew with `options.update`;
 * `true` makes one. Returns the name, if it has one. */
function display(value, options) {
  return show(mime.bundle(value), options);
}

function show(data, { id, update, metadata } = {}) {
  const event = { type: 'display', data, metadata: metadata ?? {} };
  if (id !== undefined && id !== null) event.display_id = id === true ? randomUUID() : String(id).slice(0, MAX_ID);
  if (update) event.update = true;
  publish(current(), event);
  return event.display_id;
}

/** Sends the value of a cell's last statement. */
function showResult(cell, value) {
  rememberResult(value);
  publish(cell, { type: 'result', execution_count: cell.count, data: mime.bundle(value), metadata: {} }, true);
}

let lastResult;

/** `_` is the last result, until a cell uses the name itself. */
function rememberResult(value) {
  const known = Object.getOwnPropertyDescriptor(globalThis, '_');
  if (known && known.value !== lastResult) return;
  lastResult = value;
  Object.defineProperty(globalThis, '_', { value, writable: true, configurable: true, enumerable: false });
}

/** Sends an event in its place among the output. An event of a cell that has ended could not be told from one of its
 * successor, so its text is written to the cell's stdout, as late output. `last`: no output follows. */
function publish(cell, event, last = false) {
  let payload = Buffer.from(JSON.stringify(event));
  if (payload.length > MAX_EVENT) {
    const note = `<a value too large to show: ${payload.length} bytes, at most ${MAX_EVENT} are sent>`;
    payload = Buffer.from(JSON.stringify({ ...event, data: { 'text/plain': note }, metadata: {} }));
  }
  if (!cell || cell.ended) {
    const text = event.data?.['text/plain'];
    if (text) output.write(cell, 1, `${text}\n`);
  } else if (last) {
    link.send(wire.kind.MESSAGE, cell.number, payload);
  } else {
    link.sendInOrder(cell.number, payload);
  }
}

module.exports = { install, showResult, publish };
