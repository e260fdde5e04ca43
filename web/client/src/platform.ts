/// <reference types="node" />
// Where the gateway's program is: in a package of its own for each platform, which npm installs beside this one because
// `optionalDependencies` names it, and of which it leaves out those for other machines.

import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { GatewayNotStarted } from "./failures.js";

/** The packages there are; scripts/npm-packages makes them. */
const PLATFORMS = ["linux-x64", "linux-arm64"];

/** The program of the package for this machine. Throws what to do where there is none. */
export function packagedBinary(): string {
  const platform = `${process.platform}-${process.arch}`;
  const name = `@cellgate/${platform}`;
  const path = found(name);
  if (path) return path;
  const other = "use the gateway's image with Docker, or build it from its source and name it in $CELLGATE_BINARY";
  if (!PLATFORMS.includes(platform)) {
    throw new GatewayNotStarted(`there is no package of the gateway for ${platform}, only for ${PLATFORMS.join(" and ")}; ${other}`);
  }
  if (usesMusl()) {
    throw new GatewayNotStarted(`the gateway's package ${name} needs glibc, and this system has musl; ${other}`);
  }
  throw new GatewayNotStarted(
    `the gateway's package ${name} is not installed: install again without --omit=optional and --no-optional, ` +
    `or add it with \`npm install ${name}\`; else ${other}`,
  );
}

/** The gateway's program: $CELLGATE_BINARY, that of the package for this machine, or the first `cellgate` on the PATH. */
export function findBinary(): string {
  const named = namedBinary();
  if (named) return named;
  try {
    return packagedBinary();
  } catch (error) {
    const onPath = (process.env.PATH ?? "").split(delimiter).map((directory) => join(directory, "cellgate")).find(isExecutable);
    if (onPath) return onPath;
    throw error;
  }
}

/** The program that $CELLGATE_BINARY names. */
export function namedBinary(): string | undefined {
  const named = process.env.CELLGATE_BINARY;
  if (named && !isExecutable(named)) {
    throw new GatewayNotStarted(`$CELLGATE_BINARY names ${named}, which is no program that may be run; correct it`);
  }
  return named || undefined;
}

function found(name: string): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(`${name}/bin/cellgate`);
  } catch {
    return undefined; // it is not installed
  }
}

function usesMusl(): boolean {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return process.platform === "linux" && report !== undefined && !report.header?.glibcVersionRuntime;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
