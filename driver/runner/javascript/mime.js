// What a value looks like: its bundle {MIME type: data}.
//
// An object tells by a method `[Symbol.for('cellgate.display')]()` that answers such a bundle, or by the one that
// Deno's notebooks know, `[Symbol.for('Jupyter.display')]()`. Images in a buffer and specifications of Vega and Plotly
// are known by their contents. The text of `util.inspect` is always there.

const { inspect, types } = require('util');

const HOOKS = [Symbol.for('cellgate.display'), Symbol.for('Jupyter.display')];
const MAX_PLAIN = 1 << 20; // characters of text/plain

const IMAGES = [
  ['image/png', [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]],
  ['image/jpeg', [0xff, 0xd8, 0xff]],
  ['image/gif', [0x47, 0x49, 0x46, 0x38]],
];
const PLOTLY = 'application/vnd.plotly.v1+json';
const PLOTLY_KEYS = new Set(['data', 'layout', 'frames', 'config']);
const VEGA = /^https:\/\/vega\.github\.io\/schema\/(vega|vega-lite)\/v(\d+)/;

/** The bundle of a value. Runs code of the user's, and throws what that throws. */
function bundle(value) {
  const data = told(value) ?? known(value) ?? {};
  if (!('text/plain' in data)) data['text/plain'] = plainText(value);
  return portable(data);
}

/** What the value says of itself. */
function told(value) {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function') || types.isProxy(value)) return undefined;
  const hook = HOOKS.find((symbol) => typeof value[symbol] === 'function');
  if (!hook) return undefined;
  const data = value[hook]();
  if (data === null || typeof data !== 'object' || typeof data.then === 'function') {
    throw new TypeError(`[${String(hook)}]() must return an object {MIME type: data}, not ${inspect(data)}`);
  }
  return { ...data };
}

/** What its contents say. */
function known(value) {
  if (types.isUint8Array(value)) {
    const image = IMAGES.find(([, magic]) => magic.every((byte, at) => value[at] === byte));
    return image && { [image[0]]: value, 'text/plain': `<${image[0]} of ${value.length} bytes>` };
  }
  if (!isPlainObject(value)) return undefined;
  const schema = typeof value.$schema === 'string' && VEGA.exec(value.$schema);
  if (schema) return { [vegaType(schema[1], schema[2])]: value };
  const isPlotly = Array.isArray(value.data) && isPlainObject(value.layout)
    && Object.keys(value).every((key) => PLOTLY_KEYS.has(key));
  return isPlotly ? { [PLOTLY]: value } : undefined;
}

function vegaType(library, version) {
  return `application/vnd.${library.replace('-', '')}.v${version}+json`;
}

function isPlainObject(value) {
  if (typeof value !== 'object' || value === null || types.isProxy(value)) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** The text of a value, bounded. */
function plainText(value) {
  const text = inspect(value);
  return text.length <= MAX_PLAIN ? text : `${text.slice(0, MAX_PLAIN)}\n… ${text.length} characters in all`;
}

/** Data as JSON carries it: bytes as base64. */
function portable(data) {
  return Object.fromEntries(Object.entries(data).map(([type, item]) => {
    if (ArrayBuffer.isView(item)) {
      const bytes = Buffer.from(item.buffer, item.byteOffset, item.byteLength);
      return [type, type.startsWith('text/') || type.endsWith('+xml') ? bytes.toString() : bytes.toString('base64')];
    }
    return [type, type.startsWith('text/') && typeof item !== 'string' ? String(item) : item];
  }));
}

module.exports = { bundle, portable, plainText, vegaType, PLOTLY };
