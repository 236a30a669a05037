"""Reboot nodes in waves: each leaves rotation, boots, proves its services and returns, all by itself.

pyinfra's own server.reboot compares uptimes. Here a node is back when its boot has another name and its own
`ipex-node reboot --return` has ended; the connection may be lost at any moment.
"""

import contextlib
from collections.abc import Generator
from time import monotonic
from typing import Any

import gevent
from pyinfra import logger
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput

from fleet import plan
from fleet.desired.program import PATH
from fleet.load import RefusedError
from fleet.plan import Work
from fleet.problems import Problem, report
from operations import connection, question, survey
from operations.node_command import Answer, NodeCommand, last_object, told
from operations.once import once
from operations.question import Answers
from operations.survey import Survey

REBOOT = "Reboot"

# The gateways must let go, and the slowest service may take its deadline.
_LEAVE_SECONDS = 120
# What proving may take beside the probes themselves.
_PROVE_SECONDS = 300
_ASK_SECONDS = 20
_PAUSE_SECONDS = 1
# A command whose connection was lost may still be on its way: so long nothing may be seen of it.
_QUIET_SECONDS = 60


def of(state: State) -> Survey:
    """The survey of a reboot of the nodes that need one; of all with `--data only_needed=false`.

    Raises:
        RefusedError: what a deploy would refuse, too, or a gateway's clients would be cut off.
    """
    return once(state, _reboot)


def idle(run: Survey) -> str:
    """The sentence for a run with nothing to do."""
    return f"Nothing to reboot: none of {len(run.works)} nodes needs it (--data only_needed=false reboots all the same)"


def rebooted(work: Work) -> None:
    """Reboot this node, and wait until it serves again."""
    if work.activate:
        _rebooted(name=REBOOT, work=work, _timeout=_leave_seconds(work))


def _reboot(state: State) -> Survey:
    found = question.answers(state)
    wanted = found.request.only_needed
    works = {
        name: plan.reboot(found.fleet[name], found.generations[name], said, only_needed=wanted)
        for name, said in found.answers.items()
    }
    if not found.request.force:
        _spare_clients(found, works)
    return survey.planned(state, found, works, edges=survey.one_by_one)


def _spare_clients(found: Answers, works: dict[str, Work]) -> None:
    """Refuse to cut off the clients of a gateway whose address no other takes."""
    problems = [
        Problem(
            name,
            "is a gateway without a floating address: its clients would be cut off while it boots",
            "Add --data force=true if nobody uses it now, or leave it out with --exclude.",
        )
        for name, work in works.items()
        if work.activate and work.node.gateway and not found.fleet.floating
    ]
    if problems:
        raise RefusedError(f"No node was rebooted:\n{report(found.fleet.environment, problems)}")


def _leave_seconds(work: Work) -> int:
    return max((service.drain_seconds for service in work.node.services), default=0) + _LEAVE_SECONDS


def _boot_seconds(work: Work) -> int:
    probes = sum(service.probe_seconds for service in work.node.services)
    return work.node.patching.reboot_seconds + probes + _PROVE_SECONDS


@operation(is_idempotent=False)
def _rebooted(work: Work) -> Generator[NodeCommand, None, None]:
    yield RebootCommand(work)


class RebootCommand(NodeCommand):
    """Begins a reboot, and ends when the node has come back, or its time is over."""

    def __init__(self, work: Work) -> None:
        force = ["--force"] if work.force else []
        super().__init__(PATH, "reboot", *force, "--reason", QuoteString(work.reasons[0]))
        self._work = work

    def execute(self, state: State, host: Host, connector_arguments: Any) -> tuple[bool, CommandOutput]:  # noqa: ANN401 - pyinfra's
        """Reboot the host. A lost connection says nothing: the node is asked what has become of it."""
        before = _boot(state, host)
        if not before:
            silent = _failed(self._work, "reboot", "it does not say which boot it runs, so none was begun", "ask again")
            return False, told(state, host, silent)
        with contextlib.suppress(*connection.LOST):
            begun, output = super().execute(state, host, connector_arguments)
            # -1 of a lost connection leaves no word of the node; a refusal is one.
            if not begun and output.stderr_lines and _say(state, host):
                return False, output
        answer = _await(state, host, self._work, before)
        return bool(answer["ok"]), told(state, host, answer)


def _boot(state: State, host: Host) -> str:
    """The name of the boot that the node runs; empty where it does not say so, even when it is asked anew."""
    said = _say(state, host)
    if said is None:
        _reconnect(host)
        said = _say(state, host)
    return str(said["boot"]) if said else ""


def _await(state: State, host: Host, work: Work, boot: str) -> Answer:
    """Ask until the node has come back from this boot to another, and return how that has ended."""
    deadline = monotonic() + _boot_seconds(work)
    said: Answer | None = None
    seen = monotonic()
    while monotonic() < deadline:
        gevent.sleep(_PAUSE_SECONDS)
        _reconnect(host)
        said = _say(state, host)
        if said is None or (said["boot"] == boot and said["under_way"]):
            seen = monotonic()
            continue
        last = said["last"] or {}
        if said["boot"] != boot and last.get("boot") == said["boot"]:
            return _ended(last)
        if said["boot"] == boot and monotonic() - seen > _QUIET_SECONDS:
            return _failed(work, "rebooted", "it has not rebooted", "ask again; on the node: journalctl -b -n 50")
    where = "it does not answer over SSH" if said is None else "its services are not proved"
    return _failed(work, "reboot", f"{where} after {_boot_seconds(work)} s", "look at its console, or at its journal")


def _ended(last: dict[str, Any]) -> Answer:
    failures = list(last["failures"])
    return {"ok": not failures, "failures": failures, "steps": last["steps"], "ending": "HELD" if failures else "DONE"}


def _failed(work: Work, what: str, why: str, cure: str) -> Answer:
    failure = {"what": f"{work.node.name}: {what}", "why": why, "cure": cure}
    return {"ok": False, "failures": [failure], "ending": "UNKNOWN"}


def _reconnect(host: Host) -> None:
    connection.drop_dead(host)
    with contextlib.suppress(*connection.LOST), gevent.Timeout(_ASK_SECONDS):
        host.connect(show_errors=False)


def _say(state: State, host: Host) -> Answer | None:
    """What the node says of its reboot; None where it does not answer."""
    if not host.connected:
        return None
    arguments, _ = pop_global_arguments(state, host, {"_timeout": _ASK_SECONDS})
    try:
        with gevent.Timeout(_ASK_SECONDS + 5):
            _, output = host.run_shell_command(
                StringCommand(PATH, "reboot", "--show"),
                **{key: value for key, value in arguments.items() if key in CONNECTOR_ARGUMENT_KEYS},
            )
    except connection.LOST as error:
        logger.debug("%s%s", host.print_prefix, error)
        return None
    return last_object(output.stdout_lines)
