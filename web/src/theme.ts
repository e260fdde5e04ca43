// Light, dark, or as the system says.

import { ofBrowser } from "./storage.js";

export type Theme = "light" | "dark" | "system";

/** Fired at the window when the page turns light or dark. */
export const THEME_CHANGED = "cellgate-theme";

const KEY = "cellgate.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** What the page around this one asks for. */
let wanted: Theme | null = null;

export function wantTheme(theme: string | null): void {
  wanted = theme === "light" || theme === "dark" ? theme : null;
}

export function chosenTheme(): Theme {
  if (wanted) return wanted;
  const stored = ofBrowser.getItem(KEY);
  return stored === "light" || stored === "dark" ? stored : "system";
}

export function chooseTheme(theme: Theme): void {
  ofBrowser.setItem(KEY, theme);
  applyTheme();
}

export function currentTheme(): "light" | "dark" {
  const chosen = chosenTheme();
  return chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
}

/** Style sheets use `light-dark()`, which follows the colour scheme of the root. */
export function applyTheme(): void {
  document.documentElement.dataset.theme = chosenTheme();
  dispatchEvent(new Event(THEME_CHANGED));
}

dark.addEventListener("change", () => dispatchEvent(new Event(THEME_CHANGED)));
