// What the main thread and the receiver's thread share: whose code runs, and whether it may be terminated.
//
// ```text
//   IDLE ─begin()─► RUNNING ⇄ SHIELDED (the runner's own code, such as a frame being written) ─end()─► IDLE
//                     ⇅ receiver
//                  TERMINATING: the receiver has asked V8 to terminate what runs, and V8 has not answered yet
// ```
// V8 terminates whatever runs when the request arrives, and no code can catch that. So the receiver asks only in
// RUNNING, and the main thread's own code waits in `shield` while a request is under way: either it is terminated
// right there, with nothing half done, or the answer comes.

const IDLE = 0;
const RUNNING = 1;
const SHIELDED = 2;
const TERMINATING = 3;

// Places in the shared words.
const PHASE = 0;
const CELL = 1; // the number of the cell that runs, 0 if none does
const INTERRUPTED = 2; // the number of the cell that is to be interrupted
const ACKS = 3; // how many frames with SYNC the supervisor has taken
const INPUTS = 4; // how many answers to questions for input have come
const WORDS = 5;

/** The shared words, in memory that a thread made or was given. */
function words(memory = new SharedArrayBuffer(WORDS * 4)) {
  return new Int32Array(memory);
}

/** The main thread's side. */
class Phase {
  constructor() {
    this.words = words();
    this.depth = 0; // of shields within shields
  }

  /** A cell begins, and may be terminated from here on. */
  begin(cell) {
    Atomics.store(this.words, CELL, cell | 0);
    Atomics.store(this.words, PHASE, RUNNING);
  }

  /** The cell has ended. Call it shielded. */
  end() {
    Atomics.store(this.words, CELL, 0);
    Atomics.store(this.words, PHASE, IDLE);
  }

  /** Whether the cell of this number is to be interrupted. */
  isInterrupted(cell) {
    return Atomics.load(this.words, INTERRUPTED) === (cell | 0);
  }

  /** Calls a function of the runner's that must not be cut off. */
  shield(work) {
    if (this.depth === 0) {
      while (Atomics.compareExchange(this.words, PHASE, RUNNING, SHIELDED) === TERMINATING);
    }
    this.depth += 1;
    try {
      return work();
    } finally {
      this.depth -= 1;
      if (this.depth === 0) Atomics.compareExchange(this.words, PHASE, SHIELDED, RUNNING);
    }
  }

  /** Sleeps until a count of the receiver's is no longer `seen`; terminated cells wake up. */
  waitForChange(place, seen) {
    Atomics.wait(this.words, place, seen);
  }
}

module.exports = {
  Phase, words, RUNNING, TERMINATING, PHASE, CELL, INTERRUPTED, ACKS, INPUTS,
};
