"""The ledger of turns on the first monitor's disk, beside the rollout lock, and under the same guard."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from ipex_node import files
from ipex_node.failure import failed
from ipex_node.update.turns import End, Ledger, Turn

if TYPE_CHECKING:
    from ipex_node.paths import Paths


def load(paths: Paths) -> Ledger:
    """Return the ledger; one that cannot be read is an error, and nobody's turn.

    Raises:
        FailedError: It is damaged.
    """
    try:
        raw = json.loads(paths.turns.read_bytes())
        serial = int(raw["serial"])
        # An earlier program has not written what a turn is about.
        held = {name: Turn(**{"serial": serial, **turn}) for name, turn in raw["held"].items()}
        return Ledger(serial, held, {name: End(**end) for name, end in raw["ended"].items()})
    except FileNotFoundError:
        return Ledger()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        cure = "remove it once no node changes, and publish again"
        raise failed(str(paths.turns), f"cannot be read: {error!r}", cure) from error


def save(paths: Paths, ledger: Ledger) -> None:
    """Keep the ledger, on the disk before anybody is told."""
    files.write(paths.turns, json.dumps(asdict(ledger)).encode())
