// What a Jupyter notebook holds of one output, as the events that would show it. Apart from the rest of the format,
// which a page does not need until a notebook is opened or saved.

import type { NotebookOutput } from "./document.js";

/** A text of a notebook, which may be a list of its lines. */
export const joined = (text: unknown) => (Array.isArray(text) ? text.join("") : typeof text === "string" ? text : "");

export const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** The events that would show a notebook's output; of a kind that the format does not have, none. */
export type Shown =
  | { type: "stdout" | "stderr"; text: string }
  | { type: "result" | "display"; data: Record<string, unknown>; metadata: Record<string, unknown>; displayId?: string }
  | { type: "error"; name: string; value: string; traceback: string[] };

export function shownBy(output: NotebookOutput): Shown | null {
  const { output_type: type } = output;
  if (type === "stream") return { type: output.name === "stderr" ? "stderr" : "stdout", text: joined(output.text) };
  if (type === "error") {
    return {
      type: "error",
      name: String(output.ename ?? "Error"),
      value: String(output.evalue ?? ""),
      traceback: Array.isArray(output.traceback) ? output.traceback.map(String) : [],
    };
  }
  if (type !== "execute_result" && type !== "display_data") return null;
  const metadata = isRecord(output.metadata) ? output.metadata : {};
  const ours = isRecord(metadata.cellgate) ? metadata.cellgate : {};
  return {
    type: type === "execute_result" ? "result" : "display",
    data: isRecord(output.data) ? output.data : {},
    metadata,
    ...(typeof ours.display_id === "string" && { displayId: ours.display_id }),
  };
}
