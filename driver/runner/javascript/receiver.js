// The second thread: reads what the supervisor sends, and interrupts a cell that keeps the main thread busy.
//
// Frames go to the main thread through a port that it empties at moments of its choice, and each is followed by a
// wake-up through another. Acknowledgements are counted in shared memory, for a main thread that waits for one.
//
// The supervisor writes each interrupt to descriptor 7: the cell's number and how many there were. While a cell runs,
// that is looked at every POLL_MS. The main thread is told at once: a cell that waits in `await` ends there. One that
// runs without a pause is terminated through V8's inspector, again and again until it has ended.

const fs = require('fs');
const inspector = require('inspector');
const net = require('net');
const { workerData } = require('worker_threads');

const wire = load('wire');
const phase = load('phase');

const CONTROL_FD = 3;
const SIDE_FD = 4;
const INTERRUPT_FD = 7;
const POLL_MS = 4; // what an interrupt waits at most; 250 short looks a second
const BUSY_MS = 15; // after which a main thread that did not hear of an interrupt counts as busy
const ANSWER_MS = 200; // after which another termination is tried
const QUESTION_MS = 250; // how long a question may wait for the main thread

const words = phase.words(workerData.memory);
const { frames, wakeUps } = workerData;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** The main thread's inspector, connected when it is first needed. */
let session;

/** The timer of the looks at descriptor 7. */
let polling;
const word = Buffer.alloc(8);
let interruptsSeen = 0;

/** When the running cell was interrupted. */
let interruptedAt;

/** Whether V8 has been asked to terminate and has not answered. */
let terminating = false;

/** Numbers of questions that the main thread has not answered. */
const questions = new Set();

function wake() {
  wakeUps.postMessage(0);
}

function forward(message) {
  frames.postMessage(message);
  wake();
}

function onControl(message) {
  if (message.kind === wire.kind.ACK) {
    Atomics.store(words, phase.ACKS, message.payload.readUInt32LE(0) | 0);
    Atomics.notify(words, phase.ACKS);
    return;
  }
  if (message.kind === wire.kind.REQUEST) {
    ask(message);
    return;
  }
  if (message.kind === wire.kind.EXECUTE) beginPolling(message.cell);
  forward(message);
  if (message.kind === wire.kind.INPUT) {
    Atomics.add(words, phase.INPUTS, 1);
    Atomics.notify(words, phase.INPUTS);
  }
}

function ask(message) {
  questions.add(message.cell);
  forward(message);
  setTimeout(() => answer(message.cell, null), QUESTION_MS);
}

/** Sends the answer to a question, or that the main thread is busy; the first of both counts. */
function answer(number, text) {
  if (!questions.delete(number)) return;
  const frame = text === null
    ? wire.encode(wire.kind.REPLY, wire.flag.BUSY, number)
    : wire.encode(wire.kind.REPLY, 0, number, Buffer.from(text));
  for (let at = 0; at < frame.length; ) {
    try {
      at += fs.writeSync(SIDE_FD, frame, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(pause, 0, 0, 1); // the supervisor has not read enough yet
    }
  }
}

function beginPolling(cell) {
  clearInterval(polling);
  interruptedAt = undefined;
  let hasBegun = false;
  const look = () => {
    const running = Atomics.load(words, phase.CELL);
    hasBegun ||= running === (cell | 0);
    if (hasBegun && running !== (cell | 0)) clearInterval(polling);
    else if (interruptedAt === undefined) lookForInterrupt(cell);
    else if (hasBegun && !terminating && Date.now() - interruptedAt >= BUSY_MS) terminate();
  };
  polling = setInterval(look, POLL_MS);
}

function lookForInterrupt(cell) {
  try {
    fs.readSync(INTERRUPT_FD, word, 0, 8, 0);
  } catch {
    return; // a cell closed the descriptor: it ends by the supervisor's SIGKILL
  }
  const count = word.readUInt32LE(4);
  if (count === interruptsSeen || word.readUInt32LE(0) !== cell) return;
  interruptsSeen = count;
  interruptedAt = Date.now();
  Atomics.store(words, phase.INTERRUPTED, cell | 0);
  // Whoever waits for input or an acknowledgement looks again.
  Atomics.notify(words, phase.INPUTS);
  wake();
}

/** Asks V8 to terminate what the main thread runs, if that is a cell's code. */
function terminate() {
  if (!session) {
    session = new inspector.Session();
    session.connectToMainThread();
  }
  const before = Atomics.compareExchange(words, phase.PHASE, phase.RUNNING, phase.TERMINATING);
  if (before !== phase.RUNNING) return; // the runner's own code: in the next turn
  terminating = true;
  const answered = () => {
    if (!terminating) return;
    terminating = false;
    interruptedAt = Date.now();
    Atomics.compareExchange(words, phase.PHASE, phase.TERMINATING, phase.RUNNING);
    wake(); // the one before may have been terminated
  };
  session.post('Runtime.terminateExecution', answered);
  // A main thread that sleeps in a system call answers after it; one that waits for an answer would wait for ever.
  setTimeout(answered, ANSWER_MS);
}

function listen(fd, handle) {
  const parser = new wire.Parser();
  const socket = new net.Socket({ fd, readable: true, writable: false });
  socket.on('data', (chunk) => parser.feed(chunk).forEach(handle));
  // Without a supervisor nothing can be done, and a busy main thread can be asked for nothing.
  const end = () => process.kill(process.pid, 'SIGKILL');
  socket.on('error', end);
  socket.on('close', end);
}

frames.on('message', ({ question, text }) => answer(question, text));
listen(CONTROL_FD, onControl);
listen(SIDE_FD, (message) => message.kind === wire.kind.REQUEST && ask(message));
