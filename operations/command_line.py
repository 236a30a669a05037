"""What was typed: some of it decides what a run may do, and a message may ask to type it again."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CommandLine:
    """The words of this run.

    Attributes:
        words: all of them, as the process has got them.
        inventory: the inventory's file.
        limited: whether --limit names nodes.
        excluded: whether --exclude does.
        dry: whether nothing is to be changed.
        json: whether a program reads the answer.
    """

    words: tuple[str, ...] = ()
    inventory: str = ""
    limited: bool = False
    excluded: bool = False
    dry: bool = False
    json: bool = False

    def again(self, *more: str) -> str:
        """The same command, to be typed once more, with something added."""
        return shlex.join(["pyinfra", *more, *self.words])


_read = [CommandLine()]


def read(parameters: Mapping[str, Any]) -> None:
    """Keep what the command line said; only config.py, which runs in its context, can ask for it."""
    _read[0] = CommandLine(
        words=tuple(sys.argv[1:]),
        inventory=str(parameters.get("inventory") or ""),
        limited=bool(parameters.get("limit")),
        excluded=bool(parameters.get("exclude")),
        dry=bool(parameters.get("dry")),
        json=bool(parameters.get("json_output")),
    )


def current() -> CommandLine:
    """What the command line of this run said."""
    return _read[0]
