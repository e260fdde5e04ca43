// The parts of examples/chat that need no gateway and no browser: the log, the code of a tool call while it arrives, and
// the conversation with an API, before a server that sends its chunks cut at odd places.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { Outcome } from "../../dist/client/index.js";
import { ApiModel } from "../../../examples/chat/api.mjs";
import { CodeStream } from "../../../examples/chat/codestream.mjs";
import { EventLog } from "../../../examples/chat/log.mjs";
import { ScriptedModel } from "../../../examples/chat/scripted.mjs";

const CODE = 'print("a\\n", \'\\u00e9\', {"code": 1})  # é 🦀 \\ /\n\tx = [1, 2]\n';

test("the code of a tool call is decoded wherever its JSON is cut", () => {
  const escaped = JSON.stringify({ code: CODE }).replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const forms = [
    JSON.stringify({ code: CODE }), escaped, JSON.stringify({ code: CODE }, null, 2),
    `{"why": "a \\"code\\": \\u0022x", "nested": {"code": "no", "list": ["code", {"code": "no"}]}, "code" : ${JSON.stringify(CODE)}, "after": "code"}`,
  ];
  for (const json of forms) {
    assert.equal(JSON.parse(json).code, CODE);
    for (let cut = 0; cut <= json.length; cut += 1) {
      const stream = new CodeStream();
      const parts = [stream.push(json.slice(0, cut)), stream.push(json.slice(cut))];
      assert.equal(parts.join(""), CODE, `cut at ${cut} of ${json}`);
      for (const part of parts) assert.ok(part.isWellFormed(), `half a character at ${cut} of ${json}`);
    }
    const stream = new CodeStream();
    assert.equal(json.split("").map((unit) => stream.push(unit)).join(""), CODE, "cut everywhere");
  }
  assert.equal(new CodeStream().push('{"code": "a\\ud83d"}'), "a\ufffd", "half a pair");
  assert.equal(new CodeStream().push('{"code": "\\ud83d\\ud83e\\udd80"}'), "\ufffd🦀", "half a pair before a whole one");
  assert.equal(new CodeStream().push('{"language": "python"}'), "", "no code");
});

test("a log gives each reader every event once, whenever it comes", async () => {
  const log = new EventLog();
  const numbers = [];
  const read = async (from) => {
    const seen = [];
    for await (const event of log.after(from, new AbortController().signal)) if (event) seen.push(event[0]);
    numbers.push(seen);
  };
  log.append({ at: 1 });
  const readers = [read(0), read(1)];
  await new Promise((resolve) => setImmediate(resolve));
  log.append({ at: 2 });
  log.append({ at: 3 });
  readers.push(read(2));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(log.readers, 3);
  log.append({ at: 4 });
  log.close();
  await Promise.all(readers);
  assert.deepEqual(numbers.sort((a, b) => b.length - a.length), [[1, 2, 3, 4], [2, 3, 4], [3, 4]]);
  assert.equal(log.readers, 0);
  const left = new AbortController();
  const waiting = new EventLog().after(0, left.signal);
  await waiting.next();
  const end = waiting.next();
  left.abort();
  assert.equal((await end).done, true, "a reader that leaves");
});

// --- the API ---------------------------------------------------------------------------------------------------

/** What the server answers, one for each request: chunks, a function of the response, or a status with a body. */
let answers = [];
let asked = [];
let api;

