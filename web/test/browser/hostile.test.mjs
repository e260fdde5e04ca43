// Cells that mean harm: whatever they show, print, raise or ask stays where it was put.
//
// Each shows something to do with its marker. The page must look and work as before, nothing may
// be asked of the gateway but what the page itself asks, and nothing may leave a frame.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Listener } from "../fake/listener.mjs";
import { ConsolePage, lines, stage, startGateway, startWithProfile, TIMEOUT_MS } from "./console.mjs";
import { bundle, PROGRAMS } from "./programs.mjs";

const the = stage();
const { fresh } = the;

/** Adds a hostile program, whose code the fake gateway plays too. */
function shows(name, data) {
  PROGRAMS[`hostile ${name}`] = bundle({ ...data, "text/plain": "harmless" });
  return PROGRAMS[`hostile ${name}`].code;
}

/** Opens a console that watches itself. */
async function watched() {
  const console_ = await fresh();
  const { page, context } = console_;
  const seen = [];
  page.on("dialog", (dialog) => { seen.push(`dialog ${dialog.message()}`); void dialog.dismiss(); });
  context.on("page", (opened) => seen.push(`page ${opened.url()}`));
  page.on("download", (download) => seen.push(`download ${download.url()}`));
  page.on("framenavigated", (frame) => { if (frame === page.mainFrame()) seen.push(`navigated to ${frame.url()}`); });
  await page.evaluate(() => { globalThis.untouched = true; document.cookie = "mark=1"; });
  await page.evaluate(() => navigator.clipboard.writeText("mine"));
  const look = () => page.evaluate(() => ({
    title: document.title.replace(/^.* · /, ""),
    ground: getComputedStyle(document.body).backgroundColor,
    bar: JSON.stringify(document.getElementById("bar").getBoundingClientRect()),
    top: document.elementFromPoint(innerWidth / 2, 10)?.closest("#header") !== null,
    scripts: document.querySelectorAll("main script, main style, main link, main base, main meta, main object, main embed").length,
    handlers: [...document.querySelectorAll("main *")].flatMap((e) => [...e.attributes]).filter((a) => /^on/.test(a.name)).length,
    links: [...document.querySelectorAll("main a[href]")].map((a) => a.protocol).filter((p) => !/^https?:$/.test(p)),
    frames: [...document.querySelectorAll("iframe")].every((f) => f.getAttribute("sandbox") === "allow-scripts"),
  }));
  const before = await look();
  const asked = the.gateway.requests.length;
  return {
    console_, page,
    /** Nothing has happened. */
    async same(what) {
      // Whatever was to happen later has happened once another cell has run.
      await page.locator(".add").click();
      await console_.runTo(await page.locator(".cell").count(), PROGRAMS.hello.code);
      assert.deepEqual(seen, [], what);
      assert.equal(await page.evaluate(() => globalThis.untouched), true, `${what}: the page was loaded anew`);
      assert.equal(await page.evaluate(() => globalThis.stolen), undefined, what);
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "mine", what);
      const after = await look();
      assert.deepEqual({ ...after, bar: "" }, { ...before, bar: "" }, what);
      const since = the.gateway.requests.slice(asked).filter((request) => !/ \/assets\/| \/v1\/sessions\/[^/]+\/files$/.test(request));
      assert.deepEqual(since, [], `${what}: asked of the gateway`);
    },
  };
}

test("scripts in HTML run apart from the page, or not at all", async () => {
  const { console_, same } = await watched();
  await console_.runTo(1, shows("script", {
    "text/html": `<p id="p">before</p><script>
      const tries = [() => { parent.document.title = "taken"; }, () => { top.location = "/stolen"; }, () => { parent.stolen = 1; },
        () => { localStorage.setItem("a", "b"); }, () => { document.cookie = "a=b"; }, () => { open("/stolen"); }, () => { alert("here"); }];
      let failed = 0;
      for (const attempt of tries) try { attempt(); } catch { failed += 1; }
      document.getElementById("p").textContent = "tried " + tries.length + ", origin " + origin;
    </script>`,
  }));
  await console_.output(1).frameLocator("iframe").getByText("tried 7, origin null").waitFor();
  await same("a script");
  for (const html of ["<img src=x onerror='parent.stolen=1;stolen=1'>", "<b onclick='stolen=1' onmouseover='stolen=1'>b</b>", "<details open ontoggle='stolen=1'><summary>a</summary></details>",
    "<math><mtext><table><mglyph><style><img src=x onerror=stolen=1>", "<form action='/stolen'><input name=a autofocus><button>go</button></form>", "<base href='https://evil.invalid/'>", "<meta http-equiv=refresh content='0;url=/stolen'>",
    "<iframe srcdoc='<script>top.stolen=1</script>'></iframe>", "<object data='data:text/html,<script>top.stolen=1</script>'></object>", "<link rel=stylesheet href='/stolen'>"]) {
    await console_.runTo(1, shows(html, { "text/html": html }));
  }
  await same("HTML with handlers");
});

