// A model behind an API that is compatible with OpenAI's chat completions: it streams text and calls of the tool
// `run_python`, whose code is shown while it is being written. What came of the code goes back as text, and its pictures
// as parts of a message.

import { CodeStream } from "./codestream.mjs";

const SYSTEM = `You answer in a chat and can run Python with the tool run_python. Its session keeps variables, imports and files between calls. It has no network. The person sees your code, its output and its plots while they come, so do not repeat them; say what they mean. Use matplotlib for plots if it is installed. Write short paragraphs in simple Markdown: bold, code, lists.`;

const TOOLS = [{
  type: "function",
  function: {
    name: "run_python",
    description: "Runs Python code. Variables, imports and files stay for later calls. Answers what it printed and the value of the last expression; plots are shown.",
    parameters: { type: "object", properties: { code: { type: "string", description: "The code to run." } }, required: ["code"], additionalProperties: false },
  },
}];

const MAX_STEPS = 12; // requests for one answer
const OUTPUT_CHARACTERS = 8_000; // of one cell, for the model
const HISTORY_CHARACTERS = 120_000; // older messages of people are left out with all that followed them
const PICTURES = 4; // of one cell
const PICTURE_BYTES = 1_000_000; // of one picture
const PICTURE_CHARACTERS = 4_000; // what a picture counts as
const SILENCE_MS = 120_000; // of the API, after which it is given up

/** What the API said, or did not say, with what to do next. */
export class ModelFailed extends Error {}

export class ApiModel {
  isScripted = false;
  suggestions = ["Plot a sine wave and a cosine that fades", "Simulate 10,000 rolls of two dice and show how often each sum comes", "Which Python is this, and which packages are installed?"];

  constructor({ key, base, name, seesPictures = true, silenceMs = SILENCE_MS }) {
    Object.assign(this, { key, url: `${base.replace(/\/+$/, "")}/chat/completions`, name, seesPictures, silenceMs });
  }

  open() { return new ApiConversation(this); }

