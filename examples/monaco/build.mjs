// Builds the page into dist/: `npm run build`. With `--serve` it also serves this folder, and builds anew when the page is loaded: `npm start`.

import { context } from "esbuild";

const page = await context({
  entryPoints: { main: "main.js", worker: "monaco-editor/editor/editor.worker.js" },
  outdir: "dist", bundle: true, format: "esm", splitting: true, minify: true, target: "es2022", logLevel: "warning", legalComments: "linked",
  loader: { ".ttf": "file" },
  // y-monaco names files of Monaco as they were called before version 0.56.
  alias: { "monaco-editor/esm/vs/editor/editor.api.js": "monaco-editor/editor/editor.api.js" },
});
await page.rebuild();
if (process.argv.includes("--serve")) {
  const { port } = await page.serve({ servedir: ".", host: "127.0.0.1", port: 8000 });
  console.log(`http://127.0.0.1:${port}`);
} else {
  await page.dispose();
}
