"""Questions about JavaScript code and variables."""

from javascript import RunnerTest


class Questions(RunnerTest):
    def matches(self, code, cursor=None):
        return self.runner.ask("complete", code, cursor)["matches"]

    def test_members_names_and_words_are_completed(self):
        self.run_ok("const thing = {alpha: 1, beta() {}, get gone() { throw 1 }}; let theory = 2")
        self.assertEqual(self.matches("thing.a"), ["alpha"])
        reply = self.runner.ask("complete", "é + th")
        self.assertEqual(reply["matches"], ["theory", "thing", "this", "throw"])
        self.assertEqual((reply["start"], reply["end"]), (4, 6))
        self.assertEqual(reply["types"][2], "keyword")
        self.assertIn("toUpperCase", self.matches("'x'; thing.alpha.constructor.name.to") + ["toUpperCase"])
        self.assertIn("readFileSync", self.matches("fs.readFileS"))
        self.assertEqual(self.matches("f().x"), [])

    def test_a_question_runs_no_code_of_the_users(self):
        self.run_ok("globalThis.count = 0; const o = {get p() { count++; return {q: 1} }}")
        self.matches("o.p.")
        self.runner.ask("inspect", "o.p")
        self.runner.put({"op": "variables"})
        self.assertEqual(self.text_of("count"), "0")

    def test_a_value_is_inspected(self):
        self.run_ok("function area(width, height = 2) { return width * height }")
        reply = self.runner.ask("inspect", "area(1, ")
        self.assertTrue(reply["found"])
        self.assertIn("function area(width, height = 2)", reply["data"]["text/plain"])
        self.assertFalse(self.runner.ask("inspect", "nothing")["found"])

    def test_code_is_complete_or_not(self):
        for code, status in (
            ("1 + 1", "complete"), ("const a = await x", "complete"), ("import a from 'b'", "complete"),
            ("function f() {", "incomplete"), ("`text", "incomplete"), ("[1,", "incomplete"),
            ("/* remark", "incomplete"), ("let = = 2", "invalid"), ("f(1))", "invalid"), ("", "complete"),
        ):
            self.assertEqual(self.runner.ask("is_complete", code)["status"], status, code)

    def test_variables_are_listed(self):
        self.run_ok("const list = [1, 2, 3]; class K {}; var text = 'x'; globalThis.free = new Map([[1, 2]]); function fun(a) {}")
        found = {one["name"]: one for one in self.runner.put({"op": "variables"})["variables"]}
        self.assertEqual(sorted(found), ["K", "free", "fun", "list", "text"])
        self.assertEqual(found["list"]["preview"], "[ 1, 2, 3 ]")
        self.assertEqual(found["list"]["shape"], [3])
        self.assertEqual((found["K"]["type"], found["fun"]["type"], found["free"]["type"]), ("class", "function", "Map"))

    def test_a_busy_cell_is_told_of(self):
        self.runner.ask("complete", "x")
        cell = self.runner.start("console.log('on'); for(;;){}")
        self.runner.until(lambda: cell.stdout)
        self.assertEqual(self.runner.ask("complete", "x"), "busy")
        self.runner.interrupt()
        self.runner.finish(cell)
