// What an output of a cell is made of, and what it asks of the page around it.

import type { Frames } from "./frames.js";
import type { Place } from "./pure/traceback.js";
import type { Consent } from "./rich/consent.js";
import type { Rich } from "./rich/rich.js";
import type { TableHost } from "./rich/table.js";

/** One thing among the outputs, and how it is taken along. */
export interface Item {
  element: HTMLElement;
  plain(): string;
  markdown(): string;
  /** In the form of a Jupyter notebook's outputs. */
  notebook(): object[];
  /** Lines that a notebook gets nothing of. */
  omitted?(): number;
  /** Lines of text it has, if it is text. */
  lines?(): number;
}

export interface OutputHost {
  frames: Frames;
  /** Whom the tables that a run shows ask for their other rows. */
  tablesOf(run: string): TableHost;
  /** Leads to a line of a cell. */
  goTo(place: Place): void;
  /** What to call that place, or nothing if the cell is not here any more. */
  placeName(place: Place): string | null;
  answer(id: string, text: string | null): void;
  /** Saves everything that a cell wrote. */
  downloadOutput(id: string): void;
  /** Whether this participant may answer. */
  canAnswer(): boolean;
  /** Every output with that display id shows this now. */
  updateDisplay(run: string, displayId: string, data: Record<string, unknown>, metadata: Record<string, unknown>): void;
  /** A view of a widget, if that is what a run shows; else nothing. */
  widget(run: string, data: Record<string, unknown>, metadata: Record<string, unknown>): Rich | null;
  /** What to ask before scripts of what a run shows may run; nothing if they may. */
  consent(run: string): Consent | null;
}
