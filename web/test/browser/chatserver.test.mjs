// The server of examples/chat: gateways and sessions that end, a model of an API, its bounds, and its program.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { answered, cell, fence, flags, output, say, skip, stage, status, the, transcript } from "./chat.mjs";

stage();

/** A gateway at an address of its own, which is started by somebody else than the server. */
class NamedGateway {
  token = "a-token-of-the-tests-0123456789";

  static async start(port) {
    const named = new NamedGateway();
    named.port = port;
    await named.#start();
    return named;
  }

  async #start() {
    const command = ["serve", "--listen", `127.0.0.1:${this.port}`, "--drain-timeout", "1s", ...flags];
    const { CELLGATE_BINARY: program, ...env } = process.env;
    this.process = spawn(program, command, { env: { ...env, CELLGATE_TOKEN: this.token }, stdio: ["ignore", "pipe", "inherit"] });
    this.exited = once(this.process, "exit");
    const started = await Promise.race([once(this.process.stdout, "data").then(() => true), this.exited.then(() => false)]);
    assert.ok(started, "the gateway does not start; what it printed stands above");
  }

  async stop() {
    this.process.kill("SIGKILL");
    await this.exited;
  }

  async startAgain() {
    await this.stop();
    await this.#start();
  }
}

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

test("a gateway that ends in mid-cell and one that ends between messages are told, and the chat goes on", { skip }, async () => {
  await say(fence("kept = 1\nprint('first')"));
  await answered(1);
  await say(fence("import time\nprint('runs')\ntime.sleep(60)"));
  await output(2, "runs");
  const first = the.gateway;
  process.kill(-first.pid, "SIGKILL");
  await answered(2);
  await status(2, "lost");
  await the.page.locator(".problem", { hasText: "variables and files are gone. Send the message again" }).waitFor();
  assert.equal(await the.page.getByRole("button", { name: "Send again" }).count(), 1);
  await say(fence("print('kept' in globals())"));
  await output(3, "False");
  assert.notEqual(the.gateway, first, "a gateway was started anew");
  await answered(3);
  process.kill(-the.gateway.pid, "SIGKILL");
  await say(fence("print('runs', 'again')"));
  await output(4, "runs again");
  await the.page.locator(".note", { hasText: "variables and files of before are gone. The code runs in a new one." }).waitFor();
});

test("a session that has ended is told, as is a gateway that is not there", { skip }, async () => {
  await say(fence("kept = 1"));
  await answered(1);
  const [session] = await the.gateway.client().sessions.list();
  await the.gateway.client().sessions.end(session.id);
  await say(fence("print('kept' in globals())"));
  await output(2, "False");
  await the.page.locator(".note", { hasText: "The session of this chat had ended" }).waitFor();
  await answered(2);
  await the.server.close();
  the.server = await the.example.startServer({ gateway: new the.example.GatewayKeeper({ url: "http://127.0.0.1:9", token: "x" }) });
  the.page = await the.open();
  await say(fence("1"));
  await the.page.locator(".problem", { hasText: "no gateway answers at http://127.0.0.1:9" }).waitFor();
  await the.page.getByRole("button", { name: "Send again" }).click();
  await answered(2);
  assert.equal(await the.page.locator(".words", { hasText: /^1$/ }).count(), 2);
  assert.equal(await the.page.getByRole("button", { name: "Send again" }).count(), 1, "only below the newest");
});

test("a named gateway that is started again at its address is told, in mid-cell and between messages", { skip }, async () => {
  await the.server.close();
  const port = await freePort();
  const named = await NamedGateway.start(port);
  try {
    the.server = await the.example.startServer({ gateway: new the.example.GatewayKeeper({ url: `http://127.0.0.1:${port}`, token: named.token }) });
    the.page = await the.open();
    await say(fence("kept = 1\nimport time\nprint('runs')\ntime.sleep(60)"));
    await output(1, "runs");
    await named.startAgain();
    await the.page.locator(".problem", { hasText: "The gateway has ended the session of this chat while the code ran" }).waitFor();
    await say(fence("print('kept' in globals())"));
    await output(2, "False");
    await answered(2);
    await named.startAgain();
    await say(fence("print('runs', 'again')"));
    await output(3, "runs again");
    await the.page.locator(".note", { hasText: "The session of this chat had ended" }).waitFor();
  } finally {
    await named.stop();
  }
});

