"""Make backups of nodes, and give a service its data back."""

import re
import shlex
from collections.abc import Generator

from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State

from fleet.desired.program import PATH
from fleet.load import RefusedError, node_name
from fleet.model import Fleet, Node
from fleet.problems import Problem, report
from fleet.rollout import Request
from operations import capacity, command_line, node_command, question
from operations.node_command import NodeCommand
from operations.once import once
from operations.question import Answers

# As the units: a first backup, or a restore of everything, over a slow line.
_SECONDS = 12 * 3600


def make(node: Node) -> None:
    """Make both backups of a node."""
    if node.backup:
        _made(name="Make backups", _timeout=_SECONDS)


def restorable(state: State) -> Answers:
    """What the nodes said, where a restore as it is asked for may begin; what it would do has been printed.

    Raises:
        RefusedError: every reason against it.
    """
    return once(state, _restorable)


def restore(node: Node, request: Request) -> None:
    """Leave rotation, exchange the data, prove the service, and return; or leave all as it was."""
    words = [*_words(request), "--yes"]
    _restored(name=f"Restore {request.service} on {node.name}", words=words, _timeout=_SECONDS)


def _words(request: Request) -> list[str]:
    words = ["restore", request.service]
    words += ["--from", request.origin] if request.origin else []
    return [*words, *(["--at", request.at] if request.at else [])]


def _restorable(state: State) -> Answers:
    found = question.answers(state)
    problems = list(_against(found.fleet, found.request, tuple(found.answers)))
    names = list(found.answers)
    problems += [
        Problem(one.service, "would fall below its floor while it is restored", "Wait, or add --data force=true.")
        for one in capacity.of(state, found)
        if one.service == found.request.service and not one.allows(names) and not found.request.force
    ]
    if not problems:
        hosts = {node_name(host): host for host in state.inventory}
        problems += _foretold(hosts[names[0]], found.request)
    if problems:
        raise RefusedError(f"Nothing was restored:\n{report(found.fleet.environment, problems)}")
    return found


def _against(fleet: Fleet, request: Request, names: tuple[str, ...]) -> Generator[Problem, None, None]:
    if len(names) != 1:
        yield Problem("--limit", f"{len(names)} nodes were reached", "Restore one node at a time, with --limit NODE.")
    for name in names:
        known = [service.name for service in fleet[name].services]
        if not fleet[name].backup:
            yield Problem(name, "is not kept: it has no backup", "Name a GPU node whose data say backup.")
        elif request.service not in known:
            said = f"service={request.service}" if request.service else "service is missing"
            yield Problem("--data", said, f"Write --data service=NAME, one of: {', '.join(known)}.")
    if request.origin and request.origin not in {node.name for node in fleet.nodes}:
        yield Problem("--data", f"origin={request.origin}", "Name a node of this fleet.")
    if request.at and not re.fullmatch(r"[0-9TZ-]{10,20}", request.at):
        yield Problem("--data", f"at={request.at}", "Write it like 2026-11-26T02-00-00Z.")


def _foretold(host: Host, request: Request) -> Generator[Problem, None, None]:
    """Let the node say what would happen, print it, and refuse what nobody has allowed."""
    command = shlex.join([PATH, *_words(request), "--dry"])
    _, output = host.run_shell_command(command, print_output=False, print_input=False)
    answer = node_command.last_object(output.stdout_lines)
    if answer is None:
        yield Problem(node_name(host), "did not say what a restore would do", f"Run on the node: {command}")
        return
    for failure in answer.get("failures", ()):
        yield Problem(node_name(host), f"{failure['what']}: {failure['why']}", failure.get("cure", ""))
    for item in answer.get("brings", ()):
        logger.info("%s    brings back %s: %.1f MiB of %s", host.print_prefix, *_told(item))
    for path in answer.get("overwrites", ()):
        logger.info("%s    overwrites %s", host.print_prefix, path)
    if answer.get("overwrites") and not request.overwrite and not command_line.current().dry:
        there = ", ".join(answer["overwrites"])
        yield Problem(node_name(host), f"would overwrite {there}", "Look at them, then add --data overwrite=true.")


def _told(item: dict[str, object]) -> tuple[object, float, object]:
    return item["what"], int(str(item["bytes"])) / 2**20, item["made"]


@operation()
def _made() -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, "backup", "--json")


@operation()
def _restored(words: list[str]) -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, *words)
