"""`ipex-node backup-done`: what has become of a backup, told by whoever makes it; monitors watch its age.

One small file for each backup, so that two that end at the same moment cannot undo each other's word.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipex_node import border, files
from ipex_node.backups import state
from ipex_node.failure import failed
from ipex_node.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipex_node.paths import Paths

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Backup:
    """What is known of one backup of this node.

    Attributes:
        name: what is kept, such as `models`.
        succeeded: when it was last made, seconds since 1970; None for never.
        why: why the last attempt failed, if it did.
    """

    name: str
    succeeded: float | None
    why: str = ""


def done(paths: Paths, name: str, why: str = "") -> dict[str, Any]:
    """Record that a backup was made just now; or that it was tried and failed.

    Args:
        paths: The node's places.
        name: Small letters, digits and dashes.
        why: Why it failed; empty for success.

    Raises:
        FailedError: The name is none.
    """
    place = _place(paths, name)
    before = _read(place) if place.exists() else Backup(name, None)
    succeeded = before.succeeded if why else time.time()
    files.write(place, json.dumps({"succeeded": succeeded, "why": border.words(why)}).encode())
    return {"ok": True, "failures": [], "backup": name, "succeeded": succeeded}


def forget(paths: Paths, name: str) -> dict[str, Any]:
    """Let nobody wait for a backup that is made no more.

    Raises:
        FailedError: There is none of this name.
    """
    try:
        _place(paths, name).unlink()
    except FileNotFoundError:
        known = ", ".join(one.name for one in known_to(paths)) or "none"
        raise failed(f"backup {name}", "is not known here", f"name one of: {known}") from None
    return {"ok": True, "failures": [], "backup": name}


def known_to(paths: Paths) -> list[Backup]:
    """Return every backup somebody has told of, by name; of a record that cannot be read, that it cannot."""
    return [_read(place) for place in sorted(paths.backups.glob("*.json"))]


def summary(paths: Paths) -> str | None:
    """Say in one line for a person when each backup was last made; nothing where there is none."""
    return ", ".join(map(_words, known_to(paths))) or None


def samples(paths: Paths) -> Iterator[Sample]:
    """Yield age and result of each; a backup that was never made has no time."""
    for one in known_to(paths):
        labels = {"backup": one.name}
        if one.succeeded is not None:
            yield Sample("ipex_backup_last_success_timestamp_seconds", labels, one.succeeded)
        yield Sample("ipex_backup_failed", labels, float(bool(one.why)))
    yield from state.samples(paths)


def _place(paths: Paths, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise failed(f"backup {name!r}", "is no name", "use small letters, digits and dashes, such as models")
    return paths.backups / f"{name}.json"


def _read(place: Path) -> Backup:
    try:
        said = border.load(place)
        succeeded, why = said["succeeded"], said["why"]
        return Backup(place.stem, None if succeeded is None else float(succeeded), str(why))
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        return Backup(place.stem, None, f"its record cannot be read: {error}")


def _words(backup: Backup) -> str:
    made = "never" if backup.succeeded is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(backup.succeeded))
    return f"{backup.name} {made}{f' (FAILED: {backup.why})' if backup.why else ''}"
