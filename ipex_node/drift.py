"""Where the node differs from its generation."""

from __future__ import annotations

import stat
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ipex_node import files, nix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ipex_node.manifest import File, Manifest
    from ipex_node.paths import Paths
    from ipex_node.systemd import UnitState


@dataclass(frozen=True)
class Drift:
    """One difference.

    Attributes:
        what: `file`, `unit`, `closure`, or `generation` where its own record is damaged.
        name: Path, unit, profile or digest.
        why: How it differs.
    """

    what: str
    name: str
    why: str

    def as_json(self) -> dict[str, str]:
        """Return the difference as it stands in a command's answer."""
        return asdict(self)


def of_files(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    """Find files that are not as the generation has them; a seed need only be there."""
    for path, entry in manifest.files.items():
        place = paths.on_node(path)
        why = ("" if place.is_file() else "missing") if entry.seed else file_difference(place, entry)
        if why:
            yield Drift("file", path, why)


def file_difference(path: Path, entry: File) -> str:
    """Say how a file differs from its entry; nothing where it does not."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if files.sha256(path) != entry.sha256:
        return "edited"
    if stat.S_IMODE(status.st_mode) != entry.mode:
        return f"mode is {stat.S_IMODE(status.st_mode):04o}, not {entry.mode:04o}"
    owner = files.owner_names(status)
    return "" if owner == f"{entry.owner}:{entry.group}" else f"owner is {owner}, not {entry.owner}:{entry.group}"


def of_units(manifest: Manifest, states: Mapping[str, UnitState]) -> Iterator[Drift]:
    """Find units that do not run, or would not after a reboot."""
    for name, unit in manifest.units.items():
        why = _unit_difference(states[name], enabled=unit.enabled)
        if why:
            yield Drift("unit", name, why)
        for path in foreign_drop_ins(manifest, states[name]):
            yield Drift("unit", name, f"changed by {path}")


def foreign_drop_ins(manifest: Manifest, state: UnitState) -> list[str]:
    """Name the drop-ins that change a unit and are no files of its generation."""
    return [path for path in state.drop_ins if path not in manifest.files]


def _unit_difference(state: UnitState, *, enabled: bool) -> str:
    if state.load == "not-found":
        return "missing"
    if state.is_masked:
        return state.file
    if state.active == "failed":
        return "failed"
    if not state.is_active:
        return "stopped" if state.active == "inactive" else f"{state.active} ({state.sub})"
    return "disabled" if enabled and not state.starts_with_machine else ""


def of_closures(paths: Paths, closures: Mapping[str, str]) -> Iterator[Drift]:
    """Find profiles that lead elsewhere."""
    for profile, wanted in closures.items():
        found = nix.store_path(paths.on_node(profile))
        if found is None:
            yield Drift("closure", profile, "missing")
        elif found != wanted:
            yield Drift("closure", profile, f"is {found}, not {wanted}")
