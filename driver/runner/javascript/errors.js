// Errors as the user should see them: the cell's own line, Node's description of the error, no frames of the runner.

const { inspect } = require('util');

const wire = load('wire');
const link = load('link');

const MAX_VALUE = 16 << 10; // characters of a message
const MAX_TEXT = 256 << 10; // characters of all lines together
const MAX_LINE = 1000; // characters of a line of source
const MAX_FRAMES = 100;
const MAX_SOURCES = 16 << 20; // characters of all cells that are kept for the lines in errors
const RED = '\x1b[31m';
const BOLD_RED = '\x1b[1;31m';
const RESET = '\x1b[0m';

// Frames of Node and of the runner: `    at Session.post (node:inspector:132:28)`.
const NOT_THE_USERS = /^\s+at (?:.*[( ])?(?:node:|cellgate:|\[eval)[^)]*\)?$/;
const FRAME = /^\s+at (?:async )?(?:(.*?) \()?(.*?):(\d+):(\d+)\)?$/;

const cellSources = new Map(); // file → {id, lines}, newest last
let sourceCharacters = 0;

/** Keeps a cell's lines; drops the oldest if too many. */
function rememberSource(cell) {
  cellSources.set(cell.file, { id: cell.id, lines: cell.code.split('\n'), size: cell.code.length });
  sourceCharacters += cell.code.length;
  while (sourceCharacters > MAX_SOURCES && cellSources.size > 1) {
    const [oldest] = cellSources.keys();
    sourceCharacters -= cellSources.get(oldest).size;
    cellSources.delete(oldest);
  }
}

/** Sends the `error` event of what a cell has thrown. Runs code of the user's. */
function report(cell, thrown, details) {
  const isError = isAnError(thrown);
  const frames = isError ? framesOf(thrown) : [];
  let place = frames.find((frame) => cellSources.has(frame.file));
  if (!place) place = placeOf(cell, details); // of a syntax error, and of what is no Error
  if (place && frames.length === 0) frames.push(place);
  publish(cell, {
    type: 'error',
    name: isError ? String(thrown.name || 'Error').slice(0, MAX_LINE) : 'Uncaught',
    value: cut(isError ? String(thrown.message) : inspect(thrown), MAX_VALUE),
    traceback: bounded([...linesAt(place), ...linesOf(thrown, true)]),
    frames: frames.slice(0, MAX_FRAMES).map(fieldsOf),
  });
}

/** What is left to say where describing the error failed. */
function reportNameOnly(cell, details) {
  const name = details.exception?.className ?? 'Error';
  publish(cell, { type: 'error', name, value: '', traceback: [name], frames: [] });
}

function reportInterrupt(cell) {
  const value = 'the cell was interrupted';
  publish(cell, {
    type: 'error', name: 'Interrupted', value, traceback: [`${BOLD_RED}Interrupted${RESET}: ${value}`], frames: [],
  });
}

/** Sends what a program that exits with a code other than 0 ends with; `cellgate run` exits with that code too. */
function reportExit(cell, code) {
  publish(cell, {
    type: 'error', name: 'SystemExit', value: String(code), traceback: [`The program exits with ${code}`], frames: [],
  });
}

function publish(cell, event) {
  if (!cell.ended) link.send(wire.kind.MESSAGE, cell.number, Buffer.from(JSON.stringify(event)));
}

/** Node's description of what was thrown, its causes and properties included, without frames that are not the user's. */
function linesOf(thrown, coloured = false) {
  const text = cut(inspect(thrown), MAX_TEXT);
  const lines = text.split('\n').filter((line) => !NOT_THE_USERS.test(line));
  if (coloured && isAnError(thrown)) {
    const [, name, rest] = /^([\w.$]*)(.*)$/s.exec(lines[0]);
    lines[0] = `${BOLD_RED}${name}${RESET}${rest}`;
  }
  return lines;
}

/** The line of the cell with a mark below the column. */
function linesAt(place) {
  const line = place && cellSources.get(place.file)?.lines[place.line - 1];
  if (line === undefined) return [];
  const shown = line.slice(0, MAX_LINE);
  const blanks = shown.slice(0, Math.max(0, place.column - 1)).replace(/[^\t]/g, ' ');
  return [`${place.file}:${place.line}`, shown, `${blanks}${RED}^${RESET}`, ''];
}

/** The user's frames of an error, the innermost first. */
function framesOf(error) {
  const frames = [];
  const stack = typeof error.stack === 'string' ? error.stack : '';
  for (const text of stack.split('\n')) {
    const match = FRAME.exec(text);
    if (!match || NOT_THE_USERS.test(text)) continue;
    const [, name, file, line, column] = match;
    frames.push({ function: name ?? '', file, line: Number(line), column: Number(column) });
  }
  return frames;
}

/** Where the inspector says that it was thrown. */
function placeOf(cell, details) {
  // Code that does not compile has no name yet, and nothing that called it.
  const file = details.url || details.stackTrace ? details.url : cell.file;
  if (!cellSources.has(file)) return undefined;
  return { function: '', file, line: details.lineNumber + 1, column: details.columnNumber + 1 };
}

function fieldsOf(frame) {
  const known = cellSources.get(frame.file);
  const source = known?.lines[frame.line - 1]?.trim().slice(0, MAX_LINE) ?? '';
  const fields = { file: frame.file, line: frame.line, function: frame.function, source };
  if (known && known.id !== null) fields.cell = known.id;
  return fields;
}

function isAnError(value) {
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';
}

function cut(text, most) {
  if (text.length <= most) return text;
  const half = most / 2;
  return `${text.slice(0, half)} … (${text.length - most} characters left out) … ${text.slice(-half)}`;
}

function bounded(lines) {
  const text = lines.join('\n');
  return text.length <= MAX_TEXT ? lines : cut(text, MAX_TEXT).split('\n');
}

module.exports = {
  rememberSource, report, reportNameOnly, reportInterrupt, reportExit, linesOf, isAnError,
};
