"""A tool loop with Anthropic's SDK: Claude runs Python in a session of cellgate, and sees its plots.

pip install cellgate anthropic
ANTHROPIC_API_KEY=… python anthropic_sdk.py "Plot sin(x) and say where it is largest"
"""

import base64
import os
import sys
from typing import Any, Dict, List

import anthropic

import cellgate

TOOL: Any = {
    "name": "run_python",
    "description": "Run Python code. Variables, imports and files stay for later calls. The value of the last "
    "expression is shown, as are plots. There is no network.",
    "input_schema": {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
}


def run_python(session: cellgate.Session, call: Any) -> Dict[str, Any]:
    """Runs what the model asks for; answers the block that tells it what came of it."""
    done = session.run(call.input["code"], timeout=60, on_stdout=lambda text: print(text, end="", flush=True))
    content: List[Any] = [{"type": "text", "text": done.for_model()}]
    for result in done.results:
        if result.png:
            data = base64.b64encode(result.png).decode()
            source = {"type": "base64", "media_type": "image/png", "data": data}
            content.append({"type": "image", "source": source})
    return {"type": "tool_result", "tool_use_id": call.id, "content": content, "is_error": not done.ok}


def answer(question: str, session: cellgate.Session, client: anthropic.Anthropic) -> str:
    messages: List[Any] = [{"role": "user", "content": question}]
    while True:
        reply = client.messages.create(
            model=os.environ.get("ANTHROPIC_MODEL", "claude-sonnet-5-5"),
            max_tokens=4096,
            tools=[TOOL],
            messages=messages,
        )
        if reply.stop_reason != "tool_use":
            return "".join(block.text for block in reply.content if block.type == "text")
        calls = [block for block in reply.content if block.type == "tool_use"]
        messages.append({"role": "assistant", "content": reply.content})
        messages.append({"role": "user", "content": [run_python(session, call) for call in calls]})


if __name__ == "__main__":
    with cellgate.Gateway() as gateway, gateway.connect() as made:
        print(answer(sys.argv[1], made, anthropic.Anthropic()))
