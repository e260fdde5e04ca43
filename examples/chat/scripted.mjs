// The scripted model: answers a few questions by fixed steps, which look at the output of real code as a model does. It
// shows the page without a key for an API, and is what the tests talk to.

import { setTimeout as pause } from "node:timers/promises";
import * as programs from "./programs.mjs";

/** Milliseconds between two words, and between two pieces of code. */
const WORD_MS = 25;
const PIECE_MS = 12;
const PIECE = 9; // characters

const FENCE = /```[^\n`]*\n([\s\S]*?)```/g;

const SCRIPTS = [
  { question: "How far apart are the primes below 10,000?", play: primes },
  { question: "Estimate π by throwing darts", play: darts },
  { question: "Run something that takes long, so that I can stop it", play: long },
  { question: "Which variables does the session have?", play: variables },
];

export class ScriptedModel {
  name = "scripted";
  isScripted = true;
  suggestions = SCRIPTS.map(({ question }) => question);

  open() { return new ScriptedConversation(); }
}

class ScriptedConversation {
  async *answer(text, signal) {
    const tell = new Teller(signal);
    const own = [...text.matchAll(FENCE)].map(([, code]) => code.replace(/\n$/, ""));
    const script = SCRIPTS.find(({ question }) => question.toLowerCase() === text.trim().toLowerCase());
    if (own.length > 0) yield* fenced(tell, own);
    else if (script) yield* script.play(tell);
    else {
      const known = SCRIPTS.map(({ question }) => `- ${question}`).join("\n");
      yield* tell.says(`I am a script, and have no answer to that. I know these questions:\n\n${known}\n\nI also run Python that you write between two lines of three backticks. With \`OPENAI_API_KEY\` set, a real model answers here.`);
    }
  }
}

/** Says text word by word and writes code piece by piece, as a model of an API does. */
class Teller {
  #cells = 0;

  constructor(signal) { this.signal = signal; }

  async *says(text) {
    for (const word of text.match(/\s*\S+\s*/g)) {
      yield { type: "text", text: word };
      await pause(WORD_MS, undefined, { signal: this.signal });
    }
  }

  /** Answers the outcome. */
  async *runs(code) {
    const cell = this.#cells += 1;
    const characters = [...code];
    for (let at = 0; at < characters.length; at += PIECE) {
      yield { type: "code", cell, text: characters.slice(at, at + PIECE).join("") };
      await pause(PIECE_MS, undefined, { signal: this.signal });
    }
    return (yield { type: "run", cell, code }).outcome;
  }

  /** Says how a cell ended that did not end as the script expects it; answers whether it did. */
  async *failed(outcome, found) {
    if (outcome.ok && found !== null) return false;
    yield* this.says(outcome.status === "interrupted"
      ? "You have stopped the code, so I have no number to tell. The variables that it had made are still there."
      : `That did not go as the script expects: the code ended as **${outcome.status}**, and I read this of it:\n\n\`\`\`\n${outcome.forModel(600)}\n\`\`\``);
    return true;
  }
}

async function* primes(tell) {
  yield* tell.says("I look for the primes below 10,000, count them in each thousand, and measure the **largest gap** between two neighbours.");
  const counted = yield* tell.runs(programs.PRIMES);
  const found = /largest gap: (\d+) after (\d+)\nmost frequent gap: (\d+)\nmatplotlib: (yes|no)/.exec(counted.stdout);
  if (yield* tell.failed(counted, found)) return;
  const [, gap, after, frequent, matplotlib] = found;
  yield* tell.says(`The output says that the largest gap is ${gap}. Now all gaps, as a plot` +
    (matplotlib === "yes" ? ":" : ". This Python has no matplotlib, so I draw it as SVG by hand:"));
  const plotted = yield* tell.runs(matplotlib === "yes" ? programs.GAPS_BY_MATPLOTLIB : programs.GAPS_BY_HAND);
  if (yield* tell.failed(plotted, "")) return;
  yield* tell.says(`Neighbouring primes below 10,000 are at most **${gap}** apart: ${gap} after ${after}. The most frequent gap is ${frequent}. \`primes\` and \`gaps\` stay in the session for your own code.`);
}

async function* darts(tell) {
  yield* tell.says("Of darts that hit a square at random, the share of π / 4 is within the circle. I throw 400,000:");
  const thrown = yield* tell.runs(programs.DARTS);
  const estimate = Number(thrown.text);
  if (yield* tell.failed(thrown, Number.isFinite(estimate) ? estimate : null)) return;
  const drawn = yield* tell.runs(programs.DARTS_BY_HAND);
  if (yield* tell.failed(drawn, "")) return;
  yield* tell.says(`The darts say **${estimate.toFixed(4)}**, which is ${Math.abs(estimate - Math.PI).toFixed(4)} off. Four times as many would halve the error.`);
}

async function* long(tell) {
  yield* tell.says("This counts for ten minutes. Press **Stop** beside the code when you have seen enough; I go on then.");
  const counted = yield* tell.runs(programs.LONG);
  if (counted.status !== "interrupted") return void (yield* tell.failed(counted, null));
  yield* tell.says("You stopped it. What it had counted is still there:");
  const kept = yield* tell.runs("seconds");
  if (yield* tell.failed(kept, kept.text ?? null)) return;
  yield* tell.says(`\`seconds\` is **${kept.text}**: a stopped cell takes nothing from the session.`);
}

async function* variables(tell) {
  yield* tell.says("I ask the session:");
  const listed = yield* tell.runs(programs.VARIABLES);
  const found = /(\d+) variables/.exec(listed.text ?? "");
  if (yield* tell.failed(listed, found)) return;
  yield* tell.says(found[1] === "0" ? "There are none yet. Ask me something else first." : `It has **${found[1]}** of yours. They stay until this chat ends.`);
}

async function* fenced(tell, cells) {
  yield* tell.says(cells.length === 1 ? "I run your code as it is:" : `I run your ${cells.length} pieces of code as they are:`);
  for (const code of cells) {
    const outcome = yield* tell.runs(code);
    if (!outcome.ok) return void (yield* tell.says(`It ended as **${outcome.status}**. Variables that it had made are still there.`));
  }
  yield* tell.says("Done.");
}
