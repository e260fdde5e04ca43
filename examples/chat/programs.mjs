// The Python that the scripted model writes.

export const PRIMES = `import time
from importlib.util import find_spec

def is_prime(n):
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))

primes = []
for start in range(0, 10_000, 1000):
    found = [n for n in range(start, start + 1000) if is_prime(n)]
    print(f"{start:>4} to {start + 999:>4}: {len(found)} primes")
    primes += found
    time.sleep(0.15)

gaps = [b - a for a, b in zip(primes, primes[1:])]
widest = max(gaps)
print("largest gap:", widest, "after", primes[gaps.index(widest)])
print("most frequent gap:", max(set(gaps), key=gaps.count))
print("matplotlib:", "yes" if find_spec("matplotlib") else "no")`;

export const GAPS_BY_MATPLOTLIB = `import matplotlib.pyplot as plt
from collections import Counter

sizes, counts = zip(*sorted(Counter(gaps).items()))
plt.figure(figsize=(5.2, 3.2))
plt.bar(sizes, counts, width=1.4, color="#2f5fd0")
plt.xlabel("gap between neighbouring primes")
plt.ylabel("how often")
plt.tight_layout()
plt.show()`;

export const GAPS_BY_HAND = `from collections import Counter

class Bars:
    """Draws counts as bars, in SVG."""

    def __init__(self, counts):
        self.counts = sorted(counts.items())

    def _repr_svg_(self):
        most = max(count for _, count in self.counts)
        bars = "".join(
            f'<rect x="{20 + 13 * size}" y="{180 - 160 * count / most:.1f}" '
            f'width="12" height="{160 * count / most:.1f}" fill="#2f5fd0"/>'
            f'<text x="{26 + 13 * size}" y="195" font-size="10" text-anchor="middle">{size}</text>'
            for size, count in self.counts
        )
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 540 205" font-family="sans-serif">'
            f'<rect width="540" height="205" fill="white"/>{bars}</svg>'
        )

Bars(Counter(gaps))`;

export const DARTS = `import random, time

random.seed(7)
inside, darts = 0, []
for thrown in range(1, 400_001):
    x, y = random.random(), random.random()
    is_inside = x * x + y * y <= 1
    inside += is_inside
    if thrown <= 1_500:
        darts.append((x, y, is_inside))
    if thrown % 50_000 == 0:
        print(f"{thrown:>7,} darts: {4 * inside / thrown:.4f}")
        time.sleep(0.15)
4 * inside / thrown`;

export const DARTS_BY_HAND = `class Board:
    """The first darts, in SVG."""

    def _repr_svg_(self):
        colours = {True: "#2f5fd0", False: "#d07a2f"}
        dots = "".join(
            f'<circle cx="{300 * x:.1f}" cy="{300 - 300 * y:.1f}" r="2" fill="{colours[hit]}"/>'
            for x, y, hit in darts
        )
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 300">'
            f'<rect width="300" height="300" fill="white"/>{dots}</svg>'
        )

Board()`;

export const LONG = `import time

for seconds in range(600):
    print(f"{seconds} s of work")
    time.sleep(1)`;

export const VARIABLES = `import html, types

class Variables:
    """What code of this session has defined, as a table."""

    def __init__(self, names):
        self.rows = [
            (name, type(value).__name__, repr(value)[:60])
            for name, value in names.items()
            if not name.startswith("_")
            and name not in ("In", "Out", "exit", "quit", "open", "get_ipython")
            and not isinstance(value, (types.ModuleType, type, types.FunctionType))
        ]

    def __repr__(self):
        return f"{len(self.rows)} variables: " + ", ".join(name for name, _, _ in self.rows)

    def _repr_html_(self):
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>"
            for row in self.rows
        )
        return f"<table><tr><th>name</th><th>type</th><th>value</th></tr>{rows}</table>"

Variables(dict(globals()))`;
