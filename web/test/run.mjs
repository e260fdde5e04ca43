// Builds what the tests of one kind need, then runs them: `node test/run.mjs unit|browser|scripted [FILE…]`, with files by
// the beginning of their names. `scripted`: those tests in the browser that need answers which only the scripted gateway
// gives; their names begin with "with a script: ". All others run against a real gateway where there is one.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const scripted = process.argv[2] === "scripted";
const kind = scripted || process.argv[2] === "browser" ? "browser" : "unit";
const SCRIPTED = "with a script: ";
const files = process.argv.slice(3);
const web = fileURLToPath(new URL("..", import.meta.url));
const run = (...command) => execFileSync(process.execPath, command, { cwd: web, stdio: "inherit" });

run("node_modules/typescript/bin/tsc", "-p", "client", "--outDir", "dist/client");
if (kind === "unit") {
  // The parts of the page that need no document.
  await build({
    absWorkingDir: web, entryPoints: readdirSync(`${web}/src/pure`).map((file) => `src/pure/${file}`),
    outdir: "dist/pure", format: "esm", bundle: true, splitting: true, platform: "neutral", logLevel: "warning",
  });
} else {
  run("build.mjs", "dist/page");
}
const tests = readdirSync(`${web}/test/${kind}`)
  .filter((file) => file.endsWith(".test.mjs") && (files.length === 0 || files.some((name) => file.startsWith(name))))
  .map((file) => `test/${kind}/${file}`)
  .filter((file) => !scripted || readFileSync(`${web}/${file}`, "utf8").includes(`test("${SCRIPTED}`));
// Each file has a browser. Mostly they wait, so that a few at a time take little longer than one.
const only = scripted ? [`--test-name-pattern=^${SCRIPTED}`] : [];
run("--test", "--test-concurrency=3", "--test-timeout=900000", ...only, ...tests);
