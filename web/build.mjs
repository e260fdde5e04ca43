// Builds the page into a directory: `node build.mjs DIRECTORY`.
//
//   DIRECTORY/index.html          names everything else by its hash
//   DIRECTORY/assets/…            hashed, may be cached for ever
//   DIRECTORY/embed.js            what pages of other sites load, whose address does not change
//   DIRECTORY/….gz, .br           compressed forms, where they are smaller
//   DIRECTORY/assets.tsv          one line an asset: path, content type, immutable, encodings, CSP,
//                                 and further headers, `name: value` each with ` | ` between them
//
// `build/page.rs` reads the list and embeds what it names.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const web = fileURLToPath(new URL(".", import.meta.url));
const out = process.argv[2];
if (!out) throw new Error("usage: node build.mjs DIRECTORY");

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

// The gateway adds `frame-ancestors`, which its settings decide. No inline script or style, nothing from elsewhere, and no HTML from strings but what the two
// named policies made safe. `connect-src 'self'` covers the WebSocket of the same origin.
const PAGE_CSP = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:",
  "media-src data: blob:", "connect-src 'self'", "frame-src 'self'", "base-uri 'none'", "form-action 'none'",
  "require-trusted-types-for 'script'", "trusted-types lit-html dompurify",
].join("; ");

// What a cell shows may run scripts, but in an origin of its own and without any network.
const FRAME_CSP = [
  "sandbox allow-scripts", "default-src 'none'", "script-src 'unsafe-inline' 'unsafe-eval' blob: data:",
  "style-src 'unsafe-inline'", "img-src data: blob:", "font-src data:", "media-src data: blob:",
  "worker-src blob:", "form-action 'none'", "base-uri 'none'",
].join("; ");

// A policy covers neither WebRTC nor what only connects (preconnect, DNS prefetch). The allowlist, which is
// empty, covers every connection, of frames within the frame too; Chromium has it from 152 on. For other
// browsers there is src/frame/network.ts.
const FRAME_HEADERS = { "connection-allowlist": "();webrtc=block", "x-dns-prefetch-control": "off" };

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, "assets"), { recursive: true });

const common = { absWorkingDir: web, bundle: true, minify: true, target: "es2022", logLevel: "warning", legalComments: "none" };

/**
 * Writes content under a name with its hash; answers the path. `headers` is what is sent with it: browsers keep
 * both for ever, so that the name has to change with either.
 */
function hashed(name, content, headers = "") {
  const hash = createHash("sha256").update(content).update(headers).digest("base64url").replace(/[-_]/g, "").slice(0, 8);
  const path = `assets/${basename(name, extname(name))}-${hash}${extname(name)}`;
  writeFileSync(join(out, path), content);
  return path;
}

async function script(entry, options = {}) {
  const result = await build({ ...common, entryPoints: [entry], format: "iife", write: false, ...options });
  return result.outputFiles[0].text;
}

// What runs inside the frames: the frame itself, and libraries that are handed into it as text.
const frameScript = (await script("src/frame/frame.ts")).replace(/<\/script/gi, "<\\/script");
const frameHtml = readFileSync(join(web, "src/frame/frame.html"), "utf8").replace("/*script*/", () => frameScript);
const libraries = {
  frame: hashed("frame.html", frameHtml, FRAME_CSP + JSON.stringify(FRAME_HEADERS)),
  plotly: hashed("plotly.js", readFileSync(join(web, "node_modules/plotly.js-cartesian-dist-min/plotly-cartesian.min.js"))),
  vega: hashed("vega.js", await script("src/frame/vega.ts")),
  widgets: hashed("widgets.js", await script("src/frame/widgets/library.ts", {
    define: { WIDGETS_CSS: JSON.stringify(await script("src/frame/widgets/widgets.css", { loader: { ".svg": "dataurl" } })) },
  })),
};

/** Gives the languages' packages the stub of the one that completes. */
const withoutCompletion = {
  name: "without completion",
  setup({ onResolve }) {
    onResolve({ filter: /^@codemirror\/autocomplete$/ }, ({ importer }) =>
      (/@codemirror[\\/]lang-/.test(importer) ? { path: join(web, "stubs/autocomplete.js"), sideEffects: false } : undefined));
  },
};

