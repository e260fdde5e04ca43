// What else writes to descriptors 1 and 2: child processes that inherit them, and `fs.write`. It goes to the pipes of
// the cell whose code starts or calls it.

const childProcess = require('child_process');
const fs = require('fs');
const { syncBuiltinESMExports } = require('module');

const cells = load('cell');
const link = load('link');

const INTERRUPT_FD = 7;
const MAX_WAIT_MS = 1000;
const BOTH_STREAMS = 3; // neither 1 nor 2, so that the cell's next write waits for the child's
const { readSync } = fs;
const word = Buffer.alloc(8);
const pause = new Int32Array(new SharedArrayBuffer(4));

/** `stdio` as the caller gave it, with the cell's pipes in the place of ours. */
function withPipes(stdio) {
  if (stdio === undefined || stdio === null || stdio === 'pipe' || stdio === 'ignore') return stdio;
  const list = typeof stdio === 'string' ? [stdio, stdio, stdio] : [...stdio];
  return list.map((entry, at) => {
    const stream = entry === 'inherit' ? at : (entry?.fd ?? entry);
    return stream === 1 || stream === 2 ? cells.pipeOf(cells.current(), stream) : entry;
  });
}

/** Calls a function of `child_process` that waits, with the `stdio` of its options replaced. */
function replaceInOptions(name) {
  const original = childProcess[name];
  childProcess[name] = function (...args) {
    waitIfInterrupted();
    const at = args.findIndex((arg, index) => index > 0 && isOptions(arg));
    if (at > 0 && args[at].stdio !== undefined) {
      const stdio = withPipes(args[at].stdio);
      if (stdio !== args[at].stdio) settleForChild();
      args[at] = { ...args[at], stdio };
    }
    return original.apply(this, args);
  };
  Object.defineProperty(childProcess[name], 'name', { value: name });
}

/** Lets what a child writes, to either stream, stand behind what the cell has written, and before what it writes next. */
function settleForChild() {
  const cell = cells.current();
  if (!cell || cell.ended) return;
  if (cell.lastStream !== 0) link.settle(cell.number);
  cell.lastStream = BOTH_STREAMS;
}

/** Sleeps where the running cell was interrupted, until it is terminated. The signal ends a child that is waited for
 * at once, and the next one would be started before the receiver's thread has looked. */
function waitIfInterrupted() {
  const cell = cells.current();
  if (!cell || cell.ended) return;
  try {
    readSync(INTERRUPT_FD, word, 0, 8, 0);
  } catch {
    return; // a cell closed the descriptor
  }
  if (word.readUInt32LE(0) === cell.number) Atomics.wait(pause, 0, 0, MAX_WAIT_MS);
}

function isOptions(arg) {
  return typeof arg === 'object' && arg !== null && !Array.isArray(arg);
}

/** Makes a function of `fs` that takes a descriptor take the cell's pipe for 1 and 2. */
function redirect(name) {
  const original = fs[name];
  fs[name] = function (fd, ...rest) {
    const target = fd === 1 || fd === 2 ? cells.pipeOf(cells.current(), fd) : fd;
    return original.call(this, target, ...rest);
  };
  Object.assign(fs[name], original);
  for (const symbol of Object.getOwnPropertySymbols(original)) fs[name][symbol] = original[symbol];
  Object.defineProperty(fs[name], 'name', { value: name });
}

function install() {
  const { spawn } = childProcess.ChildProcess.prototype;
  childProcess.ChildProcess.prototype.spawn = function (options) {
    return spawn.call(this, { ...options, stdio: withPipes(options.stdio) });
  };
  ['spawnSync', 'execFileSync', 'execSync'].forEach(replaceInOptions);
  ['write', 'writeSync', 'writev', 'writevSync'].forEach(redirect);
  syncBuiltinESMExports();
}

module.exports = { install };
