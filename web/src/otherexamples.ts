// What a newcomer can try in languages other than Python.

import type { Example } from "./examples.js";

export const OTHER_EXAMPLES: Record<string, readonly Example[]> = {
  javascript: [
    {
      title: "Streaming and await",
      about: "output as it is written; await at the top of a cell",
      codes: [
        `for (let step = 1; step <= 5; step += 1) {
  console.log("step", step, "of 5");
  await new Promise((done) => setTimeout(done, 500));
}`,
      ],
    },
    {
      title: "Values",
      about: "the last expression is shown; variables stay for later cells",
      codes: [
        `const cities = [
  { name: "Bern", people: 134591 },
  { name: "Zürich", people: 421878 },
  { name: "Chur", people: 38293 },
];
cities.length`,
        `new Map(cities.map(({ name, people }) => [name, people.toLocaleString("en")]))`,
      ],
    },
    {
      title: "Modules",
      about: "what Node.js brings along, by require or import",
      codes: [
        `const { createHash } = require("node:crypto");
createHash("sha256").update("cellgate").digest("hex")`,
        `import { writeFile, readFile } from "node:fs/promises";

await writeFile("note.txt", "written by JavaScript\\n");
await readFile("note.txt", "utf8")`,
      ],
    },
    {
      title: "Error",
      about: "a stack that leads to the line",
      codes: [
        `function half(number) {
  if (typeof number !== "number") throw new TypeError("this is no number: " + number);
  return number / 2;
}

half("what is text divided by two?")`,
      ],
    },
  ],
  bash: [
    {
      title: "Streaming",
      about: "output as it is written",
      codes: [
        `for step in 1 2 3 4 5; do
  echo "step $step of 5"
  sleep 0.5
done`,
      ],
    },
    {
      title: "State",
      about: "variables, functions and the directory stay for later cells",
      codes: [
        `greeting="hello"
greet() { echo "$greeting, $1"; }
mkdir -p work && cd work`,
        `greet "from $PWD"`,
      ],
    },
    {
      title: "Files and pipes",
      about: "the session's files, which all its languages share",
      codes: [
        `printf '%s\\n' pear apple fig apple > fruit.txt
sort fruit.txt | uniq -c | sort -rn`,
      ],
    },
  ],
};
