// For everyone: axe, keys, what is heard, small screens, both themes, every layout.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, stage } from "./console.mjs";
import { PROGRAMS } from "./programs.mjs";

const the = stage();
const { fresh, open } = the;

for (const colorScheme of ["light", "dark"]) {
  test(`the page is accessible in the ${colorScheme}`, async () => {
    const console_ = await fresh({ colorScheme });
    await accessible(console_.page, "untouched");
    await console_.runTo(1, PROGRAMS.progress.code);
    for (const [program, status] of [["streams", "ok"], ["table", "ok"], ["markdown", "ok"], ["json", "ok"], ["image", "ok"], ["fails", "error"]]) {
      await console_.page.locator(".add").click();
      await console_.runTo(await console_.page.locator(".cell").count(), PROGRAMS[program].code, status);
    }
    await console_.output(4).locator("math").first().waitFor();
    await accessible(console_.page, "with output");
    await console_.page.getByRole("button", { name: "Menu" }).click();
    await accessible(console_.page, "with the menu open");
    for (const name of ["Keys", "Examples", "Documents"]) {
      if (name !== "Keys") await console_.page.getByRole("button", { name: "Menu" }).click();
      await console_.page.getByRole("menuitem", { name }).click();
      await console_.page.getByRole("dialog").waitFor();
      await accessible(console_.page, name);
      await console_.page.keyboard.press("Escape");
    }
    await console_.page.getByRole("button", { name: "Share", exact: true }).click();
    await console_.page.getByRole("dialog").waitFor();
    await accessible(console_.page, "sharing");
    await console_.page.keyboard.press("Escape");
    await console_.run(1, PROGRAMS.asksSecret.code);
    await console_.output(1).locator("input").waitFor();
    await accessible(console_.page, "asking");
  });

  test(`what comes and goes is accessible in the ${colorScheme}`, async () => {
    const console_ = await fresh({ colorScheme });
    const { page } = console_;
    const { keyboard } = page;
    await page.locator(".title").click();
    await page.getByRole("dialog", { name: "Rename" }).waitFor();
    await accessible(page, "renaming");
    await keyboard.press("Escape");
    await console_.write(1, "");
    await keyboard.type("pri");
    await keyboard.press("Tab");
    await console_.cell(1).locator(".cm-tooltip-autocomplete").waitFor();
    await accessible(page, "completing");
    await keyboard.press("Escape");
    await keyboard.press("Control+f");
    await page.getByRole("search", { name: "Find in all cells" }).waitFor();
    await accessible(page, "searching");
    await keyboard.press("Escape");
    await console_.runTo(1, PROGRAMS.image.code);
    await console_.output(1).getByRole("button", { name: /Enlarge/ }).click();
    await accessible(page, "a picture");
    await keyboard.press("Escape");
    await console_.runTo(1, PROGRAMS.million.code);
    await console_.output(1).getByRole("button", { name: "download all" }).waitFor();
    await accessible(page, "lines left out");
    await console_.runTo(1, PROGRAMS.exits.code, "exited");
    await accessible(page, "an interpreter that ended");
    await console_.run(1, PROGRAMS.stubborn.code);
    await console_.phase(1, "running");
    await page.locator(".add").click();
    await console_.run(2, PROGRAMS.hello.code);
    await console_.cell(2).locator(".how", { hasText: /Queued|Next/ }).waitFor();
    await accessible(page, "running and queued");
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByRole("button", { name: "Force stop" }).waitFor();
    await accessible(page, "to be stopped by force");
    await page.getByRole("button", { name: "Force stop" }).click();
    await console_.ready();
    await console_.cell(2).focus();
    await keyboard.press("d");
    await keyboard.press("d");
    await page.locator(".toast", { hasText: "Cell deleted" }).waitFor();
    await accessible(page, "with notes at the bottom");
    the.gateway.down = true;
    the.gateway.breakConnections();
    await page.locator(".banner", { hasText: "Reconnects" }).waitFor();
    await accessible(page, "without a connection");
    the.gateway.down = false;
    await console_.reconnect();
    await console_.ready();
    page.once("dialog", (question) => question.accept());
    await page.getByRole("button", { name: "Menu" }).click();
    await page.getByRole("menuitem", { name: "End the session" }).click();
    await page.locator(".banner", { hasText: "Start a new session" }).waitFor();
    await accessible(page, "after the session");
    const stranger = await open({ colorScheme, fragment: "" });
    await stranger.page.getByLabel("Token").waitFor();
    await accessible(stranger.page, "asked for a token");
  });

  for (const query of ["?layout=single", "?embed=1"]) {
    test(`${query} has one editor and no list, and is accessible in the ${colorScheme}`, async () => {
      const console_ = await fresh({ query, colorScheme });
      await accessible(console_.page, `${query}, untouched`);
      await console_.runTo(1, PROGRAMS.hello.code);
      assert.equal(await console_.page.locator(".add").count(), 0);
      await console_.page.keyboard.press("Shift+Enter");
      await console_.phase(1, "ok");
      assert.equal(await console_.page.locator(".cell").count(), 1);
      await console_.runTo(1, PROGRAMS.fails.code, "error");
      await accessible(console_.page, query);
    });
  }

  test(`a phone shows all of it without scrolling sideways, in the ${colorScheme}`, async () => {
    const console_ = await fresh({ colorScheme, viewport: { width: 360, height: 720 }, hasTouch: true, isMobile: true });
    const narrow = async (where) => {
      const { content, window_ } = await console_.page.evaluate(() => ({ content: document.documentElement.scrollWidth, window_: innerWidth }));
      assert.ok(content <= 360 && window_ <= 360, `${where}: ${content} px in ${window_}`);
    };
    await narrow("untouched");
    await console_.runTo(1, PROGRAMS.table.code);
    await narrow("with a table");
    await console_.page.locator(".add").tap();
    await console_.runTo(2, PROGRAMS.fails.code, "error");
    await narrow("with an error");
    // The bar is one row whatever it says, and nothing in it lies over something else.
    const bar = async (where) => {
      const boxes = await console_.page.evaluate(() => [...document.querySelectorAll("#bar .state, #bar button")]
        .map((element) => element.getBoundingClientRect()).filter((box) => box.width > 0).map(({ left, right, top, bottom }) => ({ left, right, top, bottom })));
      for (const [at, box] of boxes.entries()) {
        assert.ok(at === 0 || box.left >= boxes[at - 1].right, `${where}: ${JSON.stringify(boxes)}`);
        assert.ok(box.right <= 360 && box.bottom < 60, `${where}: ${JSON.stringify(boxes)}`);
      }
    };
    await bar("ready");
    // What is pressed with a finger is large enough for one; links within text are as high as it.
    const small = await console_.page.locator("button:not(.link)").evaluateAll((buttons) => buttons
      .filter((button) => button.checkVisibility()).map((button) => [button.ariaLabel ?? button.textContent, button.getBoundingClientRect()])
      .filter(([, { width, height }]) => width < 43.5 || height < 43.5).map(([name, { width, height }]) => `${name}: ${width} by ${height}`));
    assert.deepEqual(small, []);
    assert.equal(await console_.page.getByRole("button", { name: "Restart the interpreter" }).count(), 0, "it is not beside Run");
    await console_.run(1, PROGRAMS.forever.code);
    await console_.page.locator(".state", { hasText: /Running · \d+ s/ }).waitFor();
    await bar("running");
    await console_.page.getByRole("button", { name: "Stop", exact: true }).tap();
    await console_.phase(1, "interrupted");
    await console_.runTo(1, PROGRAMS.table.code);
    await console_.page.getByRole("button", { name: "Menu" }).tap();
    const box = await console_.page.getByRole("menu").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= 360, JSON.stringify(box));
    await accessible(console_.page, "the menu on a phone");
    await console_.page.getByRole("menuitem", { name: "Examples" }).tap();
    const cut = await console_.page.getByRole("dialog", { name: "Examples" }).locator(".item strong, .item span")
      .evaluateAll((texts) => texts.filter((text) => text.scrollWidth > text.clientWidth + 1 && getComputedStyle(text).display !== "inline").map((text) => text.textContent));
    assert.deepEqual(cut, [], "titles that are cut");
    await console_.page.keyboard.press("Escape");
    await console_.page.getByRole("button", { name: "Menu" }).tap();
    await console_.page.getByRole("menuitem", { name: "Restart the interpreter" }).waitFor();
    await console_.page.keyboard.press("Escape");
    await console_.page.getByRole("button", { name: "Run cell 1" }).tap();
    await console_.phase(1, "ok");
  });
}

