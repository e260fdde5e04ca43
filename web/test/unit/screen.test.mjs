import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { Screen, stripEscapes } from "../../dist/pure/screen.js";

function screen(...chunks) {
  const made = new Screen();
  for (const chunk of chunks) made.write(chunk);
  return made;
}

function styled(made) {
  return made.view().head.map((line) => line.runs.map(({ text, style }) => {
    const on = Object.entries(style).filter(([, value]) => value !== null && value !== false).map(([k, v]) => (v === true ? k : `${k}=${v}`));
    return [text, ...on];
  }));
}

test("plain lines stay as they are", () => {
  assert.equal(screen("a\nb", "c\n", "\nd").plainText(), "a\nbc\n\nd");
});

test("a carriage return and a backspace overwrite, as tqdm and spinners do", () => {
  assert.equal(screen(" 10%|#  |\r 50%|## |\r100%|###|\n").plainText(), "100%|###|\n");
  assert.equal(screen("working \\\b|\b/\b-").plainText(), "working -");
  assert.equal(screen("long line\rshort").plainText(), "shortline");
  assert.equal(screen("long line\r\x1b[Kshort").plainText(), "short");
});

test("the cursor moves up over several lines, as rich and nested bars do", () => {
  assert.equal(screen("one\ntwo\nthree\n", "\x1b[3A", "ONE\n", "\x1b[1B", "THREE\n").plainText(), "ONE\ntwo\nTHREE\n");
  assert.equal(screen("a\nb\nc", "\x1b[2F", "A").plainText(), "A\nb\nc");
  assert.equal(screen("a\nb\nc", "\x1b[1A\r\x1b[J", "B").plainText(), "a\nB");
  assert.equal(screen("a\x1b[100Ab").plainText(), "ab");
});

test("what rich wrote for bars, a live table and a spinner leaves what a terminal would show", async () => {
  const written = await readFile(new URL("../recorded/rich.txt", import.meta.url), "utf8");
  const bar = "━".repeat(40);
  const left = ["hello world", "line 0", "line 1", `outer ${bar} 100% 0:00:00`, `inner ${bar} 100% 0:00:00`,
    "┏━━━┓", "┃ n ┃", "┡━━━┩", "│ 0 │", "│ 1 │", "│ 2 │", "└───┘", "end", ""];
  for (const size of [1, 7, 4096]) {
    const chunks = Array.from({ length: Math.ceil(written.length / size) }, (_, at) => written.slice(at * size, (at + 1) * size));
    const shown = screen(...chunks);
    assert.deepEqual(shown.plainText().split("\n"), left, `in chunks of ${size}`);
    assert.deepEqual(styled(shown)[0], [["hello", "fg=1", "bold"], [" "], ["world", "fg=2"]]);
  }
});

test("what is written over wide characters leaves no half of one", () => {
  for (const [written, left] of [
    ["日本語\rab", "ab本語"],
    ["日本語\ra", "a 本語"],
    ["日本語\r\x1b[1Cx", " x本語"],
    ["🦀🦀\rx", "x 🦀"],
    ["🦀 10%\r🦀 20%\n", "🦀 20%\n"],
    ["abcd\r日", "日cd"],
    ["日本\x1b[1D\x1b[K|", "日 |".replace(" |", " |")],
    ["e\u0301a\rx", "xa"],
    ["🏁 done\b\b\b\bDONE", "🏁 DONE"],
  ]) assert.equal(screen(written).plainText(), left, JSON.stringify(written));
  // Where a line is cut no character is cut either, and none is lost.
  for (const start of ["", "a"]) {
    const long = start + "日🦀".repeat(5000);
    assert.equal(screen(long).plainText(), long);
  }
});

test("erasing in a line keeps what is outside", () => {
  assert.equal(screen("abcdef\x1b[4D\x1b[K").plainText(), "ab");
  assert.equal(screen("abcdef\x1b[3D\x1b[1K").plainText(), "    ef");
  assert.equal(screen("abcdef\x1b[2K!").plainText(), "      !");
});

test("colours: the palette, 256, true colour, attributes and back", () => {
  assert.deepEqual(styled(screen("\x1b[1;31mred\x1b[0m plain \x1b[38;5;208mo\x1b[48;2;1;2;3mb\x1b[39;49m\x1b[92;4mg")), [[
    ["red", "fg=1", "bold"], [" plain "], ["o", "fg=#ff8700"], ["b", "fg=#ff8700", "bg=#010203"], ["g", "fg=10", "underline"],
  ]]);
});

test("a sequence cut anywhere by a chunk means the same", () => {
  const text = "x\x1b[1;38;5;208mcolour\x1b[0m\x1b]8;;https://a.example/\x1b\\link\x1b]8;;\x07 end\x1b[2Ay\r\x1b[Kz";
  const whole = screen(text);
  for (let cut = 1; cut < text.length; cut += 1) {
    const parts = screen(text.slice(0, cut), text.slice(cut));
    assert.deepEqual(styled(parts), styled(whole), `cut at ${cut}`);
  }
});

