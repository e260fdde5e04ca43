"""The floor: the least a Python driver can be and still answer cells.

Reads a line of JSON, executes its code in one namespace, answers a line of JSON that holds all
the output. With "collect" false the output goes straight to the real stdout and the answer is
the character EOT on a line of its own. No limits, no interrupts, no order between streams.
"""

import contextlib
import io
import json
import sys


def main():
    namespace = {"__name__": "__main__"}
    answers = sys.stdout
    for line in sys.stdin:
        request = json.loads(line)
        out, err = io.StringIO(), io.StringIO()
        status = "ok"
        try:
            code = compile(request["code"], "<cell>", "exec")
            if request["collect"]:
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    exec(code, namespace)
            else:
                exec(code, namespace)
        except BaseException as error:
            status = repr(error)
        if request["collect"]:
            answer = {"status": status, "stdout": out.getvalue(), "stderr": err.getvalue()}
            answers.write(json.dumps(answer))
        else:
            answers.write("\x04")
        answers.write("\n")
        answers.flush()


main()
