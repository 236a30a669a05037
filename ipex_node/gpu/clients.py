"""What the users of GPUs take of them: the kernel's account of every open render node, in /proc/PID/fdinfo.

Format and meaning of the keys: Linux' Documentation/gpu/drm-usage-stats.rst, drivers/gpu/drm/i915/
i915_drm_client.c (nanoseconds per engine) and drivers/gpu/drm/xe/xe_drm_client.c (cycles per engine, beside the
cycles that the GPU's own clock has made).

Foreign processes show their fdinfo to CAP_SYS_PTRACE (Linux 5.14 on, fs/proc/fd.c), and with it alone not the
directory `fd` beside it, which its owner's permissions guard: so it is not asked which descriptors are
render nodes, their fdinfo says it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RECHECK = 4
"""A descriptor that was none of a GPU is read again in one of so many rounds: its number may have a new owner."""
_LARGEST = 64 * 1024
"""Bytes of one fdinfo; the drivers write less than 3 KiB."""
_VALUE = re.compile(rb"([0-9]{1,20})(?: (ns|KiB|MiB))?")
_UNITS = {b"": 1, b"ns": 1, b"KiB": 1024, b"MiB": 1024 * 1024}
# The xe driver's names of engine classes (xe_hw_engine.c) in the words of i915 (uabi_class_names), so that one
# expression serves both; and i915's name of a card's own memory in the words of xe.
ENGINES = {"rcs": "render", "bcs": "copy", "vcs": "video", "vecs": "video-enhance", "ccs": "compute"}
_MEMORY = re.compile(r"local(\d)")


@dataclass(frozen=True)
class Work:
    """How long one client has kept one class of engines busy.

    Attributes:
        done: Nanoseconds; or cycles, where there is a clock.
        clock: Cycles of the GPU's own clock at that moment; none where `done` is time.
    """

    done: int
    clock: int | None = None


@dataclass(frozen=True)
class Client:
    """One open render node, however many descriptors and processes share it.

    Attributes:
        pci_slot: The GPU.
        number: The kernel's number of this client, unique per GPU.
        work: Engine class to what was done there.
        capacity: Engine class to its number of engines, where there is more than one.
        resident: Memory region to bytes in it.
        shared: Memory region to bytes that other clients hold, too.
    """

    pci_slot: str
    number: int
    work: dict[str, Work] = field(default_factory=dict)
    capacity: dict[str, int] = field(default_factory=dict)
    resident: dict[str, int] = field(default_factory=dict)
    shared: dict[str, int] = field(default_factory=dict)


def region(name: str) -> str:
    """Return a memory region's name in the words of xe."""
    return _MEMORY.sub(r"vram\1", name) if name.startswith("local") else name


def parse(fdinfo: bytes) -> Client | None:
    """Read one fdinfo; none where it is no GPU's, or does not say whose."""
    if b"drm-pdev:" not in fdinfo:
        return None
    said = {key: value.strip() for key, _, value in (line.partition(b":") for line in fdinfo.splitlines())}
    number = _number(said.get(b"drm-client-id", b""))
    slot = said[b"drm-pdev"].decode(errors="replace") if b"drm-pdev" in said else ""
    if number is None or not slot:
        return None
    client = Client(slot, number)
    for key, value in said.items():
        if key.startswith(b"drm-"):
            _account(client, key.decode(errors="replace"), value, said)
    return client


def _account(client: Client, key: str, value: bytes, said: dict[bytes, bytes]) -> None:
    """Enter one key of the account."""
    for prefix, enter in _KEYS:
        if key.startswith(prefix):
            number = _number(value)
            if number is not None:
                enter(client, key.removeprefix(prefix), number, said)
            return


def _capacity(client: Client, engine: str, engines: int, _said: dict[bytes, bytes]) -> None:
    client.capacity[ENGINES.get(engine, engine)] = max(1, engines)


def _nanoseconds(client: Client, engine: str, nanoseconds: int, _said: dict[bytes, bytes]) -> None:
    client.work[ENGINES.get(engine, engine)] = Work(nanoseconds)


def _cycles(client: Client, engine: str, cycles: int, said: dict[bytes, bytes]) -> None:
    clock = _number(said.get(b"drm-total-cycles-" + engine.encode(), b""))
    if clock is not None:
        client.work[ENGINES.get(engine, engine)] = Work(cycles, clock)


def _resident(client: Client, name: str, size: int, _said: dict[bytes, bytes]) -> None:
    client.resident[region(name)] = size


def _shared(client: Client, name: str, size: int, _said: dict[bytes, bytes]) -> None:
    client.shared[region(name)] = size


# In this order: a capacity begins like an engine.
_KEYS: tuple[tuple[str, Callable[[Client, str, int, dict[bytes, bytes]], None]], ...] = (
    ("drm-engine-capacity-", _capacity),
    ("drm-engine-", _nanoseconds),
    ("drm-cycles-", _cycles),
    ("drm-resident-", _resident),
    ("drm-shared-", _shared),
)


def _number(value: bytes) -> int | None:
    found = _VALUE.fullmatch(value)
    return int(found[1]) * _UNITS[found[2] or b""] if found else None


class Descriptors:
    """Finds the clients of all GPUs among the descriptors of all processes.

    Args:
        procfs: Where procfs is, /proc on a real machine.
    """

    def __init__(self, procfs: Path) -> None:
        self._procfs = str(procfs)
        self._others: dict[str, set[str]] = {}
        self._round = 0
        self.read = 0
        self.refused = 0

    def clients(self) -> list[Client]:
        """Read what every process has open; `read` and `refused` count the processes of this round."""
        self._round += 1
        self.read = self.refused = 0
        known, self._others = self._others, {}
        found: dict[tuple[str, int], Client] = {}
        for pid in _listed(self._procfs):
            if not pid.isdigit():
                continue
            try:
                descriptors = os.listdir(f"{self._procfs}/{pid}/fdinfo")  # noqa: PTH208 - some hundred times a round
            except PermissionError:
                self.refused += 1
                continue
            except OSError:
                continue  # it has ended
            self.read += 1
            for client in self._of(pid, descriptors, known.get(pid, set())):
                found.setdefault((client.pci_slot, client.number), client)
        return list(found.values())

    def _of(self, pid: str, descriptors: list[str], known: set[str]) -> Iterator[Client]:
        others = self._others.setdefault(pid, set())
        for index, name in enumerate(descriptors):
            if name in known and (index + self._round) % RECHECK:
                others.add(name)
                continue
            fdinfo = _read(f"{self._procfs}/{pid}/fdinfo/{name}")
            client = parse(fdinfo)
            if client:
                yield client
            elif fdinfo:
                others.add(name)


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - as above
    except OSError:
        return []


def _read(path: str) -> bytes:
    """Read a file in one go; nothing where the process has ended or closed it meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _LARGEST)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
