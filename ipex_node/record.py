"""`ipex-node record`: the history of rollouts, one JSON object per line, each naming the digest of the one before.

Whoever changes, removes or inserts a line breaks the chain from there on. The digest that stands in the last line
is the whole history's: compared between monitors and controller, it also shows a tail that was cut off.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from ipex_node import files
from ipex_node.failure import FailedError, Failure, failed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = "rollouts.jsonl"
BEGINNING = "0" * 64
"""What stands for the digest before the first record."""


def append(path: Path, text: str) -> dict[str, Any]:
    """Add one record to a history, on the disk before this returns.

    Args:
        path: The history; made where it does not exist.
        text: One JSON object.

    Raises:
        FailedError: The text is none.
    """
    record = _object(text)
    files.make_directory(path.parent)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        before = file.read()
        previous = _last_digest(before)
        line = _line(record, previous)
        # A line that a power cut left half written stays as it is, and is reported by verify.
        file.write((b"" if before.endswith(b"\n") or not before else b"\n") + line)
        file.flush()
        os.fsync(file.fileno())
    return {"ok": True, "failures": [], "digest": json.loads(line)["digest"], "previous": previous}


def read(path: Path) -> list[dict[str, Any]]:
    """Return every record that can be read, oldest first."""
    return [record for _, _, record in _records(path) if record is not None]


def verify(path: Path) -> dict[str, Any]:
    """Check the chain from the first record to the last.

    Returns:
        The answer, with the number of records and the digest of the last.

    Raises:
        FailedError: With every break.
    """
    failures: list[Failure] = []
    previous, count = BEGINNING, 0
    for number, line, record in _records(path):
        count += 1
        why = _break(line, record, previous)
        if why:
            cure = "compare it with the same rollout on another monitor or on the controller"
            failures.append(Failure(f"{path} line {number}", why, cure))
        previous = str(record.get("digest", "")) if record else previous
    if failures:
        raise FailedError(*failures)
    return {"ok": True, "failures": [], "records": count, "digest": previous}


def _break(line: bytes, record: dict[str, Any] | None, previous: str) -> str:
    if record is None:
        return "is no record"
    content = {key: value for key, value in record.items() if key != "digest"}
    if record.get("digest") != _digest(content) or line != _canonical(record):
        return "was changed: its digest does not fit"
    if record.get("previous") != previous:
        return "does not follow the line before it"
    return ""


def _object(text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except ValueError as error:
        raise failed("the record", f"is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise failed("the record", "is no JSON object")
    return record


def _line(record: dict[str, Any], previous: str) -> bytes:
    content = {**record, "previous": previous}
    return _canonical({**content, "digest": _digest(content)}) + b"\n"


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _last_digest(history: bytes) -> str:
    for line in reversed(history.splitlines()):
        record = _parsed(line)
        if record:
            return str(record.get("digest", BEGINNING))
    return BEGINNING


def _records(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for number, line in enumerate(lines, 1):
        yield number, line, _parsed(line)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
