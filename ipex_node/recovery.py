"""`ipex-node recover`: end a transaction whose process is gone, so that the node serves the old or the new.

Asked by the dead-man timer, at boot, and by the next activation. May itself be cut off anywhere: it finds what
it needs on the disk, and doing any of it twice does no harm.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from ipex_node import before, deadman, marker, situation, steps, store, transaction, validation
from ipex_node.changes import Changes
from ipex_node.failure import FailedError, Failure
from ipex_node.optimizer import trial
from ipex_node.world import progress

if TYPE_CHECKING:
    from ipex_node.situation import Situation
    from ipex_node.steps import Check
    from ipex_node.store import LockedError
    from ipex_node.transaction import Outcome
    from ipex_node.world import World

    Events = list[dict[str, Any]]

_DEATH_SECONDS = 10.0
"""Time for the kernel to take a lock from a process that was killed."""


def recover(world: World, check: Check | None = None, *, at_boot: bool = False) -> tuple[int, dict[str, Any]]:
    """End a transaction that was cut off.

    Args:
        world: The node.
        check: Asks one engine whether it does its work; the deep check without it.
        at_boot: Services are about to start: they are told and not waited for.

    Returns:
        The exit status (0 done, 2 the node could not be put back) and the answer; `recovered` says what was
        to be done: `nothing`, `at work`, `finished` or `rolled back`.
    """
    try:
        with store.locked(world.paths, "recover"):
            return resume(world, check, at_boot=at_boot)
    except store.LockedError as held:
        if not (held.is_activation and _hangs(world)):
            return 0, _answer("at work", str(held))
        _end(world, held)
    with store.locked(world.paths, "recover"):
        return resume(world, check, overdue=True)


def resume(
    world: World, check: Check | None = None, *, at_boot: bool = False, overdue: bool = False
) -> tuple[int, dict[str, Any]]:
    """End a transaction that was cut off, and a setting that nobody tries any more; the caller holds the lock."""
    tried = trial.end(world)
    journal = transaction.Journal(world.paths.journal)
    events = journal.unfinished()
    if not events:
        if marker.clear_transactions(world.paths) or tried:
            deadman.disarm(world)
        return 0, _answer("nothing")
    outcome, cause = _outcome(world, events, overdue=overdue)
    validation.clear(world)
    progress(f"recover: {events[0].get('to')}: {cause}")
    journal.write("recover", cause=cause)
    try:
        what = _settle(world, events, outcome, check, at_boot=at_boot)
    except FailedError as error:
        # Without its record there is no way back: the next activation goes from what it finds.
        outcome.stuck += error.failures
        marker.clear_transactions(world.paths)
        deadman.disarm(world)
        journal.end(outcome)
        what = "not recovered"
    answer = _answer(what, cause) | {"from": events[0].get("from"), "to": events[0].get("to"), "steps": outcome.steps}
    answer |= {"ok": not outcome.stuck, "failures": [failure.as_json() for failure in outcome.stuck]}
    return (2 if outcome.stuck else 0), answer | {"rolled_back": what == "rolled back" and not outcome.stuck}


def _settle(world: World, events: Events, outcome: Outcome, check: Check | None, *, at_boot: bool) -> str:
    """Go forward where it was committed, back where anything was changed, and clean up."""
    journal = transaction.Journal(world.paths.journal)
    begun = _begun(events)
    if steps.REMEMBER not in begun[:-1]:
        # The record was not complete, so nothing had been touched: the old generation is what there is.
        steps.conclude(world, _ways(events), outcome, journal)
        return "nothing"
    found = situation.recall(world.paths)
    changes = Changes(world, found, wait=not at_boot)
    changes.before = before.load(world)
    changes.started = steps.START in begun
    if _is_committed(world, events, begun, found):
        transaction.close(steps.after_commit(world, found, changes), journal, outcome)
        outcome.failures.clear()
        outcome.judged = False
        what = "finished"
    else:
        asked = None if at_boot else check or steps.deep_check(found)
        every = steps.changes_of(world, found, changes, asked)
        transaction.undo([step for step in every if step.name in begun], journal, outcome)
        what = "rolled back"
    steps.conclude(world, _ways(events), outcome, journal)
    return what


def _begun(events: Events) -> list[str]:
    return [str(event["step"]) for event in events if event["event"] == "do"]


def _is_committed(world: World, events: Events, begun: list[str], found: Situation) -> bool:
    if any(event["event"] in {"failed", "undo"} for event in events) or steps.COMMIT not in begun:
        return False
    return store.linked(world.paths.current) == found.new.id


def _ways(events: Events) -> tuple[str | None, str]:
    return events[0]["from"], str(events[0]["to"])


def _outcome(world: World, events: Events, *, overdue: bool) -> tuple[Outcome, str]:
    """Say why it was cut off, and whether the generation is to blame.

    What it had failed by itself is the generation's fault, and so is a transaction that hangs beyond all its
    deadlines. A machine that went down and a process that somebody killed say nothing about it.
    """
    outcome = transaction.Outcome(undone=True)
    failed = next((event for event in events if event["event"] == "failed"), None)
    if failed:
        outcome.failures += [Failure(one["what"], one["why"], one.get("cure", "")) for one in failed["failures"]]
        outcome.judged = bool(failed["judged"])
        return outcome, "it had failed, and its way back was cut off"
    if overdue:
        cause = f"it had not ended after {events[0].get('seconds', 0):.0f} seconds"
        outcome.judged = True
    elif events[0].get("boot") != deadman.boot(world.paths):
        cause = "the machine went down in the middle of it"
    else:
        cause = "its process was killed"
    outcome.failures.append(Failure(_begun(events)[-1] if _begun(events) else "begin", cause))
    return outcome, cause


def _hangs(world: World) -> bool:
    """Whether the transaction under way has used up more than all its deadlines."""
    events = transaction.Journal(world.paths.journal).unfinished()
    if not events or events[0].get("boot") != deadman.boot(world.paths):
        return False
    return bool(time.clock_gettime(time.CLOCK_BOOTTIME) > events[0]["clock"] + events[0]["seconds"])


def _end(world: World, held: LockedError) -> None:
    """Kill a process that hangs, and wait until the kernel has taken the lock from it."""
    if held.pid is not None:
        progress(f"{held}: it hangs and is killed")
        os.kill(held.pid, signal.SIGKILL)
    deadline = time.monotonic() + _DEATH_SECONDS
    while store.is_locked(world.paths) and time.monotonic() < deadline:
        time.sleep(0.05)


def _answer(what: str, cause: str = "") -> dict[str, Any]:
    return {"ok": True, "failures": [], "recovered": what, "cause": cause, "rolled_back": False, "steps": []}
