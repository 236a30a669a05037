"""Files that an engine has made, seen and removed by root below a directory that belongs to the engine's user.

That user may put a symbolic link, or another directory, in the place of any other at any moment. So every step
down is an openat(2) that follows no link, and a file is judged and removed by its name in the directory that is
already open: whatever the user does, nothing outside its own directories is reached.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ipex_node.cleanup.plan import File
from ipex_node.foreign import directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DEPTH = 16
"""Directories below one another that are looked into; each costs an open descriptor while it is."""
_MOST = 50_000
"""Old files, and young ones, of one directory that a run keeps in mind: all an engine could make would not fit."""
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
"""What openat(2) says where a name is no directory any more: nothing there, another file, a symbolic link."""


def listed(top: Path, folder: str, before: float) -> list[File]:
    """Return the regular files below a directory, and of very many a part: however many are young, the old are found.

    Args:
        top: A directory of root's.
        folder: Where the engine writes, relative to it.
        before: What was last written before this moment is old.
    """
    old: list[File] = []
    young: list[File] = []
    try:
        with _opened(top, folder.split("/")) as descriptor:
            for file in _files(descriptor, top / folder, str(top / folder), _DEPTH):
                kept = old if file.modified < before else young
                if len(kept) < _MOST:
                    kept.append(file)
                if len(old) == _MOST:
                    break
    except OSError as error:
        if error.errno not in _GONE:
            raise
    return old + young


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
    with ExitStack() as stack:
        descriptor = stack.enter_context(directory(top))
        for folder in folders:
            descriptor = stack.enter_context(directory(folder, descriptor))
        yield descriptor


def _files(descriptor: int, place: Path, within: str, depth: int) -> Iterator[File]:
    # Name by name: a list of all of them may be larger than this process may be.
    with os.scandir(descriptor) as names:
        for name in (entry.name for entry in names):
            try:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    yield File(str(place / name), _freed(status), status.st_mtime, within)
                elif stat.S_ISDIR(status.st_mode) and depth > 1:
                    with directory(name, descriptor) as below:
                        yield from _files(below, place / name, within, depth - 1)
            except OSError as error:
                if error.errno not in _GONE:
                    raise


def _freed(status: os.stat_result) -> int:
    """Return what the removal of one name frees: nothing while the file has another."""
    return status.st_blocks * 512 if status.st_nlink == 1 else 0
