// Runs one cell: evaluates it, shows its value or its error, tells how it ended.
//
// Cells are evaluated by V8's inspector in REPL mode: `const`, `let` and `class` can be declared again, `await` stands
// anywhere, and the value is that of the last statement. Every call of code of the user's goes through the inspector
// too, because a termination ends there and not in code of ours.
//
// A cell ends once: by its evaluation, or by an interrupt while it awaits something. What its evaluation still does
// after that is late.

const inspector = require('inspector');

const wire = load('wire');
const link = load('link');
const { Cell, current, newestCell } = load('cell');
const errors = load('errors');
const output = load('output');
const source = load('source');

const OBJECTS = 'cell'; // the inspector's group of what a cell gave it, kept until the cell ends
const MAX_LOOK_MS = 200; // that a question may take to look at a value

// What Node fails with, again and again, where a termination has hit it between two callbacks of `setImmediate`.
const IMMEDIATES_ARE_BROKEN = /^TypeError: .*\n\s+at process\.processImmediate \(node:internal\/timers/;
const EX_SOFTWARE = 70;

const session = new inspector.Session();
let running = null;
let onIdle;
let ports; // that keep Node alive
let callId; // the inspector's id of the function `call` below
let pending; // what `call` is to do, with the value it is given
const environment = new Map(); // variables that the running cell has replaced

function install(importModule, whenIdle, keptAliveBy) {
  onIdle = whenIdle;
  ports = keptAliveBy;
  session.connect();
  source.install(importModule);
  const name = '__cellgateCall';
  globalThis[name] = (value) => pending(value);
  session.post('Runtime.evaluate', { expression: name }, (error, answer) => {
    callId = answer.result.objectId;
  });
  delete globalThis[name];
  // Node's own handler would end the process. A listener of the user's is called as well.
  process.on('uncaughtException', reportInBackground);
  process.on('unhandledRejection', reportInBackground);
}

function isRunning() {
  return running !== null;
}

/** Evaluates the cell of an EXECUTE. Returns while it may still await something. */
function run(number, job, pair) {
  const cell = (running = new Cell(number, job, pair));
  cell.expressions = job.user_expressions;
  link.phase.begin(number);
  setEnvironment(job.env);
  if (job.comm) {
    end(cell, wire.outcome.OK); // there are no widgets that would listen
    return;
  }
  if (job.program) {
    cell.silent = !job.program.show_value;
    const ended = (failed) => end(cell, failed ? wire.outcome.ERROR : wire.outcome.OK);
    load('program').begin(cell, job.program, ended);
  }
  cell.run(() => evaluate(cell));
}

function evaluate(cell) {
  const expression = `${source.prepare(cell.code)}\n//# sourceURL=${cell.file}`;
  errors.rememberSource(cell);
  const options = { expression, replMode: true, awaitPromise: true, objectGroup: OBJECTS };
  session.post('Runtime.evaluate', options, (error, answer) => {
    if (!cell.ended) evaluated(cell, error, answer);
  });
}

function evaluated(cell, error, answer) {
  if (error) {
    interrupted(cell); // "Execution was terminated", or it was collected
    return;
  }
  const thrown = answer.exceptionDetails;
  let failed = null;
  if (thrown) {
    failed = call(thrown.exception, (value) => errors.report(cell, value, thrown));
    if (failed) errors.reportNameOnly(cell, thrown);
    end(cell, wire.outcome.ERROR);
    return;
  }
  if (!cell.silent) {
    failed = call(answer.result, (value) => {
      if (value !== undefined) load('display').showResult(cell, value);
    });
  }
  if (!failed && cell.expressions && Object.keys(cell.expressions).length > 0) {
    load('expressions').answer(cell, cell.expressions);
  }
  if (failed) call(failed.exception, (value) => errors.report(cell, value, failed));
  if (!failed && load('program').isOne(cell)) load('program').finish(ports);
  else end(cell, failed ? wire.outcome.ERROR : wire.outcome.OK);
}

/** Calls a function with the value of one of the inspector's objects. Answers what it threw, if it did. */
function call(remote, work) {
  let failed = null;
  pending = work;
  const parameters = {
    objectId: callId,
    functionDeclaration: 'function (value) { this(value) }',
    arguments: [argumentOf(remote)],
    objectGroup: OBJECTS,
  };
  session.post('Runtime.callFunctionOn', parameters, (error, answer) => {
    if (error) throw new Error(error.message);
    failed = answer.exceptionDetails ?? null;
  });
  return failed;
}

function argumentOf({ objectId, unserializableValue, value }) {
  if (objectId) return { objectId };
  return unserializableValue ? { unserializableValue } : { value };
}

/** The value of an expression in the session: `{value}` or `{thrown}`. With `pure` nothing is changed by it. */
function valueOf(expression, pure) {
  const timeout = pure ? MAX_LOOK_MS : undefined;
  const options = { expression, throwOnSideEffect: pure, silent: true, timeout, objectGroup: OBJECTS };
  let found = { thrown: new Error('terminated') };
  session.post('Runtime.evaluate', options, (error, answer) => {
    if (error) return;
    const which = answer.exceptionDetails ? 'thrown' : 'value';
    call(answer.exceptionDetails?.exception ?? answer.result, (value) => {
      found = { [which]: value };
    });
  });
  return found;
}

/** The names that cells have declared by `let`, `const` and `class`. */
function declaredNames() {
  let names = [];
  session.post('Runtime.globalLexicalScopeNames', (error, answer) => {
    if (!error) ({ names } = answer);
  });
  return names;
}

/** Ends the running cell if it was interrupted. Called shielded. */
function endIfInterrupted() {
  if (running && link.phase.isInterrupted(running.number)) interrupted(running);
}

function interrupted(cell) {
  cell.clearTimers();
  cell.keepPromises();
  errors.reportInterrupt(cell);
  end(cell, wire.outcome.INTERRUPTED);
}

function end(cell, outcome) {
  link.phase.shield(() => {
    if (cell.ended) return;
    cell.ended = true;
    running = null;
    cell.promises = [];
    restoreEnvironment();
    session.post('Runtime.releaseObjectGroup', { objectGroup: OBJECTS });
    link.send(wire.kind.DONE, cell.number, Buffer.of(outcome));
    link.phase.end();
    onIdle();
  });
}

function setEnvironment(variables) {
  for (const [name, value] of Object.entries(variables ?? {})) {
    environment.set(name, process.env[name]);
    process.env[name] = value;
  }
}

function restoreEnvironment() {
  for (const [name, value] of environment) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  environment.clear();
}

/** Writes an error that no cell waits for to the stderr of the cell whose code it comes from. */
function reportInBackground(error) {
  const cell = current();
  if (IMMEDIATES_ARE_BROKEN.test(error?.stack)) {
    output.write(cell, 2, 'The interrupt has broken the timers of this Node: it is started anew.\n');
    process.reallyExit(EX_SOFTWARE);
  }
  output.write(cell ?? newestCell(), 2, `Uncaught ${errors.linesOf(error).join('\n')}\n`);
  if (load('program').isOne(cell)) load('program').exit(1);
}

module.exports = {
  install, run, isRunning, endIfInterrupted, valueOf, declaredNames,
};
