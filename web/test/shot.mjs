import { startBrowser, startGateway, ConsolePage } from "./browser/console.mjs";
import { NOTEBOOKS } from "./notebooks.mjs";
const browser = await startBrowser(); const gateway = await startGateway();
const open = async (c, name, nb) => {
  await c.page.getByRole("button", { name: "Menu", exact: true }).click();
  const [chooser] = await Promise.all([c.page.waitForEvent("filechooser"), c.page.getByRole("menuitem", { name: "Open a file" }).click()]);
  await chooser.setFiles({ name: `${name}.ipynb`, mimeType: "text/plain", buffer: Buffer.from(JSON.stringify(nb)) });
  await c.page.waitForTimeout(800);
};
for (const [name, opts] of [["wide-light", { colorScheme: "light" }], ["wide-dark", { colorScheme: "dark" }], ["phone-light", { colorScheme: "light", viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }]]) {
  const c = await ConsolePage.open(browser, gateway, opts); await c.ready();
  if (name === "wide-light") { await c.page.waitForTimeout(300); await c.page.screenshot({ path: `/tmp/s-first.png` }); }
  await open(c, "tutorial", { ...NOTEBOOKS.tutorial, cells: [...NOTEBOOKS.tutorial.cells, ...NOTEBOOKS.withErrors.cells] });
  await c.cell(2).locator(".go").click(); await c.phase(2, "ok");
  await c.cell(5).locator(".go").click(); await c.phase(5, "error");
  await c.cell(2).locator(".cm-content").click(); await c.page.keyboard.press("Control+End"); await c.page.keyboard.insertText("  # more"); await c.page.waitForTimeout(200);
  await c.page.screenshot({ path: `/tmp/s-${name}.png`, fullPage: name === "phone-light" });
  if (name !== "phone-light") {
    await c.page.getByRole("button", { name: "Actions for cell 2" }).click(); await c.page.waitForTimeout(200);
    await c.page.screenshot({ path: `/tmp/s-${name}-menu.png` }); await c.page.keyboard.press("Escape");
    await c.page.getByRole("button", { name: "Home", exact: true }).click(); await c.page.waitForTimeout(700);
    await c.page.screenshot({ path: `/tmp/s-${name}-home.png` }); await c.page.keyboard.press("Escape");
    await c.cell(2).focus(); await c.page.keyboard.press("f"); await c.page.waitForTimeout(500); await c.page.keyboard.insertText("n"); await c.page.waitForTimeout(300);
    await c.page.screenshot({ path: `/tmp/s-${name}-find.png` }); await c.page.keyboard.press("Escape");
    await c.page.locator(".add").click(); await c.page.waitForTimeout(300); await c.page.keyboard.type("sorted("); await c.page.waitForTimeout(700);
    await c.page.screenshot({ path: `/tmp/s-${name}-sig.png` });
    await c.page.keyboard.press("Escape"); await c.page.keyboard.press("Control+a"); await c.page.keyboard.type("import os\nos.pa", { delay: 30 }); await c.page.waitForTimeout(700);
    await c.page.screenshot({ path: `/tmp/s-${name}-compl.png` });
  }
  console.log(name, c.complaints);
  await c.close();
}
await gateway.close(); await browser.close();
