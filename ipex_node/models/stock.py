"""What a node has of models on its disk, told without asking an engine: also of one that is down."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ipex_node import border, files
from ipex_node.foreign import directory
from ipex_node.models import order

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipex_node.paths import Paths
    from ipex_node.settings import Settings

_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_DEPTH = 12
_MOST = 20_000
"""Files of one service that are looked at."""
CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def show(paths: Paths, node: Settings, *, verify: bool = False) -> dict[str, Any]:
    """Return each service's files and manifests, and the room there is.

    Args:
        paths: The node's places.
        node: Its settings.
        verify: Read every blob and leave out those that are not what their names say; minutes for many gigabytes.
    """
    services = {one.name: _service(paths, one.name, verify=verify) for one in node.services if one.engine != "http"}
    return {
        "ok": True,
        "failures": [],
        "free_bytes": free_bytes(paths),
        "locked": locked(paths),
        "services": services,
    }


def free_bytes(paths: Paths) -> int:
    """Return the room that root's own reserve leaves, the least of the disks that matter."""
    there = [place for place in (paths.models, paths.private) if place.exists()] or [paths.root]
    return min(found.f_bavail * found.f_frsize for found in map(os.statvfs, there))


def locked(paths: Paths) -> dict[str, dict[str, str]]:
    """Return service to model to the digest that the last order named; nothing before the first one."""
    try:
        found = border.load(paths.locked_models)
        return {
            str(service): {str(name): str(digest) for name, digest in models.items()}
            for service, models in found.items()
        }
    except (OSError, ValueError, AttributeError):
        return {}


def has(paths: Paths, file: order.File) -> bool:
    """Whether a file is in its place with its length, and nobody has seen that it is wrong."""
    return not file.replace and _size(order.directory(paths, file.service), file.path) == file.bytes


def digest(descriptor: int) -> str:
    """Return the digest of an open file's content, from where it stands."""
    known = hashlib.sha256()
    while part := os.read(descriptor, CHUNK):
        known.update(part)
    return f"sha256:{known.hexdigest()}"


@contextmanager
def below(top: Path, folders: list[str]) -> Iterator[int]:
    """Open a directory of an engine's, step by step and through no link."""
    with ExitStack() as stack:
        # The service's own directory and what is below belong to the engine.
        place = stack.enter_context(directory(top.parent.parent))
        for name in (top.parent.name, top.name, *folders):
            place = stack.enter_context(directory(name, place))
        yield place


def _size(top: Path, path: str) -> int | None:
    *folders, name = path.split("/")
    try:
        with below(top, folders) as place:
            status = os.stat(name, dir_fd=place, follow_symlinks=False)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _service(paths: Paths, service: str, *, verify: bool) -> dict[str, Any]:
    top = order.directory(paths, service)
    found: dict[str, int] = {}
    manifests: dict[str, str] = {}
    wrong: list[str] = []
    for path, place, name, status in _walk(top):
        if path.startswith("manifests/"):
            manifests[path] = _digest_at(place, name)
        elif verify and path.startswith("blobs/sha256-") and _digest_at(place, name) != f"sha256:{name[7:]}":
            wrong.append(path)
        else:
            found[path] = status.st_size
    return {"files": found, "manifests": manifests, "wrong": wrong}


def _walk(top: Path) -> Iterator[tuple[str, int, str, os.stat_result]]:
    """Yield path, open directory, name and status of each regular file."""
    left = _MOST
    try:
        with below(top, []) as place:
            for one in _files(place, "", _DEPTH):
                yield one
                left -= 1
                if not left:
                    return
    except OSError as error:
        if error.errno not in _GONE:
            raise


def _files(place: int, within: str, depth: int) -> Iterator[tuple[str, int, str, os.stat_result]]:
    for name in sorted(os.listdir(place)):
        try:
            status = os.stat(name, dir_fd=place, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                yield f"{within}{name}", place, name, status
            elif stat.S_ISDIR(status.st_mode) and depth > 1:
                with directory(name, place) as inner:
                    yield from _files(inner, f"{within}{name}/", depth - 1)
        except OSError as error:
            if error.errno not in _GONE:
                raise


def _digest_at(place: int, name: str) -> str:
    descriptor = os.open(name, _READ, dir_fd=place)
    try:
        return digest(descriptor)
    finally:
        os.close(descriptor)


def remember(paths: Paths, service: str, model: str, digest_: str) -> None:
    """Keep which digest of a model this node is meant to have."""
    known = locked(paths)
    known.setdefault(service, {})[model] = digest_
    files.write(paths.locked_models, (json.dumps(known, indent=2, sort_keys=True) + "\n").encode())
