"""`ipex-node optimize`: the optimizer's three tasks, by timer and by hand, and the numbers they leave."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ipex_node import border, files, samples, settings
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.optimizer import baseline, caches, history, locked, models
from ipex_node.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ipex_node.optimizer.settings import Optimizer
    from ipex_node.settings import Settings
    from ipex_node.world import World

    Answer = dict[str, Any]

SOURCE = "optimizer"
TASKS = ("caches", "models", "tuning")


def optimize(world: World, task: str, *, unattended: bool = False, declared_only: bool = False) -> Answer:
    """Do one task, and leave what became of it for the agent.

    Args:
        world: The node.
        task: One of TASKS.
        unattended: As a timer does it.
        declared_only: Of a tuning: measure the declared setting alone.

    Raises:
        FailedError: The node has no optimizer, or the task could not be begun.
    """
    node = settings.load(world.paths.settings)
    if node.optimizer is None:
        raise failed(str(world.paths.settings), "says nothing of an optimizer", "only GPU nodes have one; deploy")
    try:
        if task == "tuning":
            from ipex_node.optimizer.tuning import tune  # noqa: PLC0415 - it imports the transaction

            answer = tune(world, declared_only=declared_only, unattended=unattended)
        else:
            act: Callable[[World, Settings, Optimizer], Answer] = {"caches": _caches, "models": _models}[task]
            answer = act(world, node, node.optimizer)
    except FailedError:
        _leave(world, task, {"ok": False})
        raise
    _leave(world, task, answer)
    return answer


def _caches(world: World, node: Settings, optimizer: Optimizer) -> Answer:
    freed, failures = caches.clean(world.paths, optimizer, node.services)
    return _answer(failures) | {
        "freed_bytes": freed,
        "cache_bytes": {
            service: {
                "current": sum(file.bytes for file in caches.listed(world.paths, optimizer, directories)),
                "previous": caches.kept_bytes(world.paths, optimizer, service),
            }
            for service, directories in optimizer.caches.items()
        },
    }


def _models(world: World, node: Settings, optimizer: Optimizer) -> Answer:
    checked = locked.checked(world.paths, node)
    failures: list[Failure] = list(checked.failures)
    made: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    for service in node.services:
        if service.engine == "ollama":
            made[service.name], missing[service.name], wrong = models.update(service, optimizer)
            failures += wrong
    return _answer(failures) | {"made": made, "missing": missing, **checked.as_json()}


def _answer(failures: list[Failure]) -> Answer:
    return {"ok": not failures, "failures": [failure.as_json() for failure in failures]}


def _leave(world: World, task: str, answer: Answer) -> None:
    """Keep this task's numbers beside the other tasks', and hand all to the agent."""
    place = world.paths.samples(SOURCE)
    rows = [[one.family, one.labels, one.value] for one in _numbers(world, task, answer)]
    kept = {**_kept(place), task: rows}
    files.write(place.with_name("tasks.json"), json.dumps(kept).encode())
    samples.write(place, [Sample(*row) for one in kept.values() for row in one])


def _kept(place: Path) -> dict[str, list[list[Any]]]:
    try:
        found: dict[str, list[list[Any]]] = border.load(place.with_name("tasks.json"))
        return {task: rows for task, rows in found.items() if task in TASKS}
    except (OSError, ValueError, AttributeError):
        return {}


def _numbers(world: World, task: str, answer: Answer) -> Iterator[Sample]:
    yield Sample("ipex_optimizer_last_run_timestamp_seconds", {"task": task}, time.time())
    yield Sample("ipex_optimizer_failed", {"task": task}, float(not answer["ok"]))
    for service, sizes in answer.get("cache_bytes", {}).items():
        for kind, size in sizes.items():
            yield Sample("ipex_optimizer_cache_bytes", {"service": service, "of": kind}, float(size))
    for service, names in answer.get("missing", {}).items():
        yield Sample("ipex_optimizer_models_missing", {"service": service}, float(len(names)))
    if task == "tuning":
        yield from _speeds(world, answer)


def _speeds(world: World, answer: Answer) -> Iterator[Sample]:
    optimizer = settings.load(world.paths.settings).optimizer
    if optimizer is None:
        return
    gains = {one["service"]: one["gain"] for one in answer.get("proposals", ())}
    rows = history.read(world.paths)
    last = {row.service: row for row in rows if row.declared and row.tokens_per_second}
    for service, row in last.items():
        yield Sample("ipex_tuning_tokens_per_second", {"service": service, "model": row.model}, row.speed)
        yield Sample("ipex_tuning_gain_ratio", {"service": service}, float(gains.get(service, 0.0)))
    for one in baseline.compare(rows, optimizer.loss):
        labels = {"service": one.now.service, "model": one.now.model}
        yield Sample("ipex_baseline_regressed", labels, float(one.regressed))
