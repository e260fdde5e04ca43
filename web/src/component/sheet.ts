// How a cell looks before it becomes the embedded page. A sheet of its own in a shadow tree: neither the page's styles
// nor its policy against inline ones matter.

export const SHEET = `
:host { display: block; margin: 1em 0; color-scheme: light dark; --ink: light-dark(#1f2430, #dcdfe4); --muted: light-dark(#5d6675, #9aa3b2); --line: light-dark(#dde1e8, #323844); --accent: light-dark(#2f5fd0, #6d9bff); }
:host([hidden]) { display: none; }
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
.box { border: 1px solid var(--line); border-radius: 10px; background: light-dark(#fff, #1b1e24); color: var(--ink); font: 14px/1.5 system-ui, sans-serif; overflow: hidden; }
pre { margin: 0; padding: 10px 14px; overflow: auto; font: 13.5px/1.55 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; tab-size: 4; cursor: text; }
:host([readonly]) pre { cursor: auto; }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; padding: 6px 10px; border-top: 1px solid var(--line); }
button { min-height: 28px; padding: 2px 12px; border: 1px solid var(--line); border-radius: 7px; background: transparent; color: inherit; font: inherit; cursor: pointer; }
.run { border-color: transparent; background: var(--accent); color: light-dark(#fff, #0d1526); }
button:disabled { opacity: 0.6; cursor: default; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
pre:focus-visible { outline-offset: -2px; }
p { flex: 1 1 12rem; margin: 0; color: var(--muted); font-size: 13px; overflow-wrap: anywhere; }
.bad { color: light-dark(#b3261e, #ff8a80); }
iframe { display: block; box-sizing: border-box; width: 100%; border: 1px solid var(--line); border-radius: 10px; }
.loading { position: absolute; visibility: hidden; }
[hidden] { display: none; }
.comment { color: light-dark(#68707e, #8b95a5); font-style: italic; }
.string { color: light-dark(#1d6f42, #9ccc8f); }
.keyword { color: light-dark(#8a2ea6, #d39cf0); }
.number { color: light-dark(#a34700, #f0a878); }
`;
