// Dialogs: keys, sharing, documents, examples, renaming. Loaded once the page stands.

import { html, nothing } from "lit-html";
import type { Participant, SessionToken } from "../client/src/core.js";
import type { Console, Offer, ShareLink } from "./console.js";
import { keepName } from "./credentials.js";
import { openDialog } from "./dialog.js";
import { copy } from "./dom.js";
import { examplesIn } from "./examples.js";
import { HELP } from "./keys.js";
import { Publish } from "./publish.js";
import { interpreterFor, languageOf, languageTitle } from "./pure/languages.js";
import { newDocument, toFragment, written } from "./pure/document.js";
import { moment, ROLE_WORDS, sentence } from "./pure/words.js";

export function showKeys(): void {
  openDialog("Keys", () => html`<div class="keys">${HELP.map((group) => html`
    <section><h3>${group.title}</h3><dl>${group.keys.map(({ keys, does }) => html`
      <div><dt>${keys.split(" ").map((key) => (key === "/" ? " / " : html`<kbd>${key}</kbd>`))}</dt><dd>${does}</dd></div>`)}</dl></section>`)}</div>`);
}

/** What somebody may be let do: its name, and the rest of the sentence. */
const OFFERED: { offer: Offer; name: string; does: string }[] = [
  { offer: { role: "viewer" }, name: "Watch", does: "sees the code and the output" },
  { offer: { role: "editor", edit: false }, name: "Run only", does: "runs, stops and answers, and changes no code" },
  { offer: { role: "editor", run: false }, name: "Edit only", does: "writes code, and runs nothing" },
  { offer: { role: "editor" }, name: "Work along", does: "edits and runs" },
  { offer: { role: "owner" }, name: "Own", does: "may do everything: restart and end the session too" },
];

const same = (one: Offer, other: Offer) => one.role === other.role && (one.run ?? true) === (other.run ?? true) && (one.edit ?? true) === (other.edit ?? true);

const offeredAs = (rights: Offer) => OFFERED.find(({ offer }) => same(offer, rights)) ?? OFFERED[0]!;

export function showShare(console: Console): void {
  const own = console.rights.role;
  const offered = OFFERED.filter(({ offer }) => own === "owner" || same(offer, console.rights));
  let chosen = offered[0]!.offer;
  let link: ShareLink | null = null;
  let links: SessionToken[] = [];
  let problem = "";
  let said = "";
  const list = async () => { if (own === "owner") links = await console.shareLinks(); };
  /** Does something, and says what went wrong, if so, or `done`. */
  const attempt = async (redraw: () => void, what: string, act: () => Promise<void>, done = "") => {
    problem = said = "";
    try {
      await act();
      said = done;
    } catch (error) {
      problem = `${what}: ${sentence((error as Error).message)}`;
    }
    redraw();
  };
  const make = (redraw: () => void) => attempt(redraw, "No link could be made", async () => {
    link = null;
    await list();
    link = await console.shareLink(chosen);
    await list();
  });
  const revoke = async (redraw: () => void, one: SessionToken, event: Event) => {
    if (!confirm("Revoke this link? Who came by it has to leave at once, and it opens nothing any more.")) return;
    const section = (event.target as HTMLElement).closest<HTMLElement>("section");
    await attempt(redraw, "The link was not revoked", async () => {
      await console.revokeLink(one.id);
      if (link?.id === one.id) link = null;
      await list();
    }, "The link is revoked.");
    // The button that had the focus may be gone.
    section?.focus();
  };
  const listed = (redraw: () => void) => html`
    <section class="links" tabindex="-1" aria-label="Links that open this session">
      <h3>Links that open this session</h3>
      ${links.length === 0 ? html`<p class="empty">None.</p>` : html`<ul class="list">${links.map((one) => {
        const made = `made ${moment(one.created)}`;
        return html`<li class="person"><span><strong>${offeredAs(one).name}</strong>
          ${made}, ${one.expires === null ? "ends with the session" : `ends ${moment(one.expires)}`}${one.id === link?.id ? " · the one above" : nothing}</span>
          <button type="button" aria-label=${`Revoke the link made ${moment(one.created)}`} @click=${(event: Event) => void revoke(redraw, one, event)}>Revoke</button></li>`;
      })}</ul>`}</section>`;
  const live = (redraw: () => void) => html`
      <fieldset><legend>Anyone with the link can</legend>${offered.map(({ offer, name, does }) => html`
        <label class="choice"><input type="radio" name="role" .checked=${chosen === offer} @change=${() => { chosen = offer; void make(redraw); }}>
          <span><strong>${name}</strong> ${does}</span></label>`)}</fieldset>
      <label class="field">Link to this live session
        <span class="row"><input readonly .value=${link?.href ?? ""} @focus=${(event: Event) => (event.target as HTMLInputElement).select()}>
        ${link ? html`<button type="button" class="primary" @click=${() => void copy(link!.href, "Link")}>Copy</button>`
          : html`<button type="button" @click=${() => void make(redraw)}>Make a link</button>`}</span></label>
      ${problem ? html`<p class="problem" role="alert">${problem}</p>` : nothing}
      <p class="hint" role="status">${said}</p>
      <p class="hint">The link holds a key to this session and works until an owner revokes it or the session ends.</p>
      ${own === "owner" ? listed(redraw) : nothing}
      ${nameField(console)}
`;
  // A publishable key may allow no links to its sessions.
  const sharing = console.overview.ready?.allowed?.sharing !== false;
  let publish: Publish | null = null;
  openDialog("Share", (redraw) => {
    if (!publish) {
      publish = new Publish(console, redraw);
      if (sharing) void make(redraw);
    }
    return html`${sharing ? live(redraw) : nothing}
      <p><button type="button" @click=${() => void copyCodeLink(console)}>Copy a link with the code alone</button></p>
      ${publish.draw()}`;
  });
}

