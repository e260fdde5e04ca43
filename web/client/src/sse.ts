// Server-sent events of a response, as the HTML standard has them.

/** A gateway says at least a comment every 15 s: a connection that is silent for longer is dead. */
const SILENCE_MS = 60_000;

/** The connection of a stream broke, or ended. Where it was cut is of no matter: half an event is left out. */
export class StreamBroke extends Error {}

/**
 * The events of a response, in their order; throws `StreamBroke` when its connection breaks, and ends when it ends. A
 * reader that leaves early closes the connection. Events are read no faster than they are asked for.
 */
export async function* eventsOf<Event>(response: Response): AsyncGenerator<Event> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    while (true) {
      const part = await readPart(reader);
      if (!part) return;
      // An event ends with an empty line, and the gateway sends \n alone. What was searched has none.
      let begin = 0;
      let end = Math.max(0, text.length - 1);
      text += decoder.decode(part, { stream: true });
      while ((end = text.indexOf("\n\n", end)) >= 0) {
        const data = dataOf(text.slice(begin, end));
        begin = end += 2;
        if (data) yield JSON.parse(data) as Event;
      }
      text = text.slice(begin);
    }
  } finally {
    // Already broken connections cannot be closed.
    reader.cancel().catch(() => {});
  }
}

/** What stands in the lines `data:` of an event. */
function dataOf(event: string): string {
  const lines = event.split("\n").filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(line[5] === " " ? 6 : 5)).join("\n");
}

async function readPart(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silent = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new StreamBroke(`the gateway was silent for ${SILENCE_MS / 1000} s`)), SILENCE_MS);
  });
  try {
    const { done, value } = await Promise.race([reader.read(), silent]);
    return done ? undefined : value;
  } catch (cause) {
    throw cause instanceof StreamBroke ? cause : new StreamBroke("the connection broke", { cause });
  } finally {
    clearTimeout(timer);
  }
}
