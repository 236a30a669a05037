"""Measure the settings of GPU nodes, one node after the other, and compare their releases."""

from collections.abc import Generator
from typing import Any

from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput

from fleet import optimization, plan
from fleet.desired.program import PATH
from fleet.load import RefusedError
from fleet.model import Node
from fleet.plan import Work
from operations import question, rollout, survey, tuning_report
from operations.node_command import NodeCommand, answers, last_object, told
from operations.once import once
from operations.survey import Survey

DECLARED = "declared"
"""What `--data action=` says where only the declared setting is measured."""
_COMPARE_SECONDS = 60
_REST_SECONDS = 300


def of(state: State) -> Survey:
    """The survey of a tuning: one GPU node at a time, none that would take a service below its floor.

    Raises:
        RefusedError: what a deploy would refuse, too, or an action that there is none of.
    """
    return once(state, _tune)


def idle(run: Survey) -> str:
    """The sentence for a run with nothing to do."""
    return f"Nothing to tune: none of {len(run.works)} nodes is in rotation and has an optimizer with a model to ask"


def tuned(work: Work, *, declared: bool) -> None:
    """Let a node measure itself, out of rotation; it returns with the setting that data declare."""
    if work.activate and work.node.optimizer:
        seconds = optimization.tuning_seconds(work.node, work.node.optimizer) + _REST_SECONDS
        _tuned(name="Measure its settings", declared=declared, _timeout=seconds)


def compare(node: Node) -> None:
    """Compare a node's releases; one that has regressed fails, and is told with its figures."""
    if node.optimizer and node.optimizer.enable:
        _compared(name="Compare with the release before", _timeout=_COMPARE_SECONDS)


def _tune(state: State) -> Survey:
    found = question.answers(state)
    if found.request.action not in {"", DECLARED}:
        raise RefusedError(f"There is no action {found.request.action!r}. Leave it out, or write action={DECLARED}.")
    declared = found.request.action == DECLARED
    works = {
        name: plan.tuning(found.fleet[name], found.generations[name], said, declared=declared)
        for name, said in found.answers.items()
    }
    run = survey.planned(state, found, works, singly=True)
    if run.activates:
        rollout.afterwards(state, lambda: tuning_report.tell(run, answers(state), declared=declared))
    return run


@operation(is_idempotent=False)
def _tuned(*, declared: bool) -> Generator[NodeCommand, None, None]:
    yield TuneCommand(PATH, "optimize", "tuning", *(["--declared"] if declared else []))


class TuneCommand(NodeCommand):
    """A tuning, whose end says in which state the node is."""

    def execute(self, state: State, host: Host, connector_arguments: Any) -> tuple[bool, CommandOutput]:  # noqa: ANN401 - pyinfra's
        """Run it. A node whose figures are there serves again; of any other it is not known."""
        succeeded, output = StringCommand.execute(self, state, host, connector_arguments)
        answer = last_object(output.stdout_lines)
        if answer is None:
            return succeeded, output
        return succeeded, told(state, host, {**answer, "ending": "DONE" if "measured" in answer else "UNKNOWN"})


@operation()
def _compared() -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, "baseline")