test("javascript: links lead nowhere", async () => {
  const { console_, page, same } = await watched();
  await console_.runTo(1, shows("link", { "text/html": "<a href=\"javascript:top.stolen=1;parent.stolen=1;alert(1)\">press</a>" }));
  await console_.output(1).frameLocator("iframe").getByText("press").click();
  await same("a link in HTML");
  await console_.runTo(1, shows("markdown link", { "text/markdown": "[press](javascript:globalThis.stolen=1) <a href=' javascript:globalThis.stolen=1'>or this</a> [data](data:text/html,<script>1</script>)" }));
  await console_.output(1).getByText("press").waitFor();
  assert.deepEqual(await console_.output(1).locator("a[href]").evaluateAll((links) => links.map((a) => a.href).filter((href) => !href.startsWith("http"))), []);
  await console_.output(1).getByText("press").click();
  await console_.output(1).getByText("or this").click();
  await page.waitForFunction(() => true);
  await same("a link in Markdown");
});

test("drawings run no scripts", async () => {
  const { console_, same } = await watched();
  const svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"40\" height=\"40\" onload=\"top.stolen=1;parent.stolen=1\"><script>top.stolen=1</script><image href=\"/stolen\" width=\"9\" height=\"9\"/><foreignObject><iframe xmlns=\"http://www.w3.org/1999/xhtml\" src=\"/stolen\"></iframe></foreignObject><rect width=\"40\" height=\"40\" fill=\"teal\"/></svg>";
  await console_.runTo(1, shows("svg", { "image/svg+xml": svg }));
  await console_.output(1).locator("img").waitFor();
  assert.equal(await console_.output(1).locator("svg rect").count(), 0, "it is shown as an image, never as part of the page");
  await console_.output(1).getByRole("button", { name: /Enlarge/ }).click();
  await console_.page.locator("dialog.viewer").waitFor();
  await console_.page.keyboard.press("Escape");
  await same("an SVG image");
  await console_.runTo(1, shows("svg in html", { "text/html": svg }));
  await console_.output(1).locator("iframe").waitFor();
  await same("an SVG in HTML");
  await console_.runTo(1, shows("svg in markdown", { "text/markdown": `text ${svg}` }));
  await console_.output(1).getByText("text").waitFor();
  await same("an SVG in Markdown");
});

test("a style that repaints everything repaints its frame", async () => {
  const { console_, same } = await watched();
  const style = "<style>* { background: red !important; position: fixed !important; inset: 0 !important; z-index: 2147483647 !important } body::before { content: 'taken' }</style><p style='position:fixed;inset:0'>over everything</p>";
  await console_.runTo(1, shows("style", { "text/html": style }));
  const frame = console_.output(1).locator("iframe");
  await frame.waitFor();
  await same("a style in HTML");
  await console_.runTo(1, shows("style in markdown", { "text/markdown": `text\n\n${style}` }));
  await console_.output(1).getByText("text").waitFor();
  await same("a style in Markdown");
  await console_.runTo(1, shows("class in markdown", { "text/markdown": "<p class='dialog toast' id='live'>text</p>" }));
  await console_.output(1).getByText("text").waitFor();
  assert.equal(await console_.page.locator("#live").count(), 1);
});

