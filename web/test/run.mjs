// Builds what the tests of one kind need, then runs them: `node test/run.mjs unit|browser [FILE…]`, with files by the
// beginning of their names.

import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const kind = process.argv[2] === "browser" ? "browser" : "unit";
const files = process.argv.slice(3);
const web = fileURLToPath(new URL("..", import.meta.url));
const run = (...command) => execFileSync(process.execPath, command, { cwd: web, stdio: "inherit" });

run("node_modules/typescript/bin/tsc", "-p", "client", "--outDir", "dist/client");
// The parts of the page that need no document; the scripted gateway uses some too.
await build({
  absWorkingDir: web, entryPoints: readdirSync(`${web}/src/pure`).map((file) => `src/pure/${file}`),
  outdir: "dist/pure", format: "esm", bundle: true, splitting: true, platform: "neutral", logLevel: "warning",
});
if (kind === "browser") run("build.mjs", "dist/page");
const tests = readdirSync(`${web}/test/${kind}`)
  .filter((file) => file.endsWith(".test.mjs") && (files.length === 0 || files.some((name) => file.startsWith(name)))).map((file) => `test/${kind}/${file}`);
// Each file has a browser and listeners of its own. More of them at a time would slow each other down.
run("--test", "--test-concurrency=3", "--test-timeout=900000", ...tests);
