"""What the health monitor does about an ill engine: out of rotation, one restart through the narrow door, proof.

The monitor may restart nothing itself. It writes /run/ipex-health/restart-NAME, and systemd, which watches that file
for the node's own engines and for nothing else, restarts NAME.service.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ipex_node import in_flight, probing, rotation
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.health import memory, verdict
from ipex_node.health.budget import Budget
from ipex_node.health.verdict import Condemned
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipex_node.health.checks import Checks, Finding
    from ipex_node.health.memory import Memory
    from ipex_node.health.settings import Health
    from ipex_node.health.verdict import Verdict
    from ipex_node.paths import Paths
    from ipex_node.settings import Service, Settings

DOOR_SECONDS = 60.0
"""Longest wait for systemd to have restarted a unit: TimeoutStopSec= of the engines' units, twice."""


class DoorError(FailedError):
    """A restart that was asked for has not come: that says nothing of the engine."""


@dataclass(frozen=True)
class Ill:
    """An engine to be repaired.

    Attributes:
        service: Which.
        check: What failed.
        reason: What was seen.
    """

    service: Service
    check: str
    reason: str

    @property
    def one_restart(self) -> bool:
        """Whether a second restart would bring nothing the first has not brought."""
        return self.check.endswith(":gpu") or self.check.startswith("gpu:")


