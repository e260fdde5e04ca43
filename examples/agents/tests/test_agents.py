"""Runs each example against a gateway, with the real library and a scripted model instead of a real one.

The model defines a variable in one call and uses it in the next, draws a plot, and answers. What it was sent after
each call is looked at: the output, the picture, the error.
"""

import asyncio
import base64
import io
import json
import os
import shlex
import sys
import unittest
from contextlib import redirect_stdout
from typing import Any, ClassVar, Dict, List

import cellgate

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

#: The cells that the scripted models send.
FIRST = "x = 6\nprint('computing')"
SECOND = "import sys, struct, zlib\nprint(x * 7, file=sys.stderr)\nx * 7"
PLOT = (
    "import base64\nclass Plot:\n    def _repr_png_(self): return base64.b64decode("
    "'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==')\nPlot()"
)
FAILS = "1 / 0"
CELLS = [FIRST, SECOND, PLOT, FAILS]
PNG = b"\x89PNG"


class AgentCase(unittest.TestCase):
    gateway: ClassVar[cellgate.Gateway]

    @classmethod
    def setUpClass(cls) -> None:
        cls.gateway = cellgate.Gateway(shlex.split(os.environ.get("CELLGATE_TEST_ARGUMENTS", "--backend local")))

    @classmethod
    def tearDownClass(cls) -> None:
        cls.gateway.stop()

    def session(self) -> cellgate.Session:
        session = self.gateway.connect()
        self.addCleanup(session.end)
        return session

    def check(self, answer: str, printed: str, told: List[str]) -> None:
        """Looks at the answer, at what was shown meanwhile, and at what the model was told after each cell."""
        self.assertEqual(answer, "It is 42.")
        self.assertEqual(printed, "computing\n")
        first, second, plot, failure = told
        self.assertIn("computing", first)
        self.assertIn("42", second)
        self.assertIn("image/png", plot)
        self.assertIn("iVBORw0KGgo", plot)
        self.assertIn("ZeroDivisionError", failure)
        self.assertNotIn("\\u001b", failure)


class OpenAI(AgentCase):
    def test_it_runs_cells_and_sees_plots(self) -> None:
        import openai_agents
        from agents import set_tracing_disabled
        from agents.testing import ScriptedModel
        from agents.testing.model import assistant_message, function_call

        set_tracing_disabled(True)
        calls = [
            [function_call("run_python", {"code": code}, call_id=f"call{number}")] for number, code in enumerate(CELLS)
        ]
        model = ScriptedModel([*calls, [assistant_message("It is 42.")]])
        with redirect_stdout(io.StringIO()) as printed:
            answer = asyncio.run(openai_agents.answer("What is it?", self.gateway, model))
        told = [json.dumps(call.input[-1]) for call in model.calls[1:]]
        self.check(answer, printed.getvalue(), told)


class Anthropic(AgentCase):
    def test_it_runs_cells_and_sees_plots(self) -> None:
        import anthropic
        import anthropic_sdk
        import httpx2

        told: List[str] = []

        def respond(request: httpx2.Request) -> httpx2.Response:
            asked = json.loads(request.content)
            number = len(asked["messages"]) // 2
            if number:
                told.append(json.dumps(asked["messages"][-1]))
            if number < len(CELLS):
                use = {"type": "tool_use", "id": f"t{number}", "name": "run_python", "input": {"code": CELLS[number]}}
                content, reason = [use], "tool_use"
            else:
                content, reason = [{"type": "text", "text": "It is 42."}], "end_turn"
            usage = {"input_tokens": 1, "output_tokens": 1}
            body = {"id": "m", "type": "message", "role": "assistant", "model": "scripted", "content": content}
            return httpx2.Response(200, json={**body, "stop_reason": reason, "stop_sequence": None, "usage": usage})

        transport = httpx2.Client(transport=httpx2.MockTransport(respond))
        client = anthropic.Anthropic(api_key="scripted", http_client=transport)
        with redirect_stdout(io.StringIO()) as printed:
            answer = anthropic_sdk.answer("What is it?", self.session(), client)
        self.check(answer, printed.getvalue(), told)
        errors = [json.loads(message)["content"][0]["is_error"] for message in told]
        self.assertEqual(errors, [False, False, False, True])