test("a theme can be chosen, and stays chosen", async () => {
  const console_ = await fresh({ colorScheme: "light" });
  const ground = () => console_.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  // Without a choice the system's counts, at once.
  await console_.page.emulateMedia({ colorScheme: "dark" });
  assert.notEqual(await ground(), light);
  await console_.page.emulateMedia({ colorScheme: "light" });
  assert.equal(await ground(), light);
  await console_.page.getByRole("button", { name: "Menu" }).click();
  await console_.page.getByRole("menuitemradio", { name: "Dark" }).click();
  const dark = await ground();
  assert.notEqual(light, dark);
  await console_.page.reload();
  assert.equal(await ground(), dark);
});

test("whoever hears the page hears how cells end, and no output", async () => {
  const console_ = await fresh();
  const heard = await console_.hear();
  await console_.runTo(1, PROGRAMS.streams.code);
  await console_.runTo(1, PROGRAMS.fails.code, "error");
  await console_.run(1, PROGRAMS.asks.code);
  const field = console_.output(1).getByRole("textbox", { name: "Who?" });
  await field.fill("Ada");
  await field.press("Enter");
  await console_.phase(1, "ok");
  await console_.page.waitForFunction(() => globalThis.heard.length >= 4);
  const said = await heard();
  assert.match(said[0], /^Cell 1 finished in [\d.]+ (ms|s), 6 lines\.$|^Cell 1 finished in .*under 1 ms, 6 lines\.$/);
  assert.match(said[1], /^Cell 1 failed in .+\.$/);
  assert.equal(said[2], "Cell 1 asks: Who?");
  assert.match(said[3], /^Cell 1 finished in .+, 1 line\.$/);
  assert.equal(said.some((text) => /out 0|err 0|division/.test(text)), false, said.join(" | "));
});

