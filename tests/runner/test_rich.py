"""Libraries people use: matplotlib, pandas, numpy, Pillow, tqdm, IPython. Skips what is missing."""

import base64
import json
import unittest

from harness import SHELL, RunnerTest, only_in

PNG = b"\x89PNG\r\n\x1a\n"


class Matplotlib(RunnerTest):
    def setUp(self):
        super().setUp()
        self.need("matplotlib")

    def images(self, cell):
        for event in cell.displays:
            self.assertEqual(base64.b64decode(event["data"]["image/png"])[:8], PNG)
        return len(cell.displays)

    def test_show_sends_and_closes(self):
        cell = self.run_ok(
            "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nprint('before')\nplt.show()\nprint('after')"
        )
        self.assertEqual(self.images(cell), 1)
        self.assertEqual([name for name, _ in cell.order()], ["stdout", "display", "stdout"])
        self.assertEqual(cell.stderr, "")
        self.assertEqual(self.run_ok("plt.get_fignums()").text, "[]")

    @only_in("plain")
    def test_what_is_open_at_the_end_is_sent_once(self):
        cell = self.run_ok(
            "from matplotlib import pyplot as plt\nfor i in range(2):\n    plt.figure(); plt.plot([i])\nNone"
        )
        self.assertEqual(self.images(cell), 2)
        self.assertEqual(self.run_ok("1").displays, [])
        cell = self.run_ok("fig, ax = plt.subplots()\nax.plot([1])\nfig")
        self.assertEqual(base64.b64decode(cell.result["image/png"])[:8], PNG)
        self.assertEqual(cell.displays, [])

    def test_a_file_backend_chosen_by_the_user(self):
        cell = self.run_ok(
            "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()"
        )
        self.assertEqual((self.images(cell), cell.stderr), (1, ""))

    def test_what_a_failed_cell_left_open_is_its_own(self):
        self.run_ok("import matplotlib.pyplot as plt")
        cell = self.run_error("plt.plot([1])\n1 / 0", "ZeroDivisionError")
        self.assertEqual(self.images(cell), 1)
        self.assertEqual([name for name, _ in cell.order()], ["display", "error"])
        self.assertEqual(self.images(self.run_ok("1")), 0)
        cell = self.runner.start("plt.plot([1])\nprint('go')\nwhile True: pass")
        self.runner.until(lambda: "go" in cell.stdout)
        self.runner.interrupt()
        self.runner.finish(cell)
        self.assertEqual((cell.outcome, self.images(cell)), ("interrupted", 1))
        self.assertEqual(self.run_ok("plt.get_fignums()").text, "[]")

    def test_each_show_is_a_picture_whatever_the_backend(self):
        inline = "_cellgate.figures" if SHELL == "plain" else "matplotlib_inline.backend_inline"
        # IPython's inline backend is chosen by %matplotlib, which makes its formatters too.
        for backend in ("Agg", "svg", *(["module://" + inline] if SHELL == "plain" else [])):
            cell = self.run_ok("import matplotlib\nmatplotlib.use(%r)\nimport matplotlib.pyplot as plt\n"
                               "plt.plot([1]); plt.show(); plt.plot([2]); plt.show()" % backend)  # fmt: skip
            self.assertEqual((self.images(cell), cell.stderr), (2, ""), backend)
        self.run_ok("matplotlib.use('svg')\n%matplotlib inline")
        backend = self.run_ok("matplotlib.get_backend()").text
        self.assertIn(backend, ("'module://%s'" % inline, "'inline'"))

    def test_the_format_of_figures_can_be_chosen(self):
        self.run_ok("import matplotlib.pyplot as plt")
        small = self.run_ok("plt.plot([1]); plt.show()").displays[0]["data"]["image/png"]
        if SHELL == "ipython":
            setting = "%%config InlineBackend.figure_formats = set([%s])"
        else:
            setting = (
                "from _cellgate.ipython_display import set_matplotlib_formats\n"
                "set_matplotlib_formats(%s)"
            )
        self.run_ok(setting % "'svg'")
        data = self.run_ok("plt.plot([1]); plt.show()").displays[0]["data"]
        self.assertIn("<svg", data["image/svg+xml"])
        self.assertNotIn("image/png", data)
        self.run_ok(setting % "'retina', 'svg'")
        data = self.run_ok("plt.plot([1]); plt.show()").displays[0]["data"]
        self.assertGreater(len(data["image/png"]), len(small))
        self.assertIn("<svg", data["image/svg+xml"])

    def test_children_are_not_told_of_our_backend(self):
        self.run_ok("import matplotlib.pyplot")
        cell = self.run_ok("import os; os.environ.get('MPLBACKEND')")
        self.assertIsNone(cell.result)

    def test_a_figure_that_cannot_be_drawn(self):
        self.run_ok("import matplotlib.pyplot as plt")
        self.run_error("plt.plot([1]); plt.title(r'$\\nosuch{$')")
        self.assertEqual(self.images(self.run_ok("plt.plot([1]);")), 1)


