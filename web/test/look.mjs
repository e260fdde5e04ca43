import { startBrowser, startGateway, ConsolePage } from "./browser/console.mjs";
import { PROGRAMS } from "./browser/programs.mjs";
const browser = await startBrowser(); const gateway = await startGateway();
const c = await ConsolePage.open(browser, gateway, { viewport: { width: 1200, height: 900 } });
try {
await c.ready();
await c.runTo(1, PROGRAMS.hello.code);
for (const [name, st] of [["streams","ok"],["progress","ok"],["safeHtml","ok"],["scriptHtml","ok"],["plotly","ok"],["vega","ok"],["fails","error"]]) {
  await c.page.locator(".add").click();
  const n = await c.page.locator(".cell").count();
  await c.runTo(n, PROGRAMS[name].code, st);
}
await c.page.locator(".add").click();
let n = await c.page.locator(".cell").count();
await c.runTo(n, "def f(x):\n    return g(x)\n\ndef g(x):\n    import json\n    return json.loads(x)\n\nf('{')", "error");
await c.page.waitForTimeout(1500);
await c.page.screenshot({ path: "/tmp/look2.png", fullPage: true });
} catch (e) { console.log(String(e).slice(0,2000)); await c.page.screenshot({ path: "/tmp/look2.png" }); }
console.log(c.complaints);
await browser.close(); await gateway.close();
