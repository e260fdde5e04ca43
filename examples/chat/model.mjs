// Which model answers: one of an API if $OPENAI_API_KEY is set, else the scripted one.
//
// A model has `name`, `isScripted`, `suggestions` (questions to begin with) and `open()`, which makes the conversation of
// one chat. `conversation.answer(text, signal)` is an async generator of steps:
//
//   { type: "text", text }          more of what it says
//   { type: "code", cell, text }    more of the code that it writes; `cell` counts the cells of this answer
//   { type: "run", cell, code }     the code is whole; `yield` answers { outcome, isFresh } when it has run
//
// Aborting `signal` breaks it off.

import { ApiModel } from "./api.mjs";
import { ScriptedModel } from "./scripted.mjs";

export function chooseModel(env = process.env) {
  if (!env.OPENAI_API_KEY) return new ScriptedModel();
  return new ApiModel({
    key: env.OPENAI_API_KEY,
    base: env.OPENAI_BASE_URL || "https://api.openai.com/v1",
    name: env.OPENAI_MODEL || "gpt-5-mini",
    seesPictures: env.OPENAI_PICTURES !== "0",
  });
}
