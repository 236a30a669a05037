"""`ipex-node health`: asks every level of health once, takes out of rotation what is ill, and repairs it.

Runs every few minutes without any privilege. Keeps still while the node drains or is being changed: what happens then
is meant.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ipex_node import marker, rotation, samples, settings, store
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.fitness import needs
from ipex_node.health import gpus, kernel, measures, memory, verdict
from ipex_node.health.checks import Checks, Finding
from ipex_node.health.repair import Ill, Repair
from ipex_node.health.verdict import Condemned
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipex_node.health.kernel import Event
    from ipex_node.health.settings import Health
    from ipex_node.settings import Service, Settings
    from ipex_node.world import World

LISTEN_SECONDS = 4.0
"""How long gateways have to say that a check fails everywhere: they hear of it with one question, and tell with the
next; each may take gateway/question.py's ANSWER_SECONDS."""
RESET, WEDGE = "gpu:reset", "gpu:wedge"


def check(world: World) -> dict[str, Any]:
    """Run once.

    Raises:
        FailedError: The node has no settings for this, or root asks: its files would stay closed to the monitor.
    """
    if os.geteuid() == 0:
        why = "as root it would leave files that the monitor cannot write again"
        raise failed("ipex-node health", why, "systemctl start ipex-health-monitor")
    node = settings.load(world.paths.settings)
    if node.health is None:
        raise failed(str(world.paths.settings), "says nothing of health", "run it on a GPU node that is deployed")
    monitor, still = Monitor(world, node, node.health), why_still(world)
    return monitor.keep_still(still) if still else monitor.run()


def why_still(world: World) -> str:
    """Say why nothing may be judged now; nothing where it may."""
    now = marker.rotation(world.paths)
    if now["state"] == "in":
        return ""
    return f"the node is {now['state']}" + (f" ({now['reason']})" if now["reason"] else "")


