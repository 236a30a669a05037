"""What the health monitor holds against this node: a file that the agent reads, so that it leaves rotation.

The monitor has no privilege and needs none for this. The file lies in /run: a reboot ends every verdict.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ipex_node import border, files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

_CHECK = re.compile(r"[a-z0-9][a-z0-9-]{0,40}:[a-z0-9-]{1,20}")
CHECKS = 16
"""Checks kept at most of what another machine says."""


@dataclass(frozen=True)
class Condemned:
    """Why a service, or the whole node, gets no requests.

    Attributes:
        check: What failed, as `ollama:generates` or `gpu:wedge`.
        reason: What was seen.
        since: When, for a person.
        final: No restart is tried any more; it ends by `ipex-node undrain`, by a reboot or by another generation.
        generation: The generation that was current.
        doubted_until: What is final counts among the failures of the fleet, and is doubted with them, until this
            moment of the clock that a boot begins with (CLOCK_BOOTTIME), in seconds.
    """

    check: str
    reason: str
    since: str = ""
    final: bool = False
    generation: str | None = None
    doubted_until: float = 0.0

    @property
    def is_settled(self) -> bool:
        """Whether this node is beyond doubt the one that is ill, whatever fails elsewhere."""
        return self.final and time.clock_gettime(time.CLOCK_BOOTTIME) >= self.doubted_until

    def given_up(self, seconds: float) -> Condemned:
        """Return the same with no restart behind it, doubted for some seconds more."""
        until = time.clock_gettime(time.CLOCK_BOOTTIME) + seconds
        return self if self.final else replace(self, final=True, doubted_until=until)


@dataclass(frozen=True)
class Verdict:
    """Everything that is held against the node.

    Attributes:
        node: Why the node as a whole needs a reboot; none where it does not.
        services: Service to why it is out.
        failing: Every check that fails, acted on or not, but for what is settled: the gateways count it over the fleet.
    """

    node: Condemned | None = None
    services: dict[str, Condemned] = field(default_factory=dict)
    failing: tuple[str, ...] = ()

    def out(self, services: Iterable[str], circuit: Collection[str]) -> dict[str, str]:
        """Return the services that are to have no requests, each with the reason.

        Args:
            services: All the node runs.
            circuit: Checks that fail on so many nodes that none is taken out for them, unless that was settled before.
        """
        found = {}
        for service in services:
            one = self.services.get(service)
            for held in (self.node, one):
                if held and (held.is_settled or held.check not in circuit):
                    found[service] = f"{held.check}: {held.reason}"
                    break
        return found

    def since(self, service: str) -> str:
        """Return since when something is held against a service; empty where nothing is."""
        return self.services[service].since if service in self.services else ""

    def counted(self, failing: Mapping[str, str]) -> tuple[str, ...]:
        """Return what gateways are to count, of services and the checks they fail: nothing that is settled."""
        settled = {name for name, held in self.services.items() if held.is_settled}
        return checks([check for name, check in failing.items() if name not in settled])

    def without(self, service: str) -> Verdict:
        """Return the verdict with nothing against one service."""
        kept = {name: one for name, one in self.services.items() if name != service}
        return replace(self, services=kept)

    def against(self, service: str, held: Condemned) -> Verdict:
        """Return the verdict with something more against one service."""
        return replace(self, services={**self.services, service: held})


def read(path: Path) -> Verdict:
    """Return the verdict in a file; nothing is held against a node whose file is missing or damaged."""
    try:
        raw = border.load(path)
        return Verdict(
            node=_condemned(raw["node"]) if raw["node"] else None,
            services={str(name): _condemned(one) for name, one in raw["services"].items()},
            failing=checks(raw["failing"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return Verdict()


def write(path: Path, verdict: Verdict) -> None:
    """Leave a verdict for the agent."""
    files.write(path, json.dumps(asdict(verdict)).encode())


def forget(path: Path, services: Iterable[str]) -> None:
    """Hold nothing against services any more: they have just been proved."""
    there = read(path)
    kept = there
    for service in services:
        kept = kept.without(service)
    if kept != there:
        write(path, kept)


def checks(words: object) -> tuple[str, ...]:
    """Return those of some words that are names of checks, a bounded number: another machine may say anything."""
    listed = words if isinstance(words, list | tuple) else []
    found = sorted({word for word in listed if isinstance(word, str) and _CHECK.fullmatch(word)})
    return tuple(found[:CHECKS])


def _condemned(raw: dict[str, Any]) -> Condemned:
    check, reason, since = (border.words(str(raw[key])) for key in ("check", "reason", "since"))
    doubted_until = float(raw.get("doubted_until", 0))
    return Condemned(check, reason, since, bool(raw["final"]), raw["generation"], doubted_until)
