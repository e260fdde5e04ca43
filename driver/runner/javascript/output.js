// `process.stdout`, `process.stderr` and `console`: written at once, to the pipes of the cell whose code writes.

const { Console } = require('console');
const { Writable } = require('stream');
const { inspect } = require('util');

const cells = load('cell');
const link = load('link');

const CONTEXT_OF_PROMISES = new Set(['async_id_symbol', 'trigger_async_id_symbol', 'kResourceStore']);

/** Writes text or bytes to a stream (1 or 2) of a cell. The streams are two pipes: a switch from one to the other waits
 * until what the first got is on its way, so that readers see the order of the code. */
function write(cell, stream, data) {
  if (cell && !cell.ended) {
    if (cell.lastStream !== 0 && cell.lastStream !== stream) link.settle(cell.number);
    cell.lastStream = stream;
  }
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  try {
    link.writeAll(cells.nonBlockingPipeOf(cell, stream), bytes);
  } catch (error) {
    if (error.code !== 'EPIPE') throw error; // the supervisor gave the cell's pipes up
  }
}

/** A standard stream. */
class CellStream extends Writable {
  constructor(stream) {
    super({ decodeStrings: true, emitClose: false, autoDestroy: false });
    this.fd = stream;
    this.isTTY = false;
    this._type = 'pipe';
  }

  write(chunk, encoding, callback) {
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
    if (typeof chunk === 'string') {
      write(cells.current(), this.fd, encoding ? Buffer.from(chunk, encoding) : chunk);
    } else if (ArrayBuffer.isView(chunk)) {
      write(cells.current(), this.fd, Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    } else {
      return super.write(chunk, encoding, callback); // says what is wrong with it
    }
    if (typeof callback === 'function') process.nextTick(callback);
    return true;
  }

  /** What `pipe` and `pipeline` end by: the stream itself stays open, as Node's own does. */
  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') [chunk, callback] = [undefined, chunk];
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
    if (chunk !== undefined && chunk !== null) this.write(chunk, encoding);
    process.nextTick(() => {
      callback?.();
      this.emit('finish');
    });
    return this;
  }

  destroy() {
    return this;
  }

  _destroy(error, callback) {
    callback(null);
  }
}

/** Keeps `util.inspect` from showing what Node keeps on each promise to know its cell (up to Node 22). */
function hideContextOfPromises() {
  const hide = function () {
    for (const symbol of Object.getOwnPropertySymbols(this)) {
      if (CONTEXT_OF_PROMISES.has(symbol.description)) Object.defineProperty(this, symbol, { enumerable: false });
    }
    return this; // goes on as without this method
  };
  Object.defineProperty(Promise.prototype, inspect.custom, { value: hide, writable: true, configurable: true });
}

/** Puts the streams and a console in the place of Node's. */
function install() {
  hideContextOfPromises();
  const stdout = new CellStream(1);
  const stderr = new CellStream(2);
  for (const [name, stream] of Object.entries({ stdout, stderr })) {
    Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => stream });
  }
  // Not another object: what a library has taken of `console` before goes the same way.
  Object.assign(console, pick(new Console({ stdout, stderr })));
  console._stdout = stdout;
  console._stderr = stderr;
}

function pick(made) {
  const names = Object.keys(made).filter((name) => typeof made[name] === 'function');
  return Object.fromEntries(names.map((name) => [name, made[name].bind(made)]));
}

module.exports = { install, write };
