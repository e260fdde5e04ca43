"""Rich values: what objects say of themselves, and what happens when they say it badly."""

import base64
import unittest

from harness import RunnerTest, only_in


class Protocol(RunnerTest):
    def test_every_representation_is_asked_for(self):
        cell = self.run_ok(
            "class All:\n"
            "    def __repr__(self): return 'plain'\n"
            "    def _repr_html_(self): return '<b>'\n"
            "    def _repr_markdown_(self): return '**'\n"
            "    def _repr_svg_(self): return '<svg/>'\n"
            "    def _repr_png_(self): return b'\\x89PNG', {'width': 3}\n"
            "    def _repr_jpeg_(self): return b'\\xff\\xd8'\n"
            "    def _repr_pdf_(self): return b'%PDF'\n"
            "    def _repr_latex_(self): return '$x$'\n"
            "    def _repr_json_(self): return {'a': [1]}\n"
            "    def _repr_javascript_(self): return 'alert()'\n"
            "All()"
        )
        data = cell.result
        self.assertEqual(base64.b64decode(data.pop("image/png")), b"\x89PNG")
        self.assertEqual(base64.b64decode(data.pop("image/jpeg")), b"\xff\xd8")
        self.assertEqual(base64.b64decode(data.pop("application/pdf")), b"%PDF")
        self.assertEqual(
            data,
            {
                "text/plain": "plain", "text/html": "<b>", "text/markdown": "**", "image/svg+xml": "<svg/>",
                "text/latex": "$x$", "application/json": {"a": [1]}, "application/javascript": "alert()",
            },
        )  # fmt: skip
        self.assertEqual(cell.of("result")[0]["metadata"], {"image/png": {"width": 3}})

    def test_a_mimebundle_with_metadata(self):
        cell = self.run_ok(
            "class Chart:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n"
            "        return {'application/vnd.x+json': {'n': float('nan')}, 'text/html': '<i>'}, {'m': 1}\nChart()"
        )
        self.assertEqual(cell.result["application/vnd.x+json"], {"n": None})
        self.assertEqual(cell.result["text/html"], "<i>")
        self.assertIn("text/plain", cell.result)
        self.assertEqual(cell.of("result")[0]["metadata"], {"m": 1})

    def test_an_object_that_shows_itself(self):
        cell = self.run_ok(
            "class Own:\n    def _ipython_display_(self): display({'text/x': 'me'}, raw=True)\nOwn()"
        )
        self.assertIsNone(cell.result)
        self.assertEqual(cell.displays[0]["data"], {"text/x": "me"})

    def test_pretty_printing_methods(self):
        cell = self.run_ok(
            "class P:\n    def _repr_pretty_(self, p, cycle):\n        with p.group(2, 'P(', ')'):\n"
            "            p.text('a,'); p.breakable(); p.pretty([1])\nP()"
        )
        self.assertEqual(cell.text, "P(a, [1])")

    @only_in("plain")
    def test_broken_representations_spoil_nothing(self):
        cell = self.run_ok(
            "class Broken:\n    def __repr__(self): return 1/0\n    def _repr_html_(self): raise KeyError('html')\nBroken()"
        )
        self.assertEqual(cell.result, {"text/plain": "<Broken object whose repr failed>"})
        self.assertIn("_repr_html_ of a Broken failed", cell.stderr)
        self.assertIn("ZeroDivisionError", cell.stderr)
        self.assertEqual(self.run_ok("1").text, "1")

    def test_classes_and_objects_that_answer_everything_are_shown_as_text(self):
        self.run_ok(
            "from unittest.mock import MagicMock\nclass H:\n    def _repr_html_(self): return 'x'"
        )
        self.assertEqual(list(self.run_ok("H").result), ["text/plain"])
        self.assertEqual(list(self.run_ok("MagicMock()").result), ["text/plain"])
        self.run_ok("class Any:\n    def __getattr__(self, name): return lambda *a, **k: {'x': 1}")
        self.assertEqual(list(self.run_ok("Any()").result), ["text/plain"])

    def test_a_value_too_large_is_told_of(self):
        cell = self.run_ok("class Big:\n    def _repr_html_(self): return 'x' * (17 << 20)\nBig()")
        self.assertEqual(list(cell.result), ["text/plain"])
        self.assertIn("too large", cell.text)
        self.assertLess(len(self.run_ok("'y' * (30 << 20)").text), 2 << 20)
        self.assertLess(len(self.run_ok("list(range(3_000_000))").text), 2 << 20)
        self.assertEqual(self.run_ok("1").text, "1")

    def test_a_value_of_many_frames_arrives_whole(self):
        cell = self.run_ok("display({'text/html': 'é' * 300_000}, raw=True)")
        self.assertEqual(cell.displays[0]["data"]["text/html"], "é" * 300_000)


