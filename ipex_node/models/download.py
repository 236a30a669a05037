"""One file, fetched from the first of its sources that gives it whole: resumed, throttled, verified as it comes.

curl speaks HTTP (TLS, redirects, ranges, limits); what it brings is hashed on its way to the disk, so that no byte is
read twice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ipex_node import files
from ipex_node.failure import failed
from ipex_node.models.stock import CHUNK
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ipex_node.models.order import File

STALLED_SECONDS = 30
"""A source that sends nothing for so long is given up."""
_CONNECT_SECONDS = 5
_REDIRECTS = 5
_FLUSH = 1 << 25
"""Bytes after which the disk is told to begin, so that the end need not wait for all of them."""
_NOT_THERE = 22
"""curl's exit status where the server answers 4xx or 5xx (--fail)."""


@dataclass
class Fetched:
    """What became of one file.

    Attributes:
        bytes: Bytes that came over the network.
        source: Which source gave it.
        refused: Sources whose content was not what its name says.
        silent: Sources that did not give it, each with the reason.
    """

    bytes: int = 0
    source: str = ""
    refused: list[str] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)


class Download:
    """Fetches files one after another.

    Args:
        rate: Most bytes a second, in curl's spelling; empty for no limit.
        start: Starts a program; a test's own.
    """

    def __init__(self, rate: str, start: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen) -> None:
        self._rate = rate
        self._start = start

    def fetch(self, file: File, part: Path) -> Fetched:
        """Bring a file's content into `part`, which may hold its beginning already.

        Raises:
            FailedError: No source gave it; what has come stays for the next attempt.
            OSError: It cannot be written; a disk that is full keeps nothing of it.
        """
        fetched = Fetched()
        for source in file.sources:
            if self._from(source, file, part, fetched):
                fetched.source = source
                return fetched
        said = [f"{source}: the content is not {file.digest}" for source in fetched.refused]
        said += [f"{source}: {why}" for source, why in fetched.silent.items()]
        raise failed(file.key, f"no source gave it: {'; '.join(said) or 'it has none'}", "run the same command again")

    def _from(self, source: str, file: File, part: Path, fetched: Fetched) -> bool:
        """Try one source for as long as it brings anything; what another has begun, once more from the first byte."""
        begun, before = _length(part) > 0, -1
        while (why := self._append(source, file, part, fetched)) and _length(part) > before:
            if before >= 0:
                progress(f"  {source}: {why}; it is continued")
            before = _length(part)
        if why is None and begun and _length(part) == 0:
            why = self._append(source, file, part, fetched)
        if why:
            fetched.silent[source] = why
        elif why is None:
            progress(f"  {source} gives another content than {file.digest}: refused")
            fetched.refused.append(source)
        return why == ""

    def _append(self, source: str, file: File, part: Path, fetched: Fetched) -> str | None:
        """Return why nothing whole came; empty where the file is whole, none where its content is wrong."""
        files.make_directory(part.parent)
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            known = _beginning(descriptor, file.bytes)
            have = os.lseek(descriptor, 0, os.SEEK_CUR)
            why = ""
            if have < file.bytes:
                why, came = self._receive(source, descriptor, known, file.bytes - have)
                fetched.bytes += came
                have += came
            if why or have < file.bytes:
                return why or f"ended after {have} of {file.bytes} bytes"
            if f"sha256:{known.hexdigest()}" == file.digest:
                os.fsync(descriptor)
                return ""
            os.ftruncate(descriptor, 0)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                os.ftruncate(descriptor, 0)
                part.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return None

    def _receive(self, source: str, descriptor: int, known: hashlib._Hash, most: int) -> tuple[str, int]:
        """Write what a source sends from here on; return why it failed, if it did, and the bytes that came."""
        came = 0
        # One place for all of it: memory that is new for every part costs as much as the copying.
        space = memoryview(bytearray(CHUNK))
        with self._running(self._command(source, os.lseek(descriptor, 0, os.SEEK_CUR))) as process:
            while length := process.stdout.readinto(space):  # type: ignore[union-attr]
                part = space[:length]
                came += length
                if came > most:
                    return "sends more than the file has", 0
                known.update(part)
                _write(descriptor, part)
                if came % _FLUSH < length:
                    _begin_writing(descriptor)
            complaint = process.stderr.read(2000).decode(errors="replace").strip()  # type: ignore[union-attr]
            status = process.wait()
        if status == _NOT_THERE and not came:
            return complaint.rpartition("error: ")[2] or "does not have it", 0
        return (complaint or f"curl ended with status {status}") if status else "", came

    def _command(self, source: str, offset: int) -> list[str]:
        command = ["curl", "--silent", "--show-error", "--fail", "--globoff", "--no-buffer", "--output", "-"]
        # A registry may send on to a store of its own, and never from TLS to a line without.
        allowed = "=https" if source.startswith("https:") else "=http"
        command += ["--location", "--max-redirs", str(_REDIRECTS), "--proto", allowed, "--proto-redir", allowed]
        command += ["--connect-timeout", str(_CONNECT_SECONDS)]
        command += ["--speed-limit", "1", "--speed-time", str(STALLED_SECONDS)]
        command += ["--limit-rate", self._rate] if self._rate else []
        command += ["--continue-at", str(offset)] if offset else []
        return [*command, "--", source]

    @contextlib.contextmanager
    def _running(self, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # Without a buffer a read gives what there is: of a slow source nothing waits for its mate.
        process = self._start(command, bufsize=0, **pipes)
        with process:
            # May be refused to who has many pipes; then it is slower, and that is all.
            with contextlib.suppress(OSError):
                fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, CHUNK)  # type: ignore[arg-type]
            try:
                yield process
            finally:
                process.kill()


def _beginning(descriptor: int, longest: int) -> hashlib._Hash:
    """Hash what is there already, and stand behind it; of more than the whole nothing is believed."""
    known = hashlib.sha256()
    if os.fstat(descriptor).st_size > longest:
        os.ftruncate(descriptor, 0)
    while part := os.read(descriptor, CHUNK):
        known.update(part)
    return known


def _length(part: Path) -> int:
    return part.lstat().st_size if part.exists() else 0


def _begin_writing(descriptor: int) -> None:
    """Let the disk begin with what is in memory, and forget what it has: that memory is the engines'.

    On Linux this begins to write and waits for nothing (mm/fadvise.c, POSIX_FADV_DONTNEED).
    """
    have = os.lseek(descriptor, 0, os.SEEK_CUR)
    begin = max(0, have - 2 * _FLUSH)
    os.posix_fadvise(descriptor, begin, have - begin, os.POSIX_FADV_DONTNEED)


def _write(descriptor: int, view: memoryview) -> None:
    while view:
        view = view[os.write(descriptor, view) :]
