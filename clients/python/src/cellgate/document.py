"""The session's document: the text of its cells, which its participants edit together."""

from __future__ import annotations

from typing import List, Optional

from ._http import Http
from .files import in_thread
from .messages import Json


class Document:
    """Reads and fills the document over HTTP. To edit it live, attach any Yjs client; see docs/document.md."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def read(self) -> Json:
        """`{"title", "cells": [{"id", "kind", "language", "source"}]}`, the cells in their order."""
        return dict(self._http.json("GET", "document"))

    def fill(self, cells: List[Json], title: Optional[str] = None) -> bool:
        """Fills a document that has no cells; says whether it had none. A cell has `id`, `source`, maybe `kind`."""
        body: Json = {"cells": cells} if title is None else {"cells": cells, "title": title}
        return bool(self._http.json("POST", "document", body)["seeded"])

    def export(self, form: str = "ipynb") -> bytes:
        """As a notebook with outputs (`ipynb`), or as a Python file (`py`)."""
        return self._http.request("GET", f"document.{form}").data


class AsyncDocument:
    """The same for coroutines."""

    def __init__(self, document: Document) -> None:
        self._document = document

    async def read(self) -> Json:
        """`{"title", "cells": [{"id", "kind", "language", "source"}]}`, the cells in their order."""
        return await in_thread(self._document.read)

    async def fill(self, cells: List[Json], title: Optional[str] = None) -> bool:
        """Fills a document that has no cells; says whether it had none."""
        return await in_thread(self._document.fill, cells, title)

    async def export(self, form: str = "ipynb") -> bytes:
        """As a notebook with outputs (`ipynb`), or as a Python file (`py`)."""
        return await in_thread(self._document.export, form)
