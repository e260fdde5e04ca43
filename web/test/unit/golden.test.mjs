// The golden messages are shared with the gateway's tests; here the compiler checks them against
// the types a client is written with, which are generated from the gateway's.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("../..", import.meta.url));
const golden = fileURLToPath(new URL("../../../tests/golden/protocol", import.meta.url));
const examples = readdirSync(golden).map((file) => ({
  // `comm_msg.client.json`: both sides say messages of this type.
  name: file.replace(/\..*$/, ""), ...JSON.parse(readFileSync(`${golden}/${file}`, "utf8")),
}));

test("every golden message has the type its file is named after", () => {
  for (const { name, from, full, minimal } of examples) {
    assert.ok(from === "client" || from === "gateway", name);
    assert.equal(full.type, name);
    // `{"code": …}` alone is an execute.
    assert.equal(minimal.type ?? ("code" in minimal && "execute"), name);
  }
});

test("there is a golden file for every message in the types, and the compiler accepts each", () => {
  // What watching files tells is of requests.
  const source = readFileSync(`${web}/client/src/wire.ts`, "utf8").split("\nexport type ")
    .filter((declaration) => !declaration.startsWith("WatchEvent")).join("\n");
  const typed = new Set(Array.from(source.matchAll(/\btype: ((?:"[a-z_]+"(?: \| )?)+);?/g), (m) => m[1].split(" | "))
    .flat().map((quoted) => quoted.slice(1, -1)));
  assert.deepEqual([...new Set(examples.map((e) => e.name))].sort(), [...typed].sort());

  const lines = ['import type { ClientMessage, ServerMessage } from "../client/src/protocol.js";'];
  for (const { name, from, full, minimal } of examples) {
    const type = from === "client" ? "ClientMessage" : "ServerMessage";
    const forms = { full, minimal: { type: name, ...minimal } };
    for (const [form, value] of Object.entries(forms)) {
      lines.push(`export const ${name}_${from}_${form}: ${type} & { type: "${name}" } = ${JSON.stringify(value)};`);
    }
  }
  mkdirSync(`${web}/dist`, { recursive: true });
  writeFileSync(`${web}/dist/golden.ts`, lines.join("\n"));
  execFileSync(process.execPath, [
    `${web}/node_modules/typescript/bin/tsc`, "--noEmit", "--strict", "--ignoreConfig", "--module", "nodenext",
    "--target", "es2022", "--lib", "es2022,dom", "dist/golden.ts",
  ], { cwd: web, stdio: "inherit" });
});
