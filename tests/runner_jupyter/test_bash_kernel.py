"""A kernel that is no Python: bash_kernel, from PyPI."""

from jupyter import KernelTest, harness


class Bash(KernelTest):
    kernel = "bash"

    def test_it_says_what_it_is(self):
        language = self.runner.ready["language"]
        self.assertEqual((language["name"], language["shell"]), ("bash", "Bash"))

    def test_state_is_kept_and_output_streams_while_the_cell_runs(self):
        self.run_ok("x=5")
        cell = self.runner.start("echo $x; read -t 20 line < <(sleep 19); echo never")
        self.runner.until(lambda: cell.stdout == "5\n")
        self.assertIsNone(cell.outcome)
        self.runner.interrupt()
        self.assertEqual(self.runner.finish(cell).outcome, "interrupted")

    def test_an_interrupt_ends_commands_and_loops_and_keeps_the_state(self):
        self.run_ok("x=kept")
        for code in ("sleep 20", "while :; do :; done"):
            cell = self.runner.start("echo begun; " + code)
            self.runner.until(lambda: "begun" in cell.stdout)
            self.runner.interrupt()
            self.assertEqual(self.runner.finish(cell).outcome, "interrupted")
            self.assertEqual(self.run_ok("echo $x").stdout, "kept\n")

    def test_a_failed_command_is_an_error(self):
        cell = self.run_error("false")
        self.assertEqual((cell.error["name"], cell.error["value"]), ("Error", "1"))

    def test_questions_are_answered(self):
        self.run_ok("alphabet=abc")
        self.assertIn("$alphabet", self.runner.ask("complete", "é $alph", 7)["matches"])
        answer = self.runner.ask("complete", "é $alph", 7)
        self.assertEqual((answer["start"], answer["end"]), (2, 7))
        self.assertEqual(self.runner.ask("inspect", "x", 1), {"found": False, "data": {}})

    def test_every_byte_of_8_mib_arrives(self):
        cell = self.run_ok("seq -f '%01023.0f' 0 8191")
        lines = cell.stdout.split("\n")
        self.assertEqual(len(cell.stdout), 8 << 20)
        self.assertTrue(all(int(line) == at for at, line in enumerate(lines[:-1])))

    def test_the_end_of_the_kernel_is_the_runners(self):
        cell = self.runner.start("kill -9 $PPID")
        with self.assertRaises(harness.Died):
            self.runner.finish(cell)
        self.assertEqual(self.runner.wait_exit() & 0x7F, 9)
