"""`ipex-node lock`: the lock of the whole fleet's rollout, kept on the first monitor.

One person at a time rolls. The lock ends by itself, so that a controller that died does not keep everybody out:
whoever holds it acquires it again, with the same token, long before that.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ipex_node import files
from ipex_node.failure import failed
from ipex_node.update import ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipex_node.paths import Paths


@dataclass(frozen=True)
class Lock:
    """Who rolls.

    Attributes:
        owner: Person and machine.
        reason: What for: the command, as it was typed.
        token: Tells the holder from all others.
        since: When it was taken, by this machine's clock (seconds since 1970).
        until: When it ends by itself.
        released: When it was given back; None while it is held.
    """

    owner: str
    reason: str
    token: str
    since: float
    until: float
    released: float | None = None

    def is_held(self, now: float) -> bool:
        """Whether it keeps others out."""
        return self.released is None and now < self.until


def acquire(  # noqa: PLR0913 - the words of one command
    paths: Paths, *, owner: str, reason: str, token: str, seconds: int, surveyed: float = 0.0, force: bool = False
) -> dict[str, Any]:
    """Take the lock, or hold on to it.

    Args:
        paths: The monitor's places.
        owner: Person and machine.
        reason: What for.
        token: The same for all of one run.
        seconds: After how long it ends by itself.
        surveyed: How long ago the caller looked at the fleet; a rollout that ended since makes that look stale.
        force: Take it from whoever holds it.

    Raises:
        FailedError: Somebody else holds it, or has changed the fleet since the caller looked.
    """
    with alone(paths):
        now, before = time.time(), _read(paths)
        mine = before is not None and before.token == token
        if before and before.is_held(now) and not mine and not force:
            raise failed(
                "the rollout lock",
                f"{before.owner} holds it since {_moment(before.since)}, until {_moment(before.until)} at the latest "
                f"({before.reason})",
                "wait for that run; if nobody rolls any more, break the lock with --data break_lock=true",
            )
        if before and not mine and before.released and before.released > now - surveyed:
            raise failed(
                "the fleet",
                f"was changed by {before.owner} at {_moment(before.released)}, after this run had looked at it",
                "run the same command again",
            )
        if not mine and not force:
            _refuse_updates(paths, now, surveyed)
        lock = Lock(owner, reason, token, before.since if before and mine else now, now + seconds)
        _write(paths, lock)
    return {"ok": True, "failures": [], "lock": asdict(lock), "broken": _broken(before, now, mine=mine)}


def release(paths: Paths, token: str) -> dict[str, Any]:
    """Give the lock back; that it is no longer held is no fault.

    Raises:
        FailedError: Somebody else has taken it meanwhile.
    """
    with alone(paths):
        now, lock = time.time(), _read(paths)
        if lock and lock.token != token and lock.is_held(now):
            raise failed("the rollout lock", f"{lock.owner} has taken it since {_moment(lock.since)}")
        if lock and lock.token == token:
            _write(paths, Lock(**{**asdict(lock), "released": now}))
    return {"ok": True, "failures": []}


def show(paths: Paths) -> dict[str, Any]:
    """Return who holds the lock, if anybody does."""
    lock = _read(paths)
    return {"ok": True, "failures": [], "lock": asdict(lock) if lock and lock.is_held(time.time()) else None}


def _refuse_updates(paths: Paths, now: float, surveyed: float) -> None:
    """Let nobody roll while nodes update themselves, nor with a look at the fleet from before they did.

    Raises:
        FailedError: They do, or did.
    """
    known = ledger.load(paths)
    if busy := sorted(name for name, turn in known.held.items() if turn.until > now):
        until = _moment(max(known.held[name].until for name in busy))
        why = f"{', '.join(busy)} update themselves, until {until} at the latest"
        raise failed("the fleet", why, "wait for them; or take the lock all the same with --data break_lock=true")
    if late := sorted(name for name, end in known.ended.items() if end.word != "current" and end.at > now - surveyed):
        raise failed(
            "the fleet", f"{', '.join(late)} changed after this run had looked at it", "run the same command again"
        )


def _broken(before: Lock | None, now: float, *, mine: bool) -> str | None:
    """Whose lock was taken away."""
    return before.owner if before and before.is_held(now) and not mine else None


def _place(paths: Paths) -> Path:
    return paths.state / "rollout-lock.json"


def _read(paths: Paths) -> Lock | None:
    """Return the last lock; a file that cannot be read is none: it was never given out."""
    try:
        return Lock(**json.loads(_place(paths).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _write(paths: Paths, lock: Lock) -> None:
    files.write(_place(paths), json.dumps(asdict(lock)).encode())


@contextmanager
def alone(paths: Paths) -> Iterator[None]:
    """Let one process at a time read and write the lock."""
    files.make_directory(paths.state)
    descriptor = os.open(paths.state / "rollout-lock.guard", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(seconds))
