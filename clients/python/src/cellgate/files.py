"""Files in a session's working directory. They can be read and written while a cell runs too."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, AsyncIterator, BinaryIO, Callable, Dict, Iterator, List, Optional, Type, TypeVar, Union

from ._http import EventStream, Http, escape

LocalPath = Union[str, "os.PathLike[str]"]
T = TypeVar("T")


@dataclass
class File:
    """An entry of a directory. `modified` is in Unix milliseconds; `kind` is `file`, `directory`, `link` or `other`;
    `mode` has the permissions, such as `0o644`."""

    name: str
    path: str
    kind: str
    size: int
    modified: int
    mode: int


@dataclass
class FileEvent:
    """What happened to a file. `type` is `created`, `written`, `removed` or `renamed` (then `to` is its new path), or
    `overflow`: events are missing, and who keeps track of files lists them anew. `kind` is `file` or `directory`."""

    type: str
    path: str = ""
    kind: str = ""
    to: Optional[str] = None


class FileWatch:
    """A directory that is watched: an iterator of `FileEvent`, in place once it is made. It ends with the directory,
    with the session, and when it is closed. Raises `ConnectionLost` where the connection breaks."""

    def __init__(self, events: EventStream) -> None:
        self._events = events
        next(events, None)  # `ready`

    def __iter__(self) -> Iterator[FileEvent]:
        return self

    def __next__(self) -> FileEvent:
        event = next(self._events)
        return FileEvent(**{name: event[name] for name in ("type", "path", "kind", "to") if name in event})

    def close(self) -> None:
        """Ends the watch; a thread that waits for an event gets none."""
        self._events.close()

    def __enter__(self) -> FileWatch:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


class Files:
    """Paths are relative to the working directory of the session's code."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def read(self, path: str) -> bytes:
        """The content of a file."""
        return self._http.request("GET", f"files/{escape(path)}").data

    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """The content of a file as text."""
        return self.read(path).decode(encoding)

    def write(self, path: str, content: Union[str, bytes, BinaryIO]) -> None:
        """Writes a file; text as UTF-8. It replaces one that is there."""
        body = content.encode() if isinstance(content, str) else content
        self._http.request("PUT", f"files/{escape(path)}", body)

    def upload(self, local: LocalPath, path: Optional[str] = None) -> None:
        """Copies a file of this machine into the session; under its own name unless `path` is given."""
        with open(local, "rb") as file:
            # With its length in front, one that is too large is refused before it is sent.
            headers = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
            self._http.request("PUT", f"files/{escape(path or Path(local).name)}", file, headers=headers)

    def download(self, path: str, local: Optional[LocalPath] = None) -> Path:
        """Copies a file of the session to this machine; into the current directory unless `local` is given."""
        target = Path(local) if local is not None else Path(Path(path).name)
        if target.is_dir():
            target = target / Path(path).name
        unfinished = target.with_name(target.name + ".part")
        try:
            with open(unfinished, "wb") as file:
                self._http.download(f"files/{escape(path)}", file)
            os.replace(unfinished, target)
        finally:
            if unfinished.exists():
                unfinished.unlink()
        return target

    def list(self, path: str = "", depth: int = 1) -> List[File]:
        """What is in a directory, by name, and in directories in it down to `depth`; at most 10,000 entries."""
        listing = self._http.json("GET", "files", query={"path": path, "depth": str(depth)})
        return [_file(entry) for entry in listing["entries"]]

    def stat(self, path: str) -> File:
        """What has the name at a path, as a listing of its directory would tell; of a link, the link itself."""
        return _file(self._http.json("GET", f"stat/{escape(path)}"))

    def remove(self, path: str, recursive: bool = False) -> None:
        """Removes a file, a link or an empty directory; with `recursive` a directory with all in it."""
        self._http.request("DELETE", f"files/{escape(path)}", query={"recursive": "true"} if recursive else None)

    def move(self, path: str, to: str) -> None:
        """Renames or moves a file or a directory to a path where nothing is."""
        self._http.request("POST", f"files/{escape(path)}", query={"move_to": to})

    def mkdir(self, path: str) -> bool:
        """Makes a directory and those on its way; says whether it is new."""
        return self._http.request("POST", f"directories/{escape(path)}").status == 201

    def watch(self, path: str = "", recursive: bool = False) -> FileWatch:
        """Watches a directory, by default the working directory; with `recursive` also the directories in it, those
        that appear included. What happens from when it returns is told."""
        tail = f"watch/{escape(path)}" if path else "watch"
        return FileWatch(self._http.events(tail, {"recursive": "true"} if recursive else None))


class AsyncFileWatch:
    """The same for coroutines: `async for event in watch`."""

    def __init__(self, watch: FileWatch) -> None:
        self._watch = watch

    def __aiter__(self) -> AsyncIterator[FileEvent]:
        return self

    async def __anext__(self) -> FileEvent:
        event = await in_thread(lambda: next(self._watch, None))
        if event is None:
            raise StopAsyncIteration
        return event

    def close(self) -> None:
        """Ends the watch; a coroutine that waits for an event gets none."""
        self._watch.close()

    async def __aenter__(self) -> AsyncFileWatch:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


class AsyncFiles:
    """The same for coroutines."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def read(self, path: str) -> bytes:
        """The content of a file."""
        return await in_thread(self._files.read, path)

    async def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """The content of a file as text."""
        return await in_thread(self._files.read_text, path, encoding)

    async def write(self, path: str, content: Union[str, bytes, BinaryIO]) -> None:
        """Writes a file; text as UTF-8. It replaces one that is there."""
        await in_thread(self._files.write, path, content)

    async def upload(self, local: LocalPath, path: Optional[str] = None) -> None:
        """Copies a file of this machine into the session; under its own name unless `path` is given."""
        await in_thread(self._files.upload, local, path)

    async def download(self, path: str, local: Optional[LocalPath] = None) -> Path:
        """Copies a file of the session to this machine; into the current directory unless `local` is given."""
        return await in_thread(self._files.download, path, local)

    async def list(self, path: str = "", depth: int = 1) -> List[File]:
        """What is in a directory, by name, and in directories in it down to `depth`; at most 10,000 entries."""
        return await in_thread(self._files.list, path, depth)

    async def stat(self, path: str) -> File:
        """What has the name at a path, as a listing of its directory would tell; of a link, the link itself."""
        return await in_thread(self._files.stat, path)

    async def remove(self, path: str, recursive: bool = False) -> None:
        """Removes a file, a link or an empty directory; with `recursive` a directory with all in it."""
        await in_thread(self._files.remove, path, recursive)

    async def move(self, path: str, to: str) -> None:
        """Renames or moves a file or a directory to a path where nothing is."""
        await in_thread(self._files.move, path, to)

    async def mkdir(self, path: str) -> bool:
        """Makes a directory and those on its way; says whether it is new."""
        return await in_thread(self._files.mkdir, path)

    async def watch(self, path: str = "", recursive: bool = False) -> AsyncFileWatch:
        """Watches a directory, by default the working directory; with `recursive` also the directories in it, those
        that appear included. What happens from when it returns is told."""
        return AsyncFileWatch(await in_thread(self._files.watch, path, recursive))


def _file(entry: Dict[str, Any]) -> File:
    return File(**{name: entry[name] for name in ("name", "path", "kind", "size", "modified", "mode")})


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Runs a blocking function beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, lambda: function(*arguments))
