// Questions that programs ask a terminal by escape sequences: what it is, where its cursor stands, which colours it has.
//
// Its answers are input of the program. When several pages show one terminal, or one shows again what was written before,
// the program would get answers that it did not ask for, as if somebody had typed them: they are left out.

import type { Terminal } from "@xterm/xterm";

/** Questions whose sequences begin with CSI: device attributes, device status, modes, the version of the terminal. */
const CSI: { prefix?: string; intermediates?: string; final: string }[] = [
  { final: "c" }, { prefix: ">", final: "c" }, { prefix: "=", final: "c" },
  { final: "n" }, { prefix: "?", final: "n" },
  { intermediates: "$", final: "p" }, { prefix: "?", intermediates: "$", final: "p" },
  { prefix: ">", final: "q" },
];
/** Colours: of the palette, the text, the ground and the cursor. They are questions if they have a question mark. */
const OSC = [4, 10, 11, 12];

/** Answers only while `mayAnswer` says so. */
export function answerOnly(terminal: Terminal, mayAnswer: () => boolean): void {
  const { parser } = terminal;
  for (const id of CSI) parser.registerCsiHandler(id, () => !mayAnswer());
  for (const code of OSC) parser.registerOscHandler(code, (data) => data.includes("?") && !mayAnswer());
  parser.registerDcsHandler({ intermediates: "$", final: "q" }, () => !mayAnswer());
}
