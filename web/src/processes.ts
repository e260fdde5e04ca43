// The panel of processes: the programs that are open in the session, and a button that stops each.

import { html, nothing, render } from "lit-html";
import type { TemplateResult } from "lit-html";
import type { ProgramInfo } from "../client/src/core.js";
import type { Console } from "./console.js";
import { commandOf } from "./pure/command.js";
import { languageTitle } from "./pure/languages.js";
import { count } from "./pure/words.js";
import { TERMINAL } from "./pure/programs.js";
import { openSide } from "./side.js";

export function showProcesses(console: Console): void {
  /** Those that were asked to end, and did not yet. */
  const asked = new Set<string>();
  const draw = () => {
    const { all } = console.programs;
    for (const id of asked) if (!all.some((one) => one.id === id)) asked.delete(id);
    render(html`<p class="hint" role="status">${count(all.length, "program")}.</p>
      <ul class="variables" aria-label="Processes">${all.map((one, at) => entry(one, at === 0))}</ul>`, side.content);
  };
  const entry = (one: ProgramInfo, first: boolean): TemplateResult => {
    const name = one.kind === "interpreter" ? `${languageTitle(one.language ?? one.id)}${one.version ? ` ${one.version}` : ""}` : one.id === TERMINAL ? "Terminal" : one.id;
    const again = asked.has(one.id);
    const said = [one.pid !== undefined && `pid ${one.pid}`, one.by !== undefined && `by ${one.by}`].filter(Boolean).join(" · ");
    return html`<li>
      <div class="name"><strong>${name}</strong><span class="type">${one.kind}</span><span class="size">${said}</span>
        ${first || !console.canRun() ? nothing : html`<button type="button" aria-label=${`${again ? "Kill" : "Stop"} ${name}`}
          title=${again || one.kind === "interpreter" ? "Ends it with all that it started" : "Asks it to end (SIGTERM)"}
          @click=${() => stop(one)}>${again ? "Kill" : "Stop"}</button>`}</div>
      ${one.argv ? html`<div class="preview" title=${commandOf(one.argv)}>${commandOf(one.argv)}</div>` : nothing}</li>`;
  };
  const stop = (one: ProgramInfo) => {
    const hard = one.kind === "interpreter" || asked.has(one.id);
    asked.add(one.id);
    console.runs.ask(() => console.link.session?.toProgram(hard ? { type: "close", id: one.id } : { type: "signal", id: one.id, signal: "SIGTERM" }));
    draw();
  };
  const leave = console.programs.onChange(() => draw());
  const side = openSide("Processes", leave);
  draw();
}
