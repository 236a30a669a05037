"""What backups remember: when each byte was last seen to be right, and what the last restore test has said."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from ipex_node import border, files
from ipex_node.failure import failed
from ipex_node.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipex_node.paths import Paths

PLACE = "/var/lib/ipex-backup"
_LOOK_SECONDS = 1.0


@dataclass
class State:
    """What is remembered from one run to the next.

    Attributes:
        repository: The repository that this node has made, so that one that is gone is never taken for a new one.
        bytes: Backup to the bytes that its last one holds.
        seen: Blob to the number of the day on which it was last seen to be right, or was first met.
        right: Blobs that were read at least once and were right.
        rotten: Blob to what was seen, of those that are not what their name says.
        verified: When bytes were last read again, seconds since 1970.
        tested: When a restore test has last succeeded, seconds since 1970.
        test_failed: Why the last restore test has failed.
    """

    repository: str = ""
    bytes: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    right: list[str] = field(default_factory=list)
    rotten: dict[str, str] = field(default_factory=dict)
    repository_failure: str = ""
    verified: float = 0.0
    tested: float = 0.0
    test_failed: str = ""


def _file(place: Path) -> Path:
    return place / "state.json"


def load(place: Path) -> State:
    """Return what is remembered; nothing where it cannot be read: then all is verified anew."""
    try:
        return State(**border.parse(_file(place).read_bytes()))
    except (OSError, ValueError, TypeError):
        return State()


def save(place: Path, state: State) -> None:
    """Remember."""
    files.write(_file(place), json.dumps(asdict(state)).encode(), mode=0o600)


@contextmanager
def alone(place: Path, seconds: float) -> Iterator[None]:
    """Hold the lock of backups: one backup, verification, test or restore at a time.

    Raises:
        FailedError: Another one did not end in time.
    """
    files.make_private_directory(place)
    descriptor = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    what = "another backup, verification, restore or restore test is at work"
                    raise failed("backups", what, "wait for it, then try again") from error
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def samples(paths: Paths) -> Iterator[Sample]:
    """Yield what monitors are told beside age and result; nothing on a node without backups of this program."""
    place = paths.on_node(PLACE)
    if not _file(place).exists():
        return
    there = load(place)
    for name, size in there.bytes.items():
        yield Sample("ipex_backup_bytes", {"backup": name}, float(size))
    if there.verified:
        yield Sample("ipex_backup_verified_timestamp_seconds", {}, there.verified)
        yield Sample("ipex_backup_verify_failures", {}, float(len(there.rotten) + bool(there.repository_failure)))
    if there.tested:
        yield Sample("ipex_backup_restore_test_timestamp_seconds", {}, there.tested)
    if there.tested or there.test_failed:
        yield Sample("ipex_backup_restore_test_failed", {}, float(bool(there.test_failed)))
