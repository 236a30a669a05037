"""What this node remembers of publications: the newest it has seen, and what became of its last attempt."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ipex_node import files
from ipex_node.failure import FailedError, failed
from ipex_node.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipex_node.paths import Paths

OUTCOMES = ("done", "current", "none", "closed", "waiting", "waited", "stopped", "refused", "depot", "failed")
"""What can become of an attempt; docs/operate/updates.md explains each."""
GOOD = ("done", "current", "none", "closed")
"""Outcomes about which nobody has to do anything."""


def load(paths: Paths) -> dict[str, Any]:
    """Return all of it; nothing where there is none yet.

    Raises:
        FailedError: It is damaged, and with it the word on which publications are old.
    """
    try:
        found = json.loads(paths.update.read_bytes())
        if not isinstance(found.get("serial", 0), int):
            raise TypeError(found["serial"])  # noqa: TRY301 - in words below
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        cure = f"look whether something old was offered, then remove {paths.update}"
        raise failed(str(paths.update), f"cannot be read: {error!r}", cure) from error
    return dict(found)


def accept(paths: Paths, serial: int, digest: str, expires: float) -> None:
    """Remember the newest publication.

    Raises:
        FailedError: A newer one was seen before, or another one with this number.
    """
    with _alone(paths):
        _accept(paths, serial, digest, expires)


def _accept(paths: Paths, serial: int, digest: str, expires: float) -> None:
    known = load(paths)
    newest = known.get("serial", 0)
    if serial < newest:
        why = f"publication {serial} is offered, and this node has seen {newest} before"
        raise failed("the depot", why, "somebody has put an old state there: publish again")
    if serial == newest and known.get("digest") not in {None, digest}:
        raise failed("the depot", f"offers another publication {serial} than before", "publish again")
    if serial > newest or "digest" not in known:
        _write(paths, {**known, "serial": serial, "digest": digest, "expires": expires})


def conclude(paths: Paths, outcome: str, why: str, generation: str | None = None) -> None:
    """Remember what became of an attempt."""
    entry = {"outcome": outcome, "why": why, "generation": generation, "at": time.time()}
    # A transaction has made the link to the current generation anew, whichever way it went.
    made = {"changed": _linked_at(paths)} if outcome in {"done", "failed"} else {}
    with _alone(paths):
        _write(paths, {**load(paths), **made, "last": entry})


def changed_by_others(paths: Paths, since: float) -> bool:
    """Whether somebody has changed this node since a moment, by a deploy or by hand; updates of its own do not count.

    Raises:
        FailedError: It is not known: what is remembered is damaged.
    """
    at = _linked_at(paths)
    return at is not None and at > since and at != load(paths).get("changed")


def _linked_at(paths: Paths) -> float | None:
    return paths.current.lstat().st_mtime if paths.current.is_symlink() else None


def summary(paths: Paths) -> dict[str, Any] | None:
    """Return what became of the last attempt, and the newest publication; None before the first, and where damaged."""
    try:
        known = load(paths)
    except FailedError as error:
        return {"outcome": "refused", "why": str(error)}
    return {**known.get("last", {}), "serial": known.get("serial")} if known else None


def samples(paths: Paths) -> Iterator[Sample]:
    """Yield it as numbers."""
    try:
        known = load(paths)
    except FailedError:
        return  # told by the next attempt
    if "serial" in known:
        yield Sample("ipex_update_serial", {}, known["serial"])
        yield Sample("ipex_update_offer_expires_timestamp_seconds", {}, known["expires"])
    if last := known.get("last"):
        yield Sample("ipex_update_last_attempt_timestamp_seconds", {}, last["at"])
        for outcome in OUTCOMES:
            yield Sample("ipex_update_outcome", {"outcome": outcome}, float(outcome == last["outcome"]))


@contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """Let one process at a time change it: on the first monitor what gives turns remembers, too."""
    files.make_directory(paths.state)
    descriptor = os.open(paths.update.with_suffix(".guard"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(paths: Paths, known: dict[str, Any]) -> None:
    files.write(paths.update, json.dumps(known, indent=2, sort_keys=True).encode())
