// The client library as others get it: packed, installed into an empty directory, imported by its
// name, compiled against its types, and run against a gateway: the real one if there is one.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { FakeGateway } from "../fake/gateway.mjs";

const web = fileURLToPath(new URL("../..", import.meta.url));
const real = process.env.CELLGATE_URL !== undefined;
/** What a program prints; its complaints are in the error if it fails. */
const run = async (program, args, cwd, env = {}) => (await promisify(execFile)(program, args, { cwd, env: { ...process.env, ...env } })).stdout;

let directory;
let gateway;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "cellgate-client-"));
  gateway = real
    ? { url: process.env.CELLGATE_URL, token: process.env.CELLGATE_TOKEN, close() {} }
    : await new FakeGateway({ script: plays }).listen();
  gateway.token ??= gateway.options.token;
});
after(async () => {
  await gateway.close();
  rmSync(directory, { recursive: true, force: true });
});

async function plays(code, cell) {
  if (code.includes("input")) cell.out(`hello ${await cell.input("Who? ")}\n`);
  else if (code.includes("while")) { cell.out("looping\n"); await cell.interrupted; }
  else { cell.out("0\n1\n2\n"); cell.result({ "text/plain": "42" }); }
}

const PROGRAM = `
import { Refused, Session } from "cellgate";
const WebSocket = globalThis.WebSocket ?? (await import(process.env.WS)).default;
const session = await Session.connect({ url: process.env.GATEWAY, token: process.env.TOKEN, WebSocket });
const seen = [];
const outcome = await session.runCode("for n in range(3): print(n)\\n6 * 7", {
  onStdout: (text) => seen.push(text), onResult: (data) => seen.push(data["text/plain"]), timeoutMs: 60_000,
});
const asked = await session.runCode("print('hello', input('Who? '))", { onInput: () => "Ada" });
const stop = new AbortController();
const stopped = await session.runCode("print('looping', flush=True)\\nwhile True: pass", { signal: stop.signal, onStdout: () => stop.abort() });
const types = [];
for await (const event of session.stream("for n in range(3): print(n)\\n6 * 7")) types.push(event.type);
await session.end();
const kept = seen.join("");
console.log(JSON.stringify({ kept, status: outcome.status, stdout: outcome.stdout, asked: asked.stdout, stopped: stopped.status, types: [...new Set(types)], refused: typeof Refused }));
`;

const TYPED = `
import { Session, ConnectionClosed, CloseCode } from "cellgate";
import type { CellOutcome, Done, ErrorEvent, InputRequest, SessionEvent } from "cellgate";

export async function use(url: string, token: string, signal: AbortSignal): Promise<string> {
  const session = await Session.connect({ url, token });
  const outcome: CellOutcome = await session.runCode("1", {
    onStdout: (text: string) => void text, onStderr: (text) => void text.length, onResult: (data) => void data["text/plain"],
    onError: (error: ErrorEvent) => void error.frames[0]?.line, onInput: async (request: InputRequest) => request.password ? null : "x",
    signal, timeoutMs: 5,
  });
  for await (const event of session) {
    const one: SessionEvent | { type: "gap" } = event;
    if (one.type === "done") { const done: Done = one; return done.status + outcome.status; }
    // @ts-expect-error: there is no such event
    if (one.type === "nonsense") return "";
  }
  session.closed.then((cause: ConnectionClosed) => cause.code === CloseCode.Expired);
  return session.id;
}
`;

test("what npm packs can be published: installed, it runs a cell and its types compile", async () => {
  const [{ filename, files, unpackedSize }] = JSON.parse(await run("npm", ["pack", "--json", "--pack-destination", directory], join(web, "client")));
  const names = files.map(({ path }) => path);
  for (const name of ["package.json", "README.md", "dist/index.js", "dist/index.d.ts"]) assert.ok(names.includes(name), `${name} is not among ${names}`);
  assert.ok(names.every((name) => !name.startsWith("src/") && !name.includes("test")), names.join(", "));
  assert.ok(unpackedSize < 250_000, `${unpackedSize} bytes`);

  writeFileSync(join(directory, "package.json"), '{ "name": "consumer", "private": true, "type": "module" }');
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${filename}`], directory);
  const installed = JSON.parse(readFileSync(join(directory, "node_modules/cellgate/package.json"), "utf8"));
  assert.equal(installed.dependencies, undefined);
  assert.equal(installed.private, undefined);

  writeFileSync(join(directory, "program.mjs"), PROGRAM);
  const ws = new URL("../../node_modules/ws/wrapper.mjs", import.meta.url).href;
  const said = JSON.parse(await run(process.execPath, ["program.mjs"], directory, { GATEWAY: gateway.url, TOKEN: gateway.token, WS: ws }));
  assert.deepEqual(said, {
    kept: "0\n1\n2\n42", status: "ok", stdout: "0\n1\n2\n", asked: "hello Ada\n", stopped: "interrupted",
    types: ["queued", "started", "stdout", "result", "done"], refused: "function",
  });

  // The example of its README as it stands there, but for the gateway's address.
  const examples = readFileSync(join(directory, "node_modules/cellgate/README.md"), "utf8").matchAll(/```js\n([\s\S]*?)```/g);
  const example = [...examples].map(([, code]) => code).find((code) => code.includes("process.stdout"));
  assert.ok(example.includes('"http://127.0.0.1:8080"'), example);
  const here = example.replace('"http://127.0.0.1:8080"', JSON.stringify(gateway.url));
  const around = `const token = process.env.TOKEN;\nif (!globalThis.WebSocket) globalThis.WebSocket = (await import(process.env.WS)).default;\n`;
  writeFileSync(join(directory, "example.mjs"), around + here);
  const printed = await run(process.execPath, ["example.mjs"], directory, { TOKEN: gateway.token, WS: ws });
  assert.match(printed, /^0\n1\n2\nqueued\nstarted\n(stdout\n)+(result\n)?done\n$/);

  writeFileSync(join(directory, "typed.ts"), TYPED);
  writeFileSync(join(directory, "example.ts"), `declare const token: string;\n${here}`);
  await run(process.execPath, [
    join(web, "node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom,esnext.disposable",
    "--typeRoots", join(web, "node_modules/@types"), "--types", "node", "typed.ts", "example.ts",
  ], directory);
});
