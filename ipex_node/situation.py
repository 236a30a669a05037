"""Where the node stands, and what must change to make a generation current."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ipex_node import drift, files, firewall, plan, settings, store
from ipex_node.failure import failed
from ipex_node.systemd import Systemd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ipex_node.manifest import Manifest
    from ipex_node.paths import Paths
    from ipex_node.settings import Service, Settings
    from ipex_node.world import World


@dataclass(frozen=True)
class Situation:
    """What an activation starts from.

    Attributes:
        new: The generation to make current.
        old: The current one; an empty manifest where there is none, or where it cannot be read.
        current: Name of the current one.
        previous: Name of the one before it.
        closures: The new generation's profile to store path.
        old_closures: The old one's.
        plan: What must change.
        settings: The node's, as they are now; a fresh machine's are those it will have.
    """

    new: Manifest
    old: Manifest
    current: str | None
    previous: str | None
    closures: Mapping[str, str]
    old_closures: Mapping[str, str]
    plan: plan.Plan
    settings: Settings

    @property
    def engines_change(self) -> bool:
        """Whether any engine starts, starts anew or ends."""
        engines = {one.unit for manifest in (self.old, self.new) for one in manifest.probes if one.engine != "http"}
        engines |= {service.unit for service in self.settings.services}
        return bool(engines & {*self.plan.touched, *self.plan.retire})

    @property
    def engines_that_end(self) -> tuple[Service, ...]:
        """Running engines whose process ends."""
        units = {*self.plan.restart, *self.plan.retire}
        return tuple(service for service in self.settings.services if service.unit in units)

    @property
    def is_done(self) -> bool:
        """Whether the node already is as the generation has it."""
        return self.plan.is_empty and self.old.id == self.new.id


def find(world: World, identity: str) -> Situation:
    """Look at the node.

    Raises:
        FailedError: The generation is not staged, or systemd does not answer.
    """
    paths = world.paths
    new = store.manifest(paths, identity)
    closures = store.closures(paths, identity)
    current = store.linked(paths.current)
    old, old_closures = store.readable(paths, current)
    gone = set(old.files) - set(new.files)
    units = Systemd(world.run).states({**old.units, **new.units})
    foreign = {path for name in new.units for path in drift.foreign_drop_ins(new, units[name])}
    seen = plan.Seen(
        differing=frozenset({*(one.name for one in _differing(world, new)), *_sown(new, old)}),
        leftover=frozenset({*(path for path in gone if os.path.lexists(paths.on_node(path))), *foreign}),
        moved=frozenset(one.name for one in drift.of_closures(paths, closures)),
        units=units,
    )
    return Situation(
        new=new,
        old=old,
        current=current,
        previous=store.linked(paths.previous),
        closures=closures,
        old_closures=old_closures,
        plan=plan.make(new, old, seen, closures, old_closures),
        settings=_settings(paths, identity),
    )


def keep(paths: Paths, found: Situation) -> None:
    """Keep on the disk what the way back needs."""
    record = {"to": found.new.id, "current": found.current, "previous": found.previous, "plan": asdict(found.plan)}
    files.write(_record(paths), json.dumps(record).encode())


def recall(paths: Paths) -> Situation:
    """Return what a transaction that was cut off had started from.

    Raises:
        FailedError: The record is damaged.
    """
    try:
        raw = json.loads(_record(paths).read_bytes())
        kept: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in raw["plan"].items()
        }
        new, closures = store.readable(paths, raw["to"])
        old, old_closures = store.readable(paths, raw["current"])
        return Situation(
            new=replace(new, id=raw["to"]),
            old=old,
            current=raw["current"],
            previous=raw["previous"],
            closures=closures,
            old_closures=old_closures,
            plan=plan.Plan(**kept),
            settings=_settings(paths, raw["to"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise failed(str(_record(paths)), f"cannot be read: {error}", "deploy again") from error


def _record(paths: Paths) -> Path:
    return paths.transaction / "situation.json"


def staged_settings(paths: Paths, identity: str) -> Settings:
    """Return the settings a staged generation brings."""
    return settings.load_leniently(store.directory(paths, identity) / "root/etc/ipex/node.json")


def _settings(paths: Paths, identity: str) -> Settings:
    now = settings.load_leniently(paths.settings)
    return now if now.node else staged_settings(paths, identity)


def _differing(world: World, new: Manifest) -> Iterator[drift.Drift]:
    yield from drift.of_files(world.paths, new)
    yield from firewall.drift(world, new)


def _sown(new: Manifest, old: Manifest) -> Iterator[str]:
    """Name the seeds that are declared anew: what has grown from the old ones is replaced."""
    for path, entry in new.files.items():
        before = old.files.get(path)
        if entry.seed and (before is None or before.sha256 != entry.sha256):
            yield path
