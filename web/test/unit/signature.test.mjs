import assert from "node:assert/strict";
import { test } from "node:test";
import { signatureOf } from "../../dist/pure/signature.js";

test("the parameter that is typed is found in a signature", () => {
  const text = "Signature: f(a, b=(1, 'x,y'), *rest, key: dict[str, int] = {}, **more) -> None\nType:      function\nDocstring:\nAdds.\n\nAnd more.";
  const now = (argument) => signatureOf(text, argument).now;
  assert.deepEqual([0, 1, 2, 3].map(now), ["a", "b=(1, 'x,y')", "*rest", "*rest"]);
  const { before, after, about } = signatureOf(text, 1);
  assert.equal(`${before}|${after}`, "f(a, |, *rest, key: dict[str, int] = {}, **more) -> None");
  assert.equal(about, "Adds.");
});

test("IPython's forms are read, and what has no signature has none", () => {
  assert.equal(signatureOf("Init signature:\nDataFrame(\n    data=None,\n    index: 'Axes | None' = None,\n)\nDocstring:\nA table.", 1).now, "index: 'Axes | None' = None");
  assert.equal(signatureOf("Signature: sorted(iterable, /, *, key=None, reverse=False)\nDocstring: Sorts.", 1).now, "key=None");
  assert.equal(signatureOf("Signature: f()\nType: function", 0).now, "");
  assert.equal(signatureOf("Type: int\nValue: 3", 0), null);
});
