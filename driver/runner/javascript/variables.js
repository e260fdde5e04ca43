// Lists the user's variables for the `variables` question: type, size and a short look at each. No code of the user's
// runs for it.

const { inspect, types } = require('util');

const execute = load('execute');
const { typeOf } = load('inspection');

const MOST = 500; // variables
const MAX_NAME = 200; // characters
const MAX_PREVIEW = 120; // characters
const LOOK = { customInspect: false, getters: false, depth: 1, maxArrayLength: 8, maxStringLength: 121, breakLength: Infinity };

/** What `variables` is answered with, given the names. */
function listed(names) {
  const own = names.filter((name) => !name.startsWith('_')).sort((one, other) => one.localeCompare(other));
  const variables = [];
  for (const name of own.slice(0, MOST)) {
    const found = execute.valueOf(name, true);
    if ('value' in found) variables.push(described(name.slice(0, MAX_NAME), found.value));
  }
  return own.length > MOST ? { variables, more: true } : { variables };
}

function described(name, value) {
  const entry = { name, type: typeName(value), preview: preview(value) };
  const shape = shapeOf(value);
  if (shape !== undefined) entry.shape = shape;
  if (ArrayBuffer.isView(value)) entry.bytes = value.byteLength;
  return entry;
}

function typeName(value) {
  if (typeof value !== 'function') return typeOf(value).slice(0, MAX_NAME);
  return /^class\b/.test(Function.prototype.toString.call(value)) ? 'class' : 'function';
}

function shapeOf(value) {
  if (typeof value === 'string' || (Array.isArray(value) && !types.isProxy(value))) return [value.length];
  if (types.isTypedArray(value)) return [value.length];
  if (types.isMap(value) || types.isSet(value)) {
    const { get } = Object.getOwnPropertyDescriptor(types.isMap(value) ? Map.prototype : Set.prototype, 'size');
    return [get.call(value)];
  }
  return undefined;
}

function preview(value) {
  const text = typeof value === 'function'
    ? /\([^)]*\)/.exec(Function.prototype.toString.call(value))?.[0] ?? ''
    : inspect(value, LOOK);
  const line = text.replace(/\s+/g, ' ');
  return line.length <= MAX_PREVIEW ? line : `${line.slice(0, MAX_PREVIEW - 1)}…`;
}

module.exports = { listed };
