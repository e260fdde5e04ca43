// What the page and a frame tell each other.

/** Page to frame, once. */
export interface Show {
  kind: "html" | "script" | "plotly" | "vega";
  content: unknown;
  /** Source of the library that the kind needs. */
  library?: string | undefined;
  theme: "light" | "dark";
}

/** Page to frame, when the page turns light or dark. */
export interface Repaint { theme: "light" | "dark" }

/** Frame to page. */
export type FrameReport = { cellgate: "height"; height: number } | { cellgate: "ready" } | { cellgate: "failed"; reason: string }
  /** What it shows cannot be shown here, and what to do instead. */
  | { cellgate: "cannot"; text: string };
