"""`ipex-node drain` and `undrain`, and the same for a transaction: no request is lost by a change.

A node leaves in two moves. First it wishes to be out, and waits until every gateway has said that it sends
nothing new. Then it waits until what is in flight has ended, each service with a deadline of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ipex_node import border, floating, in_flight, loopback, marker, settings, store
from ipex_node.failure import Failure, failed
from ipex_node.health import verdict
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ipex_node.paths import Paths
    from ipex_node.settings import Service, Settings
    from ipex_node.world import World

PAUSE_SECONDS = 0.2
"""Between two looks."""
GONE_SECONDS = 5.0
"""A gateway asks every second; one that has been silent for so long sends no requests either."""
RETURN_SECONDS = 15.0
"""Longest wait for the gateways to take a node back: their second of asking, twice, a reload, and room."""
_QUIET_LOOKS = 2
"""Looks in a row that must find nothing: a request may be between two connections at the moment of one."""


def drain(world: World, reason: str, *, wait: bool, force: bool = False) -> dict[str, Any]:
    """Leave rotation for an operator, until `undrain`; a reboot does not end it.

    A gateway gives the floating address to another one, and takes it no more. keepalived sees the wish by itself.

    Args:
        world: The node.
        reason: Shown to whoever asks why.
        wait: Whether to wait for gateways and for what is in flight.
        force: Leave even where no other gateway could take the floating address.

    Raises:
        FailedError: Nobody would hold the floating address; the node is as it was.
    """
    node = settings.load_leniently(world.paths.settings)
    if node.floating and not force:
        floating.require_other(node.floating)
    marker.put_drain(world.paths, reason, marker.OPERATOR)
    if wait and node.floating and not floating.await_gone(world.paths, node.floating):
        marker.clear_drain(world.paths)
        raise failed("drain", f"still holds {node.floating.address}", "on the node: journalctl -u keepalived -n 50")
    left: dict[str, int | None] = {}
    if wait and (node.services or not node.floating):
        left = await_idle(world.paths, node, node.services)
    cure = "wait, or change what needs changing: it will be cut off"
    failures = [Failure(name, f"{amount(number)} still in flight", cure) for name, number in left.items()]
    return {
        "ok": not failures,
        "failures": [failure.as_json() for failure in failures],
        "rotation": marker.rotation(world.paths),
    }


def undrain(world: World) -> dict[str, Any]:
    """Return to rotation: an operator's wish is taken back, one that a dead transaction has left, and a verdict.

    Raises:
        FailedError: A transaction is at work; it returns by itself.
    """
    there = marker.drain(world.paths)
    if there and there.by != marker.OPERATOR and store.is_locked(world.paths):
        raise failed("undrain", f"{there.by} is at work and returns by itself", "wait for it")
    condemned = verdict.read(world.paths.verdict) != verdict.Verdict()
    marker.clear_drain(world.paths)
    world.paths.verdict.unlink(missing_ok=True)
    node = settings.load_leniently(world.paths.settings)
    asked = bool(node.services) or node.floating is None
    waiting = await_gateways(node, "in", RETURN_SECONDS) if asked and (there or condemned) else []
    return {
        "ok": True,
        "failures": [],
        "changed": there is not None or condemned,
        "rotation": marker.rotation(world.paths),
        "not_yet_in": waiting,
    }


def await_idle(paths: Paths, node: Settings, services: Collection[Service]) -> dict[str, int | None]:
    """Wait until the gateways send nothing new, and then until services have nothing in flight.

    A gateway that does not let go is waited for as long as the longest deadline: what it sends would be lost.

    Returns:
        What was left at a service's deadline; none where it did not say.
    """
    started = time.monotonic()
    await_gateways(node, "out", longest(services))
    return _await_quiet(paths, services, started)


def await_gateways(node: Settings, wanted: str, seconds: float, services: Collection[str] = ()) -> list[str]:
    """Wait until every gateway says how it treats this node, or is gone.

    Args:
        node: Knows the gateways and the agent they ask.
        wanted: `out` or `in`.
        seconds: Longest wait.
        services: Where only these are to be out: it is enough that they get nothing.

    Returns:
        The gateways that have not said so.
    """
    started = time.monotonic()
    told: list[str] = []
    while True:
        waited = time.monotonic() - started
        waiting = _other_minded(node, wanted, waited, services)
        if not waiting or waited >= seconds:
            return waiting
        if waiting != told:
            progress(f"wait until {', '.join(waiting)} say: {wanted}")
            told = waiting
        time.sleep(PAUSE_SECONDS)


def _other_minded(node: Settings, wanted: str, waited: float, services: Collection[str]) -> list[str]:
    said = _said(node.agent_port) if node.gateways else {}
    return [name for name in sorted(node.gateways) if not _agrees(said.get(name), wanted, waited, services)]


def _agrees(word: dict[str, Any] | None, wanted: str, waited: float, services: Collection[str]) -> bool:
    if word is None:
        # The agent may have started a moment ago: silence counts only after it has been listened to.
        return waited >= GONE_SECONDS
    lets_go = bool(services) and set(services) <= set(word["without"])
    return bool(word["rotation"] == wanted or lets_go or word["seconds_ago"] >= GONE_SECONDS)


def circuit(port: int) -> tuple[str, ...]:
    """Ask this node's agent which checks fail on so many nodes that the gateways doubt the checks."""
    return verdict.checks(_ready(port).get("circuit"))


def _said(port: int) -> dict[str, dict[str, Any]]:
    """Ask this node's agent what the gateways have said; nothing where it does not answer."""
    said = _ready(port).get("gateways")
    return said if isinstance(said, dict) else {}


def _ready(port: int) -> dict[str, Any]:
    try:
        answer = border.parse(loopback.get(port, "/ready", GONE_SECONDS)[1])
    except (OSError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _await_quiet(paths: Paths, services: Iterable[Service], started: float) -> dict[str, int | None]:
    waiting = dict.fromkeys(services, 0)
    left: dict[str, int | None] = {}
    told: dict[str, int | None] = {}
    while waiting:
        found = {service: in_flight.count(service, paths.connections) for service in waiting}
        for service, number in found.items():
            waiting[service] = waiting[service] + 1 if number == 0 else 0
            if waiting[service] >= _QUIET_LOOKS:
                del waiting[service]
            elif time.monotonic() - started >= service.drain_seconds and number != 0:
                del waiting[service]
                left[service.name] = number
        now = {service.name: found[service] for service in waiting if found[service] != 0}
        if now != told:
            progress("in flight: " + (", ".join(f"{name} {amount(number)}" for name, number in now.items()) or "none"))
            told = now
        if waiting:
            time.sleep(PAUSE_SECONDS)
    return left


def longest(services: Iterable[Service]) -> float:
    """Return the longest deadline of services, in seconds."""
    return max((service.drain_seconds for service in services), default=GONE_SECONDS)


def amount(number: int | None) -> str:
    """Return a number of pieces of work in words."""
    return "something unknown" if number is None else str(number)
