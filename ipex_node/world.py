"""The world outside this program: one function runs commands, one place has files, one check asks engines."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, Protocol

from ipex_node.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND_SECONDS = 900.0
"""Longest a command may take; a unit's own start timeout and Nix's own stalls end far earlier."""


@dataclass(frozen=True)
class Completed:
    """A command that has ended.

    Attributes:
        returncode: 0 is success; 127 where the program does not exist.
        stdout: What it said.
        stderr: What it complained about; the last lines only, where it was shown on the way.
    """

    returncode: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """The last lines of what it said, as the reason of a failure."""
        lines = (self.stderr.strip() or self.stdout.strip() or f"exit status {self.returncode}").splitlines()
        return "\n".join(lines[-12:])


class Run(Protocol):
    """Runs one command without a shell."""

    def __call__(self, command: Sequence[str], *, show: bool = False) -> Completed:
        """Run it to its end, with its complaints shown on standard error meanwhile if `show`."""


def run(command: Sequence[str], *, show: bool = False) -> Completed:
    """Run a command on this machine. See `Run`."""
    try:
        if show:
            return _run_shown(command)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    except FileNotFoundError:
        return Completed(127, "", f"{command[0]} is not installed on this node")
    except subprocess.TimeoutExpired:
        return Completed(124, "", f"did not end within {COMMAND_SECONDS:.0f} seconds: {' '.join(command)}")
    return Completed(done.returncode, done.stdout, done.stderr)


def _run_shown(command: Sequence[str]) -> Completed:
    last: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stderr or ():
            last.append(line)
            progress(line.rstrip())
    return Completed(process.returncode, "", "".join(last))


def progress(text: str) -> None:
    """Tell a person what happens now.

    The reader may be gone (a lost SSH connection); what is being done must not fail for that.
    """
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        return


def end_at_sigterm() -> None:
    """Let SIGTERM end this program as Ctrl-C does: the way a unit that runs for ever is meant to end."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


@dataclass(frozen=True)
class World:
    """What the program acts on.

    Attributes:
        paths: The node's places.
        run: Runs a command.
    """

    paths: Paths = field(default_factory=Paths)
    run: Run = run
