// Python programs the browser tests run, each with what it does when no Python is there.
//
// The page is tested with real code: against a real gateway (CELLGATE_URL, CELLGATE_TOKEN) it runs
// there; otherwise the fake gateway plays what Python would do.

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const TABLE = {
  schema: { fields: [{ name: "index", type: "integer" }, { name: "city", type: "string" }, { name: "people", type: "integer" }], primaryKey: ["index"] },
  data: [{ index: 0, city: "Bern", people: 134 }, { index: 1, city: "Zürich", people: 421 }, { index: 2, city: "Chur", people: 37 }],
};

/** Wraps a MIME bundle into Python that shows it, whatever libraries are there. */
function shows(bundle) {
  return `class Shown:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n        import json\n        return json.loads(r'''${JSON.stringify(bundle)}''')\n\nShown()`;
}

function fails(cell, id, line, name, value, source) {
  cell.emit("error", {
    name, value,
    traceback: ["Traceback (most recent call last):", `  File "<${id}>", line ${line}, in <module>`, `    ${source}`, `\u001b[31m${name}\u001b[0m: ${value}`],
    frames: [{ cell: id, file: `<${id}>`, line, function: "<module>", source }],
  });
  return { status: "error" };
}

export const PROGRAMS = {
  hello: { code: "print('hello')\n6 * 7", play(cell) { cell.out("hello\n"); cell.result({ "text/plain": "42" }); } },
  /** What is left of `a = 1` when somebody else has written a digit behind it. */
  aIsTen: { code: "a = 10", play() {} },
  setX: { code: "x = 'kept'", play(cell) { cell.python.x = "kept"; } },
  showX: {
    code: "print(x)",
    play(cell, id) {
      if (cell.python.x) return cell.out(`${cell.python.x}\n`);
      return fails(cell, id, 1, "NameError", "name 'x' is not defined", "print(x)");
    },
  },
  streams: {
    code: "import sys\nfor n in range(3):\n    print('out', n, flush=True)\n    print('err', n, file=sys.stderr, flush=True)",
    play(cell) { for (let n = 0; n < 3; n += 1) { cell.out(`out ${n}\n`); cell.err(`err ${n}\n`); } },
  },
  progress: {
    code: "import sys\nfor n in range(0, 101, 10):\n    sys.stderr.write(f'\\r{n:3d}% done')\nsys.stderr.write('\\n')\nprint('\\033[32mgreen\\033[0m')",
    play(cell) {
      for (let n = 0; n <= 100; n += 10) cell.err(`\r${String(n).padStart(3)}% done`);
      cell.err("\n");
      cell.out("\u001b[32mgreen\u001b[0m\n");
    },
  },
  million: {
    code: "import sys\nfor n in range(1_000_000):\n    sys.stdout.write(f'line {n}\\n')",
    async play(cell) {
      for (let n = 0; n < 1_000_000; n += 2000) {
        let text = "";
        for (let k = n; k < n + 2000; k += 1) text += `line ${k}\n`;
        cell.out(text);
        if (n % 20_000 === 0) await cell.sleep(1);
      }
    },
  },
  forever: { code: "while True:\n    pass", async play(cell) { cell.usage(64 << 20); await cell.interrupted; } },
  stubborn: {
    code: "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        pass",
    async play(cell) { cell.ignoreInterrupts(); await cell.interrupted; },
  },
  fails: { code: "y = 1\n\n1 / 0\n", play: (cell, id) => fails(cell, id, 3, "ZeroDivisionError", "division by zero", "1 / 0") },
  asks: {
    code: "name = input('Who? ')\nprint('hello', name)",
    async play(cell) { cell.out(`hello ${await cell.input("Who? ")}\n`); },
  },
  asksSecret: {
    code: "import getpass\nprint(len(getpass.getpass('Secret? ')))",
    async play(cell) { cell.out(`${(await cell.input("Secret? ", true)).length}\n`); },
  },
  image: { code: shows({ "image/png": PIXEL, "text/plain": "a pixel" }), play(cell) { cell.result({ "image/png": PIXEL, "text/plain": "a pixel" }); } },
  svg: bundle({ "image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="60"><circle cx="30" cy="30" r="28" fill="teal"/></svg>', "text/plain": "a circle" }),
  table: bundle({ "application/vnd.dataresource+json": TABLE, "text/plain": "table" }),
  json: bundle({ "application/json": { name: "Ada", list: [1, 2, { deep: true }], none: null }, "text/plain": "json" }),
  markdown: bundle({ "text/markdown": "## Title\n\nSome **bold** text, $a_1^2 + b_1^2$ and\n\n$$\\int_0^1 x\\,dx = \\frac12$$\n\n<img src=x onerror=alert(1)>", "text/plain": "md" }),
  latex: bundle({ "text/latex": "$$\\frac{1}{2}$$", "text/plain": "1/2" }),
  safeHtml: bundle({ "text/html": "<table border=\"1\" class=\"dataframe\"><tr><th>a</th></tr><tr><td>1</td></tr></table>", "text/plain": "t" }),
  scriptHtml: bundle({
    "text/html": "<p id=\"p\">before</p><script>document.getElementById('p').textContent = 'ran ' + origin; try { parent.document.title = 'taken' } catch (e) { document.getElementById('p').textContent += ' apart' }</script>",
    "text/plain": "h",
  }),
  plotly: bundle({ "application/vnd.plotly.v1+json": { data: [{ type: "bar", x: ["a", "b", "c"], y: [2, 5, 3] }], layout: { title: { text: "Bars" } } }, "text/plain": "fig" }),
  vega: bundle({
    "application/vnd.vegalite.v5+json": {
      $schema: "https://vega.github.io/schema/vega-lite/v5.json", width: 200, height: 120,
      data: { values: [{ a: "A", b: 28 }, { a: "B", b: 55 }] }, mark: "bar",
      encoding: { x: { field: "a", type: "nominal" }, y: { field: "b", type: "quantitative" } },
    },
    "text/plain": "chart",
  }),
  slow: { code: "import time\nfor n in range(30):\n    print(n, flush=True)\n    time.sleep(0.1)", async play(cell) { for (let n = 0; n < 30; n += 1) { cell.out(`${n}\n`); await cell.sleep(100); } } },
  /** A thread that writes when its cell has ended: 300 ms later. */
  late: {
    code: "import threading\nprint('now')\nthreading.Timer(0.3, lambda: print('afterwards')).start()",
    play(cell) {
      cell.out("now\n");
      setTimeout(() => cell.session.emit("stdout", { id: cell.id, text: "afterwards\n", late: true }), 300);
    },
  },
  hoards: { code: "kept = [bytearray(1 << 20) for _ in range(1 << 10)]", play: () => ({ status: "oom", state_kept: false }) },
  exits: {
    code: "import os\nos._exit(3)",
    play: () => ({ status: "exited", state_kept: false, detail: "the interpreter ended with exit code 3" }),
  },
  /** 20 MiB, of which the gateway of these tests lets 16 through. */
  tooMuch: {
    code: "import sys\nfor n in range(20 << 10):\n    sys.stdout.write('y' * 1023 + '\\n')",
    play(cell) {
      cell.out("yyy\n");
      cell.emit("truncated", { stream: "stdout", omitted_bytes: 4 << 20 });
      return { status: "output_limit" };
    },
  },
  /** The bar of tqdm, with one inside; what it writes was recorded. */
  tqdm: {
    code: "from tqdm import tqdm\nfor outer in tqdm(range(3), desc='outer'):\n    for inner in tqdm(range(40), desc='inner', leave=False):\n        pass\nprint('done')",
    play(cell) {
      const bar = (name, done, of) => `${name}: ${String((100 * done) / of | 0).padStart(3)}%|${"█".repeat(10 * done / of)}| ${done}/${of} [00:00<?, ?it/s]`;
      cell.err(`\r${bar("outer", 0, 3)}`);
      for (let outer = 1; outer <= 3; outer += 1) {
        cell.err("\n");
        for (let inner = 0; inner <= 40; inner += 1) cell.err(`\r${bar("inner", inner, 40)}`);
        cell.err(`\r${" ".repeat(60)}\r\u001b[A\r${bar("outer", outer, 3)}`);
      }
      cell.err("\n");
      cell.out("done\n");
    },
  },
  /** What rich writes for a table that is drawn anew four times: the cursor goes up and each line is erased. */
  live: {
    code: "import sys\nfor n in range(4):\n    if n:\n        sys.stdout.write('\\r\\x1b[2K' + '\\x1b[1A\\x1b[2K' * 3)\n    sys.stdout.write(f'┏━━━┓\\n┃ {n} ┃\\n┗━━━┛\\nstep {n}')\nprint()",
    play(cell) {
      for (let n = 0; n < 4; n += 1) cell.out(`${n ? `\r\u001b[2K${"\u001b[1A\u001b[2K".repeat(3)}` : ""}┏━━━┓\n┃ ${n} ┃\n┗━━━┛\nstep ${n}`);
      cell.out("\n");
    },
  },
  /** One line of 250,000 characters, and one behind it. */
  longValue: {
    code: "class Long:\n    def __repr__(self):\n        return 'a' * 250_000 + 'Z\\nlast'\nLong()",
    play(cell) { cell.result({ "text/plain": `${"a".repeat(250_000)}Z\nlast` }); },
  },
  longError: {
    code: "raise ValueError('b' * 150_000)",
    play: (cell, id) => fails(cell, id, 1, "ValueError", "b".repeat(150_000), "raise ValueError('b' * 150_000)"),
  },
  markdownTable: bundle({ "text/markdown": "| a | b |\n|---|--:|\n| 1 | 2 |", "text/plain": "md" }),
  /** 15 MB without a line feed, less than the gateway of these tests lets through. */
  hugeLine: {
    code: "import sys\nsys.stdout.write('x' * 7_500_000 + 'y' * 7_500_000)",
    async play(cell) {
      for (const letter of "xy") {
        for (let n = 0; n < 7_500_000; n += 50_000) {
          cell.out(letter.repeat(50_000));
          if (n % 1_000_000 === 0) await cell.sleep(1);
        }
      }
    },
  },
  completes: { code: "pri", play() {} },
};

export function bundle(data) {
  return { code: shows(data), play(cell) { cell.result(data); } };
}

/** Plays a program for the fake gateway. */
export async function play(code, cell) {
  const program = Object.values(PROGRAMS).find((p) => p.code === code);
  if (!program) throw new Error(`no test program is this code:\n${code}`);
  return program.play(cell, cell.id);
}
