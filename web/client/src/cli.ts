#!/usr/bin/env node
/// <reference types="node" />
// `npx cellgate`: runs the gateway's program in the place of this one, with the same arguments, signals and exit status.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { namedBinary, packagedBinary } from "./platform.js";

/** What a terminal or a supervisor sends to end a program, or to have it read its settings again. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

/** A signal that comes twice within it is one: npm passes on what a terminal has sent to its whole process group. */
const ONE_SIGNAL_MS = 300;

try {
  // Not by the PATH, where npx puts this very file.
  run(namedBinary() ?? packagedBinary());
} catch (error) {
  fail((error as Error).message);
}

function run(binary: string): void {
  // The gateway refuses variables that it does not know, and these are of the client.
  const { CELLGATE_BINARY, CELLGATE_URL, ...env } = process.env;
  let child: ChildProcess | undefined;
  // Before it starts, so that no signal ends this process and leaves the gateway behind.
  for (const signal of SIGNALS) {
    let last = -Infinity;
    process.on(signal, () => {
      const now = performance.now();
      if (now - last > ONE_SIGNAL_MS) child?.kill(signal);
      last = now;
    });
  }
  // In a process group of its own, Ctrl-C reaches the gateway by this process alone: a second SIGINT would end it at once
  // instead of letting its sessions end.
  child = spawn(binary, process.argv.slice(2), { stdio: "inherit", env, detached: true });
  child.on("error", (error) => fail(`cannot run ${binary}: ${error.message}`));
  child.on("exit", (code, signal) => {
    if (!signal) process.exit(code ?? 1);
    // Ends by the same signal, as who waits for this process would see it of the gateway.
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function fail(message: string): void {
  console.error(`cellgate: ${message}`);
  process.exit(1);
}
