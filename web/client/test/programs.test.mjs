// Processes, commands and further interpreters of a session.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CommandFailed, ConnectionClosed, ProgramNotStarted, Refused, Session } from "../../dist/client/index.js";
import { CuttingProxy, sha256, startGateway, WebSocket } from "./support.mjs";

/** Writes 8 MiB that no two places of look alike; a digest of it goes into a file. */
const NOISE = `
import hashlib, random, sys
noise, digest = random.Random(7), hashlib.sha256()
for line in range(80_000):
    text = f"{line} {noise.getrandbits(380):096x}\\n"
    digest.update(text.encode())
    sys.stdout.write(text)
open("digest", "w").write(digest.hexdigest())
`;

let gateway;
let session;
const connect = (options = {}) => Session.connect({ url: gateway.url, token: gateway.token, WebSocket, ...options });
before(async () => {
  gateway = await startGateway();
  session = await connect();
});
after(async () => {
  await session.end();
  await gateway.stop();
});

/** Reads on until the output contains `wanted`. */
async function readUntil(process, wanted) {
  let said = "";
  for await (const { text } of process) {
    said += text;
    if (said.includes(wanted)) return said;
  }
  assert.fail(`it ended before it said ${wanted}: ${said}`);
}

/** The end of the next program of the session that ends, or of this one. */
async function nextEnd(session, id) {
  for await (const event of session.events((event) => event.type === "exited" && (id ?? event.id) === event.id)) return event;
}

async function readAll(process) {
  let said = "";
  for await (const { text } of process) said += text;
  return said;
}

test("a command has its output and its code", async () => {
  const heard = [];
  const onOutput = (text) => heard.push(text);
  const failed = await session.runCommand("echo hé; echo err >&2; exit 3", { onStdout: onOutput, onStderr: onOutput });
  assert.deepEqual([failed.stdout, failed.stderr, failed.code, failed.ok, failed.outputLost], ["hé\n", "err\n", 3, false, false]);
  assert.deepEqual(heard.sort(), ["err\n", "hé\n"]);
  assert.throws(() => failed.raiseForError(), (error) => error instanceof CommandFailed && error.result === failed && /exit code 3\nerr/.test(error.message));
  assert.equal((await session.runCommand(["printf", "%s|", "a b", "$HOME"])).raiseForError().stdout, "a b|$HOME|");
  await session.files.makeDirectory("below");
  const placed = await session.runCommand('echo "$CITY $(basename "$PWD")"', { env: { CITY: "Malmö" }, cwd: "below" });
  assert.equal(placed.stdout, "Malmö below\n");
  assert.equal((await session.runCommand("kill -9 $$")).signal, "SIGKILL");
});

test("aborting a command ends it, as does a callback that fails", async () => {
  const controller = new AbortController();
  const ended = await session.runCommand("echo go; sleep 600", { signal: controller.signal, onStdout: () => controller.abort() });
  assert.match(ended.detail, /closed by/);
  const exited = nextEnd(session);
  await assert.rejects(session.runCommand("echo go; sleep 600", { onStdout: () => { throw new RangeError("no"); } }), RangeError);
  assert.match((await exited).detail, /closed by/);
});

test("what cannot be started says why", async () => {
  await assert.rejects(session.start(["no-such-program"]), (error) => error instanceof ProgramNotStarted && error.code === 127 && /no-such-program/.test(error.message));
  await assert.rejects(session.openInterpreter("cobol"), (error) => error instanceof Refused && /no interpreter of .*cobol/.test(error.message));
  await assert.rejects(session.start(), /name a command/);
});

test("input is written and ended, and what waits unread is refused in the end", async () => {
  const cat = await session.start("cat; echo end", { stdin: true });
  assert.ok(cat.pid > 0);
  await cat.write("é\n");
  await readUntil(cat, "é\n");
  await cat.write(new TextEncoder().encode("bytes\n"));
  await cat.closeInput();
  assert.equal(await readAll(cat), "bytes\nend\n");
  assert.equal((await cat.wait()).code, 0);
  assert.equal(await readAll(cat), "");
  await assert.rejects(cat.write("more"), /has ended/);
  await cat.signal("SIGTERM"); // which comes too late, and harms nothing

  const sleeping = await session.start("sleep 600", { stdin: true });
  const fill = async () => { for (let n = 0; n < 100; n += 1) await sleeping.write("x".repeat(100_000)); };
  await assert.rejects(fill(), (error) => error instanceof Refused && error.code === "queue_full");
  await assert.rejects(sleeping.resize(80, 24), /terminal/);
  assert.equal(sleeping.exited, undefined);
  await sleeping.close();
  assert.match(sleeping.exited.detail, /closed by/);
});

