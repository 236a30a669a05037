"""`ipex-node models`: fetch what an order names, and put each model into its place as soon as it is whole.

Serving goes on. What is fetched lies in a directory of root's; the node's lock is held only while a whole model is
put into its place, so that no change and no backup of the node sees half of one.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ipex_node import files, store
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.models import order, place, stock
from ipex_node.models.download import Download
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping
    from pathlib import Path

    from ipex_node.models.download import Fetched
    from ipex_node.models.order import File, Model, Order
    from ipex_node.paths import Paths


def fetch(paths: Paths, text: str) -> dict[str, Any]:
    """Fetch what an order gives sources for, and place what is whole; what fails is named and hinders nothing else.

    Args:
        paths: The node's places.
        text: The order.

    Raises:
        FailedError: The order makes no sense, another one is at work, or the disk has no room for it.
    """
    wanted = order.parse(text)
    with _alone(paths):
        # Its digests are pinned: whatever is missing later on is fetched by them.
        files.write(paths.models_order, text.encode())
        return _done(paths, wanted)


def fetch_again(paths: Paths, declared: Mapping[str, Container[str]]) -> tuple[Order, dict[str, Any]] | None:
    """Check this node against its last order, and fetch what has gone missing of it, by the digests it names.

    Args:
        paths: The node's places.
        declared: Service to the models that it still declares; all of a service that is not named.

    Returns:
        What of the order still counts, and what became of it; None before the first order.

    Raises:
        FailedError: As `fetch`.
    """
    try:
        last = order.parse(paths.models_order.read_text())
    except FileNotFoundError:
        return None
    models = tuple(one for one in last.models if one.service not in declared or one.name in declared[one.service])
    needed = {key for model in models for key in model.files}
    found = tuple(replace(one, sources=one.again, replace=False) for one in last.files if one.key in needed)
    wanted = replace(last, files=found, models=models)
    with _alone(paths):
        return wanted, _done(paths, wanted)


def _done(paths: Paths, wanted: Order) -> dict[str, Any]:
    run = _Run(paths, wanted)
    run.require_room()
    run.all()
    run.forget_the_rest()
    return run.answer()


class _Run:
    """One order on its way."""

    def __init__(self, paths: Paths, wanted: Order) -> None:
        self._paths = paths
        self._wanted = wanted
        self._files = {file.key: file for file in wanted.files}
        self._failures: list[Failure] = []
        self._fetched: list[tuple[File, Fetched]] = []
        self._placed: list[str] = []
        self._settled: set[tuple[str, str]] = set()

    def require_room(self) -> None:
        """Refuse an order for which the disk has no room, before a byte is fetched."""
        need = sum(file.bytes - self._begun(file) for file in self._missing())
        free = stock.free_bytes(self._paths)
        if need and free - need < self._wanted.keep_free_bytes:
            keep = self._wanted.keep_free_bytes
            raise failed(
                "the disk",
                f"has {free:,} bytes free; {need:,} are to be fetched, and {keep:,} must stay free",
                "see `ipex-node cleanup --dry`, or declare fewer models for this node",
            )

    def all(self) -> None:
        """Fetch file by file, and place each model with its last one."""
        self._place_whole()
        download = Download(self._wanted.rate)
        for file in self._missing():
            try:
                self._fetch(download, file)
            except FailedError as error:
                self._failures += error.failures
            except OSError as error:
                self._failures.append(Failure(file.key, f"cannot be written: {error.strerror}", _cure(error)))
                if error.errno == errno.ENOSPC:
                    break
            self._place_whole()

    def forget_the_rest(self) -> None:
        """Remove what earlier orders have begun and this one does not name."""
        for kind in ("ready", "incoming"):
            for path in sorted((self._paths.models / kind).rglob("*")):
                if path.is_file() and not self._is_named(kind, path):
                    path.unlink()

    def answer(self) -> dict[str, Any]:
        """Say what became of it."""
        return {
            "ok": not self._failures,
            "failures": [one.as_json() for one in self._failures],
            "fetched_bytes": sum(fetched.bytes for _, fetched in self._fetched),
            "files": [{"file": file.key, "source": one.source, "bytes": one.bytes} for file, one in self._fetched],
            "refused": [{"file": file.key, "source": by} for file, one in self._fetched for by in one.refused],
            "placed": self._placed,
        }

    def _missing(self) -> list[File]:
        return [
            file
            for file in self._wanted.files
            if file.sources and not place.ready(self._paths, file).exists() and not stock.has(self._paths, file)
        ]

    def _fetch(self, download: Download, file: File) -> None:
        part = self._part(file)
        fetched = download.fetch(file, part)
        self._fetched.append((file, fetched))
        target = place.ready(self._paths, file)
        files.make_directory(target.parent)
        part.rename(target)
        files.sync_directory(target.parent)
        progress(f"  {file.key[:40]}: {fetched.bytes:,} bytes from {fetched.source}")

    def _place_whole(self) -> None:
        """Place the models of which everything is there."""
        for model in self._wanted.models:
            needed = [self._files[key] for key in model.files]
            if (model.service, model.name) in self._settled or not all(map(self._is_there, needed)):
                continue
            self._settled.add((model.service, model.name))
            try:
                self._place(model, needed)
            except FailedError as error:
                self._failures += error.failures
            except OSError as error:
                self._failures.append(Failure(model.name, f"cannot be placed: {error.strerror}", _cure(error)))

    def _place(self, model: Model, needed: list[File]) -> None:
        if not place.is_whole(self._paths, model, needed):
            with store.awaited(self._paths, f"models: {model.name}", place.LOCK_SECONDS):
                place.place(self._paths, model, needed)
            self._placed.append(f"{model.service}/{model.name}")
        if stock.locked(self._paths).get(model.service, {}).get(model.name) != model.digest:
            stock.remember(self._paths, model.service, model.name, model.digest)

    def _is_there(self, file: File) -> bool:
        return stock.has(self._paths, file) or place.ready(self._paths, file).exists()

    def _part(self, file: File) -> Path:
        return self._paths.models / "incoming" / file.digest.removeprefix("sha256:")

    def _begun(self, file: File) -> int:
        part = self._part(file)
        return min(part.lstat().st_size, file.bytes) if part.exists() else 0

    def _is_named(self, kind: str, path: Path) -> bool:
        found = {
            self._part(file) if kind == "incoming" else place.ready(self._paths, file) for file in self._wanted.files
        }
        return path in found


def _cure(error: OSError) -> str:
    return "see `ipex-node cleanup --dry`" if error.errno == errno.ENOSPC else ""


@contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """Let one order at a time be at work.

    Raises:
        FailedError: Another one is.
    """
    files.make_directory(paths.models)
    descriptor = os.open(paths.models / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise failed("models", "another order is at work on this node", "wait for it, then try again") from error
        yield
    finally:
        os.close(descriptor)
