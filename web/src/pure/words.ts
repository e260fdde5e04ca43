// What the page says: sizes, times, and how cells and sessions ended, in sentences.

import type { Done, DoneStatus, Role, SessionState } from "../../client/src/protocol.js";

/** 1536 → "1.5 KiB". */
export function bytes(count: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  const text = unit === 0 || value >= 100 ? String(Math.round(value)) : value.toFixed(1).replace(/\.0$/, "");
  return `${text} ${count === 1 ? "byte" : units[unit]}`;
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

/** A time of today by its hour, another one with its date. */
export function moment(at: number): string {
  const date = new Date(at);
  return date.toDateString() === new Date().toDateString()
    ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })
    : date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
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
    case "killed": return `Did not stop when asked and was killed${hungAt(done.detail)}.${after}`;
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
  idle: "Ready",
  busy: "Running",
  restarting: "Restarting",
  ended: "Ended",
};

/** What somebody may do, in a word. */
export const ROLE_WORDS: Record<Role, string> = { owner: "owner", editor: "editor", viewer: "viewer" };

/** An interpreter was replaced. Why it ended is said beside the cell that it ended with. `language`: of one that is not the session's first. */
export function restarted(by: string | undefined, language?: string): string {
  return by === undefined ? `A fresh ${language ? `${language} ` : ""}interpreter took over: ${language ? "its" : "the"} variables are gone.` : "Restarted: the variables are gone.";
}

/** How a cell ended, for those who hear the page: "finished in 2.1 s, 14 lines." */
export function outcome(done: Pick<Done, "status" | "duration_ms">, lines: number): string {
  const how = done.status === "ok" ? "finished" : done.status === "error" ? "failed" : SPOKEN[done.status];
  const ran = done.status === "cancelled" ? "" : ` ${done.status === "timeout" ? "after" : "in"} ${duration(done.duration_ms)}`;
  return `${how}${ran}${lines > 0 ? `, ${count(lines, "line")}` : ""}.`;
}

const SPOKEN: Record<Exclude<DoneStatus, "ok" | "error">, string> = {
  interrupted: "was stopped", timeout: "ran out of time", oom: "ran out of memory", output_limit: "wrote too much",
  exited: "lost its interpreter", killed: "was killed", cancelled: "did not run", lost: "was lost",
};

/** Where a killed cell hung: the innermost line of a cell in the stacks that `detail` ends with. */
function hungAt(detail: string | undefined): string {
  const found = /File "<(cell \d+)>", line (\d+)/.exec(detail ?? "");
  return found ? `, at ${found[1]}, line ${found[2]}` : "";
}
