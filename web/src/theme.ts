// Light, dark, or as the system says.

export type Theme = "light" | "dark" | "system";

const KEY = "cellgate.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export function chosenTheme(): Theme {
  const stored = localStorage.getItem(KEY);
  return stored === "light" || stored === "dark" ? stored : "system";
}

export function chooseTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  applyTheme();
}

export function currentTheme(): "light" | "dark" {
  const chosen = chosenTheme();
  return chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
}

/** Style sheets use `light-dark()`, which follows the colour scheme of the root. */
export function applyTheme(): void {
  document.documentElement.dataset.theme = chosenTheme();
}
