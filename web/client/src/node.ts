/// <reference types="node" />
// `cellgate/node`: a gateway of this program's own, on this machine.
//
//   await using gateway = await Gateway.start();
//   const session = await gateway.connect();
//
// The gateway runs below a small shell, whose standard input is a pipe from this process. When this process ends, however
// that comes about, the kernel closes the pipe, and the shell ends the gateway. When the gateway ends by itself, so does
// the shell.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAddress } from "./address.js";
import { Client } from "./client.js";
import type { ClientOptions } from "./client.js";
import { GatewayNotStarted } from "./failures.js";
import { Session } from "./fullsession.js";
import { findBinary } from "./platform.js";
import type { SessionOptions } from "./session.js";

export { GatewayNotStarted } from "./failures.js";

/** How to start a gateway. */
export interface GatewayOptions {
  /** More flags of `cellgate serve`, such as `["--backend", "local"]`. */
  arguments?: readonly string[];
  /** The program; by default that of $CELLGATE_BINARY, of the package for this machine, or the first `cellgate` on the PATH. */
  binary?: string;
  /** How long it may take until it serves, in milliseconds; 60,000 by default. */
  startTimeoutMs?: number;
}

const WATCH = `
"$@" </dev/null &
gateway=$!
exec 3<&0
( read -r _ <&3; kill -TERM "$gateway" ) 2>/dev/null >/dev/null &
watcher=$!
wait "$gateway"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
`;

// Of the variables for this package a gateway knows none; a token of somebody else would take the random one's place.
const NOT_PASSED_ON = ["CELLGATE_BINARY", "CELLGATE_URL", "CELLGATE_TOKEN", "CELLGATE_TOKEN_FILE"];
const START_TIMEOUT_MS = 60_000;
const END_MS = 20_000; // for cells that run, sandboxes and their files
const LOG_TAIL = 4096; // bytes of the log that an error shows

export class Gateway {
  /** Where it serves. */
  readonly url: string;
  /** Opens sessions. A random one, which the gateway makes itself at its start. */
  readonly token: string;
  readonly #started: Started;

  /** Starts `cellgate serve` on a free port with a random token. It ends with `stop()`, or with this process. */
  static async start(options: GatewayOptions = {}): Promise<Gateway> {
    const started = new Started(options.binary ?? findBinary(), options.arguments ?? []);
    try {
      const { url, token } = await started.address(options.startTimeoutMs ?? START_TIMEOUT_MS);
      return new Gateway(url, token, started);
    } catch (error) {
      await started.stop();
      throw error;
    }
  }

  private constructor(url: string, token: string, started: Started) {
    this.url = url;
    this.token = token;
    this.#started = started;
  }

  /** A session of this gateway; takes what `Session.connect` does. */
  connect(options: Partial<SessionOptions> = {}): Promise<Session> {
    return Session.connect({ url: this.url, token: this.token, ...options });
  }

  /** A client that makes requests to this gateway; takes what `new Client` does. */
  client(options: ClientOptions = {}): Client {
    return new Client({ url: this.url, token: this.token, ...options });
  }

  /** Whether its process lives. */
  get running(): boolean { return this.#started.running; }

  /** The process that watches the gateway; the leader of its process group. */
  get pid(): number { return this.#started.pid; }

  /** What it has logged. */
  log(): string { return this.#started.log(); }

  /** Ends it and all its sessions, and waits until it is gone. */
  stop(): Promise<void> { return this.#started.stop(); }

  [Symbol.asyncDispose](): Promise<void> { return this.stop(); }
}

/** The process of a gateway, and the file with its log. */
class Started {
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;
  #log: number | undefined;
  /** What had been logged when it was stopped. */
  #logged = "";
  #said = "";

  constructor(binary: string, more: readonly string[]) {
    const folder = mkdtempSync(join(tmpdir(), "cellgate-"));
    // Without a name it goes with the last process that holds it open.
    this.#log = openSync(join(folder, "log"), "w+", 0o600);
    rmSync(folder, { recursive: true });
    const command = [binary, "serve", "--listen", "127.0.0.1:0", "--drain-timeout", "2s", ...more];
    this.#process = spawn("/bin/sh", ["-c", WATCH, "cellgate", ...command], {
      stdio: ["pipe", "pipe", this.#log],
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !NOT_PASSED_ON.includes(name))),
      detached: true, // Ctrl-C is for this program, which ends the gateway itself
    });
    this.#exited = new Promise((resolve) => {
      this.#process.once("exit", () => resolve());
      this.#process.once("error", (error) => { this.#said += `${error}\n`; resolve(); });
    });
    // The pipe breaks when the shell ends by itself.
    this.#process.stdin!.on("error", () => {});
  }

  get running(): boolean { return this.#process.exitCode === null && this.#process.signalCode === null; }

  get pid(): number { return this.#process.pid ?? 0; }

  /** Reads the line that says where it serves: `cellgate VERSION (…) at http://ADDRESS/#token=TOKEN`. */
  async address(timeoutMs: number): Promise<{ url: string; token: string }> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<"late">((resolve) => { timer = setTimeout(() => resolve("late"), timeoutMs); });
    const came = await Promise.race([this.#line(), late]);
    clearTimeout(timer);
    if (came === "late") throw new GatewayNotStarted(`the gateway did not serve within ${timeoutMs / 1000} s. ${this.#lastWords()}`);
    const [, place] = / at (http\S+)/.exec(came) ?? [];
    if (!place) throw new GatewayNotStarted(`the gateway did not start. ${this.#lastWords()}`);
    const { base, token } = parseAddress(place);
    if (!token) {
      throw new GatewayNotStarted(
        "the gateway's settings file has a token, so that it made no random one; name a file without one: " +
        'Gateway.start({ arguments: ["--config", "/dev/null"] })',
      );
    }
    // A program that has nothing else to do ends, and the gateway with it.
    this.#process.unref();
    (this.#process.stdin as Socket).unref();
    (this.#process.stdout as Socket).unref();
    return { url: base, token };
  }

  /** The first line of its output, or what there is when it ends. */
  async #line(): Promise<string> {
    const output = this.#process.stdout!.setEncoding("utf8");
    return new Promise((resolve) => {
      output.on("data", (text: string) => {
        this.#said += text;
        if (this.#said.includes("\n")) resolve(this.#said.slice(0, this.#said.indexOf("\n")));
      });
      output.once("end", () => resolve(this.#said));
      void this.#exited.then(() => resolve(this.#said));
    });
  }

  log(): string {
    if (this.#log === undefined) return this.#logged;
    const bytes = Buffer.alloc(fstatSync(this.#log).size);
    const length = readSync(this.#log, bytes, 0, bytes.length, 0);
    return bytes.toString("utf8", 0, length);
  }

  async stop(): Promise<void> {
    this.#process.ref();
    this.#process.stdin?.end();
    const timer = setTimeout(() => {
      // The shell and the gateway are a process group of their own.
      try { process.kill(-this.pid, "SIGKILL"); } catch { /* it has just ended */ }
    }, END_MS);
    await this.#exited;
    clearTimeout(timer);
    this.#process.stdout?.destroy();
    if (this.#log === undefined) return;
    this.#logged = this.log();
    closeSync(this.#log);
    this.#log = undefined;
  }

  #lastWords(): string {
    const said = this.log().slice(-LOG_TAIL).trim();
    return said ? `Its log ends with:\n${said}` : "It logged nothing.";
  }
}