test("escape sequences change the text and nothing else", async () => {
  const { console_, same } = await watched();
  const text = ["\u001b]0;taken\u0007", "\u001b]2;taken\u001b\\", "\u001b]8;;javascript:stolen=1\u0007press\u001b]8;;\u0007 ", "\u001b]8;;file:///etc/passwd\u0007file\u001b]8;;\u0007 ",
    "\u001b]52;c;c3RvbGVu\u0007", "\u001b]1337;File=inline=1:AAAA\u0007", "\u001bc\u001b[2J\u001b[H\u001b[6n\u001b[?1049h\u001b[5i", "\u001bP1$r0m\u001b\\", "end"].join("");
  PROGRAMS.escapes = { code: `print(${JSON.stringify(text).replace(/[\u001b\u0007]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`)})`, play(cell) { cell.out(`${text}\n`); } };
  await console_.runTo(1, PROGRAMS.escapes.code);
  const shown = (await lines(console_, 1)).join("\n");
  assert.match(shown, /press file/);
  assert.match(shown, /end$/);
  assert.equal(await console_.output(1).locator("a").count(), 0);
  await same("escape sequences");
});

test("names, errors, tables, JSON and questions are text", async () => {
  const { console_, same } = await watched();
  const tag = "<img src=x onerror=globalThis.stolen=1>";
  PROGRAMS.raises = {
    code: `raise ValueError(${JSON.stringify(tag)})`,
    play(cell, id) {
      cell.emit("error", { name: "ValueError", value: tag, traceback: [`ValueError: ${tag}`], frames: [{ cell: id, file: `<${tag}>`, line: 1, function: tag, source: tag }] });
      return { status: "error" };
    },
  };
  await console_.runTo(1, PROGRAMS.raises.code, "error");
  assert.match(await console_.output(1).textContent(), /<img src=x/);
  await console_.runTo(1, shows("table", { "application/vnd.dataresource+json": { schema: { fields: [{ name: tag, type: "string" }, { name: "__proto__", type: "string" }] }, data: [{ [tag]: tag }] } }));
  assert.match(await console_.output(1).locator("tbody").textContent(), /<img src=x/);
  await console_.runTo(1, shows("json", { "application/json": { [tag]: tag, constructor: { prototype: tag } } }));
  assert.match(await console_.output(1).textContent(), /<img src=x/);
  PROGRAMS.asksBadly = { code: `input(${JSON.stringify(tag)})`, async play(cell) { await cell.input(tag); } };
  await console_.run(1, PROGRAMS.asksBadly.code);
  const field = console_.output(1).locator("input");
  await field.fill(tag);
  await field.press("Enter");
  await console_.phase(1, "ok");
  await same("text");
});

test("a frame reaches neither the gateway nor the page", async () => {
  const { console_, same } = await watched();
  await console_.runTo(1, shows("reach", {
    "text/html": `<p id="p">trying</p><script>
      const home = document.referrer ? new URL(document.referrer).origin : "${the.gateway.url}";
      const failed = (what) => new Promise((resolve) => what(() => resolve("no"), () => resolve("yes")));
      (async () => {
        const results = [
          await fetch(home + "/v1/sessions?stolen").then(() => "yes", () => "no"),
          await fetch(home + "/stolen", { mode: "no-cors", credentials: "include" }).then(() => "yes", () => "no"),
          await failed((no, yes) => { try { const ws = new WebSocket(home.replace("http", "ws") + "/ws?stolen"); ws.onopen = yes; ws.onerror = no; } catch { no(); } }),
          await failed((no, yes) => { const image = new Image(); image.onload = yes; image.onerror = no; image.src = home + "/stolen.png"; }),
          await failed((no, yes) => { const script = document.createElement("script"); script.onload = yes; script.onerror = no; script.src = home + "/stolen.js"; document.head.append(script); }),
          await failed((no, yes) => { const frame = document.createElement("iframe"); frame.onload = no; frame.src = home + "/stolen.html"; document.body.append(frame); setTimeout(no, 1000); }),
          navigator.sendBeacon && (() => { try { return navigator.sendBeacon(home + "/stolen") ? "sent" : "no"; } catch { return "no"; } })(),
          await failed((no, yes) => { try { const source = new EventSource(home + "/stolen"); source.onopen = yes; source.onerror = no; } catch { no(); } }),
        ];
        const form = document.createElement("form");
        form.action = home + "/stolen"; form.method = "post"; document.body.append(form);
        try { form.submit(); } catch { /* as it should */ }
        for (const lie of [{ cellgate: "height", height: 1e12 }, { cellgate: "height", height: "<b>" }, { cellgate: "failed", reason: "<img src=x onerror=stolen=1>" }, null, "x", { type: "done" }]) parent.postMessage(lie, "*");
        document.getElementById("p").textContent = "tried " + results.filter((one) => one === "yes").length;
      })();
    </script>`,
  }));
  await console_.output(1).frameLocator("iframe").getByText("tried 0").waitFor();
  const { height } = await console_.output(1).locator("iframe").boundingBox();
  assert.ok(height <= 2000, `${height}`);
  await same("a frame");
});

/**
 * HTML that tries every way to a network that a content security policy does not cover: from itself, from frames
 * within it, from shadow trees and from a worker. It says "tried" when it is through. `made`: by links that a script makes, too.
 */
function leaks({ udpPort, tcpPort }, made = true) {
  const peer = `
    for (const name of ["RTCPeerConnection", "webkitRTCPeerConnection"]) try {
      const peer = new globalThis[name]({ iceServers: [{ urls: "stun:127.0.0.1:${udpPort}" },
        { urls: "turn:127.0.0.1:${tcpPort}?transport=tcp", username: "a", credential: "b" }] });
      peer.createDataChannel("a");
      peer.createOffer().then((offer) => peer.setLocalDescription(offer));
    } catch {}`;
  const hints = ["preconnect", "dns-prefetch", "prefetch", "preload", "modulepreload", "prerender", "icon", "manifest"];
  const links = hints.map((rel) => `<link rel="${rel}" href="http://127.0.0.1:${tcpPort}/${rel}">`).join("");
  const speculation = `<script type="speculationrules">{"prefetch":[{"source":"list","eagerness":"immediate","urls":["http://127.0.0.1:${tcpPort}/rules"]}]}</scr` + `ipt>`;
  const inner = `${links}<script>${peer}</scr` + `ipt>`;
  return `<p id="p">trying</p>${links}${speculation}
    <iframe srcdoc="${inner.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}"></iframe>
    <script>
      ${peer}
      const inner = ${JSON.stringify(inner).replaceAll("</", "<\\/")};
      const attempt = (what) => { try { what(); } catch {} };
      for (const rel of ${JSON.stringify(made ? hints : [])}) attempt(() => {
        document.head.append(Object.assign(document.createElement("link"), { rel, href: "http://127.0.0.1:${tcpPort}/made-" + rel }));
      });
      attempt(() => {
        const frame = document.createElement("iframe");
        document.body.append(frame);
        const within = frame.contentWindow;
        new within.RTCPeerConnection({ iceServers: [{ urls: "stun:127.0.0.1:${udpPort}" }] }).createDataChannel("a");
      });
      for (const mode of ["open", "closed"]) attempt(() => {
        const host = document.createElement("div");
        document.body.append(host);
        const shadow = host.attachShadow({ mode });
        shadow.append(Object.assign(document.createElement("iframe"), { srcdoc: inner }));
      });
      attempt(() => {
        const host = document.createElement("div");
        document.body.append(host);
        host.setHTMLUnsafe("<div><template shadowrootmode=closed><iframe></iframe></template></div>");
      });
      attempt(() => document.body.append(Object.assign(document.createElement("iframe"), { srcdoc: inner })));
      attempt(() => document.body.append(Object.assign(document.createElement("iframe"), { src: "javascript:" + ${JSON.stringify(peer)} })));
      attempt(() => document.body.append(Object.assign(document.createElement("iframe"), { src: "data:text/html," + encodeURIComponent(inner) })));
      attempt(() => document.body.append(Object.assign(document.createElement("iframe"), { src: URL.createObjectURL(new Blob([inner], { type: "text/html" })) })));
      attempt(() => document.body.append(Object.assign(document.createElement("object"), { data: "data:text/html," + encodeURIComponent(inner) })));
      attempt(() => navigator.sendBeacon("http://127.0.0.1:${tcpPort}/beacon"));
      attempt(() => fetchLater("http://127.0.0.1:${tcpPort}/later", { activateAfter: 0 }));
      attempt(() => new WebSocketStream("ws://127.0.0.1:${tcpPort}/stream"));
      attempt(() => new WebTransport("https://127.0.0.1:${udpPort}/transport"));
      attempt(() => new Worker(URL.createObjectURL(new Blob([${JSON.stringify(peer + `
        fetch("http://127.0.0.1:${tcpPort}/worker").catch(() => {});
        try { new WebTransport("https://127.0.0.1:${udpPort}/worker"); } catch {}
        try { importScripts("http://127.0.0.1:${tcpPort}/worker.js"); } catch {}`)}]))));
      setTimeout(() => { document.getElementById("p").textContent = "tried"; }, 2500);
    </script>`;
}

/** Shows what leaks in a console of a browser with a profile; answers what was heard of it. */
async function heardOf(gateway, made) {
  const listener = await new Listener().listen();
  const context = await startWithProfile();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT_MS);
    const console_ = new ConsolePage(page, context);
    await page.goto(`${gateway.url}/#token=${gateway.token}`);
    await console_.ready();
    await console_.runTo(1, shows("leaks", { "text/html": leaks(listener, made) }));
    await console_.output(1).frameLocator("iframe").getByText("tried").waitFor();
    await console_.output(1).locator(".note", { hasText: "frames within output are not shown" }).waitFor();
    await page.locator(".add").click();
    await console_.runTo(2, PROGRAMS.hello.code);
    return listener.heard;
  } finally {
    await context.close();
    await listener.close();
  }
}

