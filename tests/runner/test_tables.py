"""Tables: what is shown as one, and the questions about them: pages, order, filter, CSV."""

import csv
import io
import json
import unittest

from harness import SHELL, RunnerTest

IN_NOTEBOOK = SHELL == "ipython"  # the interpreter for notebooks has what Debian does not package
MIME = "application/vnd.dataresource+json"


class TableTest(RunnerTest):
    def shown(self, code):
        """The data, the metadata and the fields' names of the table that `code` shows."""
        cell = self.run_ok(code)
        table, told = cell.result[MIME], cell.of("result")[0]["metadata"][MIME]
        return table["data"], told, [field["name"] for field in table["schema"]["fields"]]

    def table(self, name, **fields):
        return self.runner.put({"op": "table", "table": name, **fields})

    def rows(self, name, **fields):
        answer = self.table(name, **fields)
        self.assertNotIn("error", answer)
        return answer["rows"]

    def whole_csv(self, name, **fields):
        """All parts joined, and how many there were."""
        texts, at = [], 0
        while at is not None:
            answer = self.table(name, format="csv", **{**fields, "from": at})
            self.assertGreater(answer.get("next", at + 1), at)
            texts.append(answer["csv"])
            at = answer.get("next")
        return "".join(texts), len(texts)


class Pandas(TableTest):
    def setUp(self):
        super().setUp()
        self.need("pandas")
        self.run_ok("import pandas as pd, numpy as np")

    def test_other_rows_are_had_by_asking(self):
        _, told, names = self.shown(
            "df = pd.DataFrame({'n': range(100_000), 's': [str(n * 7) for n in range(100_000)]})\ndf"
        )
        self.assertEqual(names, ["index", "n", "s"])
        answer = self.table(told["table"], **{"from": 99_998, "count": 50})
        self.assertEqual(answer["rows"], [[99998, 99998, "699986"], [99999, 99999, "699993"]])
        self.assertEqual((answer["total_rows"], answer["matching_rows"]), (100_000, 100_000))
        self.assertEqual(self.table(told["table"], **{"from": 10**9})["rows"], [])
        self.assertEqual(len(self.rows(told["table"], count=10**6)), 1000)

    def test_rows_are_sorted_in_the_interpreter(self):
        _, told, _ = self.shown(
            "df = pd.DataFrame({'a': [2, 1, 2, 1], 'b': [1.5, np.nan, 0.5, 9.0], 'm': [1, 'x', 2, None]},"
            " index=pd.Index(list('wxyz')))\ndf"
        )

        def order(*keys):
            sort = [{"column": column, "descending": down} for column, down in keys]
            return "".join(row[0] for row in self.rows(told["table"], sort=sort))

        self.assertEqual(order((1, False)), "xzwy", "equal rows keep their order")
        self.assertEqual(order((1, True)), "wyxz", "descending too")
        self.assertEqual(order((2, False)), "ywzx", "what is missing comes last")
        self.assertEqual(order((2, True)), "zwyx", "descending too")
        self.assertEqual(order((1, False), (2, False)), "zxyw", "the first key decides first")
        self.assertEqual(order((0, True)), "zyxw", "by the index")
        self.assertEqual(order((3, False)), "wyxz", "several types by their texts")
        self.assertIn("no column 4", self.table(told["table"], sort=[{"column": 4}])["error"])

    def test_duplicate_names_and_several_header_rows_sort_by_position(self):
        _, told, _ = self.shown("df = pd.DataFrame([[1, 3], [2, 2], [3, 1]], columns=['a', 'a'])\ndf")
        self.assertEqual(
            self.rows(told["table"], sort=[{"column": 2}]), [[2, 3, 1], [1, 2, 2], [0, 1, 3]]
        )
        _, told, names = self.shown(
            "m = pd.DataFrame({('x', 1): [1, 2]}, index=pd.MultiIndex.from_tuples([('a', 2), ('b', 1)]))\nm"
        )
        self.assertEqual(names, ["level_0", "level_1", "x, 1"])
        self.assertEqual(
            self.rows(told["table"], sort=[{"column": 1}]), [["b", 1, 2], ["a", 2, 1]]
        )

    def test_a_filter_looks_at_all_columns_and_goes_with_an_order(self):
        _, told, _ = self.shown(
            "df = pd.DataFrame({'n': [10, 25, 31, 45], 's': ['Äpfel', 'x5', None, 'ÄPFEL']})\ndf"
        )
        answer = self.table(told["table"], filter="äpf")
        self.assertEqual([row[1] for row in answer["rows"]], [10, 45])
        self.assertEqual((answer["total_rows"], answer["matching_rows"]), (4, 2))
        self.assertEqual([row[1] for row in self.rows(told["table"], filter="5")], [25, 45])
        backwards = self.rows(told["table"], filter="äpf", sort=[{"column": 1, "descending": True}])
        self.assertEqual([row[1] for row in backwards], [45, 10])
        self.assertEqual(self.table(told["table"], filter="none")["matching_rows"], 0)

    def test_an_order_is_made_once_for_all_pages_and_anew_after_a_cell(self):
        _, told, _ = self.shown(
            "made = []\n"
            "class K:\n    def __init__(self, n): self.n = n\n"
            "    def __lt__(self, other): made.append(1); return self.n < other.n\n"
            "df = pd.DataFrame({'k': [K(n) for n in (3, 1, 2)], 'n': [3, 1, 2]})\ndf"
        )
        for start in range(3):
            asked = {"from": start, "count": 1, "sort": [{"column": 1}]}
            self.assertEqual(self.rows(told["table"], **asked)[0][2], start + 1)
        once = int(self.run_ok("len(made)").text)
        self.assertGreater(once, 0)
        self.assertLess(once, 8)
        self.run_ok("df.loc[0, ['k', 'n']] = K(0), 0")
        self.assertEqual(self.rows(told["table"], sort=[{"column": 1}])[0][2], 0)

    def test_csv_has_all_rows_in_bounded_parts(self):
        _, told, _ = self.shown(
            "df = pd.DataFrame({'n': np.arange(40_000) / 8, 's': ['say \"hi\", you\\n' + 'y' * 30] * 40_000,"
            " 'm': [None, 1] * 20_000})\ndf"
        )
        text, parts = self.whole_csv(told["table"])
        self.assertGreater(parts, 3)
        read = list(csv.reader(io.StringIO(text, newline="")))
        self.assertEqual(read[0], ["index", "n", "s", "m"])
        self.assertEqual(len(read), 40_001)
        self.assertEqual(read[40_000], ["39999", "4999.875", 'say "hi", you\n' + "y" * 30, "1.0"])
        self.assertEqual(read[1][3], "")
        text, _ = self.whole_csv(told["table"], filter="4999.875")
        self.assertEqual(len(list(csv.reader(io.StringIO(text, newline="")))), 2)
        # Each row alone is larger than an answer; texts are cut, and rows are not lost.
        _, told, _ = self.shown("wide = pd.DataFrame([['\\x01' * 40_000] * 200] * 3)\nwide")
        text, parts = self.whole_csv(told["table"])
        self.assertEqual(len(text.splitlines()), 4)
        self.assertEqual(len(self.rows(told["table"])), 1)

    def test_the_form_of_numbers_comes_with_each_page(self):
        self.run_ok("pd.options.display.float_format = '{:,.2f} CHF'.format")
        _, told, _ = self.shown("df = pd.DataFrame({'n': [1234.5, 2.0]})\ndf")
        answer = self.table(told["table"], **{"from": 1})
        self.assertEqual(answer["text"], {"n": ["2.00 CHF"]})

    def test_a_series_is_a_table_of_one_column(self):
        data, told, names = self.shown("s = pd.Series([1.5, 2.5], name='half')\ns")
        self.assertEqual((names, data[0]), (["index", "half"], {"index": 0, "half": 1.5}))
        self.assertEqual(self.rows(told["table"], sort=[{"column": 1, "descending": True}])[0][1], 2.5)
        self.assertEqual(self.shown("v = pd.Series([True])\nv")[2], ["index", "value"])

    def test_a_frame_that_is_large_is_not_kept_alive(self):
        self.run_ok("import gc, weakref")
        self.run_ok("big = pd.DataFrame({'n': np.zeros(5_000_000)})\nhandle = weakref.ref(big)")
        cell = self.run_ok("display(big)")
        told = cell.displays[0]["metadata"][MIME]
        self.assertEqual(len(self.rows(told["table"], count=1)), 1)
        self.run_ok("del big")
        self.assertEqual(self.run_ok("gc.collect(); handle() is None").text, "True")
        self.assertIn("run the cell again", self.table(told["table"])["error"])

    def test_small_frames_are_kept_until_newer_ones_come(self):
        cell = self.run_ok("for n in range(6): display(pd.DataFrame({'n': [n]}))")
        names = [event["metadata"][MIME]["table"] for event in cell.displays]
        kept = ["rows" in self.table(name) for name in names]
        self.assertEqual(kept, [False] * 2 + [True] * 4)
        frames = self.run_ok("kept = [pd.DataFrame({'n': [n]}) for n in range(40)]\nfor k in kept: display(k)")
        names = [event["metadata"][MIME]["table"] for event in frames.displays]
        kept = ["rows" in self.table(name) for name in names]
        self.assertEqual(kept, [False] * 8 + [True] * 32)

    def test_a_frame_changed_in_place_answers_with_what_it_has_now(self):
        _, told, _ = self.shown("df = pd.DataFrame({'n': [1, 2]})\ndf")
        self.run_ok("df.loc[2] = 7")
        answer = self.table(told["table"], **{"from": 2})
        self.assertEqual((answer["rows"], answer["total_rows"]), ([[2, 7]], 3))
        self.run_ok("df['new'] = 0")
        self.assertIn("columns", self.table(told["table"])["error"])

    def test_a_variable_is_opened_by_its_name(self):
        self.run_ok("df = pd.DataFrame({'n': range(2000)})\nx = 3")
        answer = self.runner.put({"op": "table", "variable": "df", "count": 1})
        self.assertEqual(answer["fields"][1], {"name": "n", "type": "integer"})
        self.assertEqual((answer["keys"], answer["rows"]), (["index"], [[0, 0]]))
        self.assertEqual((answer["total_rows"], answer["total_columns"]), (2000, 1))
        self.assertEqual(self.rows(answer["table"], **{"from": 1999}), [[1999, 1999]])
        again = self.runner.put({"op": "table", "variable": "df"})
        self.assertEqual(again["table"], answer["table"], "it is kept once")
        for name, why in (("x", "x is no table: its type is int."), ("y", "no variable y")):
            self.assertIn(why, self.runner.put({"op": "table", "variable": name})["error"])

    def test_it_is_answered_between_cells_alone(self):
        _, told, _ = self.shown("df = pd.DataFrame({'n': [1]})\ndf")
        self.rows(told["table"])  # the first question of all waits until the runner is idle
        cell = self.runner.start("print('go')\nwhile True: pass")
        self.runner.until(lambda: "go" in cell.stdout)
        self.assertEqual(self.table(told["table"]), {"busy": True})
        self.assertEqual(self.runner.put({"op": "variables"}), {"busy": True})
        self.runner.interrupt()
        self.runner.finish(cell)
        self.assertEqual(self.rows(told["table"]), [[0, 1]])

    def test_nonsense_is_told(self):
        for name in ("", "no such", None, 5):
            self.assertIn("run the cell again", self.table(name)["error"])
        self.run_ok(
            "class Bad:\n    def __str__(self): raise ValueError\n"
            "    def __lt__(self, other): raise ZeroDivisionError('mine')\n"
            "df = pd.DataFrame({'b': [Bad(), Bad()]})"
        )
        answer = self.runner.put({"op": "table", "variable": "df"})
        self.assertEqual(answer["rows"][0][1], "<Bad>")
        answer = self.table(answer["table"], sort=[{"column": 1}])
        self.assertIn("ZeroDivisionError: mine", answer["error"])


