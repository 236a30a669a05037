"""Data of a service exchanged for others, all or none: a journal says what was moved, and the way back follows it."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ipex_node import files, foreign

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NEW, OLD = "new", "old"
"""Folders beside the state directory with what comes and what was there."""


@dataclass(frozen=True)
class Move:
    """One item that is exchanged.

    Attributes:
        item: Its path in the state directory.
        brings: Whether something comes in its place; otherwise it only goes.
    """

    item: str
    brings: bool


class Exchange:
    """Exchanges items of one service that does not run.

    Args:
        state: Its state directory; what lies in it may belong to somebody hostile.
        work: A directory of root's own on the same file system, with what comes in `new/`.
        journal: Where it is written what is about to be moved.
    """

    def __init__(self, state: Path, work: Path, journal: Path) -> None:
        self._state, self._work, self._journal = state, work, journal

    def do(self, moves: Sequence[Move], unit: str) -> None:
        """Write down what is moved, and move it."""
        record = {"state": str(self._state), "work": str(self._work), "unit": unit, "moves": [*map(asdict, moves)]}
        files.write(self._journal, json.dumps(record).encode(), mode=0o600)
        owner = self._state.stat()
        for move in moves:
            with _parent(self._state, move.item, (owner.st_uid, owner.st_gid)) as (place, name):
                if _exists(place, name):
                    _bring(place, name, self._work / OLD / move.item, away=True)
                if move.brings:
                    _bring(place, name, self._work / NEW / move.item, away=False)
                os.fsync(place)

    def undo(self, moves: Sequence[Move]) -> None:
        """Put back what was there; may be cut off and done again."""
        owner = self._state.stat()
        for move in reversed(moves):
            new, old = self._work / NEW / move.item, self._work / OLD / move.item
            with _parent(self._state, move.item, (owner.st_uid, owner.st_gid)) as (place, name):
                if move.brings and not _is_there(new) and _exists(place, name):
                    _bring(place, name, new, away=True)
                if _is_there(old):
                    _bring(place, name, old, away=False)
                os.fsync(place)

    def forget(self) -> None:
        """Say that nothing is to be put back any more, and remove what was there."""
        self._journal.unlink(missing_ok=True)
        files.sync_directory(self._journal.parent)
        files.remove_tree(self._work)


@contextmanager
def _parent(state: Path, item: str, owner: tuple[int, int]) -> Iterator[tuple[int, str]]:
    """Open the folder of an item, made where it is missing; never through a link."""
    *folders, name = item.split("/")
    with foreign.directory(state) as top, _below(top, folders, owner) as place:
        yield place, name


@contextmanager
def _below(place: int, folders: Sequence[str], owner: tuple[int, int]) -> Iterator[int]:
    if not folders:
        yield place
        return
    if not _exists(place, folders[0]):
        os.mkdir(folders[0], 0o755, dir_fd=place)
        os.chown(folders[0], *owner, dir_fd=place, follow_symlinks=False)
    with foreign.directory(folders[0], place) as inner, _below(inner, folders[1:], owner) as last:
        yield last


def _bring(place: int, name: str, path: Path, *, away: bool) -> None:
    """Move a name of an open directory to a path of root's own, or the other way round."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if away:
        os.rename(name, path, src_dir_fd=place)
    else:
        os.rename(path, name, dst_dir_fd=place)


def _exists(place: int, name: str) -> bool:
    return name in foreign.entries(place)


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()
