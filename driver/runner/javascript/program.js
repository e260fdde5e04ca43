// Code that runs once, as a program does: what it finds when it begins, and how it ends.
//
// It ends when Node would end it: when nothing is left that it waits for, by `process.exit`, or by an error that
// nobody catches.

const path = require('path');

const errors = load('errors');

let running = null; // {cell, end}: `end(outcome)` tells that the program has ended

/** Gives the code its arguments and its file, if it has one: a path in the working directory. */
function begin(cell, { argv = [''], file, colours }, end) {
  running = { cell, end };
  if (file) cell.file = file;
  process.argv = [process.execPath, file ? path.resolve(file) : argv[0], ...argv.slice(1)];
  if (!colours) delete process.env.FORCE_COLOR; // what reads its output is a program too
  process.exit = (code = process.exitCode ?? 0) => exit(Number(code) || 0);
}

/** The code has run through without an error: waits for what it has started. `ports` keep Node alive otherwise. */
function finish(ports) {
  const { cell, end } = running;
  ports.forEach((port) => port.unref());
  process.once('beforeExit', () => {
    ports.forEach((port) => port.ref());
    if (process.exitCode) errors.reportExit(cell, Number(process.exitCode));
    end(Boolean(process.exitCode));
  });
}

/** Ends the program at once, as `process.exit` does, and the interpreter with it. */
function exit(code) {
  const { cell, end } = running;
  process.emit('exit', code);
  if (code !== 0) errors.reportExit(cell, code);
  end(code !== 0);
  process.reallyExit(code);
}

/** Whether the cell is a program that has not ended. */
function isOne(cell) {
  return running !== null && running.cell === cell && !cell.ended;
}

module.exports = { begin, finish, exit, isOne };
