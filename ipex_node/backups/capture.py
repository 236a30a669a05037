"""What cannot be downloaded again, as of one moment, as one tree for restic.

The tree is made of second names of the same files: nothing is copied but SQLite's databases, by SQLite itself, and
manifests. Engines go on working.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from ipex_node import files, foreign
from ipex_node.backups import manifests
from ipex_node.failure import FailedError, Failure, failed

if TYPE_CHECKING:
    from pathlib import Path

    from ipex_node.backups.models import Snapshot
    from ipex_node.backups.settings import Kept

MODELS = "models"
"""Folder of a service's tree with the models that no registry has, in the form of Ollama's own store."""
DATA = "data"
"""Folder of a service's tree with the items that data name."""
RESERVE_BYTES = 256 * 2**20
"""Room that must be left on the disk whatever its size."""
_FULL = {errno.ENOSPC, errno.EDQUOT}


def tree(place: Path) -> Path:
    """Return where the tree stands; the same each time, so that restic knows what has not changed."""
    return place / "staging"


def require_room(place: Path, share: float, needed: int) -> None:
    """Require that so many bytes fit, and the share that must stay free.

    Raises:
        FailedError: They do not.
    """
    disk = os.statvfs(place)
    free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    wanted = needed + max(int(total * share), RESERVE_BYTES)
    if free < wanted:
        why = f"{_mib(free)} are free; {_mib(wanted)} are wanted, of which {_mib(needed)} would be written"
        raise failed(str(place), why, f"free {_mib(wanted - free)}: ipex-node cleanup --dry says of what")


def failures_of(error: FailedError | OSError, place: Path) -> tuple[Failure, ...]:
    """Return what a person is told of an error: also of a disk that somebody fills while it is written to."""
    if isinstance(error, FailedError):
        return error.failures
    cure = "free some: ipex-node cleanup --dry says of what" if error.errno in _FULL else "look at it"
    return (Failure(str(error.filename or place), f"cannot be written: {error.strerror or error}", cure),)


def _mib(amount: float) -> str:
    return f"{amount / 2**20:.0f} MiB"


def databases(state: Path, kept: Kept) -> int:
    """Return the bytes of what is copied of a service: a bound for its databases; all else is a second name.

    Raises:
        FailedError: Something cannot be read.
    """
    total = 0
    for item in kept.items:
        path = state / item
        if path.suffix in {".db", ".sqlite", ".sqlite3"} and path.is_file() and not path.is_symlink():
            total += path.stat().st_size
    return total


def stage(state: Path, place: Path, kept: Kept) -> None:
    """Put a service's items into the tree.

    Raises:
        FailedError: Something cannot be kept.
    """
    target = tree(place) / kept.name / DATA
    _make(target)
    failures: list[Failure] = []
    for item in kept.items:
        try:
            _stage_one(state, target, item)
        except FileNotFoundError:
            continue  # an engine makes it when it needs it
        except FailedError as error:
            failures += error.failures
        except OSError as error:
            cure = "backup.place must lie on the service's file system" if error.errno == errno.EXDEV else "look at it"
            failures.append(Failure(f"{state}/{item}", f"cannot be kept: {error}", cure))
    if failures:
        raise FailedError(*failures)


def stage_models(place: Path, kept: Kept, snapshot: Snapshot) -> None:
    """Put the models that no registry has into the tree, each with all its blobs."""
    target = tree(place) / kept.name / MODELS
    for model in manifests.irreplaceable(snapshot.models(), kept):
        path = target / "manifests" / model.path
        _make(path.parent)
        files.copy(snapshot.path / "manifests" / model.path, path)
        _make(target / "blobs")
        with foreign.directory(snapshot.path / "blobs") as source, foreign.directory(target / "blobs") as blobs:
            for blob in set(model.blobs) - set(foreign.entries(blobs)):
                foreign.link(source, blobs, blob)


def _stage_one(state: Path, target: Path, item: str) -> None:
    folder, _, name = item.rpartition("/")
    with foreign.below(state, folder) as source:
        if name not in foreign.entries(source):
            return
        _make(target / folder)
        with foreign.directory(target / folder) as place:
            beside = [name + suffix for suffix in foreign.BESIDE]
            foreign.Copy(live=True, linked=True).items(source, place, [name, *beside])


def _make(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
