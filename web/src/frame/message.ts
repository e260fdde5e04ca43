// What the page and a frame tell each other.

/** Page to frame, once. */
export interface Show {
  kind: "html" | "script" | "plotly" | "vega" | "widget";
  content: unknown;
  /** Source of the library that the kind needs. */
  library?: string | undefined;
  theme: "light" | "dark";
}

/** Page to frame, when the page turns light or dark. */
export interface Repaint { theme: "light" | "dark" }

/** The content of a widget's frame: the widget that it shows, and all models that it refers to. */
export interface WidgetContent { root: string; models: { id: string; state: Record<string, unknown> }[] }

/** What becomes of a frame's models, in order. */
export type WidgetStep =
  | { open: string; state: Record<string, unknown> }
  /** `token`: the frame's own message that led to it. */
  | { update: string; state: Record<string, unknown>; echo: boolean; token?: string }
  | { custom: string; content: unknown; buffers: ArrayBuffer[] }
  | { close: string }
  /** The message with that token was handled by the interpreter, or never will be. */
  | { handled: string }
  /** The interpreter is gone. */
  | { disconnected: true };

/** Page to frame, any time after `Show` with a widget. */
export interface Steps { steps: WidgetStep[] }

/** Frame to page. */
export type FrameReport = { cellgate: "height"; height: number } | { cellgate: "ready" } | { cellgate: "failed"; reason: string }
  /** What it shows cannot be shown here, and what to do instead. */
  | { cellgate: "cannot"; text: string }
  | CommReport;

/** A message of a model's comm. `touched`: the user has pressed or typed something in this frame. */
export interface CommReport { cellgate: "comm"; id: string; token: string; data: unknown; buffers: ArrayBuffer[]; touched: boolean }
