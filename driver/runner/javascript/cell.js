// A cell: its identity, its two pipes, and which cell the running code belongs to.
//
// Node carries the cell from the code that starts a timer, a promise or a request to the code that goes on from there
// (`AsyncLocalStorage`), so what an ended cell's callbacks write goes to that cell's pipes, and the supervisor marks it
// as late. Node is started with a fixed set of pairs; a pair that was given to a newer cell takes what the older one
// still writes as output of the newer one.

const { AsyncLocalStorage, createHook } = require('async_hooks');
const fs = require('fs');

const FIRST_PAIR_FD = 8;
const FIRST_PROMISES = 4;

const storage = new AsyncLocalStorage();
storage.run(null, () => {}); // enables it, before `async_stack` turns Node's checks off
const unsettled = []; // promises of interrupted cells
const owners = []; // the cell of each pair
let newest = null;

class Cell {
  constructor(number, job, pair) {
    this.number = number;
    this.pair = pair;
    this.id = job.id ?? null;
    this.count = job.execution_count ?? 0;
    this.silent = Boolean(job.silent);
    this.allowInput = Boolean(job.allow_input);
    this.code = String(job.code ?? '');
    this.file = this.count ? `<cell-${this.count}>` : `<silent-cell-${number}>`;
    this.ended = false;
    this.lastStream = 0; // the one that was written to last; 0: neither yet
    this.timers = new Timers();
    this.promises = []; // its first ones, among them that of its evaluation
    owners[pair] = this;
    newest = this;
  }

  /** Calls a function as code of this cell. */
  run(work) {
    return storage.run(this, work);
  }

  /** Keeps the promise of an evaluation that may never end. The inspector waits for it, and would call its callback
   * from the middle of a garbage collection when it is collected, by which Node 22 and 24 end. */
  keepPromises() {
    unsettled.push(this.promises);
  }

  /** Stops its timers: an interrupted loop of `await sleep(…)` ends with them. */
  clearTimers() {
    this.timers.clear();
  }
}

/** The timers that code of a cell has started; those that are done are forgotten now and then. */
class Timers {
  constructor() {
    this.known = [];
    this.pruneAt = 256;
  }

  add(timer) {
    this.known.push(new WeakRef(timer));
    if (this.known.length < this.pruneAt) return;
    this.known = this.known.filter((known) => known.deref()?._destroyed === false);
    this.pruneAt = Math.max(256, this.known.length * 2);
  }

  clear() {
    for (const known of this.known) clearTimeout(known.deref());
    this.known = [];
  }
}

createHook({
  init(id, type, trigger, resource) {
    if (type !== 'Timeout' && type !== 'PROMISE') return;
    const cell = storage.getStore();
    if (!cell || cell.ended) return;
    if (type === 'Timeout') cell.timers.add(resource);
    else if (cell.promises.length < FIRST_PROMISES) cell.promises.push(resource);
  },
}).enable();

/** The cell whose code runs; code that belongs to none counts as the newest cell's. */
function current() {
  return storage.getStore() ?? newest;
}

/** The newest cell, running or not. */
function newestCell() {
  return newest;
}

/** The descriptor of the pipe for what a cell writes to its stdout (1) or stderr (2). */
function pipeOf(cell, stream) {
  const owner = cell && owners[cell.pair] === cell ? cell : newest;
  return owner ? FIRST_PAIR_FD + 2 * owner.pair + stream - 1 : stream;
}

const nonBlocking = new Map();

/** The same pipe, opened anew so that writing to it never blocks: a cell can be terminated while it waits. Children
 * get the one that blocks, as programs expect it. */
function nonBlockingPipeOf(cell, stream) {
  const fd = pipeOf(cell, stream);
  let own = nonBlocking.get(fd);
  if (own === undefined) {
    own = reopen(fd);
    nonBlocking.set(fd, own);
  }
  return own;
}

function reopen(fd) {
  try {
    return fs.openSync(`/proc/self/fd/${fd}`, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
  } catch {
    return fd; // no /proc: writing blocks while the gateway takes nothing, and is interrupted after that
  }
}

module.exports = { Cell, current, newestCell, pipeOf, nonBlockingPipeOf };
