"""The fleet as its users see it: what the gateway knows, as the front page's live data. Pure.

Everybody who reaches the gateway may read them: they hold names and numbers, and no address of a node. What nodes
say is cut and cleaned here, whatever it is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ipex_node.gateway.rotation import ACTIVATING, Heard, Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ipex_node.gateway.numbers import Gpu
    from ipex_node.gateway.objectives import Budget
    from ipex_node.gateway.rotation import Rotation
    from ipex_node.gateway.settings import GatewaySettings

FORMAT = 1
WORDS = 200
"""Longest text of a node's that is passed on, in characters."""
_GENERATION = 16


@dataclass
class Known:
    """What is known of one node; times are moments of `time.time()`, 0 where it never was.

    Attributes:
        heard: Its last answer that was one.
        heard_at: When that was.
        silence: Whether the last question had no answer.
        gpus: Name to GPU, as its page of metrics said.
        gpus_at: When that was.
    """

    heard: Heard = field(default_factory=Heard)
    heard_at: float = 0.0
    silence: bool = True
    gpus: Mapping[str, Gpu] = field(default_factory=dict)
    gpus_at: float = 0.0


def fleet(
    settings: GatewaySettings,
    rotation: Rotation,
    known: Mapping[str, Known],
    budgets: tuple[Budget, ...] | None,
    now: float,
) -> dict[str, Any]:
    """Return the live data of one moment.

    Args:
        settings: The gateway's.
        rotation: How it treats its nodes.
        known: Node to what is known of it.
        budgets: What is left of the error budgets; None where nobody knows.
        now: The moment, of `time.time()`.
    """
    nodes = [_node(settings, rotation, name, known[name], now) for name in settings.nodes]
    return {
        "format": FORMAT,
        "environment": settings.front_page.environment,
        "gateway": settings.gateway,
        "time": round(now, 1),
        "services": [_service(name, nodes) for name in settings.members()],
        "nodes": nodes,
        "objectives": None if budgets is None else [asdict(budget) for budget in budgets],
    }


def _service(name: str, nodes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    there = [one for node in nodes for one in node["services"] if one["name"] == name]
    counted = [one["in_flight"] for one in there if one["in_flight"] is not None]
    return {
        "name": name,
        "nodes": len(there),
        "serving": sum(one["state"] == "serving" for one in there),
        "in_flight": sum(counted) if counted else None,
    }


def _node(settings: GatewaySettings, rotation: Rotation, name: str, known: Known, now: float) -> dict[str, Any]:
    services = [
        _state(service, rotation.members[service][name], known, held=name in rotation.held.get(service, ()))
        for service in sorted(settings.nodes[name].services)
    ]
    reason = "" if known.silence else known.heard.reason
    old_seconds = 3 * settings.front_page.numbers_seconds
    return {
        "name": name,
        "silent": known.silence,
        "heard_seconds_ago": _age(known.heard_at, now),
        "reason": _clean(settings, reason),
        "generation": _clean(settings, known.heard.generation)[:_GENERATION],
        "services": [{**one, "reason": _clean(settings, one["reason"])} for one in services],
        "gpus": [{"name": gpu, **asdict(numbers)} for gpu, numbers in known.gpus.items()],
        "measured_seconds_ago": _age(known.gpus_at, now),
        "numbers_old": now - known.gpus_at > old_seconds,
    }


def _state(service: str, member: Member, known: Known, *, held: bool) -> dict[str, Any]:
    heard = known.heard
    condemned = "" if known.silence else heard.out.get(service, "")
    return {
        "name": service,
        "state": _word(service, member, known, held=held),
        "reason": condemned,
        "in_flight": None if known.silence else heard.in_flight.get(service),
    }


def _word(service: str, member: Member, known: Known, *, held: bool) -> str:
    """Return one word on a service of a node.

    serving: gets requests. doubted: looks down like too many others, and gets requests all the same. draining: gets
    no new work. changing: out while the node changes. condemned: out by the node's health monitor. down: the engine
    does not answer. silent: the node does not. returning: well again, and not yet given requests.
    """
    if member.treatment == "in":
        return "doubted" if held else "serving"
    if known.silence:
        return "silent"
    if known.heard.reason:
        return "changing" if known.heard.reason.startswith(ACTIVATING) else "draining"
    if service in known.heard.out:
        return "condemned"
    return "returning" if known.heard.services.get(service) else "down"


def _age(moment: float, now: float) -> int | None:
    return max(0, round(now - moment)) if moment else None


def _clean(settings: GatewaySettings, text: str) -> str:
    """Return a node's words for strangers: on one line, of bounded length, with names where addresses stood."""
    short = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * WORDS])
    # The longest first: 10.0.0.1 begins 10.0.0.12.
    for name, backend in sorted(settings.nodes.items(), key=lambda item: -len(item[1].address)) if short else ():
        short = short.replace(backend.address, name)
    return short if len(short) <= WORDS else f"{short[: WORDS - 1]}…"
