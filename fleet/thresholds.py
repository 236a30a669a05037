"""From which point on somebody is told."""

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """The limits of the alerts; times in Prometheus' own spelling.

    Attributes:
        without: alerts that this fleet does without, by name.
        down_for: how long a machine, an exporter or an address may be silent.
        ill_for: how long an engine may be down; the health monitor needs this time to repair it.
        odd_for: how long something that can wait must be so.
        differ_for: how long nodes may differ from each other, or from what was declared.
        left_out_for: how long an operator or a change may keep a node out of rotation.
        gpu_celsius: temperature of any sensor of a GPU.
        gpu_memory_share: share of a card's own memory in use.
        gpu_throttled_share: share of a quarter of an hour in which heat or a power supply slows a GPU.
        queue_length: pieces of work that wait or run on one engine.
        queue_still_for: how long a queue may stand still.
        truncated: answers cut in their middle in a quarter of an hour.
        users_share: share of the users' objective from which on more capacity is due.
        disk_share: share of a file system in use.
        disk_ahead: how far ahead a full disk is foretold.
        inodes_share: share of a file system's inodes in use.
        memory_share: share of a machine's memory in use.
        clock_seconds: how wrong a clock may be.
        certificate_ahead: how long before its end a certificate must be renewed.
        update_age: how long ago a node's last change may be.
        backup_age: how old a backup may be.
        restore_test_age: how long ago a restore was last tried.
    """

    without: tuple[str, ...]
    down_for: str
    ill_for: str
    odd_for: str
    differ_for: str
    left_out_for: str
    gpu_celsius: int
    gpu_memory_share: float
    gpu_throttled_share: float
    queue_length: int
    queue_still_for: str
    truncated: int
    users_share: float
    disk_share: float
    disk_ahead: str
    inodes_share: float
    memory_share: float
    clock_seconds: float
    certificate_ahead: str
    update_age: str
    backup_age: str
    restore_test_age: str

    def words(self) -> dict[str, str]:
        """Every limit as rules write it: a length of time is given in seconds, too, as NAME_seconds."""
        limits = dataclasses.asdict(self)
        words = {name: str(value) for name, value in limits.items() if name != "without"}
        return words | {f"{name}_seconds": str(seconds(value)) for name, value in words.items() if spelt(value)}


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def spelt(text: str) -> bool:
    """Whether it is such a duration as `seconds` reads."""
    return re.fullmatch(rf"[1-9][0-9]*[{''.join(_UNITS)}]", text) is not None


def seconds(duration: str) -> int:
    """Read one of Prometheus' durations, of a single unit from s to w."""
    return int(duration[:-1]) * _UNITS[duration[-1]]


def nonsense(limits: Thresholds) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    for item in dataclasses.fields(limits):
        value, where = getattr(limits, item.name), f"alerts.{item.name}"
        if isinstance(value, str) and not spelt(value):
            yield f"{where} is {value!r}", "Write it like 15m."
        if isinstance(value, int | float) and value <= 0:
            yield f"{where} is {value}", "Write more than 0."
        if item.name.endswith("_share") and not 0 < value < 1:
            yield f"{where} is {value}", "Write a share between 0 and 1, like 0.9."
