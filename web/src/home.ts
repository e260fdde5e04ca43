// Where one begins and comes back to: the documents of this browser, and the sessions that its token made.

import { html, nothing } from "lit-html";
import type { Console } from "./console.js";
import { gatewayToken } from "./credentials.js";
import { ask, openDialog } from "./dialog.js";
import { showExamples } from "./dialogs.js";
import { icon } from "./dom.js";
import { openFile } from "./openfile.js";
import { newDocument } from "./pure/document.js";
import { bytes, count, moment, sentence, STATE_WORDS } from "./pure/words.js";
import { documentOf, forgetRecent, sessionOf } from "./recent.js";
import { blankDocument } from "./store.js";

interface SessionInfo { id: string; template: string; state: keyof typeof STATE_WORDS; participants: number; cells: number; created: number; memory_bytes?: number }

/** The sessions that the token of this tab made; `null` where it lists none, as a publishable key or a share link. */
async function sessions(): Promise<SessionInfo[] | null> {
  const token = gatewayToken();
  const response = await fetch("v1/sessions", token ? { headers: { authorization: `Bearer ${token}` } } : {});
  if (response.status === 401 || response.status === 403) return null;
  if (!response.ok) throw new Error(`the gateway answered ${response.status}`);
  return ((await response.json()) as { sessions: SessionInfo[] }).sessions;
}

async function endSession(id: string): Promise<void> {
  const token = gatewayToken();
  const response = await fetch(`v1/sessions/${encodeURIComponent(id)}`, { method: "DELETE", ...(token && { headers: { authorization: `Bearer ${token}` } }) });
  if (!response.ok && response.status !== 404) throw new Error(`the gateway answered ${response.status}`);
  forgetRecent(id);
}

export function showHome(console: Console): void {
  let live: SessionInfo[] | null = [];
  let problem = "";
  let begun = false;
  openDialog("Home", (redraw, close) => {
    const look = async () => {
      try {
        live = await sessions();
        problem = "";
      } catch (error) {
        problem = `The sessions cannot be listed: ${sentence((error as Error).message)}`;
      }
      redraw();
    };
    if (!begun) {
      begun = true;
      void look();
    }
    const here = console.link.session?.id;
    const ids = new Set(live?.map(({ id }) => id));
    const documents = console.store.list();
    const current = console.document.id;
    const open = async (id: string) => {
      const key = sessionOf(id); // before the document is taken to be of the session here
      const found = await console.store.open(id);
      if (!found) {
        problem = "That document is open in another tab of this browser.";
        return redraw();
      }
      close();
      await console.open(found);
      // It comes back to its own session, if that lives.
      if (key && key.session !== here && (live === null || ids.has(key.session))) console.join(key);
    };
    const join = async (session: SessionInfo) => {
      const document = documentOf(session.id);
      const key = sessionOf(document ?? "") ?? { session: session.id, token: gatewayToken() ?? "" };
      const found = document === null || document === current ? null : await console.store.open(document);
      close();
      if (found) await console.open(found);
      else if (document !== current) await console.open(blankDocument());
      console.join(key);
    };
    const end = async (session: SessionInfo) => {
      if (!await ask("End this session?", "Its variables and files will be gone, for everybody in it. Documents stay.", "End it")) return;
      try {
        await endSession(session.id);
      } catch (error) {
        problem = `The session was not ended: ${sentence((error as Error).message)}`;
      }
      await look();
    };
    const remove = async (id: string, title: string) => {
      if (!await ask(`Delete “${title}”?`, "Its code and its outputs are deleted from this browser.", "Delete")) return;
      console.store.remove(id);
      redraw();
    };
    return html`
      <p class="offers"><button type="button" class="primary" @click=${() => { close(); void console.open(newDocument([""])); }}>New document</button>
        <button type="button" @click=${() => { close(); openFile(console); }}>Open a file</button>
        <button type="button" @click=${() => { close(); showExamples(console); }}>Examples</button></p>
      ${problem ? html`<p class="problem" role="alert">${problem}</p>` : nothing}
      <h3>Documents in this browser</h3>
      ${documents.length === 0 ? html`<p class="empty">None yet: a document is kept as soon as it is changed.</p>` : html`<ul class="list">${documents.map(({ id, title, updated }) => {
        const key = sessionOf(id);
        const alive = key !== null && ids.has(key.session);
        return html`<li><button type="button" class="item" ?disabled=${id === current} @click=${() => void open(id)}>
            <strong>${title}</strong><span>${id === current ? "open here" : moment(updated)}${alive ? " · its session is running" : ""}</span></button>
          <button type="button" class="bare" ?disabled=${id === current} aria-label=${`Delete ${title}`} @click=${() => void remove(id, title)}>${icon("remove")}</button></li>`;
      })}</ul>`}
      ${live === null ? nothing : html`<h3>Running sessions</h3>
        ${live.length === 0 ? html`<p class="empty">None.</p>` : html`<ul class="list">${live.map((session) => {
          const name = console.store.titleOf(documentOf(session.id)) ?? `Session ${session.id.slice(0, 6)}`;
          const about = [
            `since ${moment(session.created)}`, STATE_WORDS[session.state] ?? session.state, session.template,
            session.memory_bytes === undefined ? "" : bytes(session.memory_bytes), count(session.participants, "participant"),
          ].filter(Boolean).join(" · ");
          return html`<li><button type="button" class="item" ?disabled=${session.id === here} @click=${() => void join(session)}>
              <strong>${name}</strong><span>${session.id === here ? `open here · ${about}` : about}</span></button>
            <button type="button" aria-label=${`End ${name}`} @click=${() => void end(session)}>End</button></li>`;
        })}</ul>`}`}`;
  });
}
