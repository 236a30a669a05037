"""Models into the engines' own directories: whole files by rename, the manifest last, owned by the engine's user."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ipex_node.failure import failed
from ipex_node.foreign import directory
from ipex_node.models import order, stock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ipex_node.models.order import File, Model
    from ipex_node.paths import Paths

LOCK_SECONDS = 900.0
"""Longest wait for a change of this node that goes on: what was fetched meanwhile is not lost."""
_MODE, _DIRECTORY_MODE = 0o644, 0o755
_NEW = ".ipex-new"


def ready(paths: Paths, file: File) -> Path:
    """Return where a fetched and verified file waits for the rest of its model, served to other nodes."""
    return paths.models / "ready" / file.service / file.path


def is_whole(paths: Paths, model: Model, files: list[File]) -> bool:
    """Whether everything of a model is in its place."""
    return all(stock.has(paths, file) for file in files) and _manifest(paths, model) == model.manifest


def place(paths: Paths, model: Model, files: list[File]) -> None:
    """Put a model into its service's directory; it appears with its last name.

    Raises:
        FailedError: The service has never been started, so its directory belongs to nobody yet.
        OSError: It cannot be written.
    """
    top = order.directory(paths, model.service)
    if not top.parent.is_dir() or top.parent.is_symlink():
        raise failed(str(top.parent), f"is not there: {model.service} has never been started", "deploy this node first")
    owner = _owner(top.parent)
    for file in files:
        if (source := ready(paths, file)).exists():
            _install(source, top, file.path, owner)
    if model.place:
        _write(top, model.place, model.manifest.encode(), owner)


def _install(source: Path, top: Path, path: str, owner: tuple[int, int]) -> None:
    os.chown(source, *owner)
    source.chmod(_MODE)
    *folders, name = path.split("/")
    with _made(top, folders, owner) as folder:
        try:
            os.rename(source, name, dst_dir_fd=folder)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _fill(folder, name, owner, lambda copy: _copy(source, copy))
            source.unlink()
        os.fsync(folder)


def _write(top: Path, path: str, content: bytes, owner: tuple[int, int]) -> None:
    *folders, name = path.split("/")
    with _made(top, folders, owner) as folder:
        _fill(folder, name, owner, lambda copy: _all(copy, content))
        os.fsync(folder)


def _fill(folder: int, name: str, owner: tuple[int, int], fill: Callable[[int], None]) -> None:
    """Make a file under another name first, and give it its own when it is on the disk."""
    fresh = f".{name}{_NEW}"
    with ExitStack() as stack:
        _forget(folder, fresh)
        stack.callback(_forget, folder, fresh)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        try:
            fill(descriptor)
            os.fchown(descriptor, *owner)
            os.fchmod(descriptor, _MODE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)


def _forget(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _copy(source: Path, target: int) -> None:
    """Copy within the machine, where the engines' disk is another one."""
    with source.open("rb") as file:
        while os.sendfile(target, file.fileno(), None, stock.CHUNK):
            pass


def _all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


@contextmanager
def _made(top: Path, folders: list[str], owner: tuple[int, int]) -> Iterator[int]:
    """Open a directory below a service's own, and make what is missing of the way; no link is followed."""
    with ExitStack() as stack:
        folder = stack.enter_context(directory(top.parent.parent))
        folder = stack.enter_context(directory(top.parent.name, folder))
        for name in (top.name, *folders):
            try:
                os.mkdir(name, _DIRECTORY_MODE, dir_fd=folder)
                os.chown(name, *owner, dir_fd=folder, follow_symlinks=False)
            except FileExistsError:
                pass
            folder = stack.enter_context(directory(name, folder))
        yield folder


def _owner(place: Path) -> tuple[int, int]:
    """Return whom the state directory belongs to: systemd gives all below it to the same (DynamicUser=)."""
    status = place.lstat()
    return status.st_uid, status.st_gid


def _manifest(paths: Paths, model: Model) -> str:
    if not model.place:
        return ""
    *folders, name = model.place.split("/")
    try:
        with stock.below(order.directory(paths, model.service), folders) as folder:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            with os.fdopen(descriptor, "rb") as file:
                return file.read(len(model.manifest.encode()) + 1).decode(errors="replace")
    except OSError:
        return ""
