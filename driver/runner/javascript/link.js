// The main thread's end of the link: frames to the supervisor, and those that the receiver's thread has read.

const fs = require('fs');
const { MessageChannel, receiveMessageOnPort, Worker } = require('worker_threads');

const wire = load('wire');
const { Phase, ACKS } = load('phase');

const CONTROL_FD = 3;

const phase = new Phase();
const { writeSync } = fs; // cells may replace it
const pause = new Int32Array(new SharedArrayBuffer(4));
let frames; // the port through which frames come, and answers to questions go
let syncs = 0; // frames with SYNC that were sent

/** Starts the receiver's thread. It calls `onWakeUp` whenever there may be something to do. Answers the port
 * that keeps Node alive for that. */
function startReceiver(onWakeUp) {
  const [ours, theirs] = channel();
  const [wakeUps, theirWakeUps] = channel();
  frames = ours;
  const modules = JSON.stringify({ wire: sources.wire, phase: sources.phase, receiver: sources.receiver });
  const code = `const sources = ${modules}; const loaded = {};
    function load(name) {
      if (name in loaded) return loaded[name];
      const module = { exports: {} };
      new Function('require', 'load', 'module', sources[name])(require, load, module);
      return (loaded[name] = module.exports);
    }
    load('receiver');`;
  const worker = new Worker(code, {
    eval: true,
    execArgv: [],
    env: {},
    workerData: { memory: phase.words.buffer, frames: theirs, wakeUps: theirWakeUps },
    transferList: [theirs, theirWakeUps],
  });
  worker.on('error', (error) => {
    writeSync(2, `the runner's receiver failed: ${error.stack}\n`);
    process.reallyExit(70); // EX_SOFTWARE: nothing can be received any more
  });
  worker.unref();
  wakeUps.on('message', onWakeUp);
  return wakeUps;
}

function channel() {
  const { port1, port2 } = new MessageChannel();
  return [port1, port2];
}

/** The next frame that has come, if any. */
function receive() {
  const message = receiveMessageOnPort(frames)?.message;
  if (message) message.payload = Buffer.from(message.payload);
  return message;
}

/** Sends a message as a whole. */
function send(kind, cell, payload, flags = 0) {
  phase.shield(() => {
    writeAll(CONTROL_FD, wire.encode(kind, flags, cell, payload));
    if (flags & wire.flag.SYNC) syncs = (syncs + 1) | 0;
  });
}

/** Sends an event of a cell, in its place among the cell's output. Waits until that place is sure. */
function sendInOrder(cell, payload) {
  send(wire.kind.MESSAGE, cell, payload, wire.flag.SYNC);
  waitForAck();
}

/** Waits until all that a cell has written is on its way: what is written then, to whatever stream, comes behind it. */
function settle(cell) {
  send(wire.kind.SYNC, cell, Buffer.alloc(0), wire.flag.SYNC);
  waitForAck();
}

function waitForAck() {
  for (;;) {
    const acks = Atomics.load(phase.words, ACKS);
    if (((acks - syncs) | 0) >= 0) return;
    phase.waitForChange(ACKS, acks);
  }
}

/** Answers a question, through the receiver: it has told already if that came too late. */
function reply(question, answer) {
  frames.postMessage({ question, text: JSON.stringify(answer) });
}

/** Writes all bytes to a descriptor, waiting where it takes no more. */
function writeAll(fd, bytes) {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(pause, 0, 0, 1); // a millisecond; a cell that is terminated wakes up here
    }
  }
}

module.exports = { phase, startReceiver, receive, send, sendInOrder, settle, reply, writeAll };
