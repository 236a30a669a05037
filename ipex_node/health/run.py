"""`ipex-node health`: asks every level of health once, takes out of rotation what is ill, and repairs it.

Runs every few minutes without any privilege. Keeps still while the node drains or is being changed: what happens then
is meant.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ipex_node import marker, rotation, samples, settings, store
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.health import kernel, measures, memory, verdict
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
next; each may take its 0.8 s."""
RESET, WEDGE = "gpu:reset", "gpu:wedge"


def check(world: World) -> dict[str, Any]:
    """Run once.

    Raises:
        FailedError: The node has no settings for this.
    """
    node = settings.load(world.paths.settings)
    if node.health is None:
        raise failed(str(world.paths.settings), "says nothing of health", "run it on a GPU node that is deployed")
    still = why_still(world)
    if still:
        progress(f"kept still: {still}")
        return {"ok": True, "failures": [], "still": still}
    return Monitor(world, node, node.health).run()


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
        self._memory = memory.load(self._paths.health_memory)
        self._manifest = store.manifest(self._paths, store.linked(self._paths.current))
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
            held = verdict.read(self._paths.verdict).node
            if held:
                progress(f"waits for a reboot: {held.reason}")
            else:
                found = self._judge_all()
                ill = self._ill(found, events)
                # Before a repair, which takes its time.
                samples.write(self._paths.samples("health"), self._samples(found))
                self._treat(ill)
                if self._repair.has_asked:
                    self._read_log(teardown=True)
        finally:
            memory.save(self._paths.health_memory, self._memory)
            samples.write(self._paths.samples("health"), self._samples(found))
        failures = [*self._failures, *self._still_ill(found)]
        return {
            "ok": not failures,
            "failures": [failure.as_json() for failure in failures],
            "checks": {name: one.check or "healthy" for name, one in found.items()},
            "restarted": self._repair.restarted,
            "circuit": list(self._paused),
        }

    def _still_ill(self, found: dict[str, Finding]) -> Iterable[Failure]:
        """Name what the run has not mended."""
        held = verdict.read(self._paths.verdict)
        if held.node:
            yield Failure(held.node.check, held.node.reason, "reboot the node; ipex-node undrain ends this, too")
        for name, why in held.services.items():
            yield Failure(why.check, why.reason, f"{name} is out of rotation; ipex-node undrain takes it back")
        for one in found.values():
            if one.check in self._paused:
                yield Failure(one.check, one.reason, "it fails on too many nodes at once: look for what they share")

    def _judge_all(self) -> dict[str, Finding]:
        found = {service.name: self._believe(service, self._checks.judge(service)) for service in self._node.services}
        failing = verdict.checks([one.check for one in found.values()])
        there = verdict.read(self._paths.verdict)
        for name, held in there.services.items():
            # Another generation is another chance, also for what was given up.
            if not found.get(name, Finding()).check and (not held.final or held.generation != self._manifest.id):
                progress(f"{name} is healthy again")
                there = there.without(name)
        verdict.write(self._paths.verdict, replace(there, failing=failing))
        return found

    def _believe(self, service: Service, found: Finding) -> Finding:
        """Let an engine be busy for a few runs; then being unable to prove anything is an illness, too."""
        runs = self._memory.busy.get(service.name, 0) + 1 if found.busy else 0
        self._memory.busy[service.name] = runs
        if not found.busy or runs > self._health.busy_runs:
            return found
        progress(f"{service.name} is busy: {found.reason}; users' work comes to its end meanwhile")
        return Finding()

    def _ill(self, found: dict[str, Finding], events: list[Event]) -> list[Ill]:
        """Name what is to be repaired: after a reset everything that computes on GPUs, however well it answers."""
        if any(event.kind == "wedge" for event in events):
            self._quarantine(WEDGE, next(event.text for event in events if event.kind == "wedge"))
            return []
        if events:
            return self._after_reset(events[0].text)
        return [Ill(service, one.check, one.reason) for service, one in self._each(found) if one.check]

    def _after_reset(self, text: str) -> list[Ill]:
        now = memory.now(self._paths)
        recent = [at for at in self._memory.incidents if now.seconds_since(at) < self._health.window_seconds]
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
        there = verdict.read(self._paths.verdict)
        verdict.write(self._paths.verdict, replace(there, failing=verdict.checks([one.check for one in ill])))
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
        left = [one.check for one in ill if one.service.name in there.services or one.check in self._paused]
        verdict.write(self._paths.verdict, replace(there, failing=verdict.checks(left)))

    def _quarantine(self, why: str, text: str) -> None:
        """Take the whole node out until a reboot: a driver that has given a GPU up comes back by nothing else."""
        reason = f"reboot needed: {text}"
        progress(f"the node leaves rotation: {reason}")
        held = Condemned(why, reason, time.strftime("%Y-%m-%dT%H:%M:%S%z"), final=True, generation=self._manifest.id)
        there = verdict.read(self._paths.verdict)
        verdict.write(self._paths.verdict, replace(there, node=held, failing=verdict.checks([*there.failing, why])))

    def _read_log(self, *, teardown: bool = False) -> list[Event]:
        """Return what is new in the kernel's log, counted.

        Args:
            teardown: These lines were written while engines were restarted: killing one that hangs resets its engine
                once more, and only a wedge is news.
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
        wedges = [event for event in events if event.kind == "wedge"]
        if teardown and wedges:
            self._quarantine(WEDGE, wedges[0].text)
        # What happened before the monitor's very first run is past, but for a wedge, which lasts.
        return wedges if first else events

    def _watch_disks(self) -> None:
        for place, share in measures.disks(self._paths):
            if share > self._health.disk_share:
                reason = f"{share:.0%} of the file system of {place} is used"
                progress(f"{reason}: ask for the cleanup")
                (self._paths.health / "cleanup").write_text(f"{reason}\n", encoding="utf-8")

    def _samples(self, found: dict[str, Finding]) -> Iterable[samples.Sample]:
        left = {service.name: self._repair.left(service.name) for service in self._node.services}
        held = verdict.read(self._paths.verdict)
        return measures.of(self._node, self._memory, held, left, self._paused, found)
