"""Requests to a gateway over HTTP. Blocking; `AsyncSession` makes them in threads."""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Callable, Dict, Generator, Iterator, Optional, Tuple, Union
from urllib.parse import quote

import urllib3

from . import errors
from .messages import Json

Body = Union[bytes, BinaryIO, None]

_TIMEOUT = urllib3.Timeout(connect=10, read=300)  # a large directory takes time to remove
# A connection that was kept open may have been closed by the gateway meanwhile. POST is not repeated once it was sent.
_RETRIES = urllib3.Retry(total=2, redirect=0, status=0, backoff_factor=0.1)
_CHUNK = 1 << 16
# A gateway says at least a comment every 15 s: a stream of events that is silent for longer is broken.
_EVENTS_TIMEOUT = urllib3.Timeout(connect=10, read=60)


class Http:
    """Makes requests with a session's token. May be used by several threads."""

    def __init__(self, base: str, credentials: Callable[[], Tuple[str, str]]) -> None:
        """`credentials` answers the session's id and this participant's token, as they are now."""
        self._base = base
        self._credentials = credentials
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=_RETRIES)

    def json(self, method: str, tail: str, body: Optional[Json] = None, query: Optional[Dict[str, str]] = None) -> Any:
        """Sends JSON, and decodes the JSON that is answered; None if nothing is."""
        encoded = None if body is None else json.dumps(body).encode()
        response = self.request(method, tail, encoded, query, {"Content-Type": "application/json"} if encoded else {})
        return json.loads(response.data) if response.data else None

    def request(
        self,
        method: str,
        tail: str,
        body: Body = None,
        query: Optional[Dict[str, str]] = None,
        headers: Optional[Dict[str, str]] = None,
    ) -> urllib3.BaseHTTPResponse:
        """Sends a request below the session's address; its whole answer is read."""
        return self._send(method, tail, body, query, headers, preload=True)

    def download(self, tail: str, to: BinaryIO) -> int:
        """Writes what is answered to a file, part by part; answers how many bytes that were."""
        response = self._send("GET", tail, None, None, None, preload=False)
        try:
            size = 0
            for chunk in response.stream(_CHUNK):
                to.write(chunk)
                size += len(chunk)
            return size
        except urllib3.exceptions.HTTPError as broken:
            raise errors.ConnectionLost(
                f"the connection broke while {tail} was read: {broken}; read it again"
            ) from broken
        finally:
            response.release_conn()

    def events(self, tail: str, query: Optional[Dict[str, str]] = None) -> EventStream:
        """Asks for server-sent events, and answers them as they come."""
        return EventStream(self._send("GET", tail, None, query, None, preload=False, timeout=_EVENTS_TIMEOUT), tail)

    def close(self) -> None:
        """Closes idle connections."""
        self._pool.clear()

    def _send(
        self,
        method: str,
        tail: str,
        body: Body,
        query: Optional[Dict[str, str]],
        headers: Optional[Dict[str, str]],
        preload: bool,
        timeout: Optional[urllib3.Timeout] = None,
    ) -> urllib3.BaseHTTPResponse:
        session, token = self._credentials()
        url = f"{self._base}/v1/sessions/{session}{'/' if tail else ''}{tail}"
        if query:
            url += "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers={"Authorization": f"Bearer {token}", **(headers or {})},
                preload_content=preload,
                timeout=timeout or _TIMEOUT,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as broken:
            raise errors.unreachable(self._base, broken) from broken
        if response.status >= 300:
            raise errors.of_status(response.status, _detail(response.data), about_session=not tail)
        return response


class EventStream:
    """Server-sent events of a response, as the HTML standard has them: an iterator of what their data decodes to."""

    def __init__(self, response: urllib3.BaseHTTPResponse, tail: str) -> None:
        self._response = response
        self._tail = tail
        self._closed = False
        self._events: Generator[Json, None, None] = self._read()

    def __iter__(self) -> Iterator[Json]:
        return self

    def __next__(self) -> Json:
        return next(self._events)

    def close(self) -> None:
        """Closes the connection: there are no more events, for another thread that waits for one either."""
        self._closed = True
        # Of urllib3 since 2.3. Before, a thread that waits is woken by the gateway's next sign of life.
        shutdown = getattr(self._response, "shutdown", None)
        try:
            if shutdown is not None:
                shutdown()
        except (OSError, ValueError, RuntimeError):
            pass  # it has ended
        try:
            self._events.close()
        except ValueError:
            return  # another thread waits for an event, and closes the rest now
        self._response.close()

    def _read(self) -> Generator[Json, None, None]:
        waiting = b""
        try:
            for part in self._response.stream(_CHUNK):
                *events, waiting = (waiting + part).split(b"\n\n")
                for event in events:
                    lines = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
                    if lines:
                        yield json.loads(b"\n".join(lines))
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as broken:
            if not self._closed:
                what = f"the connection broke while {self._tail} was read: {broken}"
                raise errors.ConnectionLost(what) from broken
        finally:
            self._response.close()


def escape(path: str) -> str:
    """A path of the working directory as a part of an address."""
    return quote(path.lstrip("/"), safe="/")


def _detail(body: bytes) -> str:
    """The sentence of a problem document (RFC 9457)."""
    try:
        problem = json.loads(body)
        return str(problem.get("detail") or problem.get("title") or "")
    except (ValueError, AttributeError):
        return ""
