"""What an environment can say of the release it runs: asked of its nodes and kept for a promotion."""

import json
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pyinfra import logger
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.state import State

from fleet.model import Fleet
from fleet.observed import Observed
from operations import monitors, question
from operations.once import once
from operations.status import AnsweredError

FOLDER = Path("build/release")
_RECORD = "/var/lib/ipex/rollouts.jsonl"
_BUDGET = "slo:error_budget_remaining:ratio"


def show(state: State) -> None:
    """Ask, print what was said, keep it, and end the run; with status 1 where a node cannot be reached.

    Raises:
        AnsweredError: always.
    """
    once(state, _ask)
    raise AnsweredError(int(bool(state.failed_hosts)))


def _ask(state: State) -> None:
    found = question.answers(state)
    rollouts, budgets = _of_monitor(state, found.fleet)
    gpus = [node.name for node in found.fleet.with_role("gpu_nodes")]
    said = soak(found.answers, found.unreached, rollouts, budgets, time.time())
    said["measured"] = measured(found.answers, gpus)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"environment-{found.fleet.environment}.json"
    path.write_text(json.dumps(said, indent=2) + "\n")
    if found.request.json:
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
    else:
        logger.info("--> Evidence of %s, kept in %s:\n%s", found.fleet.environment, path, json.dumps(said, indent=2))


def soak(
    answers: Mapping[str, Observed],
    unreached: Iterable[str],
    rollouts: Iterable[Mapping[str, Any]],
    budgets: Mapping[str, float | None],
    now: float,
) -> dict[str, Any]:
    """What `fleet.release.Soak` holds, from what was answered.

    Args:
        answers: what each node said.
        unreached: who did not.
        rollouts: the record of rollouts, oldest first.
        budgets: what is left of each objective's error budget.
        now: seconds since 1970.
    """
    versions = {name: str(said.status.get("revision") or "") for name, said in answers.items()}
    rollouts = list(rollouts)
    since = max((_took(name, said, rollouts) for name, said in answers.items()), default=0.0)
    return {
        "asked": now,
        "versions": versions,
        "since": since,
        "unreached": list(unreached),
        "failures": [*_quarantined(answers, since), *_rolled_back(rollouts, since)],
        "budgets": dict(budgets),
        "slower": [str(one) for said in answers.values() for one in said.status.get("slower", ())],
    }


def measured(answers: Mapping[str, Observed], gpus: Iterable[str]) -> bool:
    """Whether every GPU node has figures of the release it serves; an older program than this knows nothing of them."""
    said = [answers[name].status if name in answers else {} for name in gpus]
    return all("slower" in one and not one.get("unmeasured") for one in said)


def _took(name: str, said: Observed, rollouts: Iterable[Mapping[str, Any]]) -> float:
    """When a node took what it serves: the end of the last run that brought it there; 0 where no record says so."""
    ends = [
        float(one["began"]) + float(one["seconds"])
        for one in rollouts
        if one.get("nodes", {}).get(name, {}).get("to") == said.generation and one["nodes"][name].get("ending") == "new"
    ]
    return max(ends, default=0.0)


def _quarantined(answers: Mapping[str, Observed], since: float) -> Iterator[str]:
    for name, said in answers.items():
        for generation, record in said.quarantined.items():
            if _seconds(str(record.get("at", ""))) >= since:
                yield f"{name} has quarantined {generation}: {record.get('why', '')}"


def _rolled_back(rollouts: Iterable[Mapping[str, Any]], since: float) -> Iterator[str]:
    for one in rollouts:
        if float(one["began"]) < since:
            continue
        for name, end in one.get("nodes", {}).items():
            if end.get("ending") in {"old", "broken", "unknown"}:
                yield f"{name} did not take a change of {one.get('who', 'somebody')}: {'; '.join(end.get('why', ()))}"


def _seconds(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return float("inf")  # a time that cannot be read is no reason to look away


def _of_monitor(state: State, fleet: Fleet) -> tuple[list[dict[str, Any]], dict[str, float | None]]:
    """The record of rollouts, and what is left of the error budgets, from the first monitor that answers."""
    prometheus = fleet.with_role("monitors")[0].prometheus
    port = prometheus.port if prometheus else 0
    ask = f"promtool query instant --format=json http://127.0.0.1:{port} {shlex.quote(_BUDGET)}"
    script = f"echo answered; sed 's/^/record /' {_RECORD} 2>/dev/null; {ask} | sed 's/^/budget /'; true"
    for host in monitors.of(state, fleet):
        lines = monitors.run(state, host, StringCommand("sh", "-c", QuoteString(script))) or []
        if "answered" in lines:
            return list(_records(lines)), _budgets(lines)
    return [], {}


def _records(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("record {"):
            record = json.loads(line.removeprefix("record "))
            if "began" in record:
                yield record


def _budgets(lines: Iterable[str]) -> dict[str, float | None]:
    """Each objective with the least that is left of it for any service."""
    found: dict[str, float | None] = {}
    for line in lines:
        if not line.startswith("budget ["):
            continue
        for series in json.loads(line.removeprefix("budget ")):
            name, left = series["metric"].get("slo", "?"), float(series["value"][1])
            known = found.get(name)
            found[name] = None if left != left else left if known is None else min(known, left)  # noqa: PLR0124 - NaN
    return found
