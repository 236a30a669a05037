"""Files that are there entirely or not at all."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PUBLIC_DIRECTORY = 0o755
PRIVATE_DIRECTORY = 0o700


def write(path: Path, content: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Put a file in place by atomic rename, on the disk before it is visible.

    Args:
        path: Where; missing directories are made.
        content: All of it.
        mode: Permission bits.
        owner: User and group id; this process's own without it.
    """
    make_directory(path.parent)
    fresh = _fresh(path)
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            # After chown, which clears the set-user-ID bits.
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        fresh.rename(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _fresh(path: Path) -> Path:
    return path.with_name(f".{path.name}.ipex-new")


def remove_unfinished(path: Path) -> None:
    """Remove what a process that was killed while it wrote this file has left beside it."""
    _fresh(path).unlink(missing_ok=True)


def link(path: Path, target: str) -> None:
    """Point a symbolic link somewhere else by atomic rename."""
    make_directory(path.parent)
    fresh = _fresh(path)
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.rename(path)
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make a directory and its parents, readable by all whatever the umask of the caller."""
    for directory in missing_directories(path):
        directory.mkdir()
        directory.chmod(PUBLIC_DIRECTORY)


def make_private_directory(path: Path) -> None:
    """Make a directory that holds copies of files for root alone; one that is there is closed."""
    make_directory(path.parent)
    path.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
    path.chmod(PRIVATE_DIRECTORY)


def missing_directories(path: Path) -> list[Path]:
    """Return the directories that must be made for a path, outermost first."""
    missing: list[Path] = []
    while not path.exists():
        missing.insert(0, path)
        path = path.parent
    return missing


def sync_directory(path: Path) -> None:
    """Bring a directory's entries to the disk: a rename survives a power cut only then."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy(source: Path, target: Path) -> None:
    """Put a copy in place atomically with content or link target, mode, owner and time of its source."""
    status = source.lstat()
    if stat.S_ISLNK(status.st_mode):
        link(target, str(source.readlink()))
        os.lchown(target, status.st_uid, status.st_gid)
        return
    write(target, source.read_bytes(), stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove_tree(path: Path) -> None:
    """Remove a directory with all it holds, if it is there."""
    # With its archive formats it would cost `status` a tenth of its time.
    import shutil  # noqa: PLC0415

    if path.exists():
        shutil.rmtree(path)


def sha256(path: Path) -> str:
    """Return the digest of a file's content, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def owner_ids(owner: str, group: str) -> tuple[int, int]:
    """Return the ids of a user and a group.

    Raises:
        LookupError: The node does not know one of them.
    """
    return pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid


def owner_names(status: os.stat_result) -> str:
    """Return `user:group` of a file, as ids where they have no name."""
    try:
        user = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        user = str(status.st_uid)
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"{user}:{group}"
