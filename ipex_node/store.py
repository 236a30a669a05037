"""Staged generations on the node, and which of them is current."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ipex_node import files
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.manifest import Manifest, parse
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipex_node.paths import Paths

CURRENT = "manifest.json"
"""The credential in which a unit hands the current generation's manifest over."""
_PAUSE_SECONDS = 0.5


def directory(paths: Paths, identity: str) -> Path:
    """Return where a generation is staged."""
    return paths.generations / identity


def staged(paths: Paths) -> list[str]:
    """Return the names of all completely staged generations."""
    return sorted(path.parent.name for path in paths.generations.glob("[0-9a-f]*/closures.json"))


def linked(link: Path) -> str | None:
    """Return the generation that `current` or `previous` names; none where there is none."""
    return link.readlink().name if link.is_symlink() else None


def manifest(paths: Paths, identity: str | None) -> Manifest:
    """Return a staged generation's manifest; an empty one for none.

    Raises:
        FailedError: It is not staged, or its manifest is not the one its name says.
    """
    if identity is None:
        return Manifest()
    path = directory(paths, identity) / "manifest.json"
    try:
        found = parse(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        known = ", ".join(staged(paths)) or "none"
        raise failed(identity, f"is not staged on this node; staged: {known}", "deploy again") from error
    if found.id != identity:
        raise failed(str(path), f"was changed: its digest is {found.id}", "deploy again")
    return found


def given(paths: Paths) -> Manifest:
    """Return the current generation's manifest, for a program without privilege: root alone reads generations.

    Its unit hands it over as a credential, CURRENT (systemd.exec(5), LoadCredential=); root reads it where it lies.

    Raises:
        FailedError: As `manifest`, or another generation has become current since the unit was started.
    """
    identity = linked(paths.current)
    handed = os.environ.get("CREDENTIALS_DIRECTORY")
    if identity is None or handed is None:
        return manifest(paths, identity)
    path = Path(handed, CURRENT)
    try:
        found = parse(path.read_bytes(), str(path))
    except OSError as error:
        cure = "deploy again: the unit is older than its program"
        raise failed(str(path), f"cannot be read: {error.strerror}", cure) from error
    if found.id != identity:
        raise failed(identity, "has become current a moment ago", "the next run looks at it")
    return found


def closures(paths: Paths, identity: str | None) -> dict[str, str]:
    """Return a staged generation's realised closures: profile to store path.

    Raises:
        FailedError: Staging has not reached its end.
    """
    if identity is None:
        return {}
    path = directory(paths, identity) / "closures.json"
    try:
        found: dict[str, str] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise failed(identity, "its staging has not reached its end", "deploy again") from error
    return found


def readable(paths: Paths, identity: str | None) -> tuple[Manifest, dict[str, str]]:
    """Return a generation's manifest and closures; a damaged one must not keep a good one out, so it counts as none."""
    try:
        return manifest(paths, identity), closures(paths, identity)
    except FailedError as error:
        progress(f"generation {identity} cannot be read and counts as none: {error}")
        return Manifest(), {}


def commit(paths: Paths, identity: str) -> None:
    """Make a generation current and the one before it previous."""
    before = linked(paths.current)
    if before == identity:
        return
    if before is not None:
        point(paths.previous, before)
    point(paths.current, identity)


def point(link: Path, identity: str | None) -> None:
    """Point `current` or `previous` to a generation, or to none."""
    if identity is None:
        link.unlink(missing_ok=True)
    elif linked(link) != identity:
        files.link(link, f"generations/{identity}")


class LockedError(FailedError):
    """Somebody else changes this node.

    Attributes:
        pid: The process that does, where it has said so.
        is_activation: Whether it is a transaction.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(Failure("the node is locked", f"{holder} is at work", "wait for it, then try again"))
        pid = re.search(r"process (\d+)", holder)
        self.is_activation = holder.startswith("ipex-node activate")
        self.pid = int(pid[1]) if pid else None


def is_locked(paths: Paths) -> bool:
    """Whether somebody changes this node right now."""
    if not paths.lock.exists():
        return False
    with paths.lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def serving(paths: Paths) -> list[tuple[str, str]]:
    """Return what the node must be able to serve: `current`, `previous` or `pinned`, with the generation."""
    links = [("current", linked(paths.current)), ("previous", linked(paths.previous))]
    return [(role, name) for role, name in (*links, *(("pinned", name) for name in pinned(paths))) if name]


def pinned(paths: Paths) -> list[str]:
    """Return the generations that an operator wants kept."""
    return sorted(link.name for link in paths.pinned.glob("[0-9a-f]*"))


def pin(paths: Paths, identity: str) -> None:
    """Keep a staged generation until it is unpinned.

    Raises:
        FailedError: It is not staged, or the node is locked.
    """
    with locked(paths, f"pin {identity}"):
        manifest(paths, identity)
        files.link(paths.pinned / identity, f"../generations/{identity}")


def unpin(paths: Paths, identity: str) -> None:
    """Keep a generation no longer than others.

    Raises:
        FailedError: It is not pinned, or the node is locked.
    """
    with locked(paths, f"unpin {identity}"):
        if identity not in pinned(paths):
            raise failed(identity, f"is not pinned; pinned: {', '.join(pinned(paths)) or 'none'}")
        (paths.pinned / identity).unlink()


def prune(paths: Paths, keep: int) -> list[str]:
    """Remove the oldest staged generations; what must be able to serve stays.

    Args:
        paths: The node's places.
        keep: How many beside that, the newest first.

    Returns:
        The names of what was removed.
    """
    kept = {name for _, name in serving(paths)}
    others = [path for path in paths.generations.glob("[0-9a-f]*") if path.name not in kept]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[keep:]:
        files.remove_tree(path)
    return [path.name for path in others[keep:]]


@contextmanager
def locked(paths: Paths, command: str) -> Iterator[None]:
    """Hold the node's lock: one change at a time.

    Raises:
        LockedError: Somebody else holds it; the message says who.
    """
    files.make_directory(paths.state)
    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 500, 0).decode(errors="replace") or "another process"
            raise LockedError(holder) from error
        since = time.strftime("%Y-%m-%d %H:%M:%S %Z")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"ipex-node {command} (process {os.getpid()}, since {since})".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def awaited(paths: Paths, command: str, seconds: float) -> Iterator[None]:
    """Hold the node's lock, for which a change that goes on is waited for.

    Raises:
        LockedError: It has not ended in time.
    """
    deadline = time.monotonic() + seconds
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(locked(paths, command))
                break
            except LockedError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_PAUSE_SECONDS)
        yield
