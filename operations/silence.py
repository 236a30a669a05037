"""Keep alerts quiet for a while, about some nodes or all, through the Alertmanager of a monitor of the run."""

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyinfra import logger
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput

from fleet import load
from fleet.load import RefusedError, node_name
from operations.lock import owner
from operations.once import once

LONGEST_MINUTES = 7 * 24 * 60
"""What is to be quiet for longer is a maintenance window, which stands in the data for everybody to read."""

# Everything, but for the alert that always fires and whose end calls for help.
_ALL = 'alertname!="Watchdog"'
_END = """
silences=$(amtool "$1" silence query --quiet "$2") || exit
[ -z "$silences" ] || amtool "$1" silence expire $silences
"""


@dataclass(frozen=True)
class _Wish:
    """What a run asks for.

    Attributes:
        monitor: the node whose Alertmanager is asked; it tells the other monitors' by itself.
        amtool: amtool's argument that says where that is.
        matchers: each silence's one matcher, by which it is found again.
        minutes: for how long; None only asks.
        reason: why.
    """

    monitor: str
    amtool: str
    matchers: tuple[str, ...]
    minutes: int | None
    reason: str


def begin(host: Host) -> None:
    """Silence what the command line names, and say what is silent; without `minutes` only that."""
    wish = once(host.state, _wish)
    if node_name(host) != wish.monitor:
        return
    if wish.minutes is not None:
        _silenced(name="Silence alerts", wish=wish)
    _listed(name="What is silent now", amtool=wish.amtool)


def end(host: Host) -> None:
    """End what `begin` has begun, before its time."""
    wish = once(host.state, _wish)
    if node_name(host) == wish.monitor:
        _ended(name="End silences", wish=wish)
        _listed(name="What is silent now", amtool=wish.amtool)


def _wish(state: State) -> _Wish:
    fleet, request = load.from_inventory(state.inventory), load.request(state.inventory)
    reached = {node_name(host) for host in state.inventory if state.is_host_in_limit(host) and host.connected}
    monitors = [node for node in fleet.nodes if node.alertmanager and node.name in reached]
    known = {node.name for node in fleet.nodes}
    names = [name for name in request.nodes.replace(" ", "").split(",") if name]
    minutes = request.minutes
    for fits, what in (
        (monitors, "no monitor of this run can be reached: let --limit name one"),
        (known.issuperset(names), f"nodes={request.nodes} holds one that is none of {', '.join(sorted(known))}"),
        (minutes is None or 0 < minutes <= LONGEST_MINUTES, f"write minutes from 1 to {LONGEST_MINUTES}"),
        (minutes is None or request.reason, "say why: --data 'reason=new memory'"),
    ):
        if not fits:
            raise RefusedError(f"Nothing was silenced: {what}.")
    port = monitors[0].alertmanager.port if monitors[0].alertmanager else 0
    matchers = tuple(f'node="{name}"' for name in names) or (_ALL,)
    return _Wish(monitors[0].name, f"--alertmanager.url=http://127.0.0.1:{port}", matchers, minutes, request.reason)


@operation()
def _silenced(wish: _Wish) -> Generator[StringCommand, None, None]:
    for matcher in wish.matchers:
        words = (f"--duration={wish.minutes}m", f"--author={owner()}", f"--comment={wish.reason}", matcher)
        yield StringCommand("amtool", wish.amtool, "silence", "add", *map(QuoteString, words))


@operation()
def _ended(wish: _Wish) -> Generator[StringCommand, None, None]:
    for matcher in wish.matchers:
        yield StringCommand("sh", "-c", QuoteString(_END), "unsilence", wish.amtool, QuoteString(matcher))


@operation()
def _listed(amtool: str) -> Generator[StringCommand, None, None]:
    yield _List("amtool", amtool, "--output=json", "silence", "query")


class _List(StringCommand):
    """Asks for the silences, and tells a person of them."""

    def execute(self, state: State, host: Host, connector_arguments: Any) -> tuple[bool, CommandOutput]:  # noqa: ANN401 - pyinfra's
        """Run it, and log one line a silence."""
        succeeded, output = super().execute(state, host, connector_arguments)
        if succeeded:
            for line in _lines(json.loads("\n".join(output.stdout_lines) or "[]")):
                logger.info("%s    %s", host.print_prefix, line)
        return succeeded, output


def _lines(silences: list[dict[str, Any]]) -> Iterator[str]:
    if not silences:
        yield "no alert is silenced"
    for silence in sorted(silences, key=lambda one: str(one["endsAt"])):
        ends = datetime.fromisoformat(silence["endsAt"]).strftime("%Y-%m-%d %H:%M UTC")
        what = ", ".join(_matcher(one) for one in silence["matchers"])
        yield f"{what}: until {ends}, by {silence['createdBy']}: {silence['comment']}"


def _matcher(matcher: dict[str, Any]) -> str:
    sign = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}
    return f"{matcher['name']}{sign[matcher['isEqual'], matcher['isRegex']]}{matcher['value']}"
