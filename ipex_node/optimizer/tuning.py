"""`ipex-node optimize tuning`: which setting of a small grid is the fastest on this node.

The node leaves rotation, and its engine runs with one setting after the other, each a drop-in that lives below /run.
Nothing is changed for good: what is faster is proposed as a change of the data. However this ends (done, failed,
killed, a power cut), the engine runs with the declared setting afterwards: this process, the dead-man timer, the next
activation or the boot sees to that.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ipex_node import deadman, engines, marker, probing, recovery, rotation, settings, store
from ipex_node.client import Client
from ipex_node.failure import FailedError, failed
from ipex_node.gpu import cards
from ipex_node.optimizer import baseline, history, measuring, trial
from ipex_node.optimizer.history import Row
from ipex_node.world import end_at_sigterm, progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipex_node.optimizer.settings import Optimizer, Tuned
    from ipex_node.settings import Settings
    from ipex_node.world import World


def tune(world: World, *, declared_only: bool = False, unattended: bool = False) -> dict[str, Any]:
    """Measure, keep the figures, and propose what is faster.

    Args:
        world: The node.
        declared_only: Measure the declared setting alone: a baseline of this release.
        unattended: Do nothing where the node is not in rotation: somebody works on it, or it is ill.

    Raises:
        FailedError: The node has no optimizer, is locked, or was not idle in time; it is as it was.
    """
    node = settings.load(world.paths.settings)
    optimizer = node.optimizer
    if optimizer is None or not optimizer.tuned:
        raise failed(str(world.paths.settings), "names no service to be tuned", "only GPU nodes have one; deploy")
    if unattended and marker.rotation(world.paths)["state"] != "in":
        return _nothing("the node is out of rotation")
    with store.locked(world.paths, "optimize tuning"):
        recovery.resume(world)
        rows, proposals = _Tuning(world, node, optimizer).run(declared_only=declared_only)
    failures = [failure for row in rows if row.declared and row.failed for failure in _said(row)]
    found = baseline.compare(history.read(world.paths), optimizer.loss)
    failures += [failure.as_json() for failure in baseline.failures(found, optimizer.loss)]
    return {
        "ok": not failures,
        "failures": failures,
        "measured": [row.as_json() for row in rows],
        "proposals": proposals,
        "compared": [one.as_json() for one in found],
    }


class _Tuning:
    """One tuning; the caller holds the node's lock."""

    def __init__(self, world: World, node: Settings, optimizer: Optimizer) -> None:
        self._world = world
        self._node = node
        self._optimizer = optimizer
        self._services = {service.name: service for service in node.services}
        self._whom = [self._services[one.service] for one in optimizer.tuned]

    def run(self, *, declared_only: bool) -> tuple[list[Row], list[dict[str, Any]]]:
        """Measure on a drained node, keep the figures, and put everything back."""
        rows: list[Row] = []
        proposals = []
        end_at_sigterm()
        deadman.arm(self._world)
        try:
            self._leave_rotation()
            for one in self._optimizer.tuned:
                found = self._measured(one, declared_only=declared_only)
                rows += found
                history.add(self._world.paths, found)
                best = history.proposed(found[0], found[1:], self._optimizer.gain)
                if best:
                    proposals.append(_proposal(found[0], best))
        finally:
            self._return()
        return rows, proposals

    def _leave_rotation(self) -> None:
        """Wait for users' work; none of it is cut off for a measurement."""
        marker.put_drain(self._world.paths, "its engines' settings are measured", trial.BY)
        left = rotation.await_idle(self._world.paths, self._node, self._whom)
        if left:
            words = ", ".join(f"{name} {rotation.amount(number)}" for name, number in left.items())
            raise failed("tuning", f"still in flight: {words}", "try again when there is less to do")

    def _return(self) -> None:
        """End what is on trial, see the declared settings work, and come back; what fails leaves the timer armed."""
        if trial.end(self._world):
            progress("the declared setting is back")
            check = partial(engines.check, on_gpu=cards.are_there(self._node.sysfs))
            manifest = store.manifest(self._world.paths, store.linked(self._world.paths.current))
            probing.await_healthy(self._world, manifest, [service.unit for service in self._whom], check)
        marker.clear_transactions(self._world.paths)
        deadman.disarm(self._world)
        if not marker.drain(self._world.paths):
            rotation.await_gateways(self._node, "in", rotation.RETURN_SECONDS)

    def _measured(self, tuned: Tuned, *, declared_only: bool) -> list[Row]:
        """Measure the declared setting first, then every other; one that does not run is a row that says why."""
        others = () if declared_only else (one for one in self._optimizer.grid if dict(one) != dict(tuned.declared))
        # The declared one is set, too: its engine has started a moment ago and is as warm as the others'.
        return [self._one(tuned, setting) for setting in (tuned.declared, *others)]

    def _one(self, tuned: Tuned, setting: Mapping[str, str]) -> Row:
        service = self._services[tuned.service]
        model, url = service.model or "", f"http://127.0.0.1:{service.port}"
        speeds: tuple[float, ...] = ()
        why = ""
        try:
            trial.put(self._world, service.unit, setting)
            deadline = time.monotonic() + tuned.probe_seconds
            prove = partial(engines.prove, "ollama", Client(url, deadline), service.health_path, model)
            probing.until(prove, deadline)
            speeds = measuring.rounds(url, model, self._optimizer, tuned.probe_seconds)
        except FailedError as error:
            why = str(error)
        words = " ".join(f"{name}={value}" for name, value in sorted(setting.items()))
        progress(f"{service.name}: {words}: {why or ', '.join(f'{speed:.1f}' for speed in speeds)} tokens/s")
        return Row(
            time=time.time(),
            service=service.name,
            model=model,
            gpu=" ".join(sorted(card.pci_id for card in cards.listed(self._node.sysfs))),
            release=history.release(self._world.paths, (service.profile, self._optimizer.drivers)),
            setting=dict(setting),
            declared=setting is tuned.declared,
            tokens_per_second=speeds,
            failed=why,
        )


def _proposal(declared: Row, best: Row) -> dict[str, Any]:
    return {
        "service": best.service,
        "environment": dict(best.setting),
        "tokens_per_second": round(best.speed, 2),
        "declared_tokens_per_second": round(declared.speed, 2),
        "gain": round(best.speed / declared.speed - 1, 3),
    }


def _said(row: Row) -> list[dict[str, str]]:
    return [{"what": row.service, "why": f"the declared setting was not measured: {row.failed}"}]


def _nothing(reason: str) -> dict[str, Any]:
    progress(f"tuning: nothing was done: {reason}")
    return {"ok": True, "failures": [], "nothing_done": reason}
