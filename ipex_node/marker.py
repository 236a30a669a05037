"""The node's own word on whether it may be given requests: files in /run/ipex that the agent reads."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ipex_node import files

if TYPE_CHECKING:
    from ipex_node.paths import Paths

OPERATOR = "operator"
CHANGE = "change"
REBOOT = "reboot"
WHO = (OPERATOR, CHANGE)
"""Who keeps a node out of rotation; a reboot is a change."""
_KEPT = (OPERATOR, REBOOT)
"""Those whose wish survives a boot, and that no transaction takes back."""
_ACTIVATE = "activate "


@dataclass(frozen=True)
class Drain:
    """A wish to be out of rotation.

    Attributes:
        reason: Why, in words for a person.
        by: `operator`, `reboot`, or `activate ID` for a transaction.
        since: When it was wished.
    """

    reason: str
    by: str
    since: str


def by_activation(identity: str) -> str:
    """Return how a transaction signs its wish."""
    return f"{_ACTIVATE}{identity}"


def drain(paths: Paths) -> Drain | None:
    """Return the wish to be out of rotation, if there is one; one that cannot be read is an operator's."""
    try:
        raw = json.loads(paths.drain.read_bytes())
        return Drain(str(raw["reason"]), str(raw["by"]), str(raw["since"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return Drain("", OPERATOR, "")


def put_drain(paths: Paths, reason: str, by: str) -> None:
    """Wish the node out of rotation; an operator's wish is replaced by nobody's, a reboot's by an operator's alone."""
    there = drain(paths)
    if there and there.by in _KEPT and by != OPERATOR:
        return
    wish = json.dumps(asdict(Drain(reason, by, time.strftime("%Y-%m-%dT%H:%M:%S%z")))).encode()
    if by in _KEPT:
        files.write(paths.kept_drain, wish)
    files.write(paths.drain, wish)


def remember_drain(paths: Paths) -> None:
    """Drain again after a boot, where an operator, or the reboot itself, has drained and not taken it back."""
    if paths.kept_drain.exists():
        files.write(paths.drain, paths.kept_drain.read_bytes())


def clear_drain(paths: Paths) -> None:
    """Take a drain back, whoever wished it."""
    for path in (paths.kept_drain, paths.drain):
        path.unlink(missing_ok=True)


def put_activating(paths: Paths, identity: str) -> None:
    """Say that services are about to change."""
    files.write(paths.activating, json.dumps({"to": identity}).encode())


def clear_transactions(paths: Paths) -> bool:
    """Take away what a transaction has put; the wish of an operator or of a reboot stays.

    Returns:
        Whether there was anything.
    """
    for path in (paths.activating, paths.drain):
        files.remove_unfinished(path)
    there = drain(paths)
    was = paths.activating.exists() or (there is not None and there.by not in _KEPT)
    paths.activating.unlink(missing_ok=True)
    if there and there.by not in _KEPT:
        paths.drain.unlink(missing_ok=True)
    return was


def rotation(paths: Paths) -> dict[str, str]:
    """Return what the node wishes: `state` (`in`, `draining` or `activating`) and the reason."""
    there = drain(paths)
    if there:
        return {"state": "draining", **asdict(there)}
    if paths.activating.exists():
        return {"state": "activating", "reason": ""}
    return {"state": "in", "reason": ""}


def left_out_by(paths: Paths) -> str | None:
    """Say who keeps the node out of rotation, one of WHO; none where nobody does."""
    there = drain(paths)
    if there and there.by == OPERATOR:
        return OPERATOR
    return CHANGE if there or paths.activating.exists() else None
