"""How busy the engines of GPUs are, added up from what their clients have done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipex_node.gpu.clients import ENGINES
from ipex_node.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ipex_node.gpu.cards import Card
    from ipex_node.gpu.clients import Client, Work


def engines(card: Card) -> set[str]:
    """Return the classes of engines a GPU has, so that one that has never worked shows 0 and not nothing.

    Places: drivers/gpu/drm/i915/gt/sysfs_engines.c (engine/rcs0) and drivers/gpu/drm/xe/xe_hw_engine_class_sysfs.c
    (tile0/gt0/engines/rcs).
    """
    places = [*card.place.glob("engine/*"), *card.device.glob("tile*/gt*/engines/*")]
    names = {place.name.rstrip("0123456789") for place in places}
    return {ENGINES[name] for name in names if name in ENGINES}


class Busy:
    """Adds up engine time.

    A client counts from the moment it was first seen, and one that has gone costs nothing of what was counted. A
    value that goes backwards is ignored until it has caught up, as drm-usage-stats.rst asks for.

    Attributes:
        seconds: PCI slot and engine class to the time worked.
        ratios: PCI slot and engine class to the share of the last interval.

    Args:
        now: The moment of the beginning, on the clock that `take` is given, in seconds.
    """

    def __init__(self, now: float) -> None:
        self._begun = self._last = now
        self._seen: dict[tuple[str, int, str], tuple[Work, float]] = {}
        self._looks = 0
        self._silent: set[str] = set()
        self.seconds: dict[tuple[str, str], float] = {}
        self.ratios: dict[tuple[str, str], float] = {}

    def take(self, clients: Collection[Client], now: float) -> None:
        """Count what was done since the last time."""
        before, seen = self.seconds, self._seen
        self.seconds, self._seen = dict(before), {}
        self._looks += 1
        telling = {client.pci_slot for client in clients if client.work}
        self._silent = {client.pci_slot for client in clients} - telling
        for client in clients:
            for engine, work in client.work.items():
                key = (client.pci_slot, client.number, engine)
                last, at = seen.get(key, (work, now))
                self._seen[key] = (work, now) if _is_newer(work, last) else (last, at)
                done = _seconds(work, last, now - at) / client.capacity.get(engine, 1)
                place = (client.pci_slot, engine)
                # No engine works longer than it was watched, whatever a driver says.
                self.seconds[place] = min(self.seconds.get(place, 0.0) + done, now - self._begun)
        elapsed, self._last = now - self._last, now
        self.ratios = {
            place: min(1.0, (seconds - before.get(place, 0.0)) / elapsed) if elapsed > 0 else 0.0
            for place, seconds in self.seconds.items()
        }

    def samples(self, card: Card) -> Iterator[Sample]:
        """Return what one GPU's engines have done; nothing where its driver does not say it of the clients it has."""
        if card.pci_slot in self._silent:
            return
        for engine in sorted(engines(card) | {engine for slot, engine in self.seconds if slot == card.pci_slot}):
            labels, place = {"gpu": card.name, "engine": engine}, (card.pci_slot, engine)
            yield Sample("ipex_gpu_engine_busy_seconds_total", labels, self.seconds.get(place, 0.0))
            # The first look begins an interval and ends none.
            if self._looks > 1:
                yield Sample("ipex_gpu_utilization_ratio", labels, self.ratios.get(place, 0.0))


def _is_newer(work: Work, last: Work) -> bool:
    """Whether an account replaces the one before it: it has caught up, or the GPU's clock has begun anew."""
    return work.done >= last.done or (work.clock or 0) < (last.clock or 0)


def _seconds(work: Work, last: Work, elapsed: float) -> float:
    """Return how long the engines worked between two accounts that lie `elapsed` seconds apart."""
    done = max(0, work.done - last.done)
    if work.clock is None or last.clock is None:
        return done / 1e9
    ticks = work.clock - last.clock
    return min(1e9, done / ticks) * elapsed if ticks > 0 else 0.0
