"""`ipex-node activate` and `rollback`: make a staged generation current, or leave the node as it was.

The program may replace its own file on the way: whatever it needs is imported before that, at the top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipex_node import deadman, firewall, quarantine, recovery, situation, steps, store, transaction
from ipex_node.changes import Changes
from ipex_node.failure import failed
from ipex_node.rotation import longest

if TYPE_CHECKING:
    from ipex_node.situation import Situation
    from ipex_node.steps import Check
    from ipex_node.transaction import Outcome
    from ipex_node.world import World


def activate(
    world: World, identity: str, check: Check | None = None, *, force: bool = False
) -> tuple[int, dict[str, Any]]:
    """Make a generation current; for the current one, mend what has drifted.

    Args:
        world: The node.
        identity: A staged generation.
        check: Asks one engine whether it does its work; the deep check without it.
        force: Even if the generation is quarantined, or has a firewall's rules that nobody has tried.

    Returns:
        The exit status (0 done, 1 not done and the node is as before, 2 the node could not be put back) and
        the answer.

    Raises:
        FailedError: The generation is not staged or quarantined, nobody has tried its firewall's new rules, or another
            change is under way.
    """
    with store.locked(world.paths, f"activate {identity}"):
        if not force:
            quarantine.refuse(world.paths, identity)
        # What an earlier one has left half done is no state to start from, or to go back to.
        recovery.resume(world, check)
        found = situation.find(world, identity)
        if not force:
            firewall.require(world, found.new, found.old)
        outcome = _transact(world, found, check or steps.deep_check(found))
    return (2 if outcome.stuck else int(bool(outcome.failures))), _answer(found, outcome)


def rollback(
    world: World, identity: str | None, check: Check | None = None, *, force: bool = False
) -> tuple[int, dict[str, Any]]:
    """Make the previous generation current again, or a named one; what is left behind is not quarantined.

    Args:
        world: The node.
        identity: A staged generation; the previous one without it.
        check: As for `activate`.
        force: As for `activate`.

    Raises:
        FailedError: There is none to go back to, or as for `activate`.
    """
    wanted = identity or store.linked(world.paths.previous)
    if wanted is None:
        raise failed("rollback", "this node has no previous generation", "name one that `status` lists as staged")
    return activate(world, wanted, check, force=force)


def _transact(world: World, found: Situation, check: Check) -> Outcome:
    changes = Changes(world, found)
    journal = transaction.Journal(world.paths.journal)
    ways = {"from": found.current, "to": found.new.id, "seconds": _seconds(found)}
    journal.begin(**ways, **deadman.moment(world.paths))
    looks = steps.looks(world, found)
    if found.is_done:
        outcome = transaction.run(looks, journal)
        journal.end(outcome)
        return outcome
    outcome = transaction.run([*looks, *steps.changes_of(world, found, changes, check)], journal)
    if not outcome.failures:
        transaction.close(steps.after_commit(world, found, changes), journal, outcome)
    steps.conclude(world, (found.current, found.new.id), outcome, journal)
    return outcome


def _seconds(found: Situation) -> float:
    """Return how long it may take before it counts as hung."""
    probes = sum(one.deadline_seconds for one in found.new.probes)
    return deadman.longest(probes, longest(found.settings.services))


def _answer(found: Situation, outcome: Outcome) -> dict[str, Any]:
    return {
        "ok": not outcome.failures,
        "failures": [failure.as_json() for failure in (*outcome.failures, *outcome.stuck)],
        "from": found.current,
        "to": found.new.id,
        "changed": not found.is_done,
        "rolled_back": outcome.undone and not outcome.stuck,
        "steps": outcome.steps,
    }
