// The page of examples/chat, with the scripted model before a real gateway.

import assert from "node:assert/strict";
import { test } from "node:test";
import { answered, cell, fence, LONG, output, PRIMES, say, skip, stage, status, suggestion, the, transcript } from "./chat.mjs";
import { accessible } from "./console.mjs";

stage();

test("code and its output stream side by side, a plot is shown, and the answer has the number of the output", { skip }, async () => {
  // The code is shown while it is written, and its output while it runs: every state is noted, however slow the machine.
  await the.page.evaluate(() => {
    window.seen = { writing: false, running: false };
    const look = (status, part, text) => text.test(document.querySelector(`.cell[data-status=${status}] .${part}`)?.textContent);
    new MutationObserver(() => {
      window.seen.writing ||= look("writing", "code", /^import time/);
      window.seen.running ||= look("running", "output", /168 primes/);
    }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  });
  await suggestion(PRIMES);
  await the.page.waitForFunction(() => window.seen.writing && window.seen.running);
  const [code, shown] = [await cell(1).locator(".code").boundingBox(), await cell(1).locator(".output").boundingBox()];
  assert.ok(shown.x >= code.x + code.width - 1 && Math.abs(shown.y - code.y) < 2, "side by side");
  await answered(1);
  assert.match(await cell(1).locator(".output").innerText(), /9000 to 9999: 112 primes\nlargest gap: 36 after 9551/);
  await the.page.waitForFunction(() => document.querySelectorAll(".cell")[1].querySelector("img")?.naturalWidth > 100);
  assert.match(await the.page.locator(".answer .prose").last().innerText(), /at most 36 apart: 36 after 9551/);
  assert.equal(await the.page.locator(".answer .prose").last().locator("strong").innerText(), "36");
  assert.equal(await the.page.getByRole("button", { name: "Send" }).isVisible(), true);
});

test("a reload in mid-stream and another tab show everything, once", { skip }, async () => {
  await suggestion(PRIMES);
  await cell(1).waitFor();
  await the.page.reload(); // while the code is written
  await answered(1);
  // The cell waits for a file, so that it runs while the page is loaded again.
  await say(fence("import os, time\nprint('waits')\nwhile not os.path.exists('go'): time.sleep(0.05)\nprint('goes on')"));
  await output(3, "waits");
  const other = await the.open(`/${new URL(the.page.url()).search}`);
  await the.page.reload();
  for (const one of [the.page, other]) {
    await output(3, "waits", one);
    assert.equal(await cell(3, one).getAttribute("data-status"), "running");
  }
  const client = the.gateway.client();
  const [{ id }] = await client.sessions.list();
  await client.sessions.open(id).files.put("go", "");
  for (const one of [the.page, other]) await answered(2, one);
  assert.equal((await cell(3).locator(".output").innerText()).trim(), "waits\ngoes on");
  // The connection breaks in mid-stream, and the browser asks for what came after its last event.
  await say(fence("import time\nfor n in range(12):\n    print('line', n)\n    time.sleep(0.2)"));
  await output(4, "line 3");
  the.server.breakConnections();
  await answered(3);
  await answered(3, other);
  const whole = (await cell(4).locator(".output").innerText()).trim().split("\n");
  assert.deepEqual(whole, Array.from({ length: 12 }, (_, n) => `line ${n}`));
  const texts = await Promise.all([transcript(), transcript(other)]);
  assert.equal(texts[1], texts[0], "two tabs show the same");
  await the.page.reload();
  await answered(3);
  assert.equal(await transcript(), texts[0], "a reload shows the same");
  assert.equal(texts[0].match(/168 primes/g).length, 1);
});

test("a cell is stopped and the model goes on; the whole answer is stopped; variables stay", { skip }, async () => {
  await suggestion(LONG);
  await output(1, "1 s of work");
  await the.page.getByRole("button", { name: "Stop code 1" }).click();
  await status(1, "interrupted");
  await answered(1);
  assert.match(await the.page.locator(".answer .prose").last().innerText(), /seconds is \d+: a stopped cell takes nothing/);
  await say(fence("print('kept', seconds >= 1)\nimport time\nwhile True: time.sleep(0.1)"));
  await output(3, "kept True");
  await the.page.keyboard.press("Escape");
  await the.page.getByText("You have stopped the answer.").waitFor();
  assert.equal(await cell(3).getAttribute("data-status"), "interrupted");
  await the.page.reload();
  await say(fence("print('after a reload', seconds >= 1)"));
  await output(4, "after a reload True");
  // While it writes code that does not run any more.
  await answered(3);
  await say(PRIMES);
  await the.page.locator(".cell").nth(4).waitFor();
  await the.page.getByRole("button", { name: "Stop answer" }).click();
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
  const response = await the.page.request.get(new URL(await frame.getAttribute("src"), the.server.url).href);
  assert.match(response.headers()["content-security-policy"], /^sandbox; default-src 'none';/);
  await answered(2);
  await say(fence(`class Drawn:
    def _repr_svg_(self): return '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><script>parent.evil = 3</script><rect width="40" height="30"/></svg>'
Drawn()`));
  await the.page.waitForFunction(() => document.querySelectorAll(".cell")[2]?.querySelector("img")?.naturalWidth === 40);
  await answered(3);
  await say(`<img src=x onerror="window.evil = 4"> **not** <script>window.evil = 5</script>`);
  await answered(4);
  const script = the.page.locator(".answer").last();
  assert.equal(await script.locator("li").count(), 4, "its questions, as a list");
  assert.deepEqual(await script.locator("code").allTextContents(), ["OPENAI_API_KEY"]);
  assert.equal(await the.page.evaluate(() => globalThis.evil), undefined);
  assert.equal(await the.page.locator("#transcript :is(script, #evil, .message img)").count(), 0);
  // The frame's own policy has kept its scripts from running, which the browser reports.
  the.complaints = the.complaints.filter((text) => !/Blocked script execution|Content Security Policy/.test(text));
});

test("is accessible in both themes and on a phone, where the code stands above its output", { skip }, async () => {
  for (const colorScheme of ["light", "dark"]) {
    the.page = await the.open("/", { colorScheme });
    await accessible(the.page, `${colorScheme}, empty`);
    await suggestion(PRIMES);
    await output(1, "1000 to 1999");
    await accessible(the.page, `${colorScheme}, running`);
    await answered(1);
    await say(fence("1 / 0"));
    await answered(2);
    await accessible(the.page, `${colorScheme}, answered`);
  }
  the.page = await the.open(`/${new URL(the.page.url()).search}`, { viewport: { width: 390, height: 844 }, hasTouch: true });
  await answered(2);
  const [code, shown] = [await cell(1).locator(".code").boundingBox(), await cell(1).locator(".output").boundingBox()];
  assert.ok(shown.y >= code.y + code.height - 1, "code above output");
  assert.equal(await the.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "nothing to scroll sideways");
  await accessible(the.page, "phone");
});

test("what happens is told to those who hear the page, and not each word of it", { skip }, async () => {
  await the.page.evaluate(() => {
    globalThis.heard = [];
    const live = document.getElementById("live");
    new MutationObserver(() => globalThis.heard.push(live.textContent)).observe(live, { childList: true, characterData: true, subtree: true });
  });
  await say(fence("6 * 7"));
  await output(1, "42");
  await answered(1);
  await the.page.waitForFunction(() => globalThis.heard.at(-1) === "The answer is complete");
  assert.deepEqual(await the.page.evaluate(() => globalThis.heard), ["Answering", "Code is running", "The code has ended", "The answer is complete"]);
});