test("everything can be reached and left by keys alone", async () => {
  const console_ = await fresh();
  const { page } = console_;
  await console_.runTo(1, PROGRAMS.table.code);
  await page.keyboard.press("Escape");
  await page.evaluate(() => { document.activeElement.blur(); });
  const seen = [];
  let rounds = 0; // past the end of the page
  for (let n = 0; n < 60; n += 1) {
    await page.keyboard.press("Tab");
    // In the text, Tab indents: Escape says that the next one is to leave.
    const at = await page.evaluate(() => {
      const deep = document.activeElement?.shadowRoot?.activeElement ?? document.activeElement;
      return { text: deep?.classList.contains("cm-content") ?? false, name: deep?.getAttribute("aria-label") ?? deep?.textContent?.trim().slice(0, 30) ?? "", body: deep === document.body };
    });
    if (at.body && ++rounds > 1) break;
    seen.push(at.name);
    if (at.text) await page.keyboard.press("Escape");
  }
  for (const name of ["Skip to the cells", "Run all", "Menu", "Share", "Restart the interpreter", "Run cell 1", "Code of cell 1", "people", "+ Cell"]) {
    assert.ok(seen.some((one) => one.startsWith(name)), `${name} is not among ${seen.join(", ")}`);
  }
  assert.ok(seen.length < 60, `no way out: ${seen.join(", ")}`);
});

test("command mode stops and restarts by pairs of keys", async () => {
  const console_ = await fresh();
  const { keyboard } = console_.page;
  await console_.run(1, PROGRAMS.forever.code);
  await console_.phase(1, "running");
  await keyboard.press("Escape");
  await keyboard.press("i");
  await keyboard.press("i");
  await console_.phase(1, "interrupted");
  // It asks, as there are variables; who says no has lost nothing, and after it there is nothing to ask about.
  const question = console_.page.getByRole("dialog", { name: "Restart the interpreter?" });
  for (const answer of ["Cancel", "Restart"]) {
    await keyboard.press("0");
    await keyboard.press("0");
    await question.waitFor();
    await accessible(console_.page, "the question before a restart");
    if (answer === "Restart") await keyboard.press("Enter");
    else await question.getByRole("button", { name: answer }).click();
    await question.waitFor({ state: "detached" });
    if (answer === "Cancel") assert.equal(await console_.page.locator(".toast", { hasText: "Restarted" }).count(), 0);
  }
  await console_.page.locator(".toast", { hasText: "Restarted: the variables are gone." }).waitFor();
  await console_.ready();
  await keyboard.press("0");
  await keyboard.press("0");
  await console_.page.locator(".toast", { hasText: "Restarted: the variables are gone." }).nth(1).waitFor();
  await console_.ready();
  await keyboard.press("?");
  const keys = console_.page.getByRole("dialog", { name: "Keys" });
  await keys.waitFor(); // its code may still be on its way
  const listed = await keys.locator("dd").allTextContents();
  assert.ok(listed.length >= 15, listed.join(", "));
});

test("who wants less motion gets none", async () => {
  for (const [reducedMotion, moves] of [["no-preference", true], ["reduce", false]]) {
    const console_ = await fresh({ reducedMotion });
    await console_.run(1, PROGRAMS.forever.code);
    await console_.page.locator(".state", { hasText: /Running · [1-9]/ }).waitFor();
    // What ends by itself, like the tag that waits a moment before it says that a cell runs, is awaited: frames are late on a busy machine.
    await console_.page.waitForFunction(
      (wanted) => document.getAnimations().some((one) => one.playState === "running") === wanted, moves);
    await console_.page.getByRole("button", { name: "Stop", exact: true }).click();
    await console_.phase(1, "interrupted");
  }
});

test("where the system chooses all colours, focus, choice and state are seen", async () => {
  const console_ = await fresh({ forcedColors: "active" });
  const { page } = console_;
  const outlined = (locator) => locator.evaluate((element) => {
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
  });
  await console_.runTo(1, PROGRAMS.fails.code, "error");
  assert.equal(await outlined(console_.cell(1).locator(".box")), true, "the text has the focus");
  await page.keyboard.press("Escape");
  assert.equal(await outlined(console_.cell(1).locator(".box")), true, "the cell has the focus");
  const edge = await console_.cell(1).locator(".box").evaluate((element) => getComputedStyle(element, "::before").backgroundColor);
  assert.notEqual(edge, await page.evaluate(() => getComputedStyle(document.body).backgroundColor), "the edge of a cell that failed");
  await page.getByRole("button", { name: "Menu" }).click();
  assert.equal(await outlined(page.getByRole("menuitemradio", { name: "Auto" })), true, "the theme that is chosen");
  assert.equal(await outlined(page.getByRole("menuitemradio", { name: "Dark" })), false, "one that is not");
  assert.equal(await outlined(page.getByRole("menuitem").first()), true, "the entry with the focus");
  await accessible(page, "forced colours");
});
