// The client by requests in a browser: in a page of another site, with a publishable key.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { startGateway } from "./support.mjs";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const skip = existsSync(executablePath) ? false : `there is no ${executablePath}: install chromium`;

test("cells run from a page of another site", { skip }, async (t) => {
  const bundle = await build({
    entryPoints: [new URL("../../dist/client/index.js", import.meta.url).pathname],
    bundle: true, write: false, format: "iife", globalName: "cellgate", target: "es2022",
  });
  const site = createServer((request, response) => {
    response.setHeader("content-type", request.url === "/client.js" ? "text/javascript" : "text/html");
    response.end(request.url === "/client.js" ? bundle.outputFiles[0].text : "<!doctype html><title>site</title><script src=client.js></script>");
  });
  await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
  t.after(() => site.close());
  const origin = `http://127.0.0.1:${site.address().port}`;

  const folder = mkdtempSync(join(tmpdir(), "cellgate-test-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const settings = join(folder, "cellgate.toml");
  writeFileSync(settings, `allow_weak_limits = true\n[keys.site]\nkey = "pk_site-0123456789abcd"\norigins = ["${origin}"]\nsharing = true\nfiles = true\n`);
  const gateway = await startGateway(["--config", settings]);
  t.after(() => gateway.stop());

  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(origin);
  const said = await page.evaluate(async (url) => {
    const client = new cellgate.Client({ url, token: "pk_site-0123456789abcd", reconnectForMs: 2_000 });
    const once = await client.run("6 * 7");
    const session = await client.sessions.create({ files: { "a.txt": "from a page" } });
    const parts = [];
    const cell = await session.runCode("name = input('Who? ')\nprint(open('a.txt').read(), name)", { onInput: () => "Ada", onStdout: (text) => parts.push(text) });
    await session.files.put("b.txt", "b");
    const entries = (await session.files.list()).entries.map(({ name }) => name);
    const stop = new AbortController();
    const stopped = await session.runCode("print('on', flush=True)\nwhile True: pass", { signal: stop.signal, onStdout: () => stop.abort() });
    const live = await cellgate.Session.connect({ url, session: session.id, token: session.token });
    const shown = (await live.runCode("name")).text;
    await live.end();
    return { once: once.text, cell: cell.stdout, parts: parts.join(""), entries, stopped: stopped.status, shown };
  }, gateway.url);
  assert.deepEqual(said, {
    once: "42", cell: "from a page Ada\n", parts: "from a page Ada\n", entries: ["a.txt", "b.txt"], stopped: "interrupted", shown: "'Ada'",
  });
});
