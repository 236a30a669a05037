"""Which node a gateway gives requests to. Pure: what was heard goes in, how each node is treated comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Treatment = Literal["in", "draining", "out"]
"""in: gets requests. draining: gets no new work, but sessions may look after what they have there. out: nothing."""

Treatments = dict[str, dict[str, Treatment]]
"""Service to node to treatment."""

DRAINING = "draining"
ACTIVATING = "activating"
WISHES = (DRAINING, ACTIVATING)
"""How the reason of a node begins that asks to be left out. One that activates restarts what serves: nothing that a
session may have there outlives that."""


@dataclass(frozen=True)
class Heard:
    """What one question to a node brought.

    Attributes:
        reason: Why the node wants no requests at all; empty where it wants them or said nothing.
        services: Service to its health, as the node knows it.
        silence: Why there was no answer; empty where there was one.
        failing: Checks of its health that fail there.
        generation: What is current there.
        in_flight: Service to the requests it works on.
        out: Condemned service to the reason.
        warm: Service to its models that are loaded; a service is missing where the node does not know.
        models: Service to its declared models that are there, with the right digest; as `warm`.
    """

    reason: str = ""
    services: Mapping[str, bool] = field(default_factory=dict)
    silence: str = ""
    failing: tuple[str, ...] = ()
    generation: str = ""
    in_flight: Mapping[str, int] = field(default_factory=dict)
    out: Mapping[str, str] = field(default_factory=dict)
    warm: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass
class Member:
    """One service on one node, as the gateway sees it.

    Attributes:
        treatment: How it is treated.
        why: Why it is not in.
        passes: Good answers in a row.
        fails: Questions in a row to which the service was not said to be healthy.
    """

    treatment: Treatment = "in"
    why: str = ""
    passes: int = 0
    fails: int = 0


class Rotation:
    """Rise, fall, draining, and failing open.

    Args:
        members: Service to the nodes that run it.
        rise: Good answers in a row that bring a member back.
        fall: Questions in a row without a good answer that take it out.
        fail_open_share: Share of a service's nodes in rotation; if more of them look down at once, none is taken out.
        before: How members were treated before this program was started anew.
    """

    def __init__(
        self,
        members: Mapping[str, tuple[str, ...]],
        rise: int,
        fall: int,
        fail_open_share: float,
        before: Mapping[str, Mapping[str, Treatment]] | None = None,
    ) -> None:
        self._rise = rise
        self._fall = fall
        self._share = fail_open_share
        self.held: dict[str, tuple[str, ...]] = {}
        """Service to the nodes that look down and are kept in, for too many of them do."""
        known = before or {}
        self.members = {
            service: {node: _member(known.get(service, {}).get(node), fall) for node in nodes}
            for service, nodes in members.items()
        }

    def hear(self, node: str, heard: Heard) -> None:
        """Take in what a question to a node brought."""
        for service, members in self.members.items():
            if node in members:
                self._hear(members[node], heard, healthy=heard.services.get(service, False), service=service)
        for service, members in self.members.items():
            if node in members:
                self._judge(service, members)

    def treatments(self) -> Treatments:
        """Return how every member is to be treated."""
        return {
            service: {node: member.treatment for node, member in members.items()}
            for service, members in self.members.items()
        }

    def _hear(self, member: Member, heard: Heard, *, healthy: bool, service: str) -> None:
        member.passes = member.passes + 1 if healthy and not heard.reason else 0
        member.fails = 0 if healthy else member.fails + 1
        if heard.reason:
            gone = heard.reason.startswith(ACTIVATING) or member.fails >= self._fall
            member.treatment, member.why = "out" if gone else "draining", heard.reason
        elif not healthy:
            member.why = heard.silence or f"says that {service} does not answer"

    def _judge(self, service: str, members: Mapping[str, Member]) -> None:
        """Let members rise and fall."""
        there = {node: member for node, member in members.items() if member.treatment == "in"}
        # Whoever failed its last question counts, so that a net that breaks takes nobody out one by one.
        suspects = [node for node, member in there.items() if member.fails]
        fallen = tuple(node for node in suspects if there[node].fails >= self._fall)
        too_many = len(suspects) > self._share * len(there)
        self.held = {**self.held, service: fallen if too_many else ()}
        for node, member in members.items():
            if member.treatment != "in" and member.passes >= self._rise:
                member.treatment, member.why = "in", ""
            elif (node in fallen and not too_many) or (member.treatment == "draining" and member.fails >= self._fall):
                member.treatment = "out"


def _member(before: Treatment | None, fall: int) -> Member:
    # The first question decides on a node of which nothing is known.
    return Member(before) if before else Member(fails=fall - 1)


def differences(old: Treatments, new: Treatments) -> Iterator[tuple[str, str, Treatment]]:
    """Yield service, node and new treatment of every member that is treated otherwise than before."""
    for service, nodes in new.items():
        for node, treatment in nodes.items():
            if old.get(service, {}).get(node) != treatment:
                yield service, node, treatment


def is_urgent(loaded: Treatments, wanted: Treatments) -> bool:
    """Whether nginx still gives requests to a member that is to have none."""
    return any(treatment != "in" for _, _, treatment in _leaving(loaded, wanted))


def _leaving(loaded: Treatments, wanted: Treatments) -> Iterator[tuple[str, str, Treatment]]:
    for service, node, treatment in differences(loaded, wanted):
        if loaded.get(service, {}).get(node, "in") == "in":
            yield service, node, treatment


def gets_nothing(loaded: Treatments, node: str) -> bool:
    """Whether no service of a node gets new work from what nginx has loaded."""
    here = [nodes[node] for nodes in loaded.values() if node in nodes]
    return bool(here) and "in" not in here


def gets_no(loaded: Treatments, node: str) -> tuple[str, ...]:
    """Return the services of a node that get no new work from what nginx has loaded."""
    return tuple(service for service, nodes in sorted(loaded.items()) if nodes.get(node, "in") != "in")


class Gathering:
    """Lets changes that are in no hurry wait for others: each reload makes nginx forget what is in flight.

    Args:
        seconds: Longest wait.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None

    def is_due(self, now: float, *, waiting: bool, urgent: bool) -> bool:
        """Say whether nginx is to be told now.

        Args:
            now: A moment of `time.monotonic()`.
            waiting: Whether there is anything to tell.
            urgent: Whether it may not wait.
        """
        if not waiting:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return urgent or self.left(now) <= 0

    def left(self, now: float) -> float:
        """Return how many seconds the first change that waits has still to wait; without one, a whole wait."""
        return self._seconds if self._since is None else self._since + self._seconds - now
