"""Files that an engine has made, seen and removed by root below a directory that belongs to the engine's user.

That user may put a symbolic link, or another directory, in the place of any other at any moment. So every step
down is an openat(2) that follows no link, and a file is judged and removed by its name in the directory that is
already open: whatever the user does, nothing outside its own directories is reached.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from ipex_node.cleanup.plan import File

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEPTH = 16
"""Directories below one another that are looked into; each costs an open descriptor while it is."""
_MOST = 50_000
"""Files of one directory that one run looks at: a list of all an engine could make would not fit into memory."""
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
"""What openat(2) says where a name is no directory any more: nothing there, another file, a symbolic link."""


def listed(top: Path, folder: str) -> list[File]:
    """Return the regular files below a directory.

    Args:
        top: A directory of root's.
        folder: Where the engine writes, relative to it.
    """
    try:
        with _opened(top, folder.split("/")) as descriptor:
            return list(islice(_files(descriptor, top / folder, str(top / folder), _DEPTH), _MOST))
    except OSError as error:
        if error.errno in _GONE:
            return []
        raise


def remove(top: Path, file: File) -> int:
    """Remove a file, if it is still the old file that was listed.

    Returns:
        The bytes that it frees; 0 where something else has taken its place.

    Raises:
        OSError: It cannot be removed.
    """
    *folders, name = os.path.relpath(file.path, top).split("/")
    try:
        with _opened(top, folders) as descriptor:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode) or status.st_mtime != file.modified:
                return 0
            os.unlink(name, dir_fd=descriptor)
            return _freed(status)
    except OSError as error:
        if error.errno in _GONE:
            return 0
        raise


@contextmanager
def _opened(top: Path, folders: list[str]) -> Iterator[int]:
    """Open a directory, one step after the other."""
    descriptor = os.open(top, _DIRECTORY)
    try:
        for folder in folders:
            below = os.open(folder, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _files(descriptor: int, place: Path, within: str, depth: int) -> Iterator[File]:
    for name in os.listdir(descriptor):
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                yield File(str(place / name), _freed(status), status.st_mtime, within)
            elif stat.S_ISDIR(status.st_mode) and depth > 1:
                with _opened_below(descriptor, name) as below:
                    yield from _files(below, place / name, within, depth - 1)
        except OSError as error:
            if error.errno not in _GONE:
                raise


@contextmanager
def _opened_below(descriptor: int, name: str) -> Iterator[int]:
    below = os.open(name, _DIRECTORY, dir_fd=descriptor)
    try:
        yield below
    finally:
        os.close(below)


def _freed(status: os.stat_result) -> int:
    """Return what the removal of one name frees: nothing while the file has another."""
    return status.st_blocks * 512 if status.st_nlink == 1 else 0
