"""New rules of a firewall: loaded on trial, and confirmed by a connection that has come in through them."""

from collections.abc import Generator
from time import monotonic
from typing import Any

import gevent
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput

from fleet.load import node_name
from fleet.plan import Work
from operations.node_command import Answer, NodeCommand, answers, last_object, told

_PAUSE_SECONDS = 1
# Beside the trial itself: two commands and a connection.
_REST_SECONDS = 120
# A program older than this one, on the way back to which a node may be, knows no firewall: there is nothing to try.
_TRY = """
"$1" firewall --help > /dev/null 2>&1 || exit 0
exec "$1" firewall try "$2" --seconds "$3"
"""


def attempt(work: Work, program: str) -> None:
    """Try the target generation's rules, where they are others than those in force.

    Args:
        work: a node's part of the run.
        program: the ipex-node that does it.
    """
    # A generation to go back to may have a firewall where data declare none any more: then ipex-node knows how long.
    seconds = work.node.firewall.confirm_seconds if work.node.firewall else 0
    _tried(
        name="Try the firewall from a new connection",
        program=program,
        generation=work.target,
        seconds=seconds,
        _timeout=seconds + _REST_SECONDS,
    )


@operation()
def _tried(program: str, generation: str, seconds: int) -> Generator[NodeCommand, None, None]:
    yield _Trial(program, generation, seconds)


class _Trial(NodeCommand):
    """Loads the rules and, where they are on trial then, confirms them."""

    def __init__(self, program: str, generation: str, seconds: int) -> None:
        super().__init__("sh", "-c", QuoteString(_TRY), "ipex-firewall", program, generation, str(seconds))
        self._program = program

    def execute(self, state: State, host: Host, connector_arguments: Any) -> tuple[bool, CommandOutput]:  # noqa: ANN401 - pyinfra's
        succeeded, output = super().execute(state, host, connector_arguments)
        answer = next(reversed(answers(state).get(node_name(host), [])), {})
        if not succeeded or not answer.get("trial"):
            return succeeded, output
        command = StringCommand(self._program, "firewall", "confirm")
        confirmed = _confirm(host.connector_cls(state, host), command, answer, connector_arguments)
        return bool(confirmed["ok"]), told(state, host, confirmed)


def _confirm(connector: Any, command: StringCommand, trial: Answer, arguments: Any) -> Answer:  # noqa: ANN401 - pyinfra's
    """Say over a new connection that it has come in: the one that is there would go on whatever the rules say."""
    deadline, why = monotonic() + trial["seconds"], ""
    while monotonic() < deadline:
        try:
            connector.connect()
        except (ConnectError, OSError, EOFError) as error:
            why = str(error)
            gevent.sleep(_PAUSE_SECONDS)
            continue
        try:
            _, output = connector.run_shell_command(command, **arguments)
        finally:
            _close(connector)
        said = last_object(output.stdout_lines) or {}
        # One that has waited long enough comes in by the old rules, and finds nothing to confirm.
        why = "; ".join([*(one["why"] for one in said.get("failures", ())), *output.stderr_lines[-3:]])
        return said if said.get("ok") else _failure(trial, why)
    return _failure(trial, why)


def _close(connector: Any) -> None:  # noqa: ANN401 - pyinfra's connectors have no common way to end
    client = getattr(connector, "client", None)
    if client is not None:
        client.close()


def _failure(trial: Answer, why: str) -> Answer:
    failure = {
        "what": "firewall",
        "why": f"no new SSH connection came in through the rules of generation {trial['generation']} ({why}); "
        "the node takes them back by itself, and nothing else of it was changed",
        "cure": "correct firewall.ssh_ports, firewall.ssh_from or templates/nftables, then deploy again",
    }
    return {"ok": False, "failures": [failure]}
