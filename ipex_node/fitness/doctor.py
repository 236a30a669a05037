"""`ipex-node doctor` and `ipex-node memory-check`: whether this machine is fit, by the same rules as the deploy's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipex_node import settings
from ipex_node.fitness import inspection, needs
from ipex_node.fitness.findings import Finding, Level
from ipex_node.fitness.judge import GB, judge, memory
from ipex_node.fitness.machine import Machine
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ipex_node.fitness.machine import Card
    from ipex_node.fitness.needs import Needs
    from ipex_node.settings import Settings
    from ipex_node.world import World

_UNKNOWN = "unknown"
_WORDS = {Level.REFUSE: "REFUSED", Level.WARN: "WARNING", Level.NOTE: "note"}


def doctor(world: World, *, table: bool) -> dict[str, Any]:
    """Look at this machine and judge it.

    Args:
        world: The node.
        table: Show it as lines for a person, too, on standard error.

    Returns:
        The answer: `failures` are what a deploy would refuse it for, `warnings` and `notes` what it is let
        through with, `machine` what was seen.
    """
    node = settings.load(world.paths.settings)
    wanted, undeclared = _needs(node, str(world.paths.settings))
    machine = inspection.inspect(world, node, wanted)
    findings = (*undeclared, *judge(machine, wanted))
    if table:
        progress("\n".join(_table(machine, findings)))
    return {
        "ok": not _of(findings, Level.REFUSE),
        "failures": _of(findings, Level.REFUSE),
        "warnings": _of(findings, Level.WARN),
        "notes": _of(findings, Level.NOTE),
        "machine": _seen(machine),
    }


def memory_check(world: World) -> dict[str, Any]:
    """Warn of little memory, in words on standard error: the journal's at boot. A warning is no failure."""
    node = settings.load(world.paths.settings)
    wanted, _ = _needs(node, str(world.paths.settings))
    machine = Machine(memory_bytes=inspection.memory_bytes(node.procfs))
    found = tuple(memory(machine, wanted))
    for one in found:
        progress(f"Warning: this node {one.why}. {one.cure}")
    if not found:
        progress(f"{machine.memory_bytes / GB:.1f} GB of memory, {wanted.memory_gb:g} GB are recommended")
    return {"ok": True, "failures": [], "warnings": _of(found, Level.WARN), "memory_bytes": machine.memory_bytes}


def _needs(node: Settings, where: str) -> tuple[Needs, tuple[Finding, ...]]:
    """Return what is declared, or what can be asked of any machine, and then a note of that."""
    if node.fitness:
        return needs.read(node.fitness, where), ()
    why = f"has no declared needs: {where} is not there, or older than this program"
    cure = "Deploy, and ask again: services, memory and disk are only judged then."
    return needs.UNDECLARED, (Finding(Level.NOTE, "settings", why, cure),)


def _of(findings: Iterable[Finding], level: Level) -> list[dict[str, str]]:
    return [finding.as_json() for finding in findings if finding.level == level]


def _seen(machine: Machine) -> dict[str, Any]:
    return {
        "distribution": machine.distribution or None,
        "kernel": machine.kernel or None,
        "memory_bytes": machine.memory_bytes or None,
        "gpus": [_gpu(card, machine) for card in machine.cards],
        "free_bytes": dict(machine.free_bytes),
        "closure_bytes": machine.closure_bytes or None,
        "cgroup": machine.cgroup or None,
        "clock": machine.clock or None,
    }


def _gpu(card: Card, machine: Machine) -> dict[str, Any]:
    node = machine.render_nodes.get(card.render)
    return {
        "slot": card.slot,
        "pci_id": card.pci_id,
        "product": card.model.name,
        "platform": card.model.platform,
        "class": card.model.generation_class,
        "discrete": card.model.discrete,
        "driver": card.driver or None,
        "vram_bytes": machine.vram_bytes.get(card.slot),
        "render_node": str(node) if node else card.render or None,
        "kernel_floor": dict(card.model.kernel),
        "firmware": card.model.firmware,
    }


def _table(machine: Machine, findings: Iterable[Finding]) -> Iterator[str]:
    rows = [*_rows(machine), *((_WORDS[finding.level], f"{finding.why}. {finding.cure}") for finding in findings)]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        yield f"{name.ljust(width)}  {text}"


def _rows(machine: Machine) -> Iterator[tuple[str, str]]:
    yield "distribution", machine.distribution or _UNKNOWN
    yield "kernel", machine.kernel or _UNKNOWN
    for card in machine.cards:
        kind = {True: "discrete", False: "integrated", None: "of unknown kind"}[card.model.discrete]
        node = machine.render_nodes.get(card.render)
        driver, render = card.driver or "no driver", str(node or card.render or "no render node")
        vram = f"{machine.vram_bytes[card.slot] / GB:.1f} GB of its own, " if card.slot in machine.vram_bytes else ""
        yield "GPU", f"{card.slot} {card}, {card.model.generation_class}, {kind}, {vram}{driver}, {render}"
    if not machine.cards:
        yield "GPU", "none of Intel's"
    yield "memory", f"{machine.memory_bytes / GB:.1f} GB"
    for place, free in machine.free_bytes.items():
        yield place, f"{free / GB:.1f} GB free"
    if machine.closure_bytes:
        yield "closures", f"{machine.closure_bytes / GB:.1f} GB in the Nix store"
    yield "cgroup", machine.cgroup or _UNKNOWN
    yield "clock", machine.clock or _UNKNOWN
