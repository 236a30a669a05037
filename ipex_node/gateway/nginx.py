"""nginx on a gateway: give it new upstreams, and see that it uses them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

from ipex_node import files
from ipex_node.failure import failed
from ipex_node.gateway import question, upstreams

if TYPE_CHECKING:
    from ipex_node.gateway.settings import GatewaySettings
    from ipex_node.world import Run

LOADED_SECONDS = 5.0
"""Longest nginx may take to work with a new file."""
SETTLED_SECONDS = 0.3
"""How long only the new workers must have answered: nginx tells the old ones to stop 100 ms after it has started
the new ones (ngx_reconfigure in src/os/unix/ngx_process_cycle.c)."""
_PAUSE_SECONDS = 0.02
_LOOPBACK = "127.0.0.1"


class Nginx:
    """The gateway's nginx, told by its own user.

    Args:
        settings: The gateway's settings.
        run: Runs a command.
    """

    def __init__(self, settings: GatewaySettings, run: Run) -> None:
        self._settings = settings
        self._run = run
        self._seen: tuple[int, int] | None = None

    def read(self) -> str:
        """Return the upstreams as they are on the disk; empty where there are none yet."""
        self._seen = self._look()
        try:
            return self._settings.live.read_text()
        except FileNotFoundError:
            return ""

    def is_touched(self) -> bool:
        """Whether somebody else has written the upstreams since they were read or loaded."""
        return self._look() != self._seen

    async def load(self, text: str) -> None:
        """Check new upstreams, put them in place, and wait until nginx works with nothing else.

        Where nginx does not run it has nothing to forget: it reads the file when it starts.

        Raises:
            FailedError: nginx refuses the file, or does not take it up in time.
        """
        await asyncio.to_thread(self._put, text)
        begun = time.monotonic()
        if self._tell():
            await self._wait(upstreams.version(text), begun)

    async def has_loaded(self, text: str) -> bool:
        """Whether nginx works with a text; also where it does not run."""
        version = await self._version()
        return version is None or version == upstreams.version(text)

    def _put(self, text: str) -> None:
        files.write(self._settings.candidate, text.encode())
        command = ["nginx", "-t", "-q", "-e", "stderr", "-c", str(self._settings.check)]
        done = self._run(command)
        if done.returncode != 0:
            cure = f"the last good upstreams stay; try: {' '.join(command)}"
            raise failed(str(self._settings.candidate), done.complaint, cure)
        files.write(self._settings.live, text.encode())
        self._seen = self._look()

    def _look(self) -> tuple[int, int] | None:
        try:
            status = self._settings.live.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _tell(self) -> bool:
        """Ask nginx to reload, and say whether there is an nginx."""
        try:
            os.kill(int(self._settings.pid.read_text()), signal.SIGHUP)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return False
        except PermissionError as error:
            # nginx' own user is this program's: the pid in the file is no longer nginx' one.
            raise failed(str(self._settings.pid), "names a process of somebody else", "start nginx anew") from error
        return True

    async def _wait(self, version: str, begun: float) -> None:
        """Wait until every answer of some time has come from workers that have read the new file."""
        since: float | None = None
        while (now := time.monotonic()) < begun + LOADED_SECONDS:
            found = await self._version()
            if found not in {version, None}:
                since = None
            elif since is None:
                since = now
            elif now - since >= SETTLED_SECONDS:
                return
            await asyncio.sleep(_PAUSE_SECONDS)
        raise failed("nginx", f"has not taken up {self._settings.live} after {LOADED_SECONDS:.0f} s", "try: nginx -t")

    async def _version(self) -> str | None:
        """Return the version of the upstreams with which nginx answers; None where nobody answers."""
        port, path = self._settings.port, self._settings.question
        try:
            status, body = await question.get(_LOOPBACK, port, path, question.ANSWER_SECONDS)
        except ConnectionRefusedError:
            return None
        except (OSError, ValueError) as error:
            return f"unknown: {error}"
        return body.decode(errors="replace").strip() if status == 200 else f"unknown: status {status}"
