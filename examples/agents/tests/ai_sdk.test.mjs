// Runs the AI SDK example against a gateway, with the real library and a scripted model instead of a real one.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { MockLanguageModelV3, simulateReadableStream } from "ai/test";
import { Gateway } from "cellgate/node";

import { answer } from "../ai_sdk.mjs";

const gateway = await Gateway.start({
  arguments: (process.env.CELLGATE_TEST_ARGUMENTS ?? "--backend local").split(" "),
});
after(() => gateway.stop());

const CELLS = [
  "x = 6\nprint('computing', flush=True)\nimport time\ntime.sleep(0.3)\nprint('done')",
  "x * 7",
  `import base64
class Plot:
    def _repr_png_(self): return base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==')
Plot()`,
  "1 / 0",
];

/** A model that sends the cells one after the other, and then its answer. */
function scripted(cells, prompts) {
  const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };
  return new MockLanguageModelV3({
    doStream: async ({ prompt }) => {
      const number = prompts.push(prompt) - 1;
      const call = { type: "tool-call", toolCallId: `c${number}`, toolName: "run_python" };
      const chunks = number < cells.length
        ? [{ ...call, input: JSON.stringify({ code: cells[number] }) },
          { type: "finish", usage, finishReason: { unified: "tool-calls" } }]
        : [{ type: "text-start", id: "t" }, { type: "text-delta", id: "t", delta: "It is 42." }, { type: "text-end", id: "t" },
          { type: "finish", usage, finishReason: { unified: "stop" } }];
      return { stream: simulateReadableStream({ chunks: [{ type: "stream-start", warnings: [] }, ...chunks] }) };
    },
  });
}

test("output is streamed while cells run, and the model sees output, plots and errors", async () => {
  const session = await gateway.client().sessions.create();
  const prompts = [];
  const { fullStream } = answer("What is it?", session, scripted(CELLS, prompts));
  const preliminary = [];
  let text = "";
  for await (const part of fullStream) {
    assert.notEqual(part.type, "error", String(part.error));
    if (part.type === "tool-result" && part.preliminary) preliminary.push(part.output);
    if (part.type === "text-delta") text += part.text;
  }
  assert.equal(text, "It is 42.");
  assert.equal(preliminary[0].output, "computing\n");
  assert.equal(preliminary[0].status, "running");
  const told = prompts.slice(1).map((prompt) => prompt.at(-1).content[0].output.value);
  assert.match(told[0][0].text, /computing\ndone/);
  assert.equal(told[1][0].text, "42");
  assert.match(told[2][0].text, /picture/);
  assert.equal(told[2][1].mediaType, "image/png");
  assert.match(told[2][1].data, /^iVBORw0KGgo/);
  assert.match(told[3][0].text, /ZeroDivisionError/);
  assert.doesNotMatch(told[3][0].text, /\x1b/);
  await session.end();
});

test("a conversation that is stopped interrupts its cell, and keeps what was computed", async () => {
  const session = await gateway.client().sessions.create();
  await session.runCode("x = 1");
  const stop = new AbortController();
  const model = scripted(["print('begun', flush=True)\nwhile True: pass"], []);
  const { fullStream } = answer("Loop", session, model, stop.signal);
  for await (const part of fullStream) {
    if (part.type === "tool-result" && part.preliminary) stop.abort();
  }
  const { text } = await session.runCode("x");
  assert.equal(text, "1");
  await session.end();
});
