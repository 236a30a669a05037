"""`ipex-node cleanup`: free what nobody needs. First a plan, which is all that --dry makes; then the same, done."""

from __future__ import annotations

import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipex_node import files, samples, settings, store
from ipex_node.cleanup import inventory, models, nix_store, outputs
from ipex_node.cleanup.plan import File, Item, Plan, decide
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.fitness import inspection
from ipex_node.samples import Sample
from ipex_node.transaction import Journal
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from ipex_node.cleanup.plan import Model
    from ipex_node.settings import Cleanup, Settings
    from ipex_node.world import World

    Answer = dict[str, Any]

SOURCE = "cleanup"
_GIB = 1 << 30


def cleanup(
    world: World, wanted: Sequence[str] = (), *, dry: bool = False, unattended: bool = False, shown: bool = False
) -> Answer:
    """Plan, and unless it is `dry` remove what the plan names.

    Args:
        world: The node.
        wanted: Models that nothing declares, to be removed.
        dry: Remove nothing.
        unattended: As timer and path do it: no engine is asked, nothing is done shortly after the last run, and no
            file goes for its age where nothing keeps the clock in time.
        shown: Whether a person is told the plan.

    Raises:
        FailedError: The node's settings say nothing of it.
    """
    node = settings.load(world.paths.settings)
    limits = node.cleanup
    if limits is None:
        raise failed(str(world.paths.settings), "says nothing of cleanup", "only GPU nodes are cleaned up; deploy")
    if unattended and samples.read(world.paths.samples(SOURCE), limits.rest_seconds) is not None:
        return _nothing(f"the last run is less than {limits.rest_seconds} seconds ago")
    run = _Run(world, node, limits, wanted, _doubt(world) if unattended else "")
    if not unattended:
        run.ask_for_models()
    plan = run.planned()
    if shown:
        _show(plan)
    if dry:
        return run.answer(plan) | {"dry": True}
    if reason := run.carry_out(plan):
        return run.answer(plan) | _nothing(reason)
    run.collect()
    run.leave_samples()
    return run.answer(plan)


