"""What a node is told of its optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    Setting = Mapping[str, str]


@dataclass(frozen=True)
class Tuned:
    """A service whose settings are measured.

    Attributes:
        service: Its name.
        declared: What data set of the grid's variables, or what the engine takes without.
        probe_seconds: Longest start, model load and first generation.
    """

    service: str
    declared: Setting
    probe_seconds: float


@dataclass(frozen=True)
class Optimizer:
    """How models run better on this node.

    Attributes:
        cache_root: Directory of all caches.
        caches: Service to the directories of its caches, below the root.
        drivers: The Nix profile of the GPU's drivers; empty without one.
        cache_bytes: What one service's caches may take.
        cache_days: After so many days a compiled file goes.
        made: Ollama's models that this node makes itself: name to source.
        quantize: Ollama service to the type it quantises them to; empty for none.
        grid: Settings that are tried.
        clients, rounds, tokens: Requests at a time, measurements of a setting, tokens of a request.
        gain: Share by which a setting must be faster to be proposed.
        loss: Share by which a release may be slower than the one before.
        tuned: Whose settings are measured.
    """

    cache_root: str
    caches: Mapping[str, tuple[str, ...]]
    drivers: str
    cache_bytes: int
    cache_days: int
    made: Mapping[str, str]
    quantize: Mapping[str, str]
    grid: tuple[Setting, ...]
    clients: int
    rounds: int
    tokens: int
    gain: float
    loss: float
    tuned: tuple[Tuned, ...]


def parse(raw: dict[str, Any]) -> Optimizer:
    """Read what the deploy has written."""
    caches = {service: tuple(paths) for service, paths in raw["caches"].items()}
    tuned = tuple(Tuned(one["service"], one["declared"], float(one["probe_seconds"])) for one in raw["tuned"])
    return Optimizer(**{**raw, "caches": caches, "tuned": tuned, "grid": tuple(raw["grid"])})
