"""Proofs that services do their work: asked until healthy or a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ipex_node import engines, settings, store
from ipex_node.failure import FailedError, Failure, GivenUpError
from ipex_node.gpu import cards
from ipex_node.systemd import Systemd
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ipex_node.manifest import Manifest, Probe
    from ipex_node.world import World

PAUSE_SECONDS = 0.2
"""Between two questions to something that is not healthy yet."""
ACTIVE_SECONDS = 60.0
"""Time for a unit without a probe to become active."""
_ON_ITS_WAY = {"activating", "deactivating", "refreshing", "reloading"}


def probe(world: World) -> dict[str, Any]:
    """`ipex-node probe`: run every probe of the current generation once, deep."""
    manifest = store.manifest(world.paths, store.linked(world.paths.current))
    on_gpu = cards.are_there(settings.load_leniently(world.paths.settings).sysfs)
    failures: list[Failure] = []
    healthy = []
    for one in manifest.probes:
        started = time.monotonic()
        try:
            engines.check(one, started + one.deadline_seconds, on_gpu=on_gpu)
        except FailedError as error:
            failures += error.failures
        else:
            seconds = round(time.monotonic() - started, 3)
            healthy.append({"unit": one.unit, "engine": one.engine, "seconds": seconds})
    answer = [failure.as_json() for failure in failures]
    return {"ok": not failures, "failures": answer, "generation": manifest.id or None, "healthy": healthy}


def await_healthy(
    world: World, manifest: Manifest, units: Iterable[str], check: Callable[[Probe, float], None]
) -> None:
    """Wait until units are active and their probes succeed.

    Only what was touched is asked: a change to one service neither waits for another nor is undone by it.

    Args:
        world: The node.
        manifest: The generation whose probes are asked.
        units: The units in question.
        check: Asks one engine, until a moment of `time.monotonic()`; raises FailedError while unhealthy.

    Raises:
        FailedError: Not all are healthy in their time; every one that is not is named.
    """
    wanted = sorted(set(units))
    probes = {one.unit: one for one in manifest.probes if one.unit in wanted}
    failures: list[Failure] = []
    for unit in wanted:
        one = probes.get(unit)
        progress(f"wait for {unit}")
        try:
            _await_one(world, unit, one, check)
        except FailedError as error:
            failures += error.failures
    if failures:
        raise FailedError(*failures)


def _await_one(world: World, unit: str, one: Probe | None, check: Callable[[Probe, float], None]) -> None:
    deadline = time.monotonic() + (one.deadline_seconds if one else ACTIVE_SECONDS)

    def attempt() -> None:
        _require_active(world, unit)
        if one is None:
            return
        try:
            check(one, deadline)
        finally:
            # A process that has died, before its answer or right after it, is the better reason.
            _require_active(world, unit)

    until(attempt, deadline)


def until(attempt: Callable[[], None], deadline: float) -> None:
    """Try until it succeeds; at the deadline its last failure stands.

    Args:
        attempt: Raises FailedError while the condition does not hold, GivenUpError when it never will.
        deadline: Moment of `time.monotonic()`.
    """
    while True:
        try:
            attempt()
        except GivenUpError:
            raise
        except FailedError:
            if time.monotonic() + PAUSE_SECONDS >= deadline:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return


def _require_active(world: World, unit: str) -> None:
    systemd = Systemd(world.run)
    state = systemd.states([unit])[unit]
    if state.is_active:
        return
    cure = f"on the node: journalctl -u {unit} -n 50"
    if state.active in _ON_ITS_WAY:
        raise FailedError(Failure(unit, f"is still {state.active} ({state.sub})", cure))
    words = systemd.last_words(unit)
    raise GivenUpError(Failure(unit, f"is {state.active} ({state.sub}); it said: {words or 'nothing'}", cure))