test("nothing leaves a frame by WebRTC, preconnect or another way past the policy", async () => {
  assert.deepEqual(await heardOf(the.gateway, true), []);
});

test("WebRTC and written links do not leave a frame where the browser knows no Connection-Allowlist", async () => {
  const gateway = await startGateway({ withoutHeaders: ["connection-allowlist"] });
  try {
    assert.deepEqual(await heardOf(gateway, false), []);
  } finally {
    await gateway.close();
  }
});

test("what tries to leave the frame leaves a page without these policies", async () => {
  // Else the tests before would pass in a browser, or on a machine, where nothing leaves anyway.
  const links = await new Listener().listen();
  const peers = await new Listener().listen();
  const written = await new Listener().listen(`<link rel="preconnect" href="http://127.0.0.1:${links.tcpPort}/">`);
  const open = await new Listener().listen(leaks(peers, false));
  const context = await startWithProfile();
  try {
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${written.tcpPort}/`);
    await page.goto(`http://127.0.0.1:${open.tcpPort}/`);
    await page.getByText("tried").waitFor();
    assert.ok(links.heard.includes("tcp"), "a preconnect");
    assert.ok(peers.heard.includes("udp"), "a STUN request");
  } finally {
    await context.close();
    for (const one of [open, written, peers, links]) await one.close();
  }
});

