"""Which of a node's GPUs its engines leave alone: what befalls those is counted, and no engine is ill of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipex_node.fitness.gpus import GenerationClass, lookup
from ipex_node.gpu import cards

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ipex_node.fitness.gpus import Gpu
    from ipex_node.fitness.needs import Needs, ServiceNeeds


def unused(sysfs: Path, needs: Needs) -> frozenset[str]:
    """Return the PCI addresses of the GPUs on which no engine computes.

    A GPU that has gone from sysfs is none of them: nobody knows any more what it was.

    Args:
        sysfs: Where sysfs is.
        needs: What the node's engines need, by which the deploy has judged the same GPUs.
    """
    there = {card.pci_slot: lookup(card.pci_id) for card in cards.listed(sysfs)}
    used = {slot for service in needs.services for slot in _used(service, there)}
    return frozenset(there) - used


def _used(service: ServiceNeeds, there: Mapping[str, Gpu]) -> list[str]:
    accepted = {*service.gpu_classes, GenerationClass.UNKNOWN}
    fit = [slot for slot, gpu in there.items() if gpu.generation_class in accepted]
    discrete = [slot for slot in fit if there[slot].discrete is not False]
    return discrete or fit if service.discrete_only else fit
