"""Trees that belong to somebody else, who may be hostile and at work: root copies, measures and removes them.

Everything is opened below an open directory and never through a link (openat(2), O_NOFOLLOW), so that nobody can
turn root to another place by exchanging a name between two looks.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import stat
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ipex_node.failure import failed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite appends to a database's name for the files it keeps beside it (sqlite.org/tempfiles.html)."""
DEPTH = 64
"""Deepest tree that is copied: every level holds two open directories."""
ENTRY_BYTES = 4096
"""What a name costs on the disk beside its content, so that a million empty files are seen to be large."""
LOCK_SECONDS = 10.0
"""Longest wait for a database that its owner has locked; he is idle while he is asked for it."""

_SQLITE = b"SQLite format 3\0"
"""The first 16 bytes of a database (sqlite.org/fileformat.html, 1.3)."""
_CHUNK = 2**24
_OPEN = Path("/proc/self/fd")
"""What this process has open."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# Without blocking: a pipe that has taken a file's name would be waited for.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


@contextmanager
def directory(path: str | Path, at: int | None = None) -> Iterator[int]:
    """Open a directory, below an open one if there is one; then `path` may be no link."""
    with _opened(path, _DIRECTORY if at is not None else os.O_RDONLY | os.O_DIRECTORY, at) as descriptor:
        yield descriptor


@contextmanager
def below(path: Path, folder: str) -> Iterator[int]:
    """Open a folder, such as `a/b`, below a directory whose own way is trusted; no link is followed from there on."""
    with ExitStack() as opened:
        place = opened.enter_context(directory(path))
        for name in filter(None, folder.split("/")):
            place = opened.enter_context(directory(name, place))
        yield place


def entries(place: int) -> list[str]:
    """Return the names in an open directory."""
    return os.listdir(place)


def size(place: int, names: Collection[str], depth: int = 0) -> int:
    """Return the bytes a copy of these names would need at most.

    Raises:
        FailedError: A tree is too deep.
        OSError: Something cannot be read.
    """
    total = 0
    for name in names:
        status = _status(place, name)
        if status is None:
            continue
        total += ENTRY_BYTES + (status.st_size if stat.S_ISREG(status.st_mode) else 0)
        if stat.S_ISDIR(status.st_mode):
            with _inner(name, place, depth) as inner:
                total += size(inner, entries(inner), depth + 1)
    return total


def remove(place: int, name: str) -> None:
    """Remove a file, a link itself, or a directory with all it holds; nothing where there is nothing."""
    status = _status(place, name)
    if status is None:
        return
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(name, dir_fd=place)
    else:
        os.unlink(name, dir_fd=place)


def link(source: int, target: int, name: str) -> None:
    """Give a plain file a second name in another directory of the same file system.

    Raises:
        OSError: It cannot be: there is none, or it lies on another file system, or it was exchanged for something else.
    """
    os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    status = _status(target, name)
    if status is None or not stat.S_ISREG(status.st_mode):
        os.unlink(name, dir_fd=target)
        raise OSError(errno.EINVAL, "was exchanged for what is no plain file", name)


class Copy:
    """Copies with owner, mode and times, on the disk when it is done.

    Links stay links; sockets, pipes and devices hold no data and are left out.

    Args:
        live: A process may be writing. SQLite's databases are then copied by SQLite itself, as one consistent
            file each; otherwise every file is copied as it is.
        budget: Bytes that may be written: what is copied may grow meanwhile.
        linked: Whether plain files, but for databases, become a second name of the same file: nothing is written, and
            what their owner changes in place is changed in both.
    """

    def __init__(self, *, live: bool, budget: float = math.inf, linked: bool = False) -> None:
        self._live = live
        self._linked = linked
        self.left = budget

    def items(self, source: int, target: int, names: Collection[str], depth: int = 0) -> None:
        """Copy those of these names that are there from one open directory to another.

        Raises:
            FailedError: A tree is too deep, the budget is used up, or SQLite cannot copy a database.
            OSError: Something cannot be read or written, or was exchanged meanwhile.
        """
        databases = {name for name in names if self._live and _is_database(source, name)}
        beside = {name + suffix for name in databases for suffix in BESIDE}
        for name in names:
            status = _status(source, name)
            if status is None or name in beside:
                continue
            self._spend(name, ENTRY_BYTES)
            if stat.S_ISLNK(status.st_mode):
                _copy_link(source, target, name, status)
            elif stat.S_ISDIR(status.st_mode):
                self._directory(source, target, name, depth)
            elif stat.S_ISREG(status.st_mode) and self._linked and name not in databases:
                link(source, target, name)
            elif stat.S_ISREG(status.st_mode):
                self._file(source, target, name, is_database=name in databases)
        os.fsync(target)

    def _directory(self, source: int, target: int, name: str, depth: int) -> None:
        os.mkdir(name, 0o700, dir_fd=target)
        with _inner(name, source, depth) as original, _opened(name, _DIRECTORY, target) as copy:
            self.items(original, copy, entries(original), depth + 1)
            _make_alike(original, copy)

    def _file(self, source: int, target: int, name: str, *, is_database: bool) -> None:
        with _opened(name, _READ, source) as original, _opened(name, _WRITE, target) as copy:
            if is_database:
                self._database(f"{_address(source, name)}?mode=ro", original, _address(target, name))
            else:
                self._content(name, original, copy)
            _make_alike(original, copy)

    def _content(self, name: str, original: int, copy: int) -> None:
        while sent := os.sendfile(copy, original, None, _CHUNK):
            self._spend(name, sent)

    def _database(self, address: str, original: int, copy: str) -> None:
        """Copy a database as of one moment, whatever its owner writes meanwhile."""
        try:
            # A minimal Python may lack it, and most changes copy no database.
            import sqlite3  # noqa: PLC0415
        except ImportError as error:
            cure = "install python3 with its standard library"
            raise failed(
                _path(original), f"is an SQLite database, and this Python has no sqlite3: {error}", cure
            ) from error
        try:
            with closing(sqlite3.connect(address, LOCK_SECONDS, isolation_level=None, uri=True)) as live:
                _require_open_twice(original)
                # Held until the copy is whole: otherwise a lock in the middle would be waited for without end.
                live.execute("BEGIN")
                pages, page = (live.execute(f"PRAGMA page_{what}").fetchone()[0] for what in ("count", "size"))
                self._spend(_path(original), pages * page)
                with closing(sqlite3.connect(copy, isolation_level=None, uri=True)) as fresh:
                    fresh.execute("PRAGMA journal_mode=OFF")
                    live.backup(fresh)
        except sqlite3.Error as error:
            is_full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            cure = "make room for a copy of it" if is_full else "look what holds or has damaged it, then deploy again"
            raise failed(_path(original), f"this SQLite database cannot be copied: {error}", cure) from error

    def _spend(self, name: str, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            cure = "look what its service writes, or make room below /var/lib/ipex"
            raise failed(name, "grows while it is copied, beyond the room there is for the copy", cure)


@contextmanager
def _opened(path: str | Path, flags: int, at: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600, dir_fd=at)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _inner(name: str, place: int, depth: int) -> Iterator[int]:
    if depth >= DEPTH:
        raise failed(_path(place), f"lies {depth} directories deep", "look who makes such trees, and remove it")
    with _opened(name, _DIRECTORY, place) as descriptor:
        yield descriptor


def _status(place: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_database(place: int, name: str) -> bool:
    status = _status(place, name)
    if status is None or not stat.S_ISREG(status.st_mode):
        return False
    with _opened(name, _READ, place) as file:
        return os.read(file, len(_SQLITE)) == _SQLITE


def _copy_link(source: int, target: int, name: str, status: os.stat_result) -> None:
    os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def _make_alike(original: int, copy: int) -> None:
    status = os.fstat(original)
    os.fchown(copy, status.st_uid, status.st_gid)
    # After chown, which clears the set-user-ID bits.
    os.fchmod(copy, stat.S_IMODE(status.st_mode))
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.fsync(copy)


def _address(place: int, name: str) -> str:
    """Return the URI of a name in an open directory, for SQLite, which takes no descriptors."""
    return f"file:{_OPEN}/{place}/{quote(os.fsencode(name))}"


def _path(descriptor: int) -> str:
    return str((_OPEN / str(descriptor)).readlink())


def _require_open_twice(original: int) -> None:
    """Require that SQLite has opened the very file that we hold.

    SQLite follows links on its way to a database: an exchanged name would show it any database that root can read.

    Raises:
        OSError: It has another one.
    """
    wanted, found = os.fstat(original), 0
    for descriptor in _OPEN.iterdir():
        # One of them, by which the others were listed, is closed again.
        with suppress(OSError):
            found += os.path.samestat(descriptor.stat(), wanted)
    if found < 2:
        raise OSError(f"{_path(original)} was exchanged while it was opened")
