"""`ipex-node reboot`: leave rotation, reboot, prove every service, and return to rotation.

Once it has begun the node does all of it by itself, whatever becomes of who has asked for it. The wish to be out of
rotation survives the boot; the unit RETURN proves the services and takes it back. Where the proof fails the node stays
out, and says why.
"""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

from ipex_node import (
    border,
    deadman,
    engines,
    files,
    floating,
    marker,
    probing,
    recovery,
    rotation,
    settings,
    store,
)
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.gpu import cards
from ipex_node.health import verdict
from ipex_node.world import progress

if TYPE_CHECKING:
    from ipex_node.manifest import Manifest, Probe
    from ipex_node.paths import Paths
    from ipex_node.settings import Settings
    from ipex_node.world import World

RETURN = "ipex-return.service"
"""The unit that runs `ipex-node reboot --return` at boot."""
_DELAY_SECONDS = 1
"""From the answer to the reboot: whoever has asked is to have it."""


def reboot(world: World, reason: str, *, force: bool = False) -> dict[str, Any]:
    """Leave rotation, wait for what is in flight, and reboot a moment after the answer.

    Args:
        world: The node.
        reason: Shown to whoever asks why.
        force: Even where no other gateway could take the floating address.

    Raises:
        FailedError: The node does not reboot, and is in rotation as before.
    """
    # A lost connection stops nothing: half of this would leave the node out of rotation.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with store.locked(world.paths, "reboot"):
        recovery.resume(world)
        node = settings.load_leniently(world.paths.settings)
        if node.floating and not force:
            floating.require_other(node.floating)
        marker.put_drain(world.paths, reason, marker.REBOOT)
        try:
            cut = _leave(world, node, force=force)
            _begin(world, reason)
        except BaseException:
            world.paths.reboot.unlink(missing_ok=True)
            _undrain(world.paths)
            raise
    return {"ok": True, "failures": [], "boot": deadman.boot(world.paths), "steps": [_step("leave rotation", cut)]}


def come_back(world: World) -> dict[str, Any]:
    """After a reboot that `reboot` has begun: prove what should run, and return to rotation. Nothing after any other.

    Raises:
        FailedError: The node's lock is held.
    """
    began = border.load(world.paths.reboot) if world.paths.reboot.exists() else None
    boot = deadman.boot(world.paths)
    if not isinstance(began, dict) or began.get("boot") == boot:
        return {"ok": True, "failures": [], "nothing_done": "no reboot has been asked for"}
    started = time.monotonic()
    failures: list[Failure] = []
    with store.locked(world.paths, "return from a reboot"):
        try:
            _prove(world)
        except FailedError as error:
            failures += error.failures
        else:
            _undrain(world.paths)
            failures += _taken_back(world)
        ended = {"boot": boot, "failures": [one.as_json() for one in failures]}
        files.write(world.paths.rebooted, json.dumps({**ended, "steps": [_proved(started)]}).encode())
        world.paths.reboot.unlink()
    return {"ok": not failures, **ended}


def show(world: World) -> dict[str, Any]:
    """Say whether a reboot is under way, and how the last one has ended."""
    paths = world.paths
    return {
        "ok": True,
        "failures": [],
        "boot": deadman.boot(paths),
        "under_way": paths.reboot.exists() or store.is_locked(paths),
        "last": border.load(paths.rebooted) if paths.rebooted.exists() else None,
    }


def _leave(world: World, node: Settings, *, force: bool) -> str:
    if node.floating and not floating.await_gone(world.paths, node.floating) and not force:
        raise failed("reboot", f"still holds {node.floating.address}", "on the node: journalctl -u keepalived -n 50")
    if not node.services:
        return ""
    left = rotation.await_idle(world.paths, node, node.services)
    return "; ".join(f"{name} cuts off {rotation.amount(number)}" for name, number in left.items())


def _begin(world: World, reason: str) -> None:
    files.write(world.paths.reboot, json.dumps({"boot": deadman.boot(world.paths), "reason": reason}).encode())
    progress("reboot")
    wait = f"--on-active={_DELAY_SECONDS}"
    done = world.run(["systemd-run", "--quiet", "--collect", wait, "--timer-property=AccuracySec=100ms", *_REBOOT])
    if done.returncode != 0:
        raise failed("systemctl reboot", done.complaint, "reboot the node by hand")


_REBOOT = ("systemctl", "reboot")


def _prove(world: World) -> None:
    """Wait until every unit of the generation is active, and every probe succeeds."""
    manifest: Manifest = store.manifest(world.paths, store.linked(world.paths.current))
    on_gpu = cards.are_there(settings.load_leniently(world.paths.settings).sysfs)

    def check(one: Probe, deadline: float) -> None:
        engines.check(one, deadline, on_gpu=on_gpu)

    probing.await_healthy(world, manifest, set(manifest.units) - {RETURN}, check)
    verdict.forget(world.paths.verdict, [one.name for one in settings.load_leniently(world.paths.settings).services])


def _undrain(paths: Paths) -> None:
    """Take back the own wish to be out of rotation; an operator's stays."""
    there = marker.drain(paths)
    if there and there.by == marker.REBOOT:
        marker.clear_drain(paths)


def _taken_back(world: World) -> list[Failure]:
    node = settings.load_leniently(world.paths.settings)
    if not node.services or marker.drain(world.paths):
        return []
    away = rotation.await_gateways(node, "in", rotation.RETURN_SECONDS)
    return [Failure("rotation", f"{', '.join(away)} does not send requests yet", "look at GET /ready")] if away else []


def _proved(started: float) -> dict[str, Any]:
    return _step("prove the services after the boot", "", round(time.monotonic() - started, 3))


def _step(name: str, detail: str, seconds: float = 0.0) -> dict[str, Any]:
    return {"name": name, "seconds": seconds, "detail": detail}