class Dicts(TableTest):
    def test_a_list_of_dicts_is_a_table_beside_its_text(self):
        cell = self.run_ok("rows = [{'a': 3, 'b': 'x'}, {'a': 1.5}, {'c': None, 'a': 2}]\nrows")
        self.assertIn("{'a': 3", cell.text)
        table, told = cell.result[MIME], cell.of("result")[0]["metadata"][MIME]
        self.assertEqual(
            table["schema"],
            {
                "fields": [
                    {"name": "a", "type": "number"},
                    {"name": "b", "type": "string"},
                    {"name": "c", "type": "string"},
                ],
                "primaryKey": [],
            },
        )
        self.assertEqual(table["data"][1], {"a": 1.5, "b": None, "c": None})
        self.assertEqual((told["total_rows"], told["total_columns"]), (3, 3))
        sort = [{"column": 1}]
        self.assertEqual([row[0] for row in self.rows(told["table"], sort=sort)], [3, 1.5, 2])
        sort = [{"column": 0, "descending": True}]
        self.assertEqual([row[0] for row in self.rows(told["table"], sort=sort)], [3, 2, 1.5])
        self.assertEqual(self.whole_csv(told["table"])[0], "a,b,c\r\n3,x,\r\n1.5,,\r\n2,,\r\n")

    def test_what_is_no_table(self):
        for code in (
            "[]",
            "[{}]",
            "[{'a': 1}, 2]",
            "[{1: 2}]",
            "[{'a': 1, 2: 3}]",
            "[{'a': [1], 'b': {}, 'c': 1}]",
            "[{str(n): n for n in range(101)}]",
            "({'a': 1},)",
            "{'a': [1, 2]}",
            "import collections\n[collections.OrderedDict(a=1)]",
        ):
            self.assertEqual(set(self.run_ok(code).result), {"text/plain"}, code)

    def test_a_class_that_says_it_is_pandas_is_not_believed(self):
        cell = self.run_ok("class DataFrame:\n    pass\nDataFrame.__module__ = 'pandas.x'\nDataFrame()")
        self.assertNotIn(MIME, cell.result)


