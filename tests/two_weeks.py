"""100 nodes that update themselves for two weeks, by the minute, with the functions that decide on real nodes."""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ipex_node.update import turns
from ipex_node.update.publication import Member, Publication, Service
from ipex_node.update.turns import Ledger
from ipex_node.update.windows import Blackout, Calendar, Window, slot

START = datetime(2026, 3, 20, tzinfo=UTC)
"""The clock leaps in Berlin on the ninth day, and has leapt in New York before."""
MINUTE, DAYS = timedelta(minutes=1), 14
SPREAD, RESERVE = timedelta(minutes=45), timedelta(minutes=15)
LEASE = 3600.0
CONCURRENT = 3
CALENDARS = (
    Calendar((Window("night", "daily 01:00", "daily 05:00", "Europe/Berlin"),)),
    Calendar(
        (Window("night", "daily 22:30", "daily 03:00", "America/New_York"),),
        (Blackout("fair", "2026-03-24", "2026-03-25"),),
    ),
    Calendar(
        (
            Window("week", "sunday 01:00", "sunday 06:00", "UTC"),
            Window("mid", "wednesday 02:30", "wednesday 04:00", "UTC"),
        )
    ),
)


@dataclass
class Machine:
    """One node.

    Attributes:
        calendar: when it may change.
        has: the serial of what it has.
        down_until: minute until which it is down.
        asks_until: until when its run asks for a turn; None while none is under way.
        changes_until: minute at which its change ends; None while none is under way.
        dies: whether it goes down in its next change, and is never heard of that one.
    """

    calendar: Calendar
    has: int = 0
    down_until: int = 0
    asks_until: datetime | None = None
    changes_until: int | None = None
    dies: bool = False


@dataclass
class TwoWeeks:
    """One fleet under one seed.

    Attributes:
        seed: the same gives the same weeks.
        faults: whether nodes go down, and die in their changes.
        published: minute to what is published then, and whether it is any good.
        violations: what must never happen, and did.
        most: so many changed at once.
        begun: serial to the nodes that have begun it, in order.
    """

    seed: int
    faults: bool
    published: dict[int, bool]
    nodes: int = 100
    violations: list[str] = field(default_factory=list)
    most: int = 0
    begun: dict[int, list[str]] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        """Draw the nodes; every tenth serves nothing, three are gateways."""
        self.random = random.Random(self.seed)  # noqa: S311 - a seed must give the same weeks again
        self.machines = {f"gpu-{number:03}": Machine(self.random.choice(CALENDARS)) for number in range(self.nodes - 3)}
        self.machines |= {f"gateway-{number}": Machine(CALENDARS[0]) for number in range(3)}
        self.publication: Publication | None = None
        self.good = True
        backends = tuple(name for place, name in enumerate(self.machines) if place % 10 and name.startswith("gpu"))
        self.services = {"ollama": Service(backends, len(backends) - self.random.randint(1, 4))}

    def run(self) -> None:
        """Let two weeks pass."""
        starts = self._starts()
        busy: set[str] = set()
        for minute in range(DAYS * 1440):
            if minute in self.published:
                self._publish(minute)
            busy |= {name for name in starts.get(minute, ()) if self._wakes(name, minute)}
            if not busy:
                continue
            busy = {name for name in sorted(busy) if self._goes_on(name, minute)}
            self._watch()

    def _starts(self) -> dict[int, list[str]]:
        """When each node's timer fires: at its own moment behind every opening."""
        found: dict[int, list[str]] = {}
        for name, machine in self.machines.items():
            for opening in machine.calendar.openings(START, START + timedelta(days=DAYS)):
                found.setdefault((opening.begin + slot(name, SPREAD) - START) // MINUTE, []).append(name)
        return found

    def _publish(self, minute: int) -> None:
        serial = (self.publication.serial if self.publication else 0) + 1
        canaries = self.random.sample([name for name in self.machines if name.startswith("gpu")], 2)
        members = {
            name: Member("0" * 16, "", "", (), "", 0, "gateways" if name.startswith("gateway") else "gpu_nodes")
            for name in self.machines
        }
        members |= {name: replace(members[name], canary=True) for name in canaries}
        now = self._now(minute)
        self.good = self.published[minute]
        self.publication = Publication("sim", serial, now, now + 14 * 86400, CONCURRENT, 600, members, self.services)

    @staticmethod
    def _now(minute: int) -> float:
        return (START + minute * MINUTE).timestamp()

    def _wakes(self, name: str, minute: int) -> bool:
        machine = self.machines[name]
        if self.faults and self.random.random() < 0.02:
            machine.down_until = minute + self.random.randint(10, 3000)
        machine.dies = self.faults and self.random.random() < 0.002
        up = minute >= machine.down_until
        machine.asks_until = machine.calendar.until(START + minute * MINUTE, RESERVE) if up else None
        return machine.asks_until is not None

    def _goes_on(self, name: str, minute: int) -> bool:
        """One minute of a node's run; whether there is another."""
        machine, moment = self.machines[name], START + minute * MINUTE
        if machine.changes_until is not None:
            return self._changes(name, minute)
        if not self.publication or not machine.asks_until or moment >= machine.asks_until:
            return False
        now = self._now(minute)
        self.ledger = self.ledger.at(self.publication.serial, now)
        if machine.has == self.publication.serial:
            self.ledger = self.ledger.returned(name, "current", now)
            return False
        ready = {
            other for other, one in self.machines.items() if minute >= one.down_until and one.changes_until is None
        }
        refused = turns.refusal(self.publication, self.ledger, name, now)
        refused = refused or turns.floor_refusal(self.publication, self.ledger, name, ready)
        if refused:
            return refused.kind != "stopped"
        self._begins(name, minute)
        return True

    def _begins(self, name: str, minute: int) -> None:
        publication, machine = self.publication, self.machines[name]
        assert publication
        before = [other for other in publication.canaries if self.machines[other].has != publication.serial]
        if before and name not in publication.canaries:
            self.violations.append(f"{name} began before the canaries {before} had ended")
        if not machine.calendar.is_open(START + minute * MINUTE):
            self.violations.append(f"{name} began outside its window, minute {minute}")
        if set(self.ledger.bad()) - {name}:
            self.violations.append(f"{name} began after {self.ledger.bad()}")
        for service in self.services.values():
            serving = [
                other
                for other in service.nodes
                if minute >= self.machines[other].down_until and self.machines[other].changes_until is None
            ]
            if name in serving and len(serving) - 1 < service.floor:
                self.violations.append(f"{name} began with {len(serving)} serving, {service.floor} must")
        self.ledger = self.ledger.granted(name, self._now(minute), LEASE)
        self.begun.setdefault(publication.serial, []).append(name)
        machine.changes_until = minute + self.random.randint(1, 12)

    def _changes(self, name: str, minute: int) -> bool:
        machine = self.machines[name]
        assert machine.changes_until is not None
        assert self.publication
        if minute < machine.changes_until:
            return True
        machine.changes_until = None
        if machine.dies:
            machine.down_until = minute + 600
            return False
        if self.good:
            machine.has = self.publication.serial
        self.ledger = self.ledger.returned(name, "done" if self.good else "failed", self._now(minute))
        return False

    def _watch(self) -> None:
        changing = [name for name, machine in self.machines.items() if machine.changes_until is not None]
        self.most = max(self.most, len(changing))
        if len(changing) > CONCURRENT:
            self.violations.append(f"{changing} at once")
        if len([name for name in changing if name.startswith("gateway")]) > 1:
            self.violations.append(f"{changing}: two gateways at once")
