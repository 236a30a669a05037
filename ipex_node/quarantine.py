"""Generations that failed on this node: they are not activated a second time by accident."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from ipex_node import files
from ipex_node.failure import failed

if TYPE_CHECKING:
    from ipex_node.paths import Paths


def load(paths: Paths) -> dict[str, dict[str, str]]:
    """Return every quarantined generation with `why` and `at`.

    A record that cannot be read counts as empty: `status` must answer, and this file is a memory aid.
    """
    try:
        found: dict[str, dict[str, str]] = json.loads(paths.quarantine.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def put(paths: Paths, identity: str, why: str) -> None:
    """Remember that a generation failed here."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    _write(paths, {**load(paths), identity: {"why": why, "at": at}})


def lift(paths: Paths, identity: str) -> None:
    """Forget it: the generation has succeeded since."""
    known = load(paths)
    if known.pop(identity, None):
        _write(paths, known)


def refuse(paths: Paths, identity: str) -> None:
    """Refuse a quarantined generation.

    Raises:
        FailedError: It is quarantined; the failure says since when and why.
    """
    record = load(paths).get(identity)
    if record:
        why = f"is quarantined on this node since {record['at']}: {record['why']}"
        cure = f"deploy a corrected generation, or on the node: ipex-node activate --force {identity}"
        raise failed(f"generation {identity}", why, cure)


def _write(paths: Paths, known: dict[str, dict[str, str]]) -> None:
    files.write(paths.quarantine, json.dumps(known, indent=2, sort_keys=True).encode())