/** What somebody is, in words. */
const roleOf = (one: Participant) => `${ROLE_WORDS[one.role]}${one.run === false ? ", runs nothing" : ""}${one.edit === false ? ", edits nothing" : ""}`;

/** Where the user says how the others are to call them. */
const nameField = (console: Console) => html`<label class="field">Your name for the others
    <input maxlength="40" .value=${console.ownName} @change=${(event: Event) => { keepName((event.target as HTMLInputElement).value.trim()); console.renamed(); }}></label>
  <p class="hint">It is shown beside your cursor at once, and beside what you run from the next time you connect.</p>`;

export function showPeople(console: Console): void {
  let problem = "";
  let said = "";
  const removeParticipant = async (redraw: () => void, { id, name }: Participant, event: Event) => {
    const who = name.trim() || "this participant";
    if (!confirm(`Remove ${who}? They are disconnected at once. If they came by a link, revoke it too (Share): it would let them in again.`)) return;
    const list = (event.target as HTMLElement).closest<HTMLElement>("ul");
    problem = said = "";
    try {
      await console.showOut(id);
      said = `${who} has been removed.`;
    } catch (error) {
      problem = `${who} was not removed: ${sentence((error as Error).message)}`;
    }
    redraw();
    list?.focus();
  };
  const permit = async (redraw: () => void, { id, name }: Participant, event: Event) => {
    const who = name.trim() || "This participant";
    const field = event.target as HTMLSelectElement;
    const { offer, does } = OFFERED[field.selectedIndex]!;
    problem = said = "";
    try {
      // What is not withheld any more is said too.
      await console.permit(id, { role: offer.role, ...(offer.role === "editor" && { run: offer.run ?? true, edit: offer.edit ?? true }) });
      said = `${who} now ${does}.`;
    } catch (error) {
      problem = `What ${who} may do was not changed: ${sentence((error as Error).message)}`;
    }
    redraw();
  };
  openDialog("Participants", (redraw) => {
    const { participants, ready } = console.overview;
    const mayRemove = console.rights.role === "owner";
    return html`<ul class="list" tabindex="-1" aria-label="Participants">${participants.map((one) => {
      const you = one.id === ready?.participant;
      return html`<li class="person"><span><strong>${one.name}${you ? " (you)" : ""}</strong> ${roleOf(one)}</span>
        ${mayRemove && !you ? html`<select aria-label=${`What ${one.name} may do`} @change=${(event: Event) => void permit(redraw, one, event)}>${OFFERED.map((offered) => html`
          <option .selected=${offered === offeredAs(one)}>${offered.name}</option>`)}</select>
        <button type="button" aria-label=${`Remove ${one.name}`}
          @click=${(event: Event) => void removeParticipant(redraw, one, event)}>Remove</button>` : nothing}</li>`;
    })}</ul>
    ${problem ? html`<p class="problem" role="alert">${problem}</p>` : nothing}
    <p class="hint" role="status">${said}</p>
    ${nameField(console)}`;
  }, true);
}

export async function copyCodeLink(console: Console): Promise<void> {
  const url = new URL(location.href);
  url.search = "";
  const { key, template } = console.arrival;
  for (const [name, value] of Object.entries({ key, template })) if (value) url.searchParams.set(name, value);
  url.hash = `code=${await toFragment(console.document.cells.map(written))}`;
  await copy(url.href, "Link with the code");
}

export function showExamples(console: Console): void {
  const offered = console.languages();
  // That of the page first, then what else the session runs.
  const languages = [...new Set([languageOf(console.newLanguage(), offered), ...offered.map(({ name }) => name)])].filter((name) => examplesIn(name).length > 0);
  openDialog("Examples", (_, close) => html`${languages.map((language) => html`
    ${languages.length > 1 ? html`<h3>${languageTitle(language)}</h3>` : nothing}
    <ul class="list">${examplesIn(language).map(({ title, about, codes }) => html`<li>
    <button type="button" class="item" @click=${() => { void console.open(newDocument(codes, title, interpreterFor(language, offered))); close(); }}>
      <strong>${title}</strong><span>${about}</span></button></li>`)}</ul>`)}
    <p class="hint">They open as a new document; what you have now is kept.</p>`);
}

export function showRename(console: Console): void {
  openDialog("Rename", (_, close) => html`<form @submit=${(event: SubmitEvent) => {
    event.preventDefault();
    console.setTitle(((event.target as HTMLFormElement).elements.namedItem("title") as HTMLInputElement).value.trim());
    close();
  }}><label class="field">Title <input name="title" maxlength="80" autofocus @focus=${(event: Event) => (event.target as HTMLInputElement).select()} .value=${console.overview.title}></label>
    <p><button type="submit" class="primary">Rename</button></p></form>`);
}
