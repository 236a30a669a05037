"""What the lab has started and changed on this machine, so that all of it can be undone, even after a crash."""

import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

STATE = Path("/var/lib/ipex-lab")
"""Everything that `down` removes: node disks, keys, the ledger."""

CACHE = Path("/var/cache/ipex-lab")
"""What was downloaded: Debian trees and packages. Only `down --cache` removes it."""

LOCK = Path("/run/ipex-lab.lock")
"""Held by `up` and `down`; outside STATE because `down` removes that while holding it."""


class LabError(Exception):
    """The lab cannot go on; the message says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Process:
    """One process for certain: a pid alone may have been given to another program since.

    Attributes:
        pid: Process id in the machine's namespace.
        start: Start time in clock ticks after boot (proc(5), /proc/PID/stat field 22).
        machine_boot: The kernel's boot id, since ticks start again at every boot.
    """

    pid: int
    start: int
    machine_boot: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """Describe a process that exists now; raises LabError when it has already ended."""
        start = start_time(pid)
        if start is None:
            raise LabError(f"process {pid} ended as soon as it was started; its log says why")
        return cls(pid, start, machine_boot())

    @classmethod
    def launch(cls, command: list[str], log: Path, environment: Mapping[str, str]) -> Self:
        """Start a process that outlives this one, with what it says in a file."""
        with log.open("w") as output:
            started = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
                env=environment,
            )
        return cls.of(started.pid)

    def alive(self) -> bool:
        """Tell whether this very process still runs; a zombie does not."""
        return self.machine_boot == machine_boot() and start_time(self.pid) == self.start

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal, if the process still is the one that was recorded."""
        if self.alive():
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait until the process is gone, at most that many seconds; tell whether it is."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def machine_boot() -> str:
    """Return the identity of this boot of the machine (random(4), boot_id)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """Return a living process's start time in clock ticks, None for none or a zombie (proc(5))."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name may hold spaces and parentheses; it ends at the last one.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass
class NodeRecord:
    """A node as it was booted: its inventory data, its container's process, the tree under its disk."""

    address: str
    roles: list[str]
    ssh_user: str
    tree: str
    process: Process | None = None

    def running(self) -> bool:
        """Tell whether the node's container runs."""
        return self.process is not None and self.process.alive()


@dataclass
class Ledger:
    """Everything to undo.

    Attributes:
        nodes: Node name to its record.
        mirror: The package mirror's process.
        kernel_limits: /proc/sys path to the value that stood there before the lab raised it.
        made_netns_directory: Whether /run/netns did not exist before.
    """

    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    mirror: Process | None = None
    kernel_limits: dict[str, str] = field(default_factory=dict)
    made_netns_directory: bool = False

    @classmethod
    def load(cls) -> Self:
        """Read the ledger; an absent one is empty, a damaged one an error."""
        path = STATE / "state.json"
        if not path.exists():
            return cls()
        try:
            data = json.loads(path.read_text())
            return cls(
                nodes={name: _node_record(row) for name, row in data["nodes"].items()},
                mirror=_process(data["mirror"]),
                kernel_limits=data["kernel_limits"],
                made_netns_directory=data["made_netns_directory"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(f"{path} cannot be read ({error}); remove it and run `python -m lab down`") from error

    def save(self) -> None:
        """Write the ledger; a crash leaves the old or the new one."""
        path = STATE / "state.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        fresh.replace(path)


def _process(row: dict[str, int | str] | None) -> Process | None:
    if row is None:
        return None
    return Process(int(row["pid"]), int(row["start"]), str(row["machine_boot"]))


def _node_record(row: dict[str, object]) -> NodeRecord:
    process = _process(row.pop("process"))  # type: ignore[arg-type]  # JSON has no types; save() wrote this
    return NodeRecord(**row, process=process)  # type: ignore[arg-type]  # as above


@contextmanager
def lock() -> Iterator[None]:
    """Hold the lab's lock: two `up` at once would both boot the same node."""
    with LOCK.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
