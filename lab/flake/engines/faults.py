"""Faults on demand: a JSON file that each engine reads at every request, so that none needs a restart.

An engine of a broken GPU answers its cheap endpoints and hangs, fails or slows in its real work. The file
`/run/ipex-lab/faults/<engine>.json` asks for that. What cannot be read is no fault.

A whole revision can be broken too: the Ollama of one called 2-ollama-hang hangs wherever it runs.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from .revision import revision

DIRECTORY = "/run/ipex-lab/faults"
SLOW_SECONDS = 0.5


@dataclass(frozen=True)
class Fault:
    """What is broken now.

    Attributes:
        generate: none, hang (accepts work and never answers it), error503, cpu (works, but not on the
            GPU), slow, or cut (breaks off in the middle).
        token_seconds: seconds per token or per sampling step; None leaves the engine's own pace.
        start: "exit" ends the engine as soon as it starts.
    """

    generate: str = "none"
    token_seconds: float | None = None
    start: str = "none"

    def pace(self, usual: float) -> float:
        """Return the seconds one token or step takes."""
        if self.token_seconds is not None:
            return self.token_seconds
        return SLOW_SECONDS if self.generate == "slow" else usual


def current(engine: str) -> Fault:
    """Return the engine's fault of this moment."""
    directory = os.environ.get("IPEX_LAB_FAULTS", DIRECTORY)
    try:
        wanted = json.loads((Path(directory) / f"{engine}.json").read_text())
        seconds = wanted.get("token_seconds")
        return Fault(
            generate=str(wanted.get("generate", "none")),
            token_seconds=None if seconds is None else float(seconds),
            start=str(wanted.get("start", "none")),
        )
    except (OSError, ValueError, AttributeError, TypeError):
        return inborn(engine, revision())


def inborn(engine: str, name: str) -> Fault:
    """Return the fault that a revision's name asks for: NUMBER-ENGINE-FAULT."""
    _, _, asked = name.partition(f"-{engine}-")
    if asked == "exit":
        return Fault(start=asked)
    return Fault(generate=asked or "none")
