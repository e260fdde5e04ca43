// The colours of a terminal: those of the page, in the theme that is in force.

import type { ITheme } from "@xterm/xterm";

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;

/** Reads what the page's variables are now, in the theme that `element` is shown in. */
export function coloursOf(element: HTMLElement): ITheme {
  const probe = document.createElement("span");
  element.append(probe);
  const read = (name: string) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const theme: ITheme = {
    foreground: read("ink"), background: read("surface"), cursor: read("accent"), cursorAccent: read("surface"),
    selectionBackground: read("selection"), selectionInactiveBackground: read("match"),
    scrollbarSliderBackground: read("line"), scrollbarSliderHoverBackground: read("line-strong"), scrollbarSliderActiveBackground: read("line-strong"),
  };
  for (const [at, name] of NAMES.entries()) {
    theme[name] = read(`ansi-${at}`);
    theme[`bright${name.charAt(0).toUpperCase()}${name.slice(1)}` as "brightBlack"] = read(`ansi-${at + 8}`);
  }
  probe.remove();
  return theme;
}
