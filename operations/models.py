"""The models of GPU nodes: looked at, locked, planned, fetched, removed. Nothing here changes a node's generation."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyinfra import logger
from pyinfra.api.state import State

from fleet import load, model_lock, model_plan
from fleet.load import RefusedError
from fleet.model import Fleet
from fleet.model_lock import Lock
from fleet.model_plan import Plan, Stock
from fleet.model_store import ModelStore
from fleet.rollout import Request
from operations import command_line, model_report, node_models, registry
from operations.node_command import failure_lines
from operations.once import once
from operations.status import AnsweredError


@dataclass(frozen=True)
class Run:
    """What one run is about.

    Attributes:
        state: pyinfra's.
        fleet: the fleet.
        request: what the command line says.
        store: how models come to the nodes.
    """

    state: State
    fleet: Fleet
    request: Request
    store: ModelStore

    @property
    def file(self) -> Path:
        """The lock's file."""
        return Path(self.store.lock_of(self.fleet.environment))

    @property
    def names(self) -> tuple[str, ...]:
        """The models that the command line names."""
        return tuple(name for name in self.request.model.split(",") if name)

    def lock(self) -> Lock:
        """The lock; an empty one before the first.

        Raises:
            RefusedError: it cannot be understood.
        """
        if not self.file.exists():
            return {}
        try:
            return model_lock.parse(self.file.read_text())
        except ValueError as error:
            raise RefusedError(
                f"{self.file} cannot be understood: {error}. Take the last one that was committed."
            ) from error

    def stocks(self) -> dict[str, Stock]:
        """What the nodes of this run have."""
        return node_models.stocks(self.state, self.fleet, verify=self.request.verify)


def act(state: State) -> None:
    """Do what `--data action=` says, and end the run; with status 1 where not all of it succeeded.

    Raises:
        AnsweredError: always, but for
        RefusedError: what is asked makes no sense, or a model would silently become another.
    """
    raise AnsweredError(once(state, _act))


def _act(state: State) -> int:
    fleet, request = load.from_inventory(state.inventory), load.request(state.inventory)
    store = next((node.models for node in fleet.nodes if node.models), None)
    if store is None:
        raise RefusedError("No GPU node has `models`: write it in group_data/gpu_nodes.py.")
    action = request.action or "parity"
    if action not in _ACTIONS:
        raise RefusedError(f"There is no action {action!r}. Name one of {', '.join(_ACTIONS)}.")
    return _ACTIONS[action](Run(state, fleet, request, store))


def _parity(run: Run) -> int:
    lock, stocks = run.lock(), run.stocks()
    table = model_plan.parity(run.fleet, lock, stocks)
    if _wants_json(run):
        rows = [{"service": service, "model": name, "nodes": states} for (service, name), states in table.items()]
        _print({"environment": run.fleet.environment, "models": rows})
    else:
        logger.info("--> Models of %s:\n%s", run.fleet.environment, "\n".join(model_report.parity(table, lock)))
    return int(bool(run.state.failed_hosts))


def _lock(run: Run) -> int:
    before = run.lock()
    after = registry.resolved(run.fleet, run.store.registry)
    changes = model_lock.changes(before, after)
    silent = [change for change in changes if change.is_silent and change.key[1] not in run.names]
    if silent and not run.request.force:
        raise RefusedError(model_report.refused(silent, run.file))
    run.file.parent.mkdir(parents=True, exist_ok=True)
    fresh = run.file.with_name(f".{run.file.name}.new")
    fresh.write_text(model_lock.dump(after))
    fresh.rename(run.file)
    logger.info("--> %s:\n%s", run.file, "\n".join(model_report.locked(changes, after)))
    return 0


def _plan(run: Run) -> int:
    plan = model_plan.plan(run.fleet, run.lock(), run.stocks())
    if _wants_json(run):
        _print(model_report.as_json(run.fleet.environment, plan))
    else:
        logger.info("--> Plan for the models of %s:\n%s", run.fleet.environment, "\n".join(model_report.plan(plan)))
    return int(bool(run.state.failed_hosts))


def _apply(run: Run) -> int:
    """Fetch once, then copy: what one node brings into the fleet is there when the others ask for it."""
    stocks = run.stocks()
    lock = run.lock()
    if not lock:
        raise RefusedError(f"{run.file} locks no model. Write it with --data action=lock, and commit it.")
    plan = model_plan.plan(run.fleet, lock, stocks)
    if not _wants_json(run):
        logger.info("--> Plan for the models of %s:\n%s", run.fleet.environment, "\n".join(model_report.plan(plan)))
    answers = [_ordered(run, plan, stocks, upstream=upstream) for upstream in (True, False)]
    return _told(run, plan, answers)


def _ordered(run: Run, plan: Plan, stocks: Mapping[str, Stock], *, upstream: bool) -> dict[str, dict[str, Any]]:
    orders = {}
    for work in plan.works:
        order = plan.order(work, stocks, upstream=upstream)
        if any(file["sources"] for file in order["files"]) or (not upstream and work.unplaced):
            orders[work.node.name] = order
    return node_models.fetched(run.state, orders)


def _told(run: Run, plan: Plan, answers: list[dict[str, dict[str, Any]]]) -> int:
    lost = [name for some in answers for name, answer in some.items() if not answer["ok"]]
    if _wants_json(run):
        _print({**model_report.as_json(run.fleet.environment, plan), "ok": not lost, "fetched": answers})
        return int(bool(lost) or bool(run.state.failed_hosts))
    for line in model_report.fetched(answers):
        logger.info("    %s", line)
    for some in answers:
        for name, answer in some.items():
            for line in failure_lines(answer):
                logger.error("    %s: %s", name, line)
    return int(bool(lost) or bool(run.state.failed_hosts))


def _prune(run: Run) -> int:
    if not run.names:
        raise RefusedError("Name the models that are to go: --data model=NAME,NAME. The parity table lists them.")
    answers = node_models.pruned(run.state, run.fleet, run.stocks(), run.names)
    if not answers:
        raise RefusedError(
            f"No node has {' or '.join(run.names)} without declaring it; the parity table lists what goes."
        )
    for name, answer in answers.items():
        logger.info("    %s: freed %.2f GiB", name, answer.get("freed_bytes", 0) / 2**30)
        for line in failure_lines(answer):
            logger.error("    %s: %s", name, line)
    return int(not all(answer["ok"] for answer in answers.values()))


def _wants_json(run: Run) -> bool:
    return command_line.current().json or run.request.json


def _print(answer: object) -> None:
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")


_ACTIONS: dict[str, Callable[[Run], int]] = {
    "parity": _parity,
    "lock": _lock,
    "plan": _plan,
    "apply": _apply,
    "prune": _prune,
}
