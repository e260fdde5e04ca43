// `prompt(text)`: asks the client and waits, as in a browser. The main thread sleeps meanwhile.

const display = load('display');
const link = load('link');
const { INPUTS } = load('phase');
const { current } = load('cell');

const MAX_PROMPT = 64 << 10; // characters

const answers = new Map(); // cell → its answer
let takeFrames;

function install(take) {
  takeFrames = take;
  Object.defineProperty(globalThis, 'prompt', { value: prompt, writable: true, configurable: true });
}

/** An answer has come. */
function takeAnswer(cell, answer) {
  answers.set(cell, answer);
}

/** The client's answer as text; null if the client ends the input. `password`: the client does not show what is typed. */
function prompt(message = '', { password = false } = {}) {
  const cell = current();
  if (!cell || cell.ended) throw new Error('the cell that asks for input has ended');
  if (!cell.allowInput) throw new Error('this cell was sent with allow_input false: nobody can answer');
  answers.delete(cell.number); // to a question that was interrupted
  const text = String(message).slice(0, MAX_PROMPT);
  display.publish(cell, { type: 'input_request', prompt: text, password: Boolean(password) });
  while (!answers.has(cell.number)) {
    const seen = Atomics.load(link.phase.words, INPUTS);
    link.phase.shield(takeFrames);
    if (!answers.has(cell.number)) link.phase.waitForChange(INPUTS, seen);
  }
  const answer = answers.get(cell.number);
  answers.delete(cell.number);
  return answer.eof ? null : String(answer.text ?? '').replace(/\n$/, '');
}

module.exports = { install, take: takeAnswer };
