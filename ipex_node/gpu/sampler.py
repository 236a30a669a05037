"""`ipex-node gpu`: measures GPUs and leaves the numbers for the agent. Talks to nobody.

Needs CAP_SYS_PTRACE for the fdinfo of engines that run under users of their own, and the group render for the
drivers' word on memory. What is withheld makes a metric absent and says so.
"""

from __future__ import annotations

import fcntl
import time
from typing import TYPE_CHECKING, Any

from ipex_node import samples, settings
from ipex_node.gpu import cards, memory, sensors
from ipex_node.gpu.busy import Busy
from ipex_node.gpu.clients import Descriptors
from ipex_node.samples import Sample, absent
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ipex_node.gpu.cards import Card
    from ipex_node.gpu.clients import Client
    from ipex_node.gpu.memory import Ioctl, Region
    from ipex_node.world import World

SOURCE = "gpu"
"""Its name among the sources of metrics."""


def serve(world: World) -> dict[str, Any]:
    """Measure until SIGTERM.

    Raises:
        FailedError: The node's settings cannot be understood.
    """
    node = settings.load(world.paths.settings)
    sampler = Sampler(node.sysfs, node.procfs, world.paths.render_nodes)
    progress(f"measures {', '.join(card.name for card in cards.listed(node.sysfs)) or 'no GPU'}")
    samples.keep(world.paths.samples(SOURCE), sampler.sample, node.gpu_seconds)
    return {"ok": True, "failures": []}


class Sampler:
    """Measures GPUs again and again.

    Args:
        sysfs: Where sysfs is, /sys on a real machine.
        procfs: Where procfs is, /proc on a real machine.
        render_nodes: Where the GPUs' devices are, /dev/dri on a real machine.
        clock: Tells the time in seconds.
        ioctl: Asks the kernel.
    """

    def __init__(
        self,
        sysfs: Path,
        procfs: Path,
        render_nodes: Path,
        clock: Callable[[], float] = time.monotonic,
        ioctl: Ioctl = fcntl.ioctl,
    ) -> None:
        self._sysfs = sysfs
        self._render_nodes = render_nodes
        self._clock = clock
        self._ioctl = ioctl
        self._descriptors = Descriptors(procfs)
        self._busy = Busy(clock())
        self._energy = Energy()

    def sample(self) -> list[Sample]:
        """Measure once; the numbers of counters and rates are those since the last time."""
        now = self._clock()
        there = list(cards.listed(self._sysfs))
        clients = self._descriptors.clients() if there else []
        self._busy.take(clients, now)
        found = [sample for card in there for sample in self._of(card, clients)]
        return [*found, *self._energy.power(found, now), *self._withheld(there)]

    def _of(self, card: Card, clients: list[Client]) -> Iterator[Sample]:
        yield card.info()
        yield from sensors.samples(card)
        own: list[Region] = []
        try:
            own = memory.regions(card, self._render_nodes, self._ioctl)
        except OSError as error:
            yield absent(card.render_node or card.name, f"{error.strerror or error}")
        held: dict[str, int] = {}
        if not self._is_blind:
            yield from self._busy.samples(card)
            held = memory.held(clients, card.pci_slot)
        yield from memory.samples(card.name, own, held)

    @property
    def _is_blind(self) -> bool:
        """Whether most processes hide what they use, or all: a sum over the others would be no utilization."""
        return self._descriptors.read <= self._descriptors.refused

    def _withheld(self, there: list[Card]) -> Iterator[Sample]:
        if not there:
            yield absent(SOURCE, "no Intel GPU has a kernel driver")
        elif self._is_blind or self._descriptors.refused:
            share = "most" if self._is_blind else "some"
            yield absent("fdinfo", f"{share} processes do not show theirs: CAP_SYS_PTRACE is withheld")


class Energy:
    """Makes power of energy: no driver of Intel's shows power itself."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, ...], tuple[float, float]] = {}

    def power(self, found: list[Sample], now: float) -> Iterator[Sample]:
        """Return the mean power since the last time, in watts."""
        for sample in found:
            if sample.family == "ipex_gpu_energy_joules_total":
                key = tuple(sample.labels.values())
                before, at = self._last.get(key, (sample.value, now))
                self._last[key] = (sample.value, now)
                # A counter that has gone back belongs to a driver that was loaded anew.
                if now > at and sample.value >= before:
                    yield Sample("ipex_gpu_power_watts", sample.labels, (sample.value - before) / (now - at))