class Pandas(RunnerTest):
    def setUp(self):
        super().setUp()
        self.need("pandas")
        self.run_ok("import pandas as pd, numpy as np")

    MIME = "application/vnd.dataresource+json"

    def test_frames_come_as_html_text_and_table(self):
        cell = self.run_ok("pd.DataFrame({'a': [1, 2], 'b': ['x', None], 'c': [1.5, np.nan]})")
        self.assertIn("<table", cell.result["text/html"])
        self.assertIn("a", cell.result["text/plain"])
        table = cell.result[self.MIME]
        self.assertEqual(
            table["data"],
            [{"index": 0, "a": 1, "b": "x", "c": 1.5}, {"index": 1, "a": 2, "b": None, "c": None}],
        )
        self.assertEqual(
            [f["type"] for f in table["schema"]["fields"]],
            ["integer", "integer", "string", "number"],
        )
        self.assertEqual(cell.of("result")[0]["metadata"][self.MIME]["total_rows"], 2)

    def test_large_frames_are_cut(self):
        cell = self.run_ok("pd.DataFrame({'a': range(100_000), 's': ['y' * 2000] * 100_000})")
        table = cell.result[self.MIME]
        self.assertLessEqual(len(json.dumps(table["data"])), 300 << 10)
        meta = cell.of("result")[0]["metadata"][self.MIME]
        self.assertEqual((meta["total_rows"], meta["rows"]), (100_000, len(table["data"])))

    def shown(self, code):
        """The table that `code` shows, and what is told about it."""
        cell = self.run_ok(code)
        return cell.result[self.MIME], cell.of("result")[0]["metadata"][self.MIME]

    def test_the_whole_size_is_told_and_the_index_is_no_column(self):
        _, meta = self.shown("pd.DataFrame(np.zeros((100_000, 12)))")
        self.assertEqual((meta["total_rows"], meta["total_columns"]), (100_000, 12))
        self.assertLess(meta["rows"], 100_000)
        table, meta = self.shown(
            "pd.DataFrame(np.zeros((3, 300)), index=pd.MultiIndex.from_product([[1], [1, 2, 3]]))"
        )
        self.assertEqual((meta["total_columns"], meta["columns"]), (300, 200))
        self.assertEqual(len(table["schema"]["fields"]), 202)
        self.assertEqual(table["schema"]["primaryKey"], ["level_0", "level_1"])
        # One row is there even where it alone is more than a table should be.
        table, meta = self.shown("pd.DataFrame([['\u20ac' * 5000] * 200] * 2)")
        self.assertEqual((len(table["data"]), meta["total_rows"]), (1, 2))

    def test_numbers_keep_their_digits_and_the_form_that_was_asked_for(self):
        table, meta = self.shown("pd.DataFrame({'n': [1795902150.13, 123456789.25, np.nan]})")
        self.assertEqual(
            [row["n"] for row in table["data"]], [1795902150.13, 123456789.25, None]
        )
        self.assertEqual(meta.keys() & {"precision", "text"}, set())
        self.run_ok("pd.options.display.precision = 2")
        self.assertEqual(self.shown("pd.DataFrame({'n': [1.5]})")[1]["precision"], 2)
        self.run_ok("pd.options.display.float_format = '{:,.2f} CHF'.format")
        table, meta = self.shown(
            "pd.DataFrame({'i': [1, 2], 'n': [1234.5, np.nan], 's': ['a', 'b']})"
        )
        self.assertEqual(meta["text"], {"n": ["1,234.50 CHF", ""]})
        self.assertEqual(table["data"][0]["n"], 1234.5)

    def test_sparse_columns_and_numpy_scalars_are_numbers(self):
        sparse = "pd.arrays.SparseArray"
        table, _ = self.shown(
            "pd.DataFrame({'i': %s([0, 1]), 'f': %s([0, 1.5]), 'b': %s([True, False]), "
            "'n': %s([np.nan, 2.0]), 'o': np.array([np.int64(3), np.float32(0.5)], dtype=object)})"
            % ((sparse,) * 4)
        )
        self.assertEqual(
            table["data"],
            [
                {"index": 0, "i": 0, "f": 0.0, "b": True, "n": None, "o": 3},
                {"index": 1, "i": 1, "f": 1.5, "b": False, "n": 2.0, "o": 0.5},
            ],
        )

    def test_odd_columns_do_not_break(self):
        for code in (
            "pd.DataFrame([[1, 2]], columns=['a', 'a'])",
            "pd.DataFrame({('x', 1): [1], ('x', 2): [2]})",
            "pd.DataFrame({'o': [object(), {1, 2}], 't': [pd.Timestamp('2020-01-01', tz='UTC'), pd.NaT]})",
            "pd.DataFrame({'p': pd.period_range('2020', periods=2), 'i': pd.interval_range(0, 2), 'd': pd.to_timedelta([1, 2])})",
            "pd.DataFrame({'n': pd.array([1, None], dtype='Int64'), 'b': pd.array([True, None]), 'z': [1j, 2j]})",
            "pd.DataFrame({'c': pd.Categorical(['a', 'b']), 'f': [float('inf'), 2**70]})",
            "pd.DataFrame(index=pd.MultiIndex.from_tuples([(1, 'a')]), data={'v': [np.array([1, 2])]})",
            "pd.DataFrame()",
        ):
            cell = self.run_ok(code)
            self.assertIn(self.MIME, cell.result, code)
            self.assertEqual(cell.stderr, "", code)

    def test_series_and_column_completion(self):
        self.assertIn("dtype", self.run_ok("pd.Series([1])").text)
        self.run_ok("df = pd.DataFrame({'alpha': [1], 'b c': [2]})")
        found = self.runner.ask("complete", "df['")["matches"]
        if SHELL == "plain":
            self.assertEqual(found, ["alpha", "b c"])
        else:  # older versions of IPython add everything that there is
            self.assertIn("alpha", [name.strip("'") for name in found])
        self.assertEqual(self.runner.ask("complete", "df.alp")["matches"], ["alpha"])


