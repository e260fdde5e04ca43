// What the page says: sizes, times, and how cells and sessions ended, in sentences.

import type { Done, SessionState } from "../../client/src/protocol.js";

/** 1536 → "1.5 KiB". */
export function bytes(count: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  const text = unit === 0 || value >= 100 ? String(Math.round(value)) : value.toFixed(1).replace(/\.0$/, "");
  return `${text} ${units[unit]}`;
}

/** 83456 → "1 min 23 s". */
export function duration(ms: number): string {
  if (ms < 1) return "under 1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How long something has been running, in whole seconds: 2500 → "2 s". */
export function elapsed(ms: number): string {
  return ms < 60_000 ? `${Math.max(0, Math.floor(ms / 1000))} s` : duration(ms);
}

/** Thousands apart: 1000000 → "1,000,000". */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

/** How a cell ended, for the line under it; empty when there is nothing to say. */
export function ending(done: Pick<Done, "status" | "detail" | "state_kept" | "duration_ms">, memoryLimit?: number): string {
  const after = done.state_kept ? "" : " The variables are gone.";
  switch (done.status) {
    case "ok":
    case "error":
      return done.state_kept ? "" : after.trim();
    case "interrupted": return `Stopped.${after}`;
    case "timeout": return `Ran out of time after ${duration(done.duration_ms)}.${after}`;
    case "oom": return memoryLimit
      ? `Ran out of memory: the limit is ${bytes(memoryLimit)}.${after}`
      : `Ran out of memory.${after}`;
    case "output_limit": return `Wrote more output than is allowed.${after}`;
    case "exited": return `${sentence(done.detail) || "The interpreter ended."}${after}`;
    case "killed": return `${sentence(done.detail) || "Did not stop when asked, and was killed."}${after}`;
    case "cancelled": return "Did not run: it was taken out of the queue.";
    case "lost": return `${sentence(done.detail) || "Lost: the sandbox went away."}`;
  }
}

/** A capital at the front and a full stop at the end. */
export function sentence(text: string | undefined): string {
  const trimmed = text?.trim() ?? "";
  if (trimmed === "") return "";
  const capital = trimmed[0]!.toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}

/** What a session is doing, in a word or two. */
export const STATE_WORDS: Record<SessionState, string> = {
  starting: "Starting",
  idle: "Ready",
  busy: "Running",
  restarting: "Restarting",
  ended: "Ended",
};

/** Why an interpreter was replaced. */
export function restartReason(reason: string): string {
  switch (reason) {
    case "requested": return "Restarted: the variables are gone.";
    case "oom": return "The interpreter ran out of memory and was started anew: the variables are gone.";
    default: return `The interpreter was started anew (${reason.replace(/_/g, " ")}): the variables are gone.`;
  }
}
