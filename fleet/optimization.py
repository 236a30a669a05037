"""The optimizer against the fleet: what of it no engine or no node could do."""

from collections.abc import Iterator

from fleet import engine_options, models, precision, slots
from fleet.model import Fleet, Node, Service
from fleet.optimizer import Optimizer, nonsense
from fleet.problems import Problem
from fleet.size import bytes_of
from ipex_node.cleanup.model_name import full_name


def tuned(node: Node) -> tuple[Service, ...]:
    """The services of a node whose settings are measured: ComfyUI's work is its workflows', and none is declared."""
    return tuple(service for service in node.services if service.engine == "ollama" and service.model)


def tuning_seconds(node: Node, optimizer: Optimizer) -> int:
    """How long the tuning of a node takes at most."""
    return sum(optimizer.tuning.longest_seconds(one.probe_seconds, one.drain_seconds) for one in tuned(node))


def slot(node: Node, fleet: Fleet) -> str:
    """When a node tunes itself: in a slot that no other node of the fleet has."""
    nodes = [one for one in fleet.nodes if one.optimizer]
    seconds = max(tuning_seconds(one, one.optimizer) for one in nodes if one.optimizer)
    place = [one.name for one in nodes].index(node.name)
    return slots.calendar(place, seconds, node.optimizer.schedule.performance_tuning)  # type: ignore[union-attr]


def problems(fleet: Fleet) -> Iterator[Problem]:
    """Every setting of the optimizer that cannot be meant, or not be done."""
    nodes = [node for node in fleet.nodes if node.optimizer]
    for node in nodes:
        if node.optimizer:
            for what, cure in (*nonsense(node.optimizer), *_of_node(node, node.optimizer)):
                yield Problem(node.name, what, cure)
    periods = {node.optimizer.schedule.performance_tuning for node in nodes if node.optimizer}
    if len(periods) > 1:
        what = f"optimizer.schedule.performance_tuning is {' and '.join(sorted(periods))}"
        yield Problem(fleet.environment, what, "Give all nodes one: their slots would meet.")
    seconds = max((tuning_seconds(node, node.optimizer) for node in nodes if node.optimizer), default=0)
    for period in periods:
        if not slots.fit(len(nodes), seconds, period):
            what = f"{len(nodes)} tunings of {seconds} s, one after the other, are longer than {period}"
            yield Problem(fleet.environment, f"optimizer.schedule: {what}", "Tune less often, or try fewer settings.")


def _of_node(node: Node, optimizer: Optimizer) -> Iterator[tuple[str, str]]:
    yield from precision.refusals({one.name: one.engine for one in node.services}, optimizer.quantization.precision)
    yield from _quantization(node, optimizer)
    known = {service.name: service for service in node.services}
    for key in ("memory_pool", "gpu_reserve"):
        for name in sorted(set(getattr(optimizer.memory, key)) - set(known)):
            yield f"optimizer.memory.{key}.{name}: no such service", f"Known services: {', '.join(sorted(known))}."
    for service in node.services:
        yield from _of_service(service, optimizer)


def _of_service(service: Service, optimizer: Optimizer) -> Iterator[tuple[str, str]]:
    options = engine_options.of(service.name, service.engine, service.memory_max, optimizer)
    yield from engine_options.contradictions(service.name, service.command, dict(service.environment), options)
    room = int((bytes_of(service.memory_max) or 0) * optimizer.memory.swap_threshold)
    if service.name in optimizer.memory.memory_pool and room:
        size = engine_options.pool(service.name, service.memory_max, optimizer)
        if size > room:
            where = f"optimizer.memory.memory_pool.{service.name}"
            share = optimizer.memory.swap_threshold
            yield (
                f"{where} is more than {share} of services.{service.name}.memory_max ({service.memory_max})",
                "The kernel would swap what the engine keeps: lower it, or raise memory_max.",
            )


def _quantization(node: Node, optimizer: Optimizer) -> Iterator[tuple[str, str]]:
    wanted, where = optimizer.quantization, "optimizer.quantization"
    if wanted.calibration_dataset is not None:
        what = f"{where}.calibration_dataset is {wanted.calibration_dataset!r}, and no engine's quantiser takes one"
        yield what, "Write None. A model that was quantised elsewhere with such data is declared like any other."
    if not wanted.enable:
        return
    makers = [service for service in node.services if service.engine == "ollama"]
    declared = {full_name(name) for service in makers for name in models.declared(service)}
    for name, source in sorted(wanted.models.items()):
        fault = precision.source_fault(source)
        if fault:
            yield f"{where}.models.{name}: {fault.why}", fault.cure
        if full_name(name) not in declared:
            yield f"{where}.models.{name} is made and declared nowhere", "Take it into the models of an Ollama service."
        if not any(service.name in wanted.precision for service in makers):
            yield f"{where}.models.{name} has no precision", f"Give the Ollama service one in {where}.precision."
