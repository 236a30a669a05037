"""A command of ipex-node, whose JSON answer becomes lines for a person."""

import json
from collections.abc import Iterator
from typing import Any

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput, OutputLine


class NodeCommand(StringCommand):
    """Runs ipex-node and reports what it did; on failure, what failed and why, without the raw JSON."""

    def execute(self, state: State, host: Host, connector_arguments: Any) -> tuple[bool, CommandOutput]:  # noqa: ANN401 - pyinfra's
        """Run the command and turn its last line of JSON into the host's output."""
        succeeded, output = super().execute(state, host, connector_arguments)
        answer = _answer(output.stdout_lines)
        if answer is None:
            return succeeded, output
        for line in _done(answer):
            logger.info("%s%s", host.print_prefix, line)
        return succeeded, CommandOutput([OutputLine("stderr", line) for line in _failed(answer)])


def _answer(lines: list[str]) -> dict[str, Any] | None:
    last = next((line for line in reversed(lines) if line.startswith("{")), None)
    if last is None:
        return None
    answer: dict[str, Any] = json.loads(last)
    return answer


def _done(answer: dict[str, Any]) -> Iterator[str]:
    for step in answer.get("steps", ()):
        if step.get("detail"):
            yield f"    {step['name']}: {step['detail']} ({step['seconds']:.1f} s)"


def _failed(answer: dict[str, Any]) -> Iterator[str]:
    for failure in answer.get("failures", ()):
        yield f"{failure['what']}: {failure['why']}"
        if failure.get("cure"):
            yield f"  To do: {failure['cure']}"
    if answer.get("rolled_back"):
        yield f"Rolled back: the node serves generation {answer.get('from') or 'none'} as before."
