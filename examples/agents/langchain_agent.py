"""A LangChain agent that runs Python in a session of cellgate, and sees its plots.

pip install cellgate langchain langchain-openai
OPENAI_API_KEY=… python langchain_agent.py "Plot sin(x) and say where it is largest"
"""

import base64
import sys
from typing import Any, List, Union

from langchain.agents import create_agent
from langchain.chat_models import BaseChatModel
from langchain.tools import BaseTool, tool
from langgraph.config import get_stream_writer

import cellgate


def python_tool(session: cellgate.Session) -> BaseTool:
    """A tool with a state; what its code prints comes in the stream mode `custom` while it runs."""

    @tool
    def run_python(code: str) -> List[Any]:
        """Run Python code. Variables, imports and files stay for later calls. The value of the last expression is
        shown, as are plots. There is no network."""
        write = get_stream_writer()
        done = session.run(code, timeout=60, on_stdout=lambda text: write({"stdout": text}))
        content: List[Any] = [{"type": "text", "text": done.for_model()}]
        for result in done.results:
            if result.png:
                data = base64.b64encode(result.png).decode()
                content.append({"type": "image", "base64": data, "mime_type": "image/png"})
        return content

    return run_python


def answer(question: str, session: cellgate.Session, model: Union[str, BaseChatModel] = "openai:gpt-5.5") -> str:
    agent = create_agent(model, tools=[python_tool(session)], system_prompt="Answer by running Python.")
    said = ""
    request: Any = {"messages": [{"role": "user", "content": question}]}
    for mode, chunk in agent.stream(request, stream_mode=["custom", "values"]):
        if mode == "custom":
            print(chunk["stdout"], end="", flush=True)
        else:
            said = chunk["messages"][-1].text
    return said


if __name__ == "__main__":
    with cellgate.Gateway() as gateway, gateway.connect() as made:
        print(answer(sys.argv[1], made))