class Monitor:
    """One run.

    Args:
        world: The node.
        node: Its settings.
        health: How it is judged and repaired.
    """

    def __init__(self, world: World, node: Settings, health: Health) -> None:
        self._world = world
        self._paths = world.paths
        self._node = node
        self._health = health
        self._memory = memory.load(self._paths)
        self._manifest = store.given(self._paths)
        probes = {probe.unit: probe for probe in self._manifest.probes}
        self._checks = Checks(self._paths, node, health, probes)
        self._repair = Repair(self._paths, node, health, self._checks, self._memory, lambda: why_still(world))
        self._failures: list[Failure] = []
        self._paused: tuple[str, ...] = ()

    def run(self) -> dict[str, Any]:
        """Look, judge, repair, and leave the numbers."""
        found: dict[str, Finding] = {}
        try:
            self._watch_disks()
            events = self._read_log()
            held = verdict.read(self._paths.verdict)
            if held.node:
                progress(f"waits for a reboot: {held.node.reason}")
                failing = () if held.node.is_settled else verdict.checks([held.node.check])
                verdict.write(self._paths.verdict, replace(held, failing=failing))
            else:
                found = self._judge_all()
                ill = self._ill(found, events)
                # Before a repair, which takes its time.
                samples.write(self._paths.samples("health"), self._samples(found))
                self._treat(ill)
                if self._repair.has_asked:
                    self._read_log(teardown=True)
        finally:
            self._leave(found)
        failures = [*self._failures, *self._repair.failures, *self._still_ill(found)]
        return {
            "ok": not failures,
            "failures": [failure.as_json() for failure in dict.fromkeys(failures)],
            "checks": {name: one.excuse or one.check or "healthy" for name, one in found.items()},
            "restarted": self._repair.restarted,
            "circuit": list(self._paused),
        }

    def keep_still(self, why: str) -> dict[str, Any]:
        """Ask and repair nothing; what the driver says meanwhile is counted, and no reason for a repair later."""
        progress(f"kept still: {why}")
        self._read_log(teardown=True)
        self._leave({})
        return {"ok": not self._failures, "failures": [failure.as_json() for failure in self._failures], "still": why}

    def _leave(self, found: dict[str, Finding]) -> None:
        """Leave the numbers, which need no disk, and then what the next run must know."""
        samples.write(self._paths.samples("health"), self._samples(found))
        try:
            memory.save(self._paths, self._memory)
        except FailedError as error:
            self._failures += error.failures

    def _still_ill(self, found: dict[str, Finding]) -> Iterable[Failure]:
        """Name what the run has not mended."""
        held = verdict.read(self._paths.verdict)
        if held.node:
            yield Failure(held.node.check, held.node.reason, "reboot the node; ipex-node undrain ends this, too")
        for name, why in held.services.items():
            yield Failure(why.check, why.reason, f"{name} is out of rotation; ipex-node undrain takes it back")
        for one in found.values():
            if one.failing in self._paused:
                yield Failure(one.check, one.reason, "it fails on too many nodes at once: look for what they share")

    def _judge_all(self) -> dict[str, Finding]:
        found = {service.name: self._believe(service, self._checks.judge(service)) for service in self._node.services}
        self._memory.looked = time.time()
        there = verdict.read(self._paths.verdict)
        for name, held in there.services.items():
            # Another generation is another chance, also for what was given up.
            if not found.get(name, Finding()).check and (not held.final or held.generation != self._manifest.id):
                progress(f"{name} is healthy again")
                there = there.without(name)
        failing = {name: one.failing for name, one in found.items()}
        verdict.write(self._paths.verdict, replace(there, failing=there.counted(failing)))
        return found

    def _believe(self, service: Service, found: Finding) -> Finding:
        """Believe an excuse for a few runs; then being unable to prove anything is an illness, too."""
        runs = self._memory.busy.get(service.name, 0) + 1 if found.excuse else 0
        self._memory.busy[service.name] = runs
        if runs > self._health.busy_runs:
            return replace(found, excuse="")
        if found.excuse:
            progress(f"{service.name} is {found.excuse}: {found.reason}")
        return found

    def _ill(self, found: dict[str, Finding], events: list[Event]) -> list[Ill]:
        """Name what is to be repaired: after a reset everything that computes on GPUs, however well it answers."""
        if any(event.kind == "wedge" for event in events):
            self._quarantine(WEDGE, next(event.text for event in events if event.kind == "wedge"))
            return []
        if events:
            return self._after_reset(events[0].text)
        return [Ill(service, one.check, one.reason) for service, one in self._each(found) if one.failing]

    def _after_reset(self, text: str) -> list[Ill]:
        now = memory.now(self._paths)
        since = [at for at in self._memory.incidents if now.seconds_since(at) < self._health.window_seconds]
        # What led to a reboot is behind it.
        recent = [at for at in since if at.boot == now.boot]
        self._memory.incidents = [*recent, now]
        if recent:
            self._quarantine(RESET, f"{len(recent) + 1} in {self._health.window_seconds:.0f} seconds, the last: {text}")
            return []
        return [Ill(service, RESET, text) for service in self._node.services]

    def _each(self, found: dict[str, Finding]) -> Iterable[tuple[Service, Finding]]:
        return ((service, found[service.name]) for service in self._node.services if service.name in found)

    def _treat(self, ill: list[Ill]) -> None:
        """Repair, except what fails everywhere, and what was given up."""
        if not ill:
            return
        there, failing = verdict.read(self._paths.verdict), {one.service.name: one.check for one in ill}
        verdict.write(self._paths.verdict, replace(there, failing=there.counted(failing)))
        time.sleep(LISTEN_SECONDS if self._node.gateways else 0)
        self._paused = tuple(sorted({one.check for one in ill} & set(rotation.circuit(self._node.agent_port))))
        for paused in self._paused:
            progress(f"{paused} fails on too many nodes at once: nothing is repaired for it")
        given_up = {
            name for name, held in there.services.items() if held.final and held.generation == self._manifest.id
        }
        for name in sorted(given_up & {one.service.name for one in ill}):
            progress(f"{name} stays out of rotation: it was given up; ipex-node undrain ends this")
        wanted = [one for one in ill if one.check not in self._paused and one.service.name not in given_up]
        self._repair.run(wanted, self._manifest.id)
        there = verdict.read(self._paths.verdict)
        left = {name: check for name, check in failing.items() if name in there.services or check in self._paused}
        verdict.write(self._paths.verdict, replace(there, failing=there.counted(left)))

    def _quarantine(self, why: str, text: str) -> None:
        """Take the whole node out until a reboot: a driver that has given a GPU up comes back by nothing else."""
        there = verdict.read(self._paths.verdict)
        if there.node:
            return
        reason = f"reboot needed: {text}"
        progress(f"the node leaves rotation: {reason}")
        held = Condemned(why, reason, time.strftime("%Y-%m-%dT%H:%M:%S%z"), generation=self._manifest.id)
        held = held.given_up(self._health.window_seconds)
        verdict.write(self._paths.verdict, replace(there, node=held, failing=verdict.checks([*there.failing, why])))

    def _read_log(self, *, teardown: bool = False) -> list[Event]:
        """Return what is new in the kernel's log, counted.

        Args:
            teardown: These lines were written while engines were restarted, or somebody worked on them: killing one
                that hangs resets its engine once more, and only a wedge is news.
        """
        boot = memory.now(self._paths).boot
        first, fresh = not self._memory.boot, self._memory.boot != boot
        try:
            events, last = kernel.read(
                self._paths.on_node(self._health.kernel_log), -1 if fresh else self._memory.sequence
            )
        except FailedError as error:
            self._failures += error.failures
            return []
        self._memory.boot, self._memory.sequence = boot, last
        for event in events:
            key = f"{event.slot} {event.kind}"
            self._memory.resets[key] = self._memory.resets.get(key, 0) + 1
            progress(f"kernel: {event.kind}: {event.text}")
        unused = self._unused() if events else frozenset()
        events = [event for event in events if event.slot not in unused]
        wedges = [event for event in events if event.kind == "wedge"]
        if teardown and wedges:
            self._quarantine(WEDGE, wedges[0].text)
        # What happened before the monitor's very first run is past, but for a wedge, which lasts.
        return wedges if first else events

    def _unused(self) -> frozenset[str]:
        """Return the GPUs whose resets are nobody's illness; without a word on them, none."""
        if not self._node.fitness:
            return frozenset()
        try:
            return gpus.unused(self._node.sysfs, needs.read(self._node.fitness, str(self._paths.settings)))
        except FailedError as error:
            self._failures += error.failures
            return frozenset()

    def _watch_disks(self) -> None:
        for place, share in measures.disks(self._paths):
            if share > self._health.disk_share:
                reason = f"{share:.0%} of the file system of {place} is used"
                progress(f"{reason}: ask for the cleanup")
                self._ask_for_cleanup(f"{reason}\n")

    def _ask_for_cleanup(self, reason: str) -> None:
        request = self._paths.health / "cleanup"
        try:
            request.write_text(reason, encoding="utf-8")
        except OSError as error:
            why = f"cannot be written: {error.strerror}"
            self._failures.append(Failure(str(request), why, "remove it, as root; then: systemctl start ipex-cleanup"))

    def _samples(self, found: dict[str, Finding]) -> Iterable[samples.Sample]:
        left = {service.name: self._repair.left(service.name) for service in self._node.services}
        held = verdict.read(self._paths.verdict)
        return measures.of(self._node, self._memory, held, left, self._paused, found)