test("a signal, and a terminal", async () => {
  const trapping = await session.start("trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done");
  await readUntil(trapping, "ready");
  await trapping.signal();
  assert.equal(await readAll(trapping), "caught\n");
  assert.equal((await trapping.wait()).code, 7);

  const shell = await session.start(undefined, { terminal: { cols: 91, rows: 31 } });
  await shell.write("stty size\n");
  await readUntil(shell, "31 91");
  await shell.resize(72, 20);
  await shell.write("stty size; echo 'a''b'\n");
  assert.match(await readUntil(shell, "ab"), /20 72/);
  await shell.close();
});

test("output that nobody reads holds up no cell, and the newest is kept", async () => {
  await session.files.put("noise.py", NOISE);
  const process = await session.start("python3 noise.py; echo the end");
  assert.equal((await session.runCode("6 * 7")).text, "42");
  assert.equal((await process.wait()).code, 0);
  const said = await readAll(process);
  assert.ok(process.outputLost);
  assert.ok(said.endsWith("the end\n") && said.length <= 1 << 20, `${said.length} characters`);
});

test("every byte comes to a reader over cut connections, and an end that came without one", async (t) => {
  const proxy = await CuttingProxy.before(gateway.url);
  t.after(() => proxy.close());
  const through = await connect({ url: proxy.url, minDelayMs: 20 });
  t.after(() => through.close());
  await through.files.put("noise.py", NOISE);
  const process = await through.start("read -r go; python3 noise.py", { stdin: true });
  await process.write("go\n");
  proxy.cutAfter = 1_500_000;
  proxy.cut();
  const said = await readAll(process);
  proxy.cutAfter = Infinity;
  assert.ok(proxy.cuts >= 4, `${proxy.cuts} cuts`);
  assert.deepEqual([(await process.wait()).code, process.outputLost], [0, false]);
  assert.equal(`'${sha256(said)}'`, (await through.runCode("open('digest').read()")).text);

  const waiting = await through.start("until [ -e go ]; do sleep 0.05; done; exit 5");
  const other = await connect({ session: through.id });
  t.after(() => other.end());
  proxy.accepts = false;
  proxy.cut();
  const exited = nextEnd(other, waiting.id);
  await other.files.put("go", "");
  assert.equal((await exited).code, 5);
  assert.equal(waiting.exited, undefined);
  proxy.accepts = true;
  assert.equal((await waiting.wait()).code, 5);
});

test("the end of the session ends its programs", async () => {
  const other = await connect();
  const process = await other.start("sleep 600");
  await other.end();
  await assert.rejects(readAll(process), ConnectionClosed);
  await assert.rejects(process.wait(), ConnectionClosed);
  await assert.rejects(other.start("true"), /open a new session/);
});

test("cells of several interpreters", async () => {
  assert.equal((await session.runCode("x=3; echo $x", { interpreter: "bash" })).stdout, "3\n");
  const second = await session.openInterpreter("python", { id: "second", env: { CITY: "Malmö" } });
  assert.deepEqual([second.id, second.language, /^3\./.test(second.version)], ["second", "python", true]);
  await session.runCode("y = 1");
  assert.equal((await session.runCode("import os; y = os.environ['CITY']; y", { interpreter: second.id })).text, "'Malmö'");
  assert.equal((await session.runCode("y")).text, "1");
  const stop = () => session.interrupt(undefined, "bash");
  const stopped = await session.runCode("echo go; while :; do :; done", { interpreter: "bash", onStdout: stop });
  assert.deepEqual([stopped.status, stopped.stateKept], ["interrupted", true]);
  await second.close();
  await assert.rejects(session.runCode("1", { interpreter: second.id }), Refused);
});
