// What helps while code is written: documentation, signatures, completion, finding, contents.

import assert from "node:assert/strict";
import { test } from "node:test";
import { NOTEBOOKS } from "../notebooks.mjs";
import { accessible, codes, stage } from "./console.mjs";

const { fresh } = stage();

const menu = async (console_, name) => {
  await console_.page.getByRole("button", { name: "Menu", exact: true }).click();
  await console_.page.getByRole("menuitem", { name }).click();
};

test("Shift+Tab shows the documentation of what is before the cursor, and Escape closes it", async () => {
  const console_ = await fresh();
  const { keyboard } = console_.page;
  const heard = await console_.hear();
  await console_.write(1, "print");
  await keyboard.press("Control+End");
  await keyboard.press("Shift+Tab");
  const docs = console_.cell(1).locator(".docs");
  await docs.waitFor();
  assert.match(await docs.textContent(), /Signature: print\(/);
  assert.match((await heard()).join(" "), /Signature: print/);
  await accessible(console_.page, "documentation");
  await keyboard.press("Escape");
  assert.equal(await docs.count(), 0);
  assert.equal(await console_.cell(1).locator(".cm-focused").count(), 1, "the cursor stays in the text");
  // At the start of a line it moves the text to the left.
  await console_.write(1, "if x:\n        y");
  await keyboard.press("Control+End");
  await keyboard.press("Home");
  await keyboard.press("Shift+Tab");
  assert.deepEqual(await codes(console_), ["if x:\n    y"]);
});

test("a call shows its signature with the argument that is typed, until the cursor leaves it", async () => {
  const console_ = await fresh();
  const { keyboard } = console_.page;
  await console_.write(1, "");
  await keyboard.type("print(");
  const docs = console_.cell(1).locator(".docs");
  await docs.waitFor();
  assert.equal(await docs.locator(".now").textContent(), "*args");
  assert.match(await docs.textContent(), /Prints the values to a stream/);
  await accessible(console_.page, "a signature");
  await keyboard.type("1");
  assert.equal(await docs.count(), 1);
  await keyboard.type(")");
  await docs.waitFor({ state: "detached" });
});

test("completions say what they are", async () => {
  const console_ = await fresh();
  await console_.write(1, "");
  await console_.page.keyboard.type("pr");
  await console_.page.keyboard.press("Control+Space");
  const options = console_.cell(1).locator(".cm-tooltip-autocomplete li");
  await options.filter({ hasText: "print" }).waitFor();
  assert.equal(await options.filter({ hasText: "print" }).locator(".cm-completionDetail").textContent(), "function");
});

test("text is found and replaced in all cells", async () => {
  const console_ = await fresh();
  const { page } = console_;
  await console_.opens(["alpha = 1", "print(alpha)", "# Alpha and alpha"]);
  await console_.cell(1).locator(".cm-content").click();
  await page.keyboard.press("Control+f");
  const bar = page.getByRole("search", { name: "Find in all cells" });
  await bar.getByLabel("Find", { exact: true }).fill("alpha");
  await bar.getByText("4 places").waitFor();
  await accessible(page, "finding");
  await page.keyboard.press("Enter");
  await bar.getByText("1 of 4").waitFor();
  assert.equal(await console_.cell(1).locator(".cm-found-now").textContent(), "alpha");
  await page.keyboard.press("Shift+Enter");
  await bar.getByText("4 of 4").waitFor();
  await bar.getByRole("button", { name: "Match case" }).click();
  await bar.getByText("3 of 3").waitFor();
  await bar.getByRole("button", { name: "Regular expression" }).click();
  await bar.getByLabel("Find", { exact: true }).fill("al(");
  await bar.getByRole("status").filter({ hasText: /nterminated|nmatched|group/i }).waitFor();
  await bar.getByLabel("Find", { exact: true }).fill("al\\w+");
  await bar.getByLabel("Replace with").fill("beta");
  await bar.getByRole("button", { name: "Replace all" }).click();
  await bar.getByText("3 places replaced.").waitFor();
  assert.deepEqual(await codes(console_), ["beta = 1", "print(beta)", "# Alpha and beta"]);
  await page.keyboard.press("Escape");
  assert.equal(await bar.count(), 0);
  assert.equal(await page.locator(".cm-found").count(), 0);
});

test("the contents lead to the headings, and follow them", async () => {
  const console_ = await fresh();
  const { page } = console_;
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), menu(console_, "Open a file")]);
  await chooser.setFiles({ name: "tutorial.ipynb", mimeType: "text/plain", buffer: Buffer.from(JSON.stringify(NOTEBOOKS.tutorial)) });
  await console_.cell(3).getByRole("heading", { name: "Values" }).waitFor();
  await menu(console_, "Contents");
  const contents = page.getByRole("navigation", { name: "Contents" });
  assert.deepEqual(await contents.getByRole("button").allTextContents(), ["Loops", "Values"]);
  await accessible(page, "the contents");
  await contents.getByRole("button", { name: "Values" }).click();
  assert.equal(await console_.cell(3).evaluate((cell) => cell.classList.contains("selected")), true);
  await console_.cell(3).locator(".prose").dblclick();
  await page.keyboard.press("Control+Home");
  await page.keyboard.insertText("## More\n\n");
  await page.keyboard.press("Escape");
  await contents.getByRole("button", { name: "More" }).waitFor();
});
