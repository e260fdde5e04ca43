// The frames between supervisor and runner, as `driver/src/wire.rs` defines them.

const HEADER_BYTES = 12;
const MAX_PAYLOAD = 64 << 10;

const kind = {
  EXECUTE: 0x02, INPUT: 0x04, REQUEST: 0x06, PIPES: 0x10, ACK: 0x11,
  READY: 0x82, MESSAGE: 0x84, DONE: 0x85, REPLY: 0x88, SYNC: 0x90,
};
const flag = { MORE: 1, SYNC: 8, BUSY: 16 };
const outcome = { OK: 0, ERROR: 1, INTERRUPTED: 2 };

function header(length, kindOfFrame, flags, cell) {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32LE(length, 0);
  bytes[4] = kindOfFrame;
  bytes[5] = flags;
  bytes.writeUInt32LE(cell, 8);
  return bytes;
}

/** A message as the frames that it needs. */
function encode(kindOfFrame, flags, cell, payload = Buffer.alloc(0)) {
  const parts = [];
  let at = 0;
  for (; payload.length - at > MAX_PAYLOAD; at += MAX_PAYLOAD) {
    parts.push(header(MAX_PAYLOAD, kindOfFrame, (flags & ~flag.SYNC) | flag.MORE, cell));
    parts.push(payload.subarray(at, at + MAX_PAYLOAD));
  }
  parts.push(header(payload.length - at, kindOfFrame, flags, cell), payload.subarray(at));
  return Buffer.concat(parts);
}

/** Joins the bytes of a socket to messages `{kind, cell, payload}`. */
class Parser {
  constructor() {
    this.rest = Buffer.alloc(0);
    this.fragments = [];
  }

  /** The messages that are complete with these bytes. */
  feed(chunk) {
    let data = this.rest.length ? Buffer.concat([this.rest, chunk]) : chunk;
    const messages = [];
    while (data.length >= HEADER_BYTES) {
      const length = data.readUInt32LE(0);
      if (length > MAX_PAYLOAD) throw new Error(`a frame of ${length} bytes`);
      const end = HEADER_BYTES + length;
      if (data.length < end) break;
      this.fragments.push(data.subarray(HEADER_BYTES, end));
      if (!(data[5] & flag.MORE)) {
        const payload = Buffer.concat(this.fragments);
        this.fragments = [];
        messages.push({ kind: data[4], cell: data.readUInt32LE(8), payload });
      }
      data = data.subarray(end);
    }
    this.rest = Buffer.from(data);
    return messages;
  }
}

module.exports = { kind, flag, outcome, encode, Parser };
