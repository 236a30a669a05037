"""`ipex-node backup-verify`: read a part of all that is kept again each night, so that rot is found within days."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Any

from ipex_node.backups import models, retention, state
from ipex_node.backups.restic import Restic
from ipex_node.backups.run import wanted
from ipex_node.failure import FailedError, Failure
from ipex_node.world import progress

if TYPE_CHECKING:
    from pathlib import Path

    from ipex_node.backups.settings import Backup
    from ipex_node.backups.state import State
    from ipex_node.world import World

_CHUNK = 2**22
_DAY = 86400


def verify(world: World, *, everything: bool = False) -> dict[str, Any]:
    """Read what is due, and compare; let the repository do the same with a part, and forget what is too old.

    Args:
        world: The node.
        everything: Read all, whatever is due.
    """
    how = wanted(world)
    place = world.paths.on_node(str(how.place))
    today = int(time.time() // _DAY)
    with state.alone(place, how.wait_seconds):
        there = state.load(place)
        read = _blobs(how, place, there, today, everything=everything)
        failures = [Failure(blob, said, _cure(how, place, blob)) for blob, said in there.rotten.items()]
        failures += _repository(how, place, there, today, everything=everything)
        there.verified = time.time()
        state.save(place, there)
    return {
        "ok": not failures,
        "failures": [failure.as_json() for failure in failures],
        "verified_blobs": len(read),
        "rotten_blobs": sorted(there.rotten),
    }


def seen(path: Path, blob: str) -> str:
    """Read a blob from the disk; say what is wrong with it, or nothing."""
    try:
        found = digest(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if f"sha256-{found}" == blob else f"its content has the digest {found[:16]}... by now"


def digest(path: Path) -> str:
    """Return the digest of a file as the disk has it, and leave the memory to those who use it.

    What is cached would be compared with itself (posix_fadvise(2), POSIX_FADV_DONTNEED).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        found = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            found.update(chunk)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return found.hexdigest()


def _blobs(how: Backup, place: Path, there: State, today: int, *, everything: bool) -> list[str]:
    """Read the blobs that are due, and note what was seen of each."""
    kept = models.all_blobs(place, (one.name for one in how.services if one.models))
    there.seen = {blob: there.seen.get(blob, today - how.verify_days) for blob in kept}
    there.rotten = {blob: said for blob, said in there.rotten.items() if blob in kept}
    sizes = {blob: size for blob, (_, size) in kept.items()}
    due = list(kept) if everything else retention.due(sizes, there.seen, today, how.verify_days)
    # What was bad is looked at again each night: it may have been mended.
    due = list(dict.fromkeys([*due, *there.rotten]))
    right = set(there.right) & set(kept)
    for number, blob in enumerate(due, 1):
        progress(f"verify {number} of {len(due)}: {blob[:19]} ({sizes[blob] / 2**20:.1f} MiB)")
        said = seen(kept[blob][0], blob)
        there.seen[blob] = today
        there.rotten.pop(blob, None)
        if said:
            there.rotten[blob] = said
        right = right - {blob} if said else right | {blob}
    there.right = sorted(right)
    return due


def _repository(how: Backup, place: Path, there: State, today: int, *, everything: bool) -> list[Failure]:
    """Let restic read its part of tonight, and forget what is too old."""
    if how.repository is None or not there.repository:
        return []
    restic = Restic(how.repository, how.node, place / "cache")
    part, parts = (1, 1) if everything else (today % how.verify_days + 1, how.verify_days)
    progress(f"verify {part} of {parts} parts of {restic.url}")
    there.repository_failure = ""
    try:
        restic.check(part, parts)
        # Only what is whole is thinned out: the last good copy may be an old one.
        restic.forget(dict(how.keep))
    except FailedError as error:
        there.repository_failure = str(error)
        return list(error.failures)
    return []


def _cure(how: Backup, place: Path, blob: str) -> str:
    names = sorted(
        {
            model.name
            for kept in how.services
            if kept.models
            for one in models.snapshots(place, kept.name)[-1:]
            for model in one.models()
            if blob in model.blobs
        }
    )
    of = f"model {', '.join(names)}" if names else "a model that only older snapshots have"
    return (
        f"it belongs to {of}: look at the disk, remove the model and pull it again, or restore it from the repository"
    )