test("a frame that goes elsewhere is taken away", async () => {
  const console_ = await fresh();
  const asked = the.gateway.requests.length;
  await console_.runTo(1, shows("leaves", { "text/html": `<script>location.href = "${the.gateway.url}/v1/sessions"</script>` }));
  await console_.output(1).locator(".note", { hasText: "tried to leave its frame" }).waitFor();
  assert.equal(await console_.output(1).locator("iframe").count(), 0);
  await console_.runTo(1, shows("leaves further", { "text/html": "<script>location.href = 'https://evil.invalid/'</script>" }));
  await console_.output(1).locator(".note", { hasText: "tried to leave its frame" }).waitFor();
  // What it asked for, it asked for without any key: the gateway refuses it.
  const since = the.gateway.requests.slice(asked).filter((request) => / \/v1\/sessions$/.test(request));
  assert.ok(since.length <= 1, since.join(", "));
  const refused = await fetch(`${the.gateway.url}/v1/sessions`);
  assert.ok(refused.status === 401 || refused.status === 404, `${refused.status}`);
});

test("the page's policy allows nothing inline and nothing from elsewhere", async () => {
  const console_ = await fresh();
  const tried = await console_.page.evaluate(async () => {
    const script = document.createElement("script");
    let text = "set";
    try { script.textContent = "globalThis.ran = 1"; } catch { text = "refused"; }
    document.head.append(script);
    let html = "set";
    try { document.body.insertAdjacentHTML("beforeend", "<b>x</b>"); } catch { html = "refused"; }
    const fetched = await fetch("https://example.invalid/").then(() => "fetched", () => "refused");
    return { text, html, fetched, ran: globalThis.ran };
  });
  assert.deepEqual(tried, { text: "refused", html: "refused", fetched: "refused", ran: undefined });
});
