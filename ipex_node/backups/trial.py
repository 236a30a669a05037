"""`ipex-node restore-test`: give what is kept to a throw-away engine, and let it generate a token.

The engine is a unit of its own that nothing else starts: the current closure, without the GPU, on loopback alone.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

from ipex_node import engines, files, probing
from ipex_node.backups import capture, fetch, models, state, verify
from ipex_node.backups.restic import Restic
from ipex_node.backups.run import wanted
from ipex_node.cleanup.model_name import full_name
from ipex_node.client import Client
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.systemd import Systemd
from ipex_node.world import progress

if TYPE_CHECKING:
    from pathlib import Path

    from ipex_node.backups.models import Snapshot
    from ipex_node.backups.settings import Backup, Trial
    from ipex_node.world import World


def test(world: World) -> dict[str, Any]:
    """Restore to a scratch directory, check it, and let an engine work with it. Users' engines are not touched."""
    how = wanted(world)
    place = world.paths.on_node(str(how.place))
    with state.alone(place, how.wait_seconds):
        failures: list[Failure] = []
        proved: list[str] = []
        for name, part in (("repository", _repository), ("engine", _engine)):
            try:
                proved += part(world, how, place)
            except (FailedError, OSError) as error:
                failures += error.failures if isinstance(error, FailedError) else [Failure(name, str(error))]
        there = state.load(place)
        there.test_failed = "; ".join(map(str, failures))
        there.tested = there.tested if failures else time.time()
        state.save(place, there)
    return {"ok": not failures, "failures": [failure.as_json() for failure in failures], "proved": proved}


def _repository(_world: World, how: Backup, place: Path) -> list[str]:
    """Restore all that the repository has last been given, every byte compared, and let SQLite check its databases."""
    if how.repository is None:
        return []
    restic, scratch = Restic(how.repository, how.node, place / "cache"), place / "scratch"
    there = restic.snapshots()
    if not there:
        raise failed(restic.url, "holds no backup of this node", "ipex-node backup makes one")
    files.remove_tree(scratch)
    files.make_private_directory(scratch)
    try:
        folder = str(capture.tree(how.place))
        size = sum(int(one.get("size") or 0) for one in restic.paths(there[-1]["id"], folder))
        capture.require_room(place, how.free_share, size)
        progress(f"restore {size / 2**20:.1f} MiB from {restic.url}")
        restic.restore(there[-1]["id"], folder, scratch)
        found = list(fetch.damaged(scratch))
        for kept in how.services:
            blobs = scratch / kept.name / capture.MODELS / "blobs"
            found += [
                Failure(f"{kept.name}: {path.name}", said, "look at what is kept: ipex-node backup-verify --all")
                for path in sorted(blobs.glob("*"))
                if (said := verify.seen(path, path.name))
            ]
        if found:
            raise FailedError(*found)
    finally:
        files.remove_tree(scratch)
    return [f"{size} bytes from the repository are what was given"]


def _engine(world: World, how: Backup, place: Path) -> list[str]:
    trial = how.trial
    if trial is None:
        return []
    there = models.snapshots(place, trial.service)
    if not there:
        raise failed(trial.service, "no snapshot of its models is there", "ipex-node backup makes one")
    home = world.paths.private / trial.state
    systemd = Systemd(world.run)
    systemd.do("stop", [trial.unit])
    files.remove_tree(home)
    try:
        blobs = _fill(there[-1], home / "models", how, place, trial)
        progress(f"start {trial.unit} on the restored data")
        systemd.do("start", [trial.unit])
        begun = time.monotonic()
        engines.prove("ollama", _await(trial, begun + trial.seconds), "/api/tags", trial.model)
    finally:
        systemd.do("stop", [trial.unit])
        files.remove_tree(home)
    seconds = time.monotonic() - begun
    return [f"{trial.model} of {there[-1].name}, {blobs} blobs, generates after {seconds:.1f} s"]


def _fill(snapshot: Snapshot, target: Path, how: Backup, place: Path, trial: Trial) -> int:
    """Copy one model, and check each blob of the copy; as the top is root's, systemd gives all to the engine's user."""
    model = next((one for one in snapshot.models() if full_name(one.name) == full_name(trial.model)), None)
    if model is None:
        has = ", ".join(one.name for one in snapshot.models()) or "none"
        raise failed(trial.model, f"is not in the snapshot {snapshot.name}; it has: {has}", "let the engine pull it")
    capture.require_room(place, how.free_share, sum(model.blobs.values()))
    (target / "blobs").mkdir(parents=True)
    path = target / "manifests" / model.path
    path.parent.mkdir(parents=True)
    shutil.copy(snapshot.path / "manifests" / model.path, path)
    for blob in model.blobs:
        shutil.copy(snapshot.path / "blobs" / blob, target / "blobs" / blob)
        if said := verify.seen(target / "blobs" / blob, blob):
            raise failed(f"{model.name}: {blob}", said, "pull the model again")
    return len(model.blobs)


def _await(trial: Trial, deadline: float) -> Client:
    """Return the way to the engine once it answers.

    Raises:
        FailedError: It does not.
    """
    client = Client(f"http://127.0.0.1:{trial.port}", deadline)

    def answers() -> None:
        client.get("/api/tags")

    probing.until(answers, deadline)
    return client
