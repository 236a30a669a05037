"""What must change on the node to make a generation current, and nothing more. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipex_node.manifest import Manifest, Unit
    from ipex_node.systemd import UnitState

_UNIT_DIRECTORIES = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/", "/usr/local/lib/systemd/")
"""With system.control beside system, where `systemctl set-property` writes."""


@dataclass(frozen=True)
class Seen:
    """What was found on the node.

    Attributes:
        differing: Files of the new generation that are not on the node as they should be.
        leftover: Files of the old generation that the new one has not, and drop-ins of nobody's, that are there.
        moved: Profiles that resolve to something else than the new generation's closure.
        units: State of every unit of both generations.
    """

    differing: frozenset[str]
    leftover: frozenset[str]
    moved: frozenset[str]
    units: Mapping[str, UnitState]


@dataclass(frozen=True)
class Plan:
    """Everything a transaction will touch, in the manifest's order.

    Attributes:
        install: Files to write.
        remove: Files to remove.
        switch: Profiles to switch.
        retire: Units of the old generation to stop and disable.
        unmask: Units somebody has forbidden to start.
        enable: Units that would not start with the machine.
        restart: Running units that must start anew.
        reload: Running units that need only read their configuration again.
        start: Units that do not run.
        daemon_reload: Whether systemd must read unit files again.
    """

    install: tuple[str, ...]
    remove: tuple[str, ...]
    switch: tuple[str, ...]
    retire: tuple[str, ...]
    unmask: tuple[str, ...]
    enable: tuple[str, ...]
    restart: tuple[str, ...]
    reload: tuple[str, ...]
    start: tuple[str, ...]
    daemon_reload: bool

    @property
    def touched(self) -> tuple[str, ...]:
        """Units whose running state changes."""
        return (*self.restart, *self.reload, *self.start)

    @property
    def units(self) -> tuple[str, ...]:
        """Units of which anything changes."""
        every = (*self.retire, *self.unmask, *self.enable, *self.touched)
        return tuple(dict.fromkeys(every))

    @property
    def is_empty(self) -> bool:
        """Whether the node is already as it should be."""
        return not (self.install or self.remove or self.switch or self.units or self.daemon_reload)


def make(
    new: Manifest, old: Manifest, seen: Seen, closures: Mapping[str, str], old_closures: Mapping[str, str]
) -> Plan:
    """Decide what must change.

    A unit is restarted or reloaded if one of its inputs differs between the generations, or was not on the
    node what it should be: then the running process has read something else.

    Args:
        new: The generation to make current.
        old: The current one; an empty manifest where there is none.
        seen: What was found on the node.
        closures: The new generation's profile to store path.
        old_closures: The old one's.
    """
    changed = _changed(new, old, seen, closures, old_closures)
    # A reload reads configuration; a new unit file or program comes into force only with a new process.
    deep = {path for path in changed if is_unit_file(path) or path in closures or path in old_closures}
    verbs = {
        name: _verb(unit, _read_by(name, unit, old.units.get(name), seen.units[name]), seen.units[name], changed, deep)
        for name, unit in new.units.items()
    }
    return Plan(
        install=tuple(path for path in new.files if path in seen.differing),
        remove=tuple(sorted(seen.leftover)),
        switch=tuple(profile for profile in closures if profile in seen.moved),
        retire=tuple(name for name in old.units if name not in new.units and _is_there(seen.units[name])),
        unmask=tuple(name for name in new.units if seen.units[name].is_masked),
        enable=tuple(name for name, unit in new.units.items() if _to_enable(unit, seen.units[name])),
        restart=tuple(name for name, verb in verbs.items() if verb == "restart"),
        reload=tuple(name for name, verb in verbs.items() if verb == "reload"),
        start=tuple(name for name, verb in verbs.items() if verb == "start"),
        daemon_reload=any(is_unit_file(path) for path in (*seen.differing, *seen.leftover))
        or any(state.needs_reload for state in seen.units.values()),
    )


def _changed(
    new: Manifest, old: Manifest, seen: Seen, closures: Mapping[str, str], old_closures: Mapping[str, str]
) -> set[str]:
    """Name all files and profiles of which a running process may have read something else."""
    return {
        *seen.differing,
        *seen.leftover,
        *seen.moved,
        *(path for path, entry in new.files.items() if old.files.get(path) != entry),
        *(profile for profile, path in closures.items() if old_closures.get(profile) != path),
    }


def is_unit_file(path: str) -> bool:
    """Whether systemd itself reads a file, as a unit or a drop-in."""
    return path.startswith(_UNIT_DIRECTORIES)


def _read_by(name: str, unit: Unit, old: Unit | None, state: UnitState) -> set[str]:
    """Name what a unit's process has read; unit files and drop-ins only where its own unit file is an input.

    A unit that does not name its own file is never restarted for it: the next start brings that into force.
    """
    read = {*unit.inputs, *(old.inputs if old else ()), *state.drop_ins}
    names_itself = any(path.endswith(f"/{name}") for path in unit.inputs)
    return read if names_itself else {path for path in read if not is_unit_file(path)}


def _verb(unit: Unit, inputs: set[str], state: UnitState, changed: set[str], deep: set[str]) -> str:
    if not state.is_active:
        return "start"
    if not changed & inputs:
        return ""
    return "restart" if deep & inputs else unit.on_change


def _to_enable(unit: Unit, state: UnitState) -> bool:
    return unit.enabled and not state.starts_with_machine


def _is_there(state: UnitState) -> bool:
    return state.load != "not-found" and (state.active != "inactive" or state.file not in {"", "disabled"})
