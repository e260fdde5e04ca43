// Notebooks of ten kinds that people publish: what each writes into the file differs. Their structure is written anew.

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const KERNEL = { kernelspec: { display_name: "Python 3 (ipykernel)", language: "python", name: "python3" } };
const INFO = { language_info: { codemirror_mode: { name: "ipython", version: 3 }, file_extension: ".py", mimetype: "text/x-python", name: "python", nbconvert_exporter: "python", pygments_lexer: "ipython3", version: "3.11.2" } };

const text = (source, more = {}) => ({ cell_type: "markdown", metadata: {}, source, ...more });
const code = (source, outputs = [], execution_count = null, more = {}) => ({ cell_type: "code", metadata: {}, source, outputs, execution_count, ...more });
const stream = (name, lines) => ({ output_type: "stream", name, text: lines });
const result = (data, execution_count, metadata = {}) => ({ output_type: "execute_result", data, metadata, execution_count });
const display = (data, metadata = {}) => ({ output_type: "display_data", data, metadata });
const notebook = (cells, metadata = { ...KERNEL, ...INFO }, nbformat_minor = 5) => ({
  nbformat: 4, nbformat_minor, metadata,
  cells: nbformat_minor >= 5 ? cells.map((cell, at) => ({ id: `cell-${at}`, ...cell })) : cells,
});

/** Each with what is written into it, in words. The code runs with the standard library alone. */
export const NOTEBOOKS = {
  tutorial: notebook([
    text(["# Loops\n", "\n", "A `for` loop goes through a *sequence*.\n", "\n", "| n | n² |\n", "|--:|--:|\n", "| 2 | 4 |"]),
    code(["for n in range(3):\n", "    print(n)"], [stream("stdout", ["0\n", "1\n", "2\n"])], 1),
    text(["## Values\n", "\n", "The last expression is shown: $x^2$ with\n", "\n", "$$\\int_0^1 x^2 \\, dx = \\tfrac13$$"]),
    code(["6 * 7"], [result({ "text/plain": ["42"] }, 2)], 2),
  ]),
  lectureWithAttachments: notebook([
    text(["# A picture in the file\n", "\n", "![plot](attachment:plot.png)\n", "\n", "![again](attachment:my%20plot.png)"], {
      attachments: { "plot.png": { "image/png": PIXEL }, "my plot.png": { "image/png": PIXEL } },
    }),
    code(["'after the picture'"], [result({ "text/plain": ["'after the picture'"] }, 1)], 1),
  ]),
  fromColab: notebook([
    text("# Written online", { metadata: { id: "a1B2" } }),
    code("!echo shell", [stream("stdout", "shell\n")], 1, { metadata: { colab: { base_uri: "https://localhost:8080/" }, id: "c3D4", outputId: "77aa" } }),
    code("#@title A form { run: \"auto\" }\nn = 3 #@param {type:\"integer\"}", [], null, { metadata: { cellView: "form", id: "e5F6" } }),
  ], { colab: { name: "Untitled0.ipynb", provenance: [] }, kernelspec: { display_name: "Python 3", name: "python3" }, language_info: { name: "python" } }, 0),
  plotsAndTables: notebook([
    code(["class Shown:\n", "    def _repr_html_(self):\n", "        return '<table><tr><th>a</th></tr><tr><td>1</td></tr></table>'\n", "Shown()"], [
      result({ "text/html": ["<table><tr><th>a</th></tr>\n", "<tr><td>1</td></tr></table>"], "text/plain": ["   a\n", "0  1"] }, 4),
    ], 4),
    code(["print('a figure')"], [stream("stdout", ["a figure\n"]), display({ "image/png": `${PIXEL}\n`, "text/plain": ["<Figure size 640x480 with 1 Axes>"] }, { "image/png": { height: 413, width: 552 }, needs_background: "light" })], 5),
  ]),
  withErrors: notebook([
    code(["1 / 0"], [{ output_type: "error", ename: "ZeroDivisionError", evalue: "division by zero", traceback: [
      "\u001b[0;31m---------------------------------------------------------------------------\u001b[0m", "\u001b[0;31mZeroDivisionError\u001b[0m                         Traceback (most recent call last)",
      "Cell \u001b[0;32mIn[1], line 1\u001b[0m\n\u001b[0;32m----> 1\u001b[0m \u001b[38;5;241;43m1\u001b[39;49m \u001b[38;5;241m/\u001b[39m \u001b[38;5;241m0\u001b[39m", "\u001b[0;31mZeroDivisionError\u001b[0m: division by zero",
    ] }], 1, { metadata: { tags: ["raises-exception"] } }),
    code(["import sys\n", "print('out')\n", "print('err', file=sys.stderr)\n", "print('out again')"], [stream("stdout", ["out\n"]), stream("stderr", ["err\n"]), stream("stdout", ["out again\n"])], 2),
  ]),
  slides: notebook([
    text("# A talk", { metadata: { slideshow: { slide_type: "slide" } } }),
    { cell_type: "raw", metadata: { raw_mimetype: "text/restructuredtext" }, source: [".. note::\n", "   For Sphinx alone."] },
    code(["'hidden'"], [result({ "text/plain": ["'hidden'"] }, 1)], 1, { metadata: { collapsed: true, jupyter: { outputs_hidden: true, source_hidden: false }, slideshow: { slide_type: "fragment" } } }),
  ], { ...KERNEL, ...INFO, celltoolbar: "Slideshow", rise: { scroll: true } }, 4),
  widgets: notebook([
    code(["'a slider was here'"], [display({ "application/vnd.jupyter.widget-view+json": { model_id: "abc", version_major: 2, version_minor: 0 }, "text/plain": ["IntSlider(value=3)"] })], 1),
  ], { ...KERNEL, ...INFO, widgets: { "application/vnd.jupyter.widget-state+json": { version_major: 2, version_minor: 0, state: { abc: { model_module: "@jupyter-widgets/controls", model_module_version: "2.0.0", model_name: "IntSliderModel", state: { value: 3 } } } } } }),
  charts: notebook([
    code(["'a chart'"], [display({
      "application/vnd.vegalite.v5+json": { $schema: "https://vega.github.io/schema/vega-lite/v5.json", data: { values: [{ a: 1 }] }, mark: "point", encoding: {} },
      "application/json": { deep: [1, { two: null }] }, "image/svg+xml": ["<svg xmlns=\"http://www.w3.org/2000/svg\"\n", " width=\"4\" height=\"4\"/>"], "text/latex": ["$$\\alpha$$"], "text/plain": ["a chart"],
    }, { "application/json": { expanded: true } })], 7),
  ]),
  otherLanguages: notebook([
    text("# Grüezi 🦀\n\nText with `attachment:none.png` that is no picture."),
    code("s = 'ünïcödé 🎉'\nprint(s)\n\n", [stream("stdout", ["ünïcödé 🎉\n"])], 12),
    code("", [], null),
  ], { kernelspec: { display_name: "Python 3.8 (course)", language: "python", name: "course" }, language_info: { name: "python", version: "3.8.10" }, authors: [{ name: "A" }], title: "A course" }, 2),
  empty: notebook([], {}, 5),
};
