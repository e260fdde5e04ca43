// Random ids, for cells and for requests that may be sent again.

/** 16 hexadecimal digits. */
export function randomId(): string {
  return Array.from(randomBytes(), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function randomBytes(): Uint8Array {
  const bytes = new Uint8Array(8);
  // Node 18 has no global `crypto`. An id need not be hard to guess: it only has to differ from the session's others.
  if (globalThis.crypto) return crypto.getRandomValues(bytes);
  return bytes.map(() => Math.floor(Math.random() * 256));
}
