// The runner's main function: READY, then one cell after the other until the supervisor is gone.

const { MessageChannel } = require('worker_threads');

const wire = load('wire');
const link = load('link');
const asyncStack = load('async_stack');

let pair = 0; // of pipes, of the next cell
const waiting = []; // EXECUTE frames that came while a cell ran
let execute;
let asked;

/** Runs cells until the supervisor is gone. */
function main(importModule) {
  keepAlive(); // an interrupt may come as soon as the supervisor hears of us
  const language = { name: 'javascript', version: process.versions.node };
  link.send(wire.kind.READY, 0, Buffer.from(JSON.stringify({ language })));
  // Children and workers are started as without us.
  process.execArgv = [];
  load('output').install();
  load('children').install();
  load('immediates').install();
  execute = load('execute');
  const { port1: later, port2: waker } = new MessageChannel(); // not an immediate: a termination may lose those
  later.on('message', onIdle);
  const ports = [later];
  execute.install(importModule, () => waker.postMessage(0), ports);
  load('display').install();
  load('input').install(() => takeFrames());
  load('questions').rememberGlobals();
  asked = load('questions').answer;
  ports.push(link.startReceiver(onWakeUp));
}

/** Keeps signals and errors of background work from ending the process. */
function keepAlive() {
  for (const signal of ['SIGINT', 'SIGUSR2']) {
    if (!process.listeners(signal).includes(ignoreSignal)) process.on(signal, ignoreSignal);
  }
}

function ignoreSignal() {} // the receiver's thread sees interrupts; descriptor 6 stays empty

/** Takes what has come. Any moment of it may be cut off by a termination outside of a shield: then it is called again. */
function onWakeUp() {
  link.phase.shield(() => {
    takeFrames();
    execute.endIfInterrupted();
  });
  onIdle();
}

/** Starts the next cell if none runs. */
function onIdle() {
  if (waiting.length === 0 || execute.isRunning()) return;
  const { cell, job, ownPair } = waiting.shift();
  keepAlive();
  asyncStack.repair();
  execute.run(cell, job, ownPair);
}

function takeFrames() {
  for (let frame = link.receive(); frame; frame = link.receive()) {
    const { kind, cell, payload } = frame;
    if (kind === wire.kind.PIPES) {
      [pair] = payload;
    } else if (kind === wire.kind.EXECUTE) {
      waiting.push({ cell, job: JSON.parse(payload), ownPair: pair });
    } else if (kind === wire.kind.INPUT) {
      load('input').take(cell, JSON.parse(payload));
    } else if (kind === wire.kind.REQUEST) {
      link.reply(cell, asked(payload));
    }
  }
}

module.exports = { main };
