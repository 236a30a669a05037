"""Ask a monitor for something, also where --limit leaves it out of the run."""

from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fleet.desired.program import PATH
from fleet.load import node_name
from fleet.model import Fleet
from operations import connection
from operations.node_command import Answer, last_object

_SECONDS = 60
# A machine that is no node yet, or whose program is older than this one, knows no lock and has nothing to protect.
_ASK = f"""
if {PATH} "$1" --help > /dev/null 2>&1; then exec {PATH} "$@"; fi
echo '{{"ok": true, "new": true}}'
"""


def of(state: State, fleet: Fleet) -> list[Host]:
    """The hosts that are monitors, in the order of the inventory."""
    names = [node.name for node in fleet.with_role("monitors")]
    hosts = {node_name(host): host for host in state.inventory}
    return [hosts[name] for name in names]


def ask(state: State, host: Host, *words: str, stdin: str = "") -> Answer | None:
    """Run a command of ipex-node on a monitor, connected to for it where that is needed.

    Returns:
        Its answer; None where it cannot be reached or does not answer.
    """
    command = StringCommand("sh", "-c", QuoteString(_ASK), "ipex-monitor", *map(QuoteString, words))
    lines = run(state, host, command, stdin)
    return None if lines is None else last_object(lines)


def run(state: State, host: Host, command: StringCommand, stdin: str = "") -> list[str] | None:
    """Run a command on a monitor, connected to for it where that is needed.

    Returns:
        What it printed, whatever its exit status; None where the monitor cannot be reached.
    """
    try:
        connection.drop_dead(host)
        host.connect(reason="a monitor keeps the rollout's lock and record, and the fleet's metrics", show_errors=False)
        if not host.connected:
            return None
        _, output = host.run_shell_command(command, **_arguments(state, host, stdin))
    except connection.LOST:
        return None
    return output.stdout_lines


def _arguments(state: State, host: Host, stdin: str) -> dict[str, object]:
    """What the host's data says about how commands are run on it (sudo and the like)."""
    given = {"_timeout": _SECONDS, **({"_stdin": stdin} if stdin else {})}
    arguments, _ = pop_global_arguments(state, host, dict(given))
    return {key: value for key, value in arguments.items() if key in CONNECTOR_ARGUMENT_KEYS}