class Repair:
    """Repairs engines of one node.

    Args:
        paths: The node's places.
        node: Its settings.
        health: How it is repaired.
        checks: Asks its engines.
        memory: What was done before; kept on the disk before anything is done.
        disturbed: Says why the monitor must keep still; empty where it need not.
    """

    def __init__(  # noqa: PLR0913,PLR0917 - all of a node that a repair touches
        self,
        paths: Paths,
        node: Settings,
        health: Health,
        checks: Checks,
        memory: Memory,
        disturbed: Callable[[], str],
    ) -> None:
        self._paths = paths
        self._node = node
        self._health = health
        self._checks = checks
        self._memory = memory
        self._disturbed = disturbed
        self._budget = Budget(health.restarts, health.window_seconds, health.backoff_seconds)
        self.restarted: list[str] = []
        """Services that were restarted and are healthy again, in order."""
        self.has_asked = False
        """Whether any restart was asked for."""
        self.failures: list[Failure] = []
        """What was in the way of a repair, beside the engines themselves."""

    def left(self, service: str) -> int:
        """Return how many restarts a service has left."""
        return self._budget.left(self._memory.spent.get(service, []), memory.now(self._paths))

    def run(self, ill: Sequence[Ill], generation: str | None) -> None:
        """Take engines out of rotation, let what is in flight end, restart and prove each."""
        since = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        for one in ill:
            held = Condemned(one.check, one.reason, since, generation=generation)
            self._hold(one, held)
        self._leave([one.service for one in ill])
        for one in ill:
            if self._is_disturbed(one):
                continue
            if one.check.endswith(":generates") and not self._look(one.service).check:
                progress(f"{one.service.name} was only busy")
                self.lift(one.service.name)
            else:
                self._restart(one)

    def _is_disturbed(self, one: Ill) -> bool:
        """Whether somebody else has the node in hand by now: whatever is seen of the engine is not its illness."""
        still = self._disturbed()
        if still:
            progress(f"{one.service.name} is left alone: {still}")
            self.lift(one.service.name)
        return bool(still)

    def _look(self, service: Service) -> Finding:
        return self._checks.look(service, self._checks.until(service))

    def lift(self, service: str) -> None:
        """Hold nothing against a service any more."""
        self._change(lambda there: there.without(service))

    def _leave(self, services: Sequence[Service]) -> None:
        names = [service.name for service in services]
        rotation.await_gateways(self._node, "out", rotation.RETURN_SECONDS, names)
        deadline = time.monotonic() + self._health.leave_seconds
        for service in services:
            while in_flight.count(service, self._paths.connections) != 0 and time.monotonic() < deadline:
                time.sleep(rotation.PAUSE_SECONDS)

    def _restart(self, one: Ill) -> None:
        """Restart within the budget, and prove; what cannot be healed stays out."""
        name, now = one.service.name, memory.now(self._paths)
        spent = self._budget.recent(self._memory.spent.get(name, []), now)
        wait = self._budget.wait(spent, now)
        if self._budget.left(spent, now) == 0:
            self._give_up(one, f"{len(spent)} restarts in {self._health.window_seconds:.0f} seconds have not helped")
        elif wait > 0:
            progress(f"{name} stays out of rotation: the next restart may be in {wait:.0f} seconds")
        else:
            self._memory.spent[name] = [*spent, now]
            self._memory.restarts[name] = self._memory.restarts.get(name, 0) + 1
            # Kept first: a monitor that is killed here must not restart once more than it may.
            self._keep()
            self._prove(one)

    def _keep(self) -> None:
        try:
            memory.save(self._paths, self._memory)
        except FailedError as error:
            self.failures += error.failures

    def _prove(self, one: Ill) -> None:
        name = one.service.name
        progress(f"restart {one.service.unit}: {one.check}: {one.reason}")
        try:
            self._ask(one)
            until = self._checks.until(one.service)
            probing.until(lambda: _require(self._checks.look(one.service, until)), until)
        except FailedError as error:
            progress(f"{name} is not healed: {error}")
            if self._is_disturbed(one):
                return
            if isinstance(error, DoorError):
                self.failures += error.failures
                # No restart, so nothing of the budget.
                self._memory.spent[name] = self._memory.spent[name][:-1]
            elif one.one_restart or self.left(name) == 0:
                self._give_up(one, f"a restart has not helped: {error}")
        else:
            progress(f"{name} is healthy again")
            self.restarted.append(name)
            self.lift(name)

    def _ask(self, one: Ill) -> None:
        """Ask systemd for the restart, and wait until the unit runs anew."""
        self.has_asked = True
        before = self._checks.start(one.service)
        request = self._paths.health / f"restart-{one.service.unit.removesuffix('.service')}"
        # Written in place: closing a file that was written is what systemd.path(5), PathChanged=, waits for. Only the
        # name of the check: the reason may be an engine's own words.
        try:
            request.write_text(f"{one.check}\n", encoding="ascii")
        except OSError as error:
            why = f"cannot be written: {error.strerror}"
            raise DoorError(Failure(str(request), why, "remove it, as root")) from error
        _await_start(self._checks, one.service, before)

    def _give_up(self, one: Ill, why: str) -> None:
        progress(f"{one.service.name} stays out of rotation: {why}; ipex-node undrain ends this")
        self._change(lambda there: _finally(there, one.service.name, self._health.window_seconds))

    def _hold(self, one: Ill, held: Condemned) -> None:
        """Hold something against a service, since when it was first held."""
        name = one.service.name
        self._change(lambda there: there.against(name, replace(held, since=there.since(name) or held.since)))

    def _change(self, change: Callable[[Verdict], Verdict]) -> None:
        """Write the verdict anew, from what it is now: an operator may have ended it meanwhile."""
        verdict.write(self._paths.verdict, change(verdict.read(self._paths.verdict)))


def _finally(there: Verdict, service: str, seconds: float) -> Verdict:
    held = there.services.get(service)
    return there.against(service, held.given_up(seconds)) if held else there


def _await_start(checks: Checks, service: Service, before: str) -> None:
    """Wait for the unit's next start.

    Raises:
        DoorError: It runs as before.
        FailedError: It was stopped, and does not start.
    """
    deadline = time.monotonic() + DOOR_SECONDS
    while (now := checks.start(service)) in {"", before}:
        if time.monotonic() < deadline:
            time.sleep(probing.PAUSE_SECONDS)
            continue
        door = f"ipex-restart@{service.unit}"
        cure = f"on the node: systemctl status {door.removesuffix('.service')}.path {door} {service.unit}"
        if now:
            raise DoorError(Failure(service.unit, f"was not restarted within {DOOR_SECONDS:.0f} s", cure))
        raise failed(service.unit, "does not start", cure)


def _require(found: Finding) -> None:
    if found.check:
        raise failed(found.check, found.reason)
