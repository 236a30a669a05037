"""What the engines have written to the journal since the last look."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import TYPE_CHECKING

from ipex_node import border

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Read = Callable[[Sequence[str]], bytes | None]

_SECONDS = 5.0
"""Longest one look may take."""
_LIMIT = 8 * 1024 * 1024
"""Most that one look takes in; the next one goes on from there."""


def read(command: Sequence[str]) -> bytes | None:
    """Run journalctl and return the beginning of what it says; none where it fails.

    It ends by itself, is cut off at the limit, or is killed at its time.
    """
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return None
    alarm = threading.Timer(_SECONDS, process.kill)
    alarm.start()
    with process:
        said = process.stdout.read(_LIMIT) if process.stdout else b""
        is_cut = len(said) == _LIMIT
        if is_cut:
            process.kill()
    alarm.cancel()
    return said if is_cut or process.returncode == 0 else None


class Journal:
    """Follows the journal of some units from the moment it is made.

    It begins anew with each start of this process: the counters do, too.

    Args:
        units: Names of services.
        read: Runs journalctl.
    """

    def __init__(self, units: Sequence[str], read: Read = read) -> None:
        # By the field and not with --unit, which would bring what systemd says of the unit.
        self._matches = [f"_SYSTEMD_UNIT={unit}" for unit in units]
        self._read = read
        self._answered = time.time()
        self._begin()

    def new(self) -> list[tuple[str, str]] | None:
        """Return units and the lines they have written; none where the journal does not answer."""
        if not self._matches:
            return []
        fields = "--output-fields=MESSAGE,_SYSTEMD_UNIT"
        asked = time.time()
        said = self._read(["journalctl", "--quiet", "--output=json", fields, self._place, *self._matches])
        if said is None:
            # Its place may be what is wrong: a cursor that the journal no longer understands.
            self._begin()
            return None
        self._answered = asked
        return list(self._lines(said))

    def _begin(self) -> None:
        # The next full second: better a line lost than one counted twice.
        self._place = f"--since=@{int(self._answered) + 1}"

    def _lines(self, said: bytes) -> Iterator[tuple[str, str]]:
        # What stands behind the last line end was cut off.
        for line in said.split(b"\n")[:-1]:
            entry = _entry(line)
            if entry is None:
                continue
            self._place = f"--after-cursor={entry.get('__CURSOR', '')}"
            unit, message = entry.get("_SYSTEMD_UNIT"), entry.get("MESSAGE")
            # journalctl writes what is no text as a list of numbers, and null for what is very long.
            if isinstance(unit, str) and isinstance(message, str):
                yield unit, message


def _entry(line: bytes) -> dict[str, object] | None:
    try:
        entry = border.parse(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.get("__CURSOR") else None