  /** Asks for the next message; iterates over the objects that the API streams. */
  async *stream(messages, signal) {
    const silence = new AbortController();
    const given = AbortSignal.any([signal, silence.signal]);
    let timer;
    const wait = () => { clearTimeout(timer); timer = setTimeout(() => silence.abort(), this.silenceMs); };
    try {
      wait();
      const response = await fetch(this.url, {
        method: "POST",
        headers: { "content-type": "application/json", accept: "text/event-stream", authorization: `Bearer ${this.key}` },
        body: JSON.stringify({ model: this.name, messages, tools: TOOLS, stream: true }),
        signal: given,
      });
      if (!response.ok) throw new ModelFailed(refusal(response.status, await response.text(), this));
      for await (const data of dataLines(response.body, wait)) {
        if (data === "[DONE]") return;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new ModelFailed(`The model's API broke off: ${chunk.error.message ?? JSON.stringify(chunk.error)}. Send the message again.`);
        yield chunk;
      }
    } catch (error) {
      if (signal.aborted || error instanceof ModelFailed) throw error;
      if (silence.signal.aborted) throw new ModelFailed(`The model said nothing for ${this.silenceMs / 1000} seconds. Send the message again.`);
      if (error instanceof SyntaxError) throw new ModelFailed(`${this.url} sent something else than JSON. Check OPENAI_BASE_URL.`);
      throw new ModelFailed(`The model's API cannot be reached at ${this.url}: ${error.cause?.message || error.message}. Check OPENAI_BASE_URL and the network, and send the message again.`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }
}

class ApiConversation {
  #model;
  /** Each message of a person with all that followed it. */
  #turns = [];

  constructor(model) { this.#model = model; }

  async *answer(text, signal) {
    const turn = [{ role: "user", content: text }];
    this.#turns.push(turn);
    let cells = 0;
    try {
      for (let step = 1; step <= MAX_STEPS; step += 1) {
        const reply = yield* this.#reply(turn, cells, signal);
        if (reply.calls.length === 0) return;
        const pictures = [];
        for (const call of reply.calls) {
          const ran = yield* run(call, cells += 1);
          turn.push({ role: "tool", tool_call_id: call.id, content: ran.text });
          pictures.push(...ran.pictures);
        }
        if (pictures.length > 0 && this.#model.seesPictures) {
          turn.push({ role: "user", content: [{ type: "text", text: "These are the pictures that the code showed:" }, ...pictures] });
        }
      }
      yield { type: "text", text: `\n\nI have used the tool ${MAX_STEPS} times, which is the most for one answer. Say "go on" if I should.` };
    } finally {
      complete(turn, signal.aborted);
      // A message without any answer is sent again by the person.
      if (turn.length === 1) this.#turns.pop();
    }
  }

  /** Has the model say its next message, and adds it to the turn. Answers the tool calls in it. */
  async *#reply(turn, cells, signal) {
    const calls = [];
    let content = "";
    let finish;
    try {
      for await (const chunk of this.#model.stream(this.#messages(), signal)) {
        const [choice] = chunk.choices ?? [];
        if (!choice) continue; // such as the usage
        const { delta = {}, finish_reason } = choice;
        finish = finish_reason ?? finish;
        if (delta.content) {
          content += delta.content;
          yield { type: "text", text: delta.content };
        }
        for (const piece of delta.tool_calls ?? []) {
          const call = callOf(calls, piece);
          const added = call.code.push(piece.function?.arguments ?? "");
          if (added) yield { type: "code", cell: cells + call.number, text: added };
        }
      }
    } finally {
      // What was broken off has no whole calls.
      if (finish === undefined) calls.length = 0;
      if (content || calls.length > 0) {
        const tool_calls = calls.map(({ id, name, json }) => ({ id, type: "function", function: { name, arguments: json } }));
        turn.push({ role: "assistant", content: content || null, ...(calls.length > 0 && { tool_calls }) });
      }
    }
    if (finish === undefined) throw new ModelFailed("The model's answer broke off. Send the message again; if this stays so, check that OPENAI_BASE_URL names an API that streams chat completions.");
    if (finish === "length") throw new ModelFailed("The model's answer is longer than its API allows, and ends here. Ask for a shorter one.");
    if (finish === "content_filter") throw new ModelFailed("The model's API withheld the answer by its content filter. Ask in other words.");
    return { calls };
  }

  /** What the model is asked with: as many of the newest turns as fit. */
  #messages() {
    while (this.#turns.length > 1 && size(this.#turns) > HISTORY_CHARACTERS) this.#turns.shift();
    return [{ role: "system", content: SYSTEM }, ...this.#turns.flat()];
  }
}

/** Runs the code of a tool call. Answers what the model is told of it, and its pictures as parts of a message. */
async function* run(call, cell) {
  const nothing = (text) => ({ text, pictures: [] });
  if (call.name !== "run_python") return nothing(`There is no tool ${call.name}; use run_python.`);
  let code;
  try {
    ({ code } = JSON.parse(call.json));
  } catch {
    // Told below.
  }
  if (typeof code !== "string") return nothing('The arguments are not JSON of the form {"code": "…"}; nothing was run.');
  const { outcome, isFresh } = yield { type: "run", cell, code };
  const text = outcome.forModel(OUTPUT_CHARACTERS);
  return {
    text: isFresh ? `[a new session was begun before this: variables and files of before are gone]\n${text}` : text,
    pictures: outcome.results.flatMap(pictureOf).slice(0, PICTURES),
  };
}

function pictureOf({ png, jpeg }) {
  const bytes = png ?? jpeg;
  if (!bytes || bytes.length > PICTURE_BYTES) return [];
  const url = `data:image/${png ? "png" : "jpeg"};base64,${Buffer.from(bytes).toString("base64")}`;
  return [{ type: "image_url", image_url: { url } }];
}

/** The call that a piece belongs to. Some APIs send no index, and each call as a whole. */
function callOf(calls, piece) {
  const index = piece.index ?? (piece.id ? calls.length : calls.length - 1);
  let call = calls.find((one) => one.index === index);
  if (!call) {
    call = { index, number: calls.length + 1, id: piece.id ?? `call_${index}`, name: "", json: "", code: new CodeStream() };
    calls.push(call);
  }
  call.name += piece.function?.name ?? "";
  call.json += piece.function?.arguments ?? "";
  return call;
}

/** Adds what an API wants to see after a message with calls: a result of each. */
function complete(turn, isStopped) {
  const answered = new Set(turn.map((message) => message.tool_call_id));
  const calls = turn.flatMap((message) => message.tool_calls ?? []);
  const why = isStopped ? "[the person has stopped the answer; this did not run to its end]" : "[this could not be run]";
  for (const { id } of calls) if (!answered.has(id)) turn.push({ role: "tool", tool_call_id: id, content: why });
}

function size(turns) {
  return JSON.stringify(turns, (key, value) => (key === "image_url" ? "#".repeat(PICTURE_CHARACTERS) : value)).length;
}

function refusal(status, body, { name }) {
  let said = body.slice(0, 300);
  try {
    said = JSON.parse(body).error.message;
  } catch {
    // It is no JSON of the usual form: shown as it is.
  }
  const advice = { 401: "Check OPENAI_API_KEY.", 403: "Check what OPENAI_API_KEY may do.", 404: `Check OPENAI_MODEL (${name}) and OPENAI_BASE_URL.`, 429: "Wait a moment, or check the account's quota, and send the message again." };
  return `The model's API refused (HTTP ${status}): ${said || "it gave no reason"} ${advice[status] ?? (status >= 500 ? "Send the message again in a moment." : `Check whether the model ${name} has tools${status === 400 ? ", and set OPENAI_PICTURES=0 if it takes no pictures" : ""}.`)}`;
}

/** The values of the lines `data:` of a stream of server-sent events, wherever its chunks are cut. */
async function* dataLines(body, onChunk) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    onChunk();
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop();
    yield* lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).filter(Boolean);
  }
}