class LangChain(AgentCase):
    def test_it_runs_cells_and_sees_plots(self) -> None:
        import langchain_agent
        from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
        from langchain_core.messages import AIMessage

        told: List[str] = []

        class Scripted(GenericFakeChatModel):
            def bind_tools(self, tools: Any, **_: Any) -> Any:
                return self

            def _generate(self, messages: Any, *rest: Any, **options: Any) -> Any:
                if messages[-1].type == "tool":
                    told.append(json.dumps(messages[-1].content))
                return super()._generate(messages, *rest, **options)

        calls = [
            AIMessage("", tool_calls=[{"name": "run_python", "args": {"code": code}, "id": str(number)}])
            for number, code in enumerate(CELLS)
        ]
        model = Scripted(messages=iter([*calls, AIMessage("It is 42.")]))
        with redirect_stdout(io.StringIO()) as printed:
            answer = langchain_agent.answer("What is it?", self.session(), model)
        told = [text.replace('"mime_type": "image/png"', "image/png") for text in told]
        self.check(answer, printed.getvalue(), told)


class PydanticAI(AgentCase):
    def test_it_runs_cells_and_sees_plots(self) -> None:
        import pydantic_ai_agent
        from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
        from pydantic_ai.models.function import FunctionModel

        told: List[str] = []

        def respond(messages: Any, _: Any) -> ModelResponse:
            number = len(messages) // 2
            if number:
                texts = []
                for part in messages[-1].parts:
                    content = part.content if isinstance(part.content, list) else [part.content]
                    for item in content:
                        data = getattr(item, "data", None)
                        is_picture = data is not None and data.startswith(PNG)
                        texts.append(
                            f"{item.media_type} {base64.b64encode(data).decode()}" if is_picture else str(item)
                        )
                told.append("\n".join(texts))
            if number < len(CELLS):
                return ModelResponse([ToolCallPart("run_python", {"code": CELLS[number]})])
            return ModelResponse([TextPart("It is 42.")])

        with redirect_stdout(io.StringIO()) as printed:
            answer = asyncio.run(pydantic_ai_agent.answer("What is it?", self.gateway, FunctionModel(respond)))
        self.check(answer, printed.getvalue(), told)


class Smolagents(AgentCase):
    def test_its_code_runs_in_the_session(self) -> None:
        import smolagents_executor
        from smolagents import ChatMessage, MessageRole, Model

        told: List[str] = []
        cells = [FIRST, "1 / 0", "print(x * 7)", "final_answer({'it': x * 7})"]

        class Scripted(Model):
            def generate(self, messages: Any, *rest: Any, **options: Any) -> ChatMessage:
                told.append(str(messages[-1].content))
                text = f"Thought: go on.\n<code>\n{cells[len(told) - 1]}\n</code>"
                return ChatMessage(role=MessageRole.ASSISTANT, content=text)

        session = self.session()
        answer: Dict[str, int] = smolagents_executor.answer("What is it?", session, Scripted())
        self.assertEqual(answer, {"it": 42})
        self.assertIn("computing", told[1])
        self.assertIn("ZeroDivisionError", told[2])
        self.assertIn("42", told[3])
        # The code ran there and not here.
        self.assertEqual(session.run("x").text, "6")

    def test_variables_and_pictures_pass(self) -> None:
        import smolagents_executor

        executor = smolagents_executor.CellgateExecutor(self.session())
        executor.send_variables({"names": ["a", "b"], "number": 3})
        self.assertEqual(executor("names * number").output, "['a', 'b', 'a', 'b', 'a', 'b']")
        self.assertEqual(executor(PLOT).output.size, (1, 1))


if __name__ == "__main__":
    unittest.main()
