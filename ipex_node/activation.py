"""`ipex-node activate`: make a staged generation current, or leave the node as it was.

The program may replace its own file on the way: whatever it needs is imported before that, at the top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipex_node import engines, probing, situation, staging, store, transaction, validation
from ipex_node.changes import Changes
from ipex_node.failure import FailedError, Failure
from ipex_node.transaction import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipex_node.manifest import Probe
    from ipex_node.situation import Situation
    from ipex_node.world import World

    Check = Callable[[Probe, float], None]


def activate(world: World, identity: str, check: Check = engines.check) -> tuple[int, dict[str, Any]]:
    """Make a generation current; for the current one, mend what has drifted.

    Args:
        world: The node.
        identity: A staged generation.
        check: Asks one engine, until a moment of `time.monotonic()`, whether it does its work.

    Returns:
        The exit status (0 done, 1 not done and the node is as before, 2 the node could not be put back) and
        the answer.

    Raises:
        FailedError: The generation is not staged, or another change is under way.
    """
    with store.locked(world.paths, f"activate {identity}"):
        found = situation.find(world, identity)
        changes = Changes(world, found)
        journal = transaction.Journal(world.paths.journal)
        journal.begin(**{"from": found.old.id or None, "to": identity})
        outcome = transaction.run(_steps(world, found, changes, check), journal)
        if outcome.undone:
            outcome.stuck += _old_failures(world, found, changes, check)
    answer = {
        "ok": not outcome.failures,
        "failures": [failure.as_json() for failure in (*outcome.failures, *outcome.stuck)],
        "from": found.old.id or None,
        "to": identity,
        "changed": not found.is_done,
        "rolled_back": outcome.undone and not outcome.stuck,
        "steps": outcome.steps,
    }
    return (2 if outcome.stuck else int(bool(outcome.failures))), answer


def _steps(world: World, found: Situation, changes: Changes, check: Check) -> list[Step]:
    """Return the transaction. Dead-man, drain and snapshot have their place behind `remember`."""

    def verify() -> str:
        staging.verify(world, found.new)
        return f"{len(found.new.files)} files"

    def validate() -> str:
        validation.validate(world, found.new, found.closures)
        return f"{len(found.new.validators)} validators"

    def probe() -> str:
        probing.await_healthy(world, found.new, found.plan.touched, check)
        return " ".join(found.plan.touched)

    looks = [Step("verify the staged files", verify), Step("validate", validate)]
    if found.is_done:
        return looks
    return [
        *looks,
        Step("remember", changes.remember, changes.forget),
        Step("leave rotation", changes.leave_rotation, changes.return_to_rotation),
        Step("retire units", changes.retire, changes.restore_units),
        Step("install files", changes.install, changes.restore_files),
        Step("switch profiles", changes.switch, changes.restore_profiles),
        Step("start units", changes.start, changes.stop_new),
        Step("probe", probe),
        Step("commit", changes.commit, changes.uncommit),
        Step("return to rotation", changes.finish),
    ]


def _old_failures(world: World, found: Situation, changes: Changes, check: Check) -> list[Failure]:
    """Ask what was put back whether it serves again."""
    units = [unit for unit in changes.before.units if changes.before.units[unit].is_active]
    try:
        probing.await_healthy(world, found.old, units, check)
    except FailedError as error:
        return [Failure(f"after rolling back: {one.what}", one.why, one.cure) for one in error.failures]
    return []
