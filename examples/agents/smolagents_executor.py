"""A code agent of smolagents whose code runs in a session of cellgate instead of this process.

pip install cellgate "smolagents[openai]"
OPENAI_API_KEY=… python smolagents_executor.py "Which is the 40th Fibonacci number?"
"""

import sys
from io import BytesIO
from typing import Any, Optional

import PIL.Image
from smolagents import AgentError, AgentLogger, CodeAgent, LogLevel, Model, OpenAIModel
from smolagents.local_python_executor import CodeOutput
from smolagents.remote_executors import RemotePythonExecutor

import cellgate


class CellgateExecutor(RemotePythonExecutor):
    """Gives an agent's code, tools and variables to a session."""

    def __init__(self, session: cellgate.Session, logger: Optional[AgentLogger] = None) -> None:
        super().__init__([], logger or AgentLogger(level=LogLevel.OFF))
        self.session = session

    def run_code_raise_errors(self, code: str) -> CodeOutput:
        done = self.session.run(code, timeout=60)
        if done.error is not None and done.error.name == self.FINAL_ANSWER_EXCEPTION:
            answer = self._deserialize_final_answer(done.error.value, self.allow_pickle)
            return CodeOutput(output=answer, logs=done.stdout, is_final_answer=True)
        if not done.ok:
            raise AgentError(done.for_model(), self.logger)
        plots = [result.png for result in done.results if result.png]
        value: Any = PIL.Image.open(BytesIO(plots[-1])) if plots else done.text
        return CodeOutput(output=value, logs=done.stdout + done.stderr, is_final_answer=False)

    def install_packages(self, additional_imports: list) -> list:
        return []  # there is no network: the template has what code may import


def answer(question: str, session: cellgate.Session, model: Model) -> Any:
    agent = CodeAgent(tools=[], model=model, executor=CellgateExecutor(session), verbosity_level=LogLevel.OFF)
    return agent.run(question)


if __name__ == "__main__":
    with cellgate.Gateway() as gateway, gateway.connect() as made:
        print(answer(sys.argv[1], made, OpenAIModel("gpt-5.5")))
