"""What a restore brings: from the snapshots of the node's own models, and from a node's repository."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ipex_node import files, foreign
from ipex_node.backups import capture, manifests, models, verify
from ipex_node.backups.exchange import NEW, Move
from ipex_node.backups.restic import Restic
from ipex_node.backups.run import state_of
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipex_node.backups.models import Snapshot
    from ipex_node.backups.settings import Backup, Kept
    from ipex_node.world import World

_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True)
class Plan:
    """What a restore would bring, and what it would overwrite.

    Attributes:
        work: A directory of root's own beside the state directory, in which everything is made ready.
        brings: `what`, `bytes` and `made`, when it was kept, of each part.
        overwrites: Paths that are there and would be exchanged.
        snapshot: The snapshot of models; none where none comes.
        kept: restic's name of what comes from the repository; empty where nothing does.
        items: Items that come from the repository.
        has_models: Whether models come from the repository.
        bytes: What is written.
    """

    work: Path
    brings: tuple[dict[str, Any], ...]
    overwrites: tuple[str, ...]
    snapshot: Snapshot | None = None
    kept: str = ""
    items: tuple[str, ...] = ()
    has_models: bool = False
    bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return what a person or a task is told."""
        return {"brings": list(self.brings), "overwrites": list(self.overwrites)}


@dataclass
class _Found:
    """What the repository has of a service."""

    kept: str = ""
    made: str = ""
    items: dict[str, int] = field(default_factory=dict)
    models: int = 0


def planned(world: World, how: Backup, kept: Kept, origin: str, at: str) -> Plan:
    """Look at what there is.

    Raises:
        FailedError: Nothing is kept of it, or the service has no state directory yet.
    """
    state = state_of(world.paths, kept.name)
    if not state.is_dir():
        raise failed(str(state), "is not there", f"start {kept.unit} once: systemd makes it and says whose it is")
    there = world.paths.on_node(str(how.place))
    snapshot = _snapshot(there, kept, at) if kept.models and origin == how.node else None
    found = _in_repository(how, kept, there, origin, at) if how.repository else _Found()
    brings = [{"what": item, "bytes": size, "made": found.made} for item, size in found.items.items()]
    if found.models:
        brings.append({"what": "models made here", "bytes": found.models, "made": found.made})
    if snapshot:
        what = f"{len(snapshot.models())} models"
        brings.append({"what": what, "bytes": sum(snapshot.blobs.values()), "made": snapshot.name})
    if not brings:
        moment = f" up to {at}" if at else ""
        raise failed(
            kept.name, f"nothing is kept of {origin}'s{moment}", "ipex-node status says when backups were made"
        )
    comes = [*found.items, *([kept.models] if snapshot or found.models else [])]
    return Plan(
        work=state.parent / f".ipex-restore-{kept.name}",
        brings=tuple(brings),
        overwrites=tuple(str(state / item) for item in comes if (state / item).exists()),
        snapshot=snapshot,
        kept=found.kept,
        items=tuple(found.items),
        has_models=bool(found.models),
        bytes=sum(found.items.values()) + found.models,
    )


