"""What others have written, who may be ill or hostile: taken in whole, within bounds, or not at all."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1 << 20
"""Longest file that is read, in bytes: what one program of this project leaves for another is far shorter."""
_WORDS = 300


def parse(text: str | bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Return what JSON says.

    Raises:
        ValueError: It is none, or is nested more deeply than anything that is meant.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def read(path: Path) -> bytes:
    """Return what a file holds that belongs to somebody with other rights.

    No link is followed, no pipe waited for, and no device read.

    Raises:
        OSError: It is not there, may not be read, or is a link.
        ValueError: It is no plain file, or longer than any that is meant.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path} is no plain file")
        content = file.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise ValueError(f"{path} is longer than {LIMIT} bytes")
    return content


def load(path: Path) -> Any:  # noqa: ANN401 - JSON is anything
    """Return what the JSON in a file says. Raises as `read` and `parse` do."""
    return parse(read(path))


def words(said: str) -> str:
    """Return what somebody has said as it may stand in a log and on a terminal: one line, printable, cut."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in said[:_WORDS])
