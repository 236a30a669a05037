"""`ipex-node update`: take what is published for this node, in its window, when it is its turn, and prove it.

Whatever is not as it should be (no window, no depot, no signature, no turn) changes nothing and is said: in the
journal, as a metric, and in `ipex-node status`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ipex_node import settings, store
from ipex_node.failure import FailedError, failed
from ipex_node.node_state import leave
from ipex_node.update import ask, memory, offer, taking
from ipex_node.update.settings import updates as read
from ipex_node.world import progress

if TYPE_CHECKING:
    from ipex_node.settings import Settings
    from ipex_node.update.publication import Member, Publication
    from ipex_node.update.settings import Updates
    from ipex_node.update.turns import Refusal, Word
    from ipex_node.world import World

_BY_HAND = timedelta(hours=1)
"""So long waits for its turn who is told to update now."""
_TELLS, _TELL_SECONDS = 12, 5.0
"""A monitor that updates itself restarts what gives turns, which takes seconds."""


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        word: One of memory.OUTCOMES.
        why: For a person.
        generation: What was to be taken, where that is known.
        steps: The transaction's.
    """

    word: str
    why: str
    generation: str | None = None
    steps: tuple[Any, ...] = ()


def update(world: World, *, now: bool = False) -> dict[str, Any]:
    """Bring this node up to date, if it may be now.

    Args:
        world: The node.
        now: An operator's word: as if a window were open for an hour.

    Raises:
        FailedError: This node has no settings, or does not update itself.
    """
    node = settings.load(world.paths.settings)
    if node.node is None or node.updates is None:
        raise failed(str(world.paths.settings), "this node does not update itself", "set updates.enable, and deploy")
    outcome = _attempt(world, node, read(node.updates), now=now)
    progress(f"update: {outcome.word}: {outcome.why}")
    memory.conclude(world.paths, outcome.word, outcome.why, outcome.generation)
    leave(world)
    failures = [] if outcome.word in memory.GOOD else [{"what": "update", "why": outcome.why}]
    answer = {"ok": not failures, "failures": failures, "outcome": outcome.word, "generation": outcome.generation}
    return {**answer, "steps": list(outcome.steps)}


def _attempt(world: World, node: Settings, updates: Updates, *, now: bool) -> Outcome:
    moment = datetime.now(UTC)
    closes = updates.calendar.until(moment, timedelta(seconds=updates.reserve_seconds))
    closes = moment + _BY_HAND if now else closes
    if closes is None:
        return Outcome("closed", "no window is open for long enough")
    try:
        publication = offer.current(world, node.environment, time.time())
    except (FailedError, OSError) as error:
        # The latter is this node's own: what is offered cannot be looked at, or not remembered.
        return Outcome("depot" if isinstance(error, FailedError) else "refused", str(error))
    if publication is None:
        return Outcome("none", "nothing is published")
    member = publication.members.get(node.node or "")
    if member is None:
        return Outcome("none", f"publication {publication.serial} has nothing for this node")
    try:
        return _take(world, _Node(world, node, updates, publication, member), closes)
    except (FailedError, OSError) as error:
        return Outcome("refused", str(error), member.generation)


def _take(world: World, own: _Node, closes: datetime) -> Outcome:
    publication, member = own.publication, own.member
    if store.linked(world.paths.current) == member.generation:
        own.give_back("current", {})
        return Outcome("current", f"publication {publication.serial} is what this node has", member.generation)
    if found := list(taking.obstacles(world, publication, member)):
        return Outcome("refused", "; ".join(found), member.generation)
    taking.stage(world, own.name, member)
    if refused := own.await_turn(closes):
        word = "stopped" if refused.kind == "stopped" else "waited"
        return Outcome(word, f"not its turn: {refused.why}", member.generation)
    return own.change()


class _Node:
    """A node with something to take."""

    def __init__(
        self, world: World, node: Settings, updates: Updates, publication: Publication, member: Member
    ) -> None:
        self._world = world
        self._updates = updates
        self.name = node.node or ""
        self.publication = publication
        self.member = member

    def await_turn(self, closes: datetime) -> Refusal | None:
        """Ask until it is this node's turn, nobody's any more, or the window closes; the last word if it is not."""
        told = ""
        while refused := ask.turn(self._updates.semaphore, self.name, self.member.role, self.publication.serial):
            again = datetime.now(UTC) + timedelta(seconds=self._updates.ask_seconds)
            if refused.kind in {"stopped", "serial", "unknown", "stranger"} or again >= closes:
                return refused
            if refused.why != told:
                told = refused.why
                progress(f"not its turn: {told}")
                memory.conclude(self._world.paths, "waiting", told, self.member.generation)
            time.sleep(self._updates.ask_seconds)
        return None

    def change(self) -> Outcome:
        """Run the transaction, and give the turn back with what became of it."""
        began, before = time.time(), store.linked(self._world.paths.current)
        try:
            status, answer = taking.activate(self._world, self.member.generation)
        except FailedError as error:
            status, answer = 1, {"failures": [one.as_json() for one in error.failures]}
        why = "; ".join(f"{one['what']}: {one['why']}" for one in answer.get("failures", ()))
        word: Word = "done" if status == 0 else "failed"
        record = {
            "serial": self.publication.serial,
            "began": round(began, 3),
            "seconds": round(time.time() - began, 1),
            "from": before,
            "to": self.member.generation,
            "ending": "new" if status == 0 else "old" if status == 1 else "stuck",
            "why": why,
            "steps": answer.get("steps", []),
        }
        self.give_back(word, record)
        steps = tuple(answer.get("steps", ()))
        return Outcome(word, why or "has changed, and works", self.member.generation, steps)

    def give_back(self, word: Word, record: dict[str, Any]) -> None:
        """Tell the semaphore; where it is silent the turn ends by itself, and the fleet stops for that."""
        params = (self.name, self.member.role, self.publication.serial)
        for _ in range(_TELLS):
            refused = ask.give_back(self._updates.semaphore, params, word, record)
            if refused is None or refused.kind != ask.SILENT:
                break
            time.sleep(_TELL_SECONDS)
        if refused:
            progress(f"the word {word} was not taken: {refused.why}")
