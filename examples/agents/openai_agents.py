"""An agent of the OpenAI Agents SDK that runs Python in a session of cellgate, and sees its plots.

pip install cellgate openai-agents
OPENAI_API_KEY=… python openai_agents.py "Plot sin(x) and say where it is largest"
"""

import asyncio
import base64
import sys
from typing import Any, List, Optional

from agents import Agent, FunctionTool, Runner, ToolOutputImage, ToolOutputText, function_tool
from agents.models.interface import Model

import cellgate


def python_tool(session: cellgate.AsyncSession) -> FunctionTool:
    """A tool with a state: what one call defines, the next one finds."""

    @function_tool
    async def run_python(code: str) -> List[Any]:
        """Run Python code. Variables, imports and files stay for later calls. There is no network.

        Args:
            code: The code; the value of its last expression is shown, as are plots.
        """
        done = await session.run(code, timeout=60, on_stdout=lambda text: print(text, end="", flush=True))
        parts: List[Any] = [ToolOutputText(text=done.for_model())]
        for result in done.results:
            if result.png:
                address = "data:image/png;base64," + base64.b64encode(result.png).decode()
                parts.append(ToolOutputImage(image_url=address))
        return parts

    return run_python


async def answer(question: str, gateway: cellgate.Gateway, model: Optional[Model] = None) -> str:
    async with gateway.connect_async() as session:
        agent = Agent(
            name="Analyst",
            instructions="Answer by running Python; say what you found in a sentence.",
            tools=[python_tool(session)],
            model=model,
        )
        return (await Runner.run(agent, question)).final_output


if __name__ == "__main__":
    with cellgate.Gateway() as local:
        print(asyncio.run(answer(sys.argv[1], local)))
