// Flow control: says `ack` often enough that output never stops for want of credit, and seldom
// enough that it costs nothing.
//
// With `auto`, an event is acknowledged when all handlers and iterators have taken it in; so a
// program that iterates slowly slows the cell down instead of filling its memory. With `manual`
// the owner says how far it has come: a page, once it has drawn.

const SHARE = 4; // an ack is due when a quarter of the window is used
const FLUSH_MS = 200; // and at the latest so long after an event was taken in
const DEFAULT_WINDOW = 1 << 20; // if `ready.limits.window_bytes` is not given

export class Credit {
  #window = DEFAULT_WINDOW;
  #delivered: { seq: number; bytes: number }[] = [];
  #taken = 0;
  #takenBytes = 0;
  #acked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #send: (seq: number) => void;

  constructor(send: (seq: number) => void) {
    this.#send = send;
  }

  /** A new socket: what the window is, and that nothing is outstanding on it. */
  begin(windowBytes: number | undefined, seq: number): void {
    this.#window = windowBytes ?? DEFAULT_WINDOW;
    this.#delivered = [];
    this.#takenBytes = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // The first ack turns flow control on.
    this.#acked = this.#taken = seq;
    this.#send(seq);
  }

  /** An event came in. */
  delivered(seq: number, bytes: number): void {
    this.#delivered.push({ seq, bytes });
  }

  /** Everything up to `seq` was taken in. */
  taken(seq: number): void {
    if (seq <= this.#taken) return;
    this.#taken = seq;
    let count = 0;
    while (count < this.#delivered.length && this.#delivered[count]!.seq <= seq) {
      this.#takenBytes += this.#delivered[count]!.bytes;
      count += 1;
    }
    this.#delivered.splice(0, count);
    if (this.#takenBytes * SHARE >= this.#window) this.#flush();
    else this.#timer ??= unrefed(setTimeout(() => this.#flush(), FLUSH_MS));
  }

  /** Stops for good. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#takenBytes = 0;
    if (this.#taken === this.#acked) return;
    this.#acked = this.#taken;
    this.#send(this.#taken);
  }
}

/** In Node, keeps a timer from holding the process up. */
function unrefed(timer: ReturnType<typeof setTimeout>): ReturnType<typeof setTimeout> {
  (timer as { unref?: () => void }).unref?.();
  return timer;
}
