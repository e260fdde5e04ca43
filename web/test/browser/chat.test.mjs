// The example in examples/chat: its page in a browser, its server with the scripted model, and gateways that the server
// starts from the program that CELLGATE_BINARY names. Needs no packages but what the browser tests have.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { installChat } from "../chatexample.mjs";
import { accessible, startBrowser, TIMEOUT_MS } from "./console.mjs";

const skip = !process.env.CELLGATE_BINARY && "needs the gateway's program: CELLGATE_BINARY";
const flags = (process.env.CELLGATE_TEST_ARGUMENTS ?? "--backend local").split(" ").filter(Boolean);
// A gateway refuses variables that it does not know, such as those of other tests.
for (const name of ["CELLGATE_URL", "CELLGATE_TOKEN", "CELLGATE_EMBEDDER", "CELLGATE_PAGE"]) delete process.env[name];
const PRIMES = "How far apart are the primes below 10,000?";
const LONG = "Run something that takes long, so that I can stop it";

let startServer;
let GatewayKeeper;
let chooseModel;
let browser;
let Gateway;
let gateway; // the newest that the server has started
let server;
let page;
let complaints;

before(async () => {
  if (skip) return;
  ({ startServer, GatewayKeeper, chooseModel } = await installChat());
  ({ Gateway } = await import("../../dist/client/node.js"));
  browser = await startBrowser();
});
after(() => browser?.close());

async function serve(limits, model) {
  const start = async () => gateway = await Gateway.start({ arguments: flags });
  server = await startServer({ gateway: new GatewayKeeper({ url: "", start }), limits, model });
}

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

async function open(path = "/", options = {}, model = "Scripted model") {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  const opened = await context.newPage();
  opened.setDefaultTimeout(TIMEOUT_MS);
  opened.on("pageerror", (error) => complaints.push(String(error)));
  opened.on("console", (message) => { if (message.type() === "error" && !/status of 4\d\d|net::ERR_/.test(message.text())) complaints.push(message.text()); });
  await opened.goto(server.url + path);
  await opened.locator("#model", { hasText: model }).waitFor();
  return opened;
}

beforeEach(async () => {
  if (skip) return;
  complaints = [];
  await serve();
  page = await open();
});
afterEach(async () => {
  if (skip) return;
  for (const context of browser.contexts()) await context.close();
  await server.close();
  assert.deepEqual(complaints, []);
});

const suggestion = (question) => page.getByRole("button", { name: question }).click();
const say = async (text, on = page) => {
  await on.getByRole("textbox", { name: "Message" }).fill(text);
  await on.keyboard.press("Enter");
};
const fence = (code) => `\`\`\`\n${code}\n\`\`\``;
const cell = (number, on = page) => on.locator(".cell").nth(number - 1);
const status = (number, wanted, on = page) => on.waitForFunction(([at, end]) => document.querySelectorAll(".cell")[at]?.dataset.status === end, [number - 1, wanted]);
const answered = (count, on = page) => on.waitForFunction((wanted) => document.querySelectorAll(".answer[data-status]").length === wanted, count);
const transcript = (on = page) => on.locator("#transcript").innerText();
const output = (number, text, on = page) => cell(number, on).locator(".output", { hasText: text }).waitFor();

test("code and its output stream side by side, a plot is shown, and the answer has the number of the output", { skip }, async () => {
  await suggestion(PRIMES);
  await page.waitForFunction(() => /^import time/.test(document.querySelector(".code")?.textContent) && !/widest/.test(document.querySelector(".code").textContent));
  assert.equal(await cell(1).getAttribute("data-status"), "writing", "the code is shown while it is written");
  await output(1, "0 to  999: 168 primes");
  assert.equal(await cell(1).getAttribute("data-status"), "running", "the output is shown while the code runs");
  const [code, shown] = [await cell(1).locator(".code").boundingBox(), await cell(1).locator(".output").boundingBox()];
  assert.ok(shown.x >= code.x + code.width - 1 && Math.abs(shown.y - code.y) < 2, "side by side");
  await answered(1);
  assert.match(await cell(1).locator(".output").innerText(), /9000 to 9999: 112 primes\nlargest gap: 36 after 9551/);
  await page.waitForFunction(() => document.querySelectorAll(".cell")[1].querySelector("img")?.naturalWidth > 100);
  assert.match(await page.locator(".answer .prose").last().innerText(), /at most 36 apart: 36 after 9551/);
  assert.equal(await page.locator(".answer .prose").last().locator("strong").innerText(), "36");
  assert.equal(await page.getByRole("button", { name: "Send" }).isVisible(), true);
});

