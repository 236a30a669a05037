"""What activation does to the node, each change with its way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipex_node import before as past
from ipex_node import files, marker, rotation, situation, snapshot, store
from ipex_node.failure import failed
from ipex_node.health import verdict
from ipex_node.nix import Nix
from ipex_node.optimizer import caches
from ipex_node.systemd import Systemd, UnitState

if TYPE_CHECKING:
    from ipex_node.situation import Situation
    from ipex_node.world import World

_SYSUSERS = "/sysusers.d/"
_TMPFILES = "/tmpfiles.d/"  # noqa: S108 - no temporary file, but the place of systemd-tmpfiles' rules


class Changes:
    """The changes of one activation.

    Each `do` tells what it did; each undo also takes back a half-done change, and finds what was there in
    `before`, which is on the disk too.

    Args:
        world: The node.
        found: What it starts from.
        wait: Whether units' starts and stops are waited for; not while the machine boots.
    """

    def __init__(self, world: World, found: Situation, *, wait: bool = True) -> None:
        self._world = world
        self._situation = found
        self._plan = found.plan
        self._systemd = Systemd(world.run, wait=wait)
        self._waits = wait
        self.before = past.Before({}, (), {}, {})
        self.started = False

    def remember(self) -> str:
        """Record and keep all that will be touched."""
        touched = (*self._plan.install, *self._plan.remove)
        self.before = past.remember(self._world, touched, self._plan.switch, self._plan.units)
        situation.keep(self._world.paths, self._situation)
        return f"{len(touched)} files, {len(self._plan.switch)} profiles, {len(self._plan.units)} units"

    def forget(self) -> None:
        """Remove the directories that were made on the way."""
        past.remove_directories(self.before)

    def leave_rotation(self) -> str:
        """Send no more requests to engines that change, and let those that work on some finish."""
        if not self._situation.engines_change:
            return ""
        paths, ends = self._world.paths, self._situation.engines_that_end
        left: dict[str, int | None] = {}
        if ends:
            name = marker.by_activation(self._situation.new.id)
            marker.put_drain(paths, f"generation {self._situation.new.id} is about to be activated", name)
            left = rotation.await_idle(paths, self._situation.settings, ends)
        marker.put_activating(paths, self._situation.new.id)
        cut = (f"{name} cuts off {rotation.amount(number)}" for name, number in left.items())
        return "; ".join(cut) or " ".join(service.name for service in ends)

    def return_to_rotation(self) -> str:
        """Tell gateways that services are as they should be, and see them come back."""
        proved = (service.name for service in self._situation.engines_that_end)
        verdict.forget(self._world.paths.verdict, proved)
        if not marker.clear_transactions(self._world.paths) or not self._waits:
            return ""
        if marker.drain(self._world.paths) or not self._situation.engines_that_end:
            return ""
        away = rotation.await_gateways(self._situation.settings, "in", rotation.RETURN_SECONDS)
        return f"not yet taken back by {', '.join(away)}" if away else ""

    def snapshot(self) -> str:
        """Keep the services' data before a closure that might change its format."""
        return snapshot.take(self._world, self._situation)

    def restore_data(self) -> None:
        """Put back the data that engines of a new closure may have changed; those engines stay stopped."""
        if self.started:
            snapshot.give_back(self._world)

    def retire(self) -> str:
        """Stop and disable what the new generation has not, while its unit files still exist."""
        self._systemd.do("disable", self._plan.retire, "--now")
        return " ".join(self._plan.retire)

    def install(self) -> str:
        """Write the files, users first because the others may belong to them, and remove what is gone."""
        users = [path for path in self._plan.install if _SYSUSERS in path]
        for path in users:
            self._install_one(path)
        if users:
            self._systemd.tell("systemd-sysusers", *self._places(users))
        for path in self._plan.install:
            if path not in users:
                self._install_one(path)
        for path in self._plan.remove:
            self._world.paths.on_node(path).unlink(missing_ok=True)
        return f"{len(self._plan.install)} written, {len(self._plan.remove)} removed"

    def _install_one(self, path: str) -> None:
        entry = self._situation.new.files[path]
        source = store.directory(self._world.paths, self._situation.new.id) / "root" / path.lstrip("/")
        try:
            owner = files.owner_ids(entry.owner, entry.group)
        except LookupError as error:
            cure = "bring it with a file in /etc/sysusers.d, or install the package that makes it"
            raise failed(path, f"belongs to {entry.owner}:{entry.group}, unknown to this node", cure) from error
        files.write(self._world.paths.on_node(path), source.read_bytes(), entry.mode, owner)

    def restore_files(self) -> None:
        """Put the files back."""
        past.restore_files(self._world, self.before)

    def switch(self) -> str:
        """Switch the profiles to what staging has realised."""
        for profile in self._plan.switch:
            store_path = self._situation.closures[profile]
            Nix(self._world.run).switch(self._world.paths.on_node(profile), store_path)
        return " ".join(self._plan.switch)

    def restore_profiles(self) -> None:
        """Switch the profiles back."""
        past.restore_profiles(self._world, self.before)

    def turn_caches(self) -> str:
        """Give engines the caches of the closures they are about to run."""
        turned = caches.turn_all(self._world.paths, self._situation)
        return " ".join(turned)

    def return_caches(self) -> None:
        """Give engines their old caches back."""
        caches.turn_all(self._world.paths, self._situation, back=True)

    def start(self) -> str:
        """Let exactly the affected units read what has changed, and start those that do not run."""
        self.started = True
        if self._plan.daemon_reload:
            self._systemd.do("daemon-reload")
        temporary = self._places([path for path in self._plan.install if _TMPFILES in path])
        if temporary:
            self._systemd.tell("systemd-tmpfiles", "--create", *temporary)
        self._systemd.do("unmask", self._plan.unmask)
        self._systemd.do("unmask", self._plan.unmask, "--runtime")
        self._systemd.do("enable", self._plan.enable)
        self._forget_failures(self._plan.touched)
        self._systemd.do("restart", self._plan.restart)
        self._systemd.do("reload", self._plan.reload)
        self._systemd.do("start", self._plan.start)
        enabled = tuple(name for name in self._plan.enable if name not in self._plan.start)
        done = {
            "enable": enabled,
            "restart": self._plan.restart,
            "reload": self._plan.reload,
            "start": self._plan.start,
        }
        return "; ".join(f"{verb} {' '.join(units)}" for verb, units in done.items() if units)

    def _forget_failures(self, units: tuple[str, ...]) -> None:
        """Give units a fresh start limit: systemd refuses one that a crash loop has used up (systemd.unit(5))."""
        states = self._systemd.states(units)
        self._systemd.do("reset-failed", [unit for unit, state in states.items() if state.load == "loaded"])

    def _places(self, paths: list[str]) -> list[str]:
        return [str(self._world.paths.on_node(path)) for path in paths]

    def stop_new(self) -> None:
        """Stop and disable what did not run or was not enabled, while its unit files still exist."""
        now = self._systemd.states(self._plan.units)
        new = [name for name in self._plan.start if not self._was(name).is_active and now[name].active != "inactive"]
        self._systemd.do("stop", new)
        self._systemd.do("reset-failed", [name for name in new if self._was(name).active != "failed"])
        self._systemd.do("disable", [name for name in self._plan.enable if now[name].file == "enabled"])

    def restore_units(self) -> None:
        """Let systemd and the units read what has been put back."""
        if not (self.started or any(self._plan.retire)):
            return
        self._systemd.do("daemon-reload")
        self._systemd.do("mask", [name for name in self._plan.unmask if self._was(name).file == "masked"])
        runtime = [name for name in self._plan.unmask if self._was(name).file == "masked-runtime"]
        self._systemd.do("mask", runtime, "--runtime")
        self._systemd.do("enable", [name for name in self._plan.retire if self._was(name).starts_with_machine])
        if self.started:
            self._forget_failures((*self._plan.restart, *self._plan.reload))
            self._systemd.do("restart", self._plan.restart)
            self._systemd.do("reload-or-restart", self._plan.reload)
        self._systemd.do("start", [name for name in self._plan.retire if self._was(name).is_active])

    def _was(self, unit: str) -> UnitState:
        return self.before.units.get(unit, UnitState())

    def commit(self) -> str:
        """Make the generation current."""
        store.commit(self._world.paths, self._situation.new.id)
        return self._situation.new.id

    def uncommit(self) -> None:
        """Point the links to where they pointed."""
        store.point(self._world.paths.current, self._situation.current)
        store.point(self._world.paths.previous, self._situation.previous)