class OtherLibraries(TableTest):
    ROWS = "{'n': [3, None, 1, 1], 'f': [0.5, float('nan'), None, 2.0], 's': ['b', 'a', None, 'B']}"

    def check(self, name):
        def order(*keys, text=""):
            sort = [{"column": column, "descending": down} for column, down in keys]
            return [row[0:3] for row in self.rows(name, sort=sort, filter=text)]

        everything = [[3, 0.5, "b"], [None, None, "a"], [1, None, None], [1, 2.0, "B"]]
        a, b, c, d = everything
        self.assertEqual(order(), everything)
        self.assertEqual(order((0, False)), [c, d, a, b])
        self.assertEqual(order((0, True)), [a, c, d, b])
        self.assertEqual(order((0, False), (1, True)), [d, c, a, b])
        self.assertEqual(order((1, True))[:2], [d, a], "missing last")
        self.assertEqual(order((2, True))[3], c)
        self.assertEqual(order((0, True), text="b"), [a, d])
        self.assertEqual(self.rows(name, **{"from": 3, "count": 9}), [d])
        self.assertEqual(len(self.whole_csv(name)[0].splitlines()), 5)

    def test_polars(self):
        self.need("polars", IN_NOTEBOOK)
        _, told, names = self.shown("import polars as pl\np = pl.DataFrame(%s)\np" % self.ROWS)
        self.assertEqual((names, told["total_rows"]), (["n", "f", "s"], 4))
        self.check(told["table"])
        _, _, names = self.shown("s = pl.Series('x', [1, 2])\ns")
        self.assertEqual(names, ["x"])
        _, told, _ = self.shown("o = pl.DataFrame({'l': [[2], [1]], 'd': [{'a': 1}, {'a': 2}]})\no")
        for column in (0, 1):
            self.assertEqual(len(self.rows(told["table"], sort=[{"column": column}])), 2)

    def test_pyarrow(self):
        self.need("pyarrow", IN_NOTEBOOK)
        _, told, names = self.shown("import pyarrow as pa\nt = pa.table(%s)\nt" % self.ROWS)
        self.assertEqual((names, told["total_rows"]), (["n", "f", "s"], 4))
        self.check(told["table"])
        _, told, _ = self.shown("o = pa.table({'l': [[2], [1]]})\no")
        self.assertEqual(self.rows(told["table"], sort=[{"column": 0}]), [["[1]"], ["[2]"]])


class Answers(TableTest):
    def test_answers_are_bounded(self):
        self.run_ok("rows = [{'t': '\\x01' * 1000} for n in range(1000)]")
        answer = self.runner.put({"op": "table", "variable": "rows", "count": 1000})
        self.assertLessEqual(len(json.dumps(answer["rows"])), 600 << 10)
        self.assertGreater(len(answer["rows"]), 10)


if __name__ == "__main__":
    unittest.main()