class Others(RunnerTest):
    def test_numpy(self):
        self.need("numpy")
        self.assertEqual(self.run_ok("import numpy as np\nnp.arange(3)").text, "array([0, 1, 2])")
        cell = self.run_ok(
            "display({'application/json': {'a': np.float64(1.5), 'b': np.arange(2)}}, raw=True)"
        )
        self.assertEqual(cell.displays[0]["data"]["application/json"], {"a": 1.5, "b": [0, 1]})

    def test_pillow(self):
        self.need("PIL")
        cell = self.run_ok("from PIL import Image\nImage.new('RGB', (3, 2), 'red')")
        self.assertEqual(base64.b64decode(cell.result["image/png"])[:8], PNG)

    @only_in("plain")
    def test_tqdm(self):
        self.need("tqdm")
        cell = self.run_ok("from tqdm.auto import tqdm\nfor i in tqdm(range(3)): pass")
        self.assertIn("3/3", cell.stderr)
        self.assertNotIn("Warning", cell.stderr)
        self.run_ok("import IPython.display")
        self.assertIn(
            "2/2",
            self.run_ok(
                "from tqdm.notebook import tqdm as n" if False else "for i in tqdm(range(2)): pass"
            ).stderr,
        )

    @only_in("plain")
    def test_tqdm_for_notebooks_without_widgets(self):
        self.need("tqdm")
        code = "from tqdm.notebook import tqdm, trange\nfor i in tqdm(range(2)): pass"
        self.assertIn("2/2", self.run_ok(code).stderr)

    def test_plotly(self):
        self.need("plotly")
        cell = self.run_ok("import plotly.graph_objects as go\nf = go.Figure(go.Bar(y=[1, 2]))\nf")
        (shown,) = cell.displays
        self.assertEqual(shown["data"]["application/vnd.plotly.v1+json"]["data"][0]["type"], "bar")
        self.assertLess(len(shown["data"]["text/html"]), 100_000)
        self.assertEqual(len(self.run_ok("f.show()").displays), 1)

    def test_altair(self):
        self.need("altair")
        cell = self.run_ok("import altair as a\na.Chart(a.Data(values=[{'x': 1}])).mark_bar()")
        # The chart itself: a page would have to load its scripts from elsewhere.
        kinds = [kind for kind in cell.result if kind.startswith("application/vnd.vegalite.")]
        self.assertEqual(len(kinds), 1, cell.result.keys())
        self.assertEqual(cell.result[kinds[0]]["mark"], "bar")

    def test_sympy(self):
        self.need("sympy")
        cell = self.run_ok("import sympy\nx = sympy.symbols('x')\nx**2")
        self.assertIn("x^{2}", cell.result["text/latex"])
        if SHELL == "plain":
            told = self.run_error("sympy.init_printing()").error["value"]
            self.assertIn("pip install ipython", told)
            return
        cell = self.run_ok("sympy.init_printing(use_latex='mathjax')\nx**3")
        self.assertIn("x^{3}", cell.result["text/latex"])
        self.assertIn("3", cell.text.split("\n")[0])  # laid out in two lines, by its formatter
        self.assertEqual(cell.stderr, "")

    def test_ipython_itself(self):
        self.need("IPython")
        cell = self.run_ok(
            "from IPython.display import display, HTML, clear_output, Image, update_display\nimport IPython\n"
            "h = display(HTML('<b>'), display_id=True)\nh.update(HTML('<i>'))\nclear_output()\n"
            "IPython.get_ipython() is get_ipython(), HTML.__module__"
        )
        self.assertEqual([d["data"]["text/html"] for d in cell.displays], ["<b>", "<i>"])
        self.assertEqual(len(cell.of("clear_output")), 1)
        self.assertTrue(cell.text.startswith("(True, 'IPython.core.display"))


if __name__ == "__main__":
    unittest.main()