before(async () => {
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    asked.push({ path: request.url, key: request.headers.authorization, ...JSON.parse(Buffer.concat(parts)) });
    const given = answers.shift();
    if (typeof given === "function") return void given(response);
    response.writeHead(200, { "content-type": "text/event-stream" });
    const bytes = Buffer.from(`${given.map((chunk) => `data: ${JSON.stringify(chunk)}\r\n\r\n`).join("")}: a comment\n\ndata: [DONE]\n\n`);
    // 7 bytes at a time: within lines, JSON and characters.
    for (let at = 0; at < bytes.length; at += 7) {
      response.write(bytes.subarray(at, at + 7));
      if (at % 70 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  api = { server, base: `http://127.0.0.1:${server.address().port}/v1/` };
});
after(() => api.server.closeAllConnections() || api.server.close());

const said = (content) => ({ choices: [{ index: 0, delta: { content } }] });
const called = (index, more) => ({ choices: [{ index: 0, delta: { tool_calls: [{ index, ...more }] } }] });
const ended = (finish_reason) => ({ choices: [{ index: 0, delta: {}, finish_reason }] });
const usage = { choices: [], usage: { total_tokens: 7 } };

/** The chunks of a call of run_python, its arguments three characters at a time. */
function callOf(index, id, code) {
  const json = JSON.stringify({ code });
  return [
    called(index, { id, type: "function", function: { name: "run_python", arguments: "" } }),
    ...json.match(/[\s\S]{1,3}/g).map((part) => called(index, { function: { arguments: part } })),
  ];
}

const PNG = Buffer.from("a picture").toString("base64");
const outcomeOf = (fields) => new Outcome({
  id: "1", status: "ok", ok: true, stdout: "", stderr: "", result: undefined, displays: [], error: undefined, truncated: [], stateKept: true, ...fields,
});

const modelOf = (more = {}) => {
  asked = [];
  return new ApiModel({ key: "a key", base: api.base, name: "some-model", ...more });
};

/** Plays an answer; answers its text, its code by cells, and what was run. */
async function play(conversation, text, { outcomes = [], signal = new AbortController().signal, onStep = () => {} } = {}) {
  const seen = { text: "", code: {}, ran: [] };
  const steps = conversation.answer(text, signal);
  let outcome;
  try {
    while (true) {
      const { done, value } = await steps.next(outcome);
      outcome = undefined;
      if (done) return seen;
      if (value.type === "text") seen.text += value.text;
      else if (value.type === "code") seen.code[value.cell] = (seen.code[value.cell] ?? "") + value.text;
      else {
        seen.ran.push([value.cell, value.code]);
        outcome = { isFresh: false, ...outcomes.shift() };
      }
      await onStep(value);
    }
  } finally {
    await steps.return();
  }
}

test("an API's text and tool calls stream, its code runs, and it is told what came of it", async () => {
  answers = [
    [said("Zuerst é "), said("🦀:"), ...callOf(0, "one", CODE), ...callOf(1, "two", "y = 2"), ended("tool_calls"), usage],
    [said("It is 42."), ended("stop")],
    [said("Again."), ended("stop")],
  ];
  const conversation = modelOf().open();
  const outcomes = [
    { outcome: outcomeOf({ stdout: "\x1b[31m42\x1b[0m\n", displays: [{ data: { "image/png": PNG, "text/plain": "a figure" }, metadata: {} }] }) },
    { outcome: outcomeOf({ result: { "text/plain": "2" } }), isFresh: true },
  ];
  const seen = await play(conversation, "How much?", { outcomes });
  assert.deepEqual(seen, { text: "Zuerst é 🦀:It is 42.", code: { 1: CODE, 2: "y = 2" }, ran: [[1, CODE], [2, "y = 2"]] });
  assert.deepEqual(asked.map(({ path, key, model, stream, tools }) => [path, key, model, stream, tools[0].function.name]),
    Array(2).fill(["/v1/chat/completions", "Bearer a key", "some-model", true, "run_python"]));
  const [system, person, assistant, first, second, pictures] = asked[1].messages;
  assert.equal(system.role, "system");
  assert.deepEqual(person, { role: "user", content: "How much?" });
  assert.deepEqual([assistant.content, assistant.tool_calls.map(({ id, function: { arguments: json } }) => [id, JSON.parse(json).code])], ["Zuerst é 🦀:", [["one", CODE], ["two", "y = 2"]]]);
  assert.deepEqual(first, { role: "tool", tool_call_id: "one", content: "42\n[a picture: image/png]" });
  assert.match(second.content, /^\[a new session was begun.*\]\n2$/);
  assert.deepEqual(pictures.content[1], { type: "image_url", image_url: { url: `data:image/png;base64,${PNG}` } });
  await play(conversation, "And again?");
  assert.deepEqual(asked[2].messages.map(({ role }) => role), ["system", "user", "assistant", "tool", "tool", "user", "assistant", "user"]);
});

test("without pictures, with whole calls, and with calls that cannot be run", async () => {
  answers = [
    [{ choices: [{ delta: { tool_calls: [
      { id: "a", function: { name: "run_python", arguments: '{"code": "1"}' } },
      { id: "b", function: { name: "search", arguments: "{}" } },
      { id: "c", function: { name: "run_python", arguments: "print(1)" } },
    ] }, finish_reason: "tool_calls" }] }],
    [said("Well."), ended("stop")],
  ];
  const picture = outcomeOf({ displays: [{ data: { "image/png": PNG }, metadata: {} }] });
  const seen = await play(modelOf({ seesPictures: false }).open(), "Go", { outcomes: [{ outcome: picture }] });
  assert.deepEqual(seen.ran, [[1, "1"]]);
  const told = asked[1].messages.slice(3);
  assert.deepEqual(told.map(({ role, tool_call_id }) => [role, tool_call_id]), [["tool", "a"], ["tool", "b"], ["tool", "c"]]);
  assert.match(told[1].content, /no tool search/);
  assert.match(told[2].content, /not JSON/);
});

test("what goes wrong is told with what to do next, and the message can be sent again", async () => {
  const refused = (status, body) => (response) => response.writeHead(status).end(body);
  const cut = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(`data: ${JSON.stringify(said("Half"))}\n\n`);
  };
  const cases = [
    [refused(401, '{"error": {"message": "bad key"}}'), /bad key.*OPENAI_API_KEY/],
    [refused(404, "not here"), /not here.*OPENAI_MODEL.*OPENAI_BASE_URL/],
    [refused(429, "{}"), /Wait a moment/],
    [refused(500, ""), /again in a moment/],
    [refused(200, "<html>"), /broke off.*OPENAI_BASE_URL/],
    [cut, /broke off/],
    [(response) => response.writeHead(200).end("data: {broken\n\n"), /something else than JSON/],
    [(response) => response.destroy(), /cannot be reached/],
    [[{ error: { message: "overloaded" } }], /overloaded/],
    [[said("x"), ended("length")], /longer than its API allows/],
  ];
  for (const [given, words] of cases) {
    answers = [given];
    await assert.rejects(play(modelOf().open(), "Go"), words);
  }
  answers = [refused(500, ""), [said("Here."), ended("stop")]];
  const conversation = modelOf().open();
  await assert.rejects(play(conversation, "Go"), /HTTP 500/);
  await play(conversation, "Go");
  assert.deepEqual(asked[1].messages.map(({ role }) => role), ["system", "user"], "the message is there twice");
  answers = [() => {}];
  await assert.rejects(play(modelOf({ silenceMs: 50 }).open(), "Go"), /said nothing for 0.05 seconds/);
  await assert.rejects(play(new ApiModel({ key: "k", base: "http://127.0.0.1:9", name: "m" }).open(), "Go"), /127\.0\.0\.1:9.*OPENAI_BASE_URL/);
});

test("an answer that is stopped leaves a conversation that goes on", async () => {
  const stopping = new AbortController();
  answers = [
    [...callOf(0, "one", "1"), ...callOf(1, "two", "2"), ended("tool_calls")],
    [said("Good."), ended("stop")],
  ];
  const conversation = modelOf().open();
  const outcome = outcomeOf({ status: "interrupted", ok: false });
  const onStep = (step) => {
    if (step.type !== "run") return;
    stopping.abort();
    throw stopping.signal.reason; // what runs it stops
  };
  await assert.rejects(play(conversation, "Go", { signal: stopping.signal, outcomes: [{ outcome }], onStep }), { name: "AbortError" });
  await play(conversation, "Go on");
  const messages = asked[1].messages.slice(1);
  assert.deepEqual(messages.map(({ role, tool_call_id }) => tool_call_id ?? role), ["user", "assistant", "one", "two", "user"]);
  assert.match(messages[2].content, /stopped/);
});

test("the scripted model reads what its code has printed", async () => {
  const found = "largest gap: 36 after 9551\nmost frequent gap: 6\nmatplotlib: no\n";
  const seen = await play(new ScriptedModel().open(), "How far apart are the primes below 10,000?", {
    outcomes: [{ outcome: outcomeOf({ stdout: found }) }, { outcome: outcomeOf({}) }],
  });
  assert.match(seen.text, /\*\*36\*\* apart: 36 after 9551/);
  assert.match(seen.code[2], /_repr_svg_/);
  const failed = await play(new ScriptedModel().open(), "How far apart are the primes below 10,000?", {
    outcomes: [{ outcome: outcomeOf({ status: "error", ok: false, error: { name: "MemoryError", value: "", traceback: ["MemoryError"] } }) }],
  });
  assert.match(failed.text, /\*\*error\*\*[\s\S]*MemoryError/);
  const own = await play(new ScriptedModel().open(), "```python\na = 1\n```\nand\n```\na + 1\n```", { outcomes: [{ outcome: outcomeOf({}) }, { outcome: outcomeOf({}) }] });
  assert.deepEqual(own.ran, [[1, "a = 1"], [2, "a + 1"]]);
});
