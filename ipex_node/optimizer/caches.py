"""Caches of compiled code, one set for each pair of engine and driver.

What a driver has compiled is of no use to another version of it. So the directory of a service's caches is put aside
under the name of the closures it was made by, before an engine of others starts, and comes back when those do: a
rollback starts warm. systemd makes a new one with the engine's start (CacheDirectory=).

The directories' own parents are root's and closed to everybody else (/var/cache/private, systemd.exec(5)): nobody can
turn these names to another place. An engine that still runs holds its directory by a mount, and takes it along.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ipex_node import files, situation, store
from ipex_node.cleanup import outputs
from ipex_node.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ipex_node.cleanup.plan import File
    from ipex_node.optimizer.settings import Optimizer
    from ipex_node.paths import Paths
    from ipex_node.settings import Service
    from ipex_node.situation import Situation

KEPT = ".kept"
"""Where caches lie that no engine uses now; no service has such a name."""
_DAY_SECONDS = 86400.0


def key(closures: Mapping[str, str], profile: str, drivers: str) -> str:
    """Name the closures that a service's caches were made by: the engine's, and the drivers'."""
    made_by = [closures.get(profile, ""), closures.get(drivers, "")]
    return hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16]


def turn(paths: Paths, optimizer: Optimizer, service: str, before: str, after: str) -> bool:
    """Let a service have the caches of other closures; may be cut off anywhere and done again, either way.

    Args:
        paths: The node's places.
        optimizer: Where its caches are.
        service: Whose.
        before: What they were made by, where nothing says it: nothing has ever turned them.
        after: Whose it shall have: those that were put aside, or none yet.

    Returns:
        Whether anything was done.
    """
    there = _read(paths, service) or {"key": before}
    if there.get("to"):
        _finish(paths, optimizer, service, there)
        there = {"key": there["to"]}
    if there["key"] == after:
        _write(paths, service, {"key": after})
        return False
    # Never both: what is in use has left what is kept.
    files.remove_tree(_kept(paths, optimizer, service, there["key"]))
    there = {**there, "to": after}
    _write(paths, service, there)
    _finish(paths, optimizer, service, there)
    return True


def turn_all(paths: Paths, found: Situation, *, back: bool = False) -> list[str]:
    """Let every engine have the caches of the generation it is about to run.

    Args:
        paths: The node's places.
        found: What the activation starts from.
        back: Whether the old generation's are wanted.

    Returns:
        The services whose closures differ.
    """
    node = situation.staged_settings(paths, found.new.id)
    if node.optimizer is None:
        return []
    turned = []
    for service in node.services:
        if service.name not in node.optimizer.caches:
            continue
        closures = found.old_closures if back else found.closures
        before, after = (key(one, service.profile, node.optimizer.drivers) for one in (found.old_closures, closures))
        if turn(paths, node.optimizer, service.name, before, after):
            turned.append(service.name)
    return turned


def _finish(paths: Paths, optimizer: Optimizer, service: str, there: Mapping[str, str]) -> None:
    place = _root(paths, optimizer) / service
    aside, back = (_kept(paths, optimizer, service, there[name]) for name in ("key", "to"))
    if place.exists() and not aside.exists():
        files.make_private_directory(aside.parent)
        place.rename(aside)
    if back.exists() and not place.exists():
        back.rename(place)
    _write(paths, service, {"key": there["to"]})


def clean(paths: Paths, optimizer: Optimizer, services: tuple[Service, ...]) -> tuple[int, list[Failure]]:
    """Remove what is old, what is too much, and what neither the current nor the previous generation has made.

    Returns:
        The bytes that were freed, and what could not be removed.
    """
    freed, failures = 0, []
    for service, directories in optimizer.caches.items():
        found = listed(paths, optimizer, directories)
        for file in chosen(found, time.time() - optimizer.cache_days * _DAY_SECONDS, optimizer.cache_bytes):
            try:
                freed += outputs.remove(_private(paths), file)
            except OSError as error:
                failures.append(Failure(file.path, f"cannot be removed: {error.strerror}"))
        wanted = _wanted(paths, optimizer, service, services)
        for kept in _root(paths, optimizer).glob(f"{KEPT}/{service}-*"):
            if kept.name not in wanted:
                freed += sum(file.bytes for file in _files(paths, kept))
                files.remove_tree(kept)
    return freed, failures


def chosen(found: list[File], before: float, room: int) -> Iterator[File]:
    """Choose what goes: what was written before a moment, and the oldest of the rest until it fits. Pure."""
    left = sum(file.bytes for file in found)
    for file in sorted(found, key=lambda one: one.modified):
        if file.modified >= before and left <= room:
            return
        left -= file.bytes
        yield file


def listed(paths: Paths, optimizer: Optimizer, directories: tuple[str, ...]) -> list[File]:
    """List the files of caches in use."""
    root = _root(paths, optimizer)
    return [file for directory in directories for file in _files(paths, root / directory)]


def kept_bytes(paths: Paths, optimizer: Optimizer, service: str) -> int:
    """Return what a service's caches take that are kept for a way back."""
    places = _root(paths, optimizer).glob(f"{KEPT}/{service}-*")
    return sum(file.bytes for place in places for file in _files(paths, place))


def _files(paths: Paths, place: Path) -> list[File]:
    top = _private(paths)
    return outputs.listed(top, str(place.relative_to(top)), 0.0) if place.exists() else []


def _wanted(paths: Paths, optimizer: Optimizer, service: str, services: tuple[Service, ...]) -> set[str]:
    profile = next((one.profile for one in services if one.name == service), "")
    previous = store.linked(paths.previous)
    if previous is None or previous not in store.staged(paths):
        return set()
    return {f"{service}-{key(store.closures(paths, previous), profile, optimizer.drivers)}"}


def _private(paths: Paths) -> Path:
    return paths.on_node("/var/cache/private")


def _root(paths: Paths, optimizer: Optimizer) -> Path:
    return _private(paths) / Path(optimizer.cache_root).name


def _kept(paths: Paths, optimizer: Optimizer, service: str, name: str) -> Path:
    return _root(paths, optimizer) / KEPT / f"{service}-{name}"


def _read(paths: Paths, service: str) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((paths.state / "caches" / service).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if "key" in found else {}


def _write(paths: Paths, service: str, words: Mapping[str, str]) -> None:
    if _read(paths, service) != words:
        files.write(paths.state / "caches" / service, json.dumps(words).encode())
