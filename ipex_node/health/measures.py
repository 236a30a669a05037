"""What the health monitor counts, as numbers for the agent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ipex_node.gpu import cards
from ipex_node.health.kernel import KINDS
from ipex_node.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ipex_node.health.checks import Finding
    from ipex_node.health.memory import Memory
    from ipex_node.health.verdict import Verdict
    from ipex_node.paths import Paths
    from ipex_node.settings import Settings

LEVELS = ("runs", "port", "api", "generates", "gpu")


def of(  # noqa: PLR0913,PLR0917 - everything a run has found
    node: Settings,
    memory: Memory,
    held: Verdict,
    left: Mapping[str, int],
    paused: tuple[str, ...],
    found: Mapping[str, Finding],
) -> Iterator[Sample]:
    """Return the numbers of a run.

    Args:
        node: The node's settings.
        memory: The counters.
        held: What is held against the node.
        left: Service to the restarts it has left.
        paused: Checks that are not repaired because they fail everywhere.
        found: Service to what was seen; a node that waits for its reboot, or keeps still, is not asked.
    """
    if memory.looked:
        yield Sample("ipex_health_last_run_timestamp_seconds", {}, memory.looked)
    yield Sample("ipex_node_reboot_needed", {}, float(held.node is not None))
    for service, one in found.items():
        for level in LEVELS:
            failed = one.failing == f"{service}:{level}"
            yield Sample("ipex_health_check_failed", {"service": service, "check": level}, float(failed))
    for service, number in left.items():
        yield Sample("ipex_health_restarts_total", {"service": service}, memory.restarts.get(service, 0))
        yield Sample("ipex_health_budget_left", {"service": service}, number)
    for check in paused:
        yield Sample("ipex_health_circuit_open", {"check": check}, 1)
    yield from _resets(node.sysfs, memory)


def disks(paths: Paths) -> Iterator[tuple[Path, float]]:
    """Yield each file system that can fill up, once, with the share of it that is used, as df(1) counts it."""
    seen = set()
    for place in (paths.state, paths.private, paths.on_node("/nix")):
        try:
            device, space = place.stat().st_dev, os.statvfs(place)
        except OSError:
            continue  # a place this node does not have, or not yet
        used = space.f_blocks - space.f_bfree
        if device not in seen and used + space.f_bavail > 0:
            seen.add(device)
            yield place, used / (used + space.f_bavail)


def _resets(sysfs: Path, memory: Memory) -> Iterator[Sample]:
    """Yield every kind for every GPU there is, so that the first reset is an increase; and for one that has gone."""
    names = {card.pci_slot: card.name for card in cards.listed(sysfs)}
    counted = {tuple(key.split(" ", 1)): number for key, number in memory.resets.items()}
    for slot, kind in sorted({*counted, *((slot, kind) for slot in names for kind in KINDS)}):
        labels = {"gpu": names.get(slot, slot), "kind": kind}
        yield Sample("ipex_gpu_resets_total", labels, counted.get((slot, kind), 0))
