"""A command of ipex-node, whose JSON answer becomes lines for a person, and is kept for the end of the run."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput, OutputLine

from fleet.load import node_name

Answer = dict[str, Any]

_answers: "WeakKeyDictionary[State, dict[str, list[Answer]]]" = WeakKeyDictionary()


class NodeCommand(StringCommand):
    """Runs ipex-node and reports what it did; on failure, what failed and why, without the raw JSON."""

    def execute(self, state: State, host: Host, connector_arguments: Any) -> tuple[bool, CommandOutput]:  # noqa: ANN401 - pyinfra's
        """Run the command and turn its last line of JSON into the host's output."""
        succeeded, output = super().execute(state, host, connector_arguments)
        answer = last_object(output.stdout_lines)
        if answer is None:
            return succeeded, output
        return succeeded, told(state, host, answer)


def told(state: State, host: Host, answer: Answer) -> CommandOutput:
    """Keep an answer for the end of the run, and say for people what it holds."""
    _answers.setdefault(state, {}).setdefault(node_name(host), []).append(answer)
    for line in _done(answer):
        logger.info("%s%s", host.print_prefix, line)
    return CommandOutput([OutputLine("stderr", line) for line in failure_lines(answer)])


def answers(state: State) -> Mapping[str, list[Answer]]:
    """What the nodes have answered in this run, by node name, in order."""
    return _answers.get(state, {})


def last_object(lines: list[str]) -> Answer | None:
    """The JSON object that stands last in a command's output."""
    last = next((line for line in reversed(lines) if line.startswith("{")), None)
    if last is None:
        return None
    answer: Answer = json.loads(last)
    return answer


def _done(answer: Answer) -> Iterator[str]:
    for step in answer.get("steps", ()):
        if step.get("detail"):
            yield f"    {step['name']}: {step['detail']} ({step['seconds']:.1f} s)"
    for snapshot in answer.get("snapshots", {}).values():
        yield f"    models: {snapshot['bytes'] / 2**30:.2f} GiB kept as {snapshot['kept']}"
    if "repository" in answer:
        yield f"    repository: {answer['backup_bytes']['data'] / 2**20:.1f} MiB kept"
    if answer.get("nothing_done"):
        yield f"    nothing was done: {answer['nothing_done']}"
    elif "freed_bytes" in answer:
        yield f"    freed {answer['freed_bytes'] / 2**30:.2f} GiB"


def failure_lines(answer: Answer) -> Iterator[str]:
    """Each failure with its cure, for a person."""
    for failure in answer.get("failures", ()):
        yield f"{failure['what']}: {failure['why']}"
        if failure.get("cure"):
            yield f"  To do: {failure['cure']}"
    if answer.get("rolled_back"):
        yield f"Rolled back: the node serves generation {answer.get('from') or 'none'} as before."