class _Run:
    """One run: what was found, what went wrong, what was freed."""

    def __init__(self, world: World, node: Settings, limits: Cleanup, wanted: Sequence[str], doubt: str) -> None:
        self._world = world
        self._doubt = doubt
        self._node = node
        self._limits = limits
        self._wanted = wanted
        self._models: list[Model] = []
        self._dead: dict[str, int] = {}
        self._failures: list[Failure] = []
        self._freed = 0

    def ask_for_models(self) -> None:
        """Ask the Ollama services what they have; one that does not answer keeps all it has."""
        for service in self._node.services:
            if service.engine == "ollama":
                try:
                    self._models += models.listed(service)
                except FailedError as error:
                    self._failures += error.failures

    def planned(self) -> Plan:
        """Look at the node and decide, with what Nix' store would lose."""
        there = inventory.take(self._world.paths, self._node, self._doubt)
        there = inventory.with_engines(there, self._world.paths, self._limits, self._models)
        plan = decide(there, self._limits, self._wanted)
        self._failures += plan.refused
        try:
            self._dead = nix_store.garbage(self._world.run, self._roots(plan))
        except FailedError as error:
            self._failures += error.failures
        if not self._dead:
            return plan
        item = Item(
            "store", "/nix/store", sum(self._dead.values()), f"store paths that nothing needs: {len(self._dead)}"
        )
        return Plan((*plan.goes, item), plan.stays)

    def carry_out(self, plan: Plan) -> str:
        """Remove what the plan names and still may go; say why where nothing may be done at this moment.

        What a transaction needs is not judged by what was seen before the lock was held: there may have been one in
        between. What an engine has made is nobody else's; its files, which may be many, go when the lock is free again.
        """
        try:
            with store.locked(self._world.paths, "cleanup"):
                if Journal(self._world.paths.journal).unfinished():
                    return "a change of this node was cut off; `ipex-node recover` ends it first"
                self._remove_again_judged({item.key for item in plan.goes})
        except store.LockedError as held:
            return str(held)
        for item in plan.goes:
            if item.kind in {"output", "model"}:
                self._try(item)
        return ""

    def collect(self) -> None:
        """Let Nix collect what nothing needs any more; without the lock, see `nix_store.collect`."""
        if self._dead:
            try:
                self._freed += nix_store.collect(self._world.run, self._dead)
            except FailedError as error:
                self._failures += error.failures

    def leave_samples(self) -> None:
        """Leave the agent what this run was worth."""
        found = [
            Sample("ipex_cleanup_freed_bytes", {}, float(self._freed)),
            Sample("ipex_cleanup_last_run_timestamp_seconds", {}, time.time()),
        ]
        samples.write(self._world.paths.samples(SOURCE), found)

    def answer(self, plan: Plan) -> Answer:
        """Say what became of it."""
        return {
            "ok": not self._failures,
            "failures": [failure.as_json() for failure in self._failures],
            "dry": False,
            "planned_bytes": sum(item.bytes for item in plan.goes),
            "freed_bytes": self._freed,
            "items": list(_summed(plan.goes)),
            "kept": list(_summed(plan.stays)),
        }

    def _remove_again_judged(self, told: Collection[tuple[str, str, str]]) -> None:
        there = inventory.take(self._world.paths, self._node, self._doubt)
        for item in decide(there, self._limits).goes:
            if item.key in told:
                self._try(item)

    def _roots(self, plan: Plan) -> Iterator[str]:
        """Name the links by which what goes keeps something in Nix' store."""
        for item in plan.goes:
            if item.kind == "profile generation":
                yield item.name
            elif item.kind == "generation":
                yield from inventory.out_links(self._world.paths, item.name)

    def _try(self, item: Item) -> None:
        try:
            self._freed += self._removed(item)
        except FailedError as error:
            self._failures += error.failures
        except OSError as error:
            self._failures.append(Failure(item.name, f"cannot be removed: {error.strerror}"))

    def _removed(self, item: Item) -> int:
        """Remove one thing and return the bytes it frees."""
        paths = self._world.paths
        if item.kind == "output":
            return outputs.remove(paths.private, File(item.name, item.bytes, item.modified))
        if item.kind == "generation":
            files.remove_tree(store.directory(paths, item.name))
        elif item.kind == "model":
            models.remove(next(one for one in self._node.services if one.name == item.owner), item.name)
        elif item.kind == "profile generation":
            _unlink_profile(Path(item.name))
        elif item.kind == "leftover":
            _remove_leftover(Path(item.name))
        return item.bytes


def _doubt(world: World) -> str:
    """Say why the age of files is not believed: a machine that boots with its clock ahead finds everything old."""
    # What runs in a container has the clock of a machine that is somebody else's to keep.
    if inspection.clock(world) in {"synchronized", "container"}:
        return ""
    return "its age is not known: nothing keeps this node's clock in time"


def _unlink_profile(numbered: Path) -> None:
    """Remove a numbered link, and before it a profile that shows it: the profile never leads nowhere."""
    profile = numbered.with_name(numbered.name.rsplit("-", 2)[0])
    if profile.is_symlink() and profile.readlink().name == numbered.name:
        profile.unlink()
    numbered.unlink()


def _remove_leftover(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        files.remove_tree(path)
    else:
        path.unlink()


def _nothing(reason: str) -> Answer:
    progress(f"cleanup: nothing was done: {reason}")
    return {"ok": True, "failures": [], "dry": False, "freed_bytes": 0, "nothing_done": reason}


def _summed(items: Iterable[Item]) -> Iterator[dict[str, Any]]:
    """Tell of many files of one directory in one line."""

    def line(item: Item) -> tuple[str, str, str, str]:
        return item.kind, item.within or item.name, item.owner, item.why

    for (kind, name, owner, why), some in groupby(sorted(items, key=line), key=line):
        group = list(some)
        told = {"kind": kind, "name": name, "why": why, "bytes": sum(item.bytes for item in group)}
        yield told | ({"files": len(group)} if group[0].within else {}) | ({"service": owner} if owner else {})


def _show(plan: Plan) -> None:
    for verb, items in (("goes", plan.goes), ("stays", plan.stays)):
        for told in _summed(items):
            number = f"{told['files']} files in " if "files" in told else ""
            progress(f"{verb}  {told['bytes'] / _GIB:8.2f} GiB  {told['kind']} {number}{told['name']}: {told['why']}")
    progress(f"to be freed: {sum(item.bytes for item in plan.goes) / _GIB:.2f} GiB")
