"""The rollout lock: one run at a time changes a fleet. It is kept on the first monitor."""

import getpass
import os
import secrets
import socket
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

import gevent
from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fleet.load import RefusedError, node_name
from operations import command_line, monitors
from operations.node_command import Answer, failure_lines

if TYPE_CHECKING:
    from operations.question import Answers


def owner() -> str:
    """Who runs this, and on which machine."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


@dataclass
class RolloutLock:
    """The lock of one run, renewed as long as the run lives.

    Attributes:
        state: pyinfra's.
        found: what the survey has found: the lock is refused if the fleet has changed since.
        token: tells this run from all others.
        lost: why the lock is not this run's any more; empty while it is.
    """

    state: State
    found: "Answers"
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    lost: str = ""
    _renewal: "gevent.Greenlet[[], None] | None" = None

    @property
    def _monitor(self) -> Host:
        return monitors.of(self.state, self.found.fleet)[0]

    def acquire(self) -> None:
        """Take it.

        Raises:
            RefusedError: somebody else holds it, or the monitor cannot be asked.
        """
        answer = self._ask(force=self.found.request.break_lock)
        if answer is None:
            if not self.found.request.break_lock:
                raise RefusedError(
                    f"No node was changed: {node_name(self._monitor)} keeps the rollout lock and does not answer.\n"
                    "  Bring it up; or, if you know that nobody else rolls, go on without the lock:\n"
                    f"  {command_line.current().again('--data', 'break_lock=true')}"
                )
            logger.warning("--> Going on without the rollout lock: its monitor does not answer")
            return
        if not answer["ok"]:
            raise RefusedError("\n".join(["No node was changed:", *(f"  {line}" for line in failure_lines(answer))]))
        if answer.get("broken"):
            logger.warning("--> The rollout lock of %s is broken, as asked for", answer["broken"])
        if not answer.get("new"):
            self._renewal = gevent.spawn(self._renew)

    def refuse_if_held(self) -> None:
        """Let a run that must not begin say who holds the lock, if anybody does.

        Raises:
            RefusedError: somebody else holds it.
        """
        self.acquire()
        self.release()

    def release(self) -> None:
        """Give it back; where that fails it ends by itself."""
        if self._renewal:
            self._renewal.kill()
            answer = monitors.ask(self.state, self._monitor, "lock", "release", "--token", self.token)
            if answer is None:
                logger.warning(
                    "--> The rollout lock could not be given back; it ends by itself in %s s at the latest",
                    self.found.fleet.rollout.lock_seconds,
                )

    def _ask(self, *, force: bool = False) -> Answer | None:
        words = {
            "--owner": owner(),
            "--reason": self.found.request.reason or command_line.current().again(),
            "--token": self.token,
            "--seconds": self.found.fleet.rollout.lock_seconds,
            "--surveyed": round(monotonic() - self.found.asked_at, 1),
        }
        flat = [str(word) for pair in words.items() for word in pair]
        return monitors.ask(self.state, self._monitor, "lock", "acquire", *flat, *(["--force"] if force else []))

    def _renew(self) -> None:
        while not self.lost:
            gevent.sleep(self.found.fleet.rollout.lock_seconds / 4)
            answer = self._ask()
            if answer and not answer["ok"]:
                self.lost = " ".join(failure_lines(answer))
