// The terminal of a session in the console, and the list of what runs in it. Shells are real: these tests want the gateway.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { accessible, real, stage } from "./console.mjs";

const { fresh } = stage();
const gatewayOnly = { skip: !real && "needs a gateway with shells" };

/** Text of the terminal's screen, line by line. */
const screen = ({ page }) => page.locator("#terminal .xterm-rows > div").allTextContents();

/** Waits until a line of the screen is that, spaces at its end aside. */
const shows = ({ page }, pattern) => page.waitForFunction(
  ([source, flags]) => [...document.querySelectorAll("#terminal .xterm-rows > div")].some((row) => new RegExp(source, flags).test(row.textContent.replaceAll("\u00a0", " ").trimEnd())),
  [pattern.source, pattern.flags]);

/** Opens the terminal by its button, and waits for the shell's prompt. */
async function opens(console_) {
  await console_.page.getByRole("button", { name: "Terminal", exact: true }).click();
  await shows(console_, /[$#]$/);
}

const types = async (console_, text) => {
  await console_.page.locator("#terminal .xterm-helper-textarea").focus();
  await console_.page.keyboard.type(text);
  await console_.page.keyboard.press("Enter");
};

/** The numbers of columns and lines that `stty size` says the terminal has. */
async function size(console_, mark) {
  await types(console_, `echo "${mark} $(stty size)"`);
  await shows(console_, new RegExp(`^${mark} \\d+ \\d+$`));
  const line = (await screen(console_)).map((text) => text.replaceAll("\u00a0", " ")).findLast((text) => new RegExp(`^${mark} \\d`).test(text));
  return line.trim().split(" ").slice(1).map(Number);
}

test("a shell runs what is typed, and it is loaded when it is opened", gatewayOnly, async () => {
  const console_ = await fresh();
  const asked = [];
  console_.page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await opens(console_);
  assert.ok(asked.some((path) => /terminal-/.test(path)), asked.join(" "));
  await types(console_, "echo the answer is $((6 * 7))");
  await shows(console_, /^the answer is 42$/);
  // Colours, true ones too, take no inline styles, which the page's policy forbids.
  await types(console_, "printf '\\033[38;2;200;40;40mred\\033[0m \\033[32;1mgreen\\033[0m\\n'");
  await shows(console_, /^red green$/);
  const colour = await console_.page.evaluate(() => {
    const spans = [...document.querySelectorAll("#terminal .xterm-rows span")];
    return getComputedStyle(spans.findLast((span) => span.textContent.trim() === "red")).color;
  });
  assert.match(colour, /^rgb\(\d+, \d+, \d+\)$/);
  assert.notEqual(colour, await console_.page.evaluate(() => getComputedStyle(document.querySelector("#terminal .xterm-rows")).color));
  assert.deepEqual(console_.complaints, []);
});

test("the shell knows the size of the panel, also after it has changed", gatewayOnly, async () => {
  const console_ = await fresh();
  await opens(console_);
  const [rows, columns] = await size(console_, "first");
  assert.ok(rows > 5 && columns > 60, `${rows} lines of ${columns}`);
  await console_.page.setViewportSize({ width: 800, height: 620 });
  await console_.page.waitForFunction((before) => document.querySelectorAll("#terminal .xterm-rows > div").length !== before, rows);
  const [fewer, narrower] = await size(console_, "second");
  assert.ok(fewer < rows && narrower < columns, `${fewer} lines of ${narrower}`);
  assert.equal(await console_.page.locator("#terminal .xterm-rows > div").count(), fewer);
});

test("a reload keeps the shell with what it showed, and it goes on", gatewayOnly, async () => {
  const console_ = await fresh();
  await opens(console_);
  await types(console_, "kept=yes; echo before the reload");
  await shows(console_, /^before the reload$/);
  await console_.page.reload();
  await shows(console_, /^before the reload$/);
  // Programs that ask the terminal what it is have asked before: no answer is typed into the shell.
  await types(console_, "echo still $kept");
  await shows(console_, /^still yes$/);
});

test("closing the panel leaves the shell running; End ends it, and another one can be started", gatewayOnly, async () => {
  const console_ = await fresh();
  await opens(console_);
  await types(console_, "left=here");
  await console_.page.keyboard.press("Control+Backquote");
  await console_.page.locator("#terminal").waitFor({ state: "detached" });
  assert.equal(await console_.page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Terminal");
  await console_.page.keyboard.press("Control+Backquote");
  await types(console_, "echo it is $left");
  await shows(console_, /^it is here$/);
  await console_.page.getByRole("button", { name: "End", exact: true }).click();
  await console_.page.getByText("The shell has ended: closed by").waitFor();
  await console_.page.getByRole("button", { name: "Start a shell" }).click();
  // The screen may show the prompt of the one before until then.
  await console_.page.getByRole("button", { name: "End", exact: true }).waitFor();
  await types(console_, "echo now \"[$left]\"");
  await shows(console_, /^now \[\]$/);
});

test("a viewer sees the terminal and cannot type", gatewayOnly, async () => {
  const console_ = await fresh();
  await opens(console_);
  await console_.page.getByRole("button", { name: "Share", exact: true }).click();
  await console_.page.waitForFunction(() => document.querySelector("dialog .row input")?.value.includes("token="));
  const link = new URL(await console_.page.locator("dialog .row input").inputValue());
  await console_.page.keyboard.press("Escape");
  const viewer = await fresh({ fragment: link.hash.slice(1) });
  await viewer.page.getByRole("button", { name: "Terminal", exact: true }).click();
  await viewer.page.getByText("You see what others type.").waitFor();
  await types(viewer, "echo not typed");
  await types(console_, "echo seen by all");
  await shows(viewer, /^seen by all$/);
  assert.ok(!(await screen(viewer)).some((line) => line.includes("typed")));
  assert.equal(await viewer.page.getByRole("button", { name: "End", exact: true }).count(), 0);
  await accessible(viewer.page, "a viewer's terminal");
});

const installed = (name) => ({ skip: gatewayOnly.skip || (!existsSync(`/usr/bin/${name}`) && `${name} is not installed`) });

test("top draws", installed("top"), async () => {
  const console_ = await fresh();
  await opens(console_);
  await types(console_, "top");
  await shows(console_, /^\s*PID USER.*COMMAND/);
  await console_.page.keyboard.press("q");
  await shows(console_, /[$#]$/);
  assert.deepEqual(console_.complaints, []);
});

test("vim draws, and what is written in it is a file of the session", installed("vim"), async () => {
  const console_ = await fresh();
  await opens(console_);
  await types(console_, "vim -u NONE note.txt");
  await shows(console_, /^~$/);
  await console_.page.keyboard.type("ihello from vim");
  await shows(console_, /^hello from vim$/);
  await console_.page.keyboard.press("Escape");
  await types(console_, ":wq");
  await shows(console_, /[$#]$/);
  await types(console_, "clear; cat note.txt");
  await shows(console_, /^hello from vim$/);
  assert.deepEqual(console_.complaints, []);
});

test("processes are listed, and a stubborn one is stopped by the second click", gatewayOnly, async () => {
  const console_ = await fresh();
  await opens(console_);
  await console_.page.getByRole("button", { name: "Menu", exact: true }).click();
  await console_.page.getByRole("menuitem", { name: "Processes" }).click();
  const list = console_.page.getByRole("list", { name: "Processes" });
  await list.getByText("Terminal").waitFor();
  assert.match(await list.textContent(), /Python.*interpreter.*Terminal.*process.*pid \d+/s);
  await accessible(console_.page, "the list of processes");
  // An interactive shell takes no notice of SIGTERM.
  await list.getByRole("button", { name: "Stop Terminal" }).click();
  await list.getByRole("button", { name: "Kill Terminal" }).click();
  await list.getByText("Terminal").waitFor({ state: "detached" });
  await console_.page.getByText("The shell has ended").waitFor();
});

for (const options of [{ colorScheme: "light" }, { colorScheme: "dark" }, { viewport: { width: 390, height: 800 } }]) {
  test(`the terminal is accessible, and fits: ${JSON.stringify(options)}`, gatewayOnly, async () => {
    const console_ = await fresh(options);
    if (options.viewport) {
      await console_.page.getByRole("button", { name: "Menu", exact: true }).click();
      await console_.page.getByRole("menuitem", { name: "Terminal" }).click();
      await shows(console_, /[$#]$/);
    } else await opens(console_);
    await types(console_, "printf '\\033[31mred \\033[33myellow \\033[36mcyan \\033[90mgrey\\033[0m\\n'");
    await shows(console_, /^red yellow cyan grey$/);
    await accessible(console_.page, JSON.stringify(options));
    const fits = await console_.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
    assert.ok(fits, "the page is as wide as the window");
    assert.deepEqual(console_.complaints, []);
  });
}
