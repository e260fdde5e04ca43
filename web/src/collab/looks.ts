// How people and notes look. A sheet of its own, so that a page on which nobody else is does not load it.

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
#document-notes .apart { margin: 0 0 0.6rem; color: var(--muted); font-size: 12.5px; }
#document-notes .apart:empty { display: none; }
.deleted { display: flex; flex-wrap: wrap; align-items: center; gap: 0.6rem; margin: 0 0 10px; padding: 0.5rem 0.9rem; border: 1px dashed var(--line-strong); border-radius: 9px; background: var(--warn-soft); outline: none; }
.deleted p { margin: 0; flex: 1 1 16rem; }
.faces { display: flex; align-items: center; gap: 3px; }
.faces button { position: relative; min-width: 28px; width: 28px; min-height: 28px; padding: 0; border: 0; border-radius: 50%; background: var(--who); color: var(--who-ink); font-size: 11px; font-weight: 650; letter-spacing: -0.02em; }
.faces button:hover, .faces button:focus-visible { z-index: 1; }
.faces .followed { outline: 2px solid var(--who); outline-offset: 1px; z-index: 1; }
.faces .further { min-width: 28px; width: auto; padding: 0 5px; background: var(--hover); color: var(--ink); }
.box > .persons { position: absolute; z-index: 2; top: -9px; right: 40px; display: flex; gap: 4px; max-width: 60%; pointer-events: none; }
.persons span { padding: 0 7px; border-radius: 8px; background: var(--who); color: var(--who-ink); font-size: 11px; font-weight: 600; line-height: 16px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.cell.visited .box { box-shadow: inset 3px 0 var(--visitor); }
[data-kind="markdown"].visited .box { border-radius: 4px; }
.person select { min-height: 28px; padding: 0 0.4em; border: 1px solid var(--line-strong); border-radius: 7px; background: var(--surface); color: inherit; font: inherit; margin-left: auto; }
html[data-edit="no"] .adds, html[data-edit="no"] .beginnings { display: none; }
html[data-run="no"] .side .go { visibility: hidden; }
@media (max-width: 46rem) {
  .faces button { min-width: 26px; width: 26px; min-height: 26px; }
}
@media (forced-colors: active) {
  .faces button, .persons span { forced-color-adjust: none; }
}`);

let adopted = false;

export function adoptLooks(): void {
  if (!adopted) document.adoptedStyleSheets.push(sheet);
  adopted = true;
}