class Fetch:
    """Makes everything ready beside the service's data, and sees that it is whole."""

    def __init__(self, world: World, how: Backup, kept: Kept, plan: Plan) -> None:
        self._how, self._kept, self._plan = how, kept, plan
        self._state = state_of(world.paths, kept.name)
        self._place = world.paths.on_node(str(how.place))
        self._new = plan.work / NEW

    def bring(self) -> list[Move]:
        """Bring all, check all, and say what is to be moved.

        Raises:
            FailedError: Every thing that is not whole; there is no room; the repository cannot be reached.
        """
        files.remove_tree(self._plan.work)
        files.make_private_directory(self._plan.work)
        capture.require_room(self._plan.work, 0.0, self._plan.bytes)
        self._new.mkdir(mode=0o700)
        if self._plan.kept:
            self._from_repository()
        if self._plan.snapshot:
            self._add_models(self._plan.snapshot.path)
        failures = [*self._rotten(), *self._damaged()]
        if failures:
            raise FailedError(*failures)
        _give(self._new, self._state)
        return list(self._moves())

    def _from_repository(self) -> None:
        repository = self._how.repository
        if repository is None:
            return
        url, _, snapshot = self._plan.kept.rpartition("#")
        restic = Restic(repository, url, self._place / "cache")
        unpacked = self._plan.work / "unpacked"
        restic.restore(snapshot, f"{capture.tree(self._place)}/{self._kept.name}", unpacked)
        for item in self._plan.items:
            target = self._new / item
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            (unpacked / capture.DATA / item).rename(target)
        if self._plan.has_models:
            self._add_models(unpacked / capture.MODELS)

    def _add_models(self, source: Path) -> None:
        """Lay models over those that are there: what has come since the backup stays."""
        target = self._new / self._kept.models
        if not target.exists():
            self._present_models(target)
        with foreign.directory(source / "blobs") as old, foreign.directory(target / "blobs") as new:
            for blob in foreign.entries(old):
                foreign.remove(new, blob)
                foreign.link(old, new, blob)
        for model in manifests.listed(source / "manifests")[0]:
            path = target / "manifests" / model.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            files.copy(source / "manifests" / model.path, path)

    def _present_models(self, target: Path) -> None:
        folder = self._kept.models
        for part in ("manifests", "blobs"):
            (target / part).mkdir(parents=True, exist_ok=True)
            try:
                with foreign.below(self._state, f"{folder}/{part}") as old, foreign.directory(target / part) as new:
                    foreign.Copy(live=False, linked=part == "blobs").items(old, new, foreign.entries(old))
            except FileNotFoundError:
                continue

    def _rotten(self) -> Iterator[Failure]:
        """Read every blob that comes, and see that each that a model names is there."""
        if not self._kept.models or not (self._new / self._kept.models).is_dir():
            return
        store = self._new / self._kept.models
        wanted = {blob for model in self._coming() for blob in model.blobs}
        for number, blob in enumerate(sorted(wanted), 1):
            progress(f"check {number} of {len(wanted)}: {blob[:19]}")
            if said := verify.seen(store / "blobs" / blob, blob):
                yield Failure(blob, said, "take an older snapshot, with --at, or pull the model again")

    def _coming(self) -> Iterator[manifests.Model]:
        if self._plan.snapshot:
            yield from self._plan.snapshot.models()
        if self._plan.has_models:
            yield from manifests.listed(self._plan.work / "unpacked" / capture.MODELS / "manifests")[0]

    def _damaged(self) -> Iterator[Failure]:
        """Let SQLite check the databases that come."""
        for item in self._plan.items:
            yield from damaged(self._new / item)

    def _moves(self) -> Iterator[Move]:
        models_come = bool(self._plan.snapshot or self._plan.has_models)
        for item in (*self._plan.items, *([self._kept.models] if models_come else [])):
            yield Move(item, brings=True)
            if (self._new / item).is_file():
                # What SQLite has beside the old database belongs to that one.
                yield from (Move(item + suffix, brings=False) for suffix in foreign.BESIDE)


def damaged(path: Path) -> Iterator[Failure]:
    """Yield every SQLite database of a tree that SQLite finds damaged."""
    paths = [path] if path.is_file() else sorted(path.rglob("*"))
    for one in paths:
        if one.is_symlink() or not one.is_file() or not _is_database(one):
            continue
        try:
            with closing(sqlite3.connect(f"file:{one}?mode=ro&immutable=1", uri=True)) as database:
                said = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            said = str(error)
        if said != "ok":
            yield Failure(str(one), f"is a damaged database: {said}", "take an older backup, with --at")


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _snapshot(place: Path, kept: Kept, at: str) -> Snapshot | None:
    there = [one for one in models.snapshots(place, kept.name) if not at or one.name <= at]
    return there[-1] if there else None


def _in_repository(how: Backup, kept: Kept, place: Path, origin: str, at: str) -> _Found:
    """Ask the repository of a node what it has of a service."""
    if how.repository is None:
        return _Found()
    restic = Restic(how.repository, origin, place / "cache")
    there = [one for one in restic.snapshots() if not at or _stamp(str(one["time"])) <= at]
    if not there:
        return _Found()
    last = there[-1]
    folder = f"{capture.tree(place)}/{kept.name}"
    found = _Found(f"{origin}#{last['id']}", _stamp(str(last["time"])))
    for entry in restic.paths(last["id"], folder):
        path, size = str(entry["path"]).removeprefix(f"{folder}/"), int(entry.get("size") or 0)
        if path.startswith(f"{capture.MODELS}/"):
            found.models += size
        for item in kept.items:
            if path == f"{capture.DATA}/{item}" or path.startswith(f"{capture.DATA}/{item}/"):
                found.items[item] = found.items.get(item, 0) + size
    return found


def _stamp(moment: str) -> str:
    """Write restic's time as snapshots are named."""
    return moment[:19].replace(":", "-") + "Z"


def _give(tree: Path, state: Path) -> None:
    """Give a tree to whom the service's state directory belongs.

    With DynamicUser=yes and an id-mapped mount that is nobody:nogroup on the disk (systemd.exec(5)); it is never
    guessed.
    """
    owner = state.stat()
    for _, folders, names, place in os.fwalk(tree):
        for name in (*folders, *names):
            os.chown(name, owner.st_uid, owner.st_gid, dir_fd=place, follow_symlinks=False)
