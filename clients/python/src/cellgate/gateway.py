"""`Gateway`: a gateway of this program's own, on this machine.

The gateway runs below a small shell, whose standard input is a pipe from this process. When this process ends, however
that comes about, the kernel closes the pipe, and the shell ends the gateway. When the gateway ends by itself, so does
the shell.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, List, Optional, Sequence, Tuple, Type

from ._address import parse
from .async_session import Connecting, connect_async
from .errors import GatewayNotStarted
from .session import Session, connect

_WATCH = """
"$@" </dev/null &
gateway=$!
exec 3<&0
( read -r _ <&3; kill -TERM "$gateway" ) 2>/dev/null >/dev/null &
watcher=$!
wait "$gateway"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"""

# Of the variables for this package, a gateway knows none; a token of somebody else would take the random one's place.
_NOT_PASSED_ON = ("CELLGATE_BINARY", "CELLGATE_URL", "CELLGATE_TOKEN", "CELLGATE_TOKEN_FILE")
_END_SECONDS = 20.0  # for cells that run, sandboxes and their files
_LOG_TAIL = 4096  # bytes of the log that an error shows


class Gateway:
    """Starts `cellgate serve` on a free port with a random token; ends it with the `with` block or this process.

    The program is the one of `binary`, of $CELLGATE_BINARY, the one that came with this package, or the first
    `cellgate` on the PATH. `arguments` are more flags of `cellgate serve`, such as `["--backend", "local"]`.
    """

    def __init__(
        self,
        arguments: Sequence[str] = (),
        *,
        binary: Optional[str] = None,
        start_timeout: float = 60.0,
    ) -> None:
        #: Where it serves.
        self.url = ""
        #: Opens sessions. A random one, which the gateway makes itself at its start.
        self.token = ""
        self._log: IO[bytes] = tempfile.TemporaryFile()
        #: What is in it when it is closed.
        self._last_log = ""
        program = binary or find_binary()
        command = [program, "serve", "--listen", "127.0.0.1:0", "--drain-timeout", "2s", *arguments]
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "cellgate", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            env=environment,
            start_new_session=True,  # Ctrl-C is for this program, which ends the gateway itself
        )
        try:
            self.url, self.token = self._wait_for_url(start_timeout)
        except BaseException:
            self.stop()
            raise

    def connect(self, **options: Any) -> Session:
        """A session of this gateway; takes what `cellgate.connect` does."""
        return connect(self.url, options.pop("token", self.token), **options)

    def connect_async(self, **options: Any) -> Connecting:
        """The same for coroutines; takes what `cellgate.connect_async` does."""
        return connect_async(self.url, options.pop("token", self.token), **options)

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that watches the gateway; the leader of its process group."""
        return self._process.pid

    def log(self) -> str:
        """What it has logged."""
        if self._log.closed:
            return self._last_log
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode(errors="replace")

    def stop(self) -> None:
        """Ends it and all its sessions, and waits until it is gone."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if not self._log.closed:
            self._last_log = self.log()
            self._log.close()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.stop()

    def _wait_for_url(self, timeout: float) -> Tuple[str, str]:
        """Reads the line that says where it serves: `cellgate VERSION (…) at http://ADDRESS/#token=TOKEN`."""
        output = self._process.stdout
        assert output is not None  # a pipe was asked for
        deadline = time.monotonic() + timeout
        said = b""
        while not said.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([output], [], [], left)[0]:
                raise GatewayNotStarted(f"the gateway did not serve within {timeout:g} s. {self._last_words()}")
            part = os.read(output.fileno(), 4096)
            if not part:
                break  # it has ended
            said += part
        line = said.decode(errors="replace").strip()
        if " at http" not in line:
            raise GatewayNotStarted(f"the gateway did not start. {self._last_words()}")
        address = parse(line.rsplit(" at ", 1)[1])
        if address.token is None:
            raise GatewayNotStarted(
                "the gateway's settings file has a token, so that it made no random one; name a file without one: "
                'Gateway(["--config", "/dev/null"])'
            )
        return address.base, address.token

    def _last_words(self) -> str:
        said: List[str] = self.log()[-_LOG_TAIL:].strip().splitlines()
        return "Its log ends with:\n" + "\n".join(said) if said else "It logged nothing."


def find_binary() -> str:
    """The gateway's program: $CELLGATE_BINARY, the one beside this package, or the first on the PATH."""
    named = os.environ.get("CELLGATE_BINARY")
    if named:
        if not os.access(named, os.X_OK):
            raise GatewayNotStarted(f"$CELLGATE_BINARY names {named}, which is no program that may be run; correct it")
        return named
    beside = Path(__file__).parent / "bin" / "cellgate"
    for candidate in (str(beside), _of_environment(), shutil.which("cellgate")):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise GatewayNotStarted(
        "the program `cellgate` was not found: install the wheel that has it, put it on the PATH, or name it in "
        "$CELLGATE_BINARY"
    )


def _of_environment() -> Optional[str]:
    """The script directory of the environment that this package is installed in, as for `pip install`."""
    return str(Path(sysconfig.get_path("scripts")) / "cellgate")
