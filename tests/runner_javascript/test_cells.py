"""Values, declarations, imports and errors of JavaScript cells."""

from javascript import RunnerTest


class Values(RunnerTest):
    def test_the_value_of_the_last_statement_is_the_result(self):
        self.assertEqual(self.text_of("1 + 1"), "2")
        self.assertEqual(self.text_of("({a: [1, 2], b: 'x'})"), "{ a: [ 1, 2 ], b: 'x' }")
        self.assertEqual(self.text_of("-0"), "-0")
        self.assertEqual(self.text_of("10n ** 20n"), "100000000000000000000n")
        self.assertEqual(self.text_of("'text'"), "'text'")
        self.assertEqual(self.text_of("Symbol('s')"), "Symbol(s)")
        self.assertEqual(self.text_of("null"), "null")
        self.assertEqual(self.text_of("for (let i = 0; i < 3; i++) i * 2"), "4")
        self.assertIsNone(self.text_of("undefined"))
        self.assertIsNone(self.text_of("const x = 5"))
        self.assertIsNone(self.text_of(""))

    def test_declarations_can_be_made_again_and_are_kept(self):
        self.run_ok("const a = 1; let b = 2; class C {}; var d = 4; function f() { return 5 }")
        self.run_ok("const a = 10; let b = 20; class C { m() {} }")
        self.assertEqual(self.text_of("[a, b, d, f(), typeof new C().m]"), "[ 10, 20, 4, 5, 'function' ]")

    def test_await_stands_anywhere(self):
        self.run_ok("const {x, y: [z]} = await Promise.resolve({x: 1, y: [2]})")
        self.assertEqual(self.text_of("x + z + await 3"), "6")
        self.assertEqual(
            self.text_of("for await (const v of (async function* () { yield 7 })()) v"), "7"
        )
        self.assertEqual(self.text_of("Promise.resolve(1)"), "Promise { 1 }")

    def test_the_last_result_is_kept_as_underscore(self):
        self.run_ok("6 * 7")
        self.assertEqual(self.text_of("_ + 1"), "43")
        self.run_ok("globalThis._ = 'mine'")
        self.run_ok("5")
        self.assertEqual(self.text_of("_"), "'mine'")

    def test_variables_of_one_cell_are_gone_after_it(self):
        self.assertEqual(self.runner.run("process.env.ONCE", env={"ONCE": "1"}).text, "'1'")
        self.assertIsNone(self.runner.run("process.env.ONCE").text)

    def test_expressions_of_a_client_are_evaluated_after_the_cell(self):
        cell = self.runner.run("const q = 4", user_expressions={"a": "q + 1", "b": "nothing"})
        values = cell.of("user_expressions")[0]["values"]
        self.assertEqual(values["a"]["data"]["text/plain"], "5")
        self.assertEqual(values["b"]["ename"], "ReferenceError")


class Imports(RunnerTest):
    def test_import_statements_of_every_form(self):
        self.runner.write_file("own.mjs", "export default 1; export const two = 2; export const three = 3\n")
        self.run_ok("import one, { two, three as drei } from './own.mjs'\nimport * as all from './own.mjs'")
        self.assertEqual(self.text_of("[one, two, drei, all.two]"), "[ 1, 2, 3, 2 ]")
        self.run_ok("import 'fs'; import { join } from 'node:path'")
        self.assertEqual(self.text_of("join('a', 'b')"), "'a/b'")
        self.run_ok("import one, { two } from './own.mjs'")  # again
        self.assertEqual(self.run_error("import { four } from './own.mjs'", "SyntaxError").error["value"],
                         "The requested module './own.mjs' does not provide an export named 'four'")

    def test_dynamic_import_and_text_that_only_looks_like_one(self):
        self.assertEqual(self.text_of("(await import('os')).EOL"), "'\\n'")
        self.assertEqual(self.text_of("'import(x)' + `import y from 'z'` // import w from 'v'"),
                         "\"import(x)import y from 'z'\"")
        self.run_ok("async function later() { return (await import('node:path')).sep }")
        self.assertEqual(self.text_of("await later()"), "'/'")
        self.assertTrue(self.text_of("import.meta.url").startswith("'file:///"))

    def test_packages_of_the_working_directory(self):
        self.runner.write_file("node_modules/pack/package.json",
                               '{"name": "pack", "exports": {"import": "./m.mjs", "require": "./c.cjs"}}')
        self.runner.write_file("node_modules/pack/m.mjs", "export const kind = 'module'")
        self.runner.write_file("node_modules/pack/c.cjs", "exports.kind = 'common'")
        self.run_ok("import { kind } from 'pack'")
        self.assertEqual(self.text_of("[kind, require('pack').kind]"), "[ 'module', 'common' ]")

    def test_lines_stay_in_their_places(self):
        cell = self.run_error("import {\n  join,\n} from 'path'\n\nnull.x", "TypeError")
        self.assertEqual(cell.error["frames"][0]["line"], 5)


class Errors(RunnerTest):
    def test_an_error_shows_the_cells_line_and_no_frame_of_the_runner(self):
        cell = self.run_error("function f(x) {\n  return x.y.z\n}\nf({})", "TypeError", id="c1")
        self.assertEqual(cell.error["value"], "Cannot read properties of undefined (reading 'z')")
        self.assertEqual(
            [(frame["line"], frame["function"], frame["cell"]) for frame in cell.error["frames"]],
            [(2, "f", "c1"), (4, "", "c1")],
        )
        self.assertEqual(cell.error["frames"][0]["source"], "return x.y.z")
        self.assertEqual(cell.traceback, "\n".join((
            "<cell-1>:2", "  return x.y.z", "             ^", "",
            "TypeError: Cannot read properties of undefined (reading 'z')",
            "    at f (<cell-1>:2:14)", "    at <cell-1>:4:1",
        )))

    def test_a_syntax_error_names_the_line(self):
        cell = self.run_error("let a = 1\nlet b = = 2", "SyntaxError")
        self.assertEqual(cell.traceback, "<cell-1>:2\nlet b = = 2\n        ^\n\n"
                         "SyntaxError: Unexpected token '='")
        self.assertEqual(cell.error["frames"][0]["line"], 2)

    def test_what_is_no_error_and_what_has_a_cause(self):
        cell = self.run_error("throw {a: 1}")
        self.assertEqual((cell.error["name"], cell.error["value"]), ("Uncaught", "{ a: 1 }"))
        cell = self.run_error("throw new Error('outer', {cause: new RangeError('inner')})", "Error")
        self.assertIn("[cause]: RangeError: inner", cell.traceback)
        cell = self.run_error("await Promise.reject(new TypeError('later'))", "TypeError")
        self.assertEqual(cell.error["value"], "later")

    def test_a_value_that_cannot_be_shown_is_an_error_of_the_cell(self):
        cell = self.run_error("({[Symbol.for('nodejs.util.inspect.custom')]() { throw new Error('no') }})")
        self.assertEqual(cell.error["value"], "no")
        self.assertEqual(self.text_of("1"), "1")

    def test_errors_of_background_work_end_nothing(self):
        cell = self.run_ok("setTimeout(() => { throw new Error('timer') }, 1); Promise.reject(new Error('promise')); 1")
        self.runner.until(lambda: b"promise" in cell.late["stderr"] + cell.bytes["stderr"]
                          and b"timer" in cell.late["stderr"] + cell.bytes["stderr"])
        self.assertEqual(self.text_of("2"), "2")