test("a reload in mid-stream and another tab show everything, once", { skip }, async () => {
  await suggestion(PRIMES);
  await cell(1).waitFor();
  await page.reload(); // while the code is written
  await answered(1);
  // The cell waits for a file, so that it runs while the page is loaded again.
  await say(fence("import os, time\nprint('waits')\nwhile not os.path.exists('go'): time.sleep(0.05)\nprint('goes on')"));
  await output(3, "waits");
  const other = await open(`/${new URL(page.url()).search}`);
  await page.reload();
  for (const one of [page, other]) {
    await output(3, "waits", one);
    assert.equal(await cell(3, one).getAttribute("data-status"), "running");
  }
  const client = gateway.client();
  const [{ id }] = await client.sessions.list();
  await client.sessions.open(id).files.put("go", "");
  for (const one of [page, other]) await answered(2, one);
  assert.equal((await cell(3).locator(".output").innerText()).trim(), "waits\ngoes on");
  // The connection breaks in mid-stream, and the browser asks for what came after its last event.
  await say(fence("import time\nfor n in range(12):\n    print('line', n)\n    time.sleep(0.2)"));
  await output(4, "line 3");
  server.breakConnections();
  await answered(3);
  await answered(3, other);
  const whole = (await cell(4).locator(".output").innerText()).trim().split("\n");
  assert.deepEqual(whole, Array.from({ length: 12 }, (_, n) => `line ${n}`));
  const texts = await Promise.all([transcript(), transcript(other)]);
  assert.equal(texts[1], texts[0], "two tabs show the same");
  await page.reload();
  await answered(3);
  assert.equal(await transcript(), texts[0], "a reload shows the same");
  assert.equal(texts[0].match(/168 primes/g).length, 1);
});

test("a cell is stopped and the model goes on; the whole answer is stopped; variables stay", { skip }, async () => {
  await suggestion(LONG);
  await output(1, "1 s of work");
  await page.getByRole("button", { name: "Stop code 1" }).click();
  await status(1, "interrupted");
  await answered(1);
  assert.match(await page.locator(".answer .prose").last().innerText(), /seconds is \d+: a stopped cell takes nothing/);
  await say(fence("print('kept', seconds >= 1)\nimport time\nwhile True: time.sleep(0.1)"));
  await output(3, "kept True");
  await page.keyboard.press("Escape");
  await page.getByText("You have stopped the answer.").waitFor();
  assert.equal(await cell(3).getAttribute("data-status"), "interrupted");
  await page.reload();
  await say(fence("print('after a reload', seconds >= 1)"));
  await output(4, "after a reload True");
  // While it writes code that does not run any more.
  await answered(3);
  await say(PRIMES);
  await page.locator(".cell").nth(4).waitFor();
  await page.getByRole("button", { name: "Stop answer" }).click();
  await status(5, "cancelled");
});

test("output in colours, over itself, as errors, as HTML and as SVG; hostile output does nothing", { skip }, async () => {
  await say(fence("import sys\nprint('\\x1b[31mred\\x1b[0m')\nfor n in range(3): print(f'\\r{n}0%', end='')\nprint()\nprint('<b id=evil>x</b>', file=sys.stderr)\n1 / 0"));
  await status(1, "error");
  await output(1, "ZeroDivisionError");
  const text = await cell(1).locator(".output").innerText();
  assert.match(text, /red\n20%\n/);
  assert.match(text, /<b id=evil>x<\/b>/);
  assert.doesNotMatch(text, /\x1b|00%|10%/);
  await answered(1);
  await say(fence(`class Shown:
    def _repr_html_(self): return "<style>p { color: green }</style><p id=shown>HTML</p><script>parent.evil = 1; document.title = 'evil'</script><img src=x onerror='parent.evil = 2'>"
Shown()`));
  const frame = cell(2).locator("iframe");
  await frame.contentFrame().locator("#shown", { hasText: "HTML" }).waitFor();
  assert.equal(await frame.getAttribute("sandbox"), "");
  const response = await page.request.get(new URL(await frame.getAttribute("src"), server.url).href);
  assert.match(response.headers()["content-security-policy"], /^sandbox; default-src 'none';/);
  await answered(2);
  await say(fence(`class Drawn:
    def _repr_svg_(self): return '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><script>parent.evil = 3</script><rect width="40" height="30"/></svg>'
Drawn()`));
  await page.waitForFunction(() => document.querySelectorAll(".cell")[2]?.querySelector("img")?.naturalWidth === 40);
  await answered(3);
  await say(`<img src=x onerror="window.evil = 4"> **not** <script>window.evil = 5</script>`);
  await answered(4);
  assert.equal(await page.evaluate(() => globalThis.evil), undefined);
  assert.equal(await page.locator("#transcript :is(script, #evil, .message img)").count(), 0);
  // The frame's own policy has kept its scripts from running, which the browser reports.
  complaints = complaints.filter((text) => !/Blocked script execution|Content Security Policy/.test(text));
});

