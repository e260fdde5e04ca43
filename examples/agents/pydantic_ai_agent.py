"""A Pydantic AI agent that runs Python in a session of cellgate, and sees its plots.

pip install cellgate "pydantic-ai-slim[openai]"
OPENAI_API_KEY=… python pydantic_ai_agent.py "Plot sin(x) and say where it is largest"
"""

import asyncio
import sys
from typing import Union

from pydantic_ai import Agent, BinaryContent, RunContext, ToolReturn
from pydantic_ai.models import Model

import cellgate

agent = Agent(deps_type=cellgate.AsyncSession, instructions="Answer by running Python.")


@agent.tool
async def run_python(context: RunContext[cellgate.AsyncSession], code: str) -> ToolReturn:
    """Run Python code. Variables, imports and files stay for later calls. There is no network.

    Args:
        context: Has the session.
        code: The code; the value of its last expression is shown, as are plots.
    """
    done = await context.deps.run(code, timeout=60, on_stdout=lambda text: print(text, end="", flush=True))
    plots = [BinaryContent(result.png, media_type="image/png") for result in done.results if result.png]
    return ToolReturn(return_value=done.for_model(), content=plots)


async def answer(question: str, gateway: cellgate.Gateway, model: Union[str, Model] = "openai:gpt-5.5") -> str:
    async with gateway.connect_async() as session:
        return (await agent.run(question, deps=session, model=model)).output


if __name__ == "__main__":
    with cellgate.Gateway() as local:
        print(asyncio.run(answer(sys.argv[1], local)))
