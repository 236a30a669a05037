"""Where the depot is, as /etc/ipex/depot.json says it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipex_node.failure import failed

if TYPE_CHECKING:
    from pathlib import Path

GB = 10**9
PATH = "/etc/ipex/depot.json"


@dataclass(frozen=True)
class Settings:
    """What a node knows of the depot.

    Attributes:
        source: URL of its directory: http:// on most nodes, file:// on its own.
        directory: the directory itself, on its own node; None elsewhere.
        cache_gb: what built closures may take (10^9 bytes).
        free_gb: what must stay free on a file system (10^9 bytes).
    """

    source: str
    directory: str | None
    cache_gb: int
    free_gb: int


def load(path: Path) -> Settings | None:
    """Read the settings; none where the fleet has no depot.

    Raises:
        FailedError: They are there, and cannot be read.
    """
    try:
        return Settings(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise failed(str(path), f"cannot be read: {error}", "deploy again") from error


def name_of(reference: str) -> str:
    """Return what a flake reference is called in the depot's `closures`."""
    return hashlib.sha256(reference.encode()).hexdigest()[:32]