test("links lead to http only", () => {
  const [line] = styled(screen("\x1b]8;;javascript:alert(1)\x07bad\x1b]8;;\x07\x1b]8;;https://a.example/\x07good\x1b]8;;\x07"));
  assert.deepEqual(line, [["bad"], ["good", "link=https://a.example/"]]);
});

test("streams share the screen and keep their own colours and unfinished sequences", () => {
  const made = new Screen();
  made.write("\x1b[32mout ", "stdout");
  made.write("err \x1b[3", "stderr");
  made.write("still green ", "stdout");
  made.write("1mred", "stderr");
  assert.deepEqual(styled(made), [[
    ["out ", "fg=2"], ["err ", "stderr"], ["still green ", "fg=2"], ["red", "fg=1", "stderr"],
  ]]);
});

test("a million lines keep the first, the last, and a number between", () => {
  const made = new Screen({ head: 3, tail: 4, lineCharacters: 100 });
  const began = performance.now();
  for (let n = 0; n < 1_000_000; n += 1) made.write(`line ${n}\n`);
  const { head, omitted, tail } = made.view();
  const text = (lines) => lines.map((line) => line.runs.map((run) => run.text).join(""));
  assert.deepEqual(text(head), ["line 0", "line 1", "line 2"]);
  assert.deepEqual(text(tail), ["line 999997", "line 999998", "line 999999", ""]);
  assert.equal(head.length + omitted + tail.length, 1_000_001);
  assert.equal(made.lineCount, 1_000_001);
  assert.ok(performance.now() - began < 5000);
});

test("the cursor does not reach across what is omitted, and erasing there loses no count", () => {
  const made = new Screen({ head: 2, tail: 3, lineCharacters: 100 });
  for (let n = 0; n < 50; n += 1) made.write(`${n}\n`);
  made.write("\x1b[1000Atop\x1b[J");
  const { head, omitted, tail } = made.view();
  assert.deepEqual(head.map((l) => l.runs[0].text), ["0", "1"]);
  assert.equal(tail[0].runs[0].text.slice(0, 3), "top");
  assert.equal(head.length + omitted + tail.length, made.lineCount);
});

test("a huge line is cut into pieces that copy as one line", () => {
  const made = new Screen({ head: 50, tail: 50, lineCharacters: 10 });
  made.write("x".repeat(35) + "\ny");
  assert.equal(made.view().head.length, 5);
  assert.equal(made.plainText(), "x".repeat(35) + "\ny");
});

test("of one line of millions the ends are shown, and what is left out is said to be a part of it", () => {
  const made = new Screen();
  const began = performance.now();
  const text = "abcdefgh".repeat(2_500_000);
  for (let at = 0; at < text.length; at += 65_536) made.write(text.slice(at, at + 65_536));
  assert.ok(performance.now() - began < 5000);
  const whole = new Screen();
  whole.write(text);
  for (const one of [made, whole]) {
    const { head, omitted, within, tail } = one.view();
    assert.deepEqual([omitted, within], [1, true]);
    const shown = [...head, ...tail].reduce((sum, line) => sum + line.runs.reduce((all, run) => all + run.text.length, 0), 0);
    assert.ok(shown > 100_000 && shown < 250_000, `${shown} characters`);
    assert.match(one.plainText(), /^abcdefgh.*… a part of this line is omitted ….*abcdefgh$/);
  }
  // Lines of their own, long ones: they are counted as lines.
  const lines = screen(`${"x".repeat(20_000)}\n`.repeat(200));
  const { head, omitted, within, tail } = lines.view();
  const begun = (some) => some.filter((line) => !line.continued).length;
  assert.equal(within, false);
  assert.ok(Math.abs(begun(head) + omitted + begun(tail) - 201) <= 1, `${begun(head)} ${omitted} ${begun(tail)}`);
});

test("what each stream wrote is told apart for a notebook, and nothing of the page is in it", () => {
  const made = new Screen({ head: 1, tail: 2, lineCharacters: 100, characters: Infinity });
  made.write("out\n");
  made.write("err", "stderr");
  made.write(" both\n");
  assert.deepEqual(made.streams(), [{ name: "stdout", text: "out\n" }, { name: "stderr", text: "err" }, { name: "stdout", text: " both\n" }]);
  for (let n = 0; n < 9; n += 1) made.write(`${n}\n`);
  assert.doesNotMatch(JSON.stringify(made.streams()), /omitted/);
});

test("text for a file has no escape sequences", () => {
  assert.equal(stripEscapes("\x1b[1;31mred\x1b[0m \x1b]8;;http://a/\x1b\\link\x1b]8;;\x07\r\n\ttab\x07"), "red link\r\n\ttab");
});

test("hostile sequences neither hang nor throw", () => {
  const made = new Screen();
  for (const bad of ["\x1b[999999999999A", "\x1b[999999999B", "\x1b[99999999Cx", "\x1b[-1;?;m", "\x1b]" + "x".repeat(10_000), "after\n", "\x1b[38;5m", "\x1b[38;2;999;-4mz", "\x1b[u", "\x1b[5J"]) {
    made.write(bad);
  }
  assert.ok(made.plainText().includes("after"));
});
