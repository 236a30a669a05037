"""The transaction's steps, in their order. `ipex-node recover` undoes by the same list."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ipex_node import deadman, engines, probing, quarantine, snapshot, staging, store, validation
from ipex_node.failure import FailedError, Failure
from ipex_node.gpu import cards
from ipex_node.transaction import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipex_node.changes import Changes
    from ipex_node.manifest import Probe
    from ipex_node.situation import Situation
    from ipex_node.transaction import Journal, Outcome
    from ipex_node.world import World

    Check = Callable[[Probe, float], None]

REMEMBER = "remember"
START = "start units"
COMMIT = "commit"
KEPT = 3
"""Staged generations kept beside the current and the previous one, to go back to and to look into."""


def deep_check(found: Situation) -> Check:
    """Return the check that asks one engine, until a moment of `time.monotonic()`, for its work on the GPU."""
    return partial(engines.check, on_gpu=cards.are_there(found.settings.sysfs))


def looks(world: World, found: Situation) -> list[Step]:
    """Return the steps that change nothing."""

    def verify() -> str:
        staging.verify(world, found.new)
        return f"{len(found.new.files)} files"

    def validate() -> str:
        validation.validate(world, found.new, found.closures)
        return f"{len(found.new.validators)} validators"

    return [Step("verify the staged files", verify), Step("validate", validate, judges=True)]


def changes_of(world: World, found: Situation, changes: Changes, check: Check | None) -> list[Step]:
    """Return the steps that change the node, each with its way back.

    Args:
        world: The node.
        found: What it starts from.
        changes: What is done.
        check: Asks one engine whether it does its work; without it, what was put back is not asked.
    """

    def arm() -> str:
        return deadman.arm(world)

    def probe() -> str:
        if check:
            probing.await_healthy(world, found.new, found.plan.touched, check)
        return " ".join(probe.unit for probe in found.new.probes if probe.unit in found.plan.touched)

    def restore_units() -> None:
        changes.restore_units()
        if check:
            _prove_old(world, found, changes, check)

    def return_to_rotation() -> None:
        changes.return_to_rotation()

    return [
        Step("arm the dead-man timer", arm),
        Step(REMEMBER, changes.remember, changes.forget),
        Step("leave rotation", changes.leave_rotation, return_to_rotation),
        Step("retire units", changes.retire, restore_units),
        # Its undo leaves engines stopped; the undo of the step before it, which comes next, starts them.
        Step("snapshot the data", changes.snapshot, changes.restore_data),
        Step("install files", changes.install, changes.restore_files),
        Step("switch profiles", changes.switch, changes.restore_profiles),
        Step("turn the caches", changes.turn_caches, changes.return_caches),
        Step(START, changes.start, changes.stop_new, judges=True),
        Step("probe", probe, judges=True),
        Step(COMMIT, changes.commit, changes.uncommit),
    ]


def after_commit(world: World, found: Situation, changes: Changes) -> list[Step]:
    """Return the steps behind the commit: each may be done again."""

    def lift() -> str:
        quarantine.lift(world.paths, found.new.id)
        return ""

    def prune() -> str:
        return " ".join(store.prune(world.paths, KEPT))

    return [
        Step("return to rotation", changes.return_to_rotation),
        Step("lift the quarantine", lift),
        Step("remove old generations", prune),
    ]


def conclude(world: World, ways: tuple[str | None, str], outcome: Outcome, journal: Journal) -> None:
    """End a transaction that has been done or undone: quarantine what failed, disarm the timer, close the journal.

    The generation that already serves is not quarantined, and none is where the old one does not work any more
    either: then it is the node that is ill. Data that were kept for the way back stay where something is stuck: a
    person may need them.

    Args:
        world: The node.
        ways: From which generation to which.
        outcome: What became of it.
        journal: The open journal.
    """
    if outcome.judged and not outcome.stuck and ways[0] != ways[1]:
        quarantine.put(world.paths, ways[1], "; ".join(map(str, outcome.failures)))
    if not outcome.stuck:
        snapshot.discard(world.paths)
    deadman.disarm(world)
    journal.end(outcome)


def _prove_old(world: World, found: Situation, changes: Changes, check: Check) -> None:
    """Ask what was put back whether it serves again."""
    units = [unit for unit in changes.before.units if changes.before.units[unit].is_active]
    try:
        probing.await_healthy(world, found.old, units, check)
    except FailedError as error:
        again = (Failure(f"after rolling back: {one.what}", one.why, one.cure) for one in error.failures)
        raise FailedError(*again) from error
