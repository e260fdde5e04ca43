// What a newcomer can try. Only the standard library, so that every template runs them.

export interface Example { title: string; codes: string[] }

export const EXAMPLES: Example[] = [
  {
    title: "Streaming",
    codes: [
      "import time\n\nfor step in range(1, 6):\n    print(f\"step {step} of 5\")\n    time.sleep(0.5)",
      "import subprocess\n\n# Output of child processes streams too.\nsubprocess.run([\"sh\", \"-c\", \"for i in 1 2 3; do echo child $i; sleep 0.3; done\"])",
    ],
  },
  {
    title: "State and errors",
    codes: [
      "def half(number):\n    return number / 2\n\nhalf(84)",
      "half(\"what is text divided by two?\")",
      "name = input(\"Your name? \")\nprint(f\"Hello, {name}\")",
    ],
  },
  {
    title: "Progress and colours",
    codes: [
      "import sys, time\n\nfor done in range(0, 101, 5):\n    bar = \"█\" * (done // 5)\n    sys.stderr.write(f\"\\r{done:3d}% |{bar:<20}|\")\n    sys.stderr.flush()\n    time.sleep(0.05)\nprint(\"\\ndone\")",
      "for code in range(31, 37):\n    print(f\"\\033[{code}mcolour {code}\\033[0m\", end=\"  \")\nprint(\"\\033[1mbold\\033[0m \\033[4munderlined\\033[0m\")",
    ],
  },
  {
    title: "Rich values",
    codes: [
      "class Circle:\n    def __init__(self, radius):\n        self.radius = radius\n\n    def _repr_svg_(self):\n        r = self.radius\n        return f'<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{2*r}\" height=\"{2*r}\"><circle cx=\"{r}\" cy=\"{r}\" r=\"{r-2}\" fill=\"#6d9eeb\"/></svg>'\n\nCircle(60)",
      "class Note:\n    def _repr_markdown_(self):\n        return \"**Euler**: $e^{i\\\\pi} + 1 = 0$\\n\\n- one\\n- two\"\n\nNote()",
    ],
  },
];
