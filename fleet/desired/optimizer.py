"""What keeps models fast on a GPU node: three tasks, each with a timer, and what they must know."""

import dataclasses
from typing import Any

from fleet import engine_options, optimization, precision
from fleet.desired import program
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import Fleet, Node
from fleet.optimizer import CACHE_ROOT, DEFAULTS, Optimizer

_UNIT = "/etc/systemd/system/ipex-optimizer-"
_TASKS = {"caches": "cache_cleanup", "models": "model_update", "tuning": "performance_tuning"}
"""Task of `ipex-node optimize` to its word in the schedule."""


def part(node: Node, optimizer: Optimizer, fleet: Fleet) -> Part:
    """The three timers and what they start; no tuning where there is nothing to tune."""
    tasks = [task for task in _TASKS if task != "tuning" or optimization.tuned(node)]
    files = [file for task in tasks for file in _files(task, node, optimizer, fleet)]
    timers = [file for file in files if file.path.endswith(".timer")]
    return Part(
        files=tuple(files),
        units=tuple(Unit(file.path.rpartition("/")[2], inputs=(file.path,)) for file in timers),
        validators=tuple(("systemd-analyze", "verify", "--man=no", f"{{root}}{file.path}") for file in files),
    )


def _files(task: str, node: Node, optimizer: Optimizer, fleet: Fleet) -> tuple[File, File]:
    tuning = task == "tuning"
    values = {
        "task": task,
        "program": program.PATH,
        "engines": sorted(service.name for service in node.services if service.engine != "http"),
        "calendar": optimization.slot(node, fleet) if tuning else getattr(optimizer.schedule, _TASKS[task]),
        "spread": None if tuning else optimizer.schedule.spread,
        "seconds": optimization.tuning_seconds(node, optimizer) if tuning else 4 * 3600,
    }
    return (
        File(f"{_UNIT}{task}.service", render(f"units/ipex-optimizer-{task}.service.j2", **values)),
        File(f"{_UNIT}{task}.timer", render("units/ipex-optimizer.timer.j2", **values)),
    )


def settings(node: Node) -> dict[str, Any] | None:
    """What the program on the box must know."""
    optimizer = node.optimizer
    if optimizer is None or not optimizer.enable:
        return None
    return {
        "cache_root": optimizer.compilation_cache,
        "caches": _caches(node, optimizer),
        "drivers": f"/nix/var/nix/profiles/ipex/{node.drivers}" if node.drivers else "",
        "cache_bytes": optimizer.cache_gb * 10**9,
        "cache_days": optimizer.cache_days,
        **_quantization(node, optimizer),
        "grid": [dict(one) for one in optimizer.tuning.settings()],
        **{key: value for key, value in dataclasses.asdict(optimizer.tuning).items() if key not in {"grid", "apply"}},
        "tuned": _tuned(node, optimizer),
    }


def _caches(node: Node, optimizer: Optimizer) -> dict[str, list[str]]:
    root = optimizer.compilation_cache.removeprefix(CACHE_ROOT)
    found = {}
    for service in node.services:
        every = list(engine_options.directories(service.name, service.engine, optimizer))[1:]
        if every:
            found[service.name] = [path.removeprefix(f"{root}/") for path in every]
    return found


def _quantization(node: Node, optimizer: Optimizer) -> dict[str, Any]:
    wanted = optimizer.quantization
    if not wanted.enable:
        return {"made": {}, "quantize": {}}
    can = {name: precision.of("ollama", word) for name, word in wanted.precision.items()}
    services = {service.name for service in node.services if service.engine == "ollama"}
    quantize = {name: one.quantize for name, one in can.items() if name in services and isinstance(one, precision.Can)}
    return {"made": dict(wanted.models), "quantize": quantize}


def _tuned(node: Node, optimizer: Optimizer) -> list[dict[str, Any]]:
    return [
        {
            "service": service.name,
            "declared": {name: service.environment.get(name, DEFAULTS.get(name, "")) for name in optimizer.tuning.grid},
            "probe_seconds": service.probe_seconds,
        }
        for service in optimization.tuned(node)
    ]