class Display(RunnerTest):
    def test_it_is_a_builtin(self):
        cell = self.run_ok("display(1, 'two')\nprint('display' in globals())")
        self.assertEqual(
            [d["data"] for d in cell.displays], [{"text/plain": "1"}, {"text/plain": "'two'"}]
        )
        self.assertEqual(cell.stdout, "False\n")

    def test_handles_update_what_is_shown(self):
        cell = self.run_ok(
            "h = display('a', display_id='one')\nh.update('b')\ndisplay('c', display_id=True).display_id != 'one'"
        )
        first, second, third = cell.displays
        self.assertEqual((first["display_id"], first.get("update")), ("one", None))
        self.assertEqual((second["display_id"], second["update"]), ("one", True))
        self.assertEqual(second["data"], {"text/plain": "'b'"})
        self.assertEqual(cell.text, "True")
        self.assertEqual(self.run_ok("h.update('d')").displays[0]["display_id"], "one")

    def test_what_is_included_metadata_and_clearing(self):
        cell = self.run_ok(
            "class H:\n    def _repr_html_(self): return '<b>'\n    def _repr_markdown_(self): return '**'\n"
            "display(H(), include=['text/html'], metadata={'k': 1})\ndisplay(H(), exclude=['text/html', 'text/plain'])\n"
            "from IPython.display import clear_output\nclear_output(wait=True)"
        )
        self.assertEqual(cell.displays[0]["data"], {"text/html": "<b>"})
        self.assertEqual(cell.displays[0]["metadata"], {"k": 1})
        self.assertEqual(cell.displays[1]["data"], {"text/markdown": "**"})
        self.assertEqual(cell.of("clear_output"), [{"type": "clear_output", "wait": True}])


class NotebookCode(RunnerTest):
    NAMES = (
        "display, HTML, Markdown, Image, JSON, SVG, Javascript, Latex, Pretty, Code, Audio, Video, IFrame, Math, "
        "FileLink, clear_output, update_display, DisplayHandle, publish_display_data, YouTubeVideo, display_html"
    )

    def test_the_names_of_ipython_are_there(self):
        self.run_ok("from IPython.display import " + self.NAMES)
        self.run_ok("from IPython.core.display import HTML")
        self.run_ok("from IPython import get_ipython, display as d\nd.display(1)")

    def test_their_objects_show_themselves(self):
        self.run_ok("from IPython.display import " + self.NAMES)
        for code, kind, value in (
            ("HTML('<b>')", "text/html", "<b>"),
            ("Markdown('**x**')", "text/markdown", "**x**"),
            ("SVG('<svg/>')", "image/svg+xml", None),
            ("Latex('$x$')", "text/latex", "$x$"),
            ("Math('x')", "text/latex", "$\\displaystyle x$"),
            ("JSON({'a': 1})", "application/json", {"a": 1}),
            ("Javascript('1')", "application/javascript", "1"),
            ("Pretty('text')", "text/plain", "text"),
            (
                "Image(b'\\x89PNG\\r\\n\\x1a\\n')",
                "image/png",
                base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(),
            ),
            ("IFrame('http://x', 10, 20)", "text/html", None),
            ("Code('x = 1', language='python')", "text/html", None),
        ):
            cell = self.run_ok(code)
            self.assertIn(kind, cell.result, code)
            if value is not None:
                self.assertEqual(cell.result[kind], value, code)

    def test_samples_become_sound(self):
        cell = self.run_ok(
            "from IPython.display import Audio\nAudio([0.0, 0.5, -0.5] * 100, rate=8000)"
        )
        self.assertIn("data:audio/wav;base64,UklGR", cell.result["text/html"])

    def test_display_publishes_through_us(self):
        cell = self.run_ok(
            "from IPython.display import display, HTML, update_display\ndisplay(HTML('<p>'), display_id='d')\n"
            "update_display(HTML('<q>'), display_id='d')"
        )
        self.assertEqual([d["data"]["text/html"] for d in cell.displays], ["<p>", "<q>"])
        self.assertTrue(cell.displays[1]["update"])

    @only_in("plain")
    def test_the_session_looks_like_a_notebook_without_widgets(self):
        cell = self.run_ok("ip = get_ipython()\n'IPKernelApp' in ip.config, type(ip).__name__")
        self.assertEqual(cell.text, "(False, 'CellgateShell')")
        self.assertEqual(
            self.run_ok("ip.run_line_magic('pwd', '') == __import__('os').getcwd()").text, "True"
        )
        self.assertEqual(self.run_ok("ip.system('echo sys')").stdout, "sys\n")
        self.assertEqual(self.run_ok("ip.getoutput('echo got')").text, "['got']")


if __name__ == "__main__":
    unittest.main()