/** xterm.js sets inline styles, which the page's policy forbids: it makes its elements by a document that does it otherwise. */
const withoutInlineStyles = {
  name: "without inline styles",
  setup({ onLoad }) {
    onLoad({ filter: /@xterm[\\/]xterm[\\/]lib[\\/]xterm\.mjs$/ }, ({ path }) => ({
      contents: `import { strictDocument as document } from ${JSON.stringify(join(web, "src/terminal/styles.ts"))};\n${readFileSync(path, "utf8")}`,
    }));
  },
};

const page = await build({
  ...common,
  plugins: [withoutCompletion, withoutInlineStyles],
  entryPoints: { console: "src/main.ts", style: "src/style/page.css" },
  outdir: join(out, "assets"),
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  format: "esm",
  splitting: true,
  metafile: true,
  define: { ASSETS: JSON.stringify(libraries) },
});
const outputs = Object.entries(page.metafile.outputs);
const built = (entry) => {
  const found = outputs.find(([, output]) => output.entryPoint === entry);
  return [`assets/${basename(found[0])}`, found[1]];
};
const [scriptPath, scriptOutput] = built("src/main.ts");
const [stylePath] = built("src/style/page.css");
const preload = scriptOutput.imports.filter((i) => i.kind === "import-statement").map((i) => `assets/${basename(i.path)}`);
const icon = hashed("icon.svg", readFileSync(join(web, "src/icon.svg")));

const html = readFileSync(join(web, "src/index.html"), "utf8")
  .replace("<!--head-->", [
    `<link rel="icon" href="${icon}" type="image/svg+xml">`,
    `<link rel="stylesheet" href="${stylePath}">`,
    ...preload.map((path) => `<link rel="modulepreload" href="${path}">`),
    `<script type="module" src="${scriptPath}"></script>`,
  ].join("\n    "));
writeFileSync(join(out, "index.html"), html);

// The element <cellgate-cell>. Readers of a page load it before anything runs.
const EMBED_BYTES = 15_000; // as it is, without compression
const embed = (await script("src/component/embed.ts", { format: "esm" })).trim();
if (embed.length > EMBED_BYTES) throw new Error(`embed.js is ${embed.length} bytes, more than ${EMBED_BYTES}`);
writeFileSync(join(out, "embed.js"), embed);

const lines = [];
let first = 0;
const firstLoad = new Set(["index.html", scriptPath, stylePath, icon, ...preload]);
for (const path of ["index.html", "embed.js", ...readdirSync(join(out, "assets")).sort().map((file) => `assets/${file}`)]) {
  const content = readFileSync(join(out, path));
  const compressed = {
    gz: gzipSync(content, { level: 9 }),
    br: brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
  };
  const encodings = Object.keys(compressed).filter((encoding) => compressed[encoding].length < content.length * 0.95);
  for (const encoding of encodings) writeFileSync(join(out, `${path}.${encoding}`), compressed[encoding]);
  if (firstLoad.has(path)) first += encodings.includes("gz") ? compressed.gz.length : content.length;
  const csp = path === "index.html" ? PAGE_CSP : path === libraries.frame ? FRAME_CSP : "";
  const headers = path === libraries.frame ? Object.entries(FRAME_HEADERS).map(([name, value]) => `${name}: ${value}`).join(" | ") : "";
  lines.push([path, TYPES[extname(path)], path.startsWith("assets/") ? "immutable" : "", encodings.join(","), csp, headers].join("\t"));
}
writeFileSync(join(out, "assets.tsv"), lines.join("\n") + "\n");

const FIRST_LOAD_BYTES = 200 << 10; // gzip; what a visitor waits for
if (first > FIRST_LOAD_BYTES) throw new Error(`the first load is ${first} bytes, more than ${FIRST_LOAD_BYTES}`);
console.log(`page: ${lines.length} assets, first load ${(first / 1024).toFixed(0)} KiB compressed, embed.js ${embed.length} bytes`);