test("a gateway that ends in mid-cell and one that ends between messages are told, and the chat goes on", { skip }, async () => {
  await say(fence("kept = 1\nprint('first')"));
  await answered(1);
  await say(fence("import time\nprint('runs')\ntime.sleep(60)"));
  await output(2, "runs");
  const first = gateway;
  process.kill(-first.pid, "SIGKILL");
  await answered(2);
  await status(2, "lost");
  await page.locator(".problem", { hasText: "variables and files are gone. Send the message again" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Send again" }).count(), 1);
  await say(fence("print('kept' in globals())"));
  await output(3, "False");
  assert.notEqual(gateway, first, "a gateway was started anew");
  await answered(3);
  process.kill(-gateway.pid, "SIGKILL");
  await say(fence("print('runs', 'again')"));
  await output(4, "runs again");
  await page.locator(".note", { hasText: "variables and files of before are gone. The code runs in a new one." }).waitFor();
});

test("a session that has ended is told, as is a gateway that is not there", { skip }, async () => {
  await say(fence("kept = 1"));
  await answered(1);
  const [session] = await gateway.client().sessions.list();
  await gateway.client().sessions.end(session.id);
  await say(fence("print('kept' in globals())"));
  await output(2, "False");
  await page.locator(".note", { hasText: "The session of this chat had ended" }).waitFor();
  await answered(2);
  await server.close();
  server = await startServer({ gateway: new GatewayKeeper({ url: "http://127.0.0.1:9", token: "x" }) });
  page = await open();
  await say(fence("1"));
  await page.locator(".problem", { hasText: "no gateway answers at http://127.0.0.1:9" }).waitFor();
  await page.getByRole("button", { name: "Send again" }).click();
  await answered(2);
  assert.equal(await page.locator(".words", { hasText: /^1$/ }).count(), 2);
  assert.equal(await page.getByRole("button", { name: "Send again" }).count(), 1, "only below the newest");
});

test("a named gateway that is started again at its address is told, in mid-cell and between messages", { skip }, async () => {
  await server.close();
  const port = await freePort();
  const named = await NamedGateway.start(port);
  try {
    server = await startServer({ gateway: new GatewayKeeper({ url: `http://127.0.0.1:${port}`, token: named.token }) });
    page = await open();
    await say(fence("kept = 1\nimport time\nprint('runs')\ntime.sleep(60)"));
    await output(1, "runs");
    await named.startAgain();
    await page.locator(".problem", { hasText: "The gateway has ended the session of this chat while the code ran" }).waitFor();
    await say(fence("print('kept' in globals())"));
    await output(2, "False");
    await answered(2);
    await named.startAgain();
    await say(fence("print('runs', 'again')"));
    await output(3, "runs again");
    await page.locator(".note", { hasText: "The session of this chat had ended" }).waitFor();
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
    await server.close();
    const model = chooseModel({ OPENAI_API_KEY: "key", OPENAI_BASE_URL: `http://127.0.0.1:${api.address().port}/v1`, OPENAI_MODEL: "some-model" });
    await serve({}, model);
    page = await open("/", {}, "some-model");
    await say("What is 6 * 7?");
    await answered(1);
    assert.equal(await page.locator(".problem").count(), 0, await transcript());
    assert.equal(await cell(1).locator(".code").textContent(), code);
    await page.waitForFunction(() => document.querySelector(".output img")?.naturalWidth === 1);
    assert.deepEqual(await page.locator(".answer .prose li").allTextContents(), ["<b>one</b>", "two"]);
    const [, , , tool, pictures] = asked[1].messages;
    assert.match(tool.content, /^6 \* 7 = 42\n\[a picture: image\/png\]/);
    assert.match(pictures.content[1].image_url.url, /^data:image\/png;base64,iVBOR/);
  } finally {
    api.close();
  }
});

test("starts from a shell, and takes its gateway along when it ends", { skip }, async () => {
  const settings = { PORT: "0", OPENAI_API_KEY: "", CELLGATE_BACKEND: flags[flags.indexOf("--backend") + 1] };
  const program = spawn(process.execPath, ["server.mjs"], { cwd: fileURLToPath(new URL("../../dist/chat", import.meta.url)), env: { ...process.env, ...settings }, stdio: ["ignore", "pipe", "inherit"] });
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
  await server.close();
  await serve({ idleMs: 1500, message: 40, chats: 1 });
  page = await open();
  await say(fence("kept = 1"));
  await answered(1);
  await page.locator(".note", { hasText: "this chat has ended: its variables and files are gone" }).waitFor();
  assert.equal(await page.getByRole("textbox", { name: "Message" }).isDisabled(), true);
  assert.deepEqual(await gateway.client().sessions.list(), [], "the session has ended with its chat");
  await page.reload();
  await page.locator("#trouble", { hasText: "This chat is over" }).waitFor();
  await page.getByRole("button", { name: "New chat" }).click();
  await page.locator("#start").waitFor();

  const ask = (path, body, headers) => fetch(server.url + path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const { id } = await (await ask("/api/chats", {})).json();
  assert.equal((await ask(`/api/chats/${id}/messages`, { text: "x".repeat(41) })).status, 413);
  assert.equal((await ask(`/api/chats/${id}/messages`, { text: " " })).status, 400);
  assert.equal((await ask(`/api/chats/${id}/messages`, { text: fence("while True: pass") })).status, 202);
  assert.equal((await ask(`/api/chats/${id}/messages`, { text: "more" })).status, 409);
  assert.equal((await ask("/api/chats", {})).status, 503, "the only chat is in use");
  assert.equal((await ask(`/api/chats/${id}/stop`, {})).status, 202);
  assert.equal((await ask("/api/chats", {}, { origin: "http://elsewhere.example" })).status, 403);
  assert.equal((await ask("/api/chats", {}, { "content-type": "text/plain" })).status, 415);
  assert.equal((await fetch(`${server.url}/api/chats/nobody/events`)).status, 404);
  assert.equal((await fetch(`${server.url}/../server.mjs`)).status, 404);
});

test("is accessible in both themes and on a phone, where the code stands above its output", { skip }, async () => {
  for (const colorScheme of ["light", "dark"]) {
    page = await open("/", { colorScheme });
    await accessible(page, `${colorScheme}, empty`);
    await suggestion(PRIMES);
    await output(1, "1000 to 1999");
    await accessible(page, `${colorScheme}, running`);
    await answered(1);
    await say(fence("1 / 0"));
    await answered(2);
    await accessible(page, `${colorScheme}, answered`);
  }
  page = await open(`/${new URL(page.url()).search}`, { viewport: { width: 390, height: 844 }, hasTouch: true });
  await answered(2);
  const [code, shown] = [await cell(1).locator(".code").boundingBox(), await cell(1).locator(".output").boundingBox()];
  assert.ok(shown.y >= code.y + code.height - 1, "code above output");
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "nothing to scroll sideways");
  await accessible(page, "phone");
});

test("what happens is told to those who hear the page, and not each word of it", { skip }, async () => {
  await page.evaluate(() => {
    globalThis.heard = [];
    const live = document.getElementById("live");
    new MutationObserver(() => globalThis.heard.push(live.textContent)).observe(live, { childList: true, characterData: true, subtree: true });
  });
  await say(fence("6 * 7"));
  await output(1, "42");
  await answered(1);
  await page.waitForFunction(() => globalThis.heard.at(-1) === "The answer is complete");
  assert.deepEqual(await page.evaluate(() => globalThis.heard), ["Answering", "Code is running", "The code has ended", "The answer is complete"]);
});
