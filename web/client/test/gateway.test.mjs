// A gateway of one's own: how it is found, how it starts, and that it ends.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { Gateway, GatewayNotStarted } from "../../dist/client/node.js";
import { flags, startGateway, WebSocket } from "./support.mjs";

const node = new URL("../../dist/client/node.js", import.meta.url).href;
const cli = new URL("../../dist/client/cli.js", import.meta.url).pathname;
let folder;
before(() => { folder = mkdtempSync(join(tmpdir(), "cellgate-test-")); });
after(() => rmSync(folder, { recursive: true }));

/** Starts a gateway, runs a cell, says the gateway's process group, and then does what the test says. */
const program = (then) => `
  import { Gateway } from ${JSON.stringify(node)};
  const gateway = await Gateway.start({ arguments: ${JSON.stringify(flags)} });
  const { text } = await gateway.client().run("6 * 7");
  console.log(gateway.pid, text);
  ${then}`;

/** How many processes of a group live. */
function members(group) {
  return readdirSync("/proc").filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      const state = readFileSync(`/proc/${entry}/stat`, "utf8").replace(/.*\) /, "").split(" ");
      return Number(state[2]) === group && state[0] !== "Z";
    } catch {
      return false; // it has just ended
    }
  }).length;
}

async function assertEmpties(group) {
  const deadline = Date.now() + 20_000;
  while (members(group) > 0) {
    assert.ok(Date.now() < deadline, "processes of the gateway are left");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A program of a shell, in a directory of its own. */
function script(name, text) {
  const directory = mkdtempSync(join(folder, "bin-"));
  writeFileSync(join(directory, name), `#!/bin/sh\n${text}\n`);
  chmodSync(join(directory, name), 0o755);
  return { directory, path: join(directory, name) };
}

test("it starts, serves and stops", async () => {
  const gateway = await startGateway();
  assert.equal(gateway.running, true);
  assert.ok(gateway.token.length >= 16);
  assert.match(gateway.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  const session = await gateway.connect({ WebSocket });
  assert.equal((await session.runCode("6 * 7")).raiseForError().text, "42");
  await session.end();
  assert.match(gateway.log(), /backend/);
  await gateway.stop();
  assert.equal(gateway.running, false);
  await assertEmpties(gateway.pid);
  await gateway.stop(); // twice is no error
  assert.match(gateway.log(), /backend/);
});

for (const then of ["", "process.exit(3)", "process.kill(process.pid, 'SIGKILL')", "throw new Error('mine')"]) {
  test(`it ends with the program: ${then || "which has nothing more to do"}`, async () => {
    const ran = promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program(then)], { timeout: 60_000 });
    const { stdout } = await ran.catch((error) => error);
    const [group, text] = stdout.trim().split(" ");
    assert.equal(text, "42", stdout);
    await assertEmpties(Number(group));
  });
}

test("one that does not start says why", async () => {
  await assert.rejects(Gateway.start({ arguments: ["--no-such-flag"] }), (error) => error instanceof GatewayNotStarted && /--no-such-flag/.test(error.message));
  const begun = Date.now();
  await assert.rejects(Gateway.start({ binary: script("silent", "sleep 60").path, startTimeoutMs: 300 }), /within 0.3 s/);
  assert.ok(Date.now() - begun < 30_000);
});

test("where the program is looked for", async (t) => {
  const { CELLGATE_BINARY, PATH } = process.env;
  t.after(() => { Object.assign(process.env, { CELLGATE_BINARY, PATH }); });
  process.env.CELLGATE_BINARY = "/nonexistent/cellgate";
  await assert.rejects(Gateway.start(), /CELLGATE_BINARY names \/nonexistent\/cellgate/);
  delete process.env.CELLGATE_BINARY;
  process.env.PATH = `${script("cellgate", "echo this is the one on the PATH >&2; exit 1").directory}:${PATH}`;
  await assert.rejects(Gateway.start(), /the one on the PATH/);
  process.env.PATH = "/nonexistent";
  await assert.rejects(Gateway.start(), /npm install @cellgate|no package of the gateway/);
});

test("npx cellgate passes on arguments, exit status and signals, and says what to do without a program", async () => {
  const run = (args, env = {}) => promisify(execFile)(process.execPath, [cli, ...args], { env: { ...process.env, ...env } }).then((ended) => ({ code: 0, ...ended }), (error) => error);
  assert.match((await run(["--version"])).stdout, /^cellgate \d/);
  assert.equal((await run(["x"], { CELLGATE_BINARY: script("three", "exit 3").path })).code, 3);
  const without = await run(["serve"], { CELLGATE_BINARY: "" });
  assert.equal(without.code, 1);
  assert.match(without.stderr, /^cellgate: .*(npm install @cellgate|no package of the gateway)/);

  const serving = spawn(process.execPath, [cli, "serve", "--listen", "127.0.0.1:0", ...flags], { stdio: ["ignore", "pipe", "ignore"] });
  await new Promise((resolve) => serving.stdout.on("data", (text) => { if (String(text).includes(" at http")) resolve(); }));
  serving.kill("SIGTERM");
  const [code, signal] = await new Promise((resolve) => serving.once("exit", (...how) => resolve(how)));
  assert.deepEqual([code, signal], [0, null]);
});

test("Ctrl-C reaches the gateway once, though terminal and npm both tell", async () => {
  const path = script("counts", "trap 'echo interrupted' INT\ntrap 'exit 0' TERM\necho started\nwhile :; do sleep 0.05; done").path;
  const running = spawn(process.execPath, [cli], { stdio: ["ignore", "pipe", "inherit"], detached: true, env: { ...process.env, CELLGATE_BINARY: path } });
  let said = "";
  const until = (text) => new Promise((resolve) => running.stdout.on("data", () => { if (said.includes(text)) resolve(); }));
  running.stdout.setEncoding("utf8").on("data", (text) => { said += text; });
  await until("started");
  process.kill(-running.pid, "SIGINT"); // the terminal
  process.kill(running.pid, "SIGINT"); // npm
  await until("interrupted");
  running.kill("SIGTERM");
  const code = await new Promise((resolve) => running.once("close", resolve));
  assert.deepEqual([code, said], [0, "started\ninterrupted\n"]);
});