test("a model of an API writes code, reads its output and sees its pictures", { skip }, async () => {
  const asked = [];
  const code = "import base64\nclass Dot:\n    def _repr_png_(self): return base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==')\nprint('6 * 7 =', 6 * 7)\nDot()";
  const call = { id: "one", type: "function", function: { name: "run_python", arguments: JSON.stringify({ code }) } };
  const answers = [[{ content: "I run " }, { content: "this:" }, { tool_calls: [{ index: 0, ...call }] }], [{ content: "It is **42**.\n\n- <b>one</b>\n- two" }]];
  const api = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    asked.push(JSON.parse(Buffer.concat(parts)));
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const delta of answers.shift()) response.write(`data: ${JSON.stringify({ choices: [{ delta }] })}\n\n`);
    response.end(`data: ${JSON.stringify({ choices: [{ delta: {}, finish_reason: "stop" }] })}\n\ndata: [DONE]\n\n`);
  });
  await new Promise((resolve) => api.listen(0, "127.0.0.1", resolve));
  try {
    await the.server.close();
    const model = the.example.chooseModel({ OPENAI_API_KEY: "key", OPENAI_BASE_URL: `http://127.0.0.1:${api.address().port}/v1`, OPENAI_MODEL: "some-model" });
    await the.serve({}, model);
    the.page = await the.open("/", {}, "some-model");
    await say("What is 6 * 7?");
    await answered(1);
    assert.equal(await the.page.locator(".problem").count(), 0, await transcript());
    assert.equal(await cell(1).locator(".code").textContent(), code);
    await the.page.waitForFunction(() => document.querySelector(".output img")?.naturalWidth === 1);
    assert.deepEqual(await the.page.locator(".answer .prose li").allTextContents(), ["<b>one</b>", "two"]);
    const [, , , tool, pictures] = asked[1].messages;
    assert.match(tool.content, /^6 \* 7 = 42\n\[a picture: image\/png\]/);
    assert.match(pictures.content[1].image_url.url, /^data:image\/png;base64,iVBOR/);
  } finally {
    api.close();
  }
});

test("starts from a shell, and takes its gateway along when it ends", { skip }, async () => {
  const settings = { PORT: "0", OPENAI_API_KEY: "", CELLGATE_BACKEND: flags[flags.indexOf("--backend") + 1] };
  const program = spawn(process.execPath, ["server.mjs"], { cwd: the.example.place, env: { ...process.env, ...settings }, stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(program, "exit");
  const [line] = await Promise.race([once(program.stdout.setEncoding("utf8"), "data"), ended]);
  const [, url] = /^(http\S+) .*scripted model/.exec(line) ?? assert.fail(`it printed ${line}`);
  const ask = (path, body) => fetch(url + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const { id } = await (await ask("/api/chats", {})).json();
  await ask(`/api/chats/${id}/messages`, { text: fence("import os\nprint('here')\nwhile True: pass") });
  const reader = (await fetch(`${url}/api/chats/${id}/events`)).body.pipeThrough(new TextDecoderStream());
  let told = "";
  for await (const text of reader) {
    told += text;
    if (program.exitCode === null && !program.killed && /"stdout".*here/.test(told)) program.kill("SIGTERM");
  }
  assert.match(told, /"type":"closed","text":"The server was stopped/);
  assert.deepEqual(await ended, [0, null]);
});

test("chats end when they are idle, and make room; what is too much is refused", { skip }, async () => {
  await the.server.close();
  await the.serve({ idleMs: 1500, message: 40, chats: 1 });
  the.page = await the.open();
  await say(fence("kept = 1"));
  await answered(1);
  await the.page.locator(".note", { hasText: "this chat has ended: its variables and files are gone" }).waitFor();
  assert.equal(await the.page.getByRole("textbox", { name: "Message" }).isDisabled(), true);
  assert.deepEqual(await the.gateway.client().sessions.list(), [], "the session has ended with its chat");
  await the.page.reload();
  await the.page.locator("#trouble", { hasText: "This chat is over" }).waitFor();
  await the.page.getByRole("button", { name: "New chat" }).click();
  await the.page.locator("#start").waitFor();

  const ask = (path, body, headers) => fetch(the.server.url + path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const { id } = await (await ask("/api/chats", {})).json();
  assert.equal((await ask(`/api/chats/${id}/messages`, { text: "x".repeat(41) })).status, 413);
  assert.equal((await ask(`/api/chats/${id}/messages`, { text: " " })).status, 400);
  assert.equal((await ask(`/api/chats/${id}/messages`, { text: fence("while True: pass") })).status, 202);
  assert.equal((await ask(`/api/chats/${id}/messages`, { text: "more" })).status, 409);
  assert.equal((await ask("/api/chats", {})).status, 503, "the only chat is in use");
  assert.equal((await ask(`/api/chats/${id}/stop`, {})).status, 202);
  assert.equal((await ask("/api/chats", {}, { origin: "http://elsewhere.example" })).status, 403);
  assert.equal((await ask("/api/chats", {}, { "content-type": "text/plain" })).status, 415);
  assert.equal((await fetch(`${the.server.url}/api/chats/nobody/events`)).status, 404);
  assert.equal((await fetch(`${the.server.url}/../server.mjs`)).status, 404);
});
