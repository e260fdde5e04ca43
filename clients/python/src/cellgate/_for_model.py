"""What a language model reads of a cell that has ended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, List

if TYPE_CHECKING:
    from .execution import Execution, Result

#: Colours and other control sequences of terminals (ECMA-48).
_CONTROL_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def execution_for_model(execution: Execution, limit: int) -> str:
    parts: List[str] = [execution.stdout, execution.stderr]
    parts += [_value(result) for result in execution.results]
    if execution.error is not None:
        parts.append("\n".join(execution.error.traceback) or str(execution.error))
    if execution.status not in ("ok", "error") or (execution.detail and not execution.ok):
        detail = f": {execution.detail}" if execution.detail else ""
        parts.append(f"[the cell ended as {execution.status}{detail}]")
    if not execution.state_kept:
        parts.append("[the interpreter was started anew: variables are gone, files are still there]")
    if execution.truncated:
        parts.append("[there was more output than the gateway shows]")
    text = _CONTROL_SEQUENCE.sub("", "\n".join(part.rstrip("\n") for part in parts if part))
    return _shortened(text, limit) or "[no output]"


def _value(result: Result) -> str:
    pictures = [mime for mime in result.data if mime.startswith("image/")]
    if pictures:
        return f"[a picture: {', '.join(pictures)}]"
    text = result.text or result.markdown or result.html
    return text if text is not None else f"[a value of the types {', '.join(result.data)}]"


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters are left out …]\n{text[len(text) - half :]}"
