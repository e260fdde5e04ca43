// What could stand at the cursor: members of a value, names of the session, words of the language.

const { builtinModules } = require('module');
const { types } = require('util');

const execute = load('execute');

const MAX_MATCHES = 500;
const MAX_MEMBERS = 5000; // names of one value that are looked at
const PATH = /(?:^|[^\w$.])([\p{ID_Start}$_][\w$]*(?:\??\.[\p{ID_Start}$_][\w$]*)*)\??\.([\w$]*)$/u;
const WORD = /[\p{ID_Start}$_]?[\w$]*$/u;
const NAME = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;
const KEYWORDS = (
  'async await break case catch class const continue debugger default delete do else export extends false finally for '
  + 'from function if import in instanceof let new null of return static super switch this throw true try typeof '
  + 'undefined var void while with yield'
).split(' ');

/** What could stand in the place of code[start:end], each with what it is. */
function complete(code, cursor, names) {
  const before = code.slice(0, cursor);
  const path = PATH.exec(before);
  if (path) {
    loadBuiltin(path[1].split(/[.?]/)[0]);
    const value = execute.valueOf(path[1], true);
    const found = 'value' in value ? members(value.value) : new Map();
    return fitting(found, path[2], cursor);
  }
  const [typed] = WORD.exec(before);
  if (/\.\s*$/.test(before.slice(0, before.length - typed.length))) return fitting(new Map(), typed, cursor);
  const known = new Map(KEYWORDS.map((word) => [word, 'keyword']));
  for (const name of Object.getOwnPropertyNames(globalThis)) known.set(name, kindOf(own(globalThis, name)));
  for (const name of names) known.set(name, kindOf(execute.valueOf(name, true)));
  return fitting(known, typed, cursor);
}

/** Node loads its own modules when their global names are first read, which counts as a side effect. */
function loadBuiltin(name) {
  if (builtinModules.includes(name) && Object.getOwnPropertyDescriptor(globalThis, name)?.get) void globalThis[name];
}

function fitting(known, typed, cursor) {
  const hidden = typed.startsWith('_');
  const matches = [...known.keys()]
    .filter((name) => name.startsWith(typed) && NAME.test(name) && (hidden || !name.startsWith('_')))
    .sort()
    .slice(0, MAX_MATCHES);
  const kinds = matches.map((name) => known.get(name));
  return { matches, start: cursor - typed.length, end: cursor, types: kinds };
}

/** The names of a value's members, and of its prototypes'. */
function members(value) {
  const found = new Map();
  if (value === null || value === undefined) return found;
  let at = Object(value);
  while (at !== null && !types.isProxy(at) && found.size < MAX_MEMBERS) {
    for (const name of Object.getOwnPropertyNames(at)) {
      if (!found.has(name)) found.set(name, kindOf(own(at, name)));
    }
    at = Object.getPrototypeOf(at);
  }
  return found;
}

/** `{value}` of a property, without calling a getter. */
function own(object, name) {
  return Object.getOwnPropertyDescriptor(object, name) ?? {};
}

function kindOf(found) {
  if (!('value' in found)) return 'property';
  if (typeof found.value !== 'function') return 'variable';
  return /^class\b/.test(Function.prototype.toString.call(found.value)) ? 'class' : 'function';
}

module.exports = { complete };
