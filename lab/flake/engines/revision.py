"""Which revision of the flake an engine came from, so that an upgrade can be seen from outside."""

import functools
from pathlib import Path


@functools.cache
def revision() -> str:
    """Return what the flake's `version` file says."""
    return (Path(__file__).resolve().parents[1] / "version").read_text().strip()
