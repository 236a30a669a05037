"""`ipex-node backup`: snapshots of all model stores, and what cannot be downloaded again into the repository."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ipex_node import backup as told
from ipex_node import files, settings, store
from ipex_node.backups import capture, models, state
from ipex_node.backups.restic import NoRepositoryError, Restic
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ipex_node.backups.models import Snapshot
    from ipex_node.backups.settings import Backup, Kept, Repository
    from ipex_node.paths import Paths
    from ipex_node.world import World

    Answer = dict[str, Any]

MODELS, DATA = "models", "data"
"""The backups of a node, as monitors are told of them."""


def wanted(world: World) -> Backup:
    """Return how this node is kept.

    Raises:
        FailedError: Its settings say nothing of it.
    """
    found = settings.load(world.paths.settings).backup
    if found is None:
        raise failed(str(world.paths.settings), "says nothing of backups", "set backup in data, then deploy")
    return found


def backup(world: World, *, dry: bool = False, new: bool = False) -> Answer:
    """Make both backups of this node; each counts for itself.

    Args:
        world: The node.
        dry: Only say what would be kept.
        new: Make the repository where there is none, though there was one before.
    """
    how = wanted(world)
    place = world.paths.on_node(str(how.place))
    if dry:
        return _foretold(world, how)
    with state.alone(place, how.wait_seconds):
        run = _Run(world, how, place)
        run.make(new=new)
    return run.answer()


def state_of(paths: Paths, service: str) -> Path:
    """Return a service's state directory, which lies below /var/lib/private (systemd.exec(5), DynamicUser=)."""
    private = paths.private / service
    return private if private.is_dir() else paths.on_node(f"/var/lib/{service}")


class _Run:
    """One backup of one node."""

    def __init__(self, world: World, how: Backup, place: Path) -> None:
        self._world = world
        self._how = how
        self._place = place
        self._failures: dict[str, list[Failure]] = {}
        self._told: Answer = {}
        self._bytes: dict[str, int] = {}

    def make(self, *, new: bool) -> None:
        """Capture under the node's lock; what is captured is brought away without it."""
        try:
            with store.awaited(self._world.paths, "backup", self._how.wait_seconds):
                self._capture()
        except (FailedError, OSError) as error:
            for name in self._names():
                self._failures.setdefault(name, []).extend(capture.failures_of(error, self._place))
        try:
            if self._how.repository and DATA not in self._failures:
                self._send(self._how.repository, new=new)
        except (FailedError, OSError) as error:
            self._failures.setdefault(DATA, []).extend(capture.failures_of(error, self._place))
        finally:
            files.remove_tree(capture.tree(self._place))
        self._remember()

    def answer(self) -> Answer:
        """Say what became of it."""
        failures = list({str(one): one for some in self._failures.values() for one in some}.values())
        answer = {"ok": not failures, "failures": [one.as_json() for one in failures], "dry": False}
        return {**answer, "backup_bytes": self._bytes, **self._told}

    def _names(self) -> list[str]:
        """Name the backups that this node has."""
        names = [MODELS] if any(kept.models for kept in self._how.services) else []
        return [*names, *([DATA] if self._how.repository else [])]

    def _capture(self) -> None:
        files.remove_tree(capture.tree(self._place))
        paths, services = self._world.paths, self._how.services
        needed = sum(capture.databases(state_of(paths, kept.name), kept) for kept in services)
        capture.require_room(self._place, self._how.free_share, needed)
        moment = time.time()
        for kept in services:
            snapshot = self._models(kept, moment) if kept.models else None
            if self._how.repository:
                self._stage(kept, snapshot)

    def _models(self, kept: Kept, moment: float) -> Snapshot | None:
        store = models.Store(state_of(self._world.paths, kept.name), kept.models)
        if not (store.state / store.folder).is_dir():
            progress(f"{kept.name}: has no models yet")
            return None
        try:
            snapshot = models.take(store, self._place, kept.name, moment)
        except FailedError as error:
            self._failures.setdefault(MODELS, []).extend(error.failures)
            # The last good one has what data need.
            return next(iter(reversed(models.snapshots(self._place, kept.name))), None)
        gone = models.prune(self._place, kept.name, self._how.keep, state.load(self._place).right)
        size, only = sum(snapshot.blobs.values()), models.held_alone(self._place, kept.name)
        self._bytes[MODELS] = self._bytes.get(MODELS, 0) + size
        progress(f"{kept.name}: {len(snapshot.blobs)} blobs, {size / 2**30:.2f} GiB are kept as {snapshot.name}")
        snapshots = {"kept": snapshot.name, "removed": gone, "bytes": size, "held_by_snapshots_alone": only}
        self._told.setdefault("snapshots", {})[kept.name] = snapshots
        return snapshot

    def _stage(self, kept: Kept, snapshot: Snapshot | None) -> None:
        try:
            capture.stage(state_of(self._world.paths, kept.name), self._place, kept)
            if snapshot:
                capture.stage_models(self._place, kept, snapshot)
        except FailedError as error:
            self._failures.setdefault(DATA, []).extend(error.failures)

    def _send(self, repository: Repository, *, new: bool) -> None:
        restic = Restic(repository, self._how.node, self._place / "cache")
        there, tree = state.load(self._place), capture.tree(self._place)
        try:
            summary = restic.backup(tree, self._how.node)
        except NoRepositoryError:
            # One that was there and is gone is a disk that is not mounted, or worse: no new one hides that.
            if there.repository == restic.url and not new:
                raise
            progress(f"make the repository {restic.url}")
            restic.create()
            summary = restic.backup(tree, self._how.node)
        there.repository = restic.url
        state.save(self._place, there)
        self._bytes[DATA] = int(summary.get("total_bytes_processed", 0))
        added = int(summary.get("data_added", 0))
        self._told["repository"] = {"snapshot": summary.get("snapshot_id"), "added_bytes": added}
        progress(f"repository: {self._bytes[DATA] / 2**20:.1f} MiB are kept, {added / 2**20:.1f} MiB of them new")

    def _remember(self) -> None:
        there = state.load(self._place)
        there.bytes |= self._bytes
        self._written(lambda: state.save(self._place, there))
        for name in self._names():
            why = "; ".join(map(str, self._failures.get(name, ())))
            self._written(partial(told.done, self._world.paths, name, why))

    def _written(self, write: Callable[[], object]) -> None:
        """Write down what monitors are told; where there is no room for that, the backup's age tells them."""
        try:
            write()
        except OSError as error:
            for name in self._names():
                self._failures.setdefault(name, []).extend(capture.failures_of(error, self._place))


def _foretold(world: World, how: Backup) -> Answer:
    """Say what would be kept."""
    items = [
        {"service": kept.name, "what": str(state_of(world.paths, kept.name) / name), "to": to}
        for kept in how.services
        for name, to in (
            *([(kept.models, "snapshot")] if kept.models else []),
            *((item, "repository") for item in kept.items if how.repository),
        )
    ]
    for item in items:
        progress(f"would keep {item['what']} ({item['to']})")
    return {"ok": True, "failures": [], "dry": True, "items": items}
