"""The capacity report: growth and head-room, from what a monitor's Prometheus remembers."""

import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pyinfra import logger
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.state import State

from fleet import growth, load, outlook
from fleet.growth import Forecast
from fleet.load import RefusedError
from fleet.model import Fleet
from fleet.outlook import Advice, Finding, Outlook, Question
from operations import command_line, monitors
from operations.once import once
from operations.status import AnsweredError

_HEADINGS = ("what", "where", "days", "now", "room", "growth a day", "full on")
_NONE = "-"
# Nobody plans further, and a date there says only that it is far away.
_FAR_DAYS = 3650


def show(state: State) -> None:
    """Print the report and end the run.

    Raises:
        AnsweredError: always, but for
        RefusedError: no monitor could be asked, or its data say nothing of capacity.
    """
    once(state, _print)
    raise AnsweredError(0)


def _print(state: State) -> None:
    fleet = load.from_inventory(state.inventory)
    monitor, nodes = fleet.with_role("monitors")[0], len(fleet.with_role("gpu_nodes"))
    settings = monitor.capacity
    if settings is None:
        raise RefusedError("The monitors have no `capacity`: write it in group_data/monitors.py.")
    users = max((one.users for one in monitor.objectives.values() if one.users is not None), default=None)
    asked = outlook.questions(settings, users, nodes)
    found = [
        one
        for question, matrix in zip(asked, _ask(state, fleet, asked, settings), strict=True)
        for one in outlook.findings(question, matrix, settings)
    ]
    advice = outlook.advice(found[-1], nodes, settings)
    if command_line.current().json or load.request(state.inventory).json:
        sys.stdout.write(json.dumps(_answer(fleet, found, advice), indent=2) + "\n")
    else:
        lines = "\n".join((*_table(found), "", *(f"  {line}" for line in _words(advice, settings))))
        logger.info("--> Capacity of %s:\n%s", fleet.environment, lines)


def _ask(state: State, fleet: Fleet, asked: Sequence[Question], settings: Outlook) -> list[list[dict[str, Any]]]:
    """What Prometheus answers to each question, asked of the first monitor that answers, in one command."""
    command = StringCommand("sh", "-c", QuoteString(_script(fleet, asked, settings, time.time())))
    for host in monitors.of(state, fleet):
        lines = monitors.run(state, host, command) or []
        answers = [json.loads(line) for line in lines if line.startswith(("[", "null"))]
        if len(answers) == len(asked) and any(answer is not None for answer in answers):
            return [answer or [] for answer in answers]
    names = ", ".join(node.name for node in fleet.with_role("monitors"))
    raise RefusedError(
        f"No Prometheus of {names} has answered. "
        "Look at it there: `systemctl status prometheus`, `journalctl -u prometheus`."
    )


def _script(fleet: Fleet, asked: Sequence[Question], settings: Outlook, now: float) -> str:
    """One line of JSON for each question: its value of every whole day (UTC), null where it fails."""
    prometheus = fleet.with_role("monitors")[0].prometheus
    port = prometheus.port if prometheus else 0
    end = int(now // growth.DAY_SECONDS) * growth.DAY_SECONDS
    start = end - (settings.days - 1) * growth.DAY_SECONDS
    ask = f"promtool query range --format=json --start={start} --end={end} --step=24h http://127.0.0.1:{port}"
    return "\n".join(f"{ask} {shlex.quote(question.expr)} || echo null" for question in asked)


def _answer(fleet: Fleet, found: Sequence[Finding], advice: Advice | None) -> dict[str, Any]:
    return {
        "environment": fleet.environment,
        "confidence": growth.CONFIDENCE,
        "resources": [_row(one) for one in found],
        "add": {"nodes": advice.nodes, "at_most": advice.at_most, "by": _dates(advice.by)} if advice else None,
    }


def _row(one: Finding) -> dict[str, Any]:
    line = one.line
    return {
        "resource": one.question.resource,
        "where": one.where,
        "days": one.days,
        "limit": one.question.limit,
        "now": line.level if line else None,
        "head_room": one.head_room,
        "growth_per_day": {"expected": line.per_day, "low": line.slowest, "high": line.fastest} if line else None,
        "full": _dates(one.full),
    }


def _dates(when: Forecast | None) -> dict[str, str | None] | None:
    if when is None:
        return None
    moments = {"earliest": when.earliest, "expected": when.expected, "latest": when.latest}
    return {name: _date(moment) if moment is not None else None for name, moment in moments.items()}


def _table(found: Sequence[Finding]) -> Iterator[str]:
    table = [_HEADINGS, *(tuple(_cells(one)) for one in found)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_HEADINGS))]
    for line in table:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _cells(one: Finding) -> Iterator[str]:
    line, shown = one.line, _share if one.question.share else _number
    yield one.question.resource
    yield one.where or "fleet"
    yield str(one.days)
    if line is None:
        yield from (_NONE, _NONE, _NONE)
        yield "no data" if one.days == 0 else "too few days to tell"
        return
    yield shown(line.level)
    yield shown(one.question.limit - line.level)
    yield f"{shown(line.per_day)} ± {shown(line.margin)}"
    yield _when(one.full)


def _words(advice: Advice | None, settings: Outlook) -> Iterator[str]:
    yield f"Dates in brackets: {growth.CONFIDENCE:.0%} sure, if growth goes on as in these {settings.days} days."
    if advice is None:
        yield f"Nothing can be said of nodes yet: it takes {settings.least_days} days of their work."
    elif advice.nodes:
        most = f", at most {advice.at_most}" if advice.at_most > advice.nodes else ""
        yield f"Add {_nodes(advice.nodes)}{most}, for the next {settings.horizon_days} days, {_by(advice.by)}."
    else:
        most = f"; at the highest growth {_nodes(advice.at_most)} more" if advice.at_most else ""
        yield f"No node need be added for the next {settings.horizon_days} days{most}."


def _by(when: Forecast | None) -> str:
    return "now: those that are there are full" if when and when.earliest <= time.time() else f"by {_when(when)}"


def _nodes(number: int) -> str:
    return f"{number} node" if number == 1 else f"{number} nodes"


def _when(when: Forecast | None) -> str:
    if when is None:
        return "does not grow"
    if when.expected is None or when.latest is None:
        return f"no sure growth; not before {_date(when.earliest)}"
    if when.expected <= time.time():
        return "full now"
    if when.earliest == when.latest:
        return _date(when.expected)
    return f"{_date(when.expected)} ({_date(when.earliest)} to {_date(when.latest)})"


def _date(moment: float) -> str:
    if moment - time.time() > _FAR_DAYS * growth.DAY_SECONDS:
        return "in more than ten years"
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def _share(value: float) -> str:
    return f"{value * 100:.2f} %"


def _number(value: float) -> str:
    return f"{value:.2f}"
