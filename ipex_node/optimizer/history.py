"""How fast this node's engines were: with which setting, of which release, on which GPU."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from ipex_node import border, files
from ipex_node.failure import failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ipex_node.paths import Paths

MOST = 500
"""Rows that are kept, the newest ones."""


@dataclass(frozen=True)
class Row:
    """One setting, measured.

    Attributes:
        time: When, in seconds since 1970.
        service, model: What was asked.
        gpu: PCI ids of the node's GPUs; empty without one.
        release: Store paths of engine and drivers.
        setting: The grid's variables.
        declared: Whether it was the one that data declare.
        tokens_per_second: One value for each round.
        failed: Why there is none; empty where there are.
    """

    time: float
    service: str
    model: str
    gpu: str
    release: str
    setting: Mapping[str, str]
    declared: bool
    tokens_per_second: tuple[float, ...] = field(default=())
    failed: str = ""

    @property
    def speed(self) -> float:
        """The median of its rounds; 0 without any."""
        return median(self.tokens_per_second) if self.tokens_per_second else 0.0

    @property
    def same(self) -> tuple[str, str, str]:
        """What must be the same for two rows to be compared."""
        return self.service, self.model, self.gpu

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the file and in answers."""
        return {**asdict(self), "setting": dict(self.setting), "tokens_per_second": list(self.tokens_per_second)}


def path(paths: Paths) -> Path:
    """Return where it is kept."""
    return paths.state / "performance.json"


def read(paths: Paths) -> list[Row]:
    """Return all rows, the oldest first.

    Raises:
        FailedError: The file is damaged.
    """
    try:
        return [_row(raw) for raw in border.load(path(paths))]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        cure = "move it away: the next tuning begins a new one"
        raise failed(str(path(paths)), f"cannot be read: {error}", cure) from error


def release(paths: Paths, profiles: Iterable[str]) -> str:
    """Name what generates: the store paths that the profiles of the engine and of the drivers lead to."""
    return " ".join(os.path.realpath(paths.on_node(one)).rpartition("/")[2] for one in profiles if one)


def add(paths: Paths, rows: Iterable[Row]) -> None:
    """Add rows, and forget the oldest of too many."""
    every = [*read(paths), *rows][-MOST:]
    files.write(path(paths), json.dumps([row.as_json() for row in every]).encode())


def _row(raw: dict[str, Any]) -> Row:
    return Row(**{**raw, "tokens_per_second": tuple(map(float, raw["tokens_per_second"]))})


def proposed(declared: Row, tried: Sequence[Row], gain: float) -> Row | None:
    """Choose the fastest setting, where it is worth a change of the data. Pure.

    It must be faster by `gain`, and its slowest round faster than the fastest of the declared setting: what lies within
    the noise of a machine is no reason to change anything.
    """
    best = max((row for row in tried if row.tokens_per_second), key=lambda row: row.speed, default=None)
    if best is None or not declared.tokens_per_second:
        return None
    clear = min(best.tokens_per_second) > max(declared.tokens_per_second)
    return best if clear and best.speed >= declared.speed * (1 + gain) else None
