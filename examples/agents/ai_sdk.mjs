// A tool for Vercel's AI SDK that runs Python in a session of cellgate: what the code prints is streamed to the page
// while it runs, and the model sees the plots.
//
//   npm install cellgate ai zod
//   AI_GATEWAY_API_KEY=… CELLGATE_URL=http://127.0.0.1:8080 CELLGATE_TOKEN=… node ai_sdk.mjs "Plot sin(x)"
import { pathToFileURL } from "node:url";
import { stepCountIs, streamText, tool } from "ai";
import { Client } from "cellgate";
import { z } from "zod";

/** A tool with a state: what one call defines, the next one finds. `session` comes from `client.sessions.create()`. */
export const pythonTool = (session) => tool({
  description: "Run Python code. Variables, imports and files stay for later calls. The value of the last expression "
    + "is shown, as are plots. There is no network.",
  inputSchema: z.object({ code: z.string() }),
  async *execute({ code }, { abortSignal }) {
    let output = "";
    const events = session.stream(code, { timeoutMs: 60_000, signal: abortSignal });
    for (;;) {
      const { value, done } = await events.next();
      if (done) {
        const plots = value.displays.concat(value.result ? { data: value.result } : [])
          .map(({ data }) => data["image/png"]).filter(Boolean);
        yield { output: value.forModel(), status: value.status, plots };
        return;
      }
      if (value.type !== "stdout" && value.type !== "stderr") continue;
      output += value.text;
      yield { output, status: "running", plots: [] }; // a preliminary result, for people
    }
  },
  // The last result, for the model.
  toModelOutput: ({ output: { output, plots } }) => ({
    type: "content",
    value: [
      { type: "text", text: output },
      ...plots.map((data) => ({ type: "image-data", data, mediaType: "image/png" })),
    ],
  }),
});

/** Answers a question; `streamText(...).toUIMessageStreamResponse()` is what a route of Next.js returns. */
export function answer(question, session, model = "openai/gpt-5.5", abortSignal = undefined) {
  const [system, tools] = ["Answer by running Python.", { run_python: pythonTool(session) }];
  return streamText({ model, system, prompt: question, tools, stopWhen: stepCountIs(12), abortSignal });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const session = await new Client().sessions.create(); // reads $CELLGATE_URL and $CELLGATE_TOKEN
  for await (const part of answer(process.argv[2], session).fullStream) {
    if (part.type === "text-delta") process.stdout.write(part.text);
    if (part.type === "tool-result" && part.preliminary) console.error(part.output.output);
  }
  await session.end();
}
