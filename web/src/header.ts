// The bar at the top: what the session is doing, and what can be done about it.

import { html, nothing, render } from "lit-html";
import type { Console, Overview } from "./console.js";
import { byId, icon } from "./dom.js";
import { bytes, elapsed, ROLE_WORDS, STATE_WORDS } from "./pure/words.js";

export interface HeaderActions {
  menu(button: HTMLElement): unknown;
  share(): unknown;
  people(): unknown;
  rename(): unknown;
  home(): unknown;
  /** Of an embedded page. */
  reset(): unknown;
  openWhole(): unknown;
}

/** How it stands, in a word, and in which colour. */
export function headline(overview: Overview): { kind: string; text: string } {
  const { link } = overview;
  switch (link.kind) {
    case "connecting": return { kind: "starting", text: "Starting" };
    case "waiting":
    case "unavailable": return { kind: "trouble", text: `Reconnecting in ${Math.max(0, Math.ceil((link.at - Date.now()) / 1000))} s` };
    case "refused": return { kind: "trouble", text: "Not connected" };
    case "over": return { kind: "ended", text: "Ended" };
    case "open": break;
  }
  if (overview.stopping !== "no") return { kind: "busy", text: "Stopping …" };
  if (overview.state === "busy") {
    if (overview.running?.asking) return { kind: "asking", text: "Waiting for input" };
    const ran = overview.running === null ? "" : ` · ${elapsed(Date.now() - overview.running.since)}`;
    const behind = overview.queued > 0 ? ` · ${overview.queued} queued` : "";
    return { kind: "busy", text: `Running${ran}${behind}` };
  }
  const words: Record<string, string> = STATE_WORDS;
  return { kind: overview.state, text: words[overview.state] ?? overview.state };
}

function about(overview: Overview, role: string): string {
  const { ready, latency } = overview;
  if (!ready) return "Not connected yet";
  return [
    `${ready.language.name} ${ready.language.version}, template ${ready.template}, ${ready.backend} sandbox`,
    `session ${ready.session}, you are ${role}`,
    latency === null ? "" : `${latency < 10 ? latency.toFixed(1) : Math.round(latency)} ms to the gateway and back`,
  ].filter(Boolean).join("\n");
}

function meter(overview: Overview) {
  const { usage } = overview;
  if (!usage || usage.memory_limit_bytes <= 0) return nothing;
  const share = Math.min(1, usage.memory_bytes / usage.memory_limit_bytes);
  const text = `${bytes(usage.memory_bytes)} of ${bytes(usage.memory_limit_bytes)}`;
  // The bar's width is set as a property: the page's policy allows no style attributes.
  return html`<span class=${share > 0.85 ? "meter high" : "meter"} role="meter" aria-label="Memory" aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${Math.round(share * 100)} aria-valuetext=${text}
      title=${`Memory: ${text}\nCPU: ${Math.round(usage.cpu_percent)} %\nProcesses: ${usage.processes}`}>
    <span class="scale"><span class="level" .style=${`width: ${Math.max(2, share * 100)}%`}></span></span>
    <span aria-hidden="true">${bytes(usage.memory_bytes)}</span></span>`;
}

function people(overview: Overview, show: () => unknown) {
  const { participants } = overview;
  if (participants.length < 2) return nothing;
  const names = participants.map((one) => `${one.name} (${ROLE_WORDS[one.role]})`).join("\n");
  return html`<button type="button" class="bare people" title=${names} aria-label=${`${participants.length} people are here`} @click=${show}>
    ${icon("people")}<span aria-hidden="true">${participants.length}</span></button>`;
}

function controls(console: Console, overview: Overview, actions: HeaderActions) {
  const open = overview.link.kind === "open";
  const busy = overview.state === "busy" && open;
  const single = console.arrival.layout === "single";
  const stubborn = overview.stopping === "stubborn";
  // The two stand in one place: the second click of a double one was not meant for the other.
  const once = (run: () => void) => (event: MouseEvent) => { if (event.detail < 2) run(); };
  return html`
    ${busy ? html`<button type="button" class=${stubborn ? "danger" : "stop"} @click=${once(() => console.runs.interrupt())}
        title=${stubborn ? "It does not stop: restart the interpreter. The variables will be gone" : "Stop what runs (I I)"}>
        ${icon("stop")}<span>${stubborn ? "Force stop" : "Stop"}</span></button>`
      : html`<button type="button" class="primary" ?disabled=${!open} @click=${once(() => console.runs.runAll())}
        title=${single ? "Run (Ctrl+Enter)" : "Run all cells"}>${icon(single ? "run" : "runAll")}<span>${single ? "Run" : "Run all"}</span></button>`}
    ${console.arrival.embed ? html`
      <button type="button" class="bare reset" aria-label="Reset" title="Reset: the code as it was published, in a fresh interpreter" @click=${actions.reset}>${icon("restart")}</button>
      <button type="button" class="bare" aria-label="Open in cellgate" title="Open in cellgate, in a new tab" @click=${actions.openWhole}>${icon("open")}</button>`
      : console.rights.role !== "owner" ? nothing : html`
      <button type="button" class="bare restart" ?disabled=${!open} aria-label="Restart the interpreter" title="Restart the interpreter (0 0)"
        @click=${() => void console.restart()}>${icon("restart")}</button>`}`;
}

export function drawHeader(console: Console, actions: HeaderActions): void {
  const overview = console.overview;
  const { kind, text } = headline(overview);
  const watching = console.rights.role === "viewer";
  render(html`
    <div class="brand">${console.arrival.embed ? html`<span class="mark" aria-hidden="true"></span>` : html`
        <button type="button" class="bare home" aria-label="Home" title="Documents and sessions" @click=${actions.home}><span class="mark"></span></button>`}<h1>cellgate</h1>
      ${console.arrival.embed ? nothing : html`<button type="button" class="title" title="Rename" @click=${actions.rename}>${overview.title}</button>`}</div>
    ${meter(overview)}
    <div class="state" data-state=${kind} title=${about(overview, console.rights.role)}><span class="dot" aria-hidden="true"></span><span>${text}</span>
      ${watching ? html`<span class="role">watching</span>` : nothing}</div>
    <div class="rest">
      ${overview.faces ?? nothing}${console.arrival.embed ? nothing : people(overview, actions.people)}
      ${!console.canRun() ? nothing : controls(console, overview, actions)}
      ${console.arrival.embed ? nothing : html`
        <button type="button" class="bare terminal" aria-label="Terminal" title="Terminal (Ctrl+\`)" aria-pressed=${"terminal" in document.documentElement.dataset ? "true" : "false"}
          @click=${() => console.toggleTerminal()}>${icon("terminal")}</button>
        <button type="button" class="bare" ?disabled=${overview.link.kind !== "open"} aria-label="Share" title="Share" @click=${actions.share}>${icon("share")}</button>
        <button type="button" class="bare" aria-label="Menu" aria-haspopup="menu" title="Menu"
          @click=${(event: Event) => actions.menu(event.currentTarget as HTMLElement)}>${icon("more")}</button>`}
    </div>`, byId("bar"));
}
