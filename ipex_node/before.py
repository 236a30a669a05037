"""The node as it was before a transaction, kept on the disk, so that it can be put back exactly."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ipex_node import files, nix
from ipex_node.failure import failed
from ipex_node.systemd import Systemd, UnitState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipex_node.world import World


@dataclass(frozen=True)
class Before:
    """What a transaction may touch, as it was.

    Attributes:
        files: Path to whether it existed; the existing ones are kept beside this record.
        directories: Directories that did not exist, outermost first.
        profiles: Profile to its links.
        units: Unit to its state.
    """

    files: dict[str, bool]
    directories: tuple[str, ...]
    profiles: dict[str, nix.Profile]
    units: dict[str, UnitState]


def remember(world: World, paths: Iterable[str], profiles: Iterable[str], units: Iterable[str]) -> Before:
    """Record what will be touched, and keep a copy of each file.

    Raises:
        FailedError: Something that is no file stands where a file should be.
    """
    files.remove_tree(world.paths.transaction)
    # Secrets are among the files.
    files.make_private_directory(world.paths.transaction)
    existed = {path: _keep(world, path) for path in paths}
    places = {path: world.paths.on_node(path) for path in (*existed, *profiles)}
    new_directories = {new for place in places.values() for new in files.missing_directories(place.parent)}
    before = Before(
        files=existed,
        directories=tuple(sorted(map(str, new_directories))),
        profiles={profile: nix.profile_state(places[profile]) for profile in profiles},
        units=Systemd(world.run).states(units),
    )
    files.write(world.paths.transaction / "before.json", json.dumps(asdict(before)).encode())
    return before


def load(world: World) -> Before:
    """Return the record of a transaction that was cut off."""
    raw = json.loads((world.paths.transaction / "before.json").read_bytes())
    return Before(
        files=raw["files"],
        directories=tuple(raw["directories"]),
        profiles={name: nix.Profile(one["link"], tuple(one["generations"])) for name, one in raw["profiles"].items()},
        units={name: UnitState(**one) for name, one in raw["units"].items()},
    )


def restore_files(world: World, before: Before) -> None:
    """Put every file back with content, mode, owner and time, and remove those that did not exist."""
    for path, existed in before.files.items():
        place = world.paths.on_node(path)
        files.remove_unfinished(place)
        if existed:
            files.copy(_kept(world, path), place)
        else:
            place.unlink(missing_ok=True)


def restore_profiles(world: World, before: Before) -> None:
    """Put every profile back."""
    for profile, was in before.profiles.items():
        files.remove_unfinished(world.paths.on_node(profile))
        nix.restore_profile(world.paths.on_node(profile), was)


def remove_directories(before: Before) -> None:
    """Remove the directories the transaction made; one that others have filled meanwhile stays."""
    for directory in reversed(before.directories):
        path = Path(directory)
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _kept(world: World, path: str) -> Path:
    return world.paths.transaction / "files" / path.lstrip("/")


def _keep(world: World, path: str) -> bool:
    place = world.paths.on_node(path)
    if place.is_symlink() or place.is_file():
        files.copy(place, _kept(world, path))
        return True
    if place.exists():
        raise failed(path, "is a directory, and the generation has a file there", "move it away, then deploy again")
    return False
