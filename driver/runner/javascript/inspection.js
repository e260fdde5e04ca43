// What stands at the cursor: its type, its value, the head of a function.

const { inspect } = require('util');

const execute = load('execute');

const MAX_TEXT = 16 << 10; // characters of an answer
const BEFORE = /[\p{ID_Start}$_][\w$]*(?:\.[\p{ID_Start}$_][\w$]*)*$/u;

/** `{found, data}` for the name at the cursor, or else for the function that is called around it. */
function inspectAt(code, cursor) {
  for (const path of paths(code, cursor)) {
    const found = execute.valueOf(path, true);
    if ('value' in found) return { found: true, data: { 'text/plain': describe(path, found.value) } };
  }
  return { found: false, data: {} };
}

function* paths(code, cursor) {
  const end = cursor + /^[\w$]*/.exec(code.slice(cursor))[0].length;
  const name = BEFORE.exec(code.slice(0, end));
  if (name) yield name[0];
  let depth = 0;
  for (let at = cursor - 1; at >= Math.max(0, cursor - 5000); at -= 1) {
    if (')]}'.includes(code[at])) depth += 1;
    else if ('([{'.includes(code[at]) && --depth < 0) {
      const called = code[at] === '(' && BEFORE.exec(code.slice(0, at));
      if (called) yield called[0];
      return;
    }
  }
}

function describe(path, value) {
  const lines = [];
  if (typeof value === 'function') {
    const text = Function.prototype.toString.call(value);
    const isNative = /\{\s*\[native code\]\s*\}$/.test(text);
    lines.push(`Signature: ${isNative ? `${path}(${value.length} parameters)` : head(text)}`);
  }
  lines.push(`Type:      ${typeOf(value)}`);
  if (typeof value !== 'function') {
    lines.push(`Value:     ${inspect(value, { customInspect: false, getters: false, depth: 1 })}`);
  }
  return lines.join('\n').slice(0, MAX_TEXT);
}

/** A function's text up to its body. */
function head(text) {
  return text.split(/\)\s*(?:\{|=>)/)[0].replace(/\s+/g, ' ').slice(0, 300) + (text.includes(')') ? ')' : '');
}

/** What kind of value it is, without code of the user's. */
function typeOf(value) {
  if (value === null) return 'null';
  if (typeof value !== 'object') return typeof value;
  const prototype = Object.getPrototypeOf(value);
  const maker = prototype && Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value;
  const name = typeof maker === 'function' && Object.getOwnPropertyDescriptor(maker, 'name')?.value;
  return typeof name === 'string' && name ? name : 'Object';
}

module.exports = { inspectAt, typeOf };
