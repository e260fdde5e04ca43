// What a newcomer can try, each showing something else of the product. Only the standard library,
// so that every template runs them.

import { OTHER_EXAMPLES } from "./otherexamples.js";

export interface Example { title: string; about: string; codes: string[] }

/** The examples in a language; none for a language that has none. */
export function examplesIn(language: string): readonly Example[] {
  return language === "python" ? EXAMPLES : OTHER_EXAMPLES[language] ?? [];
}

const EXAMPLES: Example[] = [
  {
    title: "Streaming",
    about: "output as it is written, child processes too",
    codes: [
      `import time

for step in range(1, 6):
    print(f"step {step} of 5")
    time.sleep(0.5)`,
      `import subprocess

# What child processes write streams too.
subprocess.run(["sh", "-c", "for i in 1 2 3; do echo child $i; sleep 0.3; done"])`,
    ],
  },
  {
    title: "Progress and colours",
    about: "lines that are written again, as on a terminal",
    codes: [
      `import sys, time

for done in range(0, 101, 4):
    bar = "█" * (done // 4)
    sys.stderr.write(f"\\r{done:3d}% |{bar:<25}|")
    sys.stderr.flush()
    time.sleep(0.05)
print("\\ndone")`,
      `for code in range(31, 37):
    print(f"\\033[{code}mcolour {code}\\033[0m", end="  ")
print("\\033[1mbold\\033[0m \\033[4munderlined\\033[0m")`,
    ],
  },
  {
    title: "Plot",
    about: "an interactive chart; matplotlib's figures show as well",
    codes: [
      `import math

class Chart:
    """Any value may say how it is shown: this one as a Vega-Lite chart."""

    def __init__(self, points):
        self.points = points

    def _repr_mimebundle_(self, **_):
        axes = {axis: {"field": axis, "type": "quantitative"} for axis in "xy"}
        chart = {"width": 460, "height": 220, "data": {"values": self.points},
                 "mark": {"type": "line", "tooltip": True},
                 "encoding": {**axes, "color": {"field": "wave", "type": "nominal"}}}
        return {"application/vnd.vegalite.v5+json": chart, "text/plain": "a chart"}

waves = {"sine": math.sin, "damped": lambda x: math.cos(2 * x) * math.exp(-x / 4)}
Chart([{"x": n / 20, "y": wave(n / 20), "wave": name} for name, wave in waves.items() for n in range(140)])`,
    ],
  },
  {
    title: "Table",
    about: "sorts by its headings; data frames do too",
    codes: [
      `class Table:
    """Rows in the form in which data frames are shown."""

    def __init__(self, rows):
        self.rows = rows

    def _repr_mimebundle_(self, **_):
        kinds = {int: "integer", float: "number", str: "string"}
        fields = [{"name": name, "type": kinds[type(value)]} for name, value in self.rows[0].items()]
        table = {"schema": {"fields": fields}, "data": self.rows}
        return {"application/vnd.dataresource+json": table, "text/plain": f"{len(self.rows)} rows"}

Table([{"number": n, "square": n * n, "root": round(n ** 0.5, 3), "parity": "odd" if n % 2 else "even"} for n in range(1, 31)])`,
    ],
  },
  {
    title: "Values",
    about: "Markdown, formulas, drawings, JSON",
    codes: [
      `class Note:
    def _repr_markdown_(self):
        return "**Euler**: $e^{i\\\\pi} + 1 = 0$\\n\\n- one\\n- two"

Note()`,
      `class Circle:
    def __init__(self, radius):
        self.radius = radius

    def _repr_svg_(self):
        r = self.radius
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * r}" height="{2 * r}">'
                f'<circle cx="{r}" cy="{r}" r="{r - 2}" fill="#6d9eeb"/></svg>')

Circle(50)`,
    ],
  },
  {
    title: "Input",
    about: "questions, answered in place",
    codes: [
      `name = input("Your name? ")
print(f"Hello, {name}")`,
      `import getpass

word = getpass.getpass("A secret? ")
print(f"It has {len(word)} characters.")`,
    ],
  },
  {
    title: "Error",
    about: "a traceback that leads to the line",
    codes: [
      `def half(number):
    return number / 2

half(84)`,
      `half("what is text divided by two?")`,
    ],
  },
  {
    title: "Async",
    about: "await at the top of a cell",
    codes: [
      `import asyncio

async def work(name, seconds):
    await asyncio.sleep(seconds)
    print(name, "is done")
    return seconds

await asyncio.gather(work("slow", 1.0), work("quick", 0.2), work("middling", 0.5))`,
    ],
  },
  {
    title: "Long output",
    about: "half a million lines, and the page stays quick",
    codes: [
      `for number in range(500_000):
    print("line", number)`,
    ],
  },
];
