// Above the cells: what is wrong with the connection, and what can be done about it.

import { html, nothing, render } from "lit-html";
import { CloseCode } from "../client/src/core.js";
import { byId } from "./dom.js";
import type { Link, LinkState } from "./link.js";
import { sentence } from "./pure/words.js";

export class Banner {
  readonly #root = byId("banner");
  readonly #link: Link;
  readonly #key: string | null;

  /** `key`: the publishable key that the page came by. */
  constructor(link: Link, key: string | null) {
    this.#link = link;
    this.#key = key;
  }

  show(state: LinkState): void {
    render(this.#content(state), this.#root);
  }

  #content(state: LinkState) {
    switch (state.kind) {
      case "refused":
        if (this.#key) return html`<div class="banner warn"><p>The gateway does not accept the key of this page. Its publisher has to
          compare <code>${this.#key}</code> with the key in the gateway's settings.</p></div>`;
        return html`
          <form class="banner" @submit=${(event: SubmitEvent) => this.#signIn(event)}>
            <p>${state.wrong ? "The gateway does not accept that token." : "This gateway asks for a token."}
              It is in the address that was printed when the gateway started.</p>
            <label>Token <input name="token" type="password" autocomplete="current-password" required></label>
            <button type="submit" class="primary">Connect</button>
          </form>`;
      case "unavailable":
        return html`<div class="banner warn"><p>${sentence(state.why)} Reconnects automatically in ${secondsTo(state.at)} s. Your code is kept here.</p>
          <button type="button" @click=${() => this.#link.retryNow()}>Try now</button></div>`;
      case "waiting":
        return html`<div class="banner warn"><p>${state.stopped
          ? `The gateway is shutting down, and running code ends with it. Reconnects automatically in ${secondsTo(state.at)} s. Your code is kept here.`
          : `Connection lost. Reconnects automatically in ${secondsTo(state.at)} s. Running code keeps running.`}</p>
          <button type="button" @click=${() => this.#link.retryNow()}>Reconnect now</button></div>`;
      case "over":
        return html`<div class="banner"><p>${over(state)}</p>
          <button type="button" class="primary" @click=${() => (state.code === CloseCode.Replaced ? void this.#link.start() : this.#link.startNew())}>
            ${state.code === CloseCode.Replaced ? "Use it here" : "Start a new session"}</button></div>`;
      default:
        return nothing;
    }
  }

  #signIn(event: SubmitEvent): void {
    event.preventDefault();
    const field = (event.target as HTMLFormElement).elements.namedItem("token") as HTMLInputElement;
    // The whole address is as good: people copy what they see.
    const found = /[?#&]token=([^&\s]+)/.exec(field.value);
    this.#link.signIn(found ? decodeURIComponent(found[1]!) : field.value.trim());
  }
}

/** How it came to an end, and what is left. */
function over({ code, why }: { code: number; why: string }): string {
  switch (code) {
    case CloseCode.Unauthorised: return `${sentence(why)} Ask for a new link to come back. Your code is kept here.`;
    case CloseCode.Replaced: return `${sentence(why)} Your code is kept here.`;
    case 0: return sentence(why); // no session was made
    case CloseCode.NoSuchSession: return "The session is gone: the gateway no longer has it. Your code is kept here; the variables are gone.";
    default: return `${/session/i.test(why) ? "" : "The session has ended: "}${sentence(why)} Your code is kept here; the variables are gone.`;
  }
}

function secondsTo(at: number): number {
  return Math.max(0, Math.ceil((at - Date.now()) / 1000));
}
