import { startBrowser, startGateway, ConsolePage } from "/work/wt/web/web/test/browser/console.mjs";
import { PROGRAMS } from "/work/wt/web/web/test/browser/programs.mjs";
const browser = await startBrowser(); const gateway = await startGateway();
const c = await ConsolePage.open(browser, gateway);
try {
await c.ready();
await c.page.screenshot({ path: "/tmp/look1.png" });
await c.runTo(1, PROGRAMS.hello.code);
for (const name of ["streams","progress","table","markdown","scriptHtml","json"]) {
  await c.page.locator(".add").click();
  const n = await c.page.locator(".cell").count();
  await c.runTo(n, PROGRAMS[name].code);
}
await c.page.locator(".add").click();
let n = await c.page.locator(".cell").count();
await c.runTo(n, PROGRAMS.fails.code, "error");
await c.page.waitForTimeout(500);
await c.page.screenshot({ path: "/tmp/look2.png", fullPage: true });
await c.page.emulateMedia({colorScheme:"dark"});
await c.page.screenshot({ path: "/tmp/look3.png", fullPage: true });
} catch (e) { console.log(String(e).slice(0,2000)); await c.page.screenshot({ path: "/tmp/lookfail.png" }); }
console.log(c.complaints);
await browser.close(); await gateway.close();
