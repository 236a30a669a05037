"""What a service keeps on the disk, before a new version of it may change the format, and the way back.

The copy lies beside what else a transaction keeps. It belongs to root alone, and counts only once it is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

from ipex_node import files, foreign, situation
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.systemd import Systemd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ipex_node.paths import Paths
    from ipex_node.settings import Service
    from ipex_node.situation import Situation
    from ipex_node.world import World

RESERVE_BYTES = 256 * 2**20
"""Room that a copy leaves on the disk, for the journal, for logs, and for the engines themselves."""

_ENDED = {"inactive", "failed"}
"""ActiveState of a unit none of whose processes is left."""
_FRESH = ".ipex-given-back"


def take(world: World, found: Situation) -> str:
    """Copy the data of every service whose closure is about to change.

    The services may still run: they are idle. A unit that does not run counts too, for it is started by the change.

    Raises:
        FailedError: There is no room, or something cannot be copied; nothing but the copy has been touched.
    """
    services = list(_concerned(world, found))
    if not services:
        return ""
    budget: float = _require_room(world, services)
    states = Systemd(world.run).states([service.unit for service in services])
    _directory(world.paths).mkdir(mode=0o700)
    for service in services:
        copy = foreign.Copy(live=states[service.unit].active not in _ENDED, budget=budget)
        _keep(world, service, copy)
        budget = copy.left
    record = [{"name": one.name, "unit": one.unit, "items": one.snapshot} for one in services]
    files.write(_marker(world.paths), json.dumps(record).encode())
    return " ".join(service.name for service in services)


def give_back(world: World) -> None:
    """Stop the services and put everything back that a complete copy holds; what it has not was not there before.

    May be cut off and done again: the copy stays.

    Raises:
        FailedError: A service does not stop, or something cannot be written; the others are given back.
    """
    try:
        record = json.loads(_marker(world.paths).read_bytes())
    except FileNotFoundError:
        return
    # Waited for, even at boot: a process must not see its files exchanged.
    systemd = Systemd(world.run)
    states = systemd.states([one["unit"] for one in record])
    failures: list[Failure] = []
    for one in record:
        try:
            systemd.do("stop", [one["unit"]] if states[one["unit"]].active not in _ENDED else [])
            _put_back(world, one["name"], one["items"])
        except (FailedError, OSError) as error:
            failures.append(_not_back(world, one["name"], one["unit"], error))
    if failures:
        raise FailedError(*failures)


def discard(paths: Paths) -> None:
    """Forget the copy; what cannot be removed goes when the next transaction begins."""
    marker = _marker(paths)
    if marker.exists():
        # First, and on the disk: a copy that is half removed must not look complete.
        marker.unlink()
        files.sync_directory(marker.parent)
    shutil.rmtree(_directory(paths), ignore_errors=True)


def _directory(paths: Paths) -> Path:
    return paths.transaction / "data"


def _marker(paths: Paths) -> Path:
    return _directory(paths) / "complete.json"


def _concerned(world: World, found: Situation) -> Iterator[Service]:
    """Name the services with data to keep; the new generation's word on them counts, or else the old one's."""
    staged = situation.staged_settings(world.paths, found.new.id)
    said = {one.name: one for one in (*found.settings.services, *staged.services) if one.snapshot}
    return (one for one in said.values() if one.profile in found.plan.switch)


def _state(world: World, name: str) -> Path | None:
    """Return a service's state directory.

    Below /var/lib/private where its unit has DynamicUser=yes, with a link in /var/lib (systemd.exec(5)). The way
    there belongs to root, who may have laid it over links; what lies in it belongs to the service.
    """
    places = (world.paths.on_node(f"/var/lib/{place}") for place in (f"private/{name}", name))
    return next((place for place in places if place.is_dir()), None)


def _names(items: Iterable[str]) -> list[str]:
    """Return items with what SQLite may have put beside them: a foreign one would be played into the database."""
    return list(dict.fromkeys(item + suffix for item in items for suffix in ("", *foreign.BESIDE)))


def _require_room(world: World, services: list[Service]) -> int:
    """Return the bytes that may be kept: as much again stays free for the way back, and the reserve.

    Raises:
        FailedError: There is more to keep.
    """
    disk = os.statvfs(world.paths.state)
    free = disk.f_bavail * disk.f_frsize
    needed = sum(_size(world, service) for service in services)
    room = (free - RESERVE_BYTES) // 2
    if needed > room:
        names = ", ".join(service.name for service in services)
        why = (
            f"{_mib(free)} are free; the data of {names}, {_mib(needed)}, are kept during the change, and the way back "
            f"needs as much again and {_mib(RESERVE_BYTES)}"
        )
        raise failed(str(world.paths.state), why, f"free {_mib(needed - room)} twice over, then deploy again")
    return room


def _mib(amount: int) -> str:
    return f"{amount / 2**20:.1f} MiB"


def _size(world: World, service: Service) -> int:
    place = _state(world, service.name)
    if place is None:
        return 0
    try:
        with foreign.directory(place) as source:
            return foreign.size(source, _names(service.snapshot))
    except OSError as error:
        raise _unreadable(place, error) from error


def _keep(world: World, service: Service, copy: foreign.Copy) -> None:
    kept = _directory(world.paths) / service.name
    kept.mkdir(mode=0o700)
    place = _state(world, service.name)
    if place is None:
        return
    try:
        with foreign.directory(place) as source, foreign.directory(kept) as target:
            copy.items(source, target, _names(service.snapshot))
    except OSError as error:
        raise _unreadable(place, error) from error


def _unreadable(place: Path, error: OSError) -> FailedError:
    return failed(str(place), f"its data cannot be kept: {error}", "look at what it names, then deploy again")


def _put_back(world: World, name: str, items: list[str]) -> None:
    kept, place = _directory(world.paths) / name, _state(world, name)
    there = {path.name for path in kept.iterdir()}
    if place is None:
        if there:
            raise failed(f"/var/lib/{name}", "is gone")
        return
    with foreign.directory(kept) as source, foreign.directory(place) as target:
        foreign.remove(target, _FRESH)
        os.mkdir(_FRESH, 0o700, dir_fd=target)
        # First all beside, and only then the exchange: where the disk is full, nothing is lost.
        with foreign.directory(_FRESH, target) as fresh:
            foreign.Copy(live=False).items(source, fresh, there)
            for item in _names(items):
                foreign.remove(target, item)
                if item in there:
                    os.rename(item, item, src_dir_fd=fresh, dst_dir_fd=target)
        os.rmdir(_FRESH, dir_fd=target)
        os.fsync(target)


def _not_back(world: World, name: str, unit: str, error: Exception) -> Failure:
    kept = _directory(world.paths) / name
    cure = f"stop {unit}, put what {kept} holds back into its state directory, start it: the next change removes it"
    return Failure(f"the data of {name}", f"could not be given back: {error}", cure)
