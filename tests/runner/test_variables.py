"""variables: the user's own names with their types and sizes, and no user code run for them."""

import unittest

from harness import RunnerTest


class Variables(RunnerTest):
    def listed(self):
        answer = self.runner.put({"op": "variables"})
        return {one["name"]: one for one in answer["variables"]}

    def test_own_names_are_listed_and_others_are_not(self):
        self.run_ok(
            "import os, sys as system\nfrom os import path, getcwd\nfrom collections import OrderedDict\n"
            "from textwrap import dedent\n_private = 1\nx = 3\n"
            "def twice(n, *, times=2): return n\nclass Point: pass\npoint = Point()"
        )
        self.run_ok("x * 2")
        found = self.listed()
        self.assertEqual(list(found), ["Point", "point", "twice", "x"])
        self.assertEqual(
            {name: one["type"] for name, one in found.items()},
            {"Point": "class", "point": "Point", "twice": "function", "x": "int"},
        )
        self.assertEqual(found["twice"]["preview"], "(n, times)")
        self.assertEqual(found["x"]["preview"], "3")

    def test_types_sizes_and_previews(self):
        self.run_ok(
            "s = 'it' * 500\nl = [1, 'two', [3, [4]]] * 10\nd = {'a': 1, 'b': (1,)}\n"
            "e = set()\nhuge = 1 << 100_000\nn = None\nf = 1.5\nb = b'raw'\nrows = [{'a': 1}]\n"
            "import datetime, pathlib\nday = datetime.date(2024, 5, 17)\nplace = pathlib.Path('/tmp')"
        )
        found = self.listed()
        self.assertEqual((found["s"]["type"], found["s"]["shape"]), ("str", [1000]))
        self.assertEqual(len(found["s"]["preview"]), 120)
        self.assertGreater(found["s"]["bytes"], 1000)
        self.assertEqual(found["l"]["preview"], "[1, 'two', [3, […]], 1, 'two', [3, […]], 1, 'two', …]")
        self.assertEqual(found["d"]["preview"], "{'a': 1, 'b': (1,)}")
        self.assertEqual(found["e"]["preview"], "set()")
        self.assertEqual(found["huge"]["preview"], "an integer of 100001 bits")
        self.assertEqual((found["n"]["preview"], found["f"]["preview"]), ("None", "1.5"))
        self.assertEqual(found["b"]["preview"], "b'raw'")
        self.assertEqual(found["day"]["preview"], "datetime.date(2024, 5, 17)")
        self.assertIn("/tmp", found["place"]["preview"])
        self.assertTrue(found["rows"]["table"])
        self.assertNotIn("table", found["l"])

    def test_numpy_and_pandas(self):
        self.need("pandas")
        self.run_ok(
            "import numpy as np, pandas as pd\na = np.zeros((3, 4))\ni = np.int64(7)\n"
            "df = pd.DataFrame({'x': range(1000), 'y': 1.0})\ns = pd.Series([1, 2])"
        )
        found = self.listed()
        self.assertEqual((found["a"]["shape"], found["a"]["bytes"]), ([3, 4], 96))
        self.assertIn("float64: 0.0, 0.0", found["a"]["preview"])
        self.assertEqual(found["i"]["preview"], "7")
        self.assertEqual((found["df"]["shape"], found["df"]["preview"]), ([1000, 2], "x, y"))
        self.assertGreaterEqual(found["df"]["bytes"], 16_000)
        self.assertTrue(found["df"]["table"] and found["s"]["table"])
        self.assertEqual(found["s"]["preview"], "int64: 1, 2")

    def test_no_user_code_is_run(self):
        self.run_ok(
            "ran = []\nclass Trap:\n"
            + "".join(
                "    def %s(self, *a): ran.append('%s'); return %s\n" % (name, name, value)
                for name, value in (
                    ("__repr__", "''"), ("__len__", "1"), ("__sizeof__", "1"), ("__str__", "''"),
                    ("__getattr__", "None"), ("__iter__", "iter(())"), ("__format__", "''"),
                    ("__bool__", "True"), ("__hash__", "1"),
                )
            )
            + "    @property\n    def shape(self): ran.append('shape'); return (1,)\n"
            "    nbytes = __class__ = shape\n"
            "t = Trap()\nlst = [t, (t,), {'k': t}]\nclass Mine(dict):\n"
            "    def __repr__(self): ran.append('dict'); return ''\n    __len__ = __repr__\nm = Mine(a=t)\n"
            "class Meta(type):\n    def __repr__(cls): ran.append('meta'); return ''\n"
            "    __module__ = property(lambda cls: ran.append('module'))\nclass Made(metaclass=Meta): pass\nmade = Made()"
        )  # fmt: skip
        found = self.listed()
        self.assertEqual(found["t"]["type"], "Trap")
        self.assertEqual(found["lst"]["preview"], "[<Trap>, (<Trap>,), {'k': <Trap>}]")
        self.assertEqual(self.run_ok("print(ran)").stdout, "[]\n")

    def test_many_and_odd_names_are_bounded(self):
        self.run_ok("globals().update({'v%04d' % n: n for n in range(600)})")
        answer = self.runner.put({"op": "variables"})
        self.assertEqual((len(answer["variables"]), answer["more"]), (500, True))
        self.run_ok("for n in range(600): del globals()['v%04d' % n]\nglobals()[5] = 1; globals()['é' * 9999] = 2")
        names = list(self.listed())
        self.assertEqual(sorted(map(len, names)), [1, 200])

    def test_an_empty_session_has_none(self):
        self.run_ok("1 + 1")
        self.assertEqual(self.runner.put({"op": "variables"}), {"variables": []})


if __name__ == "__main__":
    unittest.main()
