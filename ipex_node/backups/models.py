"""Snapshots of a model store: its manifests, and a second name of each blob that they name. No service is stopped.

A blob is named by its own content and never changes, so a snapshot needs no bytes and takes no time. What a second
name does not give is a second copy: a bad sector, or a service that writes into a blob, is seen in all snapshots. The
verification finds it.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipex_node import files, foreign
from ipex_node.backups import manifests, retention
from ipex_node.failure import FailedError, Failure, failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ipex_node.backups.manifests import Model

_COMPLETE = "complete.json"
_UNFINISHED = ".unfinished"
_SHARED = "snapshots are second names of the same bytes: backup.place must lie on the models' file system"


@dataclass(frozen=True)
class Store:
    """Where a service keeps its models; below its state directory all is its own, links included.

    Attributes:
        state: The service's state directory.
        folder: The store below it, with `manifests/` and `blobs/`.
    """

    state: Path
    folder: str

    def has(self, model: Model) -> bool:
        """Whether it has a model's manifest now."""
        return (self.state / self.folder / "manifests" / model.path).is_file()


@dataclass(frozen=True)
class Snapshot:
    """A complete snapshot of a service's models.

    Attributes:
        path: Where it lies: `manifests/` and `blobs/`.
        blobs: Name of each blob's file to its bytes.
    """

    path: Path
    blobs: Mapping[str, int]

    @property
    def name(self) -> str:
        """When it was taken; see `retention.STAMP`."""
        return self.path.name

    def models(self) -> list[Model]:
        """Return what models it holds."""
        return manifests.listed(self.path / "manifests")[0]


def directory(place: Path, service: str) -> Path:
    """Return where the snapshots of a service's models lie."""
    return place / "models" / service


def snapshots(place: Path, service: str) -> list[Snapshot]:
    """Return all complete snapshots, the oldest first."""
    found = (path.parent for path in sorted(directory(place, service).glob(f"*/{_COMPLETE}")))
    return [Snapshot(path, json.loads((path / _COMPLETE).read_bytes())) for path in found]


def all_blobs(place: Path, services: Iterable[str]) -> dict[str, tuple[Path, int]]:
    """Return every blob that is kept: its newest file, and its bytes."""
    return {
        blob: (one.path / "blobs" / blob, size)
        for service in services
        for one in snapshots(place, service)
        for blob, size in one.blobs.items()
    }


def take(store: Store, place: Path, service: str, moment: float) -> Snapshot:
    """Take a snapshot: manifests first, then the blobs they name; what is named and not there is a failure.

    A model that is pulled meanwhile only adds blobs; one that is removed meanwhile is left out.

    Args:
        store: The model store of the service.
        place: Where snapshots lie.
        service: Whose they are.
        moment: Now, seconds since 1970.

    Raises:
        FailedError: Every manifest that cannot be read, and every model that lacks a blob; nothing new was kept.
    """
    fresh = directory(place, service) / _UNFINISHED
    files.remove_tree(fresh)
    files.make_private_directory(directory(place, service))
    fresh.mkdir(mode=0o700)
    try:
        blobs = _filled(store, fresh)
        files.write(fresh / _COMPLETE, json.dumps(blobs, sort_keys=True).encode())
        target = directory(place, service) / retention.stamp(moment)
        files.remove_tree(target)
        fresh.rename(target)
        files.sync_directory(target.parent)
    except BaseException:
        files.remove_tree(fresh)
        raise
    return Snapshot(target, blobs)


def prune(place: Path, service: str, keep: Mapping[str, int], right: Iterable[str]) -> list[str]:
    """Remove the snapshots that retention does not keep, and return their names.

    Args:
        place: Where snapshots lie.
        service: Whose they are.
        keep: See `retention.kept`.
        right: Blobs of which every byte was seen to be right.
    """
    there, good = {one.name: one for one in snapshots(place, service)}, set(right)
    verified = [name for name, one in there.items() if set(one.blobs) <= good]
    gone = sorted(set(there) - retention.kept(there, keep, verified))
    for name in gone:
        # First what makes it complete: one that is half removed is none.
        (there[name].path / _COMPLETE).unlink()
        files.remove_tree(there[name].path)
    return gone


def held_alone(place: Path, service: str) -> int:
    """Return the bytes that only snapshots hold: the engine has removed these blobs."""
    seen: dict[int, tuple[int, int, int]] = {}
    for one in snapshots(place, service):
        for blob in one.blobs:
            status = (one.path / "blobs" / blob).stat()
            number = seen.get(status.st_ino, (0, 0, 0))[0] + 1
            seen[status.st_ino] = (number, status.st_nlink, status.st_size)
    return sum(size for number, links, size in seen.values() if number == links)


def _filled(store: Store, fresh: Path) -> dict[str, int]:
    """Fill a snapshot, and return its blobs.

    Raises:
        FailedError: It would not be whole.
    """
    models, failures = _fill(store, fresh)
    failures += _lacking(fresh, models)
    if failures:
        raise FailedError(*failures)
    return {blob: size for model in models for blob, size in model.blobs.items()}


def _fill(store: Store, fresh: Path) -> tuple[list[Model], list[Failure]]:
    """Copy the manifests and link the blobs; a model that has gone meanwhile is left out again."""
    (fresh / "blobs").mkdir(mode=0o700)
    (fresh / "manifests").mkdir(mode=0o700)
    try:
        with foreign.below(store.state, store.folder) as source, foreign.directory(fresh) as target:
            if "manifests" in foreign.entries(source):
                with foreign.directory("manifests", source) as old, foreign.directory("manifests", target) as new:
                    foreign.Copy(live=False).items(old, new, foreign.entries(old))
            models, failures = manifests.listed(fresh / "manifests")
            if models:
                with foreign.directory("blobs", source) as old, foreign.directory("blobs", target) as new:
                    for blob in dict.fromkeys(blob for model in models for blob in model.blobs):
                        _link(old, new, blob)
    except OSError as error:
        cure = _SHARED if error.errno == errno.EXDEV else "look at what it names"
        raise failed(str(store.state / store.folder), f"cannot be kept: {error}", cure) from error
    gone = [one for one in models if set(_missing(fresh, one)) and not store.has(one)]
    for one in gone:
        (fresh / "manifests" / one.path).unlink()
    return [one for one in models if one not in gone], failures


def _link(source: int, target: int, blob: str) -> None:
    try:
        foreign.link(source, target, blob)
    except FileNotFoundError:
        return  # told of by `_lacking`, with the model that names it


def _missing(fresh: Path, model: Model) -> list[str]:
    return [blob for blob in model.blobs if _size(fresh / "blobs" / blob) is None]


def _size(path: Path) -> int | None:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return None


def _lacking(fresh: Path, models: Iterable[Model]) -> list[Failure]:
    """Name every model that lacks a blob, or has one of another size."""
    return [
        Failure(f"model {model.name}", f"names {blob}, which {_seen(fresh / 'blobs' / blob, size)}", _cure(model))
        for model in models
        for blob, size in model.blobs.items()
        if _size(fresh / "blobs" / blob) != size
    ]


def _seen(path: Path, size: int) -> str:
    there = _size(path)
    return "is not there" if there is None else f"has {there} bytes instead of {size}"


def _cure(model: Model) -> str:
    return f"let Ollama pull or create {model.name} again, or remove it"
