// Answers questions about code and variables: complete, inspect, is_complete, variables.
//
// The main thread answers between two pieces of code; while a cell keeps it busy, the receiver's thread tells that it
// is. No question runs code of the user's: what is looked at is evaluated by V8 without side effects.

const execute = load('execute');

const MAX_CODE = 1 << 20; // characters looked at

let ownGlobals = new Set();

/** Keeps the names that are there before the first cell: they are not the user's. */
function rememberGlobals() {
  ownGlobals = new Set([...Object.getOwnPropertyNames(globalThis), '_']);
}

/** The names of the user's variables. */
function names() {
  const globals = Object.getOwnPropertyNames(globalThis).filter((name) => !ownGlobals.has(name));
  return [...new Set([...execute.declaredNames(), ...globals])];
}

/** The reply to a question. */
function answer(payload) {
  let op;
  try {
    const question = JSON.parse(payload);
    ({ op } = question);
    if (op === 'variables') return execute.isRunning() ? { busy: true } : load('variables').listed(names());
    if (op === 'table') {
      return execute.isRunning() ? { busy: true } : { error: 'Tables cannot be paged in JavaScript yet.' };
    }
    const code = String(question.code ?? '').slice(0, MAX_CODE);
    if (op === 'is_complete') return load('completeness').judge(code);
    const cursor = unitsOf(code, question.cursor);
    if (op === 'inspect') return load('inspection').inspectAt(code, cursor);
    return withCharacters(load('completion').complete(code, cursor, names()), code);
  } catch {
    if (op === 'complete') return { matches: [], start: 0, end: 0 };
    if (op === 'inspect') return { found: false, data: {} };
    if (op === 'is_complete') return { status: 'invalid' };
    return { error: 'The interpreter could not answer: restart it if that stays so.' };
  }
}

/** Clients count characters, JavaScript units of 16 bits. */
function unitsOf(code, characters) {
  if (!Number.isInteger(characters) || characters < 0) return code.length;
  return [...code].slice(0, characters).join('').length;
}

function withCharacters(reply, code) {
  const characters = (units) => [...code.slice(0, units)].length;
  return { ...reply, start: characters(reply.start), end: characters(reply.end) };
}

module.exports = { rememberGlobals, answer };
