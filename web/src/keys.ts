// Keys in command mode: when a cell has the focus and not its text.

export type Command =
  | "edit" | "next" | "previous" | "above" | "below" | "remove" | "undo" | "stop" | "restart" | "help"
  | "run" | "run-advance" | "run-insert" | "move-up" | "move-down" | "first" | "last"
  | "cut" | "copy" | "paste" | "join" | "to-markdown" | "to-code" | "collapse" | "line-numbers" | "find" | "terminal";

export interface KeyHelp { keys: string; does: string }

export const HELP: { title: string; keys: KeyHelp[] }[] = [
  {
    title: "Anywhere in a cell",
    keys: [
      { keys: "Ctrl Enter", does: "Run, stay" },
      { keys: "Shift Enter", does: "Run, go to the next cell" },
      { keys: "Alt Enter", does: "Run, insert a cell below" },
      { keys: "Ctrl `", does: "Open or close the terminal" },
    ],
  },
  {
    title: "In the text",
    keys: [
      { keys: "Escape", does: "Leave the text" },
      { keys: "Tab", does: "Complete, or indent" },
      { keys: "Ctrl Space", does: "Complete" },
      { keys: "Shift Tab", does: "Documentation" },
      { keys: "Ctrl F", does: "Find and replace in all cells" },
      { keys: "Ctrl Shift -", does: "Split the cell" },
    ],
  },
  {
    title: "Outside of the text",
    keys: [
      { keys: "Enter", does: "Edit the cell" },
      { keys: "J / K", does: "Next, previous cell" },
      { keys: "A / B", does: "Insert a cell above, below" },
      { keys: "D D", does: "Delete the cell" },
      { keys: "Z", does: "Bring the deleted cell back" },
      { keys: "Shift J / K", does: "Move the cell" },
      { keys: "X / C / V", does: "Cut, copy, paste below" },
      { keys: "Shift M", does: "Join with the next cell" },
      { keys: "M / Y", does: "Turn into Markdown, into code" },
      { keys: "O", does: "Hide or show the output" },
      { keys: "L", does: "Line numbers" },
      { keys: "F", does: "Find and replace" },
      { keys: "T", does: "Open or close the terminal" },
      { keys: "I I", does: "Stop what runs" },
      { keys: "0 0", does: "Restart the interpreter" },
      { keys: "?", does: "This list" },
    ],
  },
];

const SINGLE: Record<string, Command> = {
  Enter: "edit", j: "next", ArrowDown: "next", k: "previous", ArrowUp: "previous", a: "above", b: "below", z: "undo",
  x: "cut", c: "copy", v: "paste", M: "join", m: "to-markdown", y: "to-code", o: "collapse", l: "line-numbers", f: "find", t: "terminal",
  "?": "help", J: "move-down", K: "move-up", Home: "first", End: "last",
};
const DOUBLE: Record<string, Command> = { d: "remove", i: "stop", "0": "restart" };
const DOUBLE_MS = 800; // the longest pause between the two

export class Keys {
  #last: { key: string; at: number } | null = null;

  /** What a key means, if it means anything. */
  command(event: KeyboardEvent): Command | null {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return "run";
    if (event.key === "Enter" && event.shiftKey) return "run-advance";
    if (event.key === "Enter" && event.altKey) return "run-insert";
    if (event.ctrlKey || event.metaKey || event.altKey) return null;
    const double = DOUBLE[event.key];
    if (!double) {
      this.#last = null;
      return SINGLE[event.key] ?? null;
    }
    const again = this.#last?.key === event.key && event.timeStamp - this.#last.at < DOUBLE_MS && !event.repeat;
    this.#last = again ? null : { key: event.key, at: event.timeStamp };
    return again ? double : null;
  }
}
