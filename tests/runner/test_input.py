"""Input: every way of asking becomes an input_request."""

import unittest

from harness import RunnerTest


class Input(RunnerTest):
    def ask(self, code, *answers, **fields):
        self.runner.inputs = list(answers)
        cell = self.runner.run(code, **fields)
        return cell, [(e["prompt"], e["password"]) for e in cell.of("input_request")]

    def test_input_asks_with_its_prompt(self):
        cell, asked = self.ask(
            "print('before', end=' ')\nname = input('Who? ')\nname", {"text": "Ada"}
        )
        self.assertEqual((cell.text, asked), ("'Ada'", [("Who? ", False)]))
        self.assertEqual([name for name, _ in cell.order()], ["stdout", "input_request", "result"])

    def test_a_newline_at_the_end_of_the_answer_is_taken_off(self):
        cell, _ = self.ask("input()", {"text": "x\n"})
        self.assertEqual(cell.text, "'x'")

    def test_the_end_of_input(self):
        cell, _ = self.ask("input('?')", {"eof": True})
        self.assertEqual((cell.outcome, cell.error["name"]), ("error", "EOFError"))

    def test_secrets(self):
        cell, asked = self.ask("import getpass\ngetpass.getpass('Key: ')", {"text": "s3"})
        self.assertEqual((cell.text, asked), ("'s3'", [("Key: ", True)]))
        cell, asked = self.ask("from getpass import getpass\ngetpass()", {"text": "s4"})
        self.assertEqual(asked, [("Password: ", True)])

    def test_the_stream_itself(self):
        cell, asked = self.ask("import sys\nsys.stdin.readline()", {"text": "line"})
        self.assertEqual((cell.text, asked), ("'line\\n'", [("", False)]))
        cell, _ = self.ask(
            "[line for line in sys.stdin]", {"text": "a"}, {"text": "b\nc"}, {"eof": True}
        )
        self.assertEqual(cell.text, "['a\\n', 'b\\n', 'c\\n']")
        cell, _ = self.ask("sys.stdin.read()", {"text": "all"}, {"eof": True})
        self.assertEqual(cell.text, "'all\\n'")
        cell, _ = self.ask("sys.stdin.buffer.readline()", {"text": "é"})
        self.assertEqual(cell.text, repr("é\n".encode()))
        cell, _ = self.ask("sys.stdin.read(3), sys.stdin.readline()", {"text": "abcdef"})
        self.assertEqual(cell.text, "('abc', 'def\\n')")

    def test_a_cell_that_must_not_ask_fails_at_once(self):
        for code in (
            "input()",
            "import sys; sys.stdin.readline()",
            "import getpass; getpass.getpass()",
        ):
            cell, asked = self.ask(code, allow_input=False)
            self.assertEqual(
                (cell.outcome, cell.error["name"], asked), ("error", "InputNotAllowedError", [])
            )
            self.assertIn("allow_input", cell.error["value"])
        cell, _ = self.ask("try: input()\nexcept EOFError: print('default')", allow_input=False)
        self.assertEqual(cell.stdout, "default\n")

    def test_an_interrupt_ends_the_waiting_and_a_late_answer_harms_nobody(self):
        cell = self.runner.start("input('?')")
        self.runner.until(lambda: cell.of("input_request"))
        self.runner.interrupt()
        self.runner.finish(cell)
        self.assertEqual(cell.outcome, "interrupted")
        self.runner.answer(cell, text="late")
        cell, _ = self.ask("input()", {"text": "fresh"})
        self.assertEqual(cell.text, "'fresh'")

    def test_a_thread_may_ask_while_the_main_thread_shows(self):
        cell = self.runner.start(
            "import threading\nbox = []\nt = threading.Thread(target=lambda: box.append(input('thread? ')))\nt.start()\n"
            "for i in range(20): display(i)\nprint('shown')\nt.join()\nbox"
        )
        self.runner.until(lambda: cell.of("input_request") and "shown" in cell.stdout)
        self.runner.answer(cell, text="yes")
        self.runner.finish(cell)
        self.assertEqual((cell.text, len(cell.displays)), ("['yes']", 20))

    def test_a_thread_that_still_asks_when_its_cell_ends_gets_the_end_of_input(self):
        self.run_ok(
            "import threading\nbox = []\nasking = threading.Event()\ndef ask():\n    try: input('?')\n"
            "    except EOFError: box.append('eof')\n"
            "t = threading.Thread(target=ask); t.start()"
        )
        cell = self.run_ok("t.join(10); box")
        self.assertEqual(cell.text, "['eof']")

    def test_the_debugger_can_be_used(self):
        cell, asked = self.ask(
            "x = 5\nbreakpoint()\nprint('on')", {"text": "p x + 1"}, {"text": "c"}
        )
        self.assertEqual(asked, [("(Pdb) ", False)] * 2, cell.events)
        self.assertIn("6\n", cell.stdout)
        self.assertTrue(cell.stdout.endswith("on\n"))


if __name__ == "__main__":
    unittest.main()
