"""A gateway of one's own: how it is found, how it starts, and that it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from support import arguments

import cellgate

# Starts a gateway, runs a cell, says the gateway's process group, and then does what the test says.
PROGRAM = """
import os, sys
sys.path[:0] = {path!r}
import cellgate
gateway = cellgate.Gateway({arguments!r})
session = gateway.connect()
print(gateway.pid, session.run("6 * 7").text, flush=True)
{then}
"""


def members(group: int) -> int:
    """How many processes of a group live."""
    count = 0
    for entry in Path("/proc").iterdir():
        try:
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue  # no process, or one that has just ended
        if int(state[2]) == group and state[0] != "Z":
            count += 1
    return count


class GatewayTest(unittest.TestCase):
    def assert_empties(self, group: int) -> None:
        deadline = time.monotonic() + 20
        while members(group):
            self.assertLess(time.monotonic(), deadline, "processes of the gateway are left")
            time.sleep(0.05)

    def test_start_and_stop(self) -> None:
        with cellgate.Gateway(arguments()) as gateway:
            self.assertTrue(gateway.running)
            self.assertGreaterEqual(len(gateway.token), 16)
            self.assertRegex(gateway.url, r"^http://127\.0\.0\.1:\d+$")
            with gateway.connect() as session:
                self.assertEqual(session.run("6 * 7").text, "42")
        self.assertFalse(gateway.running)
        self.assert_empties(gateway.pid)
        gateway.stop()  # twice is no error

    def test_it_ends_with_the_program_however_that_ends(self) -> None:
        for then in ("", "os._exit(3)", "os.kill(os.getpid(), 9)", "raise RuntimeError"):
            with self.subTest(then=then):
                program = PROGRAM.format(path=sys.path, arguments=arguments(), then=then)
                ended = subprocess.run(
                    [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60
                )
                self.assertTrue(ended.stdout, ended.stderr.decode())
                group, text = ended.stdout.split()
                self.assertEqual(text, b"42")
                self.assert_empties(int(group))

    def test_ctrl_c_at_the_terminal_is_the_programs_own(self) -> None:
        then = (
            "import time\n"
            "try:\n"
            "    print('waits', flush=True)\n"
            "    time.sleep(60)\n"
            "except KeyboardInterrupt:\n"
            "    print(session.run('1 + 1').text, flush=True)"
        )
        program = PROGRAM.format(path=sys.path, arguments=arguments(), then=then)
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        group = int(process.stdout.readline().split()[0])
        self.assertEqual(process.stdout.readline(), b"waits\n")
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(process.stdout.readline(), b"2\n")
        process.stdout.close()
        process.wait(20)
        self.assert_empties(group)

    def test_a_gateway_that_does_not_start_says_why(self) -> None:
        with self.assertRaisesRegex(cellgate.GatewayNotStarted, "--no-such-flag"):
            cellgate.Gateway(["--no-such-flag"])
        with tempfile.TemporaryDirectory() as folder:
            silent = Path(folder) / "cellgate"
            silent.write_text("#!/bin/sh\nsleep 60\n")
            silent.chmod(0o755)
            before = time.monotonic()
            with self.assertRaisesRegex(cellgate.GatewayNotStarted, "within 0.3 s"):
                cellgate.Gateway(binary=str(silent), start_timeout=0.3)
            self.assertLess(time.monotonic() - before, 30)

    def test_where_the_program_is_looked_for(self) -> None:
        with mock.patch.dict(os.environ, {"CELLGATE_BINARY": "/nonexistent/cellgate"}):
            with self.assertRaisesRegex(cellgate.GatewayNotStarted, "CELLGATE_BINARY names /nonexistent/cellgate"):
                cellgate.Gateway()
        with tempfile.TemporaryDirectory() as folder:
            found = Path(folder) / "cellgate"
            found.write_text("#!/bin/sh\necho this is the one on the PATH >&2\nexit 1\n")
            found.chmod(0o755)
            environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
            with (
                mock.patch.dict(os.environ, environment),
                mock.patch("sysconfig.get_path", return_value="/nonexistent"),
            ):
                os.environ.pop("CELLGATE_BINARY", None)
                with self.assertRaisesRegex(cellgate.GatewayNotStarted, "the one on the PATH"):
                    cellgate.Gateway()
            with (
                mock.patch.dict(os.environ, {"PATH": "/nonexistent"}),
                mock.patch("sysconfig.get_path", return_value="/x"),
            ):
                os.environ.pop("CELLGATE_BINARY", None)
                with self.assertRaisesRegex(cellgate.GatewayNotStarted, "install the wheel"):
                    cellgate.Gateway()


if __name__ == "__main__":
    unittest.main()
