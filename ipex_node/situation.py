"""Where the node stands, and what must change to make a generation current."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipex_node import drift, plan, store
from ipex_node.failure import FailedError
from ipex_node.manifest import Manifest
from ipex_node.systemd import Systemd
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipex_node.paths import Paths
    from ipex_node.world import World


@dataclass(frozen=True)
class Situation:
    """What an activation starts from.

    Attributes:
        new: The generation to make current.
        old: The current one; an empty manifest where there is none.
        previous: Name of the one before it.
        closures: The new generation's profile to store path.
        old_closures: The old one's.
        plan: What must change.
    """

    new: Manifest
    old: Manifest
    previous: str | None
    closures: Mapping[str, str]
    old_closures: Mapping[str, str]
    plan: plan.Plan

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
    old, old_closures = _current(paths)
    gone = set(old.files) - set(new.files)
    seen = plan.Seen(
        differing=frozenset(one.name for one in drift.of_files(paths, new)),
        leftover=frozenset(path for path in gone if os.path.lexists(paths.on_node(path))),
        moved=frozenset(one.name for one in drift.of_closures(paths, closures)),
        units=Systemd(world.run).states({**old.units, **new.units}),
    )
    return Situation(
        new=new,
        old=old,
        previous=store.linked(paths.previous),
        closures=closures,
        old_closures=old_closures,
        plan=plan.make(new, old, seen, closures, old_closures),
    )


def _current(paths: Paths) -> tuple[Manifest, Mapping[str, str]]:
    """Read the current generation; a damaged one must not keep a good one out, so it counts as none."""
    current = store.linked(paths.current)
    try:
        return store.manifest(paths, current), store.closures(paths, current)
    except FailedError as error:
        progress(f"the current generation cannot be read and counts as none: {error}")
        return Manifest(), {}
