"""What JavaScript cells write and show."""

import base64
import hashlib

from javascript import RunnerTest


class Output(RunnerTest):
    def test_console_and_streams_keep_their_order_and_form(self):
        cell = self.run_ok("console.log('a', {b: 1}, [2]); console.error('%s!', 'e'); console.table([{x: 1}]);"
                           "process.stdout.write('no newline')")
        self.assertTrue(cell.stdout.startswith("a { b: 1 } [ 2 ]\n"))
        self.assertIn("│ (index) │ x │", cell.stdout)
        self.assertTrue(cell.stdout.endswith("no newline"))
        self.assertEqual(cell.stderr, "e!\n")

    def test_events_stand_where_they_happened(self):
        cell = self.run_ok("console.log('one'); display.html('<b>2</b>'); console.log('three'); 4")
        self.assertEqual([name for name, _ in cell.order()], ["stdout", "display", "stdout", "result"])

    def test_output_of_an_ended_cell_is_its_own(self):
        first = self.run_ok("setTimeout(() => console.log('late'), 50); (async () => "
                            "{ await null; await new Promise(r => setTimeout(r, 60)); console.log('later') })(); 0")
        second = self.run_ok("console.log('second'); await new Promise(r => setTimeout(r, 150))")
        self.runner.until(lambda: b"later\n" in first.late["stdout"])
        self.assertEqual(first.late["stdout"], b"late\nlater\n")
        self.assertEqual(second.stdout, "second\n")

    def test_children_write_to_the_pipes_of_their_cell(self):
        cell = self.run_ok(
            "const cp = require('child_process'); console.log('1');"
            "cp.spawnSync('echo', ['2'], {stdio: 'inherit'}); console.log('3');"
            "cp.execSync('echo 4', {stdio: ['ignore', 'inherit', 'inherit']});"
            "await new Promise(r => cp.spawn('sh', ['-c', 'echo 5; echo e >&2'], {stdio: 'inherit'}).on('close', r));"
            "require('fs').writeSync(1, '6\\n'); cp.execSync('echo 7').toString()")
        self.assertEqual((cell.stdout, cell.stderr), ("1\n2\n3\n4\n5\n6\n", "e\n"))
        self.assertEqual(cell.text, "'7\\n'")

    def test_children_hold_none_of_the_runners_descriptors(self):
        cell = self.run_ok("require('child_process').execSync('ls /proc/self/fd').toString().trim().split('\\n').length")
        self.assertLessEqual(int(cell.text), 5)

    def test_16_mib_arrive_byte_for_byte(self):
        cell = self.run_ok(
            "const line = 'äb€' + 'x'.repeat(1017); let sent = require('crypto').createHash('sha256');"
            "for (let i = 0; i < 16384; i++) { console.log(line); sent.update(line + '\\n') }; sent.digest('hex')")
        self.assertGreaterEqual(len(cell.bytes["stdout"]), 16 << 20)
        self.assertEqual(cell.text.strip("'"), hashlib.sha256(cell.bytes["stdout"]).hexdigest())


class Rich(RunnerTest):
    def test_a_value_tells_what_it_looks_like(self):
        cell = self.run_ok("({[Symbol.for('cellgate.display')]() { return {'text/html': '<i>x</i>', 'text/plain': 'x'} }})")
        self.assertEqual(cell.result, {"text/html": "<i>x</i>", "text/plain": "x"})
        cell = self.run_ok("({[Symbol.for('Jupyter.display')]: () => ({'image/png': Buffer.from([1, 2])})})")
        self.assertEqual(cell.result["image/png"], base64.b64encode(b"\1\2").decode())

    def test_images_and_charts_are_known_by_their_contents(self):
        cell = self.run_ok("Buffer.from('iVBORw0KGgoAAAAN', 'base64')")
        self.assertEqual(cell.result["image/png"], "iVBORw0KGgoAAAAN")
        spec = "{$schema: 'https://vega.github.io/schema/vega-lite/v5.json', mark: 'bar'}"
        cell = self.run_ok("(%s)" % spec)
        self.assertEqual(cell.result["application/vnd.vegalite.v5+json"]["mark"], "bar")
        cell = self.run_ok("({data: [{y: [1, 2]}], layout: {}})")
        self.assertEqual(cell.result["application/vnd.plotly.v1+json"]["data"], [{"y": [1, 2]}])

    def test_display_and_its_forms(self):
        cell = self.run_ok("const id = display('a', {id: true}); display('b', {id, update: true});"
                           "display.json({k: 1}); display.clear()")
        first, second, third = cell.displays
        self.assertEqual(first["display_id"], second["display_id"])
        self.assertTrue(second["update"])
        self.assertEqual(third["data"]["application/json"], {"k": 1})
        self.assertEqual(cell.of("clear_output")[0]["wait"], False)

    def test_input_is_asked_for_and_waited_for(self):
        self.runner.inputs = [{"text": "Ada"}, {"eof": True}]
        cell = self.run_ok("console.log('before'); [prompt('name? '), prompt('', {password: true})]")
        self.assertEqual(cell.text, "[ 'Ada', null ]")
        self.assertEqual([(r["prompt"], r["password"]) for r in cell.of("input_request")],
                         [("name? ", False), ("", True)])
        self.assertIn("allow_input", self.run_error("prompt()", allow_input=False).error["value"])
