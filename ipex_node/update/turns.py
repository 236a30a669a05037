"""Whose turn it is: how many nodes may change at once, who goes first, and when nobody goes any more. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ipex_node.update.publication import Publication

Word = Literal["done", "current", "failed"]
"""What a node says of itself: it has changed, there was nothing to change, or it was taken back."""
GOOD: frozenset[str] = frozenset(("done", "current"))


@dataclass(frozen=True)
class Turn:
    """A node that may change now.

    Attributes:
        since: From when on (seconds since 1970).
        until: When its turn ends by itself; a node that has not spoken by then is lost.
        serial: The publication that it is about.
    """

    since: float
    until: float
    serial: int


@dataclass(frozen=True)
class End:
    """What became of a node's turn.

    Attributes:
        word: What it said, or `lost` where it said nothing.
        at: When.
        why: What had failed.
    """

    word: str
    at: float
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether it is as published, and works."""
        return self.word in GOOD


@dataclass(frozen=True)
class Ledger:
    """Who changes, and who has.

    Attributes:
        serial: The publication that `ended` is about.
        held: Whose turn it is.
        ended: Nodes that have had their turn for this publication.
    """

    serial: int = 0
    held: Mapping[str, Turn] = field(default_factory=dict)
    ended: Mapping[str, End] = field(default_factory=dict)

    def at(self, serial: int, now: float) -> Ledger:
        """As it is now: a later publication begins anew, and a turn that has run out is lost.

        Whoever is at it when a later publication comes keeps its turn; what becomes of it then stops nobody.
        """
        late = {name: turn for name, turn in self.held.items() if turn.until <= now}
        ended = dict(self.ended) if serial == self.serial else {}
        for name, turn in late.items():
            if turn.serial != serial:
                continue
            ended[name] = End("lost", turn.until, "has not spoken before its turn ended: it may be down")
        held = {name: turn for name, turn in self.held.items() if name not in late}
        return Ledger(serial, held, ended)

    def granted(self, name: str, now: float, seconds: float) -> Ledger:
        """With a turn for a node; one that it has already goes on."""
        since = self.held[name].since if name in self.held else now
        return replace(self, held={**self.held, name: Turn(since, now + seconds, self.serial)})

    def returned(self, name: str, word: Word, now: float, why: str = "") -> Ledger:
        """With a node's word; its turn is over."""
        held = {other: turn for other, turn in self.held.items() if other != name}
        return replace(self, held=held, ended={**self.ended, name: End(word, now, why)})

    def left(self, name: str, serial: int) -> Ledger:
        """Without a node's turn for an earlier publication; what becomes of this one it has yet to say."""
        return replace(
            self, held={other: turn for other, turn in self.held.items() if (other, turn.serial) != (name, serial)}
        )

    def bad(self) -> dict[str, End]:
        """The nodes for which nobody else begins."""
        return {name: end for name, end in self.ended.items() if not end.good}


@dataclass(frozen=True)
class Refusal:
    """Why it is not a node's turn.

    Attributes:
        kind: One word for a program: `stopped` is final for this publication, all else may pass.
        why: For a person.
    """

    kind: str
    why: str


def refusal(publication: Publication, ledger: Ledger, name: str, now: float) -> Refusal | None:
    """Say why it is not a node's turn by the plan; nothing where it is. The floors are another question.

    Args:
        publication: What is to become of the fleet.
        ledger: As it is now.
        name: The node that asks.
        now: Seconds since 1970.
    """
    if name not in publication.members:
        return Refusal("unknown", f"nothing is published for {name}")
    if now >= publication.expires:
        return Refusal("stale", "what is published has expired: publish again")
    if bad := {other: end for other, end in ledger.bad().items() if other != name or end.word == "failed"}:
        told = "; ".join(f"{other} {end.word}: {end.why}" for other, end in sorted(bad.items()))
        return Refusal("stopped", f"nobody begins until something else is published: {told}")
    if name in ledger.held:
        return None
    if len(ledger.held) >= publication.concurrent:
        return Refusal("full", f"{', '.join(sorted(ledger.held))} at work, {publication.concurrent} may be at once")
    return _before(publication, ledger, name, now) or _alone(publication, ledger, name)


def _before(publication: Publication, ledger: Ledger, name: str, now: float) -> Refusal | None:
    """Let canaries go first, and show for a while that they live."""
    member = publication.members[name]
    if member.canary:
        return None
    if waiting := sorted(other for other in publication.canaries if other not in ledger.ended):
        return Refusal("canary", f"canaries go first: {', '.join(waiting)}")
    last = max((ledger.ended[other].at for other in publication.canaries), default=None)
    if last is not None and now < last + publication.soak_seconds:
        return Refusal("soak", f"canaries must live for {publication.soak_seconds:.0f} s first")
    return None


def _alone(publication: Publication, ledger: Ledger, name: str) -> Refusal | None:
    """Of gateways and of monitors one changes at a time, however many may at once."""
    role = publication.members[name].role
    beside = [
        other for other in ledger.held if other in publication.members and publication.members[other].role == role
    ]
    if role != "gpu_nodes" and beside:
        return Refusal("full", f"{', '.join(sorted(beside))} at work: of {role} one changes at a time")
    return None


def floor_refusal(publication: Publication, ledger: Ledger, name: str, serving: Collection[str]) -> Refusal | None:
    """Say which service a node's turn would take below its floor.

    Args:
        publication: What is to become of the fleet.
        ledger: As it is now.
        name: The node that asks.
        serving: Nodes that are ready to be given requests. Those whose turn it is count as if they were not.
    """
    for service, wanted in publication.services.items():
        left = set(wanted.nodes) & set(serving) - set(ledger.held)
        if name in left and len(left) - 1 < wanted.floor:
            why = f"{len(left) - 1} of {len(wanted.nodes)} nodes would serve {service}, its floor is {wanted.floor}"
            return Refusal("floor", why)
    return None
